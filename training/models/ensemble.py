"""How models are made from some cutoffs: members, their weights, calibration and intervals, all from later cutoffs.

`ship` is the whole procedure. It is done twice by a training: once on what came a horizon before the last cutoff, to be
judged there, and once on everything, to be shipped; and once at every cutoff of a backtest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from features.config.load import Config
from features.snapshots.build import Snapshots
from training.artifact.bundle import Levels, ModelBundle
from training.artifact.margin import SURE, Margin
from training.artifact.spread import Spread
from training.data.category_levels import encode_sample, learn_levels
from training.data.prediction import Prediction
from training.data.time_split import (
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
from training.models.calibration import Platt, fit_level, fit_platt, predict_shift
from training.models.churn import ChurnClassifier
from training.models.intervals import fit_spread
from training.models.lightgbm_base import LightGBMEstimator
from training.models.linear_prior import churn_loss, fit_churn_prior, fit_spend_prior
from training.models.spend import SpendRegressor, positive_spend
from training.models.stacking import money_stacking_weights, stacking_weights, weighted_sum

NO_FOLD = predict_shift((), (), ())
PRIOR_HALF, TREES_HALF = 1.5, 4.0  # horizons after which a row weighs half: few weights can forget faster than trees
CORRECTING_TREES = 0.5  # trees of a member that only corrects the prior, of those of the plain one
Parameters = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class BaseModels:
    """Margins of one kind each, learned from some cutoffs: the prior, plain trees, trees that correct the prior."""

    levels: Levels
    gate: tuple[Margin, ...]
    spend: tuple[Margin, ...]


@dataclass(frozen=True)
class OutOfTimeFold:
    """What members said of a later cutoff than those they learned from, and what came.

    Attributes:
        fold: Which cutoffs.
        age: See `split.ages`.
        season: Whether it has the season of the cutoff that comes next; see `split.in_season`.
        truth: The later cutoff's customers (n,).
        gate: Log-odds of churn (n, k) by member.
        spend: Logs of spend (n, k) by member; (n, 0) without money.
    """

    fold: Fold
    age: float
    season: bool
    truth: Sample
    gate: np.ndarray
    spend: np.ndarray


@dataclass(frozen=True)
class EnsembleCalibration:
    """Weights of the members, and what makes their sum hold on later cutoffs."""

    gate: tuple[float, ...]
    spend: tuple[float, ...]
    platt: Platt
    log_level: float
    spread: Spread | None

    def predict(self, heard: OutOfTimeFold) -> Prediction:
        """Churn and value of the customers of a later cutoff."""
        churn = self.churn_of(heard)
        return Prediction(churn, self.spend_of(heard) * (1 - churn) if self.spend else None)

    def churn_of(self, heard: OutOfTimeFold) -> np.ndarray:
        """Probability (n,) of churn."""
        return self.platt.probability(heard.gate @ np.array(self.gate))

    def spend_of(self, heard: OutOfTimeFold) -> np.ndarray:
        """Expected spend (n,) of those who return."""
        return np.exp(heard.spend @ np.array(self.spend) + self.log_level)


@dataclass(frozen=True)
class FittedEnsemble:
    """Models of some cutoffs, and what their members said of cutoffs that they had not seen."""

    churn: ModelBundle
    value: ModelBundle | None
    out_of_time: tuple[OutOfTimeFold, ...]
    base_models: BaseModels

    @property
    def richest(self) -> ModelBundle:
        """The value model, which holds the churn model; without money the churn model."""
        return self.value or self.churn

    def cross_calibrated(self, inside: float) -> list[tuple[OutOfTimeFold, Prediction]]:
        """What this procedure says of every cutoff that was heard, when the others alone calibrate."""
        others = [[h for h in self.out_of_time if h is not one] for one in self.out_of_time]
        return [
            (h, calibrate_ensemble(o, self.base_models, inside).predict(h))
            for h, o in zip(self.out_of_time, others, strict=True)
        ]


def fit_ensemble(
    snapshots: Snapshots, config: Config, cutoffs: Sequence[date], parameters: Parameters
) -> FittedEnsemble:
    """Models that learned from some mature cutoffs, calibrated on the later ones among them.

    Args:
        snapshots: With labels at all of these cutoffs.
        config: Seed and interval.
        cutoffs: What may be learned from; nothing else is looked at.
        parameters: Of the trees, by 'churn' and 'spend'; what is missing has its default.
    """
    with threadpool_limits(1, user_api="blas"):  # its sums depend on the number of threads
        return _ship(snapshots, config, cutoffs, parameters)


def _ship(snapshots: Snapshots, config: Config, cutoffs: Sequence[date], parameters: Parameters) -> FittedEnsemble:
    folds = out_of_time_folds(cutoffs, snapshots.task.horizon)
    when = (folds, cutoffs, snapshots.task.horizon)
    told = zip(folds, fold_ages(*when), same_season(*when), strict=True)
    heard = tuple(
        h for fold, age, same in told if (h := predict_out_of_time(snapshots, config, fold, age, same, parameters))
    )
    members = fit_base_models(sample_at(snapshots, cutoffs), snapshots, config, parameters)
    calibration = calibrate_ensemble(heard, members, config.serving.interval)
    if not heard and members.spend:
        calibration = replace(calibration, spread=_spread_apart(snapshots, config, cutoffs, parameters))
    kinds = ("churn", "value") if members.spend else ("churn",)
    facts = {
        "fingerprint": snapshots.fingerprint,
        "own_features": snapshots.own,
        "cutoffs": [str(c) for c in sorted(cutoffs)],
        "heard": [str(h.fold.test) for h in heard],
        "seed": config.training.seed,
        "parameters": {name: dict(values) for name, values in parameters.items()},
    }
    made = [_bundle(kind, members, calibration, snapshots, config.name, facts) for kind in kinds]
    return FittedEnsemble(made[0], made[1] if members.spend else None, heard, members)


def predict_out_of_time(
    snapshots: Snapshots, config: Config, fold: Fold, age: float, season: bool, parameters: Parameters
) -> OutOfTimeFold | None:
    """What members that learned from a fold's cutoffs say of its later one.

    None where that can say nothing: it takes customers of either fate before and at it, and some who spent.
    """
    train, truth = sample_at(snapshots, fold.train), sample_at(snapshots, [fold.test])
    if why_too_few(train, truth, has_money(snapshots)):
        return None
    return _said(fit_base_models(train, snapshots, config, parameters), fold, age, season, truth)


def _said(members: BaseModels, fold: Fold, age: float, season: bool, truth: Sample) -> OutOfTimeFold:
    X = encode_sample(truth, members.levels).features
    gate = np.column_stack([margin.predict(X) for margin in members.gate])
    spend = (
        np.column_stack([margin.predict(X) for margin in members.spend]) if members.spend else np.empty((len(truth), 0))
    )
    return OutOfTimeFold(fold, age, season, truth, gate, spend)


def fit_base_models(text: Sample, snapshots: Snapshots, config: Config, parameters: Parameters) -> BaseModels:
    """Every member, from some of the rows of snapshots; later ones weigh more."""
    levels = learn_levels(text)
    rows = encode_sample(text, levels)
    fresh, weight = (recency_weights(rows.dates, snapshots.task.horizon, half) for half in (PRIOR_HALF, TREES_HALF))
    given = {"seed": config.training.seed, "categorical": tuple(levels)}
    prior = fit_churn_prior(rows.features, rows.churned, fresh)
    gate = fit_margins(prior, ChurnClassifier, rows, rows.churned, weight, {**parameters.get("churn", {}), **given})
    if not has_money(snapshots):
        return BaseModels(levels, gate, ())
    back = rows.churned == 0
    rows, fresh, weight = rows.take(back), fresh[back], weight[back]
    spend = positive_spend(rows.spend)
    prior = fit_spend_prior(rows.features, spend, fresh)
    tuned = {**parameters.get("spend", {}), **given}
    return BaseModels(levels, gate, fit_margins(prior, SpendRegressor, rows, spend, weight, tuned))


def calibrate_ensemble(heard: Sequence[OutOfTimeFold], members: BaseModels, inside: float) -> EnsembleCalibration:
    """Weights, slope, level and intervals that later cutoffs show; equal weights and no change where there are none."""
    if not heard:
        equal = [tuple(1 / len(of) for _ in of) for of in (members.gate, members.spend)]
        return EnsembleCalibration(equal[0], equal[1], Platt(), 0.0, None)
    churned, when = [h.truth.churned for h in heard], ([h.age for h in heard], [h.season for h in heard])
    gate = stacking_weights([h.gate for h in heard], churned, churn_loss)
    platt = fit_platt([h.gate @ gate for h in heard], churned, *when)
    if not members.spend:
        return EnsembleCalibration(tuple(gate), (), platt, 0.0, None)
    plain = EnsembleCalibration(tuple(gate), tuple(1 / len(members.spend) for _ in members.spend), platt, 0.0, None)
    back = [np.log(np.maximum(1 - plain.churn_of(h), SURE))[:, None] for h in heard]
    spend = money_stacking_weights(
        [b + h.spend for b, h in zip(back, heard, strict=True)], [h.truth.spend for h in heard]
    )
    plain = replace(plain, spend=tuple(spend))
    value = [(1 - plain.churn_of(h)) * plain.spend_of(h) for h in heard]
    level = fit_level(value, [h.truth.spend for h in heard], *when)
    levelled = replace(plain, log_level=level.shift)
    return replace(levelled, spread=_spread(levelled, heard, inside, level.error))


def _spread(
    calibration: EnsembleCalibration, heard: Sequence[OutOfTimeFold], inside: float, level_error: float
) -> Spread:
    back = [1 - calibration.churn_of(h) for h in heard]
    spend = [calibration.spend_of(h) for h in heard]
    return fit_spread(back, spend, [h.truth.spend for h in heard], inside, level_error)


def _spread_apart(snapshots: Snapshots, config: Config, cutoffs: Sequence[date], parameters: Parameters) -> Spread:
    """Where no later cutoff can be heard: each half of the customers by the other; too few for that: all by all."""
    rows = sample_at(snapshots, cutoffs)
    parts = customer_halves(rows)
    if any(why_too_few(a, b, money=True) for a, b in parts):
        parts = ((rows, rows),)
    learned = [(fit_base_models(a, snapshots, config, parameters), b) for a, b in parts]
    heard = [_said(members, Fold((), max(cutoffs)), 0.0, False, others) for members, others in learned]
    return _spread(
        calibrate_ensemble((), learned[0][0], config.serving.interval), heard, config.serving.interval, NO_FOLD.error
    )


def predict_value_uncalibrated(
    train: Sample, truth: Sample, fold: Fold, snapshots: Snapshots, config: Config
) -> np.ndarray:
    """Value (n,) of some rows by models of others: members weigh alike, and nothing is calibrated."""
    members = fit_base_models(train, snapshots, config, {})
    value = (
        calibrate_ensemble((), members, config.serving.interval).predict(_said(members, fold, 0.0, False, truth)).value
    )
    if value is None:
        raise ValueError("the log has no money")
    return value


def has_money(snapshots: Snapshots) -> bool:
    """Whether the log has amounts."""
    return snapshots.rows["value"].null_count < snapshots.rows.num_rows


def fit_margins(
    prior: Margin,
    estimator: type[LightGBMEstimator],
    rows: Sample,
    label: np.ndarray,
    weight: np.ndarray,
    parameters: Mapping[str, Any],
) -> tuple[Margin, ...]:
    """The prior, trees of their own, and the prior with trees that correct it."""
    plain = estimator(**parameters).fit_margin(rows.features, label, weight=weight)
    fewer = max(1, round(CORRECTING_TREES * plain.n_estimators))
    correcting = estimator(**{**parameters, "n_estimators": fewer})
    correcting.fit_margin(rows.features, label, start=prior.predict(rows.features), weight=weight)
    corrected = Margin(prior.intercept, prior.terms, (correcting.booster_.model_to_string(),), (1.0,))
    return prior, Margin(trees=(plain.booster_.model_to_string(),), weights=(1.0,)), corrected


def _bundle(
    kind: str,
    members: BaseModels,
    calibration: EnsembleCalibration,
    snapshots: Snapshots,
    name: str,
    facts: Mapping[str, Any],
) -> ModelBundle:
    """The models as text, with where they came from."""
    task, money = snapshots.task, kind == "value"
    weights = {"gate": list(calibration.gate), **({"spend": list(calibration.spend)} if money else {})}
    return ModelBundle(
        kind=kind,
        name=name,
        features=tuple(snapshots.names),
        task={
            "horizon": str(task.horizon),
            "churn": task.churn,
            "active_within": str(task.cohort.active_within),
            "every": str(task.every),
            "windows": [str(w) for w in task.windows],
            "value_horizons": [str(w) for w in task.value_horizons],
        },
        gate=weighted_sum(members.gate, calibration.gate),
        slope=calibration.platt.slope,
        intercept=calibration.platt.intercept,
        spend=weighted_sum(members.spend, calibration.spend) if money else None,
        log_level=calibration.log_level if money else 0.0,
        spread=calibration.spread if money else None,
        facts={**facts, "members": weights},
        levels=members.levels,
    )
