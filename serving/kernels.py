"""The compiled loops of serving.treeshap: paths merged by feature, leaves in groups, tables and sums.

Everything here is plain arithmetic in a fixed order, without fast-math: NaN is a bin like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

LARGEST = 8192  # states of a group that has a table: 64 KiB for each of its features
DEAR = 1500.0  # states whose reading into the cache costs a block as much as its looks into them
TOGETHER = 64  # leaves of a group at most: one bit each
ZERO = float(np.float32(1e-35))  # LightGBM takes smaller numbers for 0


def compiled(function: Callable[..., Any]) -> Any:
    """The function in machine code, kept for the next process where a folder can be written."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba found no folder to write to: compile in each process
        return numba.njit(nogil=True, error_model="numpy")(function)


class Groups(NamedTuple):
    """Leaves in groups: of each group, its features and its leaves, one after the other.

    Attributes:
        features, leaves: Where each group's begin (groups + 1,).
        sizes: States of each group; of more than LARGEST there is no table.
        feature: Of each feature of a group, its column.
        first: The state that the column's first bin puts it in.
        count, stride: How many states it has, and its step in the state of the group.
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
    count: np.ndarray
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
def bin_column(column, breaks, out):
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
def goes_left(node, place, bins, cut, side, nan_left, sides):
    """Whether a bin of a node's column goes left there; the last of `bins` bins is that of NaN."""
    if place == bins - 1:
        return nan_left[node]
    if side[node] >= 0:
        return sides[side[node] + place]
    return place <= cut[node]


@compiled
def regions(feature, left, right, columns):
    """The topmost node (nodes,) of the region of each node: regions are connected, and each is a group of leaves.

    From the bottom up, a node joins the regions of its children where that makes looking at the tables cheaper.
    """
    nodes = len(feature)
    above = np.zeros((nodes, columns), np.bool_)
    for node in range(nodes):
        for child in (left[node], right[node]):
            if child >= 0:
                above[child] = above[node]
                above[child, feature[node]] = True
    counts = np.zeros((nodes, columns), np.int64)
    leaves, cost = np.zeros(nodes, np.int64), np.zeros(nodes)
    joins = np.zeros((nodes, 2), np.bool_)
    trial = np.zeros(columns, np.int64)
    for node in range(nodes - 1, -1, -1):
        own = int(left[node] < 0) + int(right[node] < 0)
        best = np.inf
        for choice in range(4):
            with_left, with_right = choice & 1 == 1, choice & 2 == 2
            if (with_left and left[node] < 0) or (with_right and right[node] < 0):
                continue
            trial[:] = 0
            trial[feature[node]] = 1
            held, total = own, 0.0
            for child, joined in ((left[node], with_left), (right[node], with_right)):
                if child >= 0 and joined:
                    trial += counts[child]
                    held += leaves[child]
                elif child >= 0:
                    total += cost[child]
            total += _price(trial, above[node], held, choice > 0)
            if total < best:
                best = total
                joins[node, 0], joins[node, 1] = with_left, with_right
                leaves[node] = held
                counts[node] = trial * int(held > 0)
        cost[node] = _price(counts[node], above[node], leaves[node], False)
    top = np.arange(nodes)
    for node in range(nodes):
        for side, child in enumerate((left[node], right[node])):
            if child >= 0 and joins[node, side]:
                top[child] = top[node]
    return top


@compiled
def _price(counts, above, leaves, joined):
    """What a group costs a row, in looks; without end where it would be too large."""
    if leaves == 0:
        return 0.0
    features, size = 0, 1.0
    for column in range(len(counts)):
        states = 1 + counts[column] + int(above[column])
        if states > 1:
            features += 1
            size *= states
    if joined and (size > LARGEST or leaves > TOGETHER):
        return np.inf
    return features * (1 + min(size, LARGEST) / DEAR)


@compiled
def plan_tree(feature, left, right, cover, cut, side, nan_left, sides, value, leaf_cover, bins):
    """One tree's part of `Groups`, with counts in the place of starts.

    Args:
        feature, left, right, cover, cut, side, nan_left: Of its nodes, as in `serving.forest.Forest`.
        sides: Of the forest.
        value, leaf_cover: Of its leaves.
        bins: Of each column, how many bins it has, NaN's included.
    """
    nodes = len(feature)
    used = np.unique(feature)
    local = np.searchsorted(used, feature)
    parent, at_left = np.full(2 * nodes + 1, -1), np.zeros(2 * nodes + 1, np.bool_)  # leaf l is at nodes + l
    for node in range(nodes):
        for is_left, child in ((True, left[node]), (False, right[node])):
            at = child if child >= 0 else nodes + ~child
            parent[at], at_left[at] = node, is_left
    top = regions(local, left, right, len(used))
    starts, bounds = _stretches(local, used, cut, side, nan_left, sides, bins)
    # Leaves in the order of their groups, and the features of each leaf from the root down.
    of = np.array([top[parent[nodes + leaf]] for leaf in range(nodes + 1)])
    order = np.argsort(of, kind="mergesort")
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
def _stretches(local, used, cut, side, nan_left, sides, bins):
    """Where each column's stretches of bins begin that the tree's nodes tell apart: starts (columns + 1,) and bins."""
    starts = np.zeros(len(used) + 1, np.int64)
    bounds = np.empty(16, np.int64)
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
                if count == len(bounds):
                    bounds = np.concatenate((bounds, np.empty(count, np.int64)))
                bounds[count] = place
                count += 1
        starts[f + 1] = count
    return starts, bounds


@compiled
def _grouped(used, of, order, value, share, has, keeps, starts, bounds):
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
def leaf_shares(value, share, keeps, nodes, weights, out, before, after):
    """What a leaf adds to each of its k features, in each of n cases.

    Args:
        value: Of the leaf.
        share: Of each feature, the share of rows that kept to the path (k,).
        keeps: 1 where the row keeps to the path, else 0 (k, n).
        nodes, weights: Of the quadrature over [0, 1]; ceil(k / 2) of them are exact.
        out: (k, n).
        before, after: To work in: (k + 1, n) and (n,).
    """
    k, n = keeps.shape
    out[:k, :n] = 0.0
    for q in range(len(nodes)):
        t = nodes[q]
        before[0, :n] = value * weights[q]
        after[:n] = 1.0
        for i in range(k):
            unknown = share[i] * (1 - t)
            for row in range(n):
                before[i + 1, row] = before[i, row] * (unknown + keeps[i, row] * t)
        for i in range(k - 1, -1, -1):
            unknown = share[i] * (1 - t)
            for row in range(n):
                out[i, row] += before[i, row] * after[row]
                after[row] *= unknown + keeps[i, row] * t
    for i in range(k):
        for row in range(n):
            out[i, row] *= keeps[i, row] - share[i]


@compiled
def fill_tables(groups, begin, end, starts, table, nodes, weights):
    """Writes the tables of the groups from `begin` to `end`: of each, its features after each other, a state an entry."""
    state = np.empty(LARGEST, np.uint16)
    for g in range(begin, end):
        size = int(groups.sizes[g])
        if size > LARGEST:
            continue
        f0 = groups.features[g]
        own = table[starts[g] : starts[g] + size * (groups.features[g + 1] - f0)]
        own[:] = 0.0
        for leaf in range(groups.leaves[g], groups.leaves[g + 1]):
            p0 = groups.paths[leaf]
            k = groups.paths[leaf + 1] - p0
            keeps, out = np.empty((k, 1 << k)), np.empty((k, 1 << k))
            for i in range(k):
                for case in range(1 << k):
                    keeps[i, case] = (case >> i) & 1
            half = (k + 1) // 2
            leaf_shares(
                groups.value[leaf],
                groups.share[p0 : p0 + k],
                keeps,
                nodes[half, :half],
                weights[half, :half],
                out,
                np.empty((k + 1, 1 << k)),
                np.empty(1 << k),
            )
            state[:size] = 0
            for i in range(k):
                f = f0 + groups.place[p0 + i]
                _mark(groups, f, leaf - groups.leaves[g], i, size, state)
            for i in range(k):
                at = groups.place[p0 + i] * size
                for s in range(size):
                    own[at + s] += out[i, state[s]]


@compiled
def _mark(groups, f, leaf, bit, size, state):
    """Sets the bit of every state of a group in which feature f keeps to the path of the leaf."""
    for s in range(size):
        of_feature = (s // groups.stride[f]) % groups.count[f]
        keeps = (groups.mask[groups.masks[f] + of_feature] >> np.uint64(leaf)) & np.uint64(1)
        state[s] |= np.uint16(keeps << np.uint64(bit))


@compiled
def add_state(state, place, begin, step):
    """Adds a step to the states (n,) of the rows whose bin is `begin` or a later one."""
    for row in range(len(state)):
        state[row] += step if place[row] >= begin else np.uint16(0)


@compiled
def add_entries(out, table, state):
    """Adds the entries at the states (n,) to the sums (n,)."""
    for row in range(len(state)):
        out[row] += table[state[row]]


@compiled
def explain_rows(groups, starts, table, tabled, places, begin, end, block, nodes, weights, out):
    """Writes the SHAP values of the rows from `begin` to `end` into out (n, p).

    Args:
        groups: Of the forest.
        starts, table: Where each group's table begins, and the tables.
        tabled: Whether there are tables at all; without them everything is computed row by row.
        places: The bins (p, n) of the rows.
        block: Rows to go over the forest with at once.
        nodes, weights: Quadratures of 1, 2, ... nodes.
    """
    columns = len(places)
    sums = np.empty((columns, block))
    state = np.empty(block, np.uint16)
    widest = 0
    for leaf in range(len(groups.value)):
        widest = max(widest, groups.paths[leaf + 1] - groups.paths[leaf])
    work = np.empty((0, block))
    if not tabled or groups.sizes.max() > LARGEST:
        work = np.empty((3 * widest + 2, block))
    for low in range(begin, end, block):
        n = min(block, end - low)
        sums[:] = 0.0
        for g in range(len(groups.sizes)):
            size = int(groups.sizes[g])
            if not tabled or size > LARGEST:
                _direct(groups, g, places[:, low : low + n], sums, work, widest, nodes, weights)
                continue
            state[:n] = 0
            f0, f1 = groups.features[g], groups.features[g + 1]
            for f in range(f0, f1):
                state[:n] += np.uint16(groups.first[f] * groups.stride[f])
                for s in range(groups.steps[f], groups.steps[f + 1]):
                    step = np.uint16((groups.step[s] * groups.stride[f]) & 65535)
                    add_state(state[:n], places[groups.feature[f], low : low + n], np.uint16(groups.bin[s]), step)
            for f in range(f0, f1):
                at = starts[g] + (f - f0) * size
                add_entries(sums[groups.feature[f], :n], table[at : at + size], state[:n])
        for row in range(n):
            for column in range(columns):
                out[low + row, column] = sums[column, row]


@compiled
def _direct(groups, g, places, sums, work, widest, nodes, weights):
    """Adds a group's part to the sums of each column, without a table: the same steps, row by row."""
    n = places.shape[1]
    f0, f1 = groups.features[g], groups.features[g + 1]
    state = np.empty((f1 - f0, n), np.uint16)
    for f in range(f0, f1):
        state[f - f0] = np.uint16(groups.first[f])
        for s in range(groups.steps[f], groups.steps[f + 1]):
            step = np.uint16(groups.step[s] & 65535)
            add_state(state[f - f0], places[groups.feature[f]], np.uint16(groups.bin[s]), step)
    found = np.zeros((f1 - f0, n))
    for leaf in range(groups.leaves[g], groups.leaves[g + 1]):
        p0 = groups.paths[leaf]
        k = groups.paths[leaf + 1] - p0
        keeps, out = work[:k, :n], work[widest : widest + k, :n]
        for i in range(k):
            f = f0 + groups.place[p0 + i]
            for row in range(n):
                bits = groups.mask[groups.masks[f] + state[f - f0, row]]
                keeps[i, row] = float((bits >> np.uint64(leaf - groups.leaves[g])) & np.uint64(1))
        half = (k + 1) // 2
        leaf_shares(
            groups.value[leaf],
            groups.share[p0 : p0 + k],
            keeps,
            nodes[half, :half],
            weights[half, :half],
            out,
            work[2 * widest : 3 * widest + 1],
            work[3 * widest + 1],
        )
        for i in range(k):
            found[groups.place[p0 + i]] += out[i]
    for f in range(f0, f1):
        sums[groups.feature[f], :n] += found[f - f0]
