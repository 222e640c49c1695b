"""The base models of the ensemble (a linear prior, trees alone, trees that correct the prior) and their predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.snapshots.build import Snapshots
from features.task import Window
from training.artifact.bundle import Levels
from training.artifact.margin import Margin
from training.data.category_levels import encode_sample, learn_levels
from training.data.time_split import Fold, Sample, recency_weights, sample_at, training_sample, why_too_few
from training.models.churn import ChurnClassifier
from training.models.level_forecast import LevelSeries, churn_levels, forecast_level, money_levels
from training.models.lightgbm_base import LightGBMEstimator
from training.models.linear_prior import fit_churn_prior, fit_spend_prior
from training.models.spend import SpendRegressor, positive_spend

HALF_LIFE = 4.0  # of rows, in horizons
CORRECTING_SHARE = 0.5  # number of trees that correct the prior, as a share of the number that stand alone
Parameters = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class BaseModels:
    """Base models fitted on some cutoffs: the prior, trees alone, and trees that correct the prior.

    Attributes:
        levels: Levels of the text columns.
        churn: Predict the log-odds of churn.
        spend: Predict the log of the spend of those who return; empty without money.
    """

    levels: Levels
    churn: tuple[Margin, ...]
    spend: tuple[Margin, ...]


@dataclass(frozen=True)
class OutOfTimeFold:
    """Out-of-time predictions of the base models at a fold's test cutoff, with the actual outcomes.

    Attributes:
        fold: The fold.
        truth: The customers (n rows) of the test cutoff.
        churn: Log-odds of churn (n, k) by base model.
        spend: Logs of spend (n, k) by base model; (n, 0) without money.
    """

    fold: Fold
    truth: Sample
    churn: np.ndarray
    spend: np.ndarray


def predict_out_of_time(snapshots: Snapshots, seed: int, fold: Fold, parameters: Parameters) -> OutOfTimeFold | None:
    """Fits base models on a fold's training cutoffs and predicts its test cutoff.

    Args:
        snapshots: With labels at the fold's cutoffs.
        seed: Seed of the trees.
        fold: The fold.
        parameters: See `fit_ensemble`.

    Returns:
        The predictions. None if the fold is too small: it needs churned and retained customers on both sides, and some
        spenders if there is money.
    """
    train, truth = training_sample(snapshots, fold), sample_at(snapshots, [fold.test])
    if why_too_few(train, truth, has_money(snapshots)):
        return None
    return predict_margins(fit_base_models(train, snapshots, seed, parameters), fold, truth)


def predict_margins(base_models: BaseModels, fold: Fold, truth: Sample) -> OutOfTimeFold:
    """Predicts rows that the base models were not fitted on.

    Args:
        base_models: The fitted base models.
        fold: The cutoffs that the rows are from.
        truth: The rows to predict (n).

    Returns:
        Margins of every base model, with the outcomes.
    """
    X = encode_sample(truth, base_models.levels).features
    churn = np.column_stack([margin.predict(X) for margin in base_models.churn])
    spend = (
        np.column_stack([margin.predict(X) for margin in base_models.spend])
        if base_models.spend
        else np.empty((len(truth), 0))
    )
    return OutOfTimeFold(fold, truth, churn, spend)


def fit_base_models(sample: Sample, snapshots: Snapshots, seed: int, parameters: Parameters) -> BaseModels:
    """Fits every base model; later cutoffs weigh more.

    Args:
        sample: The training rows, text as text.
        snapshots: Where the rows are from; gives the horizon.
        seed: Seed of the trees.
        parameters: See `fit_ensemble`.

    Returns:
        The base models.
    """
    levels = learn_levels(sample)
    rows, horizon = encode_sample(sample, levels), snapshots.task.horizon
    weight = recency_weights(rows.dates, horizon, HALF_LIFE)
    fixed = {"seed": seed, "categorical": tuple(levels)}
    prior = fit_churn_prior(rows.features, rows.churned, weight)
    seen = churn_levels(prior.predict(rows.features), rows.churned, rows.dates)
    tuned = {**parameters.get("churn", {}), **fixed}
    churn = fit_margins(prior, seen, ChurnClassifier, rows, rows.churned, weight, tuned, horizon)
    if not has_money(snapshots):
        return BaseModels(levels, churn, ())
    returned = rows.churned == 0
    rows, weight = rows.take(returned), weight[returned]
    spend = positive_spend(rows.spend)
    prior = fit_spend_prior(rows.features, spend, weight)
    seen = money_levels(prior.predict(rows.features), spend, rows.dates)
    tuned = {**parameters.get("spend", {}), **fixed}
    return BaseModels(levels, churn, fit_margins(prior, seen, SpendRegressor, rows, spend, weight, tuned, horizon))


def has_money(snapshots: Snapshots) -> bool:
    """Whether the log has amounts."""
    return snapshots.rows["value"].null_count < snapshots.rows.num_rows


def fit_margins(
    prior: Margin,
    seen: LevelSeries,
    estimator: type[LightGBMEstimator],
    rows: Sample,
    label: np.ndarray,
    weight: np.ndarray,
    parameters: Mapping[str, Any],
    horizon: Window,
) -> tuple[Margin, ...]:
    """Fits trees alone, and trees that correct the prior; sets all of them to the level of the next cutoff.

    The trees start from the level of each row's cutoff, so they learn only what customers differ in. The next cutoff
    lies a horizon after the newest one, when its labels are known.

    Args:
        prior: A fitted linear model.
        seen: The levels of the training cutoffs, given the prior.
        estimator: The class of the trees.
        rows: Training rows (n), text as codes.
        label: Labels (n,).
        weight: Weights (n,) of the rows.
        parameters: Of the estimator.
        horizon: Of the labels.

    Returns:
        Three margins: the prior, the trees alone, and the prior with trees that correct it.
    """
    level = seen.at(rows.dates)
    plain = estimator(**parameters)
    plain.fit_margin(rows.features, label, start=prior.intercept + level, weight=weight)
    correcting_trees = max(1, round(CORRECTING_SHARE * plain.n_estimators))
    correcting = estimator(**{**parameters, "n_estimators": correcting_trees})
    correcting.fit_margin(rows.features, label, start=prior.predict(rows.features) + level, weight=weight)
    next_level = prior.intercept + forecast_level(seen, seen.days.max() + horizon.days, horizon).shift
    linear = replace(prior, intercept=next_level)
    return (
        linear,
        Margin(next_level, (), (plain.booster_.model_to_string(),), (1.0,)),
        replace(linear, trees=(correcting.booster_.model_to_string(),), weights=(1.0,)),
    )
