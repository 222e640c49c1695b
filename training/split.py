"""Folds forward in time, with an embargo of one horizon between the last training label and the test cutoff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import DataError
from features.snapshots import Snapshots
from features.task import Window


@dataclass(frozen=True)
class Fold:
    """Cutoffs to learn from and a later one to judge on; every training label ends by the test cutoff."""

    train: tuple[date, ...]
    test: date


@dataclass(frozen=True)
class Split:
    """How a log's mature cutoffs are used.

    Attributes:
        folds: For tuning; their labels end by the calibration cutoff. Empty where the log is too short.
        calibration: For probabilities, level and intervals of the judged model; its labels end by the last cutoff.
        test: The last cutoff, for the final figures only.
        everything: What the shipped model learns from, once it has been judged.
    """

    folds: tuple[Fold, ...]
    calibration: Fold | None
    test: Fold
    everything: tuple[date, ...]

    @property
    def lesser(self) -> str:
        """What a short log left out, in words; empty if nothing."""
        if self.calibration is None:
            return "the log is too short for a calibration cutoff and for tuning: defaults are used, uncalibrated"
        return "" if self.folds else "the log is too short for tuning on earlier cutoffs: default parameters are used"


@dataclass(frozen=True)
class Sample:
    """Rows of some cutoffs: features (n, p) in Arrow, and their labels (n,) in numpy.

    Attributes:
        churned: 1.0 where there was no purchase within the horizon.
        value: Net amount within the horizon.
    """

    customers: pa.ChunkedArray
    features: pa.Table
    churned: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.churned)

    def column(self, name: str) -> np.ndarray:
        """One feature as floats, NaN where null."""
        return self.features[name].to_numpy().astype(float)

    @property
    def spend(self) -> np.ndarray:
        """Value with what went below zero raised to it: what the value model predicts."""
        return np.maximum(self.value, 0.0)

    def take(self, mask: np.ndarray) -> Sample:
        """The rows where `mask` (n,) holds."""
        keep = pa.array(mask)
        return Sample(self.customers.filter(keep), self.features.filter(keep), self.churned[mask], self.value[mask])


def split(cutoffs: Sequence[date], horizon: Window, most_folds: int = 3) -> Split:
    """Shares the mature cutoffs out: the last to judge, one a horizon earlier to calibrate, earlier ones to tune.

    Args:
        cutoffs: Mature cutoffs, in any order.
        horizon: Of the labels.
        most_folds: Tuning folds at most, a horizon apart, the latest first.

    Raises:
        DataError: No cutoff can be judged by an earlier one.

    >>> months = [date(2024, m, 1) for m in range(1, 8)]
    >>> s = split(months, Window(30))
    >>> str(s.test.test), str(s.calibration.test), [str(f.test) for f in s.folds]
    ('2024-07-01', '2024-06-01', ['2024-05-01', '2024-04-01', '2024-03-01'])
    """
    ordered = sorted(set(cutoffs))
    test = _fold(ordered, ordered[-1], horizon) if ordered else None
    if test is None:
        raise DataError(
            f"training needs two cutoffs at least a horizon ({horizon}) apart with their labels known, found "
            f"{', '.join(map(str, ordered)) or 'none'}; give a longer log or a shorter [task] horizon"
        )
    calibration = _fold(ordered, test.train[-1], horizon)
    folds: list[Fold] = []
    latest = calibration.train[-1] if calibration else None
    while latest and len(folds) < most_folds and (fold := _fold(ordered, latest, horizon)):
        folds.append(fold)
        latest = fold.train[-1]
    return Split(tuple(folds), calibration, test, tuple(ordered))


def _fold(cutoffs: Sequence[date], test: date, horizon: Window) -> Fold | None:
    train = tuple(c for c in cutoffs if c + horizon.delta <= test)
    return Fold(train, test) if train else None


def take(snapshots: Snapshots, cutoffs: Sequence[date]) -> Sample:
    """The rows of some mature cutoffs as a sample; raises ValueError where a label is not there."""
    moments = pa.array([datetime(c.year, c.month, c.day) for c in cutoffs], pa.timestamp("us"))  # noqa: DTZ001 (UTC)
    rows = snapshots.rows.filter(pc.is_in(snapshots.rows["cutoff"], moments))
    if rows["churned"].null_count:
        raise ValueError(f"some of {', '.join(map(str, cutoffs))} are not mature: their labels are null")
    return Sample(
        customers=rows["customer_id"],
        features=rows.select(snapshots.names),
        churned=rows["churned"].to_numpy().astype(float),
        value=rows["value"].fill_null(0.0).to_numpy().astype(float),
    )
