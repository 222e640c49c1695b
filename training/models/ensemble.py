"""Fits the ensemble: base models, and their stacking weights, calibration and intervals from out-of-time predictions.

`fit_ensemble` is the complete procedure. Training runs it twice: on the cutoffs a horizon or more before the last one,
to evaluate it there, and on all cutoffs, for use. A backtest runs it at every cutoff.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from features.config.load import Config
from features.definitions import feature_definitions
from features.snapshots.build import Snapshots
from features.task import LapsedCohort, Window
from training.artifact.bundle import ModelBundle
from training.artifact.margin import SURE
from training.artifact.spread import Spread
from training.data.prediction import Prediction
from training.data.time_split import Fold, Sample, customer_halves, out_of_time_folds, sample_at, why_too_few
from training.models.base_models import (
    BaseModels,
    FittedBefore,
    OutOfTimeFold,
    Parameters,
    fit_at_all_cutoffs,
    fit_at_cutoffs,
    fit_base_models,
    is_too_small,
    predict_margins,
    predict_out_of_time,
)
from training.models.calibration import LaterCutoffs, Platt, fit_level, fit_platt
from training.models.intervals import fit_spread
from training.models.level_forecast import unknown_level
from training.models.linear_prior import churn_loss
from training.models.stacking import money_stacking_weights, stacking_weights, weighted_sum
from training.side_by_side import run_side_by_side


@dataclass(frozen=True)
class EnsembleCalibration:
    """Stacking weights of the base models, and the calibration of their weighted sum.

    Attributes:
        churn_weights: Of the base models for churn.
        spend_weights: Of the base models for spend; empty without money.
        platt: Calibrates probabilities.
        log_level: Added to the log of spend.
        spread: Distribution behind the prediction intervals; None without money or out-of-time predictions.
    """

    churn_weights: tuple[float, ...]
    spend_weights: tuple[float, ...]
    platt: Platt
    log_level: float
    spread: Spread | None

    def predict(self, fold: OutOfTimeFold) -> Prediction:
        """Calibrated churn and value for the test cutoff's customers."""
        churn = self.churn_probability(fold)
        return Prediction(churn, self.expected_spend(fold) * (1 - churn) if self.spend_weights else None)

    def churn_probability(self, fold: OutOfTimeFold) -> np.ndarray:
        """Calibrated probability of churn (n,)."""
        return self.platt.probability(fold.churn @ np.array(self.churn_weights))

    def expected_spend(self, fold: OutOfTimeFold) -> np.ndarray:
        """Expected spend (n,) of those who return."""
        return np.exp(fold.spend @ np.array(self.spend_weights) + self.log_level)


@dataclass(frozen=True)
class FittedEnsemble:
    """Models fitted on some cutoffs, with the out-of-time predictions that set their weights.

    Attributes:
        churn: The churn model.
        value: The value model; None without money.
        out_of_time: Out-of-time predictions of the base models, by fold.
        base_models: The base models, fitted on all of the cutoffs.
        horizon: Of the labels.
    """

    churn: ModelBundle
    value: ModelBundle | None
    out_of_time: tuple[OutOfTimeFold, ...]
    base_models: BaseModels
    horizon: Window

    @property
    def richest(self) -> ModelBundle:
        """The value model, which also predicts churn; without money the churn model."""
        return self.value or self.churn

    def cross_calibrated(self, inside: float) -> list[tuple[OutOfTimeFold, Prediction]]:
        """Predictions at each out-of-time cutoff, with weights and calibration from the other ones (cross-fitting)."""

        def predict(one: OutOfTimeFold) -> Prediction:
            others = [fold for fold in self.out_of_time if fold is not one]
            return calibrate_ensemble(others, self.base_models, inside, one.fold.test, self.horizon).predict(one)

        predictions = run_side_by_side([partial(predict, one) for one in self.out_of_time])
        return list(zip(self.out_of_time, predictions, strict=True))


def fit_ensemble(
    snapshots: Snapshots,
    config: Config,
    cutoffs: Sequence[date],
    parameters: Parameters,
    fitted: FittedBefore | None = None,
) -> FittedEnsemble:
    """Fits models on some mature cutoffs and calibrates them on the later ones among these.

    Args:
        snapshots: With labels at all of these cutoffs, as known when the models are fitted (`Snapshots.as_known`).
        config: Seed and interval.
        cutoffs: The only cutoffs that are used.
        parameters: Of the trees, by 'churn' and 'spend'; missing ones have their defaults.
        fitted: Base models of these snapshots and parameters that were fitted before, which are not fitted again; those
            that are fitted now are added. None: there are none.

    Returns:
        The models with their out-of-time predictions.
    """
    with threadpool_limits(1, user_api="blas"):  # BLAS sums depend on the number of threads
        return _fit_ensemble(snapshots, config, cutoffs, parameters, {} if fitted is None else fitted)


def _fit_ensemble(
    snapshots: Snapshots, config: Config, cutoffs: Sequence[date], parameters: Parameters, fitted: FittedBefore
) -> FittedEnsemble:
    horizon, seed = snapshots.task.horizon, config.training.seed
    fit_at_all_cutoffs(sets_to_fit(snapshots, cutoffs), seed, parameters, fitted)
    out_of_time = tuple(
        predicted
        for fold in out_of_time_folds(cutoffs, horizon)
        if (predicted := predict_out_of_time(snapshots, seed, fold, parameters, fitted))
    )
    base_models = fit_at_cutoffs(snapshots, cutoffs, seed, parameters, fitted)
    target = max(cutoffs) + horizon.delta
    calibration = calibrate_ensemble(out_of_time, base_models, config.serving.interval, target, horizon)
    if not out_of_time and base_models.spend:
        calibration = replace(calibration, spread=_spread_across_customers(snapshots, config, cutoffs, parameters))
    kinds = ("churn", "value") if base_models.spend else ("churn",)
    facts = {
        "fingerprint": snapshots.fingerprint,
        "own_features": snapshots.own,
        "definitions": feature_definitions(snapshots.names),
        "cutoffs": [str(c) for c in sorted(cutoffs)],
        "heard": [str(h.fold.test) for h in out_of_time],
        "seed": seed,
        "parameters": {name: dict(values) for name, values in parameters.items()},
        **({"quick": True} if config.training.quick else {}),
    }
    bundles = [_bundle(kind, base_models, calibration, snapshots, config.name, facts) for kind in kinds]
    return FittedEnsemble(bundles[0], bundles[1] if base_models.spend else None, out_of_time, base_models, horizon)


def sets_to_fit(snapshots: Snapshots, cutoffs: Sequence[date]) -> list[tuple[Snapshots, Sequence[date]]]:
    """The sets of cutoffs that `fit_ensemble` fits base models on, each with the snapshots as known then."""
    folds = [f for f in out_of_time_folds(cutoffs, snapshots.task.horizon) if not is_too_small(snapshots, f)]
    return [*((snapshots.as_known(fold.test), fold.train) for fold in folds), (snapshots, cutoffs)]


def calibrate_ensemble(
    out_of_time: Sequence[OutOfTimeFold], base_models: BaseModels, inside: float, target: date, horizon: Window
) -> EnsembleCalibration:
    """Estimates stacking weights, levels and intervals from out-of-time predictions.

    Args:
        out_of_time: The predictions by fold; if there are none, weights are equal and nothing is calibrated.
        base_models: The base models that will be weighted.
        inside: The wanted coverage of the prediction intervals, in (0, 1).
        target: The next cutoff, which levels are forecast for.
        horizon: Of the labels.

    Returns:
        Weights and calibration.
    """
    if not out_of_time:
        equal = [tuple(1 / len(models) for _ in models) for models in (base_models.churn, base_models.spend)]
        return EnsembleCalibration(equal[0], equal[1], Platt(), 0.0, None)
    churned, spent = [h.truth.churned for h in out_of_time], [h.truth.spend for h in out_of_time]
    cutoffs = LaterCutoffs(tuple(h.fold.test for h in out_of_time), target, horizon, inside)
    churn_weights = stacking_weights([h.churn for h in out_of_time], churned, churn_loss)
    platt = fit_platt([h.churn @ churn_weights for h in out_of_time], churned, cutoffs)
    if not base_models.spend:
        return EnsembleCalibration(tuple(churn_weights), (), platt, 0.0, None)
    churn_only = EnsembleCalibration(tuple(churn_weights), (), platt, 0.0, None)
    returns = [1 - churn_only.churn_probability(h) for h in out_of_time]
    log_value = [np.log(np.maximum(p, SURE))[:, None] + h.spend for p, h in zip(returns, out_of_time, strict=True)]
    unlevelled = replace(churn_only, spend_weights=tuple(money_stacking_weights(log_value, spent)))
    value = [p * unlevelled.expected_spend(h) for p, h in zip(returns, out_of_time, strict=True)]
    level = fit_level(value, spent, cutoffs)
    levelled = replace(unlevelled, log_level=level.shift)
    return replace(levelled, spread=_fit_spread(levelled, out_of_time, inside, level.error))


def _fit_spread(
    calibration: EnsembleCalibration, folds: Sequence[OutOfTimeFold], inside: float, level_error: float
) -> Spread:
    returns = [1 - calibration.churn_probability(h) for h in folds]
    spend = [calibration.expected_spend(h) for h in folds]
    return fit_spread(returns, spend, [h.truth.spend for h in folds], inside, level_error)


def _spread_across_customers(
    snapshots: Snapshots, config: Config, cutoffs: Sequence[date], parameters: Parameters
) -> Spread:
    """Without out-of-time predictions: each half of the customers predicts the other; if too few, all predict all."""
    rows = sample_at(snapshots, cutoffs)
    parts = customer_halves(rows)
    if any(why_too_few(a, b, money=True) for a, b in parts):
        parts = ((rows, rows),)
    fitted = [(fit_base_models(a, snapshots, config.training.seed, parameters), b) for a, b in parts]
    folds = [predict_margins(models, Fold((), max(cutoffs)), truth) for models, truth in fitted]
    inside, horizon = config.serving.interval, snapshots.task.horizon
    uncalibrated = calibrate_ensemble((), fitted[0][0], inside, max(cutoffs), horizon)
    return _fit_spread(uncalibrated, folds, inside, unknown_level(horizon, inside).error)


def predict_value_uncalibrated(
    train: Sample, truth: Sample, fold: Fold, snapshots: Snapshots, config: Config
) -> np.ndarray:
    """Predicts value with equal weights and without calibration.

    Args:
        train: The rows that the base models are fitted on.
        truth: The rows to predict (n).
        fold: The cutoffs that the rows are from.
        snapshots: Where the rows are from; gives the horizon.
        config: Seed.

    Returns:
        Expected value (n,).

    Raises:
        ValueError: The log has no money.
    """
    base_models = fit_base_models(train, snapshots, config.training.seed, {})
    uncalibrated = calibrate_ensemble((), base_models, config.serving.interval, fold.test, snapshots.task.horizon)
    value = uncalibrated.predict(predict_margins(base_models, fold, truth)).value
    if value is None:
        raise ValueError("the log has no money")
    return value


def _bundle(
    kind: str,
    base_models: BaseModels,
    calibration: EnsembleCalibration,
    snapshots: Snapshots,
    name: str,
    facts: Mapping[str, Any],
) -> ModelBundle:
    """The model as text, with its origin."""
    task, money = snapshots.task, kind == "value"
    weights = {"gate": list(calibration.churn_weights), **({"spend": list(calibration.spend_weights)} if money else {})}
    return ModelBundle(
        kind=kind,
        name=name,
        features=tuple(snapshots.names),
        task={
            "horizon": str(task.horizon),
            "churn": task.churn,
            "active_within": str(task.cohort.active_within),
            **({"silent_for": str(task.cohort.silent_for)} if isinstance(task.cohort, LapsedCohort) else {}),
            "every": str(task.every),
            "windows": [str(w) for w in task.windows],
            "value_horizons": [str(w) for w in task.value_horizons],
            "timezone": task.timezone,
        },
        gate=weighted_sum(base_models.churn, calibration.churn_weights),
        slope=calibration.platt.slope,
        intercept=calibration.platt.intercept,
        spend=weighted_sum(base_models.spend, calibration.spend_weights) if money else None,
        log_level=calibration.log_level if money else 0.0,
        spread=calibration.spread if money else None,
        facts={**facts, "members": weights},
        levels=base_models.levels,
    )
