"""The steps of a scoring run: build features, predict for everybody, then explain chunk by chunk in bounded memory.

Tier and segment depend on all customers, so a first pass predicts for everybody; predictions are small and stay in
memory. The second pass explains a few thousand customers at a time and writes one part file for each chunk. Each
finished step is recorded in the run's journal and is not repeated. Both passes run in this process or on Spark's
workers (`serving.scoring.spark_executor`).
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

from features.config.load import Config
from features.feature import Feature
from features.outputs.layout import cutoff_name
from features.outputs.parquet_rows import ParquetRows, open_parquet_rows, parquet_paths
from features.snapshots.build import PreparedFeatures
from features.storage.atomic_files import report_write_errors
from serving.explanation.drivers import MOST_DRIVERS, Levels, drivers_from_tally, merge_tallies, sample_for_directions
from serving.language.feature_phrases import translate_features
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
from serving.scoring.lifetime_totals import lifetime_totals
from serving.scoring.predictions import Champions, empty_cohort_error
from serving.scoring.resumable_run import ResumableRun, remove_folder

FEATURES_FILE, PREDICTIONS_FILE = "features.parquet", "standing.npz"


@dataclass(frozen=True)
class ScoringJob:
    """What to score, and with which models.

    Attributes:
        config: The business.
        cutoff: The day at which customers are scored.
        models: The champions.
        features: The features, in the order of their columns.
        identity: Everything that the scores depend on, as values of JSON.
        targets: The outcomes whose contributions are written: none or all.
    """

    config: Config
    cutoff: date
    models: Champions
    features: tuple[Feature, ...]
    identity: dict[str, Any]
    targets: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The run's working folder: beside the scores, where no reader of scores looks."""
        return self.config.outputs.scoring() / cutoff_name(self.cutoff)

    @property
    def levels(self) -> Levels:
        """The levels that the models know, by text feature."""
        return self.models.richest.bundle.levels

    @property
    def scorer(self) -> Scorer:
        """What explains a chunk; reasons are in the config's language, drivers in English."""
        most_reasons = self.config.serving.reasons
        features = translate_features(self.features, get_language(self.config.language))
        return Scorer(self.models.richest.bundle, features, self.models.labels, most_reasons, self.targets)


class ScoringPasses(Protocol):
    """The two passes, wherever they run."""

    def predict_all(self, job: ScoringJob, rows: ParquetRows) -> dict[str, np.ndarray]:
        """Predict for everybody: the columns (n,) of `Scorer.predict`, in the order of the rows."""

    def explain_chunks(
        self,
        job: ScoringJob,
        run: ResumableRun,
        rows: ParquetRows,
        predictions: CohortPredictions,
        missing: Sequence[int],
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Explain chunks, and record each in the journal.

        Args:
            job: What to score.
            run: The run that records the chunks.
            rows: The features of everybody.
            predictions: The predictions for everybody.
            missing: The numbers of the chunks to explain.

        Yields:
            The number of each chunk and its line of the journal, once that is written.
        """


class LocalPasses:
    """The passes in this process, one chunk at a time."""

    def predict_all(self, job: ScoringJob, rows: ParquetRows) -> dict[str, np.ndarray]:
        """Predict for everybody; see `ScoringPasses`."""
        chunks = row_ranges(0, rows.num_rows, job.config.serving.chunk)
        predictions = [job.scorer.predict(rows.rows_between(*bounds)) for bounds in chunks]
        return {name: np.concatenate([chunk[name] for chunk in predictions]) for name in predictions[0]}

    def explain_chunks(
        self,
        job: ScoringJob,
        run: ResumableRun,
        rows: ParquetRows,
        predictions: CohortPredictions,
        missing: Sequence[int],
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Explain chunks; see `ScoringPasses`.

        Args:
            job: What to score.
            run: The run that records the chunks.
            rows: The features of everybody.
            predictions: The predictions for everybody.
            missing: The numbers of the chunks to explain.

        Yields:
            The number of each chunk and its line of the journal.
        """
        chunks = row_ranges(0, rows.num_rows, job.config.serving.chunk)
        for number in missing:
            yield number, _explain_chunk(job, run, rows, predictions, number, chunks[number])


def write_features(job: ScoringJob, run: ResumableRun, log: PreparedFeatures) -> None:
    """Let the engine write the cohort's features, sorted by customer_id, unless the run has already done so.

    Args:
        job: What to score.
        run: The run that records the step.
        log: The opened log.

    Raises:
        DataError: The cohort is empty, or the engine has too little memory or disk.
    """
    if run.finished_step("features"):
        return
    path = run.folder / FEATURES_FILE
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    log.write(path)
    if not open_parquet_rows(path).num_rows:
        remove_folder(run.folder)
        raise empty_cohort_error(job.config.task, job.cutoff)
    with explain_write_errors(job):
        run.record_step("features", [file.relative_to(run.folder).as_posix() for file in parquet_paths(path)])


def score_cohort(job: ScoringJob, run: ResumableRun, passes: ScoringPasses) -> dict[str, Any]:
    """Score and explain everybody whose features are written.

    Args:
        job: What to score.
        run: The run, whose finished steps are not repeated.
        passes: Where to compute.

    Returns:
        customers, parts, contributions (parts by outcome), bases, drivers and lifetime, as in the manifest.

    Raises:
        UsageError: The folder cannot be written to; finished steps stay finished.
    """
    rows = open_parquet_rows(run.folder / FEATURES_FILE)
    predictions = _cohort_predictions(job, run, rows, passes)
    steps = _explain_cohort(job, run, rows, predictions, passes)
    return {
        "customers": rows.num_rows,
        "parts": [_manifest_part(step, "scores") for step in steps],
        "contributions": {
            kind: [_manifest_part(step, f"contributions/{kind}") for step in steps] for kind in job.targets
        },
        "bases": {kind: base for kind, (_, base) in steps[0]["bases"].items()},
        "drivers": _drivers(job, run, rows.take(predictions.sampled), steps),
        "lifetime": lifetime_totals(job.models.richest.bundle, predictions.predicted),
    }


def _cohort_predictions(
    job: ScoringJob, run: ResumableRun, rows: ParquetRows, passes: ScoringPasses
) -> CohortPredictions:
    file = run.folder / PREDICTIONS_FILE
    if not run.finished_step("standing"):
        predicted = passes.predict_all(job, rows)
        skill = job.models.richest.bundle.skill
        assigned = value_tiers.assign_groups(predicted["churn_probability"], predicted.pop("worth"), skill)
        groups = {name: values.astype(str) for name, values in assigned.items()}
        with explain_write_errors(job):
            save_arrays({**predicted, **groups, "sampled": sample_for_directions(rows.column("customer_id"))}, file)
            run.record_step("standing", [PREDICTIONS_FILE])
    arrays = load_arrays(file)
    groups = {name: arrays.pop(name).astype(object) for name in ("tier", "segment")}
    return CohortPredictions(arrays, groups, arrays.pop("sampled"))


def _explain_cohort(
    job: ScoringJob, run: ResumableRun, rows: ParquetRows, predictions: CohortPredictions, passes: ScoringPasses
) -> list[dict[str, Any]]:
    """Explain all chunks that are not finished; return the journal's line of every chunk, in order."""
    chunks = row_ranges(0, rows.num_rows, job.config.serving.chunk)
    steps = {number: step for number in range(len(chunks)) if (step := run.finished_step(f"chunk {number}"))}
    missing = [number for number in range(len(chunks)) if number not in steps]
    explained = sum(step["rows"] for step in steps.values())
    with tqdm(
        total=rows.num_rows, initial=explained, desc="explaining", unit=" customers", leave=False, disable=None
    ) as bar:
        for number, step in passes.explain_chunks(job, run, rows, predictions, missing):
            steps[number] = step
            bar.update(step["rows"])
    return [steps[number] for number in range(len(chunks))]


def _explain_chunk(
    job: ScoringJob,
    run: ResumableRun,
    rows: ParquetRows,
    predictions: CohortPredictions,
    number: int,
    bounds: tuple[int, int],
) -> dict[str, Any]:
    """Explain one chunk in this process."""
    blocks = (rows.rows_between(*block) for block in row_ranges(*bounds, BLOCK_ROWS))
    facts = write_chunk(
        job.scorer, blocks, predictions.slice(*bounds), run.folder, number, lambda: explain_write_errors(job)
    )
    with explain_write_errors(job):
        return run.record_step(f"chunk {number}", **facts)


def _drivers(
    job: ScoringJob, run: ResumableRun, sample: pa.Table, steps: Sequence[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Return the strongest drivers of each outcome, from the tallies of all chunks."""
    tallies = merge_tallies([load_arrays(run.folder / tally_file(place)) for place in range(len(steps))])
    drivers = {}
    for outcome, (unit, _) in steps[0]["bases"].items():
        of_outcome = {
            name.removeprefix(f"{outcome} "): v for name, v in tallies.items() if name.startswith(f"{outcome} ")
        }
        drivers[outcome] = drivers_from_tally(of_outcome, unit, sample, job.features, job.levels)[:MOST_DRIVERS]
    return drivers


def _manifest_part(step: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return the manifest's entry of a chunk's file in a folder of the run."""
    (part,) = [part for part in step["files"] if Path(part["file"]).parent.as_posix() == folder]
    return {"file": Path(part["file"]).name, "rows": step["rows"], "sha256": part["sha256"]}


def explain_write_errors(job: ScoringJob) -> AbstractContextManager[None]:
    """Turn an error of writing into a message that says how to resume the run."""
    advice = f"make room; then `regulars score --cutoff {job.cutoff} --resume` continues after the finished steps"
    return report_write_errors(job.folder, advice)
