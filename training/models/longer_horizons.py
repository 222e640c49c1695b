"""What customers bring over longer horizons than the task's: gains on top of its value, so that none is ever lower.

A gain is what one horizon adds to the one before. What is predicted of it is above 0: where refunds took more than
purchases brought, all gains learned from are made smaller alike, so that their sum is what came. Members, weights,
level and intervals are found as for the task's own horizon, on the cutoffs whose longer labels are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from threadpoolctl import threadpool_limits

from features.config.load import Config
from features.snapshots.build import Snapshots
from features.task import Window
from training.artifact.bundle import Levels, LongerHorizon, ModelBundle
from training.artifact.margin import Margin
from training.data.category_levels import encode_sample, learn_levels
from training.data.time_split import (
    MIN_PER_OUTCOME,
    Fold,
    Sample,
    customer_halves,
    fold_ages,
    out_of_time_folds,
    recency_weights,
    same_season,
    sample_at,
    why_too_few,
)
from training.models.calibration import fit_level
from training.models.ensemble import PRIOR_HALF, TREES_HALF, fit_margins, predict_value_uncalibrated
from training.models.intervals import fit_spread
from training.models.linear_prior import fit_gain_prior
from training.models.spend import GainRegressor
from training.models.stacking import money_stacking_weights, weighted_sum


@dataclass(frozen=True)
class GainPredictions:
    """What models of some rows said of other customers, or of the same ones later, and what these brought.

    Attributes:
        age: See `split.ages`.
        season: See `split.in_season`.
        value: Expected over the horizon before (n,).
        gain: Logs of the expected gain (n, k) by member.
        came: Value over the longer horizon (n,), not below 0.
        more: What it added to that over the horizon before (n,).
    """

    age: float
    season: bool
    value: np.ndarray
    gain: np.ndarray
    came: np.ndarray
    more: np.ndarray


def fit_longer_horizons(
    snapshots: Snapshots, config: Config, cutoffs: Sequence[date], known_by: date, levels: Levels
) -> tuple[tuple[LongerHorizon, ...], tuple[str, ...]]:
    """A step for each longer horizon that some cutoffs can tell, and why the others are left out.

    Args:
        snapshots: With labels at all of these cutoffs.
        config: Seed and interval.
        cutoffs: What may be learned from.
        known_by: Labels that end after this day are not looked at.
        levels: Of the columns of text, as the model knows them that the steps belong to.
    """
    found: list[LongerHorizon] = []
    columns = ["value", *snapshots.task.longer]
    with threadpool_limits(1, user_api="blas"):
        for place, (column, horizon) in enumerate(snapshots.task.longer.items(), start=1):
            usable = tuple(c for c in cutoffs if c + horizon.delta <= known_by)
            why = _unlearnable(snapshots, usable, columns[place - 1], column, horizon)
            if why:
                return tuple(found), tuple(f"{name} is left out: {why}" for name in columns[place:])
            found.append(_step(snapshots, config, usable, columns[: place + 1], horizon, levels))
    return tuple(found), ()


def with_longer_horizons(
    bundle: ModelBundle | None, snapshots: Snapshots, config: Config, cutoffs: Sequence[date], known_by: date
) -> tuple[ModelBundle | None, tuple[str, ...]]:
    """A value model with its steps to longer horizons, and why some are left out; see `longer_values`."""
    if bundle is None:
        why = "the log has no money, so that there is no value"
        return None, tuple(f"{column} is left out: {why}" for column in snapshots.task.longer)
    steps, notes = fit_longer_horizons(snapshots, config, cutoffs, known_by, bundle.levels)
    return replace(bundle, longer=steps), notes


def value_over(rows: Sample, column: str) -> np.ndarray:
    """Value (n,) over the horizon of a column, 'value' or such as 'value_180d', not below 0."""
    return rows.spend if column == "value" else np.maximum(rows.longer[column], 0.0)


def nonnegative_gains(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Gains (n,) from value over one horizon to that over a longer one, not below 0, with the sum that they had.

    >>> nonnegative_gains(np.array([5.0, 5.0, 0.0]), np.array([9.0, 4.0, 6.0])).tolist()
    [3.6, 0.0, 5.4]
    """
    up = np.maximum(after - before, 0.0)
    return up * (max(float((after - before).sum()), 0.0) / max(float(up.sum()), 1e-12))


def _unlearnable(snapshots: Snapshots, usable: Sequence[date], before: str, column: str, horizon: Window) -> str:
    if not usable:
        return f"no cutoff to learn from lies {horizon} before the end of what is known"
    rows = sample_at(snapshots, usable)
    gained = nonnegative_gains(value_over(rows, before), value_over(rows, column))
    many = int((gained > 0).sum())
    return (
        ""
        if many >= MIN_PER_OUTCOME
        else f"it adds to the value of {many:,} rows, and at least {MIN_PER_OUTCOME} are needed"
    )


def _step(
    snapshots: Snapshots,
    config: Config,
    usable: Sequence[date],
    columns: Sequence[str],
    horizon: Window,
    levels: Levels,
) -> LongerHorizon:
    """The step to the last of some columns from the one before it."""
    heard = _heard(snapshots, config, usable, columns, horizon)
    rows = encode_sample(sample_at(snapshots, usable), levels)
    members = _members(rows, columns[-2], columns[-1], horizon, levels, config)
    weights, level = np.full(len(members), 1 / len(members)), fit_level((), (), ())
    if heard:
        weights = money_stacking_weights([h.gain for h in heard], [np.maximum(h.more, 0) for h in heard])
        said = [np.exp(h.gain @ weights) for h in heard]
        level = fit_level(said, [h.more for h in heard], [h.age for h in heard], [h.season for h in heard])
    else:
        heard = _apart(snapshots, config, usable, columns, horizon)
    value = [h.value + np.exp(h.gain @ weights + level.shift) for h in heard]
    spread = fit_spread(
        [np.ones_like(v) for v in value], value, [h.came for h in heard], config.serving.interval, level.error
    )
    return LongerHorizon(columns[-1], weighted_sum(members, list(weights)), level.shift, spread)


def _members(
    rows: Sample, before: str, column: str, horizon: Window, levels: Levels, config: Config
) -> tuple[Margin, ...]:
    """The prior of a gain, trees of their own, and the prior with trees that correct it; rows are encoded."""
    gained = nonnegative_gains(value_over(rows, before), value_over(rows, column))
    fresh, weight = (recency_weights(rows.dates, horizon, half) for half in (PRIOR_HALF, TREES_HALF))
    prior = fit_gain_prior(rows.features, gained, fresh)
    given = {"seed": config.training.seed, "categorical": tuple(levels)}
    return fit_margins(prior, GainRegressor, rows, gained, weight, given)


def _heard(
    snapshots: Snapshots, config: Config, usable: Sequence[date], columns: Sequence[str], horizon: Window
) -> list[GainPredictions]:
    """What models of earlier cutoffs say of later ones among those that can be used."""
    folds = out_of_time_folds(usable, horizon)
    heard = []
    when = (folds, usable, horizon)
    for fold, age, season in zip(folds, fold_ages(*when), same_season(*when), strict=True):
        train, truth = sample_at(snapshots, fold.train), sample_at(snapshots, [fold.test])
        if _tell(train, truth, columns):
            told = _gained(train, truth, fold, snapshots, config, columns, horizon)
            heard.append(replace(told, age=age, season=season))
    return heard


def _tell(train: Sample, truth: Sample, columns: Sequence[str]) -> bool:
    """Whether one can be learned from and the other can judge, over every horizon."""
    steps = zip(columns, columns[1:], strict=False)
    some = all(
        (nonnegative_gains(value_over(r, a), value_over(r, b)) > 0).sum() >= MIN_PER_OUTCOME
        for a, b in steps
        for r in (train, truth)
    )
    return some and not why_too_few(train, truth, money=True)


def _apart(
    snapshots: Snapshots, config: Config, usable: Sequence[date], columns: Sequence[str], horizon: Window
) -> list[GainPredictions]:
    """Where no later cutoff can be heard: each half of the customers by the other; too few for that: all by all."""
    rows = sample_at(snapshots, usable)
    parts = [(a, b) for a, b in customer_halves(rows) if _tell(a, b, columns)] or [(rows, rows)]
    fold = Fold((), max(usable))
    return [_gained(a, b, fold, snapshots, config, columns, horizon) for a, b in parts]


def _gained(
    train: Sample, truth: Sample, fold: Fold, snapshots: Snapshots, config: Config, columns: Sequence[str],
    horizon: Window,
) -> GainPredictions:  # fmt: skip
    """What models of some rows, members weighing alike, say of others over the horizons of some columns."""
    levels = learn_levels(train)
    rows, X = encode_sample(train, levels), encode_sample(truth, levels).features
    value = predict_value_uncalibrated(train, truth, fold, snapshots, config)
    gain = np.empty((len(truth), 0))
    for before, column in zip(columns, columns[1:], strict=False):
        value = value + (np.exp(gain.mean(axis=1)) if gain.size else 0.0)
        gain = np.column_stack([m.predict(X) for m in _members(rows, before, column, horizon, levels, config)])
    came = value_over(truth, columns[-1])
    return GainPredictions(0.0, False, value, gain, came, came - value_over(truth, columns[-2]))
