"""Puts the leaves of a tree into groups that share most of their features; compiled code for `treeshap`."""

from __future__ import annotations

from typing import Any

import numpy as np

from serving.explanation.treeshap_kernels import MOST_STATES, Array
from serving.machine_code import compiled

STATES_PER_LOOKUP = 1000.0  # the states that cost as much to bring into the cache as one lookup for a block of rows
MOST_GROUP_LEAVES = 64  # the most leaves of a group: one bit for each


@compiled
def goes_left(node: int, place: int, bins: int, cut: Array, side: Array, nan_left: Array, sides: Array) -> bool:
    """Tell whether a bin of a node's column goes left.

    Args:
        node: The node.
        place: The bin.
        bins: The number of bins of the column; the last one is that of NaN.
        cut: The last bin that goes left, or -1 (nodes,), as in `serving.explanation.forest.Forest`.
        side: Where the bins of each node begin in `sides`, or -1 (nodes,).
        nan_left: Whether NaN goes left (nodes,).
        sides: Whether a bin goes left, for the nodes whose `cut` is -1.

    Returns:
        Whether the bin goes left.
    """
    if place == bins - 1:
        return nan_left[node]
    if side[node] >= 0:
        return sides[side[node] + place]
    return place <= cut[node]


@compiled
def find_regions(feature: Array, left: Array, right: Array, columns: int, top: Array) -> None:
    """Write the topmost node of each node's region; a region is connected, and its leaves form a group.

    From the bottom up, a node joins the regions of its children if that makes table lookups cheaper.

    Args:
        feature: The column of each node (nodes,).
        left: The left child of each node (nodes,).
        right: The right child of each node (nodes,).
        columns: The number of columns that the tree uses.
        top: Receives the topmost nodes (nodes,).
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
    joins = np.zeros(nodes, np.int64)  # 1: the left child's region, 2: the right one's, 3: both
    trial = np.zeros(columns, np.int64)
    for node in range(nodes - 1, -1, -1):
        own = int(left[node] < 0) + int(right[node] < 0)
        best = np.inf
        for choice in range(4):
            if (choice & 1 and left[node] < 0) or (choice & 2 and right[node] < 0):
                continue
            for column in range(columns):
                trial[column] = int(column == feature[node])
            group_leaves, total = own, 0.0
            for side in range(2):
                child = right[node] if side else left[node]
                if child >= 0 and choice >> side & 1:
                    group_leaves += leaves[child]
                    for column in range(columns):
                        trial[column] += counts[child, column]
                elif child >= 0:
                    total += cost[child]
            own_price = _price(trial, above, node, group_leaves, choice > 0)
            if total + own_price < best:
                best, cost[node] = total + own_price, own_price
                joins[node], leaves[node] = choice, group_leaves
                for column in range(columns):
                    counts[node, column] = trial[column] if group_leaves > 0 else 0
    for node in range(nodes):
        for side in range(2):
            child = right[node] if side else left[node]
            if child >= 0:
                top[child] = top[node] if joins[node] >> side & 1 else child


@compiled
def _price(counts: Array, above: Array, node: int, leaves: int, joined: bool) -> float:
    """Return the cost of a group for a row, in lookups; infinite for a joined group that is too large."""
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
    """Put one tree's leaves into groups.

    Args:
        used: The columns that the tree uses.
        local: The place of each node's column in `used`.
        left: The left child of each node (nodes,), as in `serving.explanation.forest.Forest`.
        right: The right child of each node (nodes,).
        cover: The number of training rows that reached each node (nodes,).
        cut: The last bin that goes left, or -1 (nodes,).
        side: Where the bins of each node begin in `sides`, or -1 (nodes,).
        nan_left: Whether NaN goes left (nodes,).
        sides: Whether a bin goes left, for the nodes whose `cut` is -1.
        value: The value of each leaf (leaves,).
        leaf_cover: The number of training rows that reached each leaf (leaves,).
        bins: The number of bins of each column of the forest, including that of NaN.

    Returns:
        The fields of `LeafGroups` for this tree, with counts instead of starts.
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
    _order_leaves(parent, top, of, order)
    starts, bounds = _bin_ranges(local, used, cut, side, sides, bins)
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
    return _build_groups(used, of, order, value, share, has, keeps, starts, bounds)


@compiled
def _order_leaves(parent: Array, top: Array, of: Array, order: Array) -> None:
    """Write the region of each leaf, and the leaves in the order of their regions."""
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
    """Write for each leaf and column: whether the path uses it, the share of rows, and the bin ranges on the path."""
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
def _bin_ranges(local: Array, used: Array, cut: Array, side: Array, sides: Array, bins: Array) -> tuple[Array, Array]:
    """Return where the ranges of bins begin that the tree tells apart: starts (columns + 1,) and first bins."""
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
def _build_groups(
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
    """Build the tree's groups from what is known of each of its leaves."""
    ends = _group_ends(of, order)
    features, sizes, feature, count, stride, mask, steps, bin_, step, places = _group_features(
        used, order, ends, has, keeps, starts, bounds
    )
    leaves, paths, place, path_share = _leaf_paths(order, ends, has, share, places)
    first = np.zeros(len(feature), np.int64)
    group_arrays = (features, leaves, sizes, feature, first, count, stride, count, mask, steps, bin_, step)
    return (*group_arrays, value[order], paths, place, path_share)


@compiled
def _group_features(
    used: Array, order: Array, ends: Array, has: Array, keeps: Array, starts: Array, bounds: Array
) -> tuple[Array, ...]:
    """Return what `LeafGroups` holds of each group's features, and the place of each column in each group."""
    columns, groups = has.shape[1], len(ends)
    most = int(has.sum())
    wide = most * keeps.shape[2]
    features, sizes, places = np.zeros(groups, np.int64), np.ones(groups), np.zeros((groups, columns), np.int64)
    feature, count, stride = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    mask, steps = np.empty(wide + 1, np.uint64), np.zeros(most, np.int64)
    bin_, step, state = np.empty(wide, np.int64), np.empty(wide, np.int64), np.empty(keeps.shape[2], np.int64)
    n, n_mask, n_step, begin = 0, 0, 0, 0
    for group in range(groups):
        end = ends[group]
        for f in range(columns):
            if not _any_leaf(has, order, begin, end, f):
                continue
            places[group, f] = features[group]
            features[group] += 1
            feature[n] = used[f]
            length, known, before = starts[f + 1] - starts[f], n_mask, n_step
            n_mask = _states(keeps, order, begin, end, f, length, mask, known, state)
            n_step = _steps(state, length, bounds, starts[f], bin_, step, before)
            steps[n], count[n] = n_step - before, n_mask - known
            stride[n] = int(min(sizes[group], 65536.0))
            sizes[group] *= max(count[n], 2)  # so that a leaf has no more cases than its group has states
            n += 1
        begin = end
    bin_, step = bin_[:n_step], step[:n_step]
    return features, sizes, feature[:n], count[:n], stride[:n], mask[:n_mask], steps[:n], bin_, step, places


@compiled
def _leaf_paths(order: Array, ends: Array, has: Array, share: Array, places: Array) -> tuple[Array, ...]:
    """Return the leaves of each group, the features of each leaf, and place and share of each of these features."""
    leaves, columns = has.shape
    most = int(has.sum())
    group_leaves, paths = np.zeros(len(ends), np.int64), np.zeros(leaves, np.int64)
    place, path_share = np.empty(most, np.int64), np.empty(most)
    n, begin = 0, 0
    for group in range(len(ends)):
        group_leaves[group] = ends[group] - begin
        for i in range(begin, ends[group]):
            for f in range(columns):
                if has[order[i], f]:
                    place[n], path_share[n] = places[group, f], share[order[i], f]
                    paths[i] += 1
                    n += 1
        begin = ends[group]
    return group_leaves, paths, place[:n], path_share[:n]


@compiled
def _group_ends(of: Array, order: Array) -> Array:
    """Return where each group of leaves ends: leaves of one region, as many as fit into a mask."""
    ends = np.empty(len(order), np.int64)
    count = begin = 0
    for i in range(1, len(order) + 1):
        if i == len(order) or of[order[i]] != of[order[begin]] or i - begin == MOST_GROUP_LEAVES:
            ends[count] = begin = i
            count += 1
    return ends[:count]


@compiled
def _any_leaf(has: Array, order: Array, begin: int, end: int, f: int) -> bool:
    """Tell whether the path of any leaf in [begin, end) uses a column."""
    for i in range(begin, end):
        if has[order[i], f]:
            return True
    return False


@compiled
def _states(
    keeps: Array, order: Array, begin: int, end: int, f: int, length: int, mask: Array, known: int, state: Array
) -> int:
    """Write the state of each of a column's bin ranges and, from `known` on, the masks of states; return their end.

    Ranges that keep to the same leaves share a state; states are numbered from 0 in the order of the ranges.
    """
    used = known
    for s in range(length):
        mask[used] = _kept_leaves(keeps, order, begin, end, f, s)
        at = known
        while mask[at] != mask[used]:
            at += 1
        used += int(at == used)
        state[s] = at - known
    return used


@compiled
def _steps(state: Array, length: int, bounds: Array, start: int, bin_: Array, step: Array, count: int) -> int:
    """Write, from `count` on, the bins at which a column's state changes, and by how much; return their end."""
    for s in range(1, length):
        if state[s] != state[s - 1]:
            bin_[count], step[count] = bounds[start + s], state[s] - state[s - 1]
            count += 1
    return count


@compiled
def _kept_leaves(keeps: Array, order: Array, begin: int, end: int, f: int, s: int) -> Any:
    """Return the leaves in [begin, end) to whose path a bin range of a column keeps, one bit for each."""
    bits = np.uint64(0)
    for i in range(begin, end):
        if keeps[order[i], f, s]:
            bits |= np.uint64(1) << np.uint64(i - begin)
    return bits
