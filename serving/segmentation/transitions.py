"""Transitions between groups from cutoff to cutoff, as counts and shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from serving.language.messages import N_
from serving.segmentation.lifecycle_stages import ABSENT
from serving.statistics.proportions import wilson_interval

NOT_YET, GONE = N_("not yet a customer"), N_("no longer a customer")
TRANSITIONS_SCHEMA = pa.schema(
    [
        ("segmentation", pa.string()),
        ("from_cutoff", pa.date32()),
        ("to_cutoff", pa.date32()),
        ("from_segment", pa.string()),
        ("to_segment", pa.string()),
        ("customers", pa.int64()),
        ("share", pa.float64()),
        ("share_low", pa.float64()),
        ("share_high", pa.float64()),
    ]
)


@dataclass(frozen=True)
class GroupHistory:
    """The group of every customer at each cutoff, by one segmentation.

    Attributes:
        name: The name of the segmentation.
        groups: The names of its groups.
        codes: The index of each customer's group (n, t), ABSENT if not in the cohort.
        here: Whether they had become a customer by then (n, t), in the cohort or not.
        cutoffs: The cutoffs (t,), ascending.
        gone: The name for customers who left the cohort; it may be one of the groups.
    """

    name: str
    groups: Sequence[str]
    codes: np.ndarray
    here: np.ndarray
    cutoffs: Sequence[date]
    gone: str = GONE


def transition_counts(before: np.ndarray, after: np.ndarray, size: int) -> np.ndarray:
    """Count customers by their group before and after.

    Args:
        before: Group indices before (n,).
        after: Group indices after (n,).
        size: The number of groups.

    Returns:
        Counts (size, size), by group before and group after.

    >>> transition_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    return np.bincount(before * size + after, minlength=size * size).reshape(size, size)


def transition_table(histories: Sequence[GroupHistory]) -> pa.Table:
    """Return all transitions of all segmentations between neighbouring cutoffs.

    Returns:
        segmentation, from_cutoff, to_cutoff, from_segment, to_segment, customers, their share of from_segment and
        its confidence interval. New customers come from NOT_YET; those who left the cohort go to `gone`, and may come
        back from there. Transitions without customers are left out.
    """
    rows = [row for history in histories for row in _rows(history)]
    return pa.Table.from_pylist(rows, TRANSITIONS_SCHEMA)


def _rows(history: GroupHistory) -> Iterator[dict[str, Any]]:
    names = list(history.groups)
    names += [name for name in (history.gone, NOT_YET) if name not in names]
    gone, not_yet = names.index(history.gone), names.index(NOT_YET)
    places = np.where(history.codes == ABSENT, np.where(history.here, gone, not_yet), history.codes)
    for place, (first, then) in enumerate(zip(history.cutoffs, history.cutoffs[1:], strict=False)):
        someone = (history.codes[:, [place, place + 1]] != ABSENT).any(axis=1)
        counts = transition_counts(places[someone, place], places[someone, place + 1], len(names))
        total = counts.sum(axis=1)
        for a, b in np.argwhere(counts).tolist():
            low, high = wilson_interval(counts[[a], b], total[[a]])
            yield {
                "segmentation": history.name,
                "from_cutoff": first,
                "to_cutoff": then,
                "from_segment": names[a],
                "to_segment": names[b],
                "customers": int(counts[a, b]),
                "share": counts[a, b] / total[a],
                "share_low": float(low[0]),
                "share_high": float(high[0]),
            }
