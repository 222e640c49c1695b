"""Order ids that a customer uses again after a long pause: each use is an order of its own.

A shop that starts its order numbers anew, or a till that counts to 999, gives one id to two purchases. If these were
one order, features would date it by its first row, and labels would count its last row as a purchase, for months.

What a row belongs to depends only on rows that were known when it was, so nothing is known too early: at each row, the
purchases of its order that were known by then are put in order, and one that comes more than PAUSE after the one before
begins a new use. Rows without a positive amount, such as refunds, belong to the use that is running.
"""

from __future__ import annotations

import ibis

from features.engines.base import Engine
from features.task import Window

PAUSE = Window(30)
ORDER = ("customer_id", "order_id")
LATER_USE = r" @[0-9]{4}-[0-9]{2}-[0-9]{2}$"  # what the id of a later use ends with


def split_reused_orders(rows: ibis.Table, has_amount: bool, engine: Engine) -> tuple[ibis.Table, int]:
    """Gives each later use of an order id an id of its own.

    Args:
        rows: Events in the contract's types, stored, with `reason`; only those without a reason are looked at.
        has_amount: Whether the log has amounts; without them every row is a purchase.
        engine: Where the rows are.

    Returns:
        The rows, unchanged if no id is used again, and how many ids of a customer are.
    """
    usable = rows.filter(rows.reason.isnull())
    purchases = usable.filter(usable.amount > 0) if has_amount else usable
    spans = purchases.group_by(ORDER).aggregate(first=purchases.day.min(), last=purchases.day.max())
    reused = engine.store("reused_orders", spans.filter(spans["last"].delta(spans["first"], unit="day") > PAUSE.days))
    count = engine.count_rows(reused)
    if not count:
        return rows, 0
    of_reused = usable.semi_join(reused, ORDER)
    is_bought = of_reused.amount > 0 if has_amount else of_reused.order_id.notnull()
    days = engine.store(
        "reused_days", of_reused.group_by(*ORDER, "day", "seen").aggregate(bought=is_bought.any().fill_null(False))
    )
    known_late = engine.count_rows(days.filter(days.seen > days.day))
    labels = engine.store("order_uses", _uses_as_known(days) if known_late else _uses_in_order(days))
    joined = rows.left_join(labels, [*ORDER, "day", "seen"])
    later = joined.use.notnull() & rows.reason.isnull()
    text = joined.order_id + " @" + joined.use.cast("string")
    columns = {name: joined[name] for name in rows.columns} | {"order_id": later.ifelse(text, joined.order_id)}
    return engine.store("intake_orders", joined.select(**columns)), count


def _uses_in_order(days: ibis.Table) -> ibis.Table:
    """The day on which the use began that rows belong to, if every row was known on its day; null for the first use.

    Args:
        days: customer_id, order_id, day, seen, and whether anything was bought.

    Returns:
        customer_id, order_id, day, seen and use.
    """
    bought = days.bought.ifelse(days.day, ibis.null("date"))
    earlier = ibis.window(group_by=ORDER, order_by=days.day, preceding=(None, 1))
    dated = days.mutate(bought_before=bought.max().over(earlier))
    pause = dated.day.delta(dated.bought_before, unit="day")
    begins = dated.bought & (dated.bought_before.isnull() | (pause > PAUSE.days))
    marked = dated.mutate(begins=begins.ifelse(dated.day, ibis.null("date")))
    so_far = ibis.window(group_by=ORDER, order_by=marked.day, preceding=(None, 0))
    uses = marked.mutate(use=marked.begins.max().over(so_far), first=marked.begins.min().over(so_far))
    return _later_uses(uses)


def _uses_as_known(days: ibis.Table) -> ibis.Table:
    """As `_uses_in_order`, for rows that became known late: each row sees those known by its own `seen`."""
    keys = days.drop("bought")
    bought = days.filter(days.bought).drop("bought").rename(bought="day", bought_seen="seen")
    view = keys.left_join(bought, [*((keys[key] == bought[key]) for key in ORDER), bought.bought_seen <= keys.seen])
    view = view.select(*(keys[name] for name in keys.columns), bought.bought).distinct()
    before = view.bought.lag().over(ibis.window(group_by=keys.columns, order_by=view.bought))
    begins = before.isnull() | (view.bought.delta(before, unit="day") > PAUSE.days)
    marked = view.mutate(begins=begins)
    uses = marked.group_by(keys.columns).aggregate(
        use=marked.bought.max(where=marked.begins & (marked.bought <= marked.day)), first=marked.bought.min()
    )
    return _later_uses(uses)


def _later_uses(uses: ibis.Table) -> ibis.Table:
    """Rows with their use, null where it is the first."""
    later = (uses.use != uses["first"]).fill_null(False)
    return uses.select(*ORDER, "day", "seen", use=later.ifelse(uses.use, ibis.null("date")))
