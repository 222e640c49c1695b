"""Fits the hazard of returning on person-period rows: one row for each period in which a customer could still return.

Two base models are combined by out-of-time weights, as for the classifier: a linear prior, which corrects a life table
and the hazard that BG/NBD expects, and trees that correct the prior. What all customers of a cutoff share is left to
the classifier of returning, to which the curve is anchored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.optimize import minimize_scalar
from threadpoolctl import threadpool_limits

from features.config.load import Config
from features.snapshots.build import Snapshots
from features.task import Window
from training.artifact.bundle import Levels, ModelBundle
from training.artifact.margin import Margin, Term
from training.artifact.return_hazard import ReturnHazard
from training.data.category_levels import encode_sample
from training.data.time_split import (
    MIN_PER_OUTCOME,
    ReturnTimes,
    Sample,
    fold_at,
    recency_weights,
    sample_at,
    training_sample,
)
from training.models.base_models import HALF_LIFE
from training.models.churn import ChurnClassifier
from training.models.lightgbm_base import bin_features
from training.models.linear_prior import churn_loss, fit_linear, fit_orders_prior
from training.models.stacking import stacking_weights, weighted_sum

MOST_ROWS = 150_000  # person-period rows; beyond it, customers are drawn by the seed
MOST_FEATURES = 24  # those that the classifier's trees use most
BELIEVED = 0.5  # of the log of the pace that one later cutoff shows
MEAN_ROWS = 20_000  # person-period rows whose mean log-odds are the start of explanations
LEAST_ORDERS = 1e-6  # further orders, where nobody has any
SHARES = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1, 5 / 4, 3 / 2, 7 / 4, 2)  # of the horizon
TREES: Mapping[str, Any] = {"n_estimators": 50, "learning_rate": 0.1, "num_leaves": 15, "min_child_samples": 100}
HAZARD_SHAPES = (
    ("period_hazard", "logit"),
    ("expected_hazard", "logit"),
    ("elapsed_days", "log1p"),
    ("elapsed_gaps", "log1p"),
    ("period_days", "log1p"),
    ("orders_count_ever", "log1p"),
    ("tenure_days", "log1p"),
)


def period_bounds(horizon: Window) -> tuple[int, ...]:
    """The ends of the periods in days, as shares of the horizon: a quarter, a half, one and two are among them.

    >>> period_bounds(Window(28))
    (2, 4, 5, 7, 10, 14, 18, 21, 24, 28, 35, 42, 49, 56)
    >>> period_bounds(Window(2))
    (1, 2, 3, 4)
    """
    return tuple(sorted({max(1, round(share * horizon.days)) for share in SHARES}))


def fit_return_hazard(
    bundle: ModelBundle, snapshots: Snapshots, config: Config, cutoffs: Sequence[date]
) -> ReturnHazard | None:
    """Fits the hazard of returning, for a model that is fitted already.

    Args:
        bundle: The churn or value model; its trees choose the features.
        snapshots: With labels at all of these cutoffs, as known when the model is fitted (`Snapshots.as_known`).
        config: Seed and interval.
        cutoffs: The only cutoffs that are used.

    Returns:
        The hazard; None for contracts, and if too few customers returned.
    """
    rows = sample_at(snapshots, cutoffs)
    if rows.returns is None or np.isfinite(rows.returns.days).sum() < MIN_PER_OUTCOME:
        return None
    features, seed, horizon = most_used_features(bundle), config.training.seed, snapshots.task.horizon
    with threadpool_limits(1, user_api="blas"):  # BLAS sums depend on the number of threads
        models = fit_hazards(rows, horizon, features, bundle.levels, seed)
        fold, weights, pace = fold_at(sorted(cutoffs), max(cutoffs), horizon), np.array([0.5, 0.5]), 1.0
        if fold is not None:
            pair = training_sample(snapshots, fold), sample_at(snapshots, [fold.test])
            weights, pace = _out_of_time_calibration(*pair, horizon, features, bundle.levels, seed)
        hazard = weighted_sum([model.hazard for model in models], list(weights))
        orders = fit_further_orders(encode_sample(rows, bundle.levels), horizon)
        typical = np.array([model.typical for model in models]).T @ weights
    named = dict(zip(("prior", "trees"), map(float, weights), strict=True))
    fitted = replace(models[0], hazard=hazard, orders=orders, typical=tuple(map(float, typical)), weights=named)
    return replace(fitted, inside=config.serving.interval, pace=pace)


def alike_hazard(returns: ReturnHazard | None, rows: Sample) -> ReturnHazard | None:
    """The life table for everybody alike, in the place of a hazard.

    Args:
        returns: The hazard that tells customers apart.
        rows: Customers of the newest cutoff, whose mean orders are expected.

    Returns:
        The hazard, equal for all; None if there was none.
    """
    if returns is None or rows.returns is None:
        return None
    same = Term("period_hazard", "logit", 1.0, 0.0, 1.0)
    returned = max(float((rows.churned == 0).sum()), 1.0)
    further = max(float(rows.returns.orders.sum()) / returned - 1, LEAST_ORDERS)
    orders, typical = Margin(intercept=float(np.log(further))), tuple(map(_log_odds, returns.life_table))
    return replace(
        returns, features=(), hazard=Margin(terms=(same,)), orders=orders, typical=typical, weights={}, pace=1.0
    )


def most_used_features(bundle: ModelBundle) -> tuple[str, ...]:
    """The features that the classifier's trees gain most from, and those of the prior, in the order of the bundle."""
    gains = np.zeros(len(bundle.features))
    for booster, weight in zip(bundle.gate.boosters(), bundle.gate.weights, strict=True):
        gains += weight * booster.feature_importance("gain")
    best = {bundle.features[place] for place in np.argsort(-gains, kind="stable")[:MOST_FEATURES] if gains[place] > 0}
    wanted = best | {name for name, _ in HAZARD_SHAPES}
    return tuple(name for name in bundle.features if name in wanted)


def fit_hazards(
    rows: Sample, horizon: Window, features: Sequence[str], levels: Levels, seed: int
) -> tuple[ReturnHazard, ReturnHazard]:
    """Fits the base models on training rows: the linear prior, and the prior with trees that correct it.

    Args:
        rows: Training rows with `returns`, text as text.
        horizon: Of the labels.
        features: The features of the trees.
        levels: Levels of the text columns.
        seed: Of the draw of customers and of the trees.

    Returns:
        The base models.
    """
    rows, weight = encode_sample(rows, levels), recency_weights(rows.dates, horizon, HALF_LIFE)
    bounds = period_bounds(horizon)
    places, periods, label = person_periods(_returns(rows), bounds)
    kept = _drawn_rows(rows, places, seed)
    places, periods, label = places[kept], periods[kept], label[kept]
    weights = weight[places]
    table = life_table(periods, label, weights, len(bounds))
    usual = tuple(map(_log_odds, table))
    empty = ReturnHazard(bounds, horizon.days, table, tuple(features), Margin(), Margin(), usual)
    X = empty.period_rows(rows.features, places, periods)
    mean = float(np.average(label, weights=weights))
    prior = fit_linear(X, churn_loss, label, weights, HAZARD_SHAPES, np.log(mean / (1 - mean)))
    trees = ChurnClassifier(**TREES, seed=seed, categorical=tuple(name for name in features if name in levels))
    trees.fit_binned(bin_features(X, trees.categorical), label, start=prior.predict(X), weight=weights)
    corrected = replace(prior, trees=(trees.booster_.model_to_string(),), weights=(1.0,))
    some = np.arange(0, len(places), -(-len(places) // MEAN_ROWS))
    few, at = X.take(pa.array(some)), periods[some]
    models = [
        replace(empty, hazard=margin, typical=_means(margin.predict(few), at, usual)) for margin in (prior, corrected)
    ]
    return models[0], models[1]


def _means(log_odds: np.ndarray, periods: np.ndarray, usual: Sequence[float]) -> tuple[float, ...]:
    """Mean log-odds (m,) of each period; the usual one of a period without rows."""
    sums, sizes = np.bincount(periods, log_odds, len(usual)), np.bincount(periods, minlength=len(usual))
    return tuple(float(s / n) if n else u for s, n, u in zip(sums, sizes, usual, strict=True))


def _log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


def person_periods(returns: ReturnTimes, bounds: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row for each customer and each period that was seen whole, until the customer returned.

    Args:
        returns: When n customers returned.
        bounds: The ends of the periods in days.

    Returns:
        For each person-period row (m,): the customer's row, the period from 0, and 1.0 if the first purchase is in it.
    """
    days, seen, ends = returns.days, returns.seen, np.array(bounds)
    whole = np.searchsorted(ends, seen, side="right")  # periods that were seen whole
    event = np.where(np.isnan(days), len(ends), np.searchsorted(ends, np.nan_to_num(days), side="right"))
    at_risk = np.minimum(event + 1, whole)
    places = np.repeat(np.arange(len(days)), at_risk)
    periods = np.arange(at_risk.sum()) - np.repeat(np.cumsum(at_risk) - at_risk, at_risk)
    return places, periods, (periods == event[places]).astype(float)


def life_table(periods: np.ndarray, label: np.ndarray, weight: np.ndarray, count: int) -> tuple[float, ...]:
    """The hazard of each period over all rows.

    Args:
        periods: The period (m,) of each person-period row, from 0.
        label: 1.0 (m,) if the first purchase is in it, else 0.0.
        weight: Weights (m,) of the rows.
        count: The number of periods.

    Returns:
        Hazards in (0, 1); a period without rows has that of the one before.
    """
    rows, returns = np.bincount(periods, weight, count), np.bincount(periods, weight * label, count)
    hazard = (returns + 0.5) / (rows + 1.0)
    for period in range(1, count):
        hazard[period] = hazard[period] if rows[period] > 0 else hazard[period - 1]
    return tuple(float(h) for h in hazard)


def fit_further_orders(rows: Sample, horizon: Window) -> Margin:
    """Fits the log of the purchases after the first one within the horizon, of those who returned within it."""
    returned = rows.churned == 0
    further = np.maximum(_returns(rows).orders[returned] - 1, 0.0)
    weight = recency_weights(rows.dates, horizon, HALF_LIFE)[returned]
    if not further.sum() > 0:
        return Margin(intercept=float(np.log(LEAST_ORDERS)))
    return fit_orders_prior(rows.features.filter(pa.array(returned)), further, weight)


def _returns(rows: Sample) -> ReturnTimes:
    if rows.returns is None:
        raise ValueError("these rows do not say when customers returned")
    return rows.returns


def _drawn_rows(rows: Sample, places: np.ndarray, seed: int) -> np.ndarray:
    """Which person-period rows (m,) are used: all of them, or those of customers drawn by the seed."""
    if len(places) <= MOST_ROWS:
        return np.ones(len(places), bool)
    customer = np.unique(rows.customers.to_numpy(zero_copy_only=False), return_inverse=True)[1]
    share = MOST_ROWS / len(places)
    return np.random.default_rng(seed).random(customer.max() + 1)[customer[places]] < share


def fit_pace(hazard: ReturnHazard, X: pa.Table, days: np.ndarray) -> float:
    """The exponent with which returns within the horizon are spread most likely, moved half of the way from 1.

    One cutoff may show no more than its season, so it is believed by half.

    Args:
        hazard: Fitted on earlier cutoffs.
        X: Features (n rows) of a later cutoff, text as codes.
        days: Days to the first purchase (n,), NaN if there was none.

    Returns:
        The exponent, above 0.
    """
    end = hazard.bounds.index(hazard.horizon)
    returned = np.nan_to_num(days, nan=np.inf) < hazard.horizon
    survival = hazard.log_survival(X.filter(pa.array(returned)))[:, : end + 1]
    spread = np.pad(np.expm1(survival) / np.expm1(survival[:, [end]]), ((0, 0), (1, 0)))
    period = np.searchsorted(np.array(hazard.bounds), days[returned], side="right")
    row = np.arange(len(period))

    def loss(log_pace: float) -> float:
        shares = spread ** np.exp(log_pace)
        return -float(np.log(np.maximum(shares[row, period + 1] - shares[row, period], 1e-12)).mean())

    return float(np.exp(BELIEVED * minimize_scalar(loss, bounds=(-1, 1), method="bounded").x)) if len(row) else 1.0


def _out_of_time_calibration(
    train: Sample, truth: Sample, horizon: Window, features: Sequence[str], levels: Levels, seed: int
) -> tuple[np.ndarray, float]:
    """Stacking weights of the base models and the pace, from their predictions at a later cutoff."""
    models = fit_hazards(train, horizon, features, levels, seed)
    rows = encode_sample(truth, levels)
    places, periods, label = person_periods(_returns(rows), models[0].bounds)
    kept = _drawn_rows(rows, places, seed)
    places, periods, label = places[kept], periods[kept], label[kept]
    X = models[0].period_rows(rows.features, places, periods)
    margins = np.column_stack([model.hazard.predict(X) for model in models])
    weights = stacking_weights([margins], [label], churn_loss)
    stacked = replace(models[0], hazard=weighted_sum([model.hazard for model in models], list(weights)))
    return weights, fit_pace(stacked, rows.features, _returns(rows).days)
