"""Micro-segments: clusters of customers who are alike in a few features, named by their most distinctive features.

k-means runs on features that are scaled by median and quartiles, after a logarithm of counts, days and money. The
number of clusters is chosen by stability (Lange and others, 2004, 'Stability-based validation of
clustering solutions', Neural Computation 16(6)): clusters fitted on one half of a sample are compared with those of
the other half, by the adjusted Rand index of their assignments of the same customers. All is fitted on a seeded sample,
and every customer then belongs to the nearest centre. Fitting uses one thread, so equal machines give equal bytes.
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

SAMPLE_SIZE, SPLIT_SIZE, SPLITS = (20_000, 4_000, 10)  # of customers, of customers to split, number of splits
LOGGED = ("days", "orders", "money", "count")
LARGEST_COORDINATE = 3.0  # scaled values are clipped here, so that a few customers do not form a group
DISTINCT_DISTANCE = 0.4  # scaled distance from the median from which a feature is distinctive
CLEAR_AGREEMENT = 0.6  # stability below which clusters count as blurred
FEWEST_CUSTOMERS = 60  # customers below which nothing is fitted
CHUNK_ROWS = 100_000
NAME_WORDS = 2


@dataclass(frozen=True)
class FeatureScale:
    """How a feature becomes a coordinate: (value or its log - middle) / width; null becomes 0."""

    name: str
    logged: bool
    middle: float
    width: float

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return the coordinates (n,) of values (n,)."""
        x = (_log(values) if self.logged else values) - self.middle
        return np.clip(np.nan_to_num(x / self.width, nan=0.0), -LARGEST_COORDINATE, LARGEST_COORDINATE)


@dataclass(frozen=True)
class Clusters:
    """The fitted clusters.

    Attributes:
        scales: The scale of each coordinate.
        centres: The centres (k, p).
        names: The names of the clusters (k,).
        stability: For each number of clusters tried: k, mean adjusted Rand index, and its 95% confidence interval.
    """

    scales: tuple[FeatureScale, ...]
    centres: np.ndarray
    names: tuple[str, ...]
    stability: tuple[dict[str, Any], ...]

    @property
    def blurred(self) -> bool:
        """Whether the halves of the customers give different clusters."""
        chosen = next(row for row in self.stability if row["k"] == len(self.names))
        return bool(chosen["agreement"] < CLEAR_AGREEMENT)

    def assign(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the index (n,) of each customer's cluster, from the features (n,) by name."""
        return nearest_centres(scale_features(self.scales, columns), self.centres)

    def to_dict(self) -> dict[str, Any]:
        """Return the clusters as values of JSON."""
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
    """Fit clusters of alike customers.

    Args:
        columns: Features (n,) by name; null is NaN.
        features: The same features with their units and phrases.
        between: The smallest and the largest number of clusters.
        seed: The seed of the sample and of all starts.
        tr: The language of the clusters' names.

    Returns:
        The clusters; None if there are too few customers or features.
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
    """Return customers as points (n, p)."""
    return np.column_stack([scale.apply(columns[scale.name]) for scale in scales])


def nearest_centres(X: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the index (n,) of the nearest centre of each point (n, p); the first of equally near ones."""
    nearest = np.empty(len(X), int)
    for start in range(0, len(X), CHUNK_ROWS):
        part = X[start : start + CHUNK_ROWS]
        distances = np.stack([((part - centre) ** 2).sum(axis=1) for centre in centres])
        nearest[start : start + CHUNK_ROWS] = distances.argmin(axis=0)
    return nearest


def _scales(sample: Mapping[str, np.ndarray], features: Sequence[Feature]) -> Iterator[FeatureScale]:
    """Yield a scale for each feature that differs between customers."""
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
    """Return how far k clusters of two halves agree: mean adjusted Rand index with its 95% confidence interval."""
    rng = np.random.default_rng([seed, k])
    agreements = []
    for _ in range(SPLITS):
        order = rng.permutation(len(X))[:SPLIT_SIZE]
        half, start = len(order) // 2, int(rng.integers(2**31))
        parts = [KMeans(k, n_init=3, random_state=start).fit(X[part]) for part in (order[:half], order[half:])]
        assignments = [nearest_centres(X[order], part.cluster_centers_) for part in parts]
        agreements.append(adjusted_rand_score(*assignments))
    mean, error = float(np.mean(agreements)), float(np.std(agreements, ddof=1) / np.sqrt(SPLITS))
    return {"k": k, "agreement": mean, "low": mean - 2.262 * error, "high": min(mean + 2.262 * error, 1.0)}


def _most_stable(stability: Sequence[Mapping[str, Any]]) -> int:
    """Return the largest k whose interval reaches the best agreement; if all are blurred, the k of the best.

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
    """Name the clusters by the features farthest from the median, with more words only where two names are equal."""
    words = np.full(len(centres), NAME_WORDS)
    names = [_name(scales, centre, phrases, NAME_WORDS, tr) for centre in centres]
    for _ in range(NAME_WORDS, len(scales)):
        words += _shared(names, tr("; "))
        names = [_name(scales, centre, phrases, n, tr) for centre, n in zip(centres, words, strict=True)]
    alike = _shared(names, tr("; "))
    return tuple(f"{name} ({n})" if same else name for n, (name, same) in enumerate(zip(names, alike, strict=True), 1))


def _shared(names: Sequence[str], joint: str) -> np.ndarray:
    """Tell whether each name (k,) has the same parts as another one, in any order.

    >>> _shared(["a; b", "c", "b; a"], "; ").tolist()
    [True, False, True]
    """
    parts = [frozenset(name.split(joint)) for name in names]
    return np.array([parts.count(own) > 1 for own in parts])


def _name(
    scales: Sequence[FeatureScale], centre: np.ndarray, phrases: Mapping[str, str], words: int, tr: Language
) -> str:
    order = np.argsort(-np.abs(centre), kind="stable")[:words]
    chosen = [place for place in order if abs(centre[place]) >= DISTINCT_DISTANCE]
    ends = (tr("low: {phrase}"), tr("high: {phrase}"))
    words_of_group = [ends[int(centre[place] > 0)].format(phrase=phrases[scales[place].name]) for place in chosen]
    return tr("; ").join(words_of_group) or tr("in the middle in everything")
