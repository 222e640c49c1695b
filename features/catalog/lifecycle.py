"""The lifecycle stage of a customer, by the customer's own rhythm: new, active, slipping or dormant.

- 'new': the first order is at most one horizon old.
- 'dormant': silent for more than 3 times the usual gap between days with an order, and for more than a horizon.
- 'slipping': silent for more than 1.5 times the usual gap, and for more than a quarter of a horizon.
- 'active': all others.

For customers who ordered on one day only, the horizon takes the place of the usual gap.
"""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.feature import Feature
from features.task import Window

ACTIVE_UP_TO, SLIPPING_UP_TO = 1.5, 3.0  # times the usual gap


def lifecycle_features(horizon: Window) -> Iterator[Feature]:
    """The lifecycle stage as a feature."""
    yield Feature(
        "lifecycle",
        lambda m: lifecycle_stage(m, horizon),
        "silence",
        "where the customer stands: new, active, slipping or dormant",
        "{value:level}, by the customer's own rhythm",
        "level",
        actionable=True,
    )


def lifecycle_stage(m: ibis.Table, horizon: Window) -> ibis.Value:
    """The stage, from `recency` and `tenure` (days since the last and the first order) and `gap_mean` (or null).

    >>> columns = {"recency": [3, 10, 25, 99], "tenure": [20, 90, 90, 99], "gap_mean": [5.0, 10.0, 10.0, None]}
    >>> lifecycle_stage(ibis.memtable(columns), Window(30)).to_pyarrow().to_pylist()
    ['new', 'active', 'slipping', 'dormant']
    """
    silence = m.recency / ibis.coalesce(m.gap_mean, ibis.literal(float(horizon.days)))
    return ibis.cases(
        (m.tenure <= horizon.days, "new"),
        ((silence > SLIPPING_UP_TO) & (m.recency > horizon.days), "dormant"),
        ((silence > ACTIVE_UP_TO) & (m.recency > horizon.days / 4), "slipping"),
        else_="active",
    )
