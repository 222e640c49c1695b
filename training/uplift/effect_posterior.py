"""Hierarchical Bayesian effects of actions, relative to the forecast, in closed form.

The outcome of customer i in round r is `level_r m_i (1 + x_i'g_r + [arm = a] (x_i'b_a + u_ar)) + noise`: `m` is what
was expected without contact, `x` the modifiers (the first is 1), `g` corrects the forecast, `b_a` is the effect of
action a as a share of the forecast, and `u` is how much one campaign differs from the others. The variance
of the noise is in proportion to m, with a scale for each arm (quasi-likelihood: Wedderburn, Biometrika 61, 1974).
Customers without an action are part of the evidence, with the modifiers as covariates, so that it does not matter with
which probability which modifiers were contacted.

- Prior: `b_a` is normal around 0. Its standard deviation is `scale x prior_scales`, times a ratio for all modifiers but
  the first. Scale (half-Cauchy prior: Gelman, Bayesian Analysis 1, 2006) and ratio are integrated on a grid, so that
  effects are drawn to 0, and customers to the average, as far as all actions and modifiers together suggest.
- Change: an action's effect may be drawn anew before any round with the probability `HAZARD`; all moments of the last
  change are weighed by their evidence (Adams and MacKay, Bayesian online changepoint detection, 2007).
- Pooling: parts of the prior variance are common to all actions, and to those that share an attribute. They are
  applied to what each action's own evidence says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SCALES = np.array([0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6])  # of effects, as shares of the forecast
RATIOS = np.array([0.3, 1.0, 2.0])  # of differences between customers to averages, in prior standard deviations
CENTRE_SCALE = 0.1  # of the half-Cauchy prior of that scale
HAZARD = 0.02  # probability of a change of an action's effect before a round
CAMPAIGN = 0.3  # standard deviation between campaigns of one action, as a share of the scale
COMMON, SHARED = 0.2, 0.3  # parts of the prior variance: common to all actions, and to those that share attributes
FORECAST_SCALE = 0.3  # standard deviation of the corrections of the forecast
KNOTS = (0.02, 0.5, 0.8, 0.95, 0.995)  # quantiles of the forecast between which its correction is linear
PSEUDO_CUSTOMERS = 100.0  # without an action, whose residuals complete those of a small arm


@dataclass(frozen=True)
class RoundEvidence:
    """One round of contacts, with the outcomes that followed.

    Attributes:
        modifiers: (n, k), the first column is 1.
        expected: (n,) outcome expected without an action, above 0.
        arm: (n,) 0: nothing, a: the a-th action.
        outcome: (n,).
        variance: (n,) of the outcome without an action; None: it is estimated.
        shape: (n,) change of the outcome for an effect of 1; None: the forecast at the level of the round.
    """

    modifiers: np.ndarray
    expected: np.ndarray
    arm: np.ndarray
    outcome: np.ndarray
    variance: np.ndarray | None = None
    shape: np.ndarray | None = None


@dataclass(frozen=True)
class EffectPosterior:
    """The posterior of the effects of A actions, as shares of the forecast.

    Attributes:
        mean: (A, k) coefficients of the modifiers.
        covariance: (A k, A k) of all coefficients, action by action.
        scale: Posterior mean of the scale of effects.
        changes: (A,) probability that the action's effect changed within the rounds.
        contacts: (A,) number of contacts in the evidence.
    """

    mean: np.ndarray
    covariance: np.ndarray
    scale: float
    changes: np.ndarray
    contacts: np.ndarray

    def own_covariance(self, action: int) -> np.ndarray:
        """(k, k) covariance of one action's coefficients."""
        k = self.mean.shape[1]
        return self.covariance[action * k : (action + 1) * k, action * k : (action + 1) * k]


@dataclass(frozen=True)
class _Information:
    """What rounds say of the coefficients of actions: precision (A, r, k, k), weighted sums (A, r, k)."""

    precision: np.ndarray
    total: np.ndarray


def effect_posterior(
    rounds: Sequence[RoundEvidence], actions: int, prior_scales: np.ndarray, likeness: np.ndarray | None = None
) -> EffectPosterior:
    """Compute the posterior of the effects.

    Args:
        rounds: The evidence, oldest first; maybe none.
        actions: Number of actions, A.
        prior_scales: (k,) prior standard deviation of each coefficient, in units of the scale.
        likeness: (A, A) correlation of the effects of actions before any evidence; None: `COMMON`.

    Returns:
        The posterior; of an action without contacts it is the prior, given the other actions.
    """
    k = len(prior_scales)
    found = _information(rounds, actions, k)
    priors = [_prior(scale, ratio, prior_scales) for scale in SCALES for ratio in RATIOS]
    scales = np.repeat(SCALES, len(RATIOS))
    log_weights = np.repeat(np.log(np.gradient(SCALES)) - np.log1p((SCALES / CENTRE_SCALE) ** 2), len(RATIOS))
    own = [
        [_one_action(found, a, prior, scale * CAMPAIGN) for a in range(actions)]
        for scale, prior in zip(scales, priors, strict=True)
    ]
    log_weights = log_weights + np.array([sum(each.log_evidence for each in of_scale) for of_scale in own])
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    if likeness is None:
        likeness = COMMON + (1 - COMMON) * np.eye(actions)
    means, covariances = zip(
        *(_pooled(of_scale, prior, likeness) for prior, of_scale in zip(priors, own, strict=True)), strict=True
    )
    mean = np.tensordot(weights, np.array(means), 1)
    apart = np.array(means) - mean
    covariance = np.tensordot(weights, np.array(covariances) + apart[:, :, None] * apart[:, None, :], 1)
    changes = np.array([[each.change for each in of_scale] for of_scale in own])
    contacts = np.array([sum(int((r.arm == a + 1).sum()) for r in rounds) for a in range(actions)], int)
    return EffectPosterior(mean.reshape(actions, k), covariance, float(weights @ scales), weights @ changes, contacts)


def _prior(scale: float, ratio: float, prior_scales: np.ndarray) -> np.ndarray:
    """Prior standard deviations (k,) of the coefficients: of the average, and of differences between customers."""
    return scale * np.concatenate([prior_scales[:1], ratio * prior_scales[1:]])


@dataclass(frozen=True)
class _Own:
    """One action's posterior by its own evidence: mean (k,), covariance (k, k), log evidence, chance of a change."""

    mean: np.ndarray
    covariance: np.ndarray
    log_evidence: float
    change: float


def _one_action(found: _Information, action: int, scales: np.ndarray, campaign: float) -> _Own:
    """The posterior over all moments of the last change, moment-matched."""
    k = len(scales)
    precision, total, log_noise = _with_campaign_noise(found.precision[action], found.total[action], campaign)
    used = np.flatnonzero(np.trace(precision, axis1=1, axis2=2) > 0)
    precision, total = precision[used], total[used]
    rounds = len(used)
    if not rounds:
        return _Own(np.zeros(k), np.diag(scales**2), 0.0, 0.0)
    log_segment, stay = np.full((rounds, rounds), -np.inf), np.log1p(-HAZARD)
    last: list[tuple[np.ndarray, np.ndarray]] = []
    for first in range(rounds):
        sums = np.cumsum(precision[first:], axis=0), np.cumsum(total[first:], axis=0)
        covariance, mean, log_segment[first, first:] = _segment(*sums, scales)
        last.append((covariance[-1], mean[-1]))
    begun = np.zeros(rounds)  # log evidence of all before a round, with a change there
    for change in range(1, rounds):
        terms = begun[:change] + log_segment[:change, change - 1] + stay * np.arange(change - 1, -1, -1)
        begun[change] = np.log(HAZARD) + np.logaddexp.reduce(terms)
    ends = begun + log_segment[:, -1] + stay * np.arange(rounds - 1, -1, -1)
    evidence = float(np.logaddexp.reduce(ends))
    weights = np.exp(ends - evidence)
    means = np.array([mean for _, mean in last])
    mean = weights @ means
    spread = np.array([covariance for covariance, _ in last]) + (means - mean)[:, :, None] * (means - mean)[:, None, :]
    return _Own(mean, np.tensordot(weights, spread, 1), evidence + log_noise, float(1 - weights[0]))


def _segment(precision: np.ndarray, total: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariance (r, k, k), mean (r, k) and log evidence (r,) of one effect during the first rounds, 1 to r of them."""
    scaled = scales[:, None] * precision * scales
    inverse = np.linalg.inv(np.eye(len(scales)) + scaled)
    covariance = scales[:, None] * inverse * scales
    mean = np.einsum("rij,rj->ri", covariance, total)
    log_evidence = 0.5 * ((mean * total).sum(axis=1) - np.linalg.slogdet(np.eye(len(scales)) + scaled)[1])
    return covariance, mean, log_evidence


def _with_campaign_noise(
    precision: np.ndarray, total: np.ndarray, deviation: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Integrates out how much each campaign's effect differs, a normal number added to the first coefficient.

    Returns also what this adds to the log evidence.
    """
    column = precision[:, :, 0]
    gain = 1 / (deviation**-2 + precision[:, 0, 0])
    log_evidence = 0.5 * (gain * total[:, 0] ** 2 - np.log1p(deviation**2 * precision[:, 0, 0])).sum()
    return (
        precision - gain[:, None, None] * column[:, :, None] * column[:, None, :],
        total - (gain * total[:, 0])[:, None] * column,
        float(log_evidence),
    )


def _pooled(own: Sequence[_Own], scales: np.ndarray, likeness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (A k,) and covariance of all actions together, from what each action's own evidence says."""
    k, actions = len(scales), len(own)
    precision, total = np.zeros((actions * k, actions * k)), np.zeros(actions * k)
    for a, each in enumerate(own):
        here = slice(a * k, (a + 1) * k)
        inverse = np.linalg.inv(each.covariance)
        values, vectors = np.linalg.eigh(scales[:, None] * inverse * scales - np.eye(k))
        known = (vectors * np.maximum(values, 0)) @ vectors.T / (scales[:, None] * scales)
        precision[here, here] = known
        total[here] = known @ each.mean + np.diag(scales**-2.0) @ each.mean  # as inverse @ mean where values >= 0
    prior = np.kron(likeness, np.diag(scales**2))
    covariance = np.linalg.solve(np.eye(actions * k) + prior @ precision, prior)
    covariance = (covariance + covariance.T) / 2
    return covariance @ total, covariance


def _information(rounds: Sequence[RoundEvidence], actions: int, k: int) -> _Information:
    precision, total = np.zeros((actions, len(rounds), k, k)), np.zeros((actions, len(rounds), k))
    variances = fit_variances(rounds)
    for r, (one, variance) in enumerate(zip(rounds, variances, strict=True)):
        control = one.arm == 0
        x, m, y, weight = one.modifiers, one.expected, one.outcome, 1 / variance
        level = _round_level(one) if one.shape is None else 1.0
        m, shape = level * m, level * m if one.shape is None else one.shape
        z = np.column_stack([x, _forecast_terms(m, control)]) * shape[:, None]
        correction, error = _fit_forecast(z[control], y[control] - m[control], weight[control])
        rest = y - m - z @ correction
        for a in range(actions):
            here = one.arm == a + 1
            if not here.any():
                continue
            design = x[here] * shape[here][:, None]
            weighted = design * weight[here][:, None]
            own, common = weighted.T @ design, weighted.T @ z[here]
            damped = own @ np.linalg.pinv(own + common @ error @ common.T, rcond=1e-9, hermitian=True)
            precision[a, r] = damped @ own
            total[a, r] = damped @ (weighted.T @ rest[here])
    precision = (precision + precision.swapaxes(2, 3)) / 2
    return _Information(precision, total)


def _forecast_terms(expected: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Piecewise linear terms (n, 4) of the logarithm of the forecast.

    Plans choose by the forecast. Without these terms, a forecast that is wrong for those of whom most is expected would
    seem an effect of the actions that they get.
    """
    size = np.log(expected)
    knots = np.quantile(size[control], KNOTS)
    low, high = knots[0], knots[-1]
    spread = max(float(size[control].std()), 1e-9)
    return np.maximum(np.clip(size, low, high)[:, None] - knots[:-1], 0.0) / spread


def _fit_forecast(design: np.ndarray, rest: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corrections (k,) of the forecast by customers without an action, and their covariance."""
    weighted = design * weight[:, None]
    prior = np.full(design.shape[1], FORECAST_SCALE**-2)
    prior[0] = 1e-6
    covariance = np.linalg.inv(weighted.T @ design + np.diag(prior))
    return covariance @ (weighted.T @ rest), covariance


def fit_variances(rounds: Sequence[RoundEvidence]) -> list[np.ndarray]:
    """The variance (n,) of the outcomes of each round: in proportion to the forecast, with a scale for each arm.

    In proportion, a customer of whom almost nothing was expected weighs no more than others if much comes after all.
    The scale of an arm is that of its own residuals, in all rounds together, drawn to that of customers without an
    action as if by `PSEUDO_CUSTOMERS` more of those.
    """
    known = [one.variance for one in rounds]
    if all(each is not None for each in known):
        return [each for each in known if each is not None]
    arms = range(1 + max(int(one.arm.max()) for one in rounds))
    sums = np.array([[_residual_sums(one, arm) for arm in arms] for one in rounds]).sum(axis=0)
    squares, expected, customers = sums.T
    usual = float(squares[0] / expected[0])
    pseudo = PSEUDO_CUSTOMERS * expected[0] / customers[0]
    scales = (squares + pseudo * usual) / (expected + pseudo)
    return [np.maximum(scales[one.arm] * _round_level(one) * one.expected, 1e-12) for one in rounds]


def _round_level(one: RoundEvidence) -> float:
    """What customers without an action brought, as a share of what was expected of them."""
    free = one.arm == 0
    return max(float(one.outcome[free].sum() / one.expected[free].sum()), 1e-9)


def _residual_sums(one: RoundEvidence, arm: int) -> tuple[float, float, float]:
    """An arm's squared residuals around its own level, its expected outcomes, and its customers, in one round."""
    here = one.arm == arm
    m, y = _round_level(one) * one.expected[here], one.outcome[here]
    level = y.sum() / m.sum() if len(y) else 1.0
    return float(((y - level * m) ** 2).sum()), float(m.sum()), float(len(y))


def customer_effects(
    posterior: EffectPosterior, action: int, modifiers: np.ndarray, shape: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The effect of an action on customers, and its errors.

    Args:
        posterior: Of the effects.
        action: The action's place, from 0.
        modifiers: (n, k) of the customers.
        shape: (n,) change of the outcome for an effect of 1: the forecast, for money.

    Returns:
        (n,) posterior means, and (n, k) contributions of k independent standard normal errors, each common to all.
    """
    values, vectors = np.linalg.eigh(posterior.own_covariance(action))
    factor = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0))
    return shape * (modifiers @ posterior.mean[action]), shape[:, None] * (modifiers @ factor)
