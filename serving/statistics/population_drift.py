"""Whether numbers are spread as before: stability index, distance, and what chance alone makes of both.

The population stability index of two histograms p and q is the sum of (p - q) ln(p / q). Where nothing changed, it is
spread like chi-squared with one degree less than there are groups, times 1/n + 1/m (Yurdakul, Statistical Properties
of Population Stability Index, 2018). Its quantile at `false_alarms`, shared out among all that is looked at
(Bonferroni), is the noise bound: a small table does not alarm by chance. A large one does not alarm for a trifle, since
the index must also pass a size that matters; and nothing alarms that changed as much over the same time before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2

GROUPS, MIN_GROUP_SIZE = 10, 20  # of numbers, and customers in each
MAX_LEVELS, MIN_LEVEL_SIZE = 30, 5
GRID = (np.arange(200) + 0.5) / 200
NULL = "\x00"  # stands for what is missing among levels


@dataclass(frozen=True)
class Drift:
    """How far a number is from where it was.

    Attributes:
        what: 'feature' or 'score'.
        psi: Population stability index, over groups by the reference (and one of what is missing).
        noise: What it may be where nothing changed: by chance, or as over the same time before the reference.
        distance: Wasserstein distance over the reference's standard deviation (numbers), or Jensen-Shannon distance,
            from 0 to 1 (levels): the size of the effect.
        change: Mean now less mean before, over the reference's standard deviation; None for levels.
        unseen: Share of customers with a level that the reference has not.
        seasonal: Whether the index passed both bounds, and not against the same season a year ago.
        season: The index against the same season a year ago; None where there is none.
        reference: What it is compared with, in words.
        moved: Whether psi passes both noise and the size that matters, and the season does not explain it.
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

    def to_dict(self) -> dict[str, Any]:
        """As monitor.json has it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class DriftSamples:
    """What is compared: values (n,), floats with NaN for what is missing, or texts with None.

    Attributes:
        reference_cutoffs: Of each cutoff of the reference; at least one.
        earlier_cutoffs: Of cutoffs as long before these as these are before now; may be empty.
        season_values: Of a year ago, or None.
    """

    now: np.ndarray
    reference_cutoffs: Sequence[np.ndarray]
    earlier_cutoffs: Sequence[np.ndarray] = ()
    season_values: np.ndarray | None = None


def measure_drift(sides: DriftSamples, chance: float, matters: float) -> dict[str, Any]:
    """Compares numbers or levels with those of earlier cutoffs.

    Args:
        sides: What is compared.
        chance: Probability that the index passes its bound by chance, where nothing changed.
        matters: A smaller index is no drift.

    Returns:
        The fields of `Drift` that are figures.
    """
    now, before = sides.now, np.concatenate(sides.reference_cutoffs)
    levels, n = now.dtype == object, len(sides.now)
    m = len(before) // len(sides.reference_cutoffs)  # the cutoffs share customers: together they tell no more than one
    groups = _level_groups(now, before, min(n, m)) if levels else _edges(before, min(n, m))
    count = _count_levels if levels else _count_numbers
    here, each = count(now, groups), [count(b, groups) for b in sides.reference_cutoffs]
    there, index = np.sum(each, axis=0), population_stability_index(here, np.sum(each, axis=0))
    usually = [population_stability_index(c, there - c) for c in each] if len(each) > 1 else []
    if sides.earlier_cutoffs:
        usually.append(
            population_stability_index(there, np.sum([count(b, groups) for b in sides.earlier_cutoffs], axis=0))
        )
    bound = max(psi_noise_bound(int(((here + there) > 0).sum()), n, m, chance), *usually, 0.0)
    passed = bool(index > bound and index > matters)
    year = None if sides.season_values is None else population_stability_index(here, count(sides.season_values, groups))
    as_then = passed and year is not None and bool(year <= bound or year <= matters)
    distance, change = (jensen_shannon_distance(here, there), None) if levels else wasserstein_distance(now, before)
    return {
        "psi": index,
        "noise": bound,
        "distance": distance,
        "change": change,
        "unseen": _unseen(now, before) if levels else 0.0,
        "seasonal": as_then,
        "season": year,
        "moved": passed and not as_then,
    }


def population_stability_index(here: np.ndarray, there: np.ndarray) -> float:
    """Population stability index of two histograms (g,), half a customer added to each group.

    >>> round(psi(np.array([50, 50]), np.array([50, 50])), 3), round(psi(np.array([90, 10]), np.array([50, 50])), 2)
    (0.0, 0.85)
    """
    p, q = _shares(here), _shares(there)
    return float(((p - q) * np.log(p / q)).sum())


def psi_noise_bound(groups: int, n: int, m: int, chance: float) -> float:
    """What the index of samples of n and m customers passes with probability `chance` where nothing changed.

    >>> round(noise(10, 200, 200, 0.05), 3), round(noise(10, 2_000_000, 2_000_000, 0.05), 6)
    (0.169, 1.7e-05)
    """
    if groups < 2 or not n or not m:
        return 0.0
    return float(chi2.isf(chance, groups - 1) * (1 / n + 1 / m))


def jensen_shannon_distance(here: np.ndarray, there: np.ndarray) -> float:
    """Distance of two histograms (g,), from 0 (the same) to 1 (nothing in common): the root of the divergence in bits.

    Endres and Schindelin, IEEE Transactions on Information Theory 49, 2003.

    >>> jensen_shannon(np.array([1, 0]), np.array([0, 1])), jensen_shannon(np.array([3, 1]), np.array([6, 2]))
    (1.0, 0.0)
    """
    p, q = here / max(here.sum(), 1), there / max(there.sum(), 1)
    middle = (p + q) / 2

    def divergence(x: np.ndarray) -> float:
        inside = x > 0
        return float((x[inside] * np.log2(x[inside] / middle[inside])).sum())

    return float(np.sqrt(max((divergence(p) + divergence(q)) / 2, 0.0)))


def wasserstein_distance(now: np.ndarray, before: np.ndarray) -> tuple[float, float]:
    """Wasserstein distance, and the difference of means, of numbers (n,) and (m,), in standard deviations of `before`.

    The distance is the mean gap of the quantiles: how far numbers moved on average. Missing ones are left out.

    >>> [round(x, 2) for x in wasserstein(np.arange(100.0) + 29, np.arange(100.0))]
    [1.0, 1.0]
    """
    a, b = now[np.isfinite(now)], before[np.isfinite(before)]
    if not len(a) or not len(b):
        return 0.0, 0.0
    spread = float(np.std(b)) or float(np.std(a)) or 1.0
    gap = np.abs(np.quantile(a, GRID) - np.quantile(b, GRID)).mean()
    return float(gap / spread), float((a.mean() - b.mean()) / spread)


def _edges(before: np.ndarray, customers: int) -> np.ndarray:
    """Inner edges of groups that hold the reference in equal shares; equal numbers stay together."""
    told = before[np.isfinite(before)]
    wanted = int(np.clip(customers // MIN_GROUP_SIZE, 2, GROUPS))
    if not len(told):
        return np.array([])
    return np.unique(np.quantile(told, np.arange(1, wanted) / wanted, method="inverted_cdf"))


def _count_numbers(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many values lie up to each edge, beyond the last, and how many are missing."""
    told = values[np.isfinite(values)]
    inside = np.bincount(np.searchsorted(edges, told, side="left"), minlength=len(edges) + 1)
    return np.append(inside, len(values) - len(told))


def _level_groups(now: np.ndarray, before: np.ndarray, customers: int) -> np.ndarray:
    """The levels to be counted apart: common in both together, so that neither side's chance chooses them."""
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


def _unseen(now: np.ndarray, before: np.ndarray) -> float:
    """Share of values whose level was not there before."""
    known = {_text(level) for level in before.tolist()}
    return float(np.mean([_text(level) not in known for level in now.tolist()])) if len(now) else 0.0


def _shares(counts: np.ndarray) -> np.ndarray:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)))


def drifted_driver_share(drifts: Sequence[Drift], drivers: Mapping[str, float]) -> float:
    """What share of the model's drivers, by strength, moved; 0 where none is known."""
    whole = sum(drivers.values())
    moved = sum(drivers.get(d.name, 0.0) for d in drifts if d.moved and d.what == "feature")
    return moved / whole if whole else 0.0
