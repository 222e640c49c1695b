"""What was bought of a kind, as known at one cutoff: by customer, by period and together, counted by the engine.

Only lines that were paid for count (where the log has amounts), and each order counts once for a value. All counts
are whole numbers, so no order of rows decides anything; of equals the first in the alphabet is taken.
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
from features.point_in_time.history import cutoff_table, visible_at_cutoffs, with_age
from features.task import Window

MIN_VALUES_PER_ORDER = 1.2  # values in an order from which on values of one order are said to be bought together
MAX_VALUES = 200  # the most frequent values of a kind that are paired
MIN_PAIR_BASKETS = 5  # orders, or customers, with both


@dataclass(frozen=True)
class CoPurchases:
    """How often values of a kind meet in one basket.

    Attributes:
        basket: What a basket is: an 'order', or all that a 'customer' bought where orders hold one value only.
        baskets: How many there are.
        squares: The sum over customers of their baskets, squared.
        values: value, n (baskets with it), squares (the sum over customers of theirs, squared) and products (the sum
            over customers of theirs times all their baskets); by value.
        pairs: a, b and both (baskets with both), a before b in the alphabet; by a and b.
    """

    basket: str
    baskets: int
    squares: int
    values: pa.Table
    pairs: pa.Table


@dataclass(frozen=True)
class KindPurchases:
    """The orders of one kind in a window before a cutoff, in stored stages.

    Attributes:
        kind: The slug of its column.
        baskets: One row an order and value: customer_id, order_id, value.
        tastes: One row a customer and value: orders with it (`n`), and the customer's orders of the kind (`m`).
        lines: One row a line of any age: customer_id, order_id, value, age.
        engine: Where it runs.
    """

    kind: str
    baskets: ibis.Table
    tastes: ibis.Table
    lines: ibis.Table
    engine: Engine

    def stage(self, name: str, expr: ibis.Table) -> ibis.Table:
        """Keeps an expression's rows under a name of this kind."""
        return self.engine.store(f"bought_{self.kind}_{name}", expr)


def purchases_of_kind(tables: Tables, cutoff: date, window: Window, kind: str, engine: Engine) -> KindPurchases:
    """Stores what was bought of a kind, as known at a cutoff, in a window before it."""
    e = tables.events
    paid = e.filter(e[f"kind_{kind}"].notnull() & (e.amount > 0 if tables.contract.has_amount else True))
    moments = engine.load("bought_cutoff", cutoff_table([cutoff]))
    rows = paid.select("customer_id", "order_id", "day", "seen", value=paid[f"kind_{kind}"])
    lines = with_age(visible_at_cutoffs(rows, moments)).select("customer_id", "order_id", "value", "age")
    recent = lines.filter(lines.age <= window.days)
    baskets = engine.store(f"bought_{kind}_baskets", recent.select("customer_id", "order_id", "value").distinct())
    each = baskets.group_by("customer_id", "value").aggregate(n=baskets.count())
    orders = baskets.select("customer_id", "order_id").distinct()
    own = orders.group_by("customer_id").aggregate(m=orders.count())
    tastes = engine.store(f"bought_{kind}_tastes", each.inner_join(own, "customer_id").select(*each.columns, "m"))
    return KindPurchases(kind, baskets, tastes, lines, engine)


def preferred_values(bought: KindPurchases, fewest: int, share: float) -> pa.Table:
    """What each customer prefers: of the values in at least a share of their orders, the one that stands out most.

    It stands out by its share of the customer's orders less its share of all orders, so that what everybody buys is
    nobody's preference where there is something else.

    Args:
        bought: The orders of a kind.
        fewest: Orders of the customer that must hold the value.
        share: Of the customer's orders that must hold it.

    Returns:
        customer_id, preferred, share (of the customer's orders with a value of the kind) and orders (how many those
        are), by customer; only customers with a preference.
    """
    t = bought.tastes
    everyone = t.select("customer_id", "m").distinct()
    total = everyone.aggregate(total=everyone.m.sum().cast("int64"))
    usual = t.group_by("value").aggregate(all_with=t.n.sum().cast("int64")).cross_join(total)
    likely = t.filter((t.n >= fewest) & (t.n / t.m >= share))
    both = likely.inner_join(usual, "value")
    both = both.mutate(ahead=both.n / both.m - both.all_with / both.total)
    order = [both.ahead.desc(), both.value.asc()]
    placed = both.mutate(place=ibis.row_number().over(ibis.window(group_by="customer_id", order_by=order)))
    first = placed.filter(placed.place == 0)
    rows = first.select("customer_id", preferred=first.value, share=first.n / first.m, orders=first.m.cast("int64"))
    return bought.engine.arrow(rows.order_by("customer_id"))


def count_by_period(bought: KindPurchases, period: Window, count: int, fewest: int) -> tuple[pa.Table, pa.Table]:
    """Customers and orders of every value, period by period before the cutoff.

    Args:
        bought: The orders of a kind.
        period: How long one is.
        count: How many; 0 is the last, [cutoff - period, cutoff).
        fewest: Customers that a value must have had in all of them.

    Returns:
        value, period, customers and orders of each value (a period without any is left out), and period, customers and
        orders of all values together; sorted.
    """
    lines = bought.lines.mutate(period=((bought.lines.age - 1) // period.days).cast("int64"))
    inside = lines.filter(lines.period < count)
    rows = bought.stage("periods", inside.select("customer_id", "order_id", "value", "period").distinct())
    ever = rows.group_by("value").aggregate(n=rows.customer_id.nunique())
    common = rows.semi_join(ever.filter(ever.n >= fewest), "value")
    by_value = common.group_by("value", "period").aggregate(
        customers=common.customer_id.nunique(), orders=common.count()
    )
    orders = rows.select("customer_id", "order_id", "period").distinct()
    total = orders.group_by("period").aggregate(customers=orders.customer_id.nunique(), orders=orders.count())
    engine = bought.engine
    return engine.arrow(by_value.order_by("value", "period")), engine.arrow(total.order_by("period"))


def count_co_purchases(bought: KindPurchases, support: float) -> CoPurchases:
    """Counts how often values of a kind meet.

    Args:
        bought: The orders of a kind.
        support: The least share of baskets with a value, and with a pair, that counts; a pair needs FEWEST_PAIRS too.
    """
    basket, tastes, engine = _basket(bought), bought.tastes, bought.engine
    if basket == "customer":
        tastes = tastes.mutate(n=ibis.literal(1), m=ibis.literal(1))
    whole = tastes.select("customer_id", "m").distinct()
    facts = engine.arrow(whole.aggregate(n=whole.m.sum(), squares=(whole.m * whole.m).sum())).to_pylist()[0]
    total = int(facts["n"] or 0)
    fewest = max(MIN_PAIR_BASKETS, math.ceil(support * total))
    sums = {"n": tastes.n.sum(), "squares": (tastes.n * tastes.n).sum(), "products": (tastes.n * tastes.m).sum()}
    each = tastes.group_by("value").aggregate(**{name: value.cast("int64") for name, value in sums.items()})
    often = each.filter(each.n >= fewest).order_by(ibis.desc("n"), "value").limit(MAX_VALUES)
    values = bought.stage("values", often)
    met = _pairs(bought, values, ("customer_id", "order_id") if basket == "order" else ("customer_id",))
    common = engine.arrow(met.filter(met.both >= fewest).order_by("a", "b"))
    whole_numbers = {name: values[name].cast("int64") for name in sums}  # DuckDB's sums are wider once they are stored
    told = engine.arrow(values.select("value", **whole_numbers).order_by("value"))
    return CoPurchases(basket, total, int(facts["squares"] or 0), told, common)


def _basket(bought: KindPurchases) -> str:
    """'order' where orders hold several values, else 'customer'."""
    orders = bought.engine.count(bought.baskets.select("customer_id", "order_id").distinct())
    return "order" if bought.engine.count(bought.baskets) >= MIN_VALUES_PER_ORDER * orders else "customer"


def _pairs(bought: KindPurchases, values: ibis.Table, unit: Sequence[str]) -> ibis.Table:
    """How many baskets hold both of two frequent values."""
    kept = bought.baskets.semi_join(values, "value").select(*unit, "value").distinct()
    left = bought.stage("frequent", kept).rename(a="value")
    right = left.view().rename(b="a")
    met = left.inner_join(right, [*unit, left.a < right.b]).select("a", "b")
    return met.group_by("a", "b").aggregate(both=met.count().cast("int64"))


def next_values(bought: KindPurchases, rules: pa.Table) -> pa.Table:
    """For each customer the likeliest value that they did not buy in the window, by the rules of what they bought.

    Args:
        bought: The orders of a kind.
        rules: because (bought), next (likely), confidence and lift.

    Returns:
        customer_id and the chosen rule's columns, by customer; who has no rule is left out.
    """
    has = bought.tastes.select("customer_id", "value")
    table = bought.engine.load(f"bought_{bought.kind}_rules", rules)
    told = has.inner_join(table, has.value == table.because).drop("value")
    fresh = told.anti_join(has, [told.customer_id == has.customer_id, told.next == has.value])
    order = [fresh.confidence.desc(), fresh.lift.desc(), fresh.next.asc(), fresh.because.asc()]
    placed = fresh.mutate(place=ibis.row_number().over(ibis.window(group_by="customer_id", order_by=order)))
    first = placed.filter(placed.place == 0).select("customer_id", "next", "because", "confidence", "lift")
    return bought.engine.arrow(first.order_by("customer_id"))
