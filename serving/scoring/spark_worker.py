"""What Spark's workers run of a scoring run: a module of its own, so that they need neither MLflow nor our engines.

A worker loads the model once, however many tasks it is given, and writes the files of each chunk into a folder that no
other task has, from which the driver takes them: a task that ran twice leaves nothing double.
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

ROW_NUMBER = "row place"  # the column that says where a row stands among all
_LOADED: dict[str, ModelBundle] = {}


class BroadcastValue(Protocol):
    """What Spark brought to an executor once (`pyspark.Broadcast`)."""

    @property
    def value(self) -> Any:
        """What was brought."""


@dataclass(frozen=True)
class SerializedScorer:
    """A scorer on its way to the workers.

    Attributes:
        digest: Of the model.
        texts: The model's files by name.
        features, labels, reasons, kinds: As `Scorer` has them.
        columns: The types of the features' table.
        chunk: Customers of one.
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
        """The scorer, whose model this process has loaded once.

        Raises:
            BundleError: The model is not the one that was sent.
        """
        if self.digest not in _LOADED:
            with TemporaryDirectory() as folder:
                for name, text in self.texts.items():
                    (Path(folder) / name).write_text(text, encoding="utf-8")
                _LOADED[self.digest] = ModelBundle.load(Path(folder))
        return Scorer(_LOADED[self.digest], self.features, self.labels, self.reasons, self.targets)


def model_texts(bundle: ModelBundle) -> dict[str, str]:
    """A model's files by name, as `ModelBundle.save` writes them."""
    with TemporaryDirectory() as folder:
        return {file.name: file.read_text(encoding="utf-8") for file in bundle.save(Path(folder)).iterdir()}


def predict_batches(batches: Iterable[pa.RecordBatch], parcel: BroadcastValue) -> Iterator[pa.RecordBatch]:
    """The first pass: each row's place, and what `Scorer.predict` says of it."""
    sent: SerializedScorer = parcel.value
    for places, rows in _read(batches, sent.columns):
        yield from pa.table({ROW_NUMBER: places, **sent.scorer().predict(rows)}).to_batches()


def explain_batches(
    batches: Iterable[pa.RecordBatch], parcel: BroadcastValue, standings: BroadcastValue, folder: str
) -> Iterator[pa.RecordBatch]:
    """The second pass over whole chunks, in the order of their rows: writes their files.

    Args:
        batches: The features and places of their customers.
        parcel: By what.
        standings: Of each chunk's customers, by its number.
        folder: Where the folders go in which the files are.

    Yields:
        chunk, and as JSON the folder of its files and what `write_chunk` returns.
    """
    sent: SerializedScorer = parcel.value
    for chunk, blocks in groupby(_blocks(_read(batches, sent.columns), sent.chunk), lambda block: block[0]):
        own = Path(folder) / uuid4().hex
        own.mkdir(mode=0o700)
        standing: CohortPredictions = standings.value[chunk]
        made = write_chunk(sent.scorer(), (rows for _, rows in blocks), standing, own, chunk)
        told = json.dumps({"folder": own.name, **made})
        yield pa.record_batch({"chunk": pa.array([chunk]), "told": pa.array([told])})


def _read(batches: Iterable[pa.RecordBatch], columns: pa.Schema) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Places (n,) and features of each batch that has rows."""
    for batch in batches:
        if batch.num_rows:
            rows = pa.Table.from_batches([batch])
            yield rows[ROW_NUMBER].to_numpy(), rows.select(columns.names).cast(columns)


def _blocks(pieces: Iterable[tuple[np.ndarray, pa.Table]], chunk: int) -> Iterator[tuple[int, pa.Table]]:
    """The chunk and the rows of each block: of BLOCK customers, but for the last of a chunk."""
    for (number, _), inside in groupby(_cut(pieces, chunk), lambda piece: piece[0]):
        yield number, pa.concat_tables([rows for _, rows in inside]).combine_chunks()


def _cut(pieces: Iterable[tuple[np.ndarray, pa.Table]], chunk: int) -> Iterator[tuple[tuple[int, int], pa.Table]]:
    """Rows cut wherever another chunk or block begins, with the numbers of both."""
    for places, rows in pieces:
        keys = np.stack([places // chunk, places % chunk // BLOCK_ROWS])
        ends = [*(np.flatnonzero((np.diff(keys) != 0).any(axis=0)) + 1), len(places)]
        for start, end in zip([0, *ends], ends, strict=False):
            yield (int(keys[0, start]), int(keys[1, start])), rows.slice(start, end - start)
