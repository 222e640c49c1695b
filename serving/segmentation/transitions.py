"""Movement between groups from cutoff to cutoff: how many went where, as counts and shares."""

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
    """Where every customer stood at each cutoff, by one segmentation.

    Attributes:
        name: Of the segmentation.
        groups: Their names.
        codes: (n, t): the place of the group, ABSENT where a customer was not in the cohort.
        here: (n, t): whether they had become a customer by then, in the cohort or not.
        cutoffs: When (t,), ascending.
        gone: What is said of those who left the cohort; it may be one of the groups.
    """

    name: str
    groups: Sequence[str]
    codes: np.ndarray
    here: np.ndarray
    cutoffs: Sequence[date]
    gone: str = GONE


def transition_counts(before: np.ndarray, after: np.ndarray, size: int) -> np.ndarray:
    """Counts (size, size) of who stood where before and after.

    >>> transition_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    return np.bincount(before * size + after, minlength=size * size).reshape(size, size)


def transition_table(standings: Sequence[GroupHistory]) -> pa.Table:
    """All movements of all segmentations between neighbouring cutoffs.

    Returns:
        segmentation, from_cutoff, to_cutoff, from_segment, to_segment, customers, their share of those of from_segment,
        and its interval. Who came in between comes from NOT_YET; who left the cohort goes to `gone`, and may come
        back from there. Movements that nobody made are left out.
    """
    rows = [row for standing in standings for row in _rows(standing)]
    return pa.Table.from_pylist(rows, TRANSITIONS_SCHEMA)


def _rows(standing: GroupHistory) -> Iterator[dict[str, Any]]:
    names = list(standing.groups)
    names += [name for name in (standing.gone, NOT_YET) if name not in names]
    gone, not_yet = names.index(standing.gone), names.index(NOT_YET)
    places = np.where(standing.codes == ABSENT, np.where(standing.here, gone, not_yet), standing.codes)
    for place, (first, then) in enumerate(zip(standing.cutoffs, standing.cutoffs[1:], strict=False)):
        someone = (standing.codes[:, [place, place + 1]] != ABSENT).any(axis=1)
        counts = transition_counts(places[someone, place], places[someone, place + 1], len(names))
        total = counts.sum(axis=1)
        for a, b in np.argwhere(counts).tolist():
            low, high = wilson_interval(counts[[a], b], total[[a]])
            yield {
                "segmentation": standing.name,
                "from_cutoff": first,
                "to_cutoff": then,
                "from_segment": names[a],
                "to_segment": names[b],
                "customers": int(counts[a, b]),
                "share": counts[a, b] / total[a],
                "share_low": float(low[0]),
                "share_high": float(high[0]),
            }
