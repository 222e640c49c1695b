"""Reads LightGBM's model texts into the flat arrays of one weighted forest.

The decision at a node depends only on where a value lies among the thresholds of its feature. So the values of each
feature are cut into bins: all values in a bin decide alike, and NaN has a bin of its own, the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

CATEGORICAL, DEFAULT_LEFT = 1, 2
ZERO_MISSING = 1  # of the two bits above those; 2: NaN is missing; 0: nothing is missing, and NaN is 0
MOST_BINS = 65_535


class ForestError(ValueError):
    """A model that cannot be explained: it is not LightGBM's, or of an unsupported kind."""


@dataclass(frozen=True)
class Forest:
    """Trees of at least two leaves, one after the other. Nodes of a tree are numbered within it, parents first.

    Attributes:
        features: The number of columns of a row.
        base: The mean prediction of the forest over its training rows.
        node_starts: Where each tree's nodes begin (trees + 1,); its leaves begin `tree` places later.
        feature: Of each node, its column.
        left, right: Of each node, its children: a node, or ~leaf.
        cover: Of each node, its number of training rows.
        cut: Of each node, the last bin that goes left; -1 where `sides` holds the direction of each bin.
        side: Where the bins of each node begin in `sides`, or -1.
        nan_left: Of each node, whether NaN goes left.
        sides: Whether a bin goes left, for categorical nodes and for nodes that treat 0 as missing.
        leaf_value, leaf_cover: Of each leaf, its weighted value and its number of training rows.
        breaks: Upper ends of the bins of each column, one column after the other: (a, b] each.
        break_starts: Where each column's ends begin (features + 1,); there is one more bin than ends, and one for NaN.
    """

    features: int
    base: float
    node_starts: np.ndarray
    feature: np.ndarray
    left: np.ndarray
    right: np.ndarray
    cover: np.ndarray
    cut: np.ndarray
    side: np.ndarray
    nan_left: np.ndarray
    sides: np.ndarray
    leaf_value: np.ndarray
    leaf_cover: np.ndarray
    breaks: np.ndarray
    break_starts: np.ndarray


@dataclass(frozen=True)
class _Tree:
    """One tree as in the model text."""

    feature: np.ndarray
    threshold: np.ndarray
    kind: np.ndarray
    left: np.ndarray
    right: np.ndarray
    cover: np.ndarray
    leaf_value: np.ndarray
    leaf_cover: np.ndarray
    levels: tuple[np.ndarray, ...]


def compile_forest(texts: Sequence[str], weights: Sequence[float], features: int) -> Forest:
    """Combine several models into one forest, each with its weight.

    Args:
        texts: LightGBM model texts with one output each.
        weights: The weight of each model.
        features: The number of columns of a row.

    Returns:
        The forest.

    Raises:
        ForestError: A text is no such model, has linear leaves, or uses a column that does not exist.
    """
    trees: list[_Tree] = []
    base = 0.0
    for text, weight in zip(texts, weights, strict=True):
        for fields in _tree_fields(text):
            if int(fields["num_leaves"]) == 1:
                base += weight * float(fields["leaf_value"])
                continue
            tree = _tree(fields, weight, features)
            base += float((tree.leaf_cover / tree.cover[0]) @ tree.leaf_value)
            trees.append(tree)
    return _join_trees(trees, base, features)


def _tree_fields(text: str) -> Iterable[dict[str, str]]:
    """Yield the fields `name=value` of each tree.

    Raises:
        ForestError: The text is no LightGBM model with one output and constant leaves.
    """
    head, *blocks = text.split("\nTree=")
    header = dict(line.partition("=")[::2] for line in head.splitlines())
    if not head.startswith("tree\n") or "num_tree_per_iteration" not in header:
        raise ForestError("expected the text of a LightGBM model")
    if header["num_tree_per_iteration"] != "1":
        raise ForestError(f"expected a model of one output, found {header['num_tree_per_iteration']}")
    if "average_output" in header:
        raise ForestError("expected boosted trees, found a random forest (average_output)")
    for block in blocks:
        fields = dict(line.partition("=")[::2] for line in block.split("\nend of trees")[0].splitlines()[1:])
        if fields.get("is_linear", "0") != "0":
            raise ForestError("expected plain leaves, found linear ones (linear_tree)")
        yield fields


def _tree(fields: dict[str, str], weight: float, features: int) -> _Tree:
    try:
        kind, threshold = _numbers(fields["decision_type"], int), _numbers(fields["threshold"])
        levels = _levels(fields, threshold, kind)
        tree = _Tree(
            _numbers(fields["split_feature"], int),
            threshold,
            kind,
            _numbers(fields["left_child"], int),
            _numbers(fields["right_child"], int),
            _numbers(fields["internal_count"]),
            _numbers(fields["leaf_value"]) * weight,
            _numbers(fields["leaf_count"]),
            levels,
        )
    except (KeyError, ValueError, IndexError) as problem:
        raise ForestError(f"a tree of the model cannot be read: {problem}") from None
    _check(tree, features)
    return tree


def _numbers(text: str, dtype: type = float) -> np.ndarray:
    """Read numbers that are separated by blanks."""
    return np.array(text.split(), dtype=np.float64).astype(dtype)


def _levels(fields: dict[str, str], threshold: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return for each node the level codes that go left; none for a numerical node."""
    none = np.empty(0, np.int64)
    if fields.get("num_cat", "0") == "0":
        return (none,) * len(kind)
    starts, words = _numbers(fields["cat_boundaries"], int), _numbers(fields["cat_threshold"], int)
    levels = []
    for place, of_levels in zip(threshold, kind & CATEGORICAL, strict=True):
        if not of_levels:
            levels.append(none)
            continue
        bits = words[starts[int(place)] : starts[int(place) + 1]].astype(np.uint32)
        levels.append(np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little")))
    return tuple(levels)


def _check(tree: _Tree, features: int) -> None:
    """Check that the arrays form one tree over these columns; else raise ForestError."""
    nodes = len(tree.feature)
    sizes = {len(a) for a in (tree.threshold, tree.kind, tree.left, tree.right, tree.cover)}
    if sizes != {nodes} or len(tree.leaf_value) != nodes + 1 or len(tree.leaf_cover) != nodes + 1:
        raise ForestError("a tree of the model cannot be read: its parts differ in length")
    children = np.concatenate([tree.left, tree.right])
    parents = np.tile(np.arange(nodes), 2)
    is_tree = np.array_equal(np.sort(children), np.r_[np.arange(-nodes - 1, 0), np.arange(1, nodes)])
    if not is_tree or (children[children >= 0] <= parents[children >= 0]).any():
        raise ForestError("a tree of the model cannot be read: its children form no tree")
    if tree.feature.min() < 0 or tree.feature.max() >= features:
        raise ForestError(f"the model uses column {tree.feature.max()}, found {features} columns")
    if tree.cover.min() < 1 or tree.leaf_cover.min() < 0:
        raise ForestError("the model does not record the training rows of each node (counts below 1)")


def _join_trees(trees: list[_Tree], base: float, features: int) -> Forest:
    def all_of(name: str, dtype: type) -> np.ndarray:
        parts = [getattr(tree, name) for tree in trees]
        return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype)

    feature, threshold, kind = all_of("feature", np.int64), all_of("threshold", float), all_of("kind", np.int64)
    levels = [own for tree in trees for own in tree.levels]
    of_levels, missing = (kind & CATEGORICAL) > 0, (kind >> 2) & 3
    breaks = _breaks(feature, threshold, of_levels, missing, levels, features)
    starts = np.r_[0, np.cumsum([len(own) for own in breaks])]
    cut, side, sides = _sides(feature, threshold, kind, levels, breaks)
    default_left = (kind & DEFAULT_LEFT) > 0
    return Forest(
        features,
        base,
        np.r_[0, np.cumsum([len(tree.feature) for tree in trees])].astype(np.int64),
        feature,
        all_of("left", np.int64),
        all_of("right", np.int64),
        all_of("cover", float),
        cut,
        side,
        ~of_levels & np.where(missing == 0, threshold >= 0, default_left),
        sides,
        all_of("leaf_value", float),
        all_of("leaf_cover", float),
        np.concatenate([np.empty(0), *breaks]),
        starts.astype(np.int64),
    )


def _breaks(
    feature: np.ndarray,
    threshold: np.ndarray,
    of_levels: np.ndarray,
    missing: np.ndarray,
    levels: list[np.ndarray],
    features: int,
) -> list[np.ndarray]:
    """Return the values at which a decision of each column changes, ascending.

    Raises:
        ForestError: A column has too many of them.
    """
    below_zero = math.nextafter(0.0, -1.0)
    ends = [[np.empty(0)] for _ in range(features)]
    for node in map(int, np.flatnonzero(of_levels)):
        ends[feature[node]].append(_level_ends(levels[node]))
    for column in range(features):
        own = (feature == column) & ~of_levels
        ends[column].append(threshold[own])
        if (missing[own] == ZERO_MISSING).any():
            ends[column].append(np.array([below_zero, 0.0]))
    breaks = [np.unique(np.concatenate(own)) for own in ends]
    most = max((len(own) for own in breaks), default=0)
    if most + 2 > MOST_BINS:
        raise ForestError(f"expected fewer than {MOST_BINS - 2} thresholds of one column, found {most}")
    return breaks


def _level_ends(levels: np.ndarray) -> np.ndarray:
    """Return the ends of the ranges of numbers that have these codes after their decimals are cut off."""
    low = np.where(levels == 0, -1.0, np.nextafter(levels.astype(float), -np.inf))
    return np.concatenate([low, np.nextafter(levels + 1.0, -np.inf)])


def _sides(
    feature: np.ndarray, threshold: np.ndarray, kind: np.ndarray, levels: list[np.ndarray], breaks: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each node the last bin that goes left or, where these bins are no range, each bin's direction."""
    cut, side = np.full(len(feature), -1, np.int64), np.full(len(feature), -1, np.int64)
    for column, own in enumerate(breaks):
        nodes = feature == column
        cut[nodes] = np.searchsorted(own, threshold[nodes])
    sides: list[np.ndarray] = []
    start = 0
    for node in map(int, np.flatnonzero(((kind & CATEGORICAL) > 0) | ((kind >> 2) & 3 == ZERO_MISSING))):
        own = breaks[feature[node]]
        within = np.append(own, np.inf)  # a number of each bin
        if kind[node] & CATEGORICAL:
            goes = (within > -1) & np.isin(np.trunc(within), levels[node])
        else:
            goes = np.where(within == 0, bool(kind[node] & DEFAULT_LEFT), within <= threshold[node])
        cut[node], side[node], start = -1, start, start + len(goes)
        sides.append(goes)
    return cut, side, np.concatenate([np.empty(0, bool), *sides])
