"""The passes of a scoring run: features once, everyone's numbers, then reasons chunk by chunk in bounded memory.

Tier is a rank among all, so a first pass says everyone's numbers, which are few and stay in memory; the second
explains a few thousand customers at a time and writes a part a chunk. Each step is written down in the run's journal,
and one that stands there is not done again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from features.config import Config
from features.feature import Feature
from features.files import writable
from features.snapshots import Reading
from serving import segments
from serving.drivers import LIST, Levels, sampled, strongest, tally, together
from serving.explain import Contributions, contributions, reasons
from serving.journal import Run, discard
from serving.numbers import Champions, in_columns, nobody, score_table, worth
from serving.scores import COMPRESSION
from serving.stored import Stored, parts, stored

FEATURES, STANDING = "features.parquet", "standing.npz"
BLOCK = 10_000  # customers explained at once


@dataclass(frozen=True)
class Job:
    """What is to be scored, by which models.

    Attributes:
        features: The features, in the order of their columns.
        identity: Everything that the numbers depend on, as JSON has it.
        kinds: Whose contributions are written: none, or all.
    """

    config: Config
    cutoff: date
    models: Champions
    features: tuple[Feature, ...]
    identity: dict[str, Any]
    kinds: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its run leaves files until they take their place: beside the scores, where no reader of them looks."""
        return working_folder(self.config) / f"cutoff={self.cutoff}"

    @property
    def levels(self) -> Levels:
        """The levels of text that the models tell apart."""
        return self.models.fullest.bundle.levels


@dataclass(frozen=True)
class Standing:
    """What is known of everyone before anyone is explained.

    Attributes:
        said: The models' numbers (n,) by name.
        tier: (n,).
        sampled: Places (k,), ascending, of the customers by whom drivers tell their direction.
    """

    said: dict[str, np.ndarray]
    tier: np.ndarray
    sampled: np.ndarray

    def inside(self, start: int, stop: int) -> np.ndarray:
        """The places of the sampled customers in a stretch, counted from its start."""
        return self.sampled[(self.sampled >= start) & (self.sampled < stop)] - start


def working_folder(config: Config) -> Path:
    """Where runs leave files until they take their place."""
    return config.output / ".scoring"


def write_features(job: Job, run: Run, log: Reading) -> None:
    """Has the engine build the cohort's features, by customer_id, where that is not done.

    Raises:
        DataError: Nobody is in the cohort, or the engine has no room.
    """
    if run.done("features"):
        return
    place = run.folder / FEATURES
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    log.write(place)
    if not stored(place).rows:
        discard(run.folder)
        raise nobody(job.config, job.cutoff)
    with _writing(job):
        run.finish("features", [file.relative_to(run.folder).as_posix() for file in parts(place)])


def score_all(job: Job, run: Run) -> dict[str, Any]:
    """Scores and explains everyone whose features are written.

    Returns:
        customers, parts, contributions (parts by kind), bases and drivers, as the manifest has them.

    Raises:
        UsageError: The folder cannot be written to; what is done stays done.
    """
    rows = stored(run.folder / FEATURES)
    standing = _standing(job, run, rows)
    done = []
    with tqdm(total=rows.rows, desc="explaining", unit=" customers", leave=False, disable=None) as bar:
        for place, (start, stop) in enumerate(_stretches(0, rows.rows, job.config.serving.chunk)):
            done.append(run.done(f"chunk {place}") or _explain(job, run, rows, standing, place, (start, stop)))
            bar.update(stop - start)
    return {
        "customers": rows.rows,
        "parts": [_part(said, "scores") for said in done],
        "contributions": {kind: [_part(said, f"contributions/{kind}") for said in done] for kind in job.kinds},
        "bases": {kind: base for kind, (_, base) in done[0]["bases"].items()},
        "drivers": _drivers(job, run, rows.take(standing.sampled), done),
    }


def _standing(job: Job, run: Run, rows: Stored) -> Standing:
    file = run.folder / STANDING
    if not run.done("standing"):
        made = _numbers(job, rows)
        with _writing(job):
            _save(made, file)
            run.finish("standing", [STANDING])
    made = _load(file)
    tier, places = made.pop("tier"), made.pop("sampled")
    return Standing(made, tier.astype(object), places)


def _numbers(job: Job, rows: Stored) -> dict[str, np.ndarray]:
    """The first pass: numbers said, tier, and places of the sampled."""
    found: list[dict[str, np.ndarray]] = []
    for start, stop in _stretches(0, rows.rows, job.config.serving.chunk):
        stretch = rows.stretch(start, stop)
        said = job.models.fullest.bundle.predict(stretch)
        found.append({**said, "worth": worth(job.models, stretch, said)})
    whole = {name: np.concatenate([said[name] for said in found]) for name in found[0]}
    tiers = segments.tier(whole.pop("worth")).astype(str)
    return {**whole, "tier": tiers, "sampled": sampled(rows.column("customer_id"))}


def _explain(
    job: Job, run: Run, rows: Stored, standing: Standing, place: int, bounds: tuple[int, int]
) -> dict[str, Any]:
    """The second pass over a chunk: its parts of scores, of contributions where wanted, and of the drivers."""
    name, tables, tallies = f"part-{place:05d}.parquet", [], []
    bases: dict[str, tuple[str, float]] = {}
    with ExitStack() as stack:
        streams = {kind: stack.enter_context(_stream(job, run, kind, name)) for kind in job.kinds}
        for start, stop in _stretches(*bounds, BLOCK):
            block = rows.stretch(start, stop)
            said = {number: values[start:stop] for number, values in standing.said.items()}
            found = contributions(job.models.fullest.bundle, block, said)
            tables.append(_score_table(job, block, found, said, standing.tier[start:stop]))
            inside = standing.inside(start, stop)
            tallies.append({k: tally(part, block, job.features, job.levels, inside) for k, part in found.items()})
            bases = {kind: (part.unit, part.base) for kind, part in found.items()}
            for kind, write in streams.items():
                write(_contribution_table(found[kind], block, job.features))
    with _writing(job):
        _write(pa.concat_tables(tables), run.folder / "scores" / name)
        whole = {kind: together([t[kind] for t in tallies]) for kind in bases}
        _save({f"{kind} {n}": v for kind, t in whole.items() for n, v in t.items()}, run.folder / _tallies(place))
        files = [f"scores/{name}", *(f"contributions/{kind}/{name}" for kind in job.kinds), _tallies(place)]
        return run.finish(f"chunk {place}", files, rows=bounds[1] - bounds[0], bases=bases)


def _score_table(
    job: Job, block: pa.Table, found: dict[str, Contributions], said: dict[str, np.ndarray], tier: np.ndarray
) -> pa.Table:
    count = job.config.serving.reasons
    why = {kind: reasons(found[kind], block, job.features, count) for kind in job.models.by_kind}
    return score_table(in_columns(job.models, block, said, tier), why, block.num_rows)


def _contribution_table(part: Contributions, block: pa.Table, features: Sequence[Feature]) -> pa.Table:
    columns = {"customer_id": block["customer_id"], "base": np.full(len(part.total), part.base)}
    columns |= {feature.name: part.values[:, place] for place, feature in enumerate(features)}
    return pa.table({**columns, "total": part.total})


def _drivers(job: Job, run: Run, sample: pa.Table, done: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The strongest drivers of each number, from the tallies of all chunks."""
    whole = together([_load(run.folder / _tallies(place)) for place in range(len(done))])
    found = {}
    for kind, (unit, _) in done[0]["bases"].items():
        of_kind = {name.removeprefix(f"{kind} "): v for name, v in whole.items() if name.startswith(f"{kind} ")}
        found[kind] = strongest(of_kind, unit, sample, job.features, job.levels)[:LIST]
    return found


def _stretches(start: int, stop: int, length: int) -> list[tuple[int, int]]:
    """Stretches of at most so many rows, in order.

    >>> _stretches(0, 5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(first, min(first + length, stop)) for first in range(start, stop, length)]


def _tallies(place: int) -> str:
    return f"tallies/{place:05d}.npz"


def _save(arrays: Mapping[str, np.ndarray], file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    np.savez(file, allow_pickle=False, **arrays)


def _load(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}


def _part(said: dict[str, Any], folder: str) -> dict[str, Any]:
    """A chunk's file in a folder of the run, as the manifest has it."""
    (part,) = [part for part in said["files"] if Path(part["file"]).parent.as_posix() == folder]
    return {"file": Path(part["file"]).name, "rows": said["rows"], "sha256": part["sha256"]}


def _write(table: pa.Table, file: Path) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    pq.write_table(table.combine_chunks(), file, compression=COMPRESSION)


@contextmanager
def _stream(job: Job, run: Run, kind: str, name: str) -> Iterator[Callable[[pa.Table], None]]:
    """Writes the tables that it is given, of one schema, one after the other into a part of the contributions."""
    file = run.folder / "contributions" / kind / name
    writer: pq.ParquetWriter | None = None

    def write(table: pa.Table) -> None:
        nonlocal writer
        with _writing(job):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writer = writer or pq.ParquetWriter(file, table.schema, compression=COMPRESSION)
            writer.write_table(table.combine_chunks())

    try:
        yield write
    finally:
        if writer:
            with _writing(job):
                writer.close()


def _writing(job: Job) -> AbstractContextManager[None]:
    again = f"make room; `regulars score --cutoff {job.cutoff} --resume` then goes on with what is done"
    return writable(job.folder, again)
