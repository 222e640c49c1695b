"""Fits the hierarchical Bayesian effects to an experiment, and compares them with the meta-learners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from features.task import Window
from training.artifact.effect_modifiers import Columns, Modifier, learn_modifiers, modifier_matrix
from training.artifact.hierarchical_effects import SMALLEST, HierarchicalEffects, effect_shape, forecast_of
from training.artifact.uplift_bundle import named_columns
from training.models.level_forecast import forecast_level, money_levels
from training.uplift.effect_posterior import EffectPosterior, RoundEvidence, effect_posterior
from training.uplift.experiment import ExperimentData

FORECASTS = {
    True: "return_probability",
    False: "amount_expected",
}  # the features that forecast a probability, and money


def fit_hierarchical(experiment: ExperimentData, outcome: np.ndarray, base: np.ndarray) -> HierarchicalEffects:
    """Fit the effects of all actions on one outcome.

    Args:
        experiment: Who received what, in which round.
        outcome: The outcome (n,), without its largest values.
        base: The outcome (n,) expected without an action, by models that were not fitted on the customer.

    Returns:
        The posterior of the effects.
    """
    columns = named_columns(experiment.design, experiment.columns)
    share = bool(np.isin(outcome, (0.0, 1.0)).all())
    name = FORECASTS[share] if np.isfinite(columns.get(FORECASTS[share], np.array([np.nan]))).any() else ""
    modifiers = learn_modifiers(columns)
    matrix, forecast = modifier_matrix(columns, modifiers), forecast_of(columns, name, base)
    shape = effect_shape(forecast, share)
    rounds = [
        _round_evidence(experiment.arm[here], outcome[here], matrix[here], forecast[here], shape[here], share)
        for here in _rounds(experiment)
    ]
    scales = np.array([each.prior_scale for each in modifiers])
    posterior = effect_posterior(rounds, len(experiment.actions), scales)
    scaled = matrix * shape[:, None]
    model = _as_text(posterior, modifiers, name, share, experiment.actions, scaled.T @ scaled / len(scaled))
    return model if share else replace(model, level=next_level(rounds))


def next_level(rounds: Sequence[RoundEvidence]) -> float:
    """Forecast the level of money after the last round from customers without an action.

    A forecast from each customer's own past knows no season and no growth. The levels of the rounds, which count as one
    horizon apart, do (`training.models.level_forecast`).

    Args:
        rounds: The evidence, oldest first; at least one.

    Returns:
        The level as a factor of the forecast.
    """
    free = [one.arm == 0 for one in rounds]
    expected = np.concatenate([one.expected[here] for one, here in zip(rounds, free, strict=True)])
    money = np.concatenate([one.outcome[here] for one, here in zip(rounds, free, strict=True)])
    place = np.repeat(np.arange(len(rounds)), [int(here.sum()) for here in free])
    return float(np.exp(forecast_level(money_levels(np.log(expected), money, place), len(rounds), Window(1)).shift))


def cross_fitted_effects(
    experiment: ExperimentData, outcome: np.ndarray, base: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """Predict the effects (n, actions) on customers by hierarchical models that were not fitted on them.

    Args:
        experiment: Who received what.
        outcome: The outcome (n,), without its largest values.
        base: The outcome (n,) expected without an action.
        folds: The fold (n,) of each entry.

    Returns:
        The posterior means.
    """
    effects = np.zeros((len(experiment), len(experiment.actions)))
    for fold in np.unique(folds):
        inside = folds == fold
        fitted = fit_hierarchical(experiment.rows(~inside), outcome[~inside], base[~inside])
        columns = named_columns(experiment.design[inside], experiment.columns)
        for place, action in enumerate(experiment.actions):
            effects[inside, place] = fitted.predict(action, columns, base[inside])[0]
    return effects


def hierarchical_wins(scores: np.ndarray, effects: np.ndarray, challenger: np.ndarray) -> bool:
    """Whether the challenger's doubly robust loss is not below that of the hierarchical model.

    Args:
        scores: Doubly robust scores (n,).
        effects: Effects (n,) by the hierarchical model, not fitted on the customer.
        challenger: Effects (n,) by the meta-learners, not fitted on the customer.

    Returns:
        Whether the hierarchical model is used.
    """
    return bool(((scores - effects) ** 2).mean() <= ((scores - challenger) ** 2).mean())


def average_effect(model: HierarchicalEffects, action: str, columns: Columns, base: np.ndarray) -> tuple[float, float]:
    """Compute the average effect over some customers.

    Args:
        model: The posterior of the effects.
        action: The action.
        columns: (n,) each: the customers' features by name.
        base: (n,) the outcome expected of them without an action.

    Returns:
        The posterior mean of the average, and its standard deviation.
    """
    mean, _ = model.predict(action, columns, base)
    weights = (modifier_matrix(columns, model.modifiers) * model.shape(columns, base)[:, None]).mean(axis=0)
    return float(mean.mean()), float(np.linalg.norm(weights @ np.array(model.factors[action])))


def _rounds(experiment: ExperimentData) -> list[np.ndarray]:
    """The entries of each round that has a control, oldest first."""
    rounds = np.zeros(len(experiment), int) if experiment.rounds is None else experiment.rounds
    found = [np.flatnonzero(rounds == each) for each in np.unique(rounds)]
    return [here for here in found if (experiment.arm[here] == 0).any() and (experiment.arm[here] > 0).any()]


def _round_evidence(
    arm: np.ndarray, outcome: np.ndarray, matrix: np.ndarray, forecast: np.ndarray, shape: np.ndarray, share: bool
) -> RoundEvidence:
    if not share:
        return RoundEvidence(matrix, np.maximum(forecast, 1e-6), arm, outcome)
    chance = np.clip(forecast, SMALLEST, 1 - SMALLEST)
    level = float(outcome[arm == 0].mean())
    return RoundEvidence(
        matrix, chance, arm, outcome, np.maximum(chance * (1 - chance), level * (1 - level) / 4), shape
    )


def _as_text(
    posterior: EffectPosterior, modifiers: tuple[Modifier, ...], forecast: str, share: bool, actions: tuple[str, ...],
    moments: np.ndarray,
) -> HierarchicalEffects:  # fmt: skip
    """The model; its errors are sorted by how much they change the effects of customers, by `moments` (k, k)."""
    means, factors = {}, {}
    for place, action in enumerate(actions):
        values, vectors = np.linalg.eigh(posterior.own_covariance(place))
        factor = vectors * np.sqrt(np.maximum(values, 0))
        _, turn = np.linalg.eigh(factor.T @ moments @ factor)
        means[action] = tuple(posterior.mean[place].tolist())
        factors[action] = tuple(map(tuple, (factor @ turn[:, ::-1]).tolist()))
    return HierarchicalEffects(modifiers, forecast, share, means, factors)
