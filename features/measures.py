"""What is added up over panes of time before any feature is made of it.

Every function sees orders, or days with one, that were already known at a cutoff.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import ibis

from features.contract import Contract
from features.past import KEYS
from features.task import Window


@dataclass(frozen=True)
class Measure:
    """One quantity that adds up over panes of time: how a pane is aggregated, and how panes merge."""

    name: str
    aggregate: Callable[[ibis.Table], ibis.Value]
    merge: Literal["sum", "max", "min"] = "sum"


# On orders: one row an order (of a customer, at a cutoff) with its net amount and age.
ORDER_MEASURES = (
    Measure("orders", lambda o: o.purchase.sum()),
    Measure("weekend_orders", lambda o: (o.purchase & o.day.day_of_week.index().isin([5, 6])).sum()),
    Measure("hours", lambda o: o.purchase.ifelse(o.hour, 0).sum()),
    Measure("items", lambda o: o.purchase.ifelse(o.lines, 0).sum()),
)
MONEY_MEASURES = (
    Measure("amount", lambda o: o.amount.sum()),
    Measure("spend", lambda o: o.purchase.ifelse(o.amount, 0).sum()),
    Measure("spend_squares", lambda o: _square(o.purchase.ifelse(o.amount, 0)).sum()),
    Measure("order_amount_max", lambda o: o.amount.max(where=o.purchase), merge="max"),
    Measure("refund", lambda o: o.refund.sum()),
    Measure("refunds", lambda o: (o.refund > 0).sum()),
)
QUANTITY_MEASURES = (Measure("quantity", lambda o: o.quantity.sum()),)
DAY_MEASURES = (Measure("active_days", lambda d: d.count()),)


def order_measures(contract: Contract) -> tuple[Measure, ...]:
    """The measures on orders that a log can support."""
    money = MONEY_MEASURES if contract.has_amount else ()
    return ORDER_MEASURES + money + (QUANTITY_MEASURES if contract.has_quantity else ())


def by_window(rows: ibis.Table, measures: Sequence[Measure], windows: Sequence[Window]) -> ibis.Table:
    """Measures over every window and the whole past: once a pane, then panes added up."""
    panes = rows.group_by(*KEYS, "pane").aggregate(**{m.name: m.aggregate(rows) for m in measures})
    merged: dict[str, ibis.Value] = {}
    for m in measures:
        column = panes[m.name]
        for place, w in enumerate(windows):
            merged[f"{m.name}_{w}"] = _merge(column, m, panes.pane <= place)
        merged[f"{m.name}_ever"] = _merge(column, m, None)
    return panes.group_by(KEYS).aggregate(**merged)


def _merge(column: ibis.Value, measure: Measure, where: ibis.Value | None) -> ibis.Value:
    if measure.merge != "sum":
        return getattr(column, measure.merge)(where=where)
    kind = "decimal(38, 0)" if column.type().is_decimal() else "int64"
    return column.sum(where=where).fill_null(0).cast(kind)


def _square(ticks: ibis.Value) -> ibis.Value:
    exact = ticks.cast("decimal(19, 0)")  # two of 18 digits are multiplied in 64 bits, and overflow
    return exact * exact
