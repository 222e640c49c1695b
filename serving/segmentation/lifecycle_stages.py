"""The lifecycle of customers in six stages, and the dated changes between stages.

Version 1. 'new': a first order within a horizon. 'dormant' and 'declining': silent for long by the customer's own
rhythm (dormant and slipping in `features.catalog.lifecycle`). Of the others, those who order clearly more in the last
window than in the one before are 'growing', those who order clearly less are 'declining' too, the rest 'mature'.
'lost': a customer at an earlier cutoff who is no longer in the cohort. Clearly: with an unchanged pace, such a change
has a probability below 1 - confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from features.config.segments import LIFECYCLE_STAGES
from serving.language.messages import N_

STAGE_RULES_VERSION = 1
NEW, GROWING, MATURE, DECLINING, DORMANT, LOST = range(len(LIFECYCLE_STAGES))
ABSENT = -1
STAGE_RULES = (  # for readers, by stage
    N_("a first order within one horizon"),
    N_("clearly more orders in the last window than in the one before"),
    N_("as many orders as before"),
    N_("clearly fewer orders than before, or silent for over 1.5 times the usual gap"),
    N_("silent for over 3 times the usual gap (and a horizon)"),
    N_("was a customer at an earlier cutoff, and is no more"),
)
CONTRACT_RULES = (  # of a log that has only contracts: nobody grows, declines or is silent
    N_("the contract began within one horizon"),
    "",
    N_("the contract began earlier"),
    "",
    "",
    N_("had a contract at an earlier cutoff, and has none any more"),
)


def pace_change(recent: np.ndarray, before: np.ndarray, tenure: np.ndarray, days: int) -> np.ndarray:
    """Return how far orders in the last window lie above the expectation from the window before, as z-scores.

    Given the sum of both counts, the count of the last window is binomial, with its share of the days. A customer who
    began in the window before is compared over the days since then, without the first order.

    Args:
        recent: Orders in the last window (n,).
        before: Orders in the window before (n,); null where the log does not reach back, which gives 0.
        tenure: Days since the first order (n,).
        days: The length of a window in days.

    Returns:
        Standard deviations above the expectation (n,).
    """
    past = np.clip(tenure - days, 0, days)
    begun = (tenure > days) & (tenure <= 2 * days)
    total = recent + np.maximum(before - begun, 0)
    share = days / (days + past)
    spread = np.sqrt(total * share * (1 - share))
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (recent - total * share) / spread
    return np.where(np.isfinite(z), z, 0.0)


def assign_stages(lifecycle: Sequence[str], z: np.ndarray, confidence: float) -> np.ndarray:
    """Assign stages (n,), as indices of STAGES.

    Args:
        lifecycle: The feature `lifecycle` (n,): new, active, slipping or dormant.
        z: The change of pace (n,), from `pace_change`.
        confidence: One-sided confidence, in (0.5, 1).

    Returns:
        The stages (n,).

    >>> assign_stages(["new", "active", "active", "slipping", "dormant"], np.array([9, 2, 0, 2, 2]), 0.9).tolist()
    [0, 1, 2, 3, 4]
    """
    states, sure = np.asarray(lifecycle, dtype=object), norm.ppf(confidence)
    rules = [states == "new", states == "dormant", (states == "slipping") | (z <= -sure), z >= sure]
    return np.select(rules, [NEW, DORMANT, DECLINING, GROWING], MATURE)


def mark_lost(codes: np.ndarray, since: np.ndarray) -> np.ndarray:
    """Mark customers who left the cohort as LOST; ABSENT stays only before they became customers.

    Args:
        codes: Stage at each cutoff (n, t), ABSENT where not in the cohort.
        since: The index (n,) of the first cutoff before which they had ordered.

    >>> mark_lost(np.array([[-1, 2, -1], [-1, -1, 1]]), np.array([1, 0])).tolist()
    [[-1, 2, 5], [5, 5, 1]]
    """
    come = np.arange(codes.shape[1]) >= since[:, None]
    return np.where((codes == ABSENT) & come, LOST, codes)


def stage_changes(customers: pa.Array, codes: np.ndarray, cutoffs: Sequence[date]) -> pa.Table:
    """Return every change of stage, dated by the cutoff at which it was first seen.

    Args:
        customers: Ids (n,).
        codes: Stages (n, t), as `mark_lost` returns them.
        cutoffs: The cutoffs (t,), ascending.

    Returns:
        customer_id, cutoff, from_stage and to_stage, sorted by cutoff and customer.
    """
    parts = [_changes_at(customers, codes, place, cutoffs[place]) for place in range(1, len(cutoffs))]
    schema = pa.schema([("customer_id", pa.string()), ("cutoff", pa.date32())])
    schema = schema.append(pa.field("from_stage", pa.string())).append(pa.field("to_stage", pa.string()))
    return pa.concat_tables([schema.empty_table(), *parts])


def _changes_at(customers: pa.Array, codes: np.ndarray, place: int, cutoff: date) -> pa.Table:
    before, after = codes[:, place - 1], codes[:, place]
    rows = np.flatnonzero((before != after) & (before != ABSENT))
    ids = customers.take(pa.array(rows))
    names = np.array(LIFECYCLE_STAGES, dtype=object)
    columns = {
        "customer_id": ids.cast(pa.string()),
        "cutoff": pa.array([cutoff] * len(rows), pa.date32()),
        "from_stage": pa.array(names[before[rows]], pa.string()),
        "to_stage": pa.array(names[after[rows]], pa.string()),
    }
    return pa.table(columns).sort_by("customer_id")


def latest_stage_change(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return since which cutoff index each customer (n,) has been in the last stage, and the stage before.

    >>> since, before = latest_stage_change(np.array([[2, 1, 1], [-1, 0, 0], [3, 3, 3]]))
    >>> since.tolist(), before.tolist()
    ([1, 1, 0], [2, -1, -1])
    """
    since = np.zeros(len(codes), int)
    before = np.full(len(codes), ABSENT)
    for place in range(1, codes.shape[1]):
        moved = codes[:, place] != codes[:, place - 1]
        since[moved], before[moved] = place, codes[moved, place - 1]
    return since, before
