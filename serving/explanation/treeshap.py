"""Exact path-dependent SHAP values of LightGBM models, about as fast as predicting.

A leaf adds its value v times, for each feature on its path, 1 or 0 as the row keeps to the path where this feature
decides, or where the feature is unknown the share z of the rows that kept to it in training. So the k features of a
leaf have just 2^k patterns, and the Shapley value of feature i under one of them (o) is, from the multilinear extension
(Owen, Multilinear Extensions of Games, 1972),

    v (o_i - z_i) * integral over t in [0, 1] of the product over j != i of z_j + (o_j - z_j) t,

a polynomial that ceil(k / 2) Gauss-Legendre nodes integrate without error: no term is negative, nothing cancels. Leaves
near each other in a tree share most of their features, so they form groups, and a group has one table: for each state
that its features can be in together, what its leaves add to each of them. A row costs one look into the table for
each feature of each group. Groups whose table would be large are computed row by row, with the same steps.

The order of every sum is that of the forest, so numbers depend on the row alone: not on threads, chunks or tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from serving.explanation.forest import Forest, ForestError, compile_forest
from serving.explanation.leaf_groups import group_tree_leaves
from serving.explanation.treeshap_kernels import MOST_STATES, LeafGroups, bin_column, explain_rows, fill_tables

BLOCK_ROWS = 4096  # rows that one thread explains together
FEWEST_TABLE_ROWS = 256  # rows from which on tables are worth their cost
CACHED_EXPLAINERS = 8  # explainers
COUNTED = ("features", "leaves", "masks", "steps", "paths")  # given by tree as counts, kept as starts
TABLE_BYTES = 2**28  # the largest size of the tables of one explainer


@dataclass(frozen=True)
class TreeExplainer:
    """A forest that is ready to explain rows; built by `tree_explainer`.

    Attributes:
        forest: The trees.
        groups: The leaves in groups.
        nodes, weights: Quadratures over [0, 1] with 1, 2, ... nodes, one in each row.
    """

    forest: Forest
    groups: LeafGroups
    nodes: np.ndarray
    weights: np.ndarray

    @property
    def base(self) -> float:
        """The mean prediction of the forest over its training rows."""
        return self.forest.base

    @cached_property
    def starts(self) -> np.ndarray:
        """Where the table of each group begins (groups + 1,): the smallest groups have one, up to TABLE_BYTES."""
        entries = self.groups.sizes * np.diff(self.groups.features)
        order = np.argsort(entries, kind="stable")
        fits = np.empty(len(entries), bool)
        fits[order] = np.cumsum(entries[order]) <= TABLE_BYTES // 8
        return _starts(np.where(fits & (self.groups.sizes <= MOST_STATES), entries, 0))

    @cached_property
    def tables(self) -> np.ndarray:
        """What each group adds to its features in each of its states."""
        table = np.empty(self.starts[-1])
        cuts = np.linspace(0, len(self.groups.sizes), 17).astype(int)
        _in_threads(
            lambda begin, end: fill_tables(
                self.groups, begin, end, self.starts, self.widest, self.nodes, self.weights, table
            ),
            list(zip(cuts, cuts[1:], strict=False)),
            thread_count(),
        )
        return table

    @cached_property
    def widest(self) -> int:
        """The largest number of features of a group."""
        return int(np.diff(self.groups.features).max(initial=1))

    def values(self, columns: Sequence[np.ndarray], threads: int | None = None) -> np.ndarray:
        """Return SHAP values (n, p) of n rows; they add up to the forest's raw score minus `base`.

        Args:
            columns: The features' values, p arrays (n,) of floats; NaN is missing.
            threads: The largest number of threads; None: as `thread_count`.

        Returns:
            The SHAP values.

        Raises:
            ForestError: The number of columns is not that of the forest.
        """
        forest, threads = self.forest, threads or thread_count()
        if len(columns) != forest.features:
            raise ForestError(f"expected {forest.features} columns, found {len(columns)}")
        rows = len(columns[0]) if len(columns) else 0
        places, values = np.empty((forest.features, rows), np.uint16), np.zeros((rows, forest.features))
        if rows == 0 or len(self.groups.sizes) == 0:
            return values
        ends = [forest.breaks[a:b] for a, b in zip(forest.break_starts, forest.break_starts[1:], strict=False)]
        _in_threads(lambda j: bin_column(columns[j], ends[j], places[j]), [(j,) for j in range(len(ends))], threads)
        if "tables" in self.__dict__ or rows >= FEWEST_TABLE_ROWS:
            starts, table = self.starts, self.tables
        else:
            starts, table = np.zeros_like(self.starts), np.empty(0)
        _in_threads(
            lambda begin, end: explain_rows(
                self.groups, starts, table, places, begin, end, self.widest, self.nodes, self.weights, values
            ),
            [(begin, min(begin + BLOCK_ROWS, rows)) for begin in range(0, rows, BLOCK_ROWS)],
            threads,
        )
        return values


def thread_count() -> int:
    """Return how many threads to use: OMP_NUM_THREADS or, if it is not set, the processors of this process."""
    setting = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=CACHED_EXPLAINERS)
def tree_explainer(texts: tuple[str, ...], weights: tuple[float, ...], features: int) -> TreeExplainer:
    """Build the explainer of the weighted sum of several LightGBM models; the last few are kept in memory.

    Args:
        texts: The model texts.
        weights: The weight of each model.
        features: The number of columns of a row.

    Returns:
        The explainer.

    Raises:
        ForestError: A text is no LightGBM model with one output and constant leaves over this many columns.
    """
    forest = compile_forest(texts, weights, features)
    groups = _groups(forest)
    widest = int(np.diff(groups.paths).max(initial=1))
    nodes, quadrature = np.zeros((2, (widest + 1) // 2 + 1, (widest + 1) // 2))
    for count in range(1, len(nodes)):
        at, weight = np.polynomial.legendre.leggauss(count)
        nodes[count, :count], quadrature[count, :count] = (at + 1) / 2, weight / 2
    return TreeExplainer(forest, groups, nodes, quadrature)


def _groups(forest: Forest) -> LeafGroups:
    """Put the leaves of all trees into groups."""
    bins = np.diff(forest.break_starts) + 2
    f = forest
    parts = [
        group_tree_leaves(
            *np.unique(f.feature[n:m], return_inverse=True),
            *(a[n:m] for a in (f.left, f.right, f.cover, f.cut, f.side, f.nan_left)),
            f.sides,
            *(a[n + tree : m + tree + 1] for a in (f.leaf_value, f.leaf_cover)),
            bins,
        )
        for tree, (n, m) in enumerate(zip(f.node_starts, f.node_starts[1:], strict=False))
    ]
    if not parts:
        return LeafGroups(*(np.zeros(0) for _ in LeafGroups._fields))
    arrays = (np.concatenate(own) for own in zip(*parts, strict=True))
    named = zip(LeafGroups._fields, arrays, strict=True)
    return LeafGroups(*(_starts(array) if name in COUNTED else array for name, array in named))


def _starts(counts: np.ndarray) -> np.ndarray:
    """Return where each of some consecutive ranges begins, from their lengths."""
    return np.r_[0, np.cumsum(counts)].astype(np.int64)


def _in_threads(work: Callable[..., None], parts: Sequence[tuple[Any, ...]], threads: int) -> None:
    """Do the parts of some work, which does not hold Python's lock, in at most so many threads."""
    if threads == 1 or len(parts) == 1:
        for part in parts:
            work(*part)
        return
    with ThreadPoolExecutor(min(threads, len(parts))) as pool:
        for future in [pool.submit(work, *part) for part in parts]:
            future.result()
