"""The second half of the oracle: rhythm, trends, prices, habits and ranks, slowly, from orders and days.

Shares no code with `features`; `oracle` reads the lines and calls it.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.features.oracle import Order, Setting, Values


def silence(bought: Sequence[Order], cutoff: date) -> Values:
    """How unusual the silence, how even the rhythm."""
    days = sorted({order.day for order in bought})
    gaps = [(after - before).days for before, after in zip(days, days[1:], strict=False)]
    now, life = (cutoff - days[-1]).days, (cutoff - days[0]).days
    months = {(cutoff - day - timedelta(1)).days // 30 for day in days}
    values: Values = {"active_months_share_ever": len(months) / math.ceil(life / 30), "gap_recent_ratio": None}
    names = ("silence_probability", "next_order_due_days", "gap_clumpiness")
    if not gaps:
        return values | dict.fromkeys(names)
    mean = statistics.fmean(gaps)
    if len(gaps) >= 4:
        values["gap_recent_ratio"] = statistics.fmean(gaps[-3:]) / mean
    shares = [gap / life for gap in (*gaps, now)]
    values["gap_clumpiness"] = 1 + sum(share * math.log(share) for share in shares) / math.log(len(shares))
    values["silence_probability"] = sum(gap >= now for gap in (*gaps, now)) / len(shares)
    return values | {"next_order_due_days": mean - now}


def lifecycle(bought: Sequence[Order], cutoff: date, horizon: int) -> str:
    """New, active, slipping or dormant; one day with an order is measured against the horizon."""
    days = sorted({order.day for order in bought})
    now, life = (cutoff - days[-1]).days, (cutoff - days[0]).days
    usual = Fraction((days[-1] - days[0]).days, len(days) - 1) if len(days) > 1 else Fraction(horizon)
    if life <= horizon:
        return "new"
    if now > 3 * usual and now > horizon:
        return "dormant"
    return "slipping" if now > Fraction(3, 2) * usual and 4 * now > horizon else "active"


def ever(every: Sequence[Order], bought: Sequence[Order], cutoff: date, setting: Setting, usual: Fraction) -> Values:
    """The whole past: habits, fading sums, units, discounts, large orders, the last refund."""
    n, values = len(bought), habits(bought, cutoff, setting)
    for days in setting.windows:
        fades = [(0.5 ** ((cutoff - order.day).days / days), order) for order in bought]
        values[f"orders_fading_{days}d"] = sum(math.floor(fade * 1e6 + 0.5) for fade, _ in fades) / 1e6
        if setting.has_amount:
            ticks = [math.floor(fade * float(order.net * 10_000) + 0.5) for fade, order in fades]
            values[f"amount_fading_{days}d"] = sum(ticks) / 1e4
    if not setting.has_amount:
        return values
    refunded = [(cutoff - order.day).days for order in every if order.refund > 0]
    values["refund_last_days"] = min(refunded, default=None)
    values["large_orders_share_ever"] = sum(order.net >= 2 * usual for order in bought) / n
    if setting.has_quantity:
        values["quantity_per_order_ever"] = float(sum(order.quantity for order in bought) / n)
        values["unit_price_ever"] = unit_price(bought)
    return values | ({f"{k}_ever": v for k, v in discounts(bought).items()} if setting.has_discount else {})


def habits(bought: Sequence[Order], cutoff: date, setting: Setting) -> Values:
    n, last = len(bought), max(order.day for order in bought).weekday()
    weekdays = Counter(order.day.weekday() for order in bought)
    values: Values = {
        "favourite_weekday_share_ever": max(weekdays.values()) / n,
        "last_weekday_share_ever": weekdays[last] / n,
    }
    if setting.has_clock:
        for name, start in {"night": 0, "morning": 6, "afternoon": 12, "evening": 18}.items():
            values[f"{name}_share_ever"] = sum(start <= order.hour < start + 6 for order in bought) / n
    if setting.horizon < 365:
        values["season_share_ever"] = None
        if any((cutoff - order.day).days >= 365 for order in bought):
            values["season_share_ever"] = sum(in_season(order.day, cutoff, setting.horizon) for order in bought) / n
    return values


def in_season(day: date, cutoff: date, horizon: int) -> bool:
    """Whether a day lies in the horizon's stretch, moved back by any whole number of years of 365 days."""
    starts = [cutoff - timedelta(365 * years) for years in range(1, 40)]
    return any(start <= day < start + timedelta(horizon) for start in starts)


def in_window(every: Sequence[Order], bought: Sequence[Order], days: int, cutoff: date, setting: Setting) -> Values:
    """Order sizes, prices, discounts and refunds of a window, alone and against the whole past."""
    if not setting.has_amount:
        return {}
    start = cutoff - timedelta(days)
    inside = [order for order in bought if order.day >= start]
    amounts = [order.net for order in inside]
    mean = Fraction(sum(amounts), len(amounts)) if amounts else None
    now, usual = refunds([order for order in every if order.day >= start]), refunds(every)
    values: Values = {
        "order_amount_spread": statistics.stdev(amounts) / float(mean) if mean and len(amounts) > 1 else None,
        "order_amount_trend": float(mean / Fraction(sum(o.net for o in bought), len(bought))) if mean else None,
        "refund_share_change": float(now - usual) if now is not None and usual is not None else None,
    }
    if setting.has_quantity:
        price, so_far = unit_price(inside), unit_price(bought)
        values["unit_price"] = price
        values["unit_price_trend"] = price / so_far if price is not None and so_far is not None else None
    values |= discounts(inside) if setting.has_discount else {}
    return {f"{name}_{days}d": value for name, value in values.items()}


def refunds(every: Sequence[Order]) -> Fraction | None:
    gross = sum((order.gross for order in every), Fraction())
    return sum((order.refund for order in every), Fraction()) / gross if gross else None


def unit_price(bought: Sequence[Order]) -> float | None:
    units = sum((order.quantity for order in bought), Fraction())
    return float(sum(order.net for order in bought) / units) if units > 0 else None


def discounts(bought: Sequence[Order]) -> Values:
    off = sum((order.discount for order in bought), Fraction())
    full = sum((order.net for order in bought), Fraction()) + off
    return {
        "discount_share": float(off / full) if full else None,
        "discounted_share": sum(order.discount > 0 for order in bought) / len(bought) if bought else None,
    }


def trends(bought: Sequence[Order], cutoff: date, setting: Setting, log_start: date) -> Values:
    """Windows against earlier ones, where the log reaches back to their first day, and the bend of the pace."""
    values: Values = {}
    life = (cutoff - min(order.day for order in bought)).days
    for stem in ("orders", "amount") if setting.has_amount else ("orders",):

        def total(since: int, until: int, stem: str = stem) -> Fraction:
            inside = [o for o in bought if cutoff - timedelta(since) <= o.day < cutoff - timedelta(until)]
            return Fraction(len(inside)) if stem == "orders" else sum((o.net for o in inside), Fraction())

        for days in setting.windows:
            earlier = {f"{stem}_change_{days}d": (2 * days, days)}
            earlier |= {f"{stem}_change_on_year_{days}d": (365 + days, 365)} if days < 365 else {}
            for name, (since, until) in earlier.items():
                known = log_start <= cutoff - timedelta(since)
                values[name] = float(total(days, 0) - total(since, until)) if known else None
        for a, b, c in zip(setting.windows, setting.windows[1:], setting.windows[2:], strict=False):
            pace = [total(days, 0) * 30 / min(days, life) for days in (a, b, c)]
            values[f"{stem}_acceleration_{a}d_{b}d_{c}d"] = float(pace[0] - 2 * pace[1] + pace[2])
    return values


def ranks(cohort: Sequence[Values], setting: Setting) -> None:
    """Adds to each customer of a cutoff the share of the others who have less."""
    last = f"{setting.windows[-1]}d"
    compared = {f"orders_rank_{last}": "orders_count_" + last, "recency_rank": "recency_days"}
    compared["tenure_rank"] = "tenure_days"
    if setting.has_amount:
        compared |= {"order_size_rank": "order_amount_mean_ever", f"spend_rank_{last}": "spend"}
    for name, measure in compared.items():
        numbers = [exact(values, measure, last) for values in cohort]
        for values, number in zip(cohort, numbers, strict=True):
            values[name] = sum(other < number for other in numbers) / max(len(cohort) - 1, 1)


def exact(values: Mapping[str, float | None], measure: str, last: str) -> float:
    """What customers are ranked by; spend is that of purchases: their mean by their number."""
    if measure != "spend":
        return float(values[measure] or 0)
    return round((values[f"order_amount_mean_{last}"] or 0) * (values[f"orders_count_{last}"] or 0), 4)
