"""The lifecycle of customers in six stages, and the dated changes from one to another.

Version 1. 'new': a first order within a horizon. 'dormant' and 'declining': silent for long by the customer's own
rhythm (dormant and slipping in `features.catalog.lifecycle`). Of the others who order clearly more in the last window
than in
the one before are 'growing', clearly less also 'declining', the rest 'mature'. 'lost': was a customer at an earlier
cutoff and belongs to the cohort no more. Clearly: such a change has less than the chance 1 - confidence where the pace
is the same.
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
STAGE_RULES = (  # of each stage, in words
    N_("a first order within one horizon"),
    N_("clearly more orders in the last window than in the one before"),
    N_("as many orders as before"),
    N_("clearly fewer orders than before, or silent for over 1.5 times the usual gap"),
    N_("silent for over 3 times the usual gap (and a horizon)"),
    N_("was a customer at an earlier cutoff, and is no more"),
)


def pace_change(recent: np.ndarray, before: np.ndarray, tenure: np.ndarray, days: int) -> np.ndarray:
    """How far orders in a window lie above what the window before lets expect, in standard deviations (n,).

    Given both counts, those of the last window are binomial with the share of the days that it has. Who became a
    customer in the window before is compared over the days since, without the first order, which began them.

    Args:
        recent: Orders in the last window (n,).
        before: Orders in the window before (n,); null where the log does not reach back: no change is seen.
        tenure: Days since the first order (n,).
        days: The length of a window.
    """
    past = np.clip(tenure - days, 0, days)
    begun = (tenure > days) & (tenure <= 2 * days)
    total = recent + np.maximum(before - begun, 0)
    share = days / (days + past)
    spread = np.sqrt(total * share * (1 - share))
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (recent - total * share) / spread
    return np.where(np.isfinite(z), z, 0.0)


def assign_stages(standing: Sequence[str], z: np.ndarray, confidence: float) -> np.ndarray:
    """Stage (n,) as its place in STAGES.

    Args:
        standing: The feature `lifecycle` (n,): new, active, slipping or dormant.
        z: How the pace changed (n,).
        confidence: One-sided, in (0.5, 1).

    >>> assign_stages(["new", "active", "active", "slipping", "dormant"], np.array([9, 2, 0, 2, 2]), 0.9).tolist()
    [0, 1, 2, 3, 4]
    """
    told, sure = np.asarray(standing, dtype=object), norm.ppf(confidence)
    rules = [told == "new", told == "dormant", (told == "slipping") | (z <= -sure), z >= sure]
    return np.select(rules, [NEW, DORMANT, DECLINING, GROWING], MATURE)


def mark_lost(codes: np.ndarray, since: np.ndarray) -> np.ndarray:
    """Stages (n, t) with LOST where a customer has gone; ABSENT stays only before they came.

    Args:
        codes: Stage at each cutoff (n, t), ABSENT where not in the cohort.
        since: The place (n,) of the first cutoff at which they had ordered before.

    >>> mark_lost(np.array([[-1, 2, -1], [-1, -1, 1]]), np.array([1, 0])).tolist()
    [[-1, 2, 5], [5, 5, 1]]
    """
    come = np.arange(codes.shape[1]) >= since[:, None]
    return np.where((codes == ABSENT) & come, LOST, codes)


def stage_changes(customers: pa.Array, codes: np.ndarray, cutoffs: Sequence[date]) -> pa.Table:
    """Every change of stage, dated by the cutoff at which it was first seen; by cutoff and customer.

    Args:
        customers: Ids (n,).
        codes: As `filled` gives them (n, t).
        cutoffs: When (t,), ascending.
    """
    parts = [_between(customers, codes, place, cutoffs[place]) for place in range(1, len(cutoffs))]
    schema = pa.schema([("customer_id", pa.string()), ("cutoff", pa.date32())])
    schema = schema.append(pa.field("from_stage", pa.string())).append(pa.field("to_stage", pa.string()))
    return pa.concat_tables([schema.empty_table(), *parts])


def _between(customers: pa.Array, codes: np.ndarray, place: int, cutoff: date) -> pa.Table:
    before, after = codes[:, place - 1], codes[:, place]
    rows = np.flatnonzero((before != after) & (before != ABSENT))
    ids = customers.take(pa.array(rows))
    names = np.array(LIFECYCLE_STAGES, dtype=object)
    found = {
        "customer_id": ids.cast(pa.string()),
        "cutoff": pa.array([cutoff] * len(rows), pa.date32()),
        "from_stage": pa.array(names[before[rows]], pa.string()),
        "to_stage": pa.array(names[after[rows]], pa.string()),
    }
    return pa.table(found).sort_by("customer_id")


def latest_stage_change(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Since which place each customer (n,) has stood in their last stage without a break, and the stage before.

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
