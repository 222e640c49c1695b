"""A chunk of customers: their numbers, and their parts of scores, contributions and drivers, as files in a folder.

Whoever does it, this process or one of Spark's workers, writes the same bytes from the same features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.feature import Feature
from serving.explanation.contributions import Contributions, compute_contributions, top_reasons
from serving.explanation.drivers import merge_tallies, tally_contributions
from serving.scoring.columns import build_score_table, score_columns, worth_if_retained
from serving.scoring.score_tables import COMPRESSION
from training.artifact.bundle import ModelBundle

BLOCK_ROWS = 10_000  # customers explained at once
WriteContext = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Scorer:
    """A model, and what is wanted of it.

    Attributes:
        bundle: The one that says most.
        features: In the order of its columns.
        labels: Of the models, by 'churn' and 'value'.
        reasons: How many each customer is given.
        targets: Whose contributions are written.
    """

    bundle: ModelBundle
    features: tuple[Feature, ...]
    labels: Mapping[str, str]
    reasons: int
    targets: tuple[str, ...]

    def predict(self, rows: pa.Table) -> dict[str, np.ndarray]:
        """The model's numbers (n,) of customers, and what ranks them for their tier ('worth')."""
        said = self.bundle.predict(rows)
        return {**said, "worth": worth_if_retained(rows, said)}


@dataclass(frozen=True)
class CohortPredictions:
    """What is known of customers before they are explained.

    Attributes:
        said: The models' numbers (n,) by name.
        tier: (n,).
        sampled: Places (k,), ascending, of the customers by whom drivers tell their direction.
    """

    predicted: dict[str, np.ndarray]
    tier: np.ndarray
    sampled: np.ndarray

    def slice(self, start: int, stop: int) -> CohortPredictions:
        """That of a stretch, whose places are counted from its start."""
        inside = self.sampled[(self.sampled >= start) & (self.sampled < stop)] - start
        return CohortPredictions(
            {name: said[start:stop] for name, said in self.predicted.items()}, self.tier[start:stop], inside
        )


def write_chunk(
    scorer: Scorer,
    blocks: Iterable[pa.Table],
    standing: CohortPredictions,
    folder: Path,
    place: int,
    writing: WriteContext = nullcontext,
) -> dict[str, Any]:
    """Explains a chunk and writes its parts.

    Args:
        scorer: By whom.
        blocks: The features of its customers, of some thousands at a time.
        standing: Of its customers.
        folder: Where the files go, in folders of their own.
        place: The chunk's number.
        writing: Entered wherever something is written.

    Returns:
        files (named from the folder), rows, and bases: unit and base of each number.
    """
    tables, tallies, start = [], [], 0
    bases: dict[str, tuple[str, float]] = {}
    files = [f"scores/{part_file(place)}", *(f"contributions/{kind}/{part_file(place)}" for kind in scorer.targets)]
    with ExitStack() as stack:
        streams = {
            kind: stack.enter_context(_stream(folder / file, writing))
            for kind, file in zip(scorer.targets, files[1:], strict=True)
        }
        for block in blocks:
            known = standing.slice(start, start + block.num_rows)
            found = compute_contributions(scorer.bundle, block, known.predicted)
            tables.append(_scores(scorer, block, found, known))
            levels = scorer.bundle.levels
            tallies.append(
                {k: tally_contributions(p, block, scorer.features, levels, known.sampled) for k, p in found.items()}
            )
            bases = {kind: (part.unit, part.base) for kind, part in found.items()}
            for kind, write in streams.items():
                write(_contributions(found[kind], block, scorer.features))
            start += block.num_rows
    with writing():
        _write_parquet(pa.concat_tables(tables), folder / files[0])
        whole = {kind: merge_tallies([t[kind] for t in tallies]) for kind in bases}
        save_arrays({f"{kind} {n}": v for kind, t in whole.items() for n, v in t.items()}, folder / tally_file(place))
    return {"files": [*files, tally_file(place)], "rows": start, "bases": bases}


def part_file(place: int) -> str:
    """The file of a chunk in a folder of parts."""
    return f"part-{place:05d}.parquet"


def tally_file(place: int) -> str:
    """The file of a chunk's part of the drivers, from the run's folder."""
    return f"tallies/{place:05d}.npz"


def row_ranges(start: int, stop: int, length: int) -> list[tuple[int, int]]:
    """Stretches of at most so many rows, in order.

    >>> row_ranges(0, 5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(first, min(first + length, stop)) for first in range(start, stop, length)]


def save_arrays(arrays: Mapping[str, np.ndarray], file: Path) -> None:
    """Writes arrays by name; equal arrays make equal bytes."""
    file.parent.mkdir(exist_ok=True)
    np.savez(file, allow_pickle=False, **arrays)


def load_arrays(file: Path) -> dict[str, np.ndarray]:
    """Reads what `save` wrote."""
    with np.load(file, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}


def _scores(scorer: Scorer, block: pa.Table, found: dict[str, Contributions], known: CohortPredictions) -> pa.Table:
    why = {kind: top_reasons(found[kind], block, scorer.features, scorer.reasons) for kind in scorer.labels}
    return build_score_table(score_columns(scorer.labels, block, known.predicted, known.tier), why, block.num_rows)


def _contributions(part: Contributions, block: pa.Table, features: Sequence[Feature]) -> pa.Table:
    columns = {"customer_id": block["customer_id"], "base": np.full(len(part.total), part.base)}
    columns |= {feature.name: part.values[:, place] for place, feature in enumerate(features)}
    return pa.table({**columns, "total": part.total})


def _write_parquet(table: pa.Table, file: Path) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    pq.write_table(table.combine_chunks(), file, compression=COMPRESSION)


@contextmanager
def _stream(file: Path, writing: WriteContext) -> Iterator[Callable[[pa.Table], None]]:
    """Writes the tables that it is given, of one schema, one after the other into a part of the contributions."""
    writer: pq.ParquetWriter | None = None

    def write(table: pa.Table) -> None:
        nonlocal writer
        with writing():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writer = writer or pq.ParquetWriter(file, table.schema, compression=COMPRESSION)
            writer.write_table(table.combine_chunks())

    try:
        yield write
    finally:
        if writer:
            with writing():
                writer.close()
