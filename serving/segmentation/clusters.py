"""Micro-segments: customers alike in a few features, as many groups as hold still, named by what sets them apart.

k-means on features that are taken to logarithms where they are counts, days or money, and scaled by their median and
quartiles. The number of groups is chosen by stability (Lange and others, 2004, 'Stability-based validation of
clustering solutions', Neural Computation 16(6)): groups learned from one half of a sample are compared with those from
the other half, by the adjusted Rand index of what both say of the same customers. All is learned from a seeded sample,
and every customer then belongs to the nearest centre; one thread learns, so the bytes are the same on any machine of a
sort.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from features.feature import Feature
from serving.language.messages import ENGLISH, Language

SAMPLE_SIZE, SPLIT_SIZE, SPLITS = (
    20_000,
    4_000,
    10,
)  # customers learned from, those of them that are halved, and how often
LOGGED = ("days", "orders", "money", "count")
LARGEST_COORDINATE = 3.0  # scaled values are cut off here, so that a few customers do not make a group of their own
DISTINCT_DISTANCE = 0.4  # scaled distance from the middle from which a feature sets a group apart
CLEAR_AGREEMENT = 0.6  # stability below which groups are said to blur
FEWEST_CUSTOMERS = 60  # customers below which no groups are sought
CHUNK_ROWS = 100_000
NAME_WORDS = 2


@dataclass(frozen=True)
class FeatureScale:
    """How a feature becomes a coordinate: (log of value, less middle) over width; a null is in the middle."""

    name: str
    logged: bool
    middle: float
    width: float

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Coordinates (n,) of values (n,)."""
        x = (_log(values) if self.logged else values) - self.middle
        return np.clip(np.nan_to_num(x / self.width, nan=0.0), -LARGEST_COORDINATE, LARGEST_COORDINATE)


@dataclass(frozen=True)
class Clusters:
    """What was learned.

    Attributes:
        scales: The coordinates.
        centres: (k, p).
        names: Of the groups (k,).
        stability: For each number of groups tried: k, mean adjusted Rand index, and its 95% interval over the halves.
    """

    scales: tuple[FeatureScale, ...]
    centres: np.ndarray
    names: tuple[str, ...]
    stability: tuple[dict[str, Any], ...]

    @property
    def blurred(self) -> bool:
        """Whether halves of the customers disagree on the groups."""
        chosen = next(row for row in self.stability if row["k"] == len(self.names))
        return bool(chosen["agreement"] < CLEAR_AGREEMENT)

    def assign(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """The place (n,) of each customer's group, from the features (n,) by name."""
        return nearest_centres(scale_features(self.scales, columns), self.centres)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, to be written."""
        scales = [[s.name, s.logged, s.middle, s.width] for s in self.scales]
        return {
            "features": scales,
            "centres": self.centres.tolist(),
            "names": list(self.names),
            "stability": list(self.stability),
            "blurred": self.blurred,
        }


def fit_clusters(
    columns: Mapping[str, np.ndarray],
    features: Sequence[Feature],
    between: tuple[int, int],
    seed: int,
    tr: Language = ENGLISH,
) -> Clusters | None:
    """Groups of alike customers; None where there are too few customers or features to tell any apart.

    Args:
        columns: Features (n,) by name; null is NaN.
        features: What they are.
        between: Fewest and most groups.
        seed: Of the sample and of all starts.
        tr: The language of the groups' names.
    """
    rng = np.random.default_rng(seed)
    n = len(next(iter(columns.values()), ()))
    chosen = np.sort(rng.permutation(n)[:SAMPLE_SIZE])
    sample = {name: values[chosen] for name, values in columns.items()}
    scales = tuple(_scales(sample, features))
    if n < FEWEST_CUSTOMERS or not scales:
        return None
    X = scale_features(scales, sample)
    most = min(between[1], len(np.unique(X, axis=0)), n // 20)
    if most < between[0]:
        return None
    with threadpool_limits(1):
        stability = [_agreement(X, k, seed) for k in range(between[0], most + 1)]
        k = _most_stable(stability)
        centres = KMeans(k, n_init=10, random_state=seed).fit(X).cluster_centers_
    centres = centres[np.lexsort(centres.T[::-1])].round(9)
    phrases = {feature.name: feature.phrase for feature in features}
    return Clusters(scales, centres, _names(scales, centres, phrases, tr), tuple(stability))


def scale_features(scales: Sequence[FeatureScale], columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Customers as points (n, p)."""
    return np.column_stack([scale.apply(columns[scale.name]) for scale in scales])


def nearest_centres(X: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest centre (n,) of each point (n, p); of equally near ones the first."""
    found = np.empty(len(X), int)
    for start in range(0, len(X), CHUNK_ROWS):
        part = X[start : start + CHUNK_ROWS]
        far = np.stack([((part - centre) ** 2).sum(axis=1) for centre in centres])
        found[start : start + CHUNK_ROWS] = far.argmin(axis=0)
    return found


def _scales(sample: Mapping[str, np.ndarray], features: Sequence[Feature]) -> Iterator[FeatureScale]:
    """A scale for each feature that differs between customers."""
    for feature in features:
        logged = feature.unit in LOGGED
        x = sample[feature.name]
        x = _log(x[~np.isnan(x)]) if logged else x[~np.isnan(x)]
        if not len(x):
            continue
        low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
        width = float(high - low) or float(np.std(x))
        if width > 1e-9:
            yield FeatureScale(feature.name, logged, float(middle), width)


def _log(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.log1p(np.abs(values))


def _agreement(X: np.ndarray, k: int, seed: int) -> dict[str, Any]:
    """How far k groups learned from two halves agree on everyone: mean adjusted Rand index, with its interval."""
    rng = np.random.default_rng([seed, k])
    found = []
    for _ in range(SPLITS):
        order = rng.permutation(len(X))[:SPLIT_SIZE]
        half, start = len(order) // 2, int(rng.integers(2**31))
        parts = [KMeans(k, n_init=3, random_state=start).fit(X[part]) for part in (order[:half], order[half:])]
        said = [nearest_centres(X[order], part.cluster_centers_) for part in parts]
        found.append(adjusted_rand_score(*said))
    mean, error = float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(SPLITS))
    return {"k": k, "agreement": mean, "low": mean - 2.262 * error, "high": min(mean + 2.262 * error, 1.0)}


def _most_stable(stability: Sequence[Mapping[str, Any]]) -> int:
    """The largest number of groups whose interval reaches the agreement of the best; where all blur, the best alone.

    >>> rows = [{"k": 2, "agreement": 0.9, "high": 0.95}, {"k": 3, "agreement": 0.8, "high": 0.91}]
    >>> _most_stable(rows), _most_stable([{**row, "agreement": row["agreement"] / 2} for row in rows])
    (3, 2)
    """
    best = max(stability, key=lambda row: row["agreement"])
    if best["agreement"] < CLEAR_AGREEMENT:
        return int(best["k"])
    return max(row["k"] for row in stability if row["high"] >= best["agreement"])


def _names(
    scales: Sequence[FeatureScale], centres: np.ndarray, phrases: Mapping[str, str], tr: Language
) -> tuple[str, ...]:
    """Names of the groups: what lies farthest from the middle of all, with more words only where two are alike."""
    words = np.full(len(centres), NAME_WORDS)
    names = [_name(scales, centre, phrases, NAME_WORDS, tr) for centre in centres]
    for _ in range(NAME_WORDS, len(scales)):
        words += _shared(names, tr("; "))
        names = [_name(scales, centre, phrases, n, tr) for centre, n in zip(centres, words, strict=True)]
    alike = _shared(names, tr("; "))
    return tuple(f"{name} ({n})" if same else name for n, (name, same) in enumerate(zip(names, alike, strict=True), 1))


def _shared(names: Sequence[str], joint: str) -> np.ndarray:
    """Whether each name (k,) says the same as another, in whatever order of what the joint joins.

    >>> _shared(["a; b", "c", "b; a"], "; ").tolist()
    [True, False, True]
    """
    said = [frozenset(name.split(joint)) for name in names]
    return np.array([said.count(own) > 1 for own in said])


def _name(
    scales: Sequence[FeatureScale], centre: np.ndarray, phrases: Mapping[str, str], words: int, tr: Language
) -> str:
    order = np.argsort(-np.abs(centre), kind="stable")[:words]
    chosen = [place for place in order if abs(centre[place]) >= DISTINCT_DISTANCE]
    ends = (tr("low: {phrase}"), tr("high: {phrase}"))
    told = [ends[int(centre[place] > 0)].format(phrase=phrases[scales[place].name]) for place in chosen]
    return tr("; ").join(told) or tr("in the middle in everything")
