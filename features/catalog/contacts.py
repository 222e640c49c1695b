"""Features of the contacts with a customer so far, so that a model does not mistake their effect for loyalty.

A contact is received unless its action is the control: the customer was then held out, and nothing was done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ibis

from features.catalog.windows import window_ending
from features.feature import Feature, count_or_zero, daily_rate, measure_value, money, monthly_rate
from features.point_in_time.history import KEYS, Past
from features.point_in_time.measures import Measure, by_window, window_spans
from features.task import Window
from features.templates import phrase

RESPONSE_WINDOW = Window(14)


def contact_measures(past: Past) -> ibis.Table:
    """Contacts received and their cost, and contacts held out, by window; one row for each customer with any."""
    rows = _contact_rows(past)
    received = ~rows.held_out
    daily = rows.group_by("customer_id", "day", "seen").aggregate(
        received=received.sum().cast("int64"),
        held_out=rows.held_out.sum().cast("int64"),
        cost=rows.cost.sum(where=received).fill_null(0).cast("int64"),
    )
    seen = past.visible(daily)
    measures = (
        Measure("contacts:received", lambda d: d.received.sum()),
        Measure("contacts:held_out", lambda d: d.held_out.sum()),
        Measure("contacts:cost", lambda d: d.cost.sum()),
        Measure("contacts:age", lambda d: d.age.min(where=d.received > 0), merge="min"),
        Measure("contacts:since", lambda d: d.age.max(where=d.received > 0), merge="max"),
    )
    return by_window(seen, measures, window_spans(past.task.windows))


def action_measures(past: Past) -> ibis.Table:
    """The number of different actions that a customer received, and the last one.

    Of several actions at the same moment, the last in the alphabet is taken.
    """
    rows = _received_rows(past)
    seen = past.visible(rows.group_by("customer_id", "day", "seen", "action").aggregate(time=rows.time.max()))
    by_action = seen.group_by(*KEYS, "action").aggregate(time=seen.time.max())
    order = ibis.window(group_by=KEYS, order_by=[by_action.time.desc(), by_action.action.desc()])
    ranked = by_action.mutate(place=ibis.row_number().over(order))
    last = ranked.action.max(where=ranked.place == 0)
    return ranked.group_by(KEYS).aggregate(**{"contacts:actions": ranked.count(), "contacts:last": last})


def response_measures(past: Past) -> ibis.Table:
    """How many contacts were answered: a purchase followed within RESPONSE_WINDOW, with no other contact between.

    Contacts at the same moment count once. The time of an order is that of its first line.
    """
    contacts_received, orders = past.visible(_received_rows(past)), past.visible_orders
    purchases = orders.filter(orders.purchase)
    moments = ibis.union(
        contacts_received.select(*KEYS, time=contacts_received.time.cast("timestamp"), contact=True),
        purchases.select(*KEYS, time=purchases.time.cast("timestamp"), contact=False),
    )
    contact_time = moments.contact.ifelse(moments.time, ibis.null("timestamp"))
    timeline = moments.mutate(before=contact_time.cummax(group_by=KEYS, order_by=[moments.time, ~moments.contact]))
    is_response = ~timeline.contact & (timeline.time < timeline.before + ibis.interval(days=RESPONSE_WINDOW.days))
    answered = timeline.filter(is_response).select(*KEYS, "before").distinct()
    return answered.group_by(KEYS).aggregate(**{"contacts:answered": answered.count()})


def contact_features(windows: Sequence[Window], has_cost: bool, has_control: bool) -> Iterator[Feature]:
    """Contacts received, their pace and cost, and contacts held out.

    Args:
        windows: The windows of the task.
        has_cost: Whether contacts have a cost.
        has_control: Whether contacts have a control action.

    Yields:
        The features in a fixed order.
    """
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
    yield Feature(
        "contacts_rate_ever",
        monthly_rate("contacts:received_ever", "contacts:since_ever"),
        "contacts",
        "contacts a month since the first",
        "{value:number} contacts a month since the first",
        "count",
        unread="never contacted",
        actionable=True,
    )
    for w in (*windows, None):
        yield _count_feature(f"contacts_count_{w or 'ever'}", f"received_{w or 'ever'}", "contacts", w)
    for short, long in zip(windows[:-1], windows[1:], strict=True):
        yield _pace_feature(short, long)
    if has_control:
        yield _count_feature("contacts_held_out_ever", "held_out_ever", "contacts held out")
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
    """The last action that a customer received, and the number of different ones."""
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
    yield _count_feature("contacts_actions_distinct_ever", "actions", "different actions received")


def response_features() -> Iterator[Feature]:
    """The number and the share of contacts that a purchase followed."""
    within, days = "within <days> days", RESPONSE_WINDOW.days
    yield Feature(
        "contacts_answered_ever",
        count_or_zero("contacts:answered"),
        "answers",
        phrase(f"contacts so far with a purchase {within}", days=days),
        phrase(f"{{value:#contact}} so far with a purchase {within}", days=days),
        "count",
        at_zero=phrase(f"no contact so far with a purchase {within}", days=days),
    )
    yield Feature(
        "contacts_answered_share_ever",
        lambda m: m["contacts:answered"].fill_null(0) / m["contacts:received_ever"].nullif(0),
        "answers",
        phrase(f"share of contacts so far with a purchase {within}", days=days),
        phrase(f"{{value:share}} of contacts with a purchase {within}", days=days),
        "share",
        unread="never contacted",
    )


def _count_feature(name: str, measure: str, what: str, w: Window | None = None) -> Feature:
    """A feature that counts contacts in a window, or so far."""
    label, days = window_ending(w), w and w.days
    usually = "[[, usually {contacts_rate_ever:number} a month]]" if w else ""
    return Feature(
        name,
        count_or_zero(f"contacts:{measure}"),
        "contacts",
        phrase(f"{what} {label}", days=days),
        phrase(f"{what} {label}: {{value:count}}{usually}", days=days),
        "count",
        w,
        at_zero=phrase(f"no {what} {label}{usually}", days=days),
        actionable=True,
    )


def _pace_feature(short: Window, long: Window) -> Feature:
    return Feature(
        f"contacts_trend_{short}_{long}",
        lambda m: daily_rate(m, "contacts:received", short) / daily_rate(m, "contacts:received", long).nullif(0),
        "contacts trend",
        phrase("pace of contacts in the last <days> days against the last <long>", days=short.days, long=long.days),
        phrase(
            "contacted {value:more often than before|less often than before|as often as before|?1}: "
            "{contacts_count_<days>d:count} in the last <days> days, {contacts_count_<long>d:count} in the last <long>",
            days=short.days,
            long=long.days,
        ),
        "ratio",
        long,
        unread=phrase("no contact in the last <days> days", days=long.days),
        at_zero=phrase("no contact in the last <days> days", days=short.days),
        actionable=True,
    )


def _contact_rows(past: Past) -> ibis.Table:
    return past.tables.sides["contacts"].rows


def _received_rows(past: Past) -> ibis.Table:
    rows = _contact_rows(past)
    return rows.filter(~rows.held_out)
