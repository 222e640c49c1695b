"""The effect of an action: what customers did who got it, less what those did who were drawn by lot not to.

The plain figure is the difference of two means. The adjusted one takes off what was known of each customer before the
lot was drawn, which cannot have been changed by the action: it is as honest and less noisy (Deng, Xu, Kohavi and
Walker, Improving the sensitivity of online controlled experiments, WSDM 2013; Lin, Annals of Applied Statistics 7,
2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import chi2

LEVEL = 0.95
MIN_CUSTOMERS = 2  # customers in either group, below which there is no spread to tell anything by
UNKNOWN = float("nan")


@dataclass(frozen=True)
class TreatmentEffect:
    """An estimated effect on a customer.

    Attributes:
        effect: Mean of those treated less that of those held out, adjusted or not.
        error: Its standard error.
        low: Lower end of the 95% interval, and
        high: its upper end.
        p: Two-sided probability of a difference as large where there is no effect.
        treated: Customers in the group with the action.
        held_out: Customers held out.
    """

    effect: float
    error: float
    low: float
    high: float
    p: float
    treated: int
    held_out: int

    def anytime_interval(self, level: float = LEVEL, planned: int | None = None) -> tuple[float, float]:
        """An interval that holds at every look at once, for those who look while customers still come in.

        An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals of Statistics 52,
        2024, theorem 2.2). Where the customers stay the same and their outcomes come in, it is three standard errors
        wide on either side at each look, which is enough for twenty looks (Bonferroni).

        Args:
            level: Probability that it holds.
            planned: Number of customers at which it is narrowest, the same at every look; None: those there are now.
        """
        n, alpha = self.treated + self.held_out, 1 - level
        rho = (-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) / (planned or n)
        reach = self.error * np.sqrt(2 * (n * rho + 1) / (n * rho) * np.log(np.sqrt(n * rho + 1) / alpha))
        return float(self.effect - reach), float(self.effect + reach)


def difference_in_means(outcome: np.ndarray, treated: np.ndarray) -> TreatmentEffect:
    """The difference of means, with unequal variances (Welch).

    Args:
        outcome: What each customer did (n,).
        treated: Who was meant to have the action (n,); the others were held out.

    >>> found = plain(np.array([3.0, 5.0, 4.0, 1.0, 2.0, 3.0]), np.array([True] * 3 + [False] * 3))
    >>> found.effect, round(found.error, 4)
    (2.0, 0.8165)
    """
    return regression_adjusted_effect(outcome, treated, np.empty((len(outcome), 0)))


def regression_adjusted_effect(outcome: np.ndarray, treated: np.ndarray, before: np.ndarray) -> TreatmentEffect:
    """The same, less what was known before: each group's regression on it, compared at the mean of all customers.

    The standard error is Neyman's of the residuals, with the degrees of freedom that the regressions take, plus what
    the mean itself is unsure by; it holds whether or not the regressions are right.

    Args:
        outcome: What each customer did (n,).
        treated: Who was meant to have the action (n,).
        before: What was known of them before the lot was drawn (n, k): past spend, risk, expected value; no nulls.
    """
    treated = np.asarray(treated, bool)
    count, rest = int(treated.sum()), int((~treated).sum())
    k = before.shape[1]
    if min(count, rest) < MIN_CUSTOMERS + k:
        before, k = before[:, :0], 0
    if min(count, rest) < MIN_CUSTOMERS:
        return TreatmentEffect(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, count, rest)
    centred = before - before.mean(axis=0)
    sides = [_side(outcome[group], centred[group]) for group in (treated, ~treated)]
    effect = sides[0][0] - sides[1][0]
    tilt = centred @ (sides[0][2] - sides[1][2])
    error = float(np.sqrt(sides[0][1] + sides[1][1] + tilt.var() / len(outcome)))
    return _effect(effect, error, count, rest)


def pool_effects(parts: Sequence[TreatmentEffect], weights: Sequence[float]) -> TreatmentEffect:
    """The mean of effects on different customers, such as those of several actions.

    >>> both = pooled([Effect(1, 0.3, 0, 0, 0, 10, 10), Effect(3, 0.4, 0, 0, 0, 30, 30)], [1, 3])
    >>> both.effect, round(both.error, 4), both.treated
    (2.5, 0.3092, 40)
    """
    share = np.array(weights, float) / np.sum(weights)
    effect = float(share @ [part.effect for part in parts])
    error = float(np.sqrt(share**2 @ np.array([part.error for part in parts]) ** 2))
    return _effect(effect, error, sum(part.treated for part in parts), sum(part.held_out for part in parts))


def simultaneous_effects(parts: Sequence[TreatmentEffect], level: float = LEVEL) -> list[TreatmentEffect]:
    """The same effects with intervals and probabilities for which all of them hold together, by their number (Holm).

    Probabilities are Holm's (Scandinavian Journal of Statistics 6, 1979); intervals are Bonferroni's, since Holm's
    steps have none.
    """
    known = [place for place, part in enumerate(parts) if not np.isnan(part.p)]
    found, least = list(parts), 0.0
    for rank, place in enumerate(sorted(known, key=lambda place: parts[place].p)):
        part = parts[place]
        least = max(least, min(1.0, part.p * (len(known) - rank)))
        reach = -float(ndtri((1 - level) / 2 / len(known))) * part.error
        found[place] = replace(part, low=part.effect - reach, high=part.effect + reach, p=least)
    return found


def sample_ratio_p_value(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Probability of counts at least as uneven, had the lot drawn the groups with these shares (chi-square).

    Far below 0.01 something else than the lot decided who is there, and nothing that follows can be trusted (Fabijan et
    al., Diagnosing sample ratio mismatch in online controlled experiments, KDD 2019).

    >>> round(sample_ratio([9_000, 1_000], [0.9, 0.1]), 3), sample_ratio([9_000, 1_200], [0.9, 0.1]) < 1e-5
    (1.0, True)
    """
    seen = np.array(counts, float)
    meant = seen.sum() * np.array(shares, float) / np.sum(shares)
    kept = meant > 0
    if kept.sum() < 2:
        return 1.0
    return float(chi2.sf((((seen - meant) ** 2)[kept] / meant[kept]).sum(), int(kept.sum()) - 1))


def _side(outcome: np.ndarray, centred: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Mean of a group at the mean of all customers, its variance, and the slopes (k,) of its regression."""
    Z = np.column_stack([np.ones(len(outcome)), centred])
    b, _, rank, _ = np.linalg.lstsq(Z, outcome, rcond=None)
    left = max(len(outcome) - int(rank), 1)
    rest = outcome - Z @ b
    return float(b[0]), float(rest @ rest) / left / len(outcome), b[1:]


def _effect(effect: float, error: float, treated: int, held: int) -> TreatmentEffect:
    reach = float(ndtri((1 + LEVEL) / 2)) * error
    p = float(2 * ndtr(-abs(effect) / error)) if error > 0 else float(effect == 0)
    return TreatmentEffect(float(effect), error, effect - reach, effect + reach, p, treated, held)
