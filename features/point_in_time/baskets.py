"""Purchases of one kind (such as a product category) known at one cutoff, counted by customer, by period and in pairs.

Only lines with a positive amount count (if the log has amounts), and each order counts once for a value. All counts are
integers, so the order of rows decides nothing; ties go to the value that comes first in the alphabet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import pyarrow as pa

from features.engines.base import Engine
from features.intake.tables import Tables
from features.point_in_time.history import cutoff_table, owned_columns, visible_at_cutoffs, with_age
from features.task import Window

MIN_VALUES_PER_ORDER = 1.2  # with fewer values an order, baskets are customers instead of orders
MAX_VALUES = 200  # only so many of the most frequent values are paired
MIN_PAIR_BASKETS = 5  # orders, or customers, with both values


@dataclass(frozen=True)
class CoPurchases:
    """How often values of a kind are bought together.

    Attributes:
        basket: What a basket is: an 'order', or all that a 'customer' bought if orders mostly hold one value.
        baskets: How many there are.
        squares: The sum over customers of their number of baskets, squared.
        values: value, n (baskets with it), squares (the sum over customers of their baskets with it, squared) and
            products (the sum over customers of their baskets with it times all their baskets); by value.
        pairs: a, b and both (baskets with both), a before b in the alphabet; by a and b.
    """

    basket: str
    baskets: int
    squares: int
    values: pa.Table
    pairs: pa.Table


@dataclass(frozen=True)
class KindPurchases:
    """Purchases of one kind in a window before a cutoff, in stored stages.

    Attributes:
        kind: The slug of its column.
        baskets: One row an order and value: customer_id, order_id, value.
        tastes: One row a customer and value: orders with it (`n`), and the customer's orders with any value (`m`).
        lines: One row a line of any age: customer_id, order_id, value, age.
        engine: Where they are stored.
    """

    kind: str
    baskets: ibis.Table
    tastes: ibis.Table
    lines: ibis.Table
    engine: Engine

    def stage(self, name: str, expr: ibis.Table) -> ibis.Table:
        """Stores an expression's rows under a name of this kind."""
        return self.engine.store(f"bought_{self.kind}_{name}", expr)


def purchases_of_kind(tables: Tables, cutoff: date, window: Window, kind: str, engine: Engine) -> KindPurchases:
    """Stores the purchases of a kind in a window before a cutoff, as known at the cutoff.

    Args:
        tables: The contract.
        cutoff: The cutoff.
        window: How far back they reach.
        kind: The slug of the kind's column.
        engine: Where it runs.

    Returns:
        The purchases.
    """
    events = tables.events
    paid = events.filter(events[f"kind_{kind}"].notnull() & (events.amount > 0 if tables.contract.has_amount else True))
    moments = engine.store_arrow("bought_cutoff", cutoff_table([cutoff]))
    rows = paid.select("customer_id", "order_id", "day", "seen", *owned_columns(paid), value=paid[f"kind_{kind}"])
    lines = with_age(visible_at_cutoffs(rows, moments)).select("customer_id", "order_id", "value", "age")
    recent = lines.filter(lines.age <= window.days)
    baskets = engine.store(f"bought_{kind}_baskets", recent.select("customer_id", "order_id", "value").distinct())
    each = baskets.group_by("customer_id", "value").aggregate(n=baskets.count())
    orders = baskets.select("customer_id", "order_id").distinct()
    own = orders.group_by("customer_id").aggregate(m=orders.count())
    tastes = engine.store(f"bought_{kind}_tastes", each.inner_join(own, "customer_id").select(*each.columns, "m"))
    return KindPurchases(kind, baskets, tastes, lines, engine)


def preferred_values(purchases: KindPurchases, min_orders: int, min_share: float) -> pa.Table:
    """The value that each customer prefers: of those in enough of their orders, the one that stands out most.

    A value stands out by its share of the customer's orders minus its share of all orders, so that what everybody buys
    is a preference only if there is nothing else.

    Args:
        purchases: The purchases of a kind.
        min_orders: The fewest orders of the customer that must hold the value.
        min_share: The least share of the customer's orders that must hold it, in [0, 1].

    Returns:
        customer_id, preferred, share (of the customer's orders with any value of the kind) and orders (the number of
        these), by customer; only customers with a preference.
    """
    tastes = purchases.tastes
    everyone = tastes.select("customer_id", "m").distinct()
    total = everyone.aggregate(total=everyone.m.sum().cast("int64"))
    overall = tastes.group_by("value").aggregate(all_with=tastes.n.sum().cast("int64")).cross_join(total)
    candidates = tastes.filter((tastes.n >= min_orders) & (tastes.n / tastes.m >= min_share))
    compared = candidates.inner_join(overall, "value")
    compared = compared.mutate(ahead=compared.n / compared.m - compared.all_with / compared.total)
    order = [compared.ahead.desc(), compared.value.asc()]
    ranked = compared.mutate(rank=ibis.row_number().over(ibis.window(group_by="customer_id", order_by=order)))
    first = ranked.filter(ranked["rank"] == 0)
    rows = first.select("customer_id", preferred=first.value, share=first.n / first.m, orders=first.m.cast("int64"))
    return purchases.engine.to_arrow(rows.order_by("customer_id"))


def count_by_period(
    purchases: KindPurchases, period: Window, count: int, min_customers: int
) -> tuple[pa.Table, pa.Table]:
    """Customers and orders of every value, by period before the cutoff.

    Args:
        purchases: The purchases of a kind.
        period: The length of a period.
        count: How many periods; 0 is the last one, [cutoff - period, cutoff).
        min_customers: The fewest customers that a value must have over all periods.

    Returns:
        value, period, customers and orders of each value (without empty periods), and period, customers and orders of
        all values together; sorted.
    """
    lines = purchases.lines.mutate(period=((purchases.lines.age - 1) // period.days).cast("int64"))
    inside = lines.filter(lines.period < count)
    rows = purchases.stage("periods", inside.select("customer_id", "order_id", "value", "period").distinct())
    customers_by_value = rows.group_by("value").aggregate(n=rows.customer_id.nunique())
    common = rows.semi_join(customers_by_value.filter(customers_by_value.n >= min_customers), "value")
    by_value = common.group_by("value", "period").aggregate(
        customers=common.customer_id.nunique(), orders=common.count()
    )
    orders = rows.select("customer_id", "order_id", "period").distinct()
    total = orders.group_by("period").aggregate(customers=orders.customer_id.nunique(), orders=orders.count())
    engine = purchases.engine
    return engine.to_arrow(by_value.order_by("value", "period")), engine.to_arrow(total.order_by("period"))


def count_co_purchases(purchases: KindPurchases, min_support: float) -> CoPurchases:
    """Counts how often values of a kind are bought together.

    Args:
        purchases: The purchases of a kind.
        min_support: The least share of baskets, in [0, 1], that must hold a value or a pair; and at least
            MIN_PAIR_BASKETS baskets must.

    Returns:
        The counts.
    """
    basket, tastes, engine = _basket_unit(purchases), purchases.tastes, purchases.engine
    if basket == "customer":
        tastes = tastes.mutate(n=ibis.literal(1), m=ibis.literal(1))
    customers = tastes.select("customer_id", "m").distinct()
    facts = engine.to_arrow(
        customers.aggregate(n=customers.m.sum(), squares=(customers.m * customers.m).sum())
    ).to_pylist()[0]
    total = int(facts["n"] or 0)
    fewest = max(MIN_PAIR_BASKETS, math.ceil(min_support * total))
    sums = {"n": tastes.n.sum(), "squares": (tastes.n * tastes.n).sum(), "products": (tastes.n * tastes.m).sum()}
    each = tastes.group_by("value").aggregate(**{name: value.cast("int64") for name, value in sums.items()})
    frequent = each.filter(each.n >= fewest).order_by(ibis.desc("n"), "value").limit(MAX_VALUES)
    values = purchases.stage("values", frequent)
    pairs = _pairs(purchases, values, ("customer_id", "order_id") if basket == "order" else ("customer_id",))
    frequent_pairs = engine.to_arrow(pairs.filter(pairs.both >= fewest).order_by("a", "b"))
    integers = {name: values[name].cast("int64") for name in sums}  # DuckDB stores sums in a wider type
    value_counts = engine.to_arrow(values.select("value", **integers).order_by("value"))
    return CoPurchases(basket, total, int(facts["squares"] or 0), value_counts, frequent_pairs)


def _basket_unit(purchases: KindPurchases) -> str:
    """'order' if orders hold several values, else 'customer'."""
    orders = purchases.engine.count_rows(purchases.baskets.select("customer_id", "order_id").distinct())
    return "order" if purchases.engine.count_rows(purchases.baskets) >= MIN_VALUES_PER_ORDER * orders else "customer"


def _pairs(purchases: KindPurchases, values: ibis.Table, unit: Sequence[str]) -> ibis.Table:
    """How many baskets hold both of two frequent values."""
    kept = purchases.baskets.semi_join(values, "value").select(*unit, "value").distinct()
    left = purchases.stage("frequent", kept).rename(a="value")
    right = left.view().rename(b="a")
    met = left.inner_join(right, [*unit, left.a < right.b]).select("a", "b")
    return met.group_by("a", "b").aggregate(both=met.count().cast("int64"))


def next_values(purchases: KindPurchases, rules: pa.Table) -> pa.Table:
    """The likeliest value that each customer did not buy in the window, by rules on what they bought.

    Args:
        purchases: The purchases of a kind.
        rules: because (bought), next (likely), confidence and lift.

    Returns:
        customer_id and the columns of the chosen rule, by customer; customers without a rule are left out.
    """
    owned = purchases.tastes.select("customer_id", "value")
    table = purchases.engine.store_arrow(f"bought_{purchases.kind}_rules", rules)
    candidates = owned.inner_join(table, owned.value == table.because).drop("value")
    not_owned = candidates.anti_join(
        owned, [candidates.customer_id == owned.customer_id, candidates.next == owned.value]
    )
    order = [not_owned.confidence.desc(), not_owned.lift.desc(), not_owned.next.asc(), not_owned.because.asc()]
    ranked = not_owned.mutate(rank=ibis.row_number().over(ibis.window(group_by="customer_id", order_by=order)))
    first = ranked.filter(ranked["rank"] == 0).select("customer_id", "next", "because", "confidence", "lift")
    return purchases.engine.to_arrow(first.order_by("customer_id"))
