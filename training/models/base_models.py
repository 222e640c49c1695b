"""The base models of the ensemble (a linear prior, trees alone, trees that correct the prior) and their predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from features.snapshots.build import Snapshots
from training.artifact.bundle import Levels
from training.artifact.margin import Margin
from training.data.category_levels import encode_sample, learn_levels
from training.data.time_split import Fold, Sample, recency_weights, sample_at, why_too_few
from training.models.churn import ChurnClassifier
from training.models.lightgbm_base import BinnedFeatures, LightGBMEstimator, bin_features
from training.models.linear_prior import fit_churn_prior, fit_spend_prior
from training.models.spend import SpendRegressor, positive_spend

PRIOR_HALF = 1.5  # half-life of rows, in horizons: the prior has few weights, so it can forget faster than the trees
TREES_HALF = 4.0
CORRECTING_SHARE = 0.5  # number of trees that correct the prior, as a share of the number that stand alone
Parameters = Mapping[str, Mapping[str, Any]]
FittedBefore = dict[tuple[tuple[date, ...], date | None], "BaseModels"]  # of one seed and parameters, by rows


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
        age: See `fold_ages`.
        same_season: See `in_same_season`.
        truth: The customers (n rows) of the test cutoff.
        churn: Log-odds of churn (n, k) by base model.
        spend: Logs of spend (n, k) by base model; (n, 0) without money.
    """

    fold: Fold
    age: float
    same_season: bool
    truth: Sample
    churn: np.ndarray
    spend: np.ndarray


def predict_out_of_time(
    snapshots: Snapshots,
    seed: int,
    fold: Fold,
    age: float,
    same_season: bool,
    parameters: Parameters,
    fitted: FittedBefore,
) -> OutOfTimeFold | None:
    """Fits base models on a fold's training cutoffs and predicts its test cutoff.

    Args:
        snapshots: With labels at the fold's cutoffs.
        seed: Seed of the trees.
        fold: The fold.
        age: See `fold_ages`.
        same_season: See `in_same_season`.
        parameters: See `fit_ensemble`.
        fitted: See `fit_ensemble`.

    Returns:
        The predictions. None if the fold is too small: it needs churned and retained customers on both sides, and some
        spenders if there is money.
    """
    known_then, truth = snapshots.as_known(fold.test), sample_at(snapshots, [fold.test])
    if why_too_few(sample_at(known_then, fold.train), truth, has_money(snapshots)):
        return None
    base_models = fit_at_cutoffs(known_then, fold.train, seed, parameters, fitted)
    return predict_margins(base_models, fold, age, same_season, truth)


def predict_margins(base_models: BaseModels, fold: Fold, age: float, same_season: bool, truth: Sample) -> OutOfTimeFold:
    """Predicts rows that the base models were not fitted on.

    Args:
        base_models: The fitted base models.
        fold: The cutoffs that the rows are from.
        age: See `fold_ages`.
        same_season: See `in_same_season`.
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
    return OutOfTimeFold(fold, age, same_season, truth, churn, spend)


def fit_at_cutoffs(
    snapshots: Snapshots, cutoffs: Sequence[date], seed: int, parameters: Parameters, fitted: FittedBefore
) -> BaseModels:
    """Fits the base models on some cutoffs, unless that was done before.

    Args:
        snapshots: With labels at all of these cutoffs, as they were known then.
        cutoffs: The training cutoffs.
        seed: Seed of the trees.
        parameters: See `fit_ensemble`.
        fitted: See `fit_ensemble`.

    Returns:
        The base models.
    """
    key = (tuple(sorted(cutoffs)), snapshots.known_by)
    if key not in fitted:
        fitted[key] = fit_base_models(sample_at(snapshots, cutoffs), snapshots, seed, parameters)
    return fitted[key]


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
    rows = encode_sample(sample, levels)
    prior_weight, tree_weight = (
        recency_weights(rows.dates, snapshots.task.horizon, half_life) for half_life in (PRIOR_HALF, TREES_HALF)
    )
    fixed = {"seed": seed, "categorical": tuple(levels)}
    binned = bin_features(rows.features, tuple(levels))
    prior = fit_churn_prior(rows.features, rows.churned, prior_weight)
    tuned = {**parameters.get("churn", {}), **fixed}
    start = prior.predict(rows.features)
    churn = fit_margins(prior, start, ChurnClassifier, binned, rows.churned, tree_weight, tuned)
    if not has_money(snapshots):
        return BaseModels(levels, churn, ())
    returned = rows.churned == 0
    rows, prior_weight, tree_weight = rows.take(returned), prior_weight[returned], tree_weight[returned]
    spend = positive_spend(rows.spend)
    prior = fit_spend_prior(rows.features, spend, prior_weight)
    tuned = {**parameters.get("spend", {}), **fixed}
    start = prior.predict(rows.features)
    return BaseModels(
        levels, churn, fit_margins(prior, start, SpendRegressor, binned.take(returned), spend, tree_weight, tuned)
    )


def has_money(snapshots: Snapshots) -> bool:
    """Whether the log has amounts."""
    return snapshots.rows["value"].null_count < snapshots.rows.num_rows


def fit_margins(
    prior: Margin,
    start: np.ndarray,
    estimator: type[LightGBMEstimator],
    rows: BinnedFeatures,
    label: np.ndarray,
    weight: np.ndarray,
    parameters: Mapping[str, Any],
) -> tuple[Margin, ...]:
    """Fits trees alone, and trees that correct the prior, on the same bins.

    Args:
        prior: A fitted linear model.
        start: Its margins (n,) of the training rows.
        estimator: The class of the trees.
        rows: The features of the training rows (n).
        label: Labels (n,).
        weight: Weights (n,) of the rows.
        parameters: Of the estimator.

    Returns:
        Three margins: the prior, the trees alone, and the prior with trees that correct it.
    """
    plain = estimator(**parameters).fit_binned(rows, label, weight=weight)
    correcting_trees = max(1, round(CORRECTING_SHARE * plain.n_estimators))
    correcting = estimator(**{**parameters, "n_estimators": correcting_trees})
    correcting.fit_binned(rows, label, start=start, weight=weight)
    corrected = Margin(prior.intercept, prior.terms, (correcting.booster_.model_to_string(),), (1.0,))
    return prior, Margin(trees=(plain.booster_.model_to_string(),), weights=(1.0,)), corrected
