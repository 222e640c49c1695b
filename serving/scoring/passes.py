"""The passes of a scoring run: features once, everyone's numbers, then reasons chunk by chunk in bounded memory.

Tier is a rank among all, so a first pass says everyone's numbers, which are few and stay in memory; the second
explains a few thousand customers at a time and writes a part a chunk. Each step is written down in the run's journal,
and one that stands there is not done again. Both passes run in this process, or on Spark's workers
(`serving.scoring.spark_executor`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from features.atomic_files import writable
from features.config.load import Config
from features.feature import Feature
from features.snapshots.build import PreparedFeatures
from serving.explanation.drivers import LIST, Levels, sampled, strongest, together
from serving.language.feature_phrases import phrased
from serving.language.messages import language
from serving.scoring import value_tiers
from serving.scoring.chunks import BLOCK, Scorer, Standing, load, save, stretches, tally_name, write_chunk
from serving.scoring.parquet_rows import Stored, parts, stored
from serving.scoring.predictions import Champions, nobody
from serving.scoring.resumable_run import Run, discard

FEATURES, STANDING = "features.parquet", "standing.npz"


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

    @property
    def scorer(self) -> Scorer:
        """What a chunk is explained by: reasons are said in the config's language, drivers in English."""
        count = self.config.serving.reasons
        features = phrased(self.features, language(self.config.language).phrase)
        return Scorer(self.models.fullest.bundle, features, self.models.labels, count, self.kinds)


class Passes(Protocol):
    """Where the two passes run."""

    def numbers(self, job: Job, rows: Stored) -> dict[str, np.ndarray]:
        """What the models say of everyone, and their worth: `Scorer.said` (n,), in the order of the rows."""

    def explained(
        self, job: Job, run: Run, rows: Stored, standing: Standing, missing: Sequence[int]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Explains these chunks and yields each with its line of the journal, once that is written."""


class Here:
    """The passes in this process, a chunk at a time."""

    def numbers(self, job: Job, rows: Stored) -> dict[str, np.ndarray]:
        """As `Passes` has it."""
        chunks = stretches(0, rows.rows, job.config.serving.chunk)
        found = [job.scorer.said(rows.stretch(*bounds)) for bounds in chunks]
        return {name: np.concatenate([said[name] for said in found]) for name in found[0]}

    def explained(
        self, job: Job, run: Run, rows: Stored, standing: Standing, missing: Sequence[int]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """As `Passes` has it."""
        chunks = stretches(0, rows.rows, job.config.serving.chunk)
        for place in missing:
            yield place, _explain(job, run, rows, standing, place, chunks[place])


def working_folder(config: Config) -> Path:
    """Where runs leave files until they take their place."""
    return config.output / ".scoring"


def write_features(job: Job, run: Run, log: PreparedFeatures) -> None:
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
    with writing(job):
        run.finish("features", [file.relative_to(run.folder).as_posix() for file in parts(place)])


def score_all(job: Job, run: Run, passes: Passes) -> dict[str, Any]:
    """Scores and explains everyone whose features are written.

    Returns:
        customers, parts, contributions (parts by kind), bases and drivers, as the manifest has them.

    Raises:
        UsageError: The folder cannot be written to; what is done stays done.
    """
    rows = stored(run.folder / FEATURES)
    standing = _standing(job, run, rows, passes)
    done = _all_explained(job, run, rows, standing, passes)
    return {
        "customers": rows.rows,
        "parts": [_part(said, "scores") for said in done],
        "contributions": {kind: [_part(said, f"contributions/{kind}") for said in done] for kind in job.kinds},
        "bases": {kind: base for kind, (_, base) in done[0]["bases"].items()},
        "drivers": _drivers(job, run, rows.take(standing.sampled), done),
    }


def _standing(job: Job, run: Run, rows: Stored, passes: Passes) -> Standing:
    file = run.folder / STANDING
    if not run.done("standing"):
        said = passes.numbers(job, rows)
        tiers = value_tiers.tier(said.pop("worth")).astype(str)
        with writing(job):
            save({**said, "tier": tiers, "sampled": sampled(rows.column("customer_id"))}, file)
            run.finish("standing", [STANDING])
    made = load(file)
    tier, places = made.pop("tier"), made.pop("sampled")
    return Standing(made, tier.astype(object), places)


def _all_explained(job: Job, run: Run, rows: Stored, standing: Standing, passes: Passes) -> list[dict[str, Any]]:
    """What the journal says of each chunk, once all are done."""
    chunks = stretches(0, rows.rows, job.config.serving.chunk)
    done = {place: said for place in range(len(chunks)) if (said := run.done(f"chunk {place}"))}
    missing = [place for place in range(len(chunks)) if place not in done]
    before = sum(said["rows"] for said in done.values())
    with tqdm(total=rows.rows, initial=before, desc="explaining", unit=" customers", leave=False, disable=None) as bar:
        for place, said in passes.explained(job, run, rows, standing, missing):
            done[place] = said
            bar.update(said["rows"])
    return [done[place] for place in range(len(chunks))]


def _explain(
    job: Job, run: Run, rows: Stored, standing: Standing, place: int, bounds: tuple[int, int]
) -> dict[str, Any]:
    """The second pass over a chunk, here."""
    blocks = (rows.stretch(*block) for block in stretches(*bounds, BLOCK))
    made = write_chunk(job.scorer, blocks, standing.part(*bounds), run.folder, place, lambda: writing(job))
    with writing(job):
        return run.finish(f"chunk {place}", **made)


def _drivers(job: Job, run: Run, sample: pa.Table, done: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The strongest drivers of each number, from the tallies of all chunks."""
    whole = together([load(run.folder / tally_name(place)) for place in range(len(done))])
    found = {}
    for kind, (unit, _) in done[0]["bases"].items():
        of_kind = {name.removeprefix(f"{kind} "): v for name, v in whole.items() if name.startswith(f"{kind} ")}
        found[kind] = strongest(of_kind, unit, sample, job.features, job.levels)[:LIST]
    return found


def _part(said: dict[str, Any], folder: str) -> dict[str, Any]:
    """A chunk's file in a folder of the run, as the manifest has it."""
    (part,) = [part for part in said["files"] if Path(part["file"]).parent.as_posix() == folder]
    return {"file": Path(part["file"]).name, "rows": said["rows"], "sha256": part["sha256"]}


def writing(job: Job) -> AbstractContextManager[None]:
    """Turns what keeps a run from writing into a message that says how to go on."""
    again = f"make room; `regulars score --cutoff {job.cutoff} --resume` then goes on with what is done"
    return writable(job.folder, again)
