"""The compiled loops of `serving.explanation.treeshap` over rows: bins, tables and sums.

Everything here is plain arithmetic in a fixed order, without fast-math: NaN is a bin like any other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serving.machine_code import compiled

MOST_STATES = 8192  # the most states of a group with a table: 64 KiB for each of its features
STRIP_ROWS = 128  # rows computed together for a group without a table
ZERO = float(np.float32(1e-35))  # LightGBM takes smaller numbers for 0
Array = np.ndarray


class LeafGroups(NamedTuple):
    """Leaves in groups, with the features and the leaves of each group one after the other.

    Attributes:
        features, leaves: Where the features and leaves of each group begin (groups + 1,).
        sizes: The number of states of each group; with more than MOST_STATES it has no table.
        feature: Of each feature of a group, its column.
        first: The state of the column's first bin.
        states, stride: The number of its states, and its stride in the state of the group.
        masks: Where its states begin in `mask` (group features + 1,).
        mask: Of each state, the leaves of the group to whose path the row keeps, one bit for each.
        steps: Where its steps begin (group features + 1,).
        bin, step: From this bin on, this is added to its state.
        value, paths: Of each leaf, its value, and where its features begin (leaves + 1,).
        place, share: Of each feature of a leaf, its place in the group, and the share of training rows on the path.
    """

    features: np.ndarray
    leaves: np.ndarray
    sizes: np.ndarray
    feature: np.ndarray
    first: np.ndarray
    states: np.ndarray
    stride: np.ndarray
    masks: np.ndarray
    mask: np.ndarray
    steps: np.ndarray
    bin: np.ndarray
    step: np.ndarray
    value: np.ndarray
    paths: np.ndarray
    place: np.ndarray
    share: np.ndarray


@compiled
def bin_column(column: Array, breaks: Array, out: Array) -> None:
    """Write the bin of each value of a column: the number of ends below it; NaN has the last bin.

    Args:
        column: The values (n,).
        breaks: The upper ends of the bins, ascending.
        out: Receives the bins (n,).
    """
    for row in range(len(column)):
        x = column[row]
        if np.isnan(x):
            out[row] = len(breaks) + 1
            continue
        if abs(x) <= ZERO:
            x = 0.0
        low, size = 0, len(breaks)
        while size > 0:
            half = size >> 1
            low, size = (low + half + 1, size - half - 1) if breaks[low + half] < x else (low, half)
        out[row] = low


@compiled
def leaf_shares(
    value: float,
    share: Array,
    start: int,
    k: int,
    keeps: Array,
    n: int,
    nodes: Array,
    weights: Array,
    out: Array,
    before: Array,
    after: Array,
) -> None:
    """Write what a leaf adds to each of its k features, in each of n cases.

    Args:
        value: The value of the leaf.
        share: Of each feature, from `start` on, the share of training rows on the path.
        start: Where the leaf's features begin in `share`.
        k: The number of features.
        keeps: 1 where the row keeps to the path, else 0 (k, n).
        n: The number of cases.
        nodes: The nodes of quadratures over [0, 1], one row for each size; ceil(k / 2) nodes are exact.
        weights: The weights of these quadratures.
        out: Receives the contributions (k, n).
        before: Working memory (k + 1, n).
        after: Working memory (n,).
    """
    half = (k + 1) // 2
    for i in range(k):
        for row in range(n):
            out[i, row] = 0.0
    for q in range(half):
        t = nodes[half, q]
        for row in range(n):
            before[0, row] = value * weights[half, q]
            after[row] = 1.0
        for i in range(k - 1):
            unknown = share[start + i] * (1 - t)
            for row in range(n):
                before[i + 1, row] = before[i, row] * (unknown + keeps[i, row] * t)
        for i in range(k - 1, -1, -1):
            unknown = share[start + i] * (1 - t)
            for row in range(n):
                out[i, row] += before[i, row] * after[row]
                after[row] *= unknown + keeps[i, row] * t
    for i in range(k):
        for row in range(n):
            out[i, row] *= keeps[i, row] - share[start + i]


@compiled
def fill_tables(
    groups: LeafGroups, begin: int, end: int, starts: Array, widest: int, nodes: Array, weights: Array, table: Array
) -> None:
    """Write the tables of some groups: the contributions of each feature, by state.

    Args:
        groups: All groups.
        begin: The first group to write.
        end: The groups [begin, end) are written.
        starts: Where the table of each group begins (groups + 1,).
        widest: The largest number of features of a group.
        nodes: The nodes of quadratures with 1, 2, ... nodes.
        weights: The weights of these quadratures.
        table: Receives the tables.
    """
    most = 0
    for g in range(begin, end):
        if starts[g + 1] > starts[g]:
            most = max(most, int(groups.sizes[g]))
    state = np.empty(most, np.uint16)
    keeps, out, before, after = (
        np.empty((widest, most)),
        np.empty((widest, most)),
        np.empty((widest, most)),
        np.empty(most),
    )
    for g in range(begin, end):
        for at in range(starts[g], starts[g + 1]):
            table[at] = 0.0
        size = int(groups.sizes[g]) if starts[g + 1] > starts[g] else 0
        for leaf in range(groups.leaves[g], groups.leaves[g + 1] if size > 0 else groups.leaves[g]):
            start, k = groups.paths[leaf], groups.paths[leaf + 1] - groups.paths[leaf]
            for i in range(k):
                for case in range(1 << k):
                    keeps[i, case] = (case >> i) & 1
            leaf_shares(groups.value[leaf], groups.share, start, k, keeps, 1 << k, nodes, weights, out, before, after)
            _leaf_cases(groups, groups.features[g], leaf - groups.leaves[g], start, k, size, state)
            for i in range(k):
                at = starts[g] + groups.place[start + i] * size
                entries = table[at : at + size]
                for s in range(size):
                    entries[s] += out[i, state[s]]


@compiled
def _leaf_cases(groups: LeafGroups, f0: int, leaf: int, start: int, k: int, size: int, state: Array) -> None:
    """Write the leaf's case in each state of its group: bit i tells whether feature i keeps to the path."""
    for s in range(size):
        state[s] = 0
    for i in range(k):
        f = f0 + groups.place[start + i]
        for s in range(size):
            of_feature = (s // groups.stride[f]) % groups.states[f]
            keeps = (groups.mask[groups.masks[f] + of_feature] >> np.uint64(leaf)) & np.uint64(1)
            state[s] |= np.uint16(keeps << np.uint64(i))


@compiled
def add_states(groups: LeafGroups, f: int, stride: int, places: Array, begin: int, n: int, state: Array) -> None:
    """Add the states of one feature of a group to the states of some rows.

    Args:
        groups: All groups.
        f: The feature of a group.
        stride: What its states are multiplied by.
        places: The bins (p, rows) of all rows.
        begin: The first row.
        n: The number of rows: [begin, begin + n).
        state: The states (n,) of these rows.
    """
    column = places[groups.feature[f], begin : begin + n]
    first = np.uint16((groups.first[f] * stride) & 65535)
    for row in range(n):
        state[row] += first
    for s in range(groups.steps[f], groups.steps[f + 1]):
        bin_, step = np.uint16(groups.bin[s]), np.uint16((groups.step[s] * stride) & 65535)
        for row in range(n):
            state[row] += step if column[row] >= bin_ else np.uint16(0)


@compiled
def explain_rows(
    groups: LeafGroups,
    starts: Array,
    table: Array,
    places: Array,
    begin: int,
    end: int,
    widest: int,
    nodes: Array,
    weights: Array,
    out: Array,
) -> None:
    """Write the SHAP values of some rows.

    Args:
        groups: The leaves in groups.
        starts: Where the table of each group begins (groups + 1,); groups without one are computed row by row.
        table: The tables.
        places: The bins (p, n) of all rows.
        begin: The first row to explain.
        end: The rows [begin, end) are explained.
        widest: The largest number of features of a group.
        nodes: The nodes of quadratures with 1, 2, ... nodes.
        weights: The weights of these quadratures.
        out: Receives the SHAP values (n, p).
    """
    n = end - begin
    sums, state = np.zeros((len(places), n)), np.empty(n, np.uint16)
    work = np.empty((4, widest, STRIP_ROWS))
    for g in range(len(groups.sizes)):
        if starts[g + 1] == starts[g]:
            for at in range(0, n, STRIP_ROWS):
                _explain_without_table(
                    groups, g, places, begin, at, min(STRIP_ROWS, n - at), state, nodes, weights, work, sums
                )
            continue
        size, f0 = int(groups.sizes[g]), groups.features[g]
        for row in range(n):
            state[row] = 0
        for f in range(f0, groups.features[g + 1]):
            add_states(groups, f, groups.stride[f], places, begin, n, state)
        for f in range(f0, groups.features[g + 1]):
            at = starts[g] + (f - f0) * size
            of_column, entries = sums[groups.feature[f]], table[at : at + size]
            for row in range(n):
                of_column[row] += entries[state[row]]
    for row in range(n):
        for column in range(len(places)):
            out[begin + row, column] = sums[column, row]


@compiled
def _explain_without_table(
    groups: LeafGroups,
    g: int,
    places: Array,
    begin: int,
    at: int,
    n: int,
    state: Array,
    nodes: Array,
    weights: Array,
    work: Array,
    sums: Array,
) -> None:
    """Add a group's contributions to the sums of n rows from `at` on, without a table but in the same steps."""
    f0, f1 = groups.features[g], groups.features[g + 1]
    keeps, out, before, group_sums = work[0], work[1], work[2], work[3]
    after = np.empty(n)
    for f in range(f1 - f0):
        for row in range(n):
            group_sums[f, row] = 0.0
    for leaf in range(groups.leaves[g], groups.leaves[g + 1]):
        start, k = groups.paths[leaf], groups.paths[leaf + 1] - groups.paths[leaf]
        bit = np.uint64(leaf - groups.leaves[g])
        for i in range(k):
            f = f0 + groups.place[start + i]
            for row in range(n):
                state[row] = 0
            add_states(groups, f, 1, places, begin + at, n, state)
            for row in range(n):
                keeps[i, row] = float((groups.mask[groups.masks[f] + state[row]] >> bit) & np.uint64(1))
        leaf_shares(groups.value[leaf], groups.share, start, k, keeps, n, nodes, weights, out, before, after)
        for i in range(k):
            place = groups.place[start + i]
            for row in range(n):
                group_sums[place, row] += out[i, row]
    for f in range(f0, f1):
        for row in range(n):
            sums[groups.feature[f], at + row] += group_sums[f - f0, row]
