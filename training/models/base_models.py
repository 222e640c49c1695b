"""The base models of the ensemble (a linear prior, trees alone, trees that correct the prior) and their predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any

import numpy as np

from features.snapshots.build import Snapshots
from features.task import LapsedCohort, Task, Window
from training.artifact.bundle import Levels
from training.artifact.margin import Margin, Term
from training.data.category_levels import encode_sample, learn_levels
from training.data.time_split import Fold, Sample, outcomes_at, recency_weights, sample_at, why_too_few
from training.models.churn import ChurnClassifier
from training.models.level_forecast import LevelSeries, churn_levels, forecast_level, money_levels
from training.models.lightgbm_base import BinnedFeatures, LightGBMEstimator, bin_features
from training.models.linear_prior import fit_churn_prior, fit_spend_prior
from training.models.spend import SpendRegressor, leavers_factor, positive_spend, temper_tail
from training.side_by_side import run_side_by_side

HALF_LIFE = 4.0  # of rows, in horizons
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
        truth: The customers (n rows) of the test cutoff.
        churn: Log-odds of churn (n, k) by base model.
        spend: Logs of spend (n, k) by base model; (n, 0) without money.
    """

    fold: Fold
    truth: Sample
    churn: np.ndarray
    spend: np.ndarray


def predict_out_of_time(
    snapshots: Snapshots, seed: int, fold: Fold, parameters: Parameters, fitted: FittedBefore
) -> OutOfTimeFold | None:
    """Fits base models on a fold's training cutoffs and predicts its test cutoff.

    Args:
        snapshots: With labels at the fold's cutoffs.
        seed: Seed of the trees.
        fold: The fold.
        parameters: See `fit_ensemble`.
        fitted: See `fit_ensemble`.

    Returns:
        The predictions. None if the fold is too small: it needs churned and retained customers on both sides, and some
        spenders if there is money.
    """
    if is_too_small(snapshots, fold):
        return None
    base_models = fit_at_cutoffs(snapshots.as_known(fold.test), fold.train, seed, parameters, fitted)
    return predict_margins(base_models, fold, sample_at(snapshots, [fold.test]))


def is_too_small(snapshots: Snapshots, fold: Fold) -> bool:
    """Whether a fold has too few outcomes of a kind to fit base models and to predict its test cutoff."""
    known_then, truth = outcomes_at(snapshots.as_known(fold.test), fold.train), outcomes_at(snapshots, [fold.test])
    return bool(why_too_few(known_then, truth, has_money(snapshots)))


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
    fit_at_all_cutoffs([(snapshots, cutoffs)], seed, parameters, fitted)
    return fitted[_key(snapshots, cutoffs)]


def fit_at_all_cutoffs(
    wanted: Sequence[tuple[Snapshots, Sequence[date]]], seed: int, parameters: Parameters, fitted: FittedBefore
) -> None:
    """Fits the base models on several sets of cutoffs side by side, except those that were fitted before.

    Args:
        wanted: The sets of cutoffs, each with snapshots that have labels there.
        seed: Seed of the trees.
        parameters: See `fit_ensemble`.
        fitted: See `fit_ensemble`; the base models are added to it.
    """
    missing = {key: each for each in wanted if (key := _key(*each)) not in fitted}
    largest_first = sorted(missing, key=lambda key: len(key[0]), reverse=True)

    def fit(key: tuple[tuple[date, ...], date | None]) -> BaseModels:
        snapshots, cutoffs = missing[key]
        return fit_base_models(sample_at(snapshots, cutoffs), snapshots, seed, parameters)

    models = run_side_by_side([partial(fit, key) for key in largest_first])
    fitted.update(zip(largest_first, models, strict=True))


def _key(snapshots: Snapshots, cutoffs: Sequence[date]) -> tuple[tuple[date, ...], date | None]:
    return tuple(sorted(cutoffs)), snapshots.known_by


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
    binned = bin_features(rows.features, tuple(levels))
    prior = level_prior(fit_churn_prior(rows.features, rows.churned, weight), rows, rows.churned, churn_levels, horizon)
    tuned = {**parameters.get("churn", {}), **fixed}
    churn = fit_margins(prior, ChurnClassifier, binned, rows.churned, weight, tuned)
    btyd = btyd_margins(snapshots.task)
    if not has_money(snapshots):
        return BaseModels(levels, (*churn, *btyd), ())
    returned = rows.churned == 0
    spend = positive_spend(rows.spend[returned]) * leavers_factor(rows.spend, returned, weight)
    rows, weight = rows.take(returned), weight[returned]
    prior = level_prior(fit_spend_prior(rows.features, spend, weight), rows, spend, money_levels, horizon)
    tempered = temper_tail(spend, np.exp(prior.start))
    tuned = {**parameters.get("spend", {}), **fixed}
    binned = bin_features(rows.features, tuple(levels))
    return BaseModels(levels, (*churn, *btyd), fit_margins(prior, SpendRegressor, binned, tempered, weight, tuned))


def btyd_margins(task: Task) -> tuple[Margin, ...]:
    """BG/NBD alone as a further base model of lapsed customers: where few come back, trees learn noise; else none."""
    if not isinstance(task.cohort, LapsedCohort):
        return ()
    return (Margin(0.0, (Term("return_probability", "logit", 1.0, 0.0, -1.0),)),)


def has_money(snapshots: Snapshots) -> bool:
    """Whether the log has amounts."""
    return snapshots.rows["value"].null_count < snapshots.rows.num_rows


@dataclass(frozen=True)
class LevelledPrior:
    """A linear prior, and apart from it what all customers of a cutoff share.

    Attributes:
        next: The prior at the level that is forecast for the next cutoff.
        level: The prior's intercept at the level of each training row's cutoff (n,).
        start: The prior's margins of the training rows (n,) at the level of their cutoffs.
    """

    next: Margin
    level: np.ndarray
    start: np.ndarray


def level_prior(
    prior: Margin,
    rows: Sample,
    label: np.ndarray,
    levels_of: Callable[[np.ndarray, np.ndarray, np.ndarray], LevelSeries],
    horizon: Window,
) -> LevelledPrior:
    """Finds the levels of the training cutoffs, given a prior, and forecasts that of the next cutoff.

    The next cutoff lies a horizon after the newest one: on that day the newest labels are known.

    Args:
        prior: A fitted linear model.
        rows: Training rows (n), text as codes.
        label: Labels (n,).
        levels_of: `churn_levels` or `money_levels`.
        horizon: Of the labels.

    Returns:
        The prior with these levels.
    """
    margin = prior.predict(rows.features)
    levels = levels_of(margin, label, rows.dates)
    ahead = forecast_level(levels, float(levels.days.max() + horizon.days), horizon).shift
    level = levels.at(rows.dates)
    return LevelledPrior(replace(prior, intercept=prior.intercept + ahead), prior.intercept + level, margin + level)


def fit_margins(
    prior: LevelledPrior,
    estimator: type[LightGBMEstimator],
    rows: BinnedFeatures,
    label: np.ndarray,
    weight: np.ndarray,
    parameters: Mapping[str, Any],
) -> tuple[Margin, ...]:
    """Fits trees alone, and trees that correct the prior, on the same bins.

    The trees start from the level of each row's cutoff, so they learn only what customers differ in.

    Args:
        prior: The prior and the levels.
        estimator: The class of the trees.
        rows: The features of the training rows (n).
        label: Labels (n,).
        weight: Weights (n,) of the rows.
        parameters: Of the estimator.

    Returns:
        Three margins at the level of the next cutoff: the prior, the trees alone, and the prior with trees that correct
        it.
    """
    plain = estimator(**parameters).fit_binned(rows, label, start=prior.level, weight=weight)
    correcting_trees = max(1, round(CORRECTING_SHARE * plain.n_estimators))
    correcting = estimator(**{**parameters, "n_estimators": correcting_trees})
    correcting.fit_binned(rows, label, start=prior.start, weight=weight)
    alone, corrections = plain.booster_.model_to_string(), correcting.booster_.model_to_string()
    return (
        prior.next,
        Margin(prior.next.intercept, (), (alone,), (1.0,)),
        replace(prior.next, trees=(corrections,), weights=(1.0,)),
    )
