"""Scores and explains one chunk of customers and writes its files: scores, contributions and a tally of drivers.

This process and Spark's workers both run this code, and equal features give equal bytes.
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

BLOCK_ROWS = 10_000  # customers that are explained together
WriteContext = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Scorer:
    """A model, and what to write for each customer.

    Attributes:
        bundle: The richest model: the value model, or without money the churn model.
        features: The features in the order of the model's columns.
        labels: Name and version of the models, by 'churn' and 'value'.
        reasons: The number of reasons for each customer.
        targets: The outcomes whose contributions are written, such as 'churn'.
    """

    bundle: ModelBundle
    features: tuple[Feature, ...]
    labels: Mapping[str, str]
    reasons: int
    targets: tuple[str, ...]

    def predict(self, rows: pa.Table) -> dict[str, np.ndarray]:
        """Return the model's predictions (n,) by column, and 'worth' (n,), which decides tier and segment."""
        predicted = self.bundle.predict(rows)
        return {**predicted, "worth": worth_if_retained(rows, predicted)}


@dataclass(frozen=True)
class CohortPredictions:
    """What the first pass computes for customers before they are explained.

    Attributes:
        predicted: The models' predictions (n,) by score column.
        groups: Tier and segment (n,) by score column.
        sampled: Row numbers (k,), ascending, of the sample from which the directions of drivers are computed.
    """

    predicted: dict[str, np.ndarray]
    groups: dict[str, np.ndarray]
    sampled: np.ndarray

    def slice(self, start: int, stop: int) -> CohortPredictions:
        """Return the predictions of rows [start, stop); their row numbers count from `start`."""
        sampled = self.sampled[(self.sampled >= start) & (self.sampled < stop)] - start
        predicted, groups = (
            {name: values[start:stop] for name, values in columns.items()} for columns in (self.predicted, self.groups)
        )
        return CohortPredictions(predicted, groups, sampled)


def write_chunk(
    scorer: Scorer,
    blocks: Iterable[pa.Table],
    predictions: CohortPredictions,
    folder: Path,
    number: int,
    write_context: WriteContext = nullcontext,
) -> dict[str, Any]:
    """Explain a chunk of customers and write its files.

    Args:
        scorer: The model, and what to write.
        blocks: The features of the chunk's customers, a few thousand rows at a time.
        predictions: The predictions for the same customers.
        folder: The run's folder; files go into its subfolders.
        number: The chunk's number.
        write_context: A context manager that is entered around every write.

    Returns:
        files (relative to the folder), rows, and bases: the unit and the base value of each explained outcome.
    """
    tables, tallies, start = [], [], 0
    bases: dict[str, tuple[str, float]] = {}
    files = [f"scores/{part_file(number)}", *(f"contributions/{kind}/{part_file(number)}" for kind in scorer.targets)]
    with ExitStack() as stack:
        streams = {
            kind: stack.enter_context(_part_writer(folder / file, write_context))
            for kind, file in zip(scorer.targets, files[1:], strict=True)
        }
        for block in blocks:
            block_predictions = predictions.slice(start, start + block.num_rows)
            explained = compute_contributions(scorer.bundle, block, block_predictions.predicted)
            tables.append(_block_scores(scorer, block, explained, block_predictions))
            levels = scorer.bundle.levels
            tallies.append(
                {
                    k: tally_contributions(p, block, scorer.features, levels, block_predictions.sampled)
                    for k, p in explained.items()
                }
            )
            bases = {kind: (part.unit, part.base) for kind, part in explained.items()}
            for kind, write in streams.items():
                write(_contribution_table(explained[kind], block, scorer.features))
            start += block.num_rows
    with write_context():
        _write_parquet(pa.concat_tables(tables), folder / files[0])
        cohort_tallies = {kind: merge_tallies([t[kind] for t in tallies]) for kind in bases}
        save_arrays(
            {f"{kind} {n}": v for kind, t in cohort_tallies.items() for n, v in t.items()}, folder / tally_file(number)
        )
    return {"files": [*files, tally_file(number)], "rows": start, "bases": bases}


def part_file(number: int) -> str:
    """Return the file name of a chunk in a folder of parts."""
    return f"part-{number:05d}.parquet"


def tally_file(number: int) -> str:
    """Return the path of a chunk's tally of drivers, relative to the run's folder."""
    return f"tallies/{number:05d}.npz"


def row_ranges(start: int, stop: int, length: int) -> list[tuple[int, int]]:
    """Cut the rows [start, stop) into ranges of at most `length` rows, in order.

    Args:
        start: The first row.
        stop: The row after the last one.
        length: The largest number of rows in a range.

    Returns:
        First row and the row after the last one of each range.

    >>> row_ranges(0, 5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(first, min(first + length, stop)) for first in range(start, stop, length)]


def save_arrays(arrays: Mapping[str, np.ndarray], file: Path) -> None:
    """Write arrays by name into an .npz file; equal arrays give equal bytes."""
    file.parent.mkdir(exist_ok=True)
    np.savez(file, allow_pickle=False, **arrays)


def load_arrays(file: Path) -> dict[str, np.ndarray]:
    """Read the arrays that `save_arrays` wrote."""
    with np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _block_scores(
    scorer: Scorer, block: pa.Table, explained: dict[str, Contributions], predictions: CohortPredictions
) -> pa.Table:
    reasons = {kind: top_reasons(explained[kind], block, scorer.features, scorer.reasons) for kind in scorer.labels}
    return build_score_table(
        score_columns(scorer.labels, block, predictions.predicted, predictions.groups), reasons, block.num_rows
    )


def _contribution_table(part: Contributions, block: pa.Table, features: Sequence[Feature]) -> pa.Table:
    columns = {"customer_id": block["customer_id"], "base": np.full(len(part.total), part.base)}
    columns |= {feature.name: part.values[:, place] for place, feature in enumerate(features)}
    return pa.table({**columns, "total": part.total})


def _write_parquet(table: pa.Table, file: Path) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    pq.write_table(table.combine_chunks(), file, compression=COMPRESSION)


@contextmanager
def _part_writer(file: Path, write_context: WriteContext) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends tables of one schema to a Parquet file, which is closed at the end."""
    writer: pq.ParquetWriter | None = None

    def write(table: pa.Table) -> None:
        nonlocal writer
        with write_context():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writer = writer or pq.ParquetWriter(file, table.schema, compression=COMPRESSION)
            writer.write_table(table.combine_chunks())

    try:
        yield write
    finally:
        if writer:
            with write_context():
                writer.close()
