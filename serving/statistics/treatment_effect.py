"""Effect of an action: outcomes of the treatment group compared with those of a randomised holdout.

P-values and confidence intervals come from re-drawing the assignment (`serving.statistics.randomisation`), so they are
valid for a small holdout of a skewed outcome too. The unadjusted estimate is a difference of two means. The adjusted
one removes what covariates explain that were known before the assignment, so that the action cannot have changed them
(Deng, Xu, Kohavi and Walker, Improving the sensitivity of online controlled experiments, WSDM 2013): it is less noisy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import ndtri
from scipy.stats import chi2

from serving.statistics.randomisation import DRAWS, Reference, compare_groups

LEVEL = 0.95
LOOKS = 90  # looks at growing outcomes for which a sequential confidence interval holds
COUNTED = 0.95  # this share of the positive outcomes counts in full
SEED = 0
UNKNOWN = float("nan")


@dataclass(frozen=True)
class TreatmentEffect:
    """An estimated effect per customer.

    Attributes:
        effect: Mean of the treatment group minus mean of the holdout, adjusted or not.
        error: Its standard error, from the pooled variance.
        low: Lower end of the 95% confidence interval; minus infinity if too few assignments are possible.
        high: Upper end.
        p: Two-sided p-value against no effect.
        treated: Customers in the treatment group.
        held_out: Customers in the holdout.
        reference: The distribution over assignments that gives intervals; None: the normal one.
    """

    effect: float
    error: float
    low: float
    high: float
    p: float
    treated: int
    held_out: int
    reference: Reference | None = field(default=None, repr=False, compare=False)

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the confidence interval at a level between 0 and 1."""
        if self.reference is not None:
            return self.reference.interval(level)
        reach = -float(ndtri((1 - level) / 2)) * self.error
        return self.effect - reach, self.effect + reach

    def anytime_interval(self, level: float = LEVEL, looks: int = LOOKS) -> tuple[float, float]:
        """Return the sequential (anytime-valid) confidence interval, which holds at all looks together.

        Each look has the same share of 1 - `level`, and the interval is that of randomisation inference at the level
        that remains. So the looks together are wrong with at most 1 - `level`, however the outcomes at one look depend
        on those at another.

        Args:
            level: Confidence level, between 0 and 1.
            looks: The most looks, such as the days over which outcomes come in.

        Returns:
            Lower and upper end.
        """
        return self.interval(1 - (1 - level) / looks)


def difference_in_means(
    outcome: np.ndarray, treated: np.ndarray, seed: int = SEED, draws: int = DRAWS
) -> TreatmentEffect:
    """Estimate the unadjusted effect.

    Args:
        outcome: Outcome (n,) of each customer.
        treated: Whether each customer (n,) was assigned to the action; the others were held out.
        seed: Seed of the assignments that are drawn for comparison.
        draws: How many are drawn.

    Returns:
        The effect; NaN if a group is empty.

    >>> effect = difference_in_means(np.array([3.0, 5.0, 4.0, 1.0, 2.0, 3.0]), np.array([True] * 3 + [False] * 3))
    >>> effect.effect, round(effect.error, 4), round(effect.p, 1)
    (2.0, 0.8165, 0.2)
    """
    return regression_adjusted_effect(outcome, treated, np.empty((len(outcome), 0)), None, seed, draws)


def regression_adjusted_effect(
    outcome: np.ndarray,
    treated: np.ndarray,
    covariates: np.ndarray,
    strata: np.ndarray | None = None,
    seed: int = SEED,
    draws: int = DRAWS,
) -> TreatmentEffect:
    """Estimate the adjusted effect: an analysis of covariance with one slope for both groups and a pooled variance.

    Args:
        outcome: Outcome (n,) of each customer.
        treated: Whether each customer (n,) was assigned to the action; the others were held out.
        covariates: What was known before randomisation (n, k), such as past spend and risk; no nulls.
        strata: Number (n,) of the stratum within which each customer was assigned; None: all together.
        seed: Seed of the assignments that are drawn for comparison.
        draws: How many are drawn.

    Returns:
        The effect; unadjusted if there are too few customers for slopes, NaN if a group is empty.
    """
    return treatment_effects(np.asarray(outcome, float)[:, None], treated, covariates, strata, seed, draws)[0]


def treatment_effects(
    outcomes: np.ndarray,
    treated: np.ndarray,
    covariates: np.ndarray,
    strata: np.ndarray | None = None,
    seed: int = SEED,
    draws: int = DRAWS,
) -> list[TreatmentEffect]:
    """Estimate the effects on several outcomes of the same customers, from the same draws.

    Args:
        outcomes: Outcomes (n, o) of each customer, in columns.
        treated: Whether each customer (n,) was assigned to the action; the others were held out.
        covariates: What was known before randomisation (n, k); no nulls.
        strata: Number (n,) of the stratum within which each customer was assigned; None: all together.
        seed: Seed of the assignments that are drawn for comparison.
        draws: How many are drawn.

    Returns:
        One effect for each outcome, as `regression_adjusted_effect` gives it.
    """
    treated = np.asarray(treated, bool)
    groups = int(treated.sum()), int((~treated).sum())
    inside = np.zeros(len(treated), int) if strata is None else strata
    return [
        TreatmentEffect(
            each.effect,
            each.error,
            *(each.reference.interval(LEVEL) if each.reference else (UNKNOWN, UNKNOWN)),
            each.reference.p_value() if each.reference else (UNKNOWN if np.isnan(each.effect) else 1.0),
            *groups,
            each.reference,
        )
        for each in compare_groups(outcomes, treated, covariates, inside, seed, draws)
    ]


def count_up_to_cap(outcome: np.ndarray) -> tuple[np.ndarray, float]:
    """Limit what one customer counts to the 95% quantile of the positive outcomes, in both directions (winsorising).

    The few largest outcomes make up most of the variance of spend. The cap comes from all customers together, without
    regard to who was held out, so it cannot favour a group.

    Args:
        outcome: Outcome (n,) of each customer.

    Returns:
        The limited outcome (n,) and the cap; infinity if no outcome is positive.

    >>> count_up_to_cap(np.array([-90.0, 0.0, 1.0, 2.0, 3.0, 100.0]))[0].round(2).tolist()
    [-85.45, 0.0, 1.0, 2.0, 3.0, 85.45]
    """
    positive = outcome[outcome > 0]
    cap = float(np.quantile(positive, COUNTED)) if len(positive) else float("inf")
    return np.clip(outcome, -cap, cap), cap


def smallest_detectable(deviation: float, treated: float, held_out: float, power: float, level: float = LEVEL) -> float:
    """Return the smallest effect that a comparison detects with a probability, by the normal approximation.

    Args:
        deviation: Standard deviation of the outcome within the groups.
        treated: Customers in the treatment group, above 0.
        held_out: Customers in the holdout, above 0.
        power: The probability.
        level: Confidence level.

    Returns:
        The effect.

    >>> round(smallest_detectable(0.5, 1000, 1000, 0.8), 4)
    0.0626
    """
    reach = float(ndtri((1 + level) / 2) + ndtri(power))
    return reach * deviation * float(np.sqrt(1 / treated + 1 / held_out))


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
        low, high = part.interval(1 - (1 - level) / len(known))
        effects[place] = replace(part, low=low, high=high, p=highest_p)
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
