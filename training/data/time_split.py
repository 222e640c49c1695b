"""Folds forward in time, with an embargo of one horizon between the last training label and the test cutoff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import DataError
from features.snapshots.build import Snapshots
from features.task import Window

YEAR, NEAR = Window(365), Window(20)
MIN_PER_OUTCOME = 10


@dataclass(frozen=True)
class Fold:
    """Cutoffs to learn from and a later one to judge on; every training label ends by the test cutoff."""

    train: tuple[date, ...]
    test: date


@dataclass(frozen=True)
class TimeSplit:
    """How a log's mature cutoffs are used.

    Attributes:
        folds: For tuning; their labels end by the calibration cutoff. Empty where the log is too short.
        calibration: For probabilities, level and intervals of the judged model; its labels end by the last cutoff.
        test: The last cutoff, for the final figures only.
        all_cutoffs: What the shipped model learns from, once it has been judged.
    """

    folds: tuple[Fold, ...]
    calibration: Fold | None
    test: Fold
    all_cutoffs: tuple[date, ...]

    @property
    def shortfall(self) -> str:
        """What a short log left out, in words; empty if nothing."""
        if self.calibration is None:
            return "the log is too short for a calibration cutoff and for tuning: defaults are used, uncalibrated"
        return "" if self.folds else "the log is too short for tuning on earlier cutoffs: default parameters are used"


@dataclass(frozen=True)
class Sample:
    """Rows of some cutoffs: features (n, p) in Arrow, and their labels (n,) in numpy.

    Attributes:
        dates: Cutoffs, as days since 1970-01-01.
        churned: 1.0 where there was no purchase within the horizon.
        value: Net amount within the horizon.
        longer: The same over each longer horizon, by column such as 'value_180d'; NaN where it is not mature.
    """

    customers: pa.ChunkedArray
    dates: np.ndarray
    features: pa.Table
    churned: np.ndarray
    value: np.ndarray
    longer: dict[str, np.ndarray] = field(default_factory=dict)

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
        return Sample(
            self.customers.filter(keep),
            self.dates[mask],
            self.features.filter(keep),
            self.churned[mask],
            self.value[mask],
            {name: values[mask] for name, values in self.longer.items()},
        )


def time_splits(cutoffs: Sequence[date], horizon: Window, most_folds: int = 3) -> TimeSplit:
    """Shares the mature cutoffs out: the last to judge, one a horizon earlier to calibrate, earlier ones to tune.

    Args:
        cutoffs: Mature cutoffs, in any order.
        horizon: Of the labels.
        most_folds: Tuning folds at most, a horizon apart, the latest first.

    Raises:
        DataError: No cutoff can be judged by an earlier one.

    >>> months = [date(2024, m, 1) for m in range(1, 8)]
    >>> s = split_cutoffs(months, Window(30))
    >>> str(s.test.test), str(s.calibration.test), [str(f.test) for f in s.folds]
    ('2024-07-01', '2024-06-01', ['2024-05-01', '2024-04-01', '2024-03-01'])
    """
    ordered = sorted(set(cutoffs))
    test = fold_at(ordered, ordered[-1], horizon) if ordered else None
    if test is None:
        raise DataError(
            f"training needs two cutoffs at least a horizon ({horizon}) apart with their labels known, found "
            f"{', '.join(map(str, ordered)) or 'none'}; give a longer log or a shorter [task] horizon"
        )
    calibration = fold_at(ordered, test.train[-1], horizon)
    folds = _back(ordered, calibration.train[-1], horizon, most_folds) if calibration else []
    return TimeSplit(tuple(folds), calibration, test, tuple(ordered))


def out_of_time_folds(cutoffs: Sequence[date], horizon: Window, most: int = 3) -> tuple[Fold, ...]:
    """Later cutoffs to be heard before models of these cutoffs are shipped: the newest, then a horizon apart.

    Where the log is long enough, one more lies a year before the cutoff that comes next: it has the season that the
    models are shipped for.

    >>> months = [date(2023, 1, 1) + Window(30).delta * n for n in range(15)]
    >>> [str(f.test) for f in out_of_time_folds(months, Window(60), most=2)]
    ['2024-02-25', '2023-12-27', '2023-05-01']
    """
    ordered = sorted(set(cutoffs))
    found = _back(ordered, ordered[-1], horizon, most)
    year_ago = ordered[-1] + horizon.delta - YEAR.delta
    near = min(ordered, key=lambda c: abs(c - year_ago))
    season = fold_at(ordered, near, horizon) if abs((near - year_ago).days) <= NEAR.days else None
    return tuple(found) + ((season,) if season and season not in found else ())


def fold_ages(folds: Sequence[Fold], cutoffs: Sequence[date], horizon: Window) -> list[float]:
    """How many horizons each fold's later cutoff lies further back than it must; its season, a year ago, counts as new.

    >>> folds = [Fold((), date(2024, 2, 1)), Fold((), date(2023, 4, 2)), Fold((), date(2023, 12, 3))]
    >>> fold_ages(folds, [date(2024, 2, 1)], Window(60))
    [0.0, 0.0, 1.0]
    """
    newest = max(cutoffs)
    seasonal = newest + horizon.delta - YEAR.delta
    back = [min((newest - f.test).days, abs((seasonal - f.test).days)) for f in folds]
    return [days / horizon.days if days > NEAR.days else 0.0 for days in back]


def same_season(folds: Sequence[Fold], cutoffs: Sequence[date], horizon: Window) -> list[bool]:
    """Whether each fold's later cutoff lies whole years before the cutoff that comes next, so has the same season.

    >>> folds = [Fold((), date(2024, 2, 1)), Fold((), date(2023, 4, 2)), Fold((), date(2023, 12, 3))]
    >>> same_season(folds, [date(2024, 2, 1)], Window(60))
    [False, True, False]
    """
    following = max(cutoffs) + horizon.delta
    apart = [(following - fold.test).days for fold in folds]
    return [
        days + NEAR.days >= YEAR.days and abs((days + NEAR.days) % YEAR.days - NEAR.days) <= NEAR.days for days in apart
    ]


def recency_weights(dates: np.ndarray, horizon: Window, half: float) -> np.ndarray:
    """Weights (n,) of rows by the days of their cutoffs (n,): halved for every `half` horizons before the newest."""
    return 0.5 ** ((dates.max() - dates) / (half * horizon.days))


def _back(cutoffs: Sequence[date], latest: date, horizon: Window, most: int) -> list[Fold]:
    """Folds from the latest cutoff back, each a horizon or more before the one after it."""
    found: list[Fold] = []
    while len(found) < most and (fold := fold_at(cutoffs, latest, horizon)):
        found.append(fold)
        latest = fold.train[-1]
    return found


def fold_at(cutoffs: Sequence[date], test: date, horizon: Window) -> Fold | None:
    """A cutoff with those whose labels end by it; None where there are none."""
    train = tuple(c for c in cutoffs if c + horizon.delta <= test)
    return Fold(train, test) if train else None


def sample_at(snapshots: Snapshots, cutoffs: Sequence[date]) -> Sample:
    """The rows of some mature cutoffs as a sample; raises ValueError where a label is not there."""
    moments = pa.array([datetime(c.year, c.month, c.day) for c in cutoffs], pa.timestamp("us"))  # noqa: DTZ001 (UTC)
    rows = snapshots.rows.filter(pc.is_in(snapshots.rows["cutoff"], moments))
    if rows["churned"].null_count:
        raise ValueError(f"some of {', '.join(map(str, cutoffs))} are not mature: their labels are null")
    return Sample(
        customers=rows["customer_id"],
        dates=rows["cutoff"].to_numpy().astype("datetime64[D]").astype(np.int64),
        features=rows.select(snapshots.names),
        churned=rows["churned"].to_numpy().astype(float),
        value=rows["value"].fill_null(0.0).to_numpy().astype(float),
        longer={name: rows[name].to_numpy().astype(float) for name in snapshots.task.longer},
    )


def customer_halves(rows: Sample) -> tuple[tuple[Sample, Sample], ...]:
    """Each half of the customers beside the other, all rows of a customer in one."""
    half = np.unique(rows.customers.to_numpy(zero_copy_only=False), return_inverse=True)[1] % 2 == 0
    return tuple((rows.take(side), rows.take(~side)) for side in (half, ~half))


def why_too_few(train: Sample, truth: Sample, money: bool) -> str:
    """Why nothing can be learned from some rows or judged on others, in words; empty where it can.

    A few customers of either fate are needed in both, and someone who spent something.
    """
    for rows, use in ((train, "to learn from"), (truth, "to judge on")):
        left, stayed = int(rows.churned.sum()), int((rows.churned == 0).sum())
        if min(left, stayed) < MIN_PER_OUTCOME:
            return (
                f"{left:,} churned and {stayed:,} stayed among the rows {use}, "
                f"at least {MIN_PER_OUTCOME} of each are needed"
            )
        if money and not rows.spend[rows.churned == 0].sum() > 0:
            return f"nobody among the rows {use} spent more than was refunded"
    return ""
