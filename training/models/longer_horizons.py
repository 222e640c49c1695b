"""Value over longer horizons than the task's: gains on top of its value, so a longer horizon never has a lower value.

A gain is what one horizon adds to the value over the one before. Predicted gains are above 0. Actual gains can be below
0 because of refunds: these are set to 0 and all others are scaled down, so that their sum stays the same. Base models,
stacking weights, level and intervals are fitted as for the task's own horizon, on the cutoffs whose longer labels are
known.
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
    out_of_time_folds,
    recency_weights,
    sample_at,
    training_sample,
    why_too_few,
)
from training.models.base_models import HALF_LIFE, fit_margins, level_prior
from training.models.calibration import LaterCutoffs, fit_level
from training.models.ensemble import predict_value_uncalibrated
from training.models.intervals import fit_spread
from training.models.level_forecast import money_levels, unknown_level
from training.models.lightgbm_base import bin_features
from training.models.linear_prior import fit_gain_prior
from training.models.spend import GainRegressor
from training.models.stacking import money_stacking_weights, weighted_sum


@dataclass(frozen=True)
class GainPredictions:
    """Gains predicted by models that had not seen these rows, with the actual values.

    Attributes:
        cutoff: The rows' cutoff; of rows from several cutoffs the newest.
        value: Expected value over the horizon before (n,).
        gain: Logs of the expected gain (n, k) by base model.
        actual: Actual value over the longer horizon (n,), not below 0.
        more: Actual gain over the horizon before (n,); may be below 0.
    """

    cutoff: date
    value: np.ndarray
    gain: np.ndarray
    actual: np.ndarray
    more: np.ndarray


def fit_longer_horizons(
    snapshots: Snapshots, config: Config, cutoffs: Sequence[date], known_by: date, levels: Levels
) -> tuple[tuple[LongerHorizon, ...], tuple[str, ...]]:
    """Fits the gain of each longer horizon that has enough labels.

    Args:
        snapshots: With labels at all of these cutoffs.
        config: Seed and interval.
        cutoffs: The only cutoffs that are used.
        known_by: Labels that end after this day are not used.
        levels: Levels of the text columns in the model that is extended.

    Returns:
        The fitted gains, ascending, and for each horizon that is left out a sentence that says why.
    """
    steps: list[LongerHorizon] = []
    columns = ["value", *snapshots.task.longer]
    with threadpool_limits(1, user_api="blas"):
        for place, (column, horizon) in enumerate(snapshots.task.longer.items(), start=1):
            usable = tuple(c for c in cutoffs if c + horizon.delta <= known_by)
            why = _why_not_fittable(snapshots, usable, columns[place - 1], column, horizon)
            if why:
                return tuple(steps), tuple(f"{name} is left out: {why}" for name in columns[place:])
            steps.append(_fit_step(snapshots, config, usable, columns[: place + 1], horizon, levels))
    return tuple(steps), ()


def with_longer_horizons(
    bundle: ModelBundle | None, snapshots: Snapshots, config: Config, cutoffs: Sequence[date], known_by: date
) -> tuple[ModelBundle | None, tuple[str, ...]]:
    """Extends a value model to longer horizons.

    Args:
        bundle: The value model; None without money.
        snapshots: See `fit_longer_horizons`.
        config: See `fit_longer_horizons`.
        cutoffs: See `fit_longer_horizons`.
        known_by: See `fit_longer_horizons`.

    Returns:
        The model with its longer horizons, and for each horizon that is left out a sentence that says why.
    """
    if bundle is None:
        why = "the log has no money, so that there is no value"
        return None, tuple(f"{column} is left out: {why}" for column in snapshots.task.longer)
    steps, notes = fit_longer_horizons(snapshots, config, cutoffs, known_by, bundle.levels)
    return replace(bundle, longer=steps), notes


def value_over(rows: Sample, column: str) -> np.ndarray:
    """Value (n,), not below 0, over the horizon of a column: 'value', or one such as 'value_180d'."""
    return rows.spend if column == "value" else np.maximum(rows.longer[column], 0.0)


def nonnegative_gains(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Gains (n,) from the value over one horizon to a longer one, not below 0, scaled to keep their sum.

    >>> nonnegative_gains(np.array([5.0, 5.0, 0.0]), np.array([9.0, 4.0, 6.0])).tolist()
    [3.6, 0.0, 5.4]
    """
    up = np.maximum(after - before, 0.0)
    return up * (max(float((after - before).sum()), 0.0) / max(float(up.sum()), 1e-12))


def _why_not_fittable(snapshots: Snapshots, usable: Sequence[date], before: str, column: str, horizon: Window) -> str:
    if not usable:
        return f"no cutoff to learn from lies {horizon} before the end of what is known"
    rows = sample_at(snapshots, usable)
    gained = nonnegative_gains(value_over(rows, before), value_over(rows, column))
    count = int((gained > 0).sum())
    return (
        ""
        if count >= MIN_PER_OUTCOME
        else f"it adds to the value of {count:,} rows, and at least {MIN_PER_OUTCOME} are needed"
    )


def _fit_step(
    snapshots: Snapshots,
    config: Config,
    usable: Sequence[date],
    columns: Sequence[str],
    horizon: Window,
    levels: Levels,
) -> LongerHorizon:
    """Fits the gain from the last but one of the columns to the last one."""
    folds = _out_of_time_gains(snapshots, config, usable, columns, horizon)
    rows = encode_sample(sample_at(snapshots, usable), levels)
    base_models = _fit_base_models(rows, columns[-2], columns[-1], horizon, levels, config.training.seed)
    inside = config.serving.interval
    weights, level = np.full(len(base_models), 1 / len(base_models)), unknown_level(horizon, inside)
    if folds:
        weights = money_stacking_weights([h.gain for h in folds], [np.maximum(h.more, 0) for h in folds])
        predicted = [np.exp(h.gain @ weights) for h in folds]
        cutoffs = LaterCutoffs(tuple(h.cutoff for h in folds), max(usable) + horizon.delta, horizon, inside)
        level = fit_level(predicted, [h.more for h in folds], cutoffs)
    else:
        folds = _gains_across_customers(snapshots, config, usable, columns, horizon)
    value = [h.value + np.exp(h.gain @ weights + level.shift) for h in folds]
    spread = fit_spread([np.ones_like(v) for v in value], value, [h.actual for h in folds], inside, level.error)
    return LongerHorizon(columns[-1], weighted_sum(base_models, list(weights)), level.shift, spread)


def _fit_base_models(
    rows: Sample, before: str, column: str, horizon: Window, levels: Levels, seed: int
) -> tuple[Margin, ...]:
    """The base models of a gain: the prior, trees alone, and the prior with trees that correct it."""
    gained = nonnegative_gains(value_over(rows, before), value_over(rows, column))
    weight = recency_weights(rows.dates, horizon, HALF_LIFE)
    prior = level_prior(fit_gain_prior(rows.features, gained, weight), rows, gained, money_levels, horizon)
    fixed = {"seed": seed, "categorical": tuple(levels)}
    return fit_margins(prior, GainRegressor, bin_features(rows.features, tuple(levels)), gained, weight, fixed)


def _out_of_time_gains(
    snapshots: Snapshots, config: Config, usable: Sequence[date], columns: Sequence[str], horizon: Window
) -> list[GainPredictions]:
    """Out-of-time predictions of the gains, for each usable fold."""
    folds = out_of_time_folds(usable, horizon)
    predictions = []
    for fold in folds:
        train, truth = training_sample(snapshots, fold), sample_at(snapshots, [fold.test])
        if _enough_gains(train, truth, columns):
            predictions.append(_predict_gains(train, truth, fold, snapshots, config, columns, horizon))
    return predictions


def _enough_gains(train: Sample, truth: Sample, columns: Sequence[str]) -> bool:
    """Whether both samples have enough gains over every horizon."""
    steps = zip(columns, columns[1:], strict=False)
    enough = all(
        (nonnegative_gains(value_over(r, a), value_over(r, b)) > 0).sum() >= MIN_PER_OUTCOME
        for a, b in steps
        for r in (train, truth)
    )
    return enough and not why_too_few(train, truth, money=True)


def _gains_across_customers(
    snapshots: Snapshots, config: Config, usable: Sequence[date], columns: Sequence[str], horizon: Window
) -> list[GainPredictions]:
    """Without out-of-time predictions: each half of the customers predicts the other; if too few, all predict all."""
    rows = sample_at(snapshots, usable)
    parts = [(a, b) for a, b in customer_halves(rows) if _enough_gains(a, b, columns)] or [(rows, rows)]
    fold = Fold((), max(usable))
    return [_predict_gains(a, b, fold, snapshots, config, columns, horizon) for a, b in parts]


def _predict_gains(
    train: Sample, truth: Sample, fold: Fold, snapshots: Snapshots, config: Config, columns: Sequence[str],
    horizon: Window,
) -> GainPredictions:  # fmt: skip
    """Predicts gains over the columns' horizons, with equal weights of the base models."""
    levels = learn_levels(train)
    rows, X = encode_sample(train, levels), encode_sample(truth, levels).features
    value = predict_value_uncalibrated(train, truth, fold, snapshots, config)
    gain = np.empty((len(truth), 0))
    for before, column in zip(columns, columns[1:], strict=False):
        value = value + (np.exp(gain.mean(axis=1)) if gain.size else 0.0)
        gain = np.column_stack(
            [m.predict(X) for m in _fit_base_models(rows, before, column, horizon, levels, config.training.seed)]
        )
    actual = value_over(truth, columns[-1])
    return GainPredictions(fold.test, value, gain, actual, actual - value_over(truth, columns[-2]))
