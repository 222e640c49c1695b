"""The part of a scoring run that Spark's workers execute; it needs neither MLflow nor the engines.

A worker loads the model once for all its tasks. It writes the files of each chunk into a folder of its own, from which
the driver moves them, so a task that ran twice leaves nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
import pyarrow as pa

from features.feature import Feature
from serving.scoring.chunks import BLOCK_ROWS, CohortPredictions, Scorer, write_chunk
from training.artifact.bundle import ModelBundle

ROW_NUMBER = "row place"  # the column of row numbers
_LOADED: dict[str, ModelBundle] = {}


class BroadcastValue(Protocol):
    """A value that Spark sends to every worker once (`pyspark.Broadcast`)."""

    @property
    def value(self) -> Any:
        """The value."""


@dataclass(frozen=True)
class SerializedScorer:
    """A scorer in a form that can be sent to workers.

    Attributes:
        digest: The digest of the model.
        texts: The text of the model's files by name.
        features, labels, reasons, targets: As in `Scorer`.
        columns: The schema of the feature table.
        chunk: The number of customers in a chunk.
    """

    digest: str
    texts: Mapping[str, str]
    features: tuple[Feature, ...]
    labels: Mapping[str, str]
    reasons: int
    targets: tuple[str, ...]
    columns: pa.Schema
    chunk: int

    def scorer(self) -> Scorer:
        """Return the scorer; each process loads its model once.

        Raises:
            BundleError: The model's files are not those that were sent.
        """
        if self.digest not in _LOADED:
            with TemporaryDirectory() as folder:
                for name, text in self.texts.items():
                    (Path(folder) / name).write_text(text, encoding="utf-8")
                _LOADED[self.digest] = ModelBundle.load(Path(folder))
        return Scorer(_LOADED[self.digest], self.features, self.labels, self.reasons, self.targets)


def model_texts(bundle: ModelBundle) -> dict[str, str]:
    """Return the text of a model's files by name, as `ModelBundle.save` writes them."""
    with TemporaryDirectory() as folder:
        return {file.name: file.read_text(encoding="utf-8") for file in bundle.save(Path(folder)).iterdir()}


def predict_batches(batches: Iterable[pa.RecordBatch], parcel: BroadcastValue) -> Iterator[pa.RecordBatch]:
    """Run the first pass: yield each row's number and the predictions of `Scorer.predict`."""
    sent: SerializedScorer = parcel.value
    for places, rows in _numbered_rows(batches, sent.columns):
        yield from pa.table({ROW_NUMBER: places, **sent.scorer().predict(rows)}).to_batches()


def explain_batches(
    batches: Iterable[pa.RecordBatch], parcel: BroadcastValue, predictions: BroadcastValue, folder: str
) -> Iterator[pa.RecordBatch]:
    """Run the second pass: explain complete chunks, in the order of their rows, and write their files.

    Args:
        batches: The features and row numbers of the chunks' customers.
        parcel: The scorer, as `SerializedScorer`.
        predictions: The `CohortPredictions` of each chunk, by its number.
        folder: The folder in which each chunk gets a folder for its files.

    Yields:
        chunk, and `told`: as JSON the folder of its files and what `write_chunk` returns.
    """
    sent: SerializedScorer = parcel.value
    for chunk, blocks in groupby(_blocks(_numbered_rows(batches, sent.columns), sent.chunk), lambda block: block[0]):
        task_folder = Path(folder) / uuid4().hex
        task_folder.mkdir(mode=0o700)
        chunk_predictions: CohortPredictions = predictions.value[chunk]
        facts = write_chunk(sent.scorer(), (rows for _, rows in blocks), chunk_predictions, task_folder, chunk)
        text = json.dumps({"folder": task_folder.name, **facts})
        yield pa.record_batch({"chunk": pa.array([chunk]), "told": pa.array([text])})


def _numbered_rows(batches: Iterable[pa.RecordBatch], columns: pa.Schema) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Yield row numbers (n,) and features of each batch that is not empty."""
    for batch in batches:
        if batch.num_rows:
            rows = pa.Table.from_batches([batch])
            yield rows[ROW_NUMBER].to_numpy(), rows.select(columns.names).cast(columns)


def _blocks(pieces: Iterable[tuple[np.ndarray, pa.Table]], chunk: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield the chunk number and the rows of each block; all but the last of a chunk have BLOCK_ROWS customers."""
    for (number, _), inside in groupby(_cut_at_blocks(pieces, chunk), lambda piece: piece[0]):
        yield number, pa.concat_tables([rows for _, rows in inside]).combine_chunks()


def _cut_at_blocks(
    pieces: Iterable[tuple[np.ndarray, pa.Table]], chunk: int
) -> Iterator[tuple[tuple[int, int], pa.Table]]:
    """Cut rows where a new chunk or block begins; yield the numbers of both with the rows."""
    for places, rows in pieces:
        keys = np.stack([places // chunk, places % chunk // BLOCK_ROWS])
        ends = [*(np.flatnonzero((np.diff(keys) != 0).any(axis=0)) + 1), len(places)]
        for start, end in zip([0, *ends], ends, strict=False):
            yield (int(keys[0, start]), int(keys[1, start])), rows.slice(start, end - start)
