"""Randomisation inference: an effect compared with those of other assignments that the plan could have drawn.

Under the hypothesis that an action adds the same amount `t` to the outcome of each customer who gets it, the outcomes
without the action are known: the observed ones less `t` for the treated. Any statistic can then be computed for any
other assignment, and its observed value should be an ordinary one among them. Re-drawing the assignment as the plan
drew it gives p-values that are exact, whatever the distribution of the outcome (Fisher, The Design of Experiments,
1935), and the values of `t` that are not rejected form the confidence interval.

The statistic is the t of an analysis of covariance with one slope for both groups and a pooled variance: the group
variance of a small holdout, which misses the tail of a skewed outcome, is never used. Of two assignments, the one
with the larger t changes at a single `t`, which has a closed form; so the limits of the interval are order statistics
of these values, and no search is needed.

With more than `MANY` customers in the smaller group, a Pearson type III distribution with the exact variance and
skewness of random assignment stands for the draws (Mielke and Berry, Permutation Methods, 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaincc, gammaincinv, ndtr, ndtri

from serving.machine_code import compiled

DRAWS, FEWEST_DRAWS = 9_999, 3_999  # other assignments that are drawn
MOST_PICKS = 20_000_000  # customers picked for all of them together, above which fewer are drawn
MANY = 5_000  # customers in the smaller groups, above which nothing is drawn: three moments are enough
FEWEST_BEYOND = 5  # draws beyond a limit; a limit further out is extrapolated
ALMOST_NORMAL = 1e-3  # a smaller skewness changes nothing
TOLERANCE = 1e-9


@dataclass(frozen=True)
class DrawnReference:
    """Where the observed assignment begins to have a larger t than each of the other assignments.

    An outcome that does not vary has no crossings: no effect can be rejected.

    Attributes:
        crossings: In ascending order, the hypothetical effects (b,) at which another assignment has the same t as the
            observed one; for larger effects it has a larger t.
        equal: Number of drawn assignments that cannot be told from the observed one.
    """

    crossings: np.ndarray
    equal: int = 0

    def p_value(self, effect: float = 0.0) -> float:
        """Return the two-sided p-value of a hypothetical effect: twice the smaller tail."""
        below = int(np.searchsorted(self.crossings, effect, side="right"))
        above = len(self.crossings) - int(np.searchsorted(self.crossings, effect, side="left"))
        tail = 1 + self.equal + min(below, above)
        return min(1.0, 2 * tail / (1 + self.equal + len(self.crossings)))

    def interval(self, level: float) -> tuple[float, float]:
        """Return the effects that are not rejected, each tail having half of 1 - `level`; infinite if none are.

        Limits that lie beyond almost all draws are extrapolated by a Pearson type III distribution with the skewness
        of the draws.
        """
        tail = (1 - level) / 2 * (1 + self.equal + len(self.crossings))
        if tail >= FEWEST_BEYOND:
            place = int(tail * (1 + TOLERANCE)) - 1 - self.equal
            if place < 0:
                return float("-inf"), float("inf")
            return float(self.crossings[place]), float(self.crossings[-1 - place])
        return self._extrapolated(level)

    def _extrapolated(self, level: float) -> tuple[float, float]:
        total = 1 + self.equal + len(self.crossings)
        if self.equal >= FEWEST_BEYOND or len(self.crossings) <= 2 * FEWEST_BEYOND:
            return float("-inf"), float("inf")
        middle, deviations = float(self.crossings.mean()), self.crossings - self.crossings.mean()
        skewness = float((deviations**3).mean() / max((deviations**2).mean() ** 1.5, TOLERANCE**3))
        limits = []
        for known, sign in ((self.crossings[FEWEST_BEYOND - 1], 1), (self.crossings[-FEWEST_BEYOND], -1)):
            # The upper limit is the lower one of the mirrored distribution.
            there, beyond = (
                pearson_quantile(tail, sign * skewness) for tail in (FEWEST_BEYOND / total, (1 - level) / 2)
            )
            limits.append(middle + (float(known) - middle) * beyond / there)
        return limits[0], limits[1]


@dataclass(frozen=True)
class PearsonReference:
    """The distribution over assignments by its first three moments, for large groups.

    Attributes:
        effect: The estimated effect.
        error: Its standard error.
        skewness: Skewness of the estimate over assignments.
    """

    effect: float
    error: float
    skewness: float

    def p_value(self, effect: float = 0.0) -> float:
        """Return the two-sided p-value of a hypothetical effect: twice the smaller tail."""
        t = (self.effect - effect) / self.error
        return min(1.0, 2 * min(pearson_tail(t, self.skewness), pearson_tail(-t, -self.skewness)))

    def interval(self, level: float) -> tuple[float, float]:
        """Return the effects that are not rejected, each tail having half of 1 - `level`."""
        tail = (1 - level) / 2
        high, low = -pearson_quantile(tail, -self.skewness), pearson_quantile(tail, self.skewness)
        return self.effect - high * self.error, self.effect - low * self.error


Reference = DrawnReference | PearsonReference


@dataclass(frozen=True)
class Comparison:
    """One outcome of the treatment group compared with the holdout.

    Attributes:
        effect: The coefficient of the treatment, by least squares.
        error: Its standard error, from the pooled variance of the residuals.
        reference: Its distribution over assignments; None if a group is empty.
    """

    effect: float
    error: float
    reference: Reference | None


def compare_groups(
    outcomes: np.ndarray, treated: np.ndarray, covariates: np.ndarray, strata: np.ndarray, seed: int, draws: int = DRAWS
) -> list[Comparison]:
    """Compare the treatment group with the holdout by re-randomising within strata.

    Args:
        outcomes: Outcomes (n, o) of each customer, in columns.
        treated: Whether each customer (n,) was assigned to the action; the others were held out.
        covariates: What was known before the assignment (n, k); no nulls.
        strata: Number (n,) of the stratum within which each customer was assigned.
        seed: Seed of the draws.
        draws: How many other assignments to draw; fewer if the groups are large.

    Returns:
        One comparison for each outcome.
    """
    _, stratum = np.unique(strata, return_inverse=True)
    basis = _covariate_basis(_centred(np.asarray(covariates, float), stratum))
    residuals = _without(_centred(np.asarray(outcomes, float), stratum), basis)
    held = _centred((~treated).astype(float)[:, None], stratum)
    unique = _without(held, basis)[:, 0]  # the part of the assignment that neither strata nor covariates explain
    information = float(unique @ unique)
    if information <= TOLERANCE:
        return [Comparison(float("nan"), float("nan"), None)] * residuals.shape[1]
    degrees = len(treated) - (int(stratum.max()) + 1) - basis.shape[1] - 1
    estimates = [_estimate(column, unique, information, degrees) for column in residuals.T]
    picks = _group_sizes(~treated, stratum)
    references: Sequence[Reference]
    if picks[1].sum() > MANY:
        references = [
            _by_moments(estimate, column, picks, stratum)
            for estimate, column in zip(estimates, residuals.T, strict=True)
        ]
    else:
        sums = sums_over_draws(np.column_stack([residuals, unique, basis]), ~treated, stratum, seed, draws)
        references = _by_draws(sums, residuals, unique, float(held[:, 0] @ held[:, 0]))
    varies = (residuals**2).sum(axis=0) > TOLERANCE**2
    return [
        Comparison(*estimate, reference if known else DrawnReference(np.empty(0), DRAWS))
        for estimate, reference, known in zip(estimates, references, varies, strict=True)
    ]


def remove_covariates(outcomes: np.ndarray, covariates: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Return outcomes (n, o) less what covariates explain, with one slope for all and regardless of the assignment.

    Args:
        outcomes: Outcomes (n, o) of each customer, in columns.
        covariates: What was known before the assignment (n, k); no nulls.
        strata: Number (n,) of the stratum within which each customer was assigned.

    Returns:
        The adjusted outcomes (n, o), with the same means in each stratum.
    """
    _, stratum = np.unique(strata, return_inverse=True)
    return _without(np.asarray(outcomes, float), _covariate_basis(_centred(np.asarray(covariates, float), stratum)))


def _estimate(residual: np.ndarray, unique: np.ndarray, information: float, degrees: int) -> tuple[float, float]:
    """The effect on an outcome without strata and covariates, and its standard error from the pooled variance."""
    effect = -float(unique @ residual) / information
    left = max(float(residual @ residual) - effect**2 * information, 0.0)
    return effect, float(np.sqrt(left / degrees / information)) if degrees > 0 else float("nan")


def _group_sizes(held_out: np.ndarray, stratum: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each stratum: its customers, the customers of the smaller group, and 1 if that is the holdout, else -1."""
    sizes = np.bincount(stratum)
    held = np.bincount(stratum, held_out).astype(np.int64)
    return sizes, np.minimum(held, sizes - held), np.where(held <= sizes - held, 1.0, -1.0)


def _by_moments(
    estimate: tuple[float, float],
    residual: np.ndarray,
    picks: tuple[np.ndarray, np.ndarray, np.ndarray],
    stratum: np.ndarray,
) -> PearsonReference:
    """The distribution by the moments of sums without replacement."""
    sizes, fewer, signs = picks
    n, m = np.maximum(sizes, 3).astype(float), fewer.astype(float)
    variances = m * (n - m) / (n - 1) * np.bincount(stratum, residual**2) / n
    thirds = m * (n - m) * (n - 2 * m) / (n - 1) / (n - 2) * np.bincount(stratum, residual**3) / n
    spread = float(variances.sum()) ** 1.5
    return PearsonReference(*estimate, -float((signs * thirds).sum()) / spread if spread else 0.0)


def _by_draws(sums: np.ndarray, residuals: np.ndarray, unique: np.ndarray, variation: float) -> list[DrawnReference]:
    """The distribution from other assignments with the same group sizes.

    Args:
        sums: Over each drawn holdout (b, o + 1 + q): of `residuals`, of `unique` and of a basis of the covariates.
        residuals: Outcomes (n, o) without strata and covariates.
        unique: The observed holdout (n,) without strata and covariates.
        variation: Sum of squares of the holdout without strata.

    Returns:
        One distribution for each outcome.
    """
    outcomes, information = residuals.shape[1], float(unique @ unique)
    drawn = variation - (sums[:, outcomes + 1 :] ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / np.sqrt(drawn)
        slope = np.sqrt(information) - sums[:, outcomes] * scale
        difference = sums[:, :outcomes] * scale[:, None] - unique @ residuals / np.sqrt(information)
        difference[np.abs(difference) <= TOLERANCE * np.sqrt((residuals**2).sum(axis=0))] = 0.0
        crossings = difference / slope[:, None]
    other = (slope > TOLERANCE * np.sqrt(information)) & (drawn > TOLERANCE)
    return [DrawnReference(np.sort(column[other]), int((~other).sum())) for column in crossings.T]


def pearson_quantile(share: float, skewness: float) -> float:
    """Return a quantile of the Pearson type III distribution with mean 0 and standard deviation 1.

    >>> round(pearson_quantile(0.025, 0.0), 2), round(pearson_quantile(0.025, 1.0), 2)
    (-1.96, -1.46)
    """
    if abs(skewness) < ALMOST_NORMAL:
        return float(ndtri(share))
    shape = 4 / skewness**2
    if skewness > 0:
        return float((gammaincinv(shape, share) - shape) / np.sqrt(shape))
    return float((shape - gammaincinv(shape, 1 - share)) / np.sqrt(shape))


def pearson_tail(value: float, skewness: float) -> float:
    """Return the probability of more than `value` under that distribution.

    >>> round(pearson_tail(1.96, 0.0), 3), round(pearson_tail(-1.455, 1.0), 3)
    (0.025, 0.975)
    """
    if abs(skewness) < ALMOST_NORMAL:
        return float(ndtr(-value))
    shape = 4 / skewness**2
    place = max(shape + np.sign(skewness) * value * np.sqrt(shape), 0.0)
    return float((gammaincc if skewness > 0 else gammainc)(shape, place))


def _centred(columns: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Columns (n, c) less their mean in each stratum."""
    sizes = np.bincount(stratum)
    means = np.column_stack(
        [np.bincount(stratum, column) / sizes for column in columns.T] or [np.empty((len(sizes), 0))]
    )
    return columns - means[stratum]


def _covariate_basis(centred: np.ndarray) -> np.ndarray:
    """An orthonormal basis (n, q) of centred covariates (n, k); none if there are too few customers for slopes."""
    largest = np.abs(centred).max(axis=0, initial=0.0)
    varying = centred[:, largest > 0] / largest[largest > 0]
    if not varying.shape[1] or len(varying) < 5 * (varying.shape[1] + 2):
        return np.empty((len(centred), 0))
    left, size, _ = np.linalg.svd(varying, full_matrices=False)
    return np.asarray(left[:, size > 1e-8 * size[0]])


def _without(columns: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """The part of columns (n, c) that a basis (n, q) does not explain."""
    return np.asarray(columns - basis @ (basis.T @ columns))


def sums_over_draws(columns: np.ndarray, held_out: np.ndarray, strata: np.ndarray, seed: int, draws: int) -> np.ndarray:
    """Return sums of columns over holdouts that are drawn again, with as many customers in each stratum.

    The smaller group is drawn: in a stratum, the sum over the other one is minus its sum.

    Args:
        columns: Columns (n, c), with a mean of 0 in each stratum.
        held_out: Whether each customer (n,) is held out.
        strata: Stratum (n,) of each customer.
        seed: Seed of the draws.
        draws: How many to draw; fewer if the groups are large.

    Returns:
        The sums (draws, c).
    """
    _, stratum = np.unique(strata, return_inverse=True)
    sizes, fewer, signs = _group_sizes(held_out, stratum)
    order = np.argsort(stratum, kind="stable")
    number = min(draws, max(MOST_PICKS // max(int(fewer.sum()), 1), FEWEST_DRAWS))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.ascontiguousarray(columns[order])
    return np.asarray(_sum_draws(rows, np.arange(len(rows)), starts, fewer, signs, number, np.uint64(seed % 2**63)))


@compiled
def _sum_draws(rows, order, starts, picks, signs, draws, state):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Sums of rows over random subsets: `picks` of each stratum, by partial Fisher-Yates shuffles (splitmix64)."""
    width = rows.shape[1]
    sums, part = np.zeros((draws, width)), np.empty(width)
    for draw in range(draws):
        for stratum in range(len(picks)):
            first, end = starts[stratum], starts[stratum + 1]
            part[:] = 0.0
            for place in range(first, first + picks[stratum]):
                state += np.uint64(0x9E3779B97F4A7C15)
                mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                mixed = mixed ^ (mixed >> np.uint64(31))
                step = ((mixed >> np.uint64(32)) * np.uint64(end - place)) >> np.uint64(32)
                other = place + np.int64(step)
                row = order[other]
                order[other] = order[place]
                order[place] = row
                for column in range(width):
                    part[column] += rows[row, column]
            for column in range(width):
                sums[draw, column] += signs[stratum] * part[column]
    return sums
