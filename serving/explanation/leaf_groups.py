"""Leaves of a tree in groups that share most of their features: the compiled plan of `treeshap`."""

from __future__ import annotations

from typing import Any

import numpy as np

from serving.explanation.treeshap_kernels import MOST_STATES, Array, compiled

STATES_PER_LOOKUP = 1000.0  # states whose reading into the cache costs a block of rows as much as its looks into them
MOST_GROUP_LEAVES = 64  # leaves of a group at most: one bit each


@compiled
def goes_left(node: int, place: int, bins: int, cut: Array, side: Array, nan_left: Array, sides: Array) -> bool:
    """Whether a bin of a node's column goes left there; the last of `bins` bins is that of NaN."""
    if place == bins - 1:
        return nan_left[node]
    if side[node] >= 0:
        return sides[side[node] + place]
    return place <= cut[node]


@compiled
def find_regions(feature: Array, left: Array, right: Array, columns: int, top: Array) -> None:
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
    if joined and (size > MOST_STATES or leaves > MOST_GROUP_LEAVES):
        return np.inf
    return features * (1 + min(size, MOST_STATES) / STATES_PER_LOOKUP)


@compiled
def group_tree_leaves(
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
        left, right, cover, cut, side, nan_left: Of its nodes, as in `serving.explanation.forest.Forest`.
        sides: Of the forest.
        value, leaf_cover: Of its leaves.
        bins: Of each column of the forest, how many bins it has, NaN's included.
    """
    nodes = len(local)
    parent, at_left = np.full(2 * nodes + 1, -1), np.zeros(2 * nodes + 1, np.bool_)  # leaf l is at nodes + l
    for node in range(nodes):
        for way in range(2):
            child = right[node] if way else left[node]
            at = child if child >= 0 else nodes + ~child
            parent[at], at_left[at] = node, way == 0
    top = np.zeros(nodes, np.int64)
    find_regions(local, left, right, len(used), top)
    of, order = np.empty(nodes + 1, np.int64), np.empty(nodes + 1, np.int64)
    _in_order(parent, top, of, order)
    starts, bounds = _stretches(local, used, cut, side, sides, bins)
    widest = 0
    for f in range(len(used)):
        widest = max(widest, starts[f + 1] - starts[f])
    goes = np.zeros((nodes, widest), np.bool_)
    for node in range(nodes):
        f = local[node]
        for s in range(starts[f + 1] - starts[f]):
            goes[node, s] = goes_left(node, bounds[starts[f] + s], bins[used[f]], cut, side, nan_left, sides)
    share = np.ones((nodes + 1, len(used)))
    has = np.zeros((nodes + 1, len(used)), np.bool_)
    keeps = np.ones((nodes + 1, len(used), widest), np.bool_)
    _merge_paths(local, parent, at_left, cover, leaf_cover, goes, share, has, keeps)
    return _grouped(used, of, order, value, share, has, keeps, starts, bounds)


@compiled
def _in_order(parent: Array, top: Array, of: Array, order: Array) -> None:
    """Writes which region each leaf is of, and the leaves in the order of their regions."""
    nodes, ordered = len(top), 0
    for leaf in range(nodes + 1):
        of[leaf] = top[parent[nodes + leaf]]
    for node in range(nodes):
        for leaf in range(nodes + 1):
            if of[leaf] == node:
                order[ordered] = leaf
                ordered += 1


@compiled
def _merge_paths(
    local: Array,
    parent: Array,
    at_left: Array,
    cover: Array,
    leaf_cover: Array,
    goes: Array,
    share: Array,
    has: Array,
    keeps: Array,
) -> None:
    """Writes, of each leaf and column: whether its path asks for it, the share of rows and the stretches that keep."""
    nodes, _, stretches = keeps.shape
    nodes -= 1
    for leaf in range(nodes + 1):
        at, below = nodes + leaf, leaf_cover[leaf]
        while parent[at] >= 0:
            node = parent[at]
            f = local[node]
            has[leaf, f] = True
            share[leaf, f] *= below / cover[node]
            for s in range(stretches):
                keeps[leaf, f, s] &= goes[node, s] == at_left[at]
            at, below = node, cover[node]


@compiled
def _stretches(local: Array, used: Array, cut: Array, side: Array, sides: Array, bins: Array) -> tuple[Array, Array]:
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
    ends = _ends(of, order)
    groups = len(ends)
    g_features, g_leaves, g_sizes = np.zeros(groups, np.int64), np.zeros(groups, np.int64), np.ones(groups)
    feature, count, stride = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    mask, steps = np.empty(wide + 1, np.uint64), np.zeros(most, np.int64)
    bin_, step = np.empty(wide, np.int64), np.empty(wide, np.int64)
    state, where = np.empty(keeps.shape[2], np.int64), np.empty(columns, np.int64)
    l_features, place, l_share = np.zeros(leaves, np.int64), np.empty(most, np.int64), np.empty(most)
    n_gf, n_mask, n_step, n_lf, begin = 0, 0, 0, 0, 0
    for group in range(groups):
        end = ends[group]
        g_leaves[group] = end - begin
        for f in range(columns):
            if not _any_leaf(has, order, begin, end, f):
                continue
            where[f] = g_features[group]
            g_features[group] += 1
            feature[n_gf] = used[f]
            length, known = starts[f + 1] - starts[f], n_mask
            n_mask = _states(keeps, order, begin, end, f, length, mask, known, state)
            before = n_step
            n_step = _steps(state, length, bounds, starts[f], bin_, step, before)
            steps[n_gf], count[n_gf] = n_step - before, n_mask - known
            stride[n_gf] = int(min(g_sizes[group], 65536.0))
            g_sizes[group] *= max(count[n_gf], 2)  # so that a leaf has no more patterns than its group states
            n_gf += 1
        for i in range(begin, end):
            for f in range(columns):
                if has[order[i], f]:
                    place[n_lf], l_share[n_lf] = where[f], share[order[i], f]
                    l_features[i] += 1
                    n_lf += 1
        begin = end
    return (
        g_features,
        g_leaves,
        g_sizes,
        feature[:n_gf],
        np.zeros(n_gf, np.int64),
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
def _ends(of: Array, order: Array) -> Array:
    """Where each group of leaves ends: neighbours of one set of features, as many as fit into a mask."""
    ends = np.empty(len(order), np.int64)
    count = begin = 0
    for i in range(1, len(order) + 1):
        if i == len(order) or of[order[i]] != of[order[begin]] or i - begin == MOST_GROUP_LEAVES:
            ends[count] = begin = i
            count += 1
    return ends[:count]


@compiled
def _any_leaf(has: Array, order: Array, begin: int, end: int, f: int) -> bool:
    """Whether the path of any leaf from `begin` to `end` asks a column."""
    for i in range(begin, end):
        if has[order[i], f]:
            return True
    return False


@compiled
def _states(
    keeps: Array, order: Array, begin: int, end: int, f: int, length: int, mask: Array, known: int, state: Array
) -> int:
    """Fills in the state of each of a column's stretches, and adds the masks of new states from `known` on; their end.

    Stretches by which the same leaves are kept are in one state, numbered from 0 in the order of their coming.
    """
    used = known
    for s in range(length):
        mask[used] = _kept(keeps, order, begin, end, f, s)
        at = known
        while mask[at] != mask[used]:
            at += 1
        used += int(at == used)
        state[s] = at - known
    return used


@compiled
def _steps(state: Array, length: int, bounds: Array, start: int, bin_: Array, step: Array, count: int) -> int:
    """Adds, from `count` on, the bins at which a column's state changes, and by how much; returns their end."""
    for s in range(1, length):
        if state[s] != state[s - 1]:
            bin_[count], step[count] = bounds[start + s], state[s] - state[s - 1]
            count += 1
    return count


@compiled
def _kept(keeps: Array, order: Array, begin: int, end: int, f: int, s: int) -> Any:
    """Which leaves from `begin` to `end` a row keeps to the path of by a stretch of a column, one bit each."""
    bits = np.uint64(0)
    for i in range(begin, end):
        if keeps[order[i], f, s]:
            bits |= np.uint64(1) << np.uint64(i - begin)
    return bits
