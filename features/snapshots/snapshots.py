"""Snapshots: the features and labels of customers at cutoffs, and their labels as known at an earlier cutoff."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from features.engines.base import Engine
from features.feature import Feature
from features.label_delay import NO_LABEL_DELAY, LabelDelay
from features.snapshots.label_revisions import Revisions, labels_as_known
from features.snapshots.training_rows import RowChoice
from features.task import Task, Window


@dataclass(frozen=True)
class Snapshots:
    """One row a customer and cutoff: customer_id, cutoff, the features, the shares, then the labels if wanted.

    Shares are no features: they say how contributions are handed on (`Family.shares`). The labels are
    churned and value, then the value over each longer horizon, such as value_180d, then return_days and return_orders.

    Attributes:
        rows: Sorted by cutoff and customer_id; features are float64, or text if their unit is 'level'; labels are null
            where immature.
        features: The features, in the order of their columns.
        task: The task they belong to.
        fingerprint: Of the data, the task, the names of the features and the file of custom features.
        data_fingerprint: Of the data alone.
        end: First day about which the log says nothing: the newest cutoff that can be scored.
        reused: How many cutoffs were read from the cache; their bits equal those of a fresh build.
        own: The digest of the file of custom features; empty if there is none.
        touched: How many rows were left out because of contacts within their labels' interval.
        label_delay: How long labels wait for late rows.
        revisions: The labels that were other ones at an earlier cutoff, because rows were not known yet.
        choice: Which of the log's rows these are; None: all of the cutoffs that were asked for.
        known_by: The labels are to be taken as known before this cutoff (`as_known`); None: as known now.
        spans: Further horizons of value labels (`Task.value_labels`).
    """

    rows: pa.Table
    features: tuple[Feature, ...]
    task: Task
    fingerprint: str
    data_fingerprint: str
    end: date
    reused: int = 0
    own: str = ""
    touched: int = 0
    label_delay: LabelDelay = NO_LABEL_DELAY
    revisions: Revisions = ()
    choice: RowChoice | None = None
    known_by: date | None = None
    spans: tuple[Window, ...] = ()

    @property
    def labels_end(self) -> date:
        """First day about which rows may still arrive: labels mature up to it."""
        return self.end - timedelta(days=self.label_delay.wait)

    def as_known(self, cutoff: date) -> Snapshots:
        """The snapshots as somebody had them at a cutoff; what was asked for an earlier one stays so."""
        return replace(self, known_by=min(cutoff, self.known_by or cutoff))

    def labelled(self, rows: pa.Table) -> pa.Table:
        """Some of the rows with their labels as known by `known_by`; raises ValueError if that is no cutoff."""
        if self.known_by is None:
            return rows
        if self.revisions and self.known_by not in self.cutoffs:
            raise ValueError(f"{self.known_by} is none of the cutoffs, so what was known by then was not kept")
        return labels_as_known(rows, self.revisions, self.task, self.known_by, self.spans)

    @property
    def names(self) -> list[str]:
        """The feature columns."""
        return [feature.name for feature in self.features]

    @property
    def cutoffs(self) -> list[date]:
        """The cutoffs of the rows, ascending."""
        return sorted(moment.date() for moment in self.rows["cutoff"].unique().to_pylist())

    def to_pandas(self) -> Any:
        """The rows as a DataFrame."""
        return self.rows.to_pandas()


@dataclass(frozen=True)
class PreparedFeatures:
    """A log that was read, and facts about the features of a cutoff that are not built yet.

    Attributes:
        features: The features, in the order of their columns.
        fingerprint: As in `Snapshots`.
        data_fingerprint: As in `Snapshots`.
        own: As in `Snapshots`.
        write: Builds the rows of `Snapshots` without labels into Parquet at a path that does not exist: one file with
            DuckDB, a folder of parts with Spark. Collects nothing.
        engine: Where the log was read.
    """

    features: tuple[Feature, ...]
    fingerprint: str
    data_fingerprint: str
    own: str
    write: Callable[[Path], None]
    engine: Engine


def features_fingerprint(data: str, task: Task, features: Sequence[Feature], own: str) -> str:
    """A digest of what decides the features.

    Args:
        data: The fingerprint of the data.
        task: The task.
        features: The features, in order.
        own: The digest of the file of custom features.

    Returns:
        The digest.
    """
    names = [feature.name for feature in features]
    return short_digest(json.dumps({"data": data, "task": repr(task), "features": names, "own": own}))


def short_digest(text: str) -> str:
    """The first 16 digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
