"""Features of what was done to a customer so far, so that its effect is not mistaken for loyalty.

A contact is received unless its action is the control, which is held out: nothing was done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ibis

from features.feature import Feature, count_or_zero, daily_rate, measure_value, money
from features.point_in_time.history import KEYS, Past
from features.point_in_time.measures import Measure, by_window, window_spans
from features.task import Window

RESPONSE_WINDOW = Window(14)


def contact_measures(past: Past) -> ibis.Table:
    """Contacts received, held out and what they cost, by window; one row a customer with any."""
    rows = _rows(past)
    told = ~rows.held_out
    daily = rows.group_by("customer_id", "day", "seen").aggregate(
        received=told.sum().cast("int64"),
        held_out=rows.held_out.sum().cast("int64"),
        cost=rows.cost.sum(where=told).fill_null(0).cast("int64"),
    )
    seen = past.visible(daily)
    wanted = (
        Measure("contacts:received", lambda d: d.received.sum()),
        Measure("contacts:held_out", lambda d: d.held_out.sum()),
        Measure("contacts:cost", lambda d: d.cost.sum()),
        Measure("contacts:age", lambda d: d.age.min(where=d.received > 0), merge="min"),
    )
    return by_window(seen, wanted, window_spans(past.task.windows))


def action_measures(past: Past) -> ibis.Table:
    """How many different actions a customer received, and the last; of several at one moment the last by its name."""
    rows = _received(past)
    seen = past.visible(rows.group_by("customer_id", "day", "seen", "action").aggregate(time=rows.time.max()))
    each = seen.group_by(*KEYS, "action").aggregate(time=seen.time.max())
    order = ibis.window(group_by=KEYS, order_by=[each.time.desc(), each.action.desc()])
    placed = each.mutate(place=ibis.row_number().over(order))
    last = placed.action.max(where=placed.place == 0)
    return placed.group_by(KEYS).aggregate(**{"contacts:actions": placed.count(), "contacts:last": last})


def response_measures(past: Past) -> ibis.Table:
    """How many contacts were answered: a purchase at or after one, less than ANSWER later, with none between them.

    Contacts of one moment are one here. An order is at the time of its first line.
    """
    told, orders = past.visible(_received(past)), past.visible_orders
    bought = orders.filter(orders.purchase)
    both = ibis.union(
        told.select(*KEYS, time=told.time.cast("timestamp"), contact=True),
        bought.select(*KEYS, time=bought.time.cast("timestamp"), contact=False),
    )
    contacts = both.contact.ifelse(both.time, ibis.null("timestamp"))
    asked = both.mutate(before=contacts.cummax(group_by=KEYS, order_by=[both.time, ~both.contact]))
    soon = ~asked.contact & (asked.time < asked.before + ibis.interval(days=RESPONSE_WINDOW.days))
    answered = asked.filter(soon).select(*KEYS, "before").distinct()
    return answered.group_by(KEYS).aggregate(**{"contacts:answered": answered.count()})


def contact_features(windows: Sequence[Window], has_cost: bool, has_control: bool) -> Iterator[Feature]:
    """Contacts received, their pace and cost, and those held out."""
    yield Feature(
        "contacts_recency_days",
        measure_value("contacts:age_ever"),
        "contacts",
        "days since the last contact",
        "last contact {value:days} ago",
        "days",
        unread="never contacted",
        actionable=True,
    )
    for w in (*windows, None):
        label = f"in the last {w.days} days" if w else "so far"
        yield _counted(f"contacts_count_{w or 'ever'}", f"received_{w or 'ever'}", "contacts", label, w)
    for short, long in zip(windows[:-1], windows[1:], strict=True):
        yield _pressure(short, long)
    if has_control:
        yield _counted("contacts_held_out_ever", "held_out_ever", "contacts held out", "so far")
    if has_cost:
        yield Feature(
            "contacts_cost_ever",
            lambda m: money(m["contacts:cost_ever"].fill_null(0)),
            "contact cost",
            "cost of contacts so far",
            "contacts cost {value:money} so far",
            "money",
            at_zero="no cost of contacts so far",
            actionable=True,
        )


def action_features() -> Iterator[Feature]:
    """How many different actions a customer received, and the last."""
    yield Feature(
        "contacts_action_last",
        measure_value("contacts:last"),
        "last contact",
        "action of the last contact",
        "last contact: {value}",
        "level",
        unread="never contacted",
        actionable=True,
    )
    yield _counted("contacts_actions_distinct_ever", "actions", "different actions received", "so far")


def response_features() -> Iterator[Feature]:
    """Contacts that a purchase followed."""
    within = f"within {RESPONSE_WINDOW.days} days"
    yield Feature(
        "contacts_answered_ever",
        count_or_zero("contacts:answered"),
        "answers",
        f"contacts so far with a purchase {within}",
        f"{{value:#contact}} so far with a purchase {within}",
        "count",
        at_zero=f"no contact so far with a purchase {within}",
    )
    yield Feature(
        "contacts_answered_share_ever",
        lambda m: m["contacts:answered"].fill_null(0) / m["contacts:received_ever"].nullif(0),
        "answers",
        f"share of contacts so far with a purchase {within}",
        f"{{value:share}} of contacts with a purchase {within}",
        "share",
        unread="never contacted",
    )


def _counted(name: str, measure: str, what: str, label: str, w: Window | None = None) -> Feature:
    """A count, and in words that it is 0."""
    return Feature(
        name,
        count_or_zero(f"contacts:{measure}"),
        "contacts",
        f"{what} {label}",
        f"{what} {label}: {{value:count}}",
        "count",
        w,
        at_zero=f"no {what} {label}",
        actionable=True,
    )


def _pressure(short: Window, long: Window) -> Feature:
    return Feature(
        f"contacts_trend_{short}_{long}",
        lambda m: daily_rate(m, "contacts:received", short) / daily_rate(m, "contacts:received", long).nullif(0),
        "contacts trend",
        f"pace of contacts in the last {short.days} days against the last {long.days}",
        f"contacts at {{value:number}} times the pace of the last {long.days} days",
        "ratio",
        long,
        unread=f"no contact in the last {long.days} days",
        at_zero=f"no contact in the last {short.days} days",
        actionable=True,
    )


def _rows(past: Past) -> ibis.Table:
    return past.tables.sides["contacts"].rows


def _received(past: Past) -> ibis.Table:
    rows = _rows(past)
    return rows.filter(~rows.held_out)
