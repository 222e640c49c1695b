"""Quantities that are aggregated over windows of time before features are computed from them.

Every function sees orders, or days with an order, that were already known at a cutoff.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import ibis

from features.config.data_contract import DataContract
from features.engines.window_spec import EVER, Span
from features.point_in_time.history import KEYS, window_index
from features.task import Window

YEAR, MONTH, WEEK = 365, 30, 7  # days


@dataclass(frozen=True)
class Measure:
    """One quantity that is aggregated over panes of time.

    Attributes:
        name: Of the quantity.
        aggregate: Aggregates the rows of a pane.
        merge: How the aggregates of several panes combine.
    """

    name: str
    aggregate: Callable[[ibis.Table], ibis.Value]
    merge: Literal["sum", "max", "min"] = "sum"


# On orders: one row an order (of a customer, at a cutoff) with its net amount and age.
ORDER_MEASURES = (
    Measure("orders", lambda o: o.purchase.sum()),
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
UNIT_MEASURES = (Measure("units", lambda o: o.purchase.ifelse(o.quantity, 0).sum()),)
DISCOUNT_MEASURES = (
    Measure("discount", lambda o: o.purchase.ifelse(o.discount, 0).sum()),
    Measure("discounted", lambda o: (o.purchase & (o.discount > 0)).sum()),
)
DAY_MEASURES = (Measure("active_days", lambda d: d.count()),)
# On purchases alone: compared with the span before and with a year ago.
PURCHASE_MEASURES = (Measure("orders", lambda o: o.count()),)
SPEND_MEASURES = (Measure("spend", lambda o: o.amount.sum()),)


def order_measures(contract: DataContract) -> tuple[Measure, ...]:
    """The measures on orders that a log can support."""
    measures = ORDER_MEASURES + (MONEY_MEASURES if contract.has_amount else ())
    if contract.has_quantity:
        measures += QUANTITY_MEASURES + (UNIT_MEASURES if contract.has_amount else ())
    return measures + (DISCOUNT_MEASURES if contract.has_amount and contract.has_discount else ())


def purchase_measures(contract: DataContract) -> tuple[Measure, ...]:
    """The measures on purchases that are compared with earlier spans."""
    return PURCHASE_MEASURES + (SPEND_MEASURES if contract.has_amount else ())


def window_spans(windows: Sequence[Window]) -> tuple[Span, ...]:
    """The windows, which nest, and the whole history ('ever')."""
    return (*map(Span.window, windows), EVER)


def earlier_spans(windows: Sequence[Window]) -> tuple[Span, ...]:
    """For each window the one before it and, if that is not the same, the window a year ago.

    >>> [(s.name, s.start, s.end) for s in earlier_spans([Window(30), Window(365)])]
    [('before_30d', 30, 60), ('year_ago_30d', 365, 395), ('before_365d', 365, 730)]
    """
    return tuple(span for w in windows for span in _earlier(w))


def _earlier(w: Window) -> Iterator[Span]:
    """The earlier spans of one window."""
    yield Span(f"before_{w}", w.days, 2 * w.days)
    if w.days < YEAR:
        yield Span(f"year_ago_{w}", YEAR, YEAR + w.days)


def by_window(rows: ibis.Table, measures: Sequence[Measure], spans: Sequence[Span]) -> ibis.Table:
    """Measures over every span, as `<measure>_<span>`: aggregated once a pane between two edges, then combined.

    Args:
        rows: Rows with customer_id, cutoff and age.
        measures: What is aggregated.
        spans: Ranges of age, which may nest and overlap.

    Returns:
        One row for each customer and cutoff with any row; a sum over nothing is 0, an extreme null.
    """
    edges = sorted({edge for span in spans for edge in (span.start, span.end) if edge})
    paned = rows.mutate(pane=window_index(rows.age, [Window(edge) for edge in edges]))
    panes = paned.group_by(*KEYS, "pane").aggregate(**{m.name: m.aggregate(paned) for m in measures})
    merged = {
        f"{m.name}_{span.name}": _merge(panes[m.name], m, _inside(panes.pane, span, edges))
        for m in measures
        for span in spans
    }
    return panes.group_by(KEYS).aggregate(**merged)


def _inside(pane: ibis.Value, span: Span, edges: Sequence[int]) -> ibis.Value | None:
    """Which panes a span holds; None if all."""
    tests = []
    if span.start:
        tests.append(pane > edges.index(span.start))
    if span.end is not None:
        tests.append(pane <= edges.index(span.end))
    return ibis.and_(*tests) if tests else None


def _merge(column: ibis.Value, measure: Measure, where: ibis.Value | None) -> ibis.Value:
    """The aggregates of some panes, combined."""
    if measure.merge != "sum":
        return getattr(column, measure.merge)(where=where)
    kind = "decimal(38, 0)" if column.type().is_decimal() else "int64"
    return column.sum(where=where).fill_null(0).cast(kind)


def _square(ticks: ibis.Value) -> ibis.Value:
    """Exact squares of ticks."""
    exact = ticks.cast("decimal(19, 0)")  # two of 18 digits are multiplied in 64 bits, and overflow
    return exact * exact
