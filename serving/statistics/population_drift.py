"""Drift of a feature or score: population stability index, distance, and how large both are by chance alone.

The population stability index (PSI) of two histograms p and q is the sum of (p - q) ln(p / q). Without drift it follows
a chi-squared distribution with one degree of freedom less than there are groups, times 1/n + 1/m (Yurdakul, Statistical
Properties of Population Stability Index, 2018). The noise bound is its quantile at `false_alarms`, divided by the
number of comparisons (Bonferroni), so that a small table raises no alarm by chance. A large table raises no alarm for a
trifle, because the index must also exceed a size that matters. And there is no alarm for a change that was as large
over the same time before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2

GROUPS, MIN_GROUP_SIZE = 10, 20  # groups of numbers, and customers in each
MAX_LEVELS, MIN_LEVEL_SIZE = 30, 5
GRID = (np.arange(200) + 0.5) / 200
NULL = "\x00"  # stands for a missing level


@dataclass(frozen=True)
class Drift:
    """How far the distribution of a feature or score has moved from its reference.

    Attributes:
        what: 'feature' or 'score'.
        name: Its column.
        phrase: The same for people to read.
        psi: Population stability index over groups of the reference, missing values being one more group.
        noise: Upper bound of the index without drift: by chance, or over the same time before the reference.
        distance: Effect size: Wasserstein distance over the reference's standard deviation (numbers), or
            Jensen-Shannon distance from 0 to 1 (levels).
        change: Mean now minus mean before, over the reference's standard deviation; None for levels.
        unseen: Share of customers with a level that the reference does not have.
        seasonal: Whether the index exceeds both bounds, but not against the same season a year ago.
        season: The index against the same season a year ago; None if there is none.
        reference: What it is compared with, in words.
        moved: Whether there is drift: psi exceeds both noise and the size that matters, and it is not seasonal.
        histogram: Where psi exceeds both: customers `before` (of all reference cutoffs) and `now` by group. Groups of
            numbers: up to each of `edges`, beyond the last, and missing. Others: each of `levels` (None where it is
            missing), and all other levels.
    """

    what: str
    name: str
    phrase: str
    psi: float
    noise: float
    distance: float
    change: float | None
    unseen: float
    seasonal: bool
    season: float | None
    reference: str
    moved: bool
    histogram: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as monitor.json has them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class DriftSamples:
    """Values to compare: arrays (n,) of floats with NaN for missing ones, or of texts with None.

    Attributes:
        now: Values at the cutoff.
        reference_cutoffs: Values at each cutoff of the reference; at least one.
        earlier_cutoffs: Values at cutoffs as long before the reference as the reference is before now; may be empty.
        season_values: Values a year ago, or None.
    """

    now: np.ndarray
    reference_cutoffs: Sequence[np.ndarray]
    earlier_cutoffs: Sequence[np.ndarray] = ()
    season_values: np.ndarray | None = None


def measure_drift(samples: DriftSamples, chance: float, matters: float) -> dict[str, Any]:
    """Compare numbers or levels with those of earlier cutoffs.

    Args:
        samples: The values to compare.
        chance: Probability that the index exceeds its noise bound without drift.
        matters: An index up to this size is no drift.

    Returns:
        The fields of `Drift` that are figures.
    """
    now, before = samples.now, np.concatenate(samples.reference_cutoffs)
    levels, n = now.dtype == object, len(samples.now)
    m = len(before) // len(samples.reference_cutoffs)  # the cutoffs share customers: together they say no more than one
    groups = _level_groups(now, before, min(n, m)) if levels else _edges(before, min(n, m))
    count = _count_levels if levels else _count_numbers
    here, each = count(now, groups), [count(values, groups) for values in samples.reference_cutoffs]
    there = np.sum(each, axis=0)
    index = population_stability_index(here, there)
    indices_without_drift = [population_stability_index(one, there - one) for one in each] if len(each) > 1 else []
    if samples.earlier_cutoffs:
        earlier = np.sum([count(values, groups) for values in samples.earlier_cutoffs], axis=0)
        indices_without_drift.append(population_stability_index(there, earlier))
    bound = max(psi_noise_bound(int(((here + there) > 0).sum()), n, m, chance), *indices_without_drift, 0.0)
    exceeded = bool(index > bound and index > matters)
    season = samples.season_values
    season_index = None if season is None else population_stability_index(here, count(season, groups))
    seasonal = exceeded and season_index is not None and bool(season_index <= bound or season_index <= matters)
    distance, change = (jensen_shannon_distance(here, there), None) if levels else wasserstein_distance(now, before)
    return {
        "psi": index,
        "noise": bound,
        "distance": distance,
        "change": change,
        "unseen": _unseen_share(now, before) if levels else 0.0,
        "seasonal": seasonal,
        "season": season_index,
        "moved": exceeded and not seasonal,
        "histogram": _histogram(groups, there, here) if exceeded else None,
    }


def _histogram(groups: np.ndarray, before: np.ndarray, now: np.ndarray) -> dict[str, Any]:
    """Return the histograms that were compared, as monitor.json has them."""
    levels = groups.dtype == object
    ends = [None if level == NULL else level for level in groups.tolist()] if levels else groups.tolist()
    return {"levels" if levels else "edges": ends, "before": before.tolist(), "now": now.tolist()}


def population_stability_index(here: np.ndarray, there: np.ndarray) -> float:
    """Return the population stability index of two histograms (g,), half a customer added to each group.

    >>> same, other = np.array([50, 50]), np.array([90, 10])
    >>> round(population_stability_index(same, same), 3), round(population_stability_index(other, same), 2)
    (0.0, 0.85)
    """
    p, q = _shares(here), _shares(there)
    return float(((p - q) * np.log(p / q)).sum())


def psi_noise_bound(groups: int, n: int, m: int, chance: float) -> float:
    """Return the bound that the index exceeds with probability `chance` without drift.

    Args:
        groups: Groups of the histograms.
        n: Customers of one sample.
        m: Customers of the other.
        chance: Probability, between 0 and 1.

    Returns:
        The bound (chi-squared approximation, see the module); 0 if there is nothing to compare.

    >>> round(psi_noise_bound(10, 200, 200, 0.05), 3), round(psi_noise_bound(10, 2_000_000, 2_000_000, 0.05), 6)
    (0.169, 1.7e-05)
    """
    if groups < 2 or not n or not m:
        return 0.0
    return float(chi2.isf(chance, groups - 1) * (1 / n + 1 / m))


def jensen_shannon_distance(here: np.ndarray, there: np.ndarray) -> float:
    """Return the distance of two histograms (g,), from 0 (the same) to 1 (nothing in common).

    It is the root of the divergence in bits (Endres and Schindelin, IEEE Transactions on Information Theory 49, 2003).
    `scipy.spatial.distance.jensenshannon` differs in the last digits, and has no value for an empty histogram.

    >>> jensen_shannon_distance(np.array([1, 0]), np.array([0, 1]))
    1.0
    >>> jensen_shannon_distance(np.array([3, 1]), np.array([6, 2]))
    0.0
    """
    p, q = here / max(here.sum(), 1), there / max(there.sum(), 1)
    middle = (p + q) / 2

    def divergence(x: np.ndarray) -> float:
        inside = x > 0
        return float((x[inside] * np.log2(x[inside] / middle[inside])).sum())

    return float(np.sqrt(max((divergence(p) + divergence(q)) / 2, 0.0)))


def wasserstein_distance(now: np.ndarray, before: np.ndarray) -> tuple[float, float]:
    """Return Wasserstein distance and difference of means of numbers (n,) and (m,), in standard deviations of `before`.

    The distance is the mean gap between 200 quantiles: how far numbers moved on average. Missing ones are left out.
    `scipy.stats.wasserstein_distance` takes every value instead of these quantiles, so its figure differs.

    >>> [round(x, 2) for x in wasserstein_distance(np.arange(100.0) + 29, np.arange(100.0))]
    [1.0, 1.0]
    """
    a, b = now[np.isfinite(now)], before[np.isfinite(before)]
    if not len(a) or not len(b):
        return 0.0, 0.0
    spread = float(np.std(b)) or float(np.std(a)) or 1.0
    gap = np.abs(np.quantile(a, GRID) - np.quantile(b, GRID)).mean()
    return float(gap / spread), float((a.mean() - b.mean()) / spread)


def _edges(before: np.ndarray, customers: int) -> np.ndarray:
    """Inner edges of groups with equal shares of the reference; equal numbers stay together."""
    known = before[np.isfinite(before)]
    n_groups = int(np.clip(customers // MIN_GROUP_SIZE, 2, GROUPS))
    if not len(known):
        return np.array([])
    return np.unique(np.quantile(known, np.arange(1, n_groups) / n_groups, method="inverted_cdf"))


def _count_numbers(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Counts of values up to each edge, beyond the last edge, and missing."""
    known = values[np.isfinite(values)]
    inside = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return np.append(inside, len(values) - len(known))


def _level_groups(now: np.ndarray, before: np.ndarray, customers: int) -> np.ndarray:
    """Levels that get a group of their own: those common in both samples together, so that neither decides alone."""
    counts = Counter(map(_text, np.concatenate([now, before]).tolist()))
    fewest = MIN_LEVEL_SIZE * (len(now) + len(before)) / max(customers, 1)
    common = [level for level, count in counts.items() if count >= fewest]
    return np.array(sorted(common, key=lambda level: (-counts[level], level))[:MAX_LEVELS], object)


def _count_levels(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    place = {level: number for number, level in enumerate(levels.tolist())}
    codes = [place.get(_text(value), len(place)) for value in values.tolist()]
    return np.bincount(codes, minlength=len(place) + 1)


def _text(level: Any) -> str:
    return NULL if level is None else str(level)


def _unseen_share(now: np.ndarray, before: np.ndarray) -> float:
    """Share of values whose level did not exist before."""
    known = {_text(level) for level in before.tolist()}
    return float(np.mean([_text(level) not in known for level in now.tolist()])) if len(now) else 0.0


def _shares(counts: np.ndarray) -> np.ndarray:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)))


def drifted_driver_share(drifts: Sequence[Drift], drivers: Mapping[str, float]) -> float:
    """Return the share of the model's drivers, by strength, that drifted; 0 if no driver is known."""
    total = sum(drivers.values())
    drifted = sum(drivers.get(d.name, 0.0) for d in drifts if d.moved and d.what == "feature")
    return drifted / total if total else 0.0
