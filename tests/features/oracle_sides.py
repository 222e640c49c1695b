"""Every feature of the tables beside the events, worked out slowly from its phrase: one customer, one cutoff, by hand.

Shares no code with `features`. A row is a dictionary: customer, time (UTC; of a term: start), known_at or None, and
what else its table has. A row is visible where it happened, and became known, before the cutoff's midnight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

from tests.features.oracle import Line, Setting, Values, known, midnight, money, order, orders, purchases, ratio

Rows = Sequence[Mapping[str, Any]]
ANSWER, GRACE = timedelta(14), timedelta(7)


def visible(rows: Rows, customer: str, cutoff: date) -> list[Mapping[str, Any]]:
    """The customer's rows that had happened and were known."""
    own = [row for row in rows if row["customer"] == customer]
    return [row for row in own if row["time"] < midnight(cutoff) and known(row) < midnight(cutoff)]


def tenure(lines: Sequence[Line], customer: str, cutoff: date, setting: Setting) -> int:
    """Days since the first purchase."""
    bought = purchases(orders(visible(lines, customer, cutoff)), setting)
    return (cutoff - min(each.day for each in bought)).days


def within(rows: Rows, cutoff: date, days: int | None) -> list[Mapping[str, Any]]:
    """Rows in [cutoff - days, cutoff), or all of them."""
    return [row for row in rows if days is None or row["time"].date() >= cutoff - timedelta(days)]


def tail(days: int | None) -> str:
    return "ever" if days is None else f"{days}d"


def pace(rows: Rows, cutoff: date, days: int, member_for: int) -> Fraction:
    """Rows a day, over the part of the window in which the customer was one."""
    return Fraction(len(within(rows, cutoff, days)), min(member_for, days))


def monthly(count: int, days: Iterable[date], cutoff: date) -> float | None:
    """A count over the months since the first day, at least one; None without a day."""
    first = min(days, default=None)
    return None if first is None else float(Fraction(count * 30, max((cutoff - first).days, 30)))


def activity(
    rows: Rows,
    name: str,
    cutoff: date,
    windows: Sequence[int],
    member_for: int,
    measure: bool,
    kinds: Mapping[str, str],
) -> Values:
    """Features of one table of activities, from the customer's visible rows; `kinds`: column by slug."""
    days = {row["time"].date() for row in rows}
    values: Values = {
        "recency_days": (cutoff - max(days)).days if days else None,
        "rate_ever": monthly(len(rows), days, cutoff),
    }
    for w in (*windows, None):
        inside = within(rows, cutoff, w)
        values[f"count_{tail(w)}"] = len(inside)
        values[f"active_days_{tail(w)}"] = len({row["time"].date() for row in inside})
        if measure:
            given = [money(row["measure"]) for row in inside if row["measure"] is not None]
            values[f"sum_{tail(w)}"] = float(sum(given, Fraction()))
            values[f"mean_{tail(w)}"] = float(sum(given) / len(given)) if given else None
    for short, long in pairwise(windows):
        values[f"trend_{short}d_{long}d"] = ratio(
            pace(rows, cutoff, short, member_for), pace(rows, cutoff, long, member_for)
        )
        if measure:
            now, then = values[f"mean_{short}d"], values[f"mean_{long}d"]
            values[f"mean_change_{short}d_{long}d"] = None if now is None or then is None else now - then
    if measure:
        scored = [(row["time"], money(row["measure"])) for row in rows if row["measure"] is not None]
        values["last"] = float(max(scored)[1]) if scored else None
    for slug, column in kinds.items():
        values |= variety(rows, slug, column, cutoff, windows)
    return {f"{name}_{key}": value for key, value in values.items()}


def variety(rows: Rows, slug: str, column: str, cutoff: date, windows: Sequence[int]) -> Values:
    values: Values = {}
    for w in (*windows, None):
        met = {row[column] for row in within(rows, cutoff, w)} - {None}
        values[f"{slug}_distinct_{tail(w)}"] = len(met)
    named = [row[column] for row in rows if row[column] is not None]
    values[f"{slug}_top_share_ever"] = ratio(max(map(named.count, named)), len(named)) if named else None
    return values


def contacts(
    rows: Rows, lines: Sequence[Line], cutoff: date, setting: Setting, member_for: int, control: str
) -> dict[str, Any]:
    """Features of the contacts, from the customer's visible rows and lines."""
    received = [row for row in rows if row["action"] != control]
    values: dict[str, Any] = {
        "recency_days": (cutoff - max(row["time"] for row in received).date()).days if received else None,
        "rate_ever": monthly(len(received), {row["time"].date() for row in received}, cutoff),
        "cost_ever": float(sum((money(row["cost"]) for row in received), Fraction())),
        "actions_distinct_ever": len({row["action"] for row in received}),
        "action_last": max((row["time"], row["action"]) for row in received)[1] if received else None,
    }
    if control:
        values["held_out_ever"] = len(rows) - len(received)
    for w in (*setting.windows, None):
        values[f"count_{tail(w)}"] = len(within(received, cutoff, w))
    for short, long in pairwise(setting.windows):
        values[f"trend_{short}d_{long}d"] = ratio(
            pace(received, cutoff, short, member_for), pace(received, cutoff, long, member_for)
        )
    answered = set()
    for bought in purchase_times(lines, setting):
        before = [row["time"] for row in received if row["time"] <= bought]
        if before and bought - max(before) < ANSWER:
            answered.add(max(before))
    values |= {"answered_ever": len(answered), "answered_share_ever": ratio(len(answered), len(received))}
    return {f"contacts_{key}": value for key, value in values.items()}


def purchase_times(lines: Sequence[Line], setting: Setting) -> list[datetime]:
    """When the orders that are purchases were made: at their first visible line."""
    groups: dict[Any, list[Line]] = {}
    for line in lines:
        name = line.get("order")
        groups.setdefault(("moment", line["time"]) if name is None else ("order", name), []).append(line)
    return [min(x["time"] for x in group) for group in groups.values() if purchases([order(group)], setting)]


def subscriptions(rows: Rows, cutoff: date, has_end: bool, has_price: bool) -> Values:
    """Features of the terms, from the customer's visible rows (time: the start)."""
    terms = [(row["time"].date(), ended(row, cutoff), row["price"]) for row in rows]
    starts = sorted({start for start, _, _ in terms})
    running = sum(end is None for _, end, _ in terms)
    begins = [day for day in starts if not renews(day, terms)]
    renewals = [day for day in starts if renews(day, terms)]
    ends = [end for _, end, _ in terms if end is not None]
    values: Values = {
        "age_days": (cutoff - max(begins)).days if running else None,
        "terms_ever": len(terms),
        "renewals_ever": len(renewals),
        "renewal_recency_days": (cutoff - max(renewals)).days if renewals else None,
    }
    if has_end:
        values |= {"terms_running": running, "terms_ended_ever": len(ends)}
        values["end_recency_days"] = (cutoff - max(ends)).days if ends and not running else None
    if has_price:
        values |= prices(terms, starts)
    return {f"subscription_{key}": value for key, value in values.items()}


def ended(row: Mapping[str, Any], cutoff: date) -> date | None:
    """The day of an end that had come."""
    end = row.get("end")
    return end.date() if end is not None and end < midnight(cutoff) else None


def renews(day: date, terms: Sequence[tuple[date, date | None, Any]]) -> bool:
    """Whether a term that starts on a day continues one that had started before."""
    return any(start < day and (end is None or day - end <= GRACE) for start, end, _ in terms)


def prices(terms: Sequence[tuple[date, date | None, Any]], starts: Sequence[date]) -> Values:
    """Prices of the terms that start on one day are added up."""

    def price(day: date, only_running: bool = False) -> Fraction | None:
        named = [p for start, end, p in terms if start == day and p is not None and not (only_running and end)]
        return sum(map(money, named), Fraction()) if named else None

    open_days = [start for start, end, _ in terms if end is None]
    now = price(max(open_days), only_running=True) if open_days else None
    steps = [price(day) for day in starts]
    last, before = steps[-1] if steps else None, steps[-2] if len(steps) > 1 else None
    return {
        "price": None if now is None else float(now),
        "price_ratio": None if last is None else ratio(last, before),
        "price_changes_ever": sum(a != b for a, b in pairwise(steps) if a is not None and b is not None),
    }
