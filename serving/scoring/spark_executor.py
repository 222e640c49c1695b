"""Both passes of a scoring run on Spark's workers, by `mapInArrow` over the features that Spark has written.

The model is sent once to each worker, as text. Workers return predictions (first pass) and files (second pass), which
the driver moves to the run's folder and records in the journal. A row's number follows from its file and its place in
it, so the results do not depend on how Spark splits and moves the rows. Importing this module imports PySpark.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyspark.sql.functions as F
from pyspark import Broadcast
from pyspark.sql import DataFrame

from features.engines.spark import SparkEngine
from features.engines.spark_files import escaped_path
from features.engines.spark_session import SPARK_ERRORS
from features.errors import DataError, UsageError
from features.outputs.parquet_rows import ParquetRows
from serving.scoring import spark_worker
from serving.scoring.chunks import CohortPredictions, row_ranges
from serving.scoring.passes import ScoringJob, explain_write_errors
from serving.scoring.resumable_run import ResumableRun, remove_folder

SENT_PACKAGES = ("features", "training", "serving")
WAVE = 4  # chunks explained before they are recorded, for each task that can run at once
WORKER_FOLDER = "by workers"  # the folder in the run's folder where workers write
CHUNK = "row chunk"
RAISED = re.compile(r"[\w.]+(?:Error|Exception|Interrupt): .*")


@dataclass(frozen=True)
class SparkPasses:
    """The passes on the workers of a Spark engine."""

    engine: SparkEngine

    def predict_all(self, job: ScoringJob, rows: ParquetRows) -> dict[str, np.ndarray]:
        """Predict for everybody; see `serving.scoring.passes.ScoringPasses`.

        Raises:
            DataError: A worker failed.
        """
        names = list(job.scorer.predict(rows.rows_between(0, 1)))
        types = ", ".join(f"`{name}` double" for name in names)
        parcel = self._share(_serialized_scorer(job, rows))
        work = partial(spark_worker.predict_batches, parcel=parcel)
        frame = self._frame(rows, 0, rows.num_rows)
        try:
            predicted = (
                frame.mapInArrow(work, f"`{spark_worker.ROW_NUMBER}` bigint, {types}")
                .toArrow()
                .sort_by(spark_worker.ROW_NUMBER)
            )
        except SPARK_ERRORS as problem:
            raise DataError(f"while scoring: {worker_error(problem)}") from None
        parcel.destroy()
        return {name: predicted[name].to_numpy() for name in names}

    def explain_chunks(
        self,
        job: ScoringJob,
        run: ResumableRun,
        rows: ParquetRows,
        predictions: CohortPredictions,
        missing: Sequence[int],
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Explain chunks, several at a time; see `serving.scoring.passes.ScoringPasses`.

        Args:
            job: What to score.
            run: The run that records the chunks.
            rows: The features of everybody.
            predictions: The predictions for everybody.
            missing: The numbers of the chunks to explain.

        Yields:
            The number of each chunk and its line of the journal.

        Raises:
            DataError: A worker failed.
            UsageError: The driver does not see the files that workers write.
        """
        parcel = self._share(_serialized_scorer(job, rows))
        at_once = WAVE * self.engine.session.sparkContext.defaultParallelism
        chunks = row_ranges(0, rows.num_rows, job.config.serving.chunk)
        for first, last in row_ranges(0, len(missing), at_once):
            wave = missing[first:last]
            wave_predictions = self._share({number: predictions.slice(*chunks[number]) for number in wave})
            with explain_write_errors(job):
                remove_folder(run.folder / WORKER_FOLDER)
                (run.folder / WORKER_FOLDER).mkdir(mode=0o700)
            folder = str((run.folder / WORKER_FOLDER).resolve())
            work = partial(spark_worker.explain_batches, parcel=parcel, predictions=wave_predictions, folder=folder)
            for number, facts in self._run(work, self._chunks(job, rows, wave)):
                with explain_write_errors(job):
                    _move_worker_files(facts, run.folder)
                    step = run.record_step(f"chunk {number}", **facts)
                yield number, step
            wave_predictions.destroy()
        with explain_write_errors(job):
            remove_folder(run.folder / WORKER_FOLDER)

    def _run(self, work: partial[Iterator[pa.RecordBatch]], frame: DataFrame) -> list[tuple[int, dict[str, Any]]]:
        """Return what workers report of each chunk, in ascending order."""
        try:
            rows = frame.mapInArrow(work, "chunk bigint, told string").toArrow().sort_by("chunk")
        except SPARK_ERRORS as problem:
            raise DataError(f"while explaining: {worker_error(problem)}") from None
        return [(row["chunk"], json.loads(row["told"])) for row in rows.to_pylist()]

    def _chunks(self, job: ScoringJob, rows: ParquetRows, wave: Sequence[int]) -> DataFrame:
        """Return the rows of some chunks; one task gets all rows of a chunk, in order."""
        size = job.config.serving.chunk
        frame = self._frame(rows, wave[0] * size, min((wave[-1] + 1) * size, rows.num_rows))
        chunked = frame.withColumn(CHUNK, F.floor(F.col(_quoted(spark_worker.ROW_NUMBER)) / F.lit(size)).cast("bigint"))
        wanted = chunked.filter(F.col(_quoted(CHUNK)).isin(list(wave)))
        return wanted.repartition(len(wave), F.col(_quoted(CHUNK))).sortWithinPartitions(
            _quoted(spark_worker.ROW_NUMBER)
        )

    def _frame(self, rows: ParquetRows, start: int, stop: int) -> DataFrame:
        """Return the features of the rows [start, stop) with their row numbers."""
        firsts: dict[Path, int] = {}
        lasts: dict[Path, int] = {}
        for number, (file, _) in enumerate(rows.groups):
            firsts.setdefault(file, rows.starts[number])
            lasts[file] = rows.starts[number + 1]
        read = {file: first for file, first in firsts.items() if first < stop and lasts[file] > start}
        file_starts = F.create_map(*(F.lit(part) for file, first in read.items() for part in (file.name, first)))
        row_number = file_starts[F.col("_metadata.file_name")] + F.col("_metadata.row_index")
        frame = self.engine.session.read.parquet(*map(escaped_path, read)).withColumn(
            spark_worker.ROW_NUMBER, row_number.cast("bigint")
        )
        at = F.col(_quoted(spark_worker.ROW_NUMBER))
        return frame.filter((at >= start) & (at < stop))

    def _share(self, value: Any) -> Broadcast[Any]:
        self.engine.send_packages(*SENT_PACKAGES)
        return self.engine.session.sparkContext.broadcast(value)


def worker_error(problem: Exception) -> str:
    r"""Return in one line what went wrong: the error that a worker raised, or else the first line of Spark's message.

    >>> worker_error(ValueError("An exception was thrown\nTraceback:\n  ...\nOSError: disk full\n"))
    'OSError: disk full'
    """
    lines = str(problem).strip().splitlines()
    raised = [line for line in lines if RAISED.fullmatch(line)]
    return raised[0] if raised else lines[0]


def _serialized_scorer(job: ScoringJob, rows: ParquetRows) -> spark_worker.SerializedScorer:
    scorer, first = job.scorer, rows.groups[0][0]
    return spark_worker.SerializedScorer(
        digest=scorer.bundle.digest,
        texts=spark_worker.model_texts(scorer.bundle),
        features=tuple(replace(feature, compute=itemgetter(feature.name)) for feature in scorer.features),
        labels=scorer.labels,
        reasons=scorer.reasons,
        targets=scorer.targets,
        columns=pq.read_schema(first).remove_metadata(),
        chunk=job.config.serving.chunk,
    )


def _move_worker_files(facts: dict[str, Any], folder: Path) -> None:
    """Move the files that a worker wrote to the run's folder.

    Raises:
        UsageError: A file is missing.
    """
    worker_folder = folder / WORKER_FOLDER / facts.pop("folder")
    for file in facts["files"]:
        if not (worker_folder / file).is_file():
            raise UsageError(
                f"a worker of Spark wrote {file} into {worker_folder}, but the driver does not find it: "
                "expected [serving] output on a disk that every machine of the cluster mounts under the same name"
            )
        (folder / file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (worker_folder / file).replace(folder / file)
    shutil.rmtree(worker_folder)


def _quoted(name: str) -> str:
    return f"`{name}`"
