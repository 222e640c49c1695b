"""An independent, slow computation of every feature and label, to compare with: one customer and cutoff at a time.

Shares no code with `features`. Money is in Fractions, so that only the last step rounds. A line is a dictionary:
customer, time (UTC), and where the log has them amount, order, quantity, known_at and kinds (`kind_...`).
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.features import oracle_expected, oracle_orders

Line = Mapping[str, Any]
Values = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What a snapshot depends on besides the lines."""

    windows: tuple[int, ...]
    horizon: int
    active_within: int
    kinds: tuple[str, ...] = ()
    has_amount: bool = True
    has_quantity: bool = False
    has_clock: bool = True
    has_discount: bool = False
    value_horizons: tuple[int, ...] = ()
    silent_for: int = 0  # of lapsed customers: longer than this


@dataclass(frozen=True)
class Order:
    """An order as far as it was visible."""

    day: date
    hour: int
    net: Fraction
    refund: Fraction
    gross: Fraction
    quantity: Fraction
    discount: Fraction
    lines: int


def snapshots(
    lines: Sequence[Line], cutoffs: Iterable[date], setting: Setting, end: date
) -> dict[tuple[str, date], Values]:
    """Features and labels of customers whose last purchase lies in [cutoff - active_within, cutoff - silent_for)."""
    rows, lines = {}, with_uses(lines)
    for cutoff in cutoffs:
        seen = [line for line in lines if line["time"] < midnight(cutoff) and known(line) < midnight(cutoff)]
        usual, expected = mean_purchase(seen, setting), expectations(seen, cutoff, setting)
        for customer in sorted({line["customer"] for line in seen}):
            own = [line for line in seen if line["customer"] == customer]
            bought = purchases(orders(own), setting)
            silence = min(((cutoff - order.day).days for order in bought), default=0)
            if not setting.silent_for < silence <= setting.active_within:
                continue
            values = features(own, cutoff, setting, min(line["time"].date() for line in seen), usual)
            future = [line for line in lines if line["customer"] == customer]
            values |= expected[customer]
            rows[customer, cutoff] = values | labels(future, cutoff, setting, end)
        oracle_orders.ranks([values for (_, day), values in rows.items() if day == cutoff], setting)
    return rows


def mean_purchase(lines: Sequence[Line], setting: Setting) -> Fraction:
    """The mean amount of a purchase over all customers."""
    names = {line["customer"] for line in lines}
    bought = [o for name in names for o in purchases(orders([x for x in lines if x["customer"] == name]), setting)]
    return Fraction(sum(order.net for order in bought), max(len(bought), 1))


def labels(lines: Sequence[Line], cutoff: date, setting: Setting, end: date) -> Values:
    """No purchase, and the net amount, in [cutoff, cutoff + horizon) and over longer ones; null before each is over."""
    labels_by_key: Values = {}
    for days in (setting.horizon, *setting.value_horizons):
        stop, name = cutoff + timedelta(days), "value" if days == setting.horizon else f"value_{days}d"
        after = orders([line for line in lines if midnight(cutoff) <= line["time"] < midnight(stop)])
        net = float(sum(order.net for order in after)) if setting.has_amount else None
        if days == setting.horizon:
            labels_by_key["churned"] = None if stop > end else float(not purchases(after, setting))
        labels_by_key[name] = None if stop > end else net
    return labels_by_key | return_labels(lines, cutoff, setting, end)


def return_labels(lines: Sequence[Line], cutoff: date, setting: Setting, end: date) -> Values:
    """Purchases within the horizon, and days to the first, also within a second horizon as far as that is known."""
    stop = cutoff + timedelta(setting.horizon)
    if stop > end:
        return {"return_days": None, "return_orders": None}
    within = [line for line in lines if midnight(cutoff) <= line["time"] < midnight(stop)]
    bought = purchases(orders(within), setting)
    days = [order.day for order in bought]
    for number in range(0 if days else setting.horizon):
        day = stop + timedelta(number)
        parts = [line for line in lines if line["time"].date() == day and day < end]
        together = [[line for line in parts if seen_on(line) == seen] for seen in {seen_on(line) for line in parts}]
        if any(purchases(orders(part), setting) for part in together):
            days = [day]
            break
    first = float((min(days) - cutoff).days) if days else None
    return {"return_days": first, "return_orders": float(len(bought))}


def labels_as_known(
    lines: Sequence[Line], keys: Iterable[tuple[str, date]], day: date, setting: Setting
) -> dict[tuple[str, date], Values]:
    """Labels of customers and cutoffs from the lines that were known before a day, as if the log ended there."""
    known_lines = [line for line in with_uses(lines) if seen_on(line) < day]
    return {
        (who, cutoff): labels([line for line in known_lines if line["customer"] == who], cutoff, setting, day)
        for who, cutoff in keys
    }


def features(lines: Sequence[Line], cutoff: date, setting: Setting, log_start: date, usual: Fraction) -> Values:
    """All features of one customer with at least one purchase."""
    every = orders(lines)
    bought = purchases(every, setting)
    values = rhythm(bought, cutoff) | whole_past(every, bought, cutoff, setting)
    values["lifecycle"] = oracle_orders.lifecycle(bought, cutoff, setting.horizon)
    values |= oracle_orders.silence(bought, cutoff) | oracle_orders.ever(every, bought, cutoff, setting, usual)
    for days in setting.windows:
        start = cutoff - timedelta(days)
        values |= in_window(
            [order for order in every if start <= order.day], [o for o in bought if start <= o.day], days, setting
        )
        values |= oracle_orders.in_window(every, bought, days, cutoff, setting)
    values |= oracle_orders.trends(bought, cutoff, setting, log_start)
    tenure = (cutoff - min(order.day for order in bought)).days
    for short, long in zip(setting.windows[:-1], setting.windows[1:], strict=True):
        values |= trend(bought, cutoff, short, long, tenure, setting)
    values |= season(every, bought, cutoff, setting, log_start)
    for kind in setting.kinds:
        values |= variety(lines, kind, cutoff, setting)
    return values


def expectations(seen: Sequence[Line], cutoff: date, setting: Setting) -> dict[str, Values]:
    """What the models of a cutoff expect of every customer who ever bought, cohort or not."""
    days: dict[str, dict[date, Fraction]] = {}
    for customer in sorted({line["customer"] for line in seen}):
        for order in purchases(orders([line for line in seen if line["customer"] == customer]), setting):
            own = days.setdefault(customer, {})
            own[order.day] = own.get(order.day, Fraction()) + order.net
    return oracle_expected.expectations(
        days, cutoff, setting.horizon, setting.has_amount, setting.windows[-1], setting.active_within
    )


def rhythm(bought: Sequence[Order], cutoff: date) -> Values:
    days = sorted({order.day for order in bought})
    gaps = [(after - before).days for before, after in zip(days, days[1:], strict=False)]
    recency = (cutoff - days[-1]).days
    mean = statistics.fmean(gaps) if gaps else None
    return {
        "recency_days": recency,
        "tenure_days": (cutoff - days[0]).days,
        "gap_mean_days": mean,
        "gap_median_days": statistics.median(gaps) if gaps else None,
        "gap_last_days": gaps[-1] if gaps else None,
        "gap_longest_days": max(gaps) if gaps else None,
        "gap_spread": statistics.stdev(gaps) / mean if mean and len(gaps) > 1 else None,
        "gap_last_ratio": ratio(gaps[-1], mean) if gaps else None,
        "overdue_ratio": ratio(recency, mean),
        "overdue_longest_ratio": ratio(recency, max(gaps)) if gaps else None,
    }


def whole_past(every: Sequence[Order], bought: Sequence[Order], cutoff: date, setting: Setting) -> Values:
    n, months = len(bought), Fraction(max((cutoff - min(order.day for order in bought)).days, 30), 30)
    values: Values = {
        "orders_count_ever": n,
        "orders_rate_ever": float(n / months),
        "items_per_order_ever": sum(order.lines for order in bought) / n,
        "weekend_share_ever": sum(order.day.isoweekday() >= 6 for order in bought) / n,
    }
    if setting.has_clock:
        values["hour_mean_ever"] = sum(order.hour for order in bought) / n
    if not setting.has_amount:
        return values
    amounts = [order.net for order in bought]
    last_day = max(order.day for order in bought)
    last = sum(order.net for order in bought if order.day == last_day)
    usual = Fraction(sum(amounts), len({order.day for order in bought}))
    net = sum(order.net for order in every)
    return values | {
        "amount_sum_ever": float(net),
        "amount_rate_ever": float(net / months),
        "order_amount_mean_ever": float(sum(amounts) / n),
        "order_amount_max_ever": float(max(amounts)),
        "order_amount_spread_ever": statistics.stdev(amounts) / float(sum(amounts) / n) if n > 1 else None,
        "amount_last": float(last),
        "amount_last_ratio": float(last / usual),
        "refunds_count_ever": sum(order.refund > 0 for order in every),
        "refund_share_ever": ratio(sum(order.refund for order in every), sum(order.gross for order in every)),
    }


def in_window(every: Sequence[Order], bought: Sequence[Order], days: int, setting: Setting) -> Values:
    values: Values = {
        "orders_count": len(bought),
        "active_days": len({order.day for order in bought}),
        "items_count": sum(order.lines for order in bought),
        "items_per_order": ratio(sum(order.lines for order in bought), len(bought)),
    }
    if setting.has_quantity:
        values["quantity_sum"] = float(sum(order.quantity for order in every))
    if setting.has_amount:
        amounts = [order.net for order in bought]
        values |= {
            "amount_sum": float(sum(order.net for order in every)),
            "order_amount_mean": ratio(sum(amounts), len(amounts)),
            "order_amount_max": float(max(amounts)) if amounts else None,
            "refunds_count": sum(order.refund > 0 for order in every),
            "refund_share": ratio(sum(order.refund for order in every), sum(order.gross for order in every)),
        }
    return {f"{name}_{days}d": value for name, value in values.items()}


def trend(bought: Sequence[Order], cutoff: date, short: int, long: int, tenure: int, setting: Setting) -> Values:
    """Pace (a day, over the part of the window in which the customer was one) against pace."""

    def pace(days: int, what: str) -> Fraction:
        inside = [order for order in bought if cutoff - timedelta(days) <= order.day]
        total = len(inside) if what == "orders" else sum(order.net for order in inside)
        return Fraction(total) / min(tenure, days)

    stems = {"orders": "orders"} | ({"amount": "spend"} if setting.has_amount else {})
    return {
        f"{stem}_trend_{short}d_{long}d": ratio(pace(short, what), pace(long, what)) for stem, what in stems.items()
    }


def season(every: Sequence[Order], bought: Sequence[Order], cutoff: date, setting: Setting, log_start: date) -> Values:
    """The days that the horizon will cover, a year earlier; unknown where the log began later than that."""
    start = cutoff - timedelta(365)
    stop = min(start + timedelta(setting.horizon), cutoff)
    known_year = log_start <= start
    count = float(sum(start <= order.day < stop for order in bought))
    net = float(sum(order.net for order in every if start <= order.day < stop))
    values: Values = {"orders_count_year_ago": count if known_year else None}
    return values | ({"amount_sum_year_ago": net if known_year else None} if setting.has_amount else {})


def variety(lines: Sequence[Line], kind: str, cutoff: date, setting: Setting) -> Values:
    """Kinds of lines that were paid for: how many, how new, how concentrated, how changed."""
    paid = [x for x in lines if x[kind] is not None and (not setting.has_amount or x["amount"] > 0)]
    ever = Counter(line[kind] for line in paid)
    first = {value: min(line["time"].date() for line in paid if line[kind] == value) for value in ever}
    values: Values = {
        f"{kind}_distinct_ever": len(ever),
        f"{kind}_top_share_ever": ratio(max(ever.values()), len(paid)) if paid else None,
        f"{kind}_favourite_ever": max(ever, key=lambda value: (ever[value], value.encode())) if ever else None,
        f"{kind}_concentration_ever": sum((n / len(paid)) ** 2 for n in ever.values()) if paid else None,
    }
    for days in setting.windows:
        start = cutoff - timedelta(days)
        met = Counter(line[kind] for line in paid if line["time"].date() >= start)
        values[f"{kind}_distinct_{days}d"] = len(met)
        values[f"{kind}_top_share_{days}d"] = ratio(max(met.values()), met.total()) if met else None
        values[f"{kind}_new_share_{days}d"] = ratio(sum(first[value] >= start for value in met), len(met))
        values[f"{kind}_drift_{days}d"] = drift(met, ever - met)
    return values


def drift(now: Counter[str], before: Counter[str]) -> float | None:
    """One less the cosine between two mixes; unknown where either is empty."""
    if not now or not before:
        return None
    product = sum(count * before[value] for value, count in now.items())
    return 1 - product / math.sqrt(sum(n * n for n in now.values()) * sum(n * n for n in before.values()))


def orders(lines: Sequence[Line]) -> list[Order]:
    """Lines with one order id, or of one moment where there is none; an order is on the day of its first line."""
    groups: dict[Any, list[Line]] = {}
    for line in lines:
        name = line.get("order")
        groups.setdefault(("moment", line["time"]) if name is None else ("order", name), []).append(line)
    return [order(group) for group in groups.values()]


def with_uses(lines: Sequence[Line]) -> list[Line]:
    """Lines whose order id is joined by the day on which its use began, None for the first use.

    Of the lines of the order that were known by then, those that were paid for are a chain of days. A day more than a
    month after the one before begins a new use.
    """
    same: dict[Any, list[Line]] = {}
    for line in lines:
        same.setdefault((line["customer"], line.get("order")), []).append(line)
    return [
        {**line, "order": (line["order"], use(line, same[line["customer"], line["order"]]))}
        if line.get("order")
        else line
        for line in lines
    ]


def use(line: Line, same: Sequence[Line]) -> date | None:
    paid = {x["time"].date() for x in same if x.get("amount", 1) > 0 and seen_on(x) <= seen_on(line)}
    begun = [day for day in paid if not any(0 < (day - other).days <= 30 for other in paid)]
    before = [day for day in begun if day <= line["time"].date()]
    return max(before) if before and max(before) > min(begun) else None


def seen_on(line: Line) -> date:
    return max(line["time"].date(), known(line).date())


def order(lines: Sequence[Line]) -> Order:
    amounts = [money(line.get("amount")) for line in lines]
    first = min(line["time"] for line in lines)
    return Order(
        day=first.date(),
        hour=first.hour,
        net=sum(amounts, Fraction()),
        refund=-sum((a for a in amounts if a < 0), Fraction()),
        gross=sum((a for a in amounts if a > 0), Fraction()),
        quantity=sum((money(line.get("quantity")) for line in lines), Fraction()),
        discount=sum((money(line.get("discount")) for line in lines), Fraction()),
        lines=len(lines),
    )


def purchases(every: Sequence[Order], setting: Setting) -> list[Order]:
    """Orders with a positive net amount, or all where the log has no money."""
    return [order for order in every if order.net > 0 or not setting.has_amount]


def money(number: float | None) -> Fraction:
    return Fraction(round(number * 10_000), 10_000) if number is not None else Fraction()


def ratio(above: float | Fraction, below: float | Fraction | None) -> float | None:
    return float(above / below) if below else None


def known(line: Line) -> datetime:
    return line.get("known_at") or line["time"]


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
