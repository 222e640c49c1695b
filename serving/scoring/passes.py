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

from features.atomic_files import report_write_errors
from features.config.load import Config
from features.feature import Feature
from features.snapshots.build import PreparedFeatures
from serving.explanation.drivers import MOST_DRIVERS, Levels, drivers_from_tally, merge_tallies, sample_for_directions
from serving.language.feature_phrases import phrased
from serving.language.messages import get_language
from serving.scoring import value_tiers
from serving.scoring.chunks import (
    BLOCK_ROWS,
    CohortPredictions,
    Scorer,
    load_arrays,
    row_ranges,
    save_arrays,
    tally_file,
    write_chunk,
)
from serving.scoring.parquet_rows import ParquetRows, open_parquet_rows, parquet_files
from serving.scoring.predictions import Champions, empty_cohort_error
from serving.scoring.resumable_run import ResumableRun, remove_folder

FEATURES_FILE, PREDICTIONS_FILE = "features.parquet", "standing.npz"


@dataclass(frozen=True)
class ScoringJob:
    """What is to be scored, by which models.

    Attributes:
        features: The features, in the order of their columns.
        identity: Everything that the numbers depend on, as JSON has it.
        targets: Whose contributions are written: none, or all.
    """

    config: Config
    cutoff: date
    models: Champions
    features: tuple[Feature, ...]
    identity: dict[str, Any]
    targets: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its run leaves files until they take their place: beside the scores, where no reader of them looks."""
        return scoring_folder(self.config) / f"cutoff={self.cutoff}"

    @property
    def levels(self) -> Levels:
        """The levels of text that the models tell apart."""
        return self.models.richest.bundle.levels

    @property
    def scorer(self) -> Scorer:
        """What a chunk is explained by: reasons are said in the config's language, drivers in English."""
        count = self.config.serving.reasons
        features = phrased(self.features, get_language(self.config.language).phrase)
        return Scorer(self.models.richest.bundle, features, self.models.labels, count, self.targets)


class ScoringPasses(Protocol):
    """Where the two passes run."""

    def predict_all(self, job: ScoringJob, rows: ParquetRows) -> dict[str, np.ndarray]:
        """What the models say of everyone, and their worth: `Scorer.predict` (n,), in the order of the rows."""

    def explain_chunks(
        self, job: ScoringJob, run: ResumableRun, rows: ParquetRows, standing: CohortPredictions, missing: Sequence[int]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Explains these chunks and yields each with its line of the journal, once that is written."""


class LocalPasses:
    """The passes in this process, a chunk at a time."""

    def predict_all(self, job: ScoringJob, rows: ParquetRows) -> dict[str, np.ndarray]:
        """As `Passes` has it."""
        chunks = row_ranges(0, rows.num_rows, job.config.serving.chunk)
        found = [job.scorer.predict(rows.rows_between(*bounds)) for bounds in chunks]
        return {name: np.concatenate([said[name] for said in found]) for name in found[0]}

    def explain_chunks(
        self, job: ScoringJob, run: ResumableRun, rows: ParquetRows, standing: CohortPredictions, missing: Sequence[int]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """As `Passes` has it."""
        chunks = row_ranges(0, rows.num_rows, job.config.serving.chunk)
        for place in missing:
            yield place, _explain_chunk(job, run, rows, standing, place, chunks[place])


def scoring_folder(config: Config) -> Path:
    """Where runs leave files until they take their place."""
    return config.output / ".scoring"


def write_features(job: ScoringJob, run: ResumableRun, log: PreparedFeatures) -> None:
    """Has the engine build the cohort's features, by customer_id, where that is not done.

    Raises:
        DataError: Nobody is in the cohort, or the engine has no room.
    """
    if run.finished_step("features"):
        return
    place = run.folder / FEATURES_FILE
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    log.write(place)
    if not open_parquet_rows(place).num_rows:
        remove_folder(run.folder)
        raise empty_cohort_error(job.config, job.cutoff)
    with explain_write_errors(job):
        run.record_step("features", [file.relative_to(run.folder).as_posix() for file in parquet_files(place)])


def score_cohort(job: ScoringJob, run: ResumableRun, passes: ScoringPasses) -> dict[str, Any]:
    """Scores and explains everyone whose features are written.

    Returns:
        customers, parts, contributions (parts by kind), bases and drivers, as the manifest has them.

    Raises:
        UsageError: The folder cannot be written to; what is done stays done.
    """
    rows = open_parquet_rows(run.folder / FEATURES_FILE)
    standing = _standing(job, run, rows, passes)
    done = _all_explained(job, run, rows, standing, passes)
    return {
        "customers": rows.num_rows,
        "parts": [_part(said, "scores") for said in done],
        "contributions": {kind: [_part(said, f"contributions/{kind}") for said in done] for kind in job.targets},
        "bases": {kind: base for kind, (_, base) in done[0]["bases"].items()},
        "drivers": _drivers(job, run, rows.take(standing.sampled), done),
    }


def _standing(job: ScoringJob, run: ResumableRun, rows: ParquetRows, passes: ScoringPasses) -> CohortPredictions:
    file = run.folder / PREDICTIONS_FILE
    if not run.finished_step("standing"):
        said = passes.predict_all(job, rows)
        tiers = value_tiers.assign_tiers(said.pop("worth")).astype(str)
        with explain_write_errors(job):
            save_arrays({**said, "tier": tiers, "sampled": sample_for_directions(rows.column("customer_id"))}, file)
            run.record_step("standing", [PREDICTIONS_FILE])
    made = load_arrays(file)
    tier, places = made.pop("tier"), made.pop("sampled")
    return CohortPredictions(made, tier.astype(object), places)


def _all_explained(
    job: ScoringJob, run: ResumableRun, rows: ParquetRows, standing: CohortPredictions, passes: ScoringPasses
) -> list[dict[str, Any]]:
    """What the journal says of each chunk, once all are done."""
    chunks = row_ranges(0, rows.num_rows, job.config.serving.chunk)
    done = {place: said for place in range(len(chunks)) if (said := run.finished_step(f"chunk {place}"))}
    missing = [place for place in range(len(chunks)) if place not in done]
    before = sum(said["rows"] for said in done.values())
    with tqdm(
        total=rows.num_rows, initial=before, desc="explaining", unit=" customers", leave=False, disable=None
    ) as bar:
        for place, said in passes.explain_chunks(job, run, rows, standing, missing):
            done[place] = said
            bar.update(said["rows"])
    return [done[place] for place in range(len(chunks))]


def _explain_chunk(
    job: ScoringJob,
    run: ResumableRun,
    rows: ParquetRows,
    standing: CohortPredictions,
    place: int,
    bounds: tuple[int, int],
) -> dict[str, Any]:
    """The second pass over a chunk, here."""
    blocks = (rows.rows_between(*block) for block in row_ranges(*bounds, BLOCK_ROWS))
    made = write_chunk(
        job.scorer, blocks, standing.slice(*bounds), run.folder, place, lambda: explain_write_errors(job)
    )
    with explain_write_errors(job):
        return run.record_step(f"chunk {place}", **made)


def _drivers(
    job: ScoringJob, run: ResumableRun, sample: pa.Table, done: Sequence[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """The strongest drivers of each number, from the tallies of all chunks."""
    whole = merge_tallies([load_arrays(run.folder / tally_file(place)) for place in range(len(done))])
    found = {}
    for kind, (unit, _) in done[0]["bases"].items():
        of_kind = {name.removeprefix(f"{kind} "): v for name, v in whole.items() if name.startswith(f"{kind} ")}
        found[kind] = drivers_from_tally(of_kind, unit, sample, job.features, job.levels)[:MOST_DRIVERS]
    return found


def _part(said: dict[str, Any], folder: str) -> dict[str, Any]:
    """A chunk's file in a folder of the run, as the manifest has it."""
    (part,) = [part for part in said["files"] if Path(part["file"]).parent.as_posix() == folder]
    return {"file": Path(part["file"]).name, "rows": said["rows"], "sha256": part["sha256"]}


def explain_write_errors(job: ScoringJob) -> AbstractContextManager[None]:
    """Turns what keeps a run from writing into a message that says how to go on."""
    again = f"make room; `regulars score --cutoff {job.cutoff} --resume` then goes on with what is done"
    return report_write_errors(job.folder, again)
