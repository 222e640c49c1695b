"""Effect of an action: outcomes of the treatment group compared with those of a randomised holdout.

The unadjusted estimate is a difference of two means. The adjusted one removes what covariates explain that were known
before randomisation, so that the action cannot have changed them: it is just as unbiased and less noisy (Deng, Xu,
Kohavi and Walker, Improving the sensitivity of online controlled experiments, WSDM 2013; Lin, Annals of Applied
Statistics 7, 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import chi2

LEVEL = 0.95
MIN_CUSTOMERS = 2  # in each group: with fewer there is no variance
UNKNOWN = float("nan")


@dataclass(frozen=True)
class TreatmentEffect:
    """An estimated effect per customer.

    Attributes:
        effect: Mean of the treatment group minus mean of the holdout, adjusted or not.
        error: Its standard error.
        low: Lower end of the 95% confidence interval.
        high: Upper end.
        p: Two-sided p-value against no effect.
        treated: Customers in the treatment group.
        held_out: Customers in the holdout.
    """

    effect: float
    error: float
    low: float
    high: float
    p: float
    treated: int
    held_out: int

    def anytime_interval(self, level: float = LEVEL, planned: int | None = None) -> tuple[float, float]:
        """Return the sequential (anytime-valid) confidence interval, which holds at all looks together.

        An asymptotic confidence sequence for customers who keep coming in (Waudby-Smith, Arbour, Sinha, Kennedy and
        Ramdas, Annals of Statistics 52, 2024, theorem 2.2). If instead the customers stay the same and their outcomes
        come in, it reaches three standard errors to either side at each look, which is enough for twenty looks
        (Bonferroni).

        Args:
            level: Confidence level, between 0 and 1.
            planned: Number of customers at which the interval is narrowest, the same at every look; None: the current
                number.

        Returns:
            Lower and upper end.
        """
        n, alpha = self.treated + self.held_out, 1 - level
        rho = (-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) / (planned or n)
        reach = self.error * np.sqrt(2 * (n * rho + 1) / (n * rho) * np.log(np.sqrt(n * rho + 1) / alpha))
        return float(self.effect - reach), float(self.effect + reach)


def difference_in_means(outcome: np.ndarray, treated: np.ndarray) -> TreatmentEffect:
    """Estimate the unadjusted effect, with unequal variances (Welch).

    Args:
        outcome: Outcome (n,) of each customer.
        treated: Whether each customer (n,) was assigned to the action; the others were held out.

    Returns:
        The effect; NaN if a group is too small for a variance.

    >>> effect = difference_in_means(np.array([3.0, 5.0, 4.0, 1.0, 2.0, 3.0]), np.array([True] * 3 + [False] * 3))
    >>> effect.effect, round(effect.error, 4)
    (2.0, 0.8165)
    """
    return regression_adjusted_effect(outcome, treated, np.empty((len(outcome), 0)))


def regression_adjusted_effect(outcome: np.ndarray, treated: np.ndarray, covariates: np.ndarray) -> TreatmentEffect:
    """Estimate the adjusted effect: one regression per group, compared at the mean of all customers.

    The standard error is Neyman's, from the residuals and with the degrees of freedom that the regressions use, plus
    the uncertainty of the mean. It holds whether or not the regressions are correctly specified.

    Args:
        outcome: Outcome (n,) of each customer.
        treated: Whether each customer (n,) was assigned to the action; the others were held out.
        covariates: What was known before randomisation (n, k), such as past spend and risk; no nulls.

    Returns:
        The effect; unadjusted if a group is too small for the regression, NaN if it is too small for a variance.
    """
    treated = np.asarray(treated, bool)
    n_treated, n_held_out = int(treated.sum()), int((~treated).sum())
    k = covariates.shape[1]
    if min(n_treated, n_held_out) < MIN_CUSTOMERS + k:
        covariates, k = covariates[:, :0], 0
    if min(n_treated, n_held_out) < MIN_CUSTOMERS:
        return TreatmentEffect(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, n_treated, n_held_out)
    centred = covariates - covariates.mean(axis=0)
    sides = [_group_regression(outcome[group], centred[group]) for group in (treated, ~treated)]
    effect = sides[0][0] - sides[1][0]
    tilt = centred @ (sides[0][2] - sides[1][2])
    error = float(np.sqrt(sides[0][1] + sides[1][1] + tilt.var() / len(outcome)))
    return _with_normal_interval(effect, error, n_treated, n_held_out)


def pool_effects(parts: Sequence[TreatmentEffect], weights: Sequence[float]) -> TreatmentEffect:
    """Return the weighted mean of effects on different customers, such as those of several actions.

    >>> parts = [TreatmentEffect(1, 0.3, 0, 0, 0, 10, 10), TreatmentEffect(3, 0.4, 0, 0, 0, 30, 30)]
    >>> pooled = pool_effects(parts, [1, 3])
    >>> pooled.effect, round(pooled.error, 4), pooled.treated
    (2.5, 0.3092, 40)
    """
    share = np.array(weights, float) / np.sum(weights)
    effect = float(share @ [part.effect for part in parts])
    error = float(np.sqrt(share**2 @ np.array([part.error for part in parts]) ** 2))
    treated, held_out = sum(part.treated for part in parts), sum(part.held_out for part in parts)
    return _with_normal_interval(effect, error, treated, held_out)


def simultaneous_effects(parts: Sequence[TreatmentEffect], level: float = LEVEL) -> list[TreatmentEffect]:
    """Return the same effects with intervals and p-values that hold for all of them together.

    P-values are Holm's (Scandinavian Journal of Statistics 6, 1979). Intervals are Bonferroni's, since Holm's method
    has none. Effects that are not known count for nothing and stay as they are.

    Args:
        parts: The effects.
        level: Confidence level of all intervals together, between 0 and 1.

    Returns:
        The effects in the same order.
    """
    known = [place for place, part in enumerate(parts) if not np.isnan(part.p)]
    effects, highest_p = list(parts), 0.0
    for rank, place in enumerate(sorted(known, key=lambda place: parts[place].p)):
        part = parts[place]
        highest_p = max(highest_p, min(1.0, part.p * (len(known) - rank)))
        reach = -float(ndtri((1 - level) / 2 / len(known))) * part.error
        effects[place] = replace(part, low=part.effect - reach, high=part.effect + reach, p=highest_p)
    return effects


def sample_ratio_p_value(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Return the chi-square p-value of group sizes against the shares that the randomisation used.

    Far below 0.01 there is a sample-ratio mismatch: something other than the randomisation decided who is in which
    group, and no later figure can be trusted (Fabijan et al., Diagnosing sample ratio mismatch in online controlled
    experiments, KDD 2019).

    Args:
        counts: Customers in each group (k).
        shares: Their intended shares (k), in any unit.

    Returns:
        The p-value, in [0, 1].

    >>> round(sample_ratio_p_value([9_000, 1_000], [0.9, 0.1]), 3)
    1.0
    >>> sample_ratio_p_value([9_000, 1_200], [0.9, 0.1]) < 1e-5
    True
    """
    observed = np.array(counts, float)
    expected = observed.sum() * np.array(shares, float) / np.sum(shares)
    kept = expected > 0
    if kept.sum() < 2:
        return 1.0
    return float(chi2.sf((((observed - expected) ** 2)[kept] / expected[kept]).sum(), int(kept.sum()) - 1))


def _group_regression(outcome: np.ndarray, centred: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Mean of a group at the mean of all customers, its variance, and the slopes (k,) of the group's regression."""
    Z = np.column_stack([np.ones(len(outcome)), centred])
    b, _, rank, _ = np.linalg.lstsq(Z, outcome, rcond=None)
    degrees_of_freedom = max(len(outcome) - int(rank), 1)
    residuals = outcome - Z @ b
    return float(b[0]), float(residuals @ residuals) / degrees_of_freedom / len(outcome), b[1:]


def _with_normal_interval(effect: float, error: float, treated: int, held_out: int) -> TreatmentEffect:
    reach = float(ndtri((1 + LEVEL) / 2)) * error
    p = float(2 * ndtr(-abs(effect) / error)) if error > 0 else float(effect == 0)
    return TreatmentEffect(float(effect), error, effect - reach, effect + reach, p, treated, held_out)
