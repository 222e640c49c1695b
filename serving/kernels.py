"""The compiled loops of serving.treeshap: paths merged by feature, leaves in groups, tables and sums.

Everything here is plain arithmetic in a fixed order, without fast-math: NaN is a bin like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

LARGEST = 8192  # states of a group that has a table: 64 KiB for each of its features
DEAR = 1000.0
STRIP = 128  # rows that a group without a table is computed for at once
TOGETHER = 64  # leaves of a group at most: one bit each
ZERO = float(np.float32(1e-35))  # LightGBM takes smaller numbers for 0


def compiled(function: Callable[..., Any]) -> Any:
    """The function in machine code, kept for the next process where a folder can be written."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba found no folder to write to: compile in each process
        return numba.njit(nogil=True, error_model="numpy")(function)


Array = np.ndarray


class Groups(NamedTuple):
    """Leaves in groups: of each group, its features and its leaves, one after the other.

    Attributes:
        features, leaves: Where each group's begin (groups + 1,).
        sizes: States of each group; of more than LARGEST there is no table.
        feature: Of each feature of a group, its column.
        first: The state that the column's first bin puts it in.
        states, stride: How many states it has, and its step in the state of the group.
        masks: Where its states begin in `mask` (group features + 1,).
        mask: Of each state, which leaves of the group the row keeps to the path of, one bit each.
        steps: Where its steps begin (group features + 1,).
        bin, step: From this bin on, this is added to its state.
        value, paths: Of each leaf, its value, and where its features begin (leaves + 1,).
        place, share: Of each feature of a leaf, its place in the group, and the share of rows that kept to the path.
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
    """The bin (n,) of each value of a column: how many ends lie below it; NaN is the last of all."""
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
def goes_left(node: int, place: int, bins: int, cut: Array, side: Array, nan_left: Array, sides: Array) -> bool:
    """Whether a bin of a node's column goes left there; the last of `bins` bins is that of NaN."""
    if place == bins - 1:
        return nan_left[node]
    if side[node] >= 0:
        return sides[side[node] + place]
    return place <= cut[node]


@compiled
def regions(feature: Array, left: Array, right: Array, columns: int, top: Array) -> None:
    """Writes the topmost node (nodes,) of the region of each node: a region is connected, its leaves make a group.

    From the bottom up, a node joins the regions of its children where that makes looking at the tables cheaper.
    """
    nodes = len(feature)
    above = np.zeros((nodes, columns), np.bool_)
    for node in range(nodes):
        for side in range(2):
            child = right[node] if side else left[node]
            for column in range(columns if child >= 0 else 0):
                above[child, column] = above[node, column] or column == feature[node]
    counts = np.zeros((nodes, columns), np.int64)
    leaves, cost = np.zeros(nodes, np.int64), np.zeros(nodes)
    joins = np.zeros(nodes, np.int64)  # 1: that of the left child, 2: of the right one, 3: both
    trial = np.zeros(columns, np.int64)
    for node in range(nodes - 1, -1, -1):
        own = int(left[node] < 0) + int(right[node] < 0)
        best = np.inf
        for choice in range(4):
            if (choice & 1 and left[node] < 0) or (choice & 2 and right[node] < 0):
                continue
            for column in range(columns):
                trial[column] = int(column == feature[node])
            held, total = own, 0.0
            for side in range(2):
                child = right[node] if side else left[node]
                if child >= 0 and choice >> side & 1:
                    held += leaves[child]
                    for column in range(columns):
                        trial[column] += counts[child, column]
                elif child >= 0:
                    total += cost[child]
            own_price = _price(trial, above, node, held, choice > 0)
            if total + own_price < best:
                best, cost[node] = total + own_price, own_price
                joins[node], leaves[node] = choice, held
                for column in range(columns):
                    counts[node, column] = trial[column] if held > 0 else 0
    for node in range(nodes):
        for side in range(2):
            child = right[node] if side else left[node]
            if child >= 0:
                top[child] = top[node] if joins[node] >> side & 1 else child


@compiled
def _price(counts: Array, above: Array, node: int, leaves: int, joined: bool) -> float:
    """What a group costs a row, in looks; without end where it would be too large."""
    if leaves == 0:
        return 0.0
    features, size = 0, 1.0
    for column in range(len(counts)):
        states = 1 + counts[column] + int(above[node, column])
        if states > 1:
            features += 1
            size *= states
    if joined and (size > LARGEST or leaves > TOGETHER):
        return np.inf
    return features * (1 + min(size, LARGEST) / DEAR)


@compiled
def plan_tree(
    used: Array,
    local: Array,
    left: Array,
    right: Array,
    cover: Array,
    cut: Array,
    side: Array,
    nan_left: Array,
    sides: Array,
    value: Array,
    leaf_cover: Array,
    bins: Array,
) -> tuple[Array, ...]:
    """One tree's part of `Groups`, with counts in the place of starts.

    Args:
        used: The columns it looks at.
        local: Of its nodes, the place of their column in `used`.
        left, right, cover, cut, side, nan_left: Of its nodes, as in `serving.forest.Forest`.
        sides: Of the forest.
        value, leaf_cover: Of its leaves.
        bins: Of each column, how many bins it has, NaN's included.
    """
    nodes = len(local)
    parent, at_left = np.full(2 * nodes + 1, -1), np.zeros(2 * nodes + 1, np.bool_)  # leaf l is at nodes + l
    for node in range(nodes):
        for way in range(2):
            child = right[node] if way else left[node]
            at = child if child >= 0 else nodes + ~child
            parent[at], at_left[at] = node, way == 0
    top = np.zeros(nodes, np.int64)
    regions(local, left, right, len(used), top)
    starts, bounds = _stretches(local, used, cut, side, nan_left, sides, bins)
    # Leaves in the order of their groups, and the features of each leaf from the root down.
    of, order, ordered = np.empty(nodes + 1, np.int64), np.empty(nodes + 1, np.int64), 0
    for leaf in range(nodes + 1):
        of[leaf] = top[parent[nodes + leaf]]
    for node in range(nodes):
        for leaf in range(nodes + 1):
            if of[leaf] == node:
                order[ordered] = leaf
                ordered += 1
    widest = 0
    for f in range(len(used)):
        widest = max(widest, starts[f + 1] - starts[f])
    share = np.ones((nodes + 1, len(used)))
    has = np.zeros((nodes + 1, len(used)), np.bool_)
    keeps = np.ones((nodes + 1, len(used), widest), np.bool_)
    for leaf in range(nodes + 1):
        at, below = nodes + leaf, leaf_cover[leaf]
        while parent[at] >= 0:
            node = parent[at]
            f = local[node]
            has[leaf, f] = True
            share[leaf, f] *= below / cover[node]
            for s in range(starts[f + 1] - starts[f]):
                goes = goes_left(node, bounds[starts[f] + s], bins[used[f]], cut, side, nan_left, sides)
                keeps[leaf, f, s] &= goes == at_left[at]
            at, below = node, cover[node]
    return _grouped(used, of, order, value, share, has, keeps, starts, bounds)


@compiled
def _stretches(
    local: Array, used: Array, cut: Array, side: Array, nan_left: Array, sides: Array, bins: Array
) -> tuple[Array, Array]:
    """Where each column's stretches of bins begin that the tree's nodes tell apart: starts (columns + 1,) and bins."""
    starts = np.zeros(len(used) + 1, np.int64)
    bounds = np.empty(int(bins[used].sum()), np.int64)
    count = 0
    for f in range(len(used)):
        total = bins[used[f]]
        marks = np.zeros(total + 1, np.bool_)
        marks[0] = marks[total - 1] = True
        for node in range(len(local)):
            if local[node] != f:
                continue
            if side[node] < 0:
                marks[cut[node] + 1] = True
                continue
            for place in range(1, total - 1):
                if sides[side[node] + place] != sides[side[node] + place - 1]:
                    marks[place] = True
        for place in range(total):
            if marks[place]:
                bounds[count] = place
                count += 1
        starts[f + 1] = count
    return starts, bounds


@compiled
def _grouped(
    used: Array,
    of: Array,
    order: Array,
    value: Array,
    share: Array,
    has: Array,
    keeps: Array,
    starts: Array,
    bounds: Array,
) -> tuple[Array, ...]:
    """The tree's groups, from what is known of each of its leaves."""
    leaves, columns = has.shape
    most = int(has.sum())
    wide = most * keeps.shape[2]
    g_features, g_leaves, g_sizes = np.zeros(leaves, np.int64), np.zeros(leaves, np.int64), np.ones(leaves)
    feature, first = np.empty(most, np.int64), np.empty(most, np.int64)
    count, stride = np.empty(most, np.int64), np.empty(most, np.int64)
    steps = np.zeros(most, np.int64)
    mask = np.empty(wide, np.uint64)
    bin_, step = np.empty(wide, np.int64), np.empty(wide, np.int64)
    l_features = np.zeros(leaves, np.int64)
    place, l_share = np.empty(most, np.int64), np.empty(most)
    groups, n_gf, n_mask, n_step, n_lf = -1, 0, 0, 0, 0
    begin = 0
    while begin < leaves:
        end = begin
        while end < leaves and of[order[end]] == of[order[begin]] and end - begin < TOGETHER:
            end += 1
        groups += 1
        g_leaves[groups] = end - begin
        where = np.full(columns, -1)
        for f in range(columns):
            any_leaf = False
            for i in range(begin, end):
                any_leaf |= has[order[i], f]
            if not any_leaf:
                continue
            where[f] = g_features[groups]
            g_features[groups] += 1
            feature[n_gf] = used[f]
            known, last = n_mask, -1
            for s in range(starts[f + 1] - starts[f]):
                bits = np.uint64(0)
                for i in range(begin, end):
                    if keeps[order[i], f, s]:
                        bits |= np.uint64(1) << np.uint64(i - begin)
                state = -1
                for m in range(known, n_mask):
                    if mask[m] == bits:
                        state = m - known
                if state < 0:
                    state = n_mask - known
                    mask[n_mask] = bits
                    n_mask += 1
                if s == 0:
                    first[n_gf] = state
                elif state != last:
                    bin_[n_step], step[n_step] = bounds[starts[f] + s], state - last
                    n_step += 1
                    steps[n_gf] += 1
                last = state
            count[n_gf] = n_mask - known
            stride[n_gf] = int(min(g_sizes[groups], 65536.0))
            g_sizes[groups] *= max(count[n_gf], 2)  # so that a leaf has no more patterns than its group states
            n_gf += 1
        for i in range(begin, end):
            for f in range(columns):
                if has[order[i], f]:
                    place[n_lf], l_share[n_lf] = where[f], share[order[i], f]
                    l_features[i] += 1
                    n_lf += 1
        begin = end
    groups += 1
    return (
        g_features[:groups],
        g_leaves[:groups],
        g_sizes[:groups],
        feature[:n_gf],
        first[:n_gf],
        count[:n_gf],
        stride[:n_gf],
        count[:n_gf],
        mask[:n_mask],
        steps[:n_gf],
        bin_[:n_step],
        step[:n_step],
        value[order],
        l_features,
        place[:n_lf],
        l_share[:n_lf],
    )


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
    """What a leaf adds to each of its k features, in each of n cases.

    Args:
        value: Of the leaf.
        share: Of each feature, from `start` on, the share of rows that kept to the path.
        keeps: 1 where the row keeps to the path, else 0 (k, n).
        nodes, weights: Quadratures over [0, 1]; that of ceil(k / 2) nodes is exact.
        out: (k, n).
        before, after: To work in: (k + 1, n) and (n,).
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
    groups: Groups, begin: int, end: int, starts: Array, widest: int, nodes: Array, weights: Array, table: Array
) -> None:
    """Writes the tables of the groups from `begin` to `end`: of each, its features one after the other, by state."""
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
            _cases(groups, groups.features[g], leaf - groups.leaves[g], start, k, size, state)
            for i in range(k):
                at = starts[g] + groups.place[start + i] * size
                entries = table[at : at + size]
                for s in range(size):
                    entries[s] += out[i, state[s]]


@compiled
def _cases(groups: Groups, f0: int, leaf: int, start: int, k: int, size: int, state: Array) -> None:
    """Writes which of the leaf's cases each state of its group is: bit i says whether feature i keeps to the path."""
    for s in range(size):
        state[s] = 0
    for i in range(k):
        f = f0 + groups.place[start + i]
        for s in range(size):
            of_feature = (s // groups.stride[f]) % groups.states[f]
            keeps = (groups.mask[groups.masks[f] + of_feature] >> np.uint64(leaf)) & np.uint64(1)
            state[s] |= np.uint16(keeps << np.uint64(i))


@compiled
def add_states(groups: Groups, f: int, stride: int, places: Array, begin: int, n: int, state: Array) -> None:
    """Adds the states of a group's feature, in steps of `stride`, to the states (n,) of n rows from `begin` on."""
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
    groups: Groups,
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
    """Writes the SHAP values of the rows from `begin` to `end` into out (n, p).

    Args:
        groups: Of the forest.
        starts, table: Where the table of each group begins; one without is computed row by row.
        places: The bins (p, n) of the rows.
        widest: Features of a leaf or a group at most.
        nodes, weights: Quadratures of 1, 2, ... nodes.
    """
    n = end - begin
    sums, state = np.zeros((len(places), n)), np.empty(n, np.uint16)
    work = np.empty((4, widest, STRIP))
    for g in range(len(groups.sizes)):
        if starts[g + 1] == starts[g]:
            for at in range(0, n, STRIP):
                _direct(groups, g, places, begin, at, min(STRIP, n - at), state, nodes, weights, work, sums)
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
def _direct(
    groups: Groups,
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
    """Adds a group's part to the sums of n rows from `at` on, without a table but in the same steps."""
    f0, f1 = groups.features[g], groups.features[g + 1]
    keeps, out, before, found = work[0], work[1], work[2], work[3]
    after = np.empty(n)
    for f in range(f1 - f0):
        for row in range(n):
            found[f, row] = 0.0
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
                found[place, row] += out[i, row]
    for f in range(f0, f1):
        for row in range(n):
            sums[groups.feature[f], at + row] += found[f - f0, row]
