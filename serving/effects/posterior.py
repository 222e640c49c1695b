"""Posterior effects of actions, given estimates with errors: a prior that is pooled over actions and past campaigns.

Effects are shares of the outcome without an action, so that actions and campaigns can be compared. The effect of an
action in a campaign is normal around the action's own effect. The standard deviation between campaigns of one action is
that of DerSimonian and Laird (Controlled Clinical Trials 7, 1986). The effects of actions are normal around 0, and half
of their variance is common to all actions of a business. Their standard deviation has a half-Cauchy prior (Gelman,
Bayesian Analysis 1, 2006) and is integrated on a grid: with few actions the prior decides, with many the actions do.
Without evidence an effect is drawn to 0. A posterior mean needs no further correction for choosing the best of several
actions, since it does not depend on the choice (Senn, A note concerning a selection "paradox" of Dawid's, The American
Statistician 62, 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POINTS = 400  # of the grid
SCALE = 0.05  # of the prior of the standard deviation of effects: a twentieth of the outcome
COMMON = 0.5  # the part of their variance that all actions of a business have in common
LEAST_ERROR = 1e-9


@dataclass(frozen=True)
class PosteriorEffects:
    """What is known of the effects of actions; (a,) each.

    Attributes:
        estimate: The estimates of an action together, without a prior; 0 if there are none.
        error: Its standard error; infinite if there are none.
        mean: Posterior mean of the action's effect.
        deviation: Posterior standard deviation of its effect in the next campaign.
    """

    estimate: np.ndarray
    error: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def posterior_effects(actions: np.ndarray, effects: np.ndarray, errors: np.ndarray, count: int) -> PosteriorEffects:
    """Compute the posterior of each action's effect.

    Args:
        actions: (k,) the action of each estimate, from 0; an action may have several, one a campaign, or none.
        effects: (k,) estimates, as shares of the outcome without an action.
        errors: (k,) their standard errors.
        count: Number of actions, a.

    Returns:
        The posterior; of an action without an estimate it is the prior.

    >>> alone = posterior_effects(np.array([0]), np.array([0.04]), np.array([0.05]), 1)
    >>> precise = posterior_effects(np.array([0]), np.array([0.04]), np.array([0.005]), 1)
    >>> alone.mean.round(3).tolist(), alone.deviation.round(3).tolist(), precise.mean.round(3).tolist()
    ([0.015], [0.033], [0.039])
    """
    variances = np.maximum(errors, LEAST_ERROR) ** 2
    between = _between_campaigns(actions, effects, variances, count)
    weights = 1 / (variances + between)
    weight = np.bincount(actions, weights, minlength=count)
    known = weight > 0
    estimate = np.bincount(actions, weights * effects, minlength=count) / np.where(known, weight, 1.0)
    variance = np.where(known, 1 / np.where(known, weight, 1.0), np.inf)
    mean, own = _with_prior(estimate[known], variance[known], known)
    return PosteriorEffects(estimate, np.sqrt(variance), mean, np.sqrt(own + between))


def _with_prior(estimate: np.ndarray, variance: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and variance (a,) of each action's effect, from one estimate of each `known` action."""
    scale = SCALE * np.tan(np.pi / 2 * (np.arange(POINTS) + 0.5) / POINTS)[:, None]  # equally likely before the data
    common, apart = COMMON * scale**2, (1 - COMMON) * scale**2  # variances: of all actions together, and of each
    precision = 1 / (apart + variance)  # (points, known)
    spread = 1 / (1 / common[:, 0] + precision.sum(axis=1))  # variance of the common effect
    centre = spread * (precision @ estimate)
    loglik = 0.5 * (
        np.log(precision).sum(axis=1) + np.log(spread / common[:, 0]) - precision @ estimate**2 + centre**2 / spread
    )
    weight = np.exp(loglik - loglik.max())
    weight /= weight.sum()
    kept = np.zeros((POINTS, len(known)))
    kept[:, known] = apart * precision
    values = np.zeros(len(known))
    values[known] = estimate
    noise = np.zeros(len(known))
    noise[known] = variance
    means = kept * values + (1 - kept) * centre[:, None]
    own = np.where(known, kept * noise, np.minimum(apart, 1.0)) + (1 - kept) ** 2 * np.minimum(spread, 1.0)[:, None]
    mean = weight @ means
    return mean, weight @ (own + means**2) - mean**2


def _between_campaigns(actions: np.ndarray, effects: np.ndarray, variances: np.ndarray, count: int) -> float:
    """Variance between the campaigns of an action, by the method of moments; 0 if no action has several."""
    if np.bincount(actions, minlength=count).max(initial=0) < 2:
        return 0.0
    weights = 1 / variances
    total = np.maximum(np.bincount(actions, weights, minlength=count), 1e-300)
    mean = np.bincount(actions, weights * effects, minlength=count) / total
    excess = (weights * (effects - mean[actions]) ** 2).sum() - (len(effects) - len(np.unique(actions)))
    scale = (total - np.bincount(actions, weights**2, minlength=count) / total).sum()
    return max(float(excess / scale), 0.0)
