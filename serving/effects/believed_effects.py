"""Believed effects: what a plan counts on, given estimated effects with errors. The one place where a prior enters.

Estimates on all customers (averages, and differences between customers) are pooled over actions and past campaigns as
shares of the outcome without an action (`serving.effects.posterior`). Each customer's estimate is then
corrected in proportion to its own error. So the errors of an action have two parts: that of the average, and that of
the differences between customers. Each is common to all customers, because one number was estimated from all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from serving.effects.posterior import PosteriorEffects, posterior_effects
from training.uplift.metrics import NORMAL_95

EVIDENT = NORMAL_95  # standard errors by which an average effect must be above 0
LIKELY = 0.8416  # standard deviations by which the posterior mean for the customers whom it helps must be: 4 in 5


@dataclass(frozen=True)
class EstimatedEffects:
    """The estimated effects of one action on one outcome.

    Attributes:
        effects: (n,) of each customer, in the outcome's unit; nan where unknown.
        errors: (n,) their standard errors.
        evidence: The model's estimates on all customers (`UpliftBundle.evidence`); empty if they are unknown.
        parts: (n, k) independent standard errors of a posterior, common to all customers; None for mere estimates.
    """

    effects: np.ndarray
    errors: np.ndarray
    evidence: Mapping[str, float] = field(default_factory=dict)
    parts: np.ndarray | None = None


@dataclass(frozen=True)
class PastEffect:
    """The measured effect of an action in a past campaign, and its standard error, as shares of the outcome."""

    action: str
    effect: float
    error: float


@dataclass(frozen=True)
class BelievedEffects:
    """The posterior of one action's effects on one outcome, in the outcome's unit.

    Attributes:
        mean: (n,) posterior mean for each customer; nan where nothing was estimated.
        parts: (n, k) contributions of independent standard normal errors to a customer's effect.
        estimate: The average effect, estimated from the experiment and past campaigns.
        error: Its standard error.
        average: Its posterior mean.
        evident: Whether there is evidence of an effect. Of a posterior: its total for the customers whom it helps is
            probably above 0 (`LIKELY`). Of estimates: the 95% interval of the average is above 0, or effects differ.
    """

    mean: np.ndarray
    parts: np.ndarray
    estimate: float
    error: float
    average: float
    evident: bool

    @property
    def deviation(self) -> np.ndarray:
        """(n,) posterior standard deviation for each customer."""
        return np.asarray(np.sqrt((self.parts**2).sum(axis=1)))


@dataclass(frozen=True)
class _Terms:
    """Effects as average x average_shape + slope x slope_shape, plus what no error is known of.

    Attributes:
        base: Mean outcome without an action.
        average, error: The average effect, and its standard error.
        slope: The difference for one unit of `slope_shape`, as far as it is in the effects; 0 without evidence.
        gain, gain_error: The slope as estimated, and its standard error; 0 if unknown.
        average_shape, slope_shape: (n,) of each customer.
    """

    base: float
    average: float
    error: float
    slope: float
    gain: float
    gain_error: float
    average_shape: np.ndarray
    slope_shape: np.ndarray


def believe_effects(
    estimated: Mapping[str, EstimatedEffects], expected: np.ndarray, past: Sequence[PastEffect] = ()
) -> dict[str, BelievedEffects]:
    """Compute the posterior of the effects of several actions on one outcome.

    Args:
        estimated: The estimates by action; at least one customer of each is known.
        expected: (n,) the outcome that is expected of each customer without an action.
        past: Effects measured in campaigns from which the estimates did not learn, of any action.

    Returns:
        The posterior by action.
    """
    posterior = {
        name: _update_posterior(each, each.parts, expected, [p for p in past if p.action == name])
        for name, each in estimated.items()
        if each.parts is not None
    }
    return posterior | _with_prior({n: e for n, e in estimated.items() if e.parts is None}, expected, past)


def _update_posterior(
    estimated: EstimatedEffects, parts: np.ndarray, expected: np.ndarray, past: Sequence[PastEffect]
) -> BelievedEffects:
    """The posterior of the hierarchical model, with what later campaigns measured: a Kalman update of its errors."""
    mean, known = estimated.effects.copy(), np.isfinite(estimated.effects) & np.isfinite(expected)
    base = float(expected[known].mean())
    for each in past if base > 0 else ():
        average, direction = mean[known].mean() / base, parts[known].mean(axis=0) / base
        gain = direction / (direction @ direction + each.error**2)
        mean = mean + parts @ gain * (each.effect - average)
        parts = parts @ np.linalg.cholesky(np.eye(len(gain)) - np.outer(gain, direction))
    average, error = float(mean[known].mean()), float(np.linalg.norm(parts[known].mean(axis=0)))
    helped = known & (mean > 0)
    evident = bool(mean[helped].sum() > LIKELY * np.linalg.norm(parts[helped].sum(axis=0)))
    return BelievedEffects(mean, parts, average, error, average, evident)


def _with_prior(
    estimated: Mapping[str, EstimatedEffects], expected: np.ndarray, past: Sequence[PastEffect]
) -> dict[str, BelievedEffects]:
    """The posterior of estimates, by one prior for all of them."""
    terms = {name: _terms(each, expected) for name, each in estimated.items()}
    places = {name: place for place, name in enumerate(dict.fromkeys([*terms, *(each.action for each in past)]))}
    shares = [(places[name], t.average / t.base, t.error / t.base) for name, t in terms.items()]
    shares += [(places[each.action], each.effect, each.error) for each in past]
    averages = _pooled(shares, len(places))
    slopes = _pooled(
        [(places[name], t.gain / t.base, t.gain_error / t.base) for name, t in terms.items() if t.gain_error > 0],
        len(places),
    )
    return {name: _posterior(estimated[name], t, places[name], averages, slopes) for name, t in terms.items()}


def _pooled(estimates: Sequence[tuple[int, float, float]], count: int) -> PosteriorEffects:
    places, effects, errors = np.array(estimates, float).reshape(-1, 3).T
    return posterior_effects(places.astype(int), effects, errors, count)


def _posterior(
    estimated: EstimatedEffects, terms: _Terms, place: int, averages: PosteriorEffects, slopes: PosteriorEffects
) -> BelievedEffects:
    base = terms.base
    mean = estimated.effects + (base * averages.mean[place] - terms.average) * terms.average_shape
    parts = np.stack([base * averages.deviation[place] * terms.average_shape, np.zeros(len(mean))], axis=1)
    if terms.slope > 0:
        mean = mean + (base * slopes.mean[place] - terms.slope) * terms.slope_shape
        parts[:, 1] = base * slopes.deviation[place] * terms.slope_shape
    estimate, error = float(base * averages.estimate[place]), float(base * averages.error[place])
    evident = estimate > EVIDENT * error or terms.slope > 0
    return BelievedEffects(mean, parts, estimate, error, float(base * averages.mean[place]), evident)


def _terms(estimated: EstimatedEffects, expected: np.ndarray) -> _Terms:
    """The terms of the effects: as the model has them, else all errors are taken for one of the average."""
    effects, errors, evidence = estimated.effects, estimated.errors, estimated.evidence
    ones = np.ones(len(effects))
    if not evidence.get("base", 0.0) > 0:
        known = np.isfinite(effects)
        base, error = float(np.mean(expected[known])), float(errors[known].mean())
        shape = errors / error if error > 0 else ones
        return _Terms(base if base > 0 else 1.0, float(effects[known].mean()), error, 0.0, 0.0, 0.0, shape, 0 * ones)
    average, error, slope = evidence["average"], evidence["error"], evidence["slope"]
    gain, gain_error = evidence.get("gain", 0.0), evidence.get("gain_error", 0.0)
    if slope > 0:
        return _Terms(evidence["base"], average, error, slope, gain, gain_error, ones, (effects - average) / slope)
    shape = errors / error if error > 0 else ones
    return _Terms(evidence["base"], average, error, 0.0, gain, gain_error, shape, 0 * ones)
