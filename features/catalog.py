"""The behavioural features: what is measured, over which window, and the phrase a marketer understands, side by side.

Every function here sees rows that were already known at a cutoff, with their `age` in days before it (1: the day
before); none of them can look ahead. Sums and counts over nothing are 0; means, extremes and ages are null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import ibis

from features.intake import TICKS
from features.phrases import Row, fill, plural
from features.task import Task, Window

YEAR = 365


@dataclass(frozen=True)
class Feature:
    """One column of a snapshot.

    Attributes:
        name: The column, such as 'orders_count_90d'.
        compute: From the table of merged measures to the feature's value.
        family: Features of one family say nearly the same; a customer is given one reason of each.
        phrase: What it is, for a marketer: 'orders in the last 90 days'.
        reading: The customer's own value in words; `{value:…}` is this feature, other names are other features.
        unread: What is said where a value is null.
        at_zero: What is said of 0, where that reads better than the number.
        unit: 'orders', 'days', 'money', 'share', 'ratio' or 'count'.
        window: The window, or None for the whole past.
        actionable: Whether the business can move it.
    """

    name: str
    compute: Callable[[ibis.Table], ibis.Value]
    family: str
    phrase: str
    reading: str
    unit: str
    window: Window | None = None
    unread: str = "not enough history"
    at_zero: str = ""
    actionable: bool = False

    def read(self, row: Row) -> str:
        """The customer's own reading, such as 'last order 74 days ago, usually every 12 days'."""
        value = row[self.name]
        if value == 0 and self.at_zero:
            return self.at_zero
        return fill(self.reading, value, row) or self.unread


def catalog(
    task: Task, kinds: tuple[str, ...] = (), has_amount: bool = True, has_quantity: bool = False, has_clock: bool = True
) -> tuple[Feature, ...]:
    """All features of a task on a log, in a fixed order; names are unique.

    Args:
        task: Gives the windows and the horizon.
        kinds: Slugs of the kind columns.
        has_amount: Whether the log has money.
        has_quantity: Whether the log has units.
        has_clock: Whether the times carry hours.
    """
    families: list[Iterator[Feature]] = [_recency(), _gaps(), _whole_past(has_amount, has_clock)]
    families += [_in_window(w, has_amount, has_quantity) for w in task.windows]
    pairs = zip(task.windows[:-1], task.windows[1:], strict=True)
    families += [_trends(short, long, has_amount) for short, long in pairs]
    families += [_season(task.horizon, has_amount)]
    families += [_kind(kind, task.windows) for kind in kinds]
    return tuple(feature for family in families for feature in family)


def _recency() -> Iterator[Feature]:
    yield Feature(
        "recency_days",
        lambda m: m.recency,
        "silence",
        "days since the last order",
        "last order {value:days} ago",
        "days",
        actionable=True,
    )
    yield Feature(
        "tenure_days", lambda m: m.tenure, "tenure", "days since the first order", "customer for {value:days}", "days"
    )


def _gaps() -> Iterator[Feature]:
    few = "fewer than two days with an order"
    usual = "last order {recency_days:days} ago, usually every {gap_mean_days:days}"
    for name, column, phrase, reading in (
        ("gap_mean_days", "gap_mean", "usual days between orders", "orders every {value:days} on average"),
        ("gap_median_days", "gap_median", "typical days between orders", "typically {value:days} between orders"),
        ("gap_last_days", "gap_last", "days between the last two orders", "{value:days} between the last two orders"),
        ("gap_longest_days", "gap_max", "longest pause between orders", "longest pause so far {value:days}"),
    ):
        yield Feature(name, _column(column), "gaps", phrase, reading, "days", unread=few)
    yield Feature(
        "gap_spread",
        lambda m: m.gap_std / m.gap_mean,
        "regularity",
        "irregularity of the ordering rhythm",
        "uneven rhythm: gaps between orders spread by {value:share} around their mean",
        "ratio",
        unread="fewer than three days with an order",
    )
    yield Feature(
        "gap_last_ratio",
        lambda m: m.gap_last / m.gap_mean,
        "regularity",
        "last pause against the usual one",
        "the last pause was {value:number} times the usual one",
        "ratio",
        unread=few,
    )
    yield Feature(
        "overdue_ratio",
        lambda m: m.recency / m.gap_mean,
        "silence",
        "current silence against the customer's own rhythm",
        usual,
        "ratio",
        unread=few,
        actionable=True,
    )
    yield Feature(
        "overdue_longest_ratio",
        lambda m: m.recency / m.gap_max,
        "silence",
        "current silence against the customer's longest pause",
        "last order {recency_days:days} ago, longest pause before {gap_longest_days:days}",
        "ratio",
        unread=few,
        actionable=True,
    )


def _whole_past(has_amount: bool, has_clock: bool) -> Iterator[Feature]:
    yield Feature(
        "orders_count_ever", lambda m: m.orders_ever, "frequency", "orders so far", "{value:#order} so far", "orders"
    )
    yield Feature(
        "orders_rate_ever",
        lambda m: m.orders_ever * 30 / ibis.greatest(m.tenure, 30),
        "frequency",
        "orders a month since the first",
        "{value:number} orders a month since the first",
        "orders",
    )
    yield Feature(
        "items_per_order_ever",
        lambda m: m.items_ever / m.orders_ever,
        "basket",
        "lines in an order",
        "{value:number} lines in an order on average",
        "count",
    )
    yield Feature(
        "weekend_share_ever",
        lambda m: m.weekend_orders_ever / m.orders_ever,
        "habit",
        "share of orders at weekends",
        "{value:share} of orders at weekends",
        "share",
    )
    if has_clock:
        yield Feature(
            "hour_mean_ever",
            lambda m: m.hours_ever / m.orders_ever,
            "habit",
            "usual hour of ordering (UTC)",
            "orders around {value:number} o'clock (UTC)",
            "count",
        )
    if has_amount:
        yield from _money_ever()


def _money_ever() -> Iterator[Feature]:
    mean = "an average order of {order_amount_mean_ever:money}"
    yield Feature(
        "amount_sum_ever",
        lambda m: _money(m.amount_ever),
        "money",
        "net spend so far",
        "spent {value:money} so far",
        "money",
    )
    yield Feature(
        "amount_rate_ever",
        lambda m: _money(m.amount_ever) * 30 / ibis.greatest(m.tenure, 30),
        "money",
        "net spend a month since the first order",
        "spent {value:money} a month since the first order",
        "money",
    )
    yield Feature(
        "order_amount_mean_ever",
        lambda m: _money(m.spend_ever) / m.orders_ever,
        "order size",
        "average order amount",
        "an average order of {value:money}",
        "money",
    )
    yield Feature(
        "order_amount_max_ever",
        lambda m: _money(m.order_amount_max_ever),
        "order size",
        "largest order",
        "largest order {value:money}",
        "money",
    )
    yield Feature(
        "order_amount_spread_ever",
        lambda m: _spread(m.orders_ever, m.spend_ever, m.spend_squares_ever),
        "order size",
        "how much order amounts vary",
        "order amounts vary by {value:share} of their mean",
        "ratio",
        unread="fewer than two orders",
    )
    yield Feature(
        "amount_last",
        lambda m: _money(m.last_spend),
        "last order",
        "amount bought on the last day of ordering",
        "last bought for {value:money}, " + mean,
        "money",
    )
    yield Feature(
        "amount_last_ratio",
        lambda m: m.last_spend / (m.spend_ever / m.active_days_ever),
        "last order",
        "last purchase against the usual one",
        "the last purchase was {value:number} times the usual one",
        "ratio",
    )
    yield Feature(
        "refunds_count_ever", lambda m: m.refunds_ever, "refunds", "refunds so far", "{value:#refund} so far", "count"
    )
    yield Feature(
        "refund_share_ever",
        lambda m: m.refund_ever / (m.amount_ever + m.refund_ever).nullif(0),
        "refunds",
        "share of spend refunded so far",
        "{value:share} of spend refunded so far",
        "share",
        unread="nothing bought",
    )


def _in_window(w: Window, has_amount: bool, has_quantity: bool) -> Iterator[Feature]:
    last, none = f"the last {w.days} days", f"no order in the last {w.days} days"

    def feature(
        stem: str, compute: Callable[[ibis.Table], ibis.Value], family: str, what: str, how: str, unit: str
    ) -> Feature:
        zero = {"refunds": f"no refund in {last}", "money": f"no net spend in {last}"}.get(family, none)
        return Feature(
            f"{stem}_{w}",
            compute,
            family,
            f"{what} in {last}",
            f"{how} in {last}",
            unit,
            w,
            unread=none,
            at_zero=zero,
            actionable=family in ("frequency", "money"),
        )

    orders = _column(f"orders_{w}")
    yield feature("orders_count", orders, "frequency", "orders", "{value:#order}", "orders")
    yield feature(
        "active_days", _column(f"active_days_{w}"), "frequency", "days with an order", "orders on {value:#day}", "days"
    )
    yield feature("items_count", _column(f"items_{w}"), "basket", "order lines", "{value:#line} ordered", "count")
    yield feature(
        "items_per_order",
        lambda m: m[f"items_{w}"] / m[f"orders_{w}"].nullif(0),
        "basket",
        "lines in an order",
        "{value:number} lines in an order",
        "count",
    )
    if has_quantity:
        yield feature(
            "quantity_sum",
            lambda m: _money(m[f"quantity_{w}"]),
            "basket",
            "units bought less units returned",
            "{value:count} units",
            "count",
        )
    if not has_amount:
        return
    yield feature(
        "amount_sum", lambda m: _money(m[f"amount_{w}"]), "money", "net spend", "spent {value:money}", "money"
    )
    yield feature(
        "order_amount_mean",
        lambda m: _money(m[f"spend_{w}"]) / m[f"orders_{w}"].nullif(0),
        "order size",
        "average order amount",
        "an average order of {value:money}",
        "money",
    )
    yield feature(
        "order_amount_max",
        lambda m: _money(m[f"order_amount_max_{w}"]),
        "order size",
        "largest order",
        "largest order {value:money}",
        "money",
    )
    yield feature("refunds_count", _column(f"refunds_{w}"), "refunds", "refunds", "{value:#refund}", "count")
    yield feature(
        "refund_share",
        lambda m: m[f"refund_{w}"] / (m[f"amount_{w}"] + m[f"refund_{w}"]).nullif(0),
        "refunds",
        "share of spend refunded",
        "{value:share} of spend refunded",
        "share",
    )


def _trends(short: Window, long: Window, has_amount: bool) -> Iterator[Feature]:
    pairs = [("orders", "orders", "orders")] + ([("amount", "spend", "spend")] if has_amount else [])
    for stem, column, noun in pairs:
        yield Feature(
            f"{stem}_trend_{short}_{long}",
            lambda m, column=column: _rate(m, column, short) / _rate(m, column, long).nullif(0),  # type: ignore[misc]
            f"{noun} trend",
            f"pace of {noun} in the last {short.days} days against the last {long.days}",
            f"{noun} at {{value:number}} times the pace of the last {long.days} days",
            "ratio",
            long,
            unread=f"no order in the last {long.days} days",
            at_zero=f"no order in the last {short.days} days",
            actionable=True,
        )


def _season(horizon: Window, has_amount: bool) -> Iterator[Feature]:
    place = f"in the {horizon.days} days after this date a year ago"
    unread = "the log does not reach back a year"
    yield Feature(
        "orders_count_year_ago",
        _column("season_orders"),
        "season",
        f"orders {place}",
        "{value:#order} " + place,
        "orders",
        Window(YEAR),
        unread,
    )
    if has_amount:
        yield Feature(
            "amount_sum_year_ago",
            lambda m: _money(m.season_amount),
            "season",
            f"net spend {place}",
            "spent {value:money} " + place,
            "money",
            Window(YEAR),
            unread,
        )


def _kind(kind: str, windows: tuple[Window, ...]) -> Iterator[Feature]:
    noun = kind.replace("_", " ").removesuffix(" id")
    many = plural(noun)
    for w in (*windows, None):
        tail, label = ("ever", "so far") if w is None else (str(w), f"in the last {w.days} days")
        yield Feature(
            f"{kind}_distinct_{tail}",
            _count(f"{kind}_distinct_{tail}"),
            f"variety of {many}",
            f"different {many} {label}",
            f"{{value:#different {noun}}} {label}",
            "count",
            w,
            at_zero=f"no order with a {noun} {label}",
        )
    for w in windows:
        label = f"in the last {w.days} days"
        yield Feature(
            f"{kind}_new_share_{w}",
            lambda m, w=w: m[f"{kind}_new_{w}"] / m[f"{kind}_distinct_{w}"].nullif(0),  # type: ignore[misc]
            f"novelty of {many}",
            f"share of {many} tried for the first time {label}",
            f"{{value:share}} of {many} {label} were new to the customer",
            "share",
            w,
            unread=f"no order with a {noun} {label}",
            at_zero=f"no new {noun} {label}",
        )
    yield Feature(
        f"{kind}_top_share_ever",
        _column(f"{kind}_top_share"),
        f"variety of {many}",
        f"share of the favourite {noun}",
        f"{{value:share}} of lines from the favourite {noun}",
        "share",
        unread=f"no {noun} known",
    )


def _column(name: str) -> Callable[[ibis.Table], ibis.Value]:
    return lambda m: m[name]


def _count(name: str) -> Callable[[ibis.Table], ibis.Value]:
    """A count that is 0 for customers of whom no kind is known at all."""
    return lambda m: m[name].fill_null(0)


def _money(ticks: ibis.Value) -> ibis.Value:
    return ticks / TICKS


def _spread(n: ibis.Value, total: ibis.Value, squares: ibis.Value) -> ibis.Value:
    """Standard deviation over mean from a count, a sum and a sum of squares; null below two."""
    mean = total / n
    variance = (squares.cast("float64") - total * mean) / (n - 1).nullif(0)
    return root(variance) / mean


def root(variance: ibis.Value) -> ibis.Value:
    """The square root of a variance that rounding may have left a hair below 0; null stays null."""
    return (variance < 0).ifelse(0.0, variance).sqrt()


def _rate(m: ibis.Table, column: str, w: Window) -> ibis.Value:
    """A windowed sum a day, over the part of the window in which the customer was one."""
    return m[f"{column}_{w}"] / ibis.least(m.tenure, w.days)
