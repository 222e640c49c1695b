"""Features of when a customer orders: the weekday, the hour, the season."""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.config.data_contract import DataContract
from features.feature import Feature, measure_value, money
from features.point_in_time.history import KEYS, Past
from features.point_in_time.measures import WEEK, YEAR
from features.task import Window
from features.templates import phrase

SATURDAY = 5
DAY_PARTS = {"night": 0, "morning": 6, "afternoon": 12, "evening": 18}  # the hour at which each begins
DAY_PART_HOURS = 6


def calendar_sums(orders: ibis.Table, horizon: Window, contract: DataContract) -> dict[str, ibis.Value]:
    """Purchases by weekday, by hour, and in the season that the horizon will cover.

    Args:
        orders: Visible orders with `day`, `hour`, `age` and `purchase`.
        horizon: The time after the cutoff that is predicted.
        contract: Says whether times have a clock; if not, hours are left out.

    Returns:
        Expressions to aggregate by customer and cutoff, by the name of the measure.
    """
    weekday, ahead = orders.day.day_of_week.index(), (YEAR - orders.age % YEAR) % YEAR
    sums = {f"orders_weekday_{k}": orders.count(where=orders.purchase & (weekday == k)) for k in range(WEEK)}
    sums["orders_in_season"] = orders.count(where=orders.purchase & (ahead < horizon.days))
    if contract.has_clock:
        sums["hours"] = orders.hour.sum(where=orders.purchase)
        for band, start in DAY_PARTS.items():
            inside = (orders.hour >= start) & (orders.hour < start + DAY_PART_HOURS)
            sums[f"orders_{band}"] = orders.count(where=orders.purchase & inside)
    return sums


def weekday_features() -> Iterator[Feature]:
    """Shares of orders by weekday: at weekends, on the favourite weekday, and on that of the last order."""
    for name, compute, what, reading in (
        ("weekend_share_ever", _weekend_orders, "share of orders at weekends", "{value:share} of orders at weekends"),
        (
            "favourite_weekday_share_ever",
            lambda m: ibis.greatest(*_orders_by_weekday(m)),
            "share of orders on the favourite weekday",
            "{value:share} of orders on the favourite weekday",
        ),
        (
            "last_weekday_share_ever",
            _orders_on_last_weekday,
            "share of orders on the weekday of the last one",
            "{value:share} of orders on the weekday of the last one",
        ),
    ):
        yield Feature(
            name,
            lambda m, compute=compute: compute(m) / m.orders_ever,  # type: ignore[misc]
            "habit",
            what,
            reading,
            "share",
        )


def _orders_by_weekday(m: ibis.Table) -> list[ibis.Value]:
    return [m[f"orders_weekday_{k}"] for k in range(WEEK)]


def _weekend_orders(m: ibis.Table) -> ibis.Value:
    saturday, sunday = _orders_by_weekday(m)[SATURDAY:]
    return saturday + sunday


def _orders_on_last_weekday(m: ibis.Table) -> ibis.Value:
    """Orders on the weekday of the last day with one, which lies `recency` days before the cutoff."""
    weekday = (m.cutoff.day_of_week.index() - m.recency % WEEK + WEEK) % WEEK
    return ibis.cases(*((weekday == k, orders) for k, orders in enumerate(_orders_by_weekday(m))))


def hour_features(zone: str) -> Iterator[Feature]:
    """The mean hour of ordering, and the shares of orders by part of the day, on the clocks of a time zone."""
    yield Feature(
        "hour_mean_ever",
        lambda m: m.hours / m.orders_ever,
        "habit",
        phrase("usual hour of ordering (<zone>)", zone=zone),
        phrase("orders around {value:count} o'clock (<zone>)", zone=zone),
        "count",
    )
    for band, start in DAY_PARTS.items():
        when, hours = (
            f"{band} (<from> to <to> o'clock <zone>)",
            {"from": start, "to": start + DAY_PART_HOURS, "zone": zone},
        )
        yield Feature(
            f"{band}_share_ever",
            lambda m, band=band: m[f"orders_{band}"] / m.orders_ever,  # type: ignore[misc]
            "hour",
            phrase(f"share of orders in the {when}", **hours),
            phrase(f"{{value:share}} of orders in the {when}", **hours),
            "share",
        )


def season_share_features(horizon: Window) -> Iterator[Feature]:
    """The share of orders that fell into the coming season in earlier years."""
    place, days = "in the <days> days after this date in earlier years", horizon.days
    yield Feature(
        "season_share_ever",
        lambda m: (m.tenure >= YEAR).ifelse(m.orders_in_season / m.orders_ever, ibis.null("float64")),
        "season",
        phrase(f"share of orders {place}", days=days),
        phrase("{value:share} of all orders came in this season, the <days> days after this date", days=days),
        "share",
        unread="customer for less than a year",
        at_zero=phrase(f"no order {place}", days=days),
    )


def year_ago_measures(past: Past) -> ibis.Table:
    """Orders and net amount in [cutoff - 365 days, cutoff - 365 days + horizon).

    Both are null if the log does not reach back that far. `reach` is the number of days that it does reach back.
    """
    visible, every = past.visible_orders, past.everyone.visible_orders
    oldest = every.group_by("cutoff").aggregate(reach=every.age.max())
    inside = (visible.age <= YEAR) & (visible.age > YEAR - past.task.horizon.days)
    sums = visible.group_by(KEYS).aggregate(
        season_orders=(visible.purchase & inside).sum().cast("int64"),
        season_amount=inside.ifelse(visible.amount, 0).sum().cast("int64"),
    )
    sums = sums.join(oldest, "cutoff")
    reaches = sums.reach >= YEAR
    season = {c: reaches.ifelse(sums[c], ibis.null("int64")) for c in ("season_orders", "season_amount")}
    return sums.select(*KEYS, "reach", **season)


def year_ago_features(horizon: Window, has_amount: bool) -> Iterator[Feature]:
    """Orders and net amount in the same season a year ago."""
    place, days = "in the <days> days after this date a year ago", horizon.days
    unread = "the log does not reach back a year"
    yield Feature(
        "orders_count_year_ago",
        measure_value("season_orders"),
        "season",
        phrase(f"orders {place}", days=days),
        phrase(f"{{value:#order}} {place}", days=days),
        "orders",
        Window(YEAR),
        unread,
    )
    if has_amount:
        yield Feature(
            "amount_sum_year_ago",
            lambda m: money(m.season_amount),
            "season",
            phrase(f"net spend {place}", days=days),
            phrase(f"spent {{value:money}} {place}", days=days),
            "money",
            Window(YEAR),
            unread,
        )
