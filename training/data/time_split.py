"""Folds forward in time, with an embargo of one horizon between the last training label and the test cutoff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import DataError
from features.snapshots.build import KEYS, Snapshots
from features.task import RETURN_LABELS, Window
from training.data.heavy_values import LABELS, value_limits

YEAR, NEAR = Window(365), Window(20)
MIN_PER_OUTCOME = 10


@dataclass(frozen=True)
class Fold:
    """Training cutoffs and a later test cutoff; every training label ends by the test cutoff."""

    train: tuple[date, ...]
    test: date


@dataclass(frozen=True)
class TimeSplit:
    """How a log's mature cutoffs are used.

    Attributes:
        folds: For tuning; their labels end by the calibration cutoff. Empty if the log is too short.
        calibration: For probabilities, level and intervals of the evaluated model; its labels end by the last cutoff.
        test: The last cutoff, for the final evaluation only.
        all_cutoffs: What the final model is fitted on, after the evaluation.
    """

    folds: tuple[Fold, ...]
    calibration: Fold | None
    test: Fold
    all_cutoffs: tuple[date, ...]

    @property
    def shortfall(self) -> str:
        """What had to be left out because the log is short, in words; empty if nothing."""
        if self.calibration is None:
            return (
                "the log is too short to calibrate the evaluated model and to tune: the evaluated model is "
                "uncalibrated, and default parameters are used"
            )
        return "" if self.folds else "the log is too short for tuning on earlier cutoffs: default parameters are used"


@dataclass(frozen=True)
class ReturnTimes:
    """When customers purchased first after their cutoff, and how often within the horizon.

    Attributes:
        days: Days to the first purchase (n,), 0 on the cutoff's day; NaN if none was seen.
        orders: Purchases within the horizon (n,).
        seen: For how many days after the cutoff a first purchase would have been seen (n,), at most two horizons.
    """

    days: np.ndarray
    orders: np.ndarray
    seen: np.ndarray

    def take(self, mask: np.ndarray) -> ReturnTimes:
        """The rows where `mask` (n,) holds."""
        return ReturnTimes(self.days[mask], self.orders[mask], self.seen[mask])


@dataclass(frozen=True)
class Sample:
    """Rows of some cutoffs: features (n, p) in Arrow, labels (n,) in NumPy.

    Attributes:
        customers: Customer ids (n,).
        dates: Cutoffs (n,), as days since 1970-01-01.
        features: The feature table (n rows).
        churned: 1.0 if the customer churned within the horizon, else 0.0.
        value: Net amount within the horizon; a heavy one is capped (`heavy_values`).
        longer: Net amount within each longer horizon by column, such as 'value_180d'; NaN if not mature.
        returns: When they purchased first; None for contracts.
    """

    customers: pa.ChunkedArray
    dates: np.ndarray
    features: pa.Table
    churned: np.ndarray
    value: np.ndarray
    longer: dict[str, np.ndarray] = field(default_factory=dict)
    returns: ReturnTimes | None = None

    def __len__(self) -> int:
        return len(self.churned)

    def column(self, name: str) -> np.ndarray:
        """One feature as floats, NaN where null."""
        return self.features[name].to_numpy().astype(float)

    @property
    def spend(self) -> np.ndarray:
        """Value (n,), not below 0: what the value model predicts."""
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
            self.returns and self.returns.take(mask),
        )


def time_splits(cutoffs: Sequence[date], horizon: Window, most_folds: int = 3) -> TimeSplit:
    """Splits the mature cutoffs: the last for the test, one a horizon earlier for calibration, earlier ones for tuning.

    Args:
        cutoffs: Mature cutoffs, in any order.
        horizon: Of the labels.
        most_folds: Most tuning folds, a horizon apart, the latest first.

    Returns:
        The split.

    Raises:
        DataError: No two cutoffs are a horizon apart.

    >>> months = [date(2024, m, 1) for m in range(1, 8)]
    >>> s = time_splits(months, Window(30))
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
    folds = _folds_backwards(ordered, calibration.train[-1], horizon, most_folds) if calibration else []
    return TimeSplit(tuple(folds), calibration, test, tuple(ordered))


def out_of_time_folds(cutoffs: Sequence[date], horizon: Window, most: int = 3) -> tuple[Fold, ...]:
    """Folds for out-of-time predictions: the test cutoffs are the newest one and earlier ones a horizon apart.

    If the log is long enough, another test cutoff lies a year before the next cutoff, so it has the season for which
    the models will be used.

    Args:
        cutoffs: Mature cutoffs, in any order.
        horizon: Of the labels.
        most: Most folds, not counting the one a year before.

    Returns:
        The folds, the latest first, then the one a year before.

    >>> months = [date(2023, 1, 1) + Window(30).delta * n for n in range(15)]
    >>> [str(f.test) for f in out_of_time_folds(months, Window(60), most=2)]
    ['2024-02-25', '2023-12-27', '2023-05-01']
    """
    ordered = sorted(set(cutoffs))
    folds = _folds_backwards(ordered, ordered[-1], horizon, most)
    year_ago = ordered[-1] + horizon.delta - YEAR.delta
    near = min(ordered, key=lambda c: abs(c - year_ago))
    season = fold_at(ordered, near, horizon) if abs((near - year_ago).days) <= NEAR.days else None
    return tuple(folds) + ((season,) if season and season not in folds else ())


def recency_weights(dates: np.ndarray, horizon: Window, half_life: float) -> np.ndarray:
    """Weights of rows by the age of their cutoffs.

    Args:
        dates: Cutoffs (n,) in days.
        horizon: Of the labels.
        half_life: In horizons: the weight halves for each such time before the newest cutoff.

    Returns:
        Weights (n,) in (0, 1].
    """
    return 0.5 ** ((dates.max() - dates) / (half_life * horizon.days))


def _folds_backwards(cutoffs: Sequence[date], latest: date, horizon: Window, most: int) -> list[Fold]:
    """Folds from the latest test cutoff backwards, each at least a horizon before the one after it."""
    folds: list[Fold] = []
    while len(folds) < most and (fold := fold_at(cutoffs, latest, horizon)):
        folds.append(fold)
        latest = fold.train[-1]
    return folds


def fold_at(cutoffs: Sequence[date], test: date, horizon: Window) -> Fold | None:
    """A test cutoff with the training cutoffs whose labels end by it.

    Args:
        cutoffs: The cutoffs to choose from.
        test: The test cutoff.
        horizon: Of the labels.

    Returns:
        The fold, or None if no training cutoff is early enough.
    """
    train = tuple(c for c in cutoffs if c + horizon.delta <= test)
    return Fold(train, test) if train else None


def training_sample(snapshots: Snapshots, fold: Fold) -> Sample:
    """The rows of a fold's training cutoffs, with their labels as known at its test cutoff."""
    return sample_at(snapshots.as_known(fold.test), fold.train)


def sample_at(snapshots: Snapshots, cutoffs: Sequence[date]) -> Sample:
    """The rows of some mature cutoffs as a sample, with their labels as known by `snapshots.known_by`.

    Values that outweigh all others are taken for the largest of the others (`heavy_values`).

    Raises:
        ValueError: A label is null.
    """
    return _sample(snapshots, cutoffs, snapshots.names)


def outcomes_at(snapshots: Snapshots, cutoffs: Sequence[date]) -> Sample:
    """As `sample_at`, without features: these take most of the time and memory."""
    return _sample(snapshots, cutoffs, [])


def _sample(snapshots: Snapshots, cutoffs: Sequence[date], names: Sequence[str]) -> Sample:
    limits = value_limits(snapshots)
    moments = pa.array([datetime(c.year, c.month, c.day) for c in cutoffs], pa.timestamp("us"))  # noqa: DTZ001 (UTC)
    wanted = {*KEYS, *names, *LABELS, *snapshots.task.longer, *RETURN_LABELS}
    columns = snapshots.rows.select([name for name in snapshots.rows.column_names if name in wanted])
    rows = snapshots.labelled(columns.filter(pc.is_in(columns["cutoff"], moments)))
    if rows["churned"].null_count:
        raise ValueError(f"some of {', '.join(map(str, cutoffs))} are not mature: their labels are null")
    dates = rows["cutoff"].to_numpy().astype("datetime64[D]").astype(np.int64)
    return Sample(
        customers=rows["customer_id"],
        dates=dates,
        features=rows.select(names),
        churned=rows["churned"].to_numpy().astype(float),
        value=np.minimum(rows["value"].fill_null(0.0).to_numpy().astype(float), limits["value"]),
        longer={name: np.minimum(rows[name].to_numpy().astype(float), limits[name]) for name in snapshots.task.longer},
        returns=_return_times(rows, dates, snapshots),
    )


def _return_times(rows: pa.Table, dates: np.ndarray, snapshots: Snapshots) -> ReturnTimes | None:
    if snapshots.task.contractual or any(name not in rows.column_names for name in RETURN_LABELS):
        return None
    known_by = min(snapshots.labels_end, snapshots.known_by or snapshots.labels_end)
    days, orders = (rows[name].to_numpy().astype(float) for name in RETURN_LABELS)
    seen = np.minimum((known_by - date(1970, 1, 1)).days - dates, 2 * snapshots.task.horizon.days)
    return ReturnTimes(days, orders, seen)


def customer_halves(rows: Sample) -> tuple[tuple[Sample, Sample], ...]:
    """Two halves of the customers as (first, second) and (second, first); all rows of a customer are in one half."""
    half = np.unique(rows.customers.to_numpy(zero_copy_only=False), return_inverse=True)[1] % 2 == 0
    return tuple((rows.take(side), rows.take(~side)) for side in (half, ~half))


def why_too_few(train: Sample, truth: Sample, money: bool) -> str:
    """Says why a fold is too small to fit and evaluate models.

    Both sides need some churned and some retained customers and, for value, some spend.

    Args:
        train: The rows to learn from.
        truth: The rows to evaluate on.
        money: Whether value is predicted, too.

    Returns:
        The reason in words; empty if the fold is large enough.
    """
    for rows, use in ((train, "to learn from"), (truth, "to evaluate on")):
        left, stayed = int(rows.churned.sum()), int((rows.churned == 0).sum())
        if min(left, stayed) < MIN_PER_OUTCOME:
            return (
                f"{left:,} churned and {stayed:,} stayed among the rows {use}, "
                f"at least {MIN_PER_OUTCOME} of each are needed"
            )
        if money and not rows.spend[rows.churned == 0].sum() > 0:
            return f"nobody among the rows {use} spent more than was refunded"
    return ""
