"""Features of the windows: orders, spend and refunds in the last days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from features.feature import Compute, Feature, measure_ratio, measure_value, money, spread
from features.task import Window
from features.templates import phrase

VARYING = "very different|similar|?0.5"  # by the spread of the amounts
SPREAD_FORMULA = "standard deviation / mean"


def order_window_features(w: Window, has_quantity: bool) -> Iterator[Feature]:
    """Orders, days with an order, and baskets in a window."""
    orders = measure_value(f"orders_{w}")
    usual = "{orders_rate_ever:number} a month"
    yield window_feature(w, "orders_count", orders, "frequency", "orders", "{value:#order}", "orders", usual=usual)
    days = measure_value(f"active_days_{w}")
    yield window_feature(w, "active_days", days, "frequency", "days with an order", "orders on {value:#day}", "days")
    lines = measure_value(f"items_{w}")
    yield window_feature(w, "items_count", lines, "basket", "items ordered", "{value:#item} ordered", "count")
    yield window_feature(
        w,
        "items_per_order",
        measure_ratio(f"items_{w}", f"orders_{w}"),
        "basket",
        "items in an order",
        "{value:number} items in an order",
        "count",
        "no order",
        "{items_per_order_ever:number}",
    )
    if has_quantity:
        yield window_feature(
            w,
            "quantity_sum",
            lambda m: money(m[f"quantity_{w}"]),
            "basket",
            "units bought less units returned",
            "{value:count} units bought and kept",
            "count",
        )


def money_window_features(w: Window) -> Iterator[Feature]:
    """Spend, order size and refunds in a window."""
    spent = measure_value(f"amount_{w}")
    yield window_feature(
        w,
        "amount_sum",
        lambda m: money(spent(m)),
        "money",
        "net spend",
        "spent {value:money}",
        "money",
        usual="{amount_rate_ever:money} a month",
    )
    yield from _order_size_features(w)
    refunds = measure_value(f"refunds_{w}")
    yield window_feature(w, "refunds_count", refunds, "refunds", "refunds", "{value:#refund}", "count")
    yield window_feature(
        w,
        "refund_share",
        refund_share(str(w)),
        "refunds",
        "share of spend refunded",
        "{value:share} of spend refunded",
        "share",
        "nothing bought",
        "{refund_share_ever:share}",
    )
    yield window_feature(
        w,
        "refund_share_change",
        lambda m: refund_share(str(w))(m) - refund_share("ever")(m),
        "refunds",
        "share of spend refunded against the usual one",
        "{refund_share_<days>d:share} of spend refunded",
        "share",
        "nothing bought",
        "{refund_share_ever:share}",
    )


def _order_size_features(w: Window) -> Iterator[Feature]:
    """Mean, maximum and spread of order amounts, and the mean compared with the usual one."""
    for stem, compute, what, how, unit in (
        (
            "order_amount_mean",
            lambda m: money(m[f"spend_{w}"]) / m[f"orders_{w}"].nullif(0),
            "average order amount",
            "an average order of {value:money}",
            "money",
        ),
        (
            "order_amount_max",
            lambda m: money(m[f"order_amount_max_{w}"]),
            "largest order",
            "largest order {value:money}",
            "money",
        ),
        (
            "order_amount_spread",
            lambda m: spread(m[f"orders_{w}"].nullif(0), m[f"spend_{w}"], m[f"spend_squares_{w}"]),
            "how much order amounts vary",
            f"orders of {{value:{VARYING}}} amounts, {{order_amount_mean_<days>d:money}} on average and up to "
            "{order_amount_max_<days>d:money},",
            "ratio",
        ),
        (
            "order_amount_trend",
            lambda m: (m[f"spend_{w}"] / m[f"orders_{w}"].nullif(0)) / (m.spend_ever / m.orders_ever),
            "average order amount against the usual one",
            "an average order of {order_amount_mean_<days>d:money}",
            "ratio",
        ),
    ):
        varies = stem == "order_amount_spread"
        unread, usual = ("fewer than two orders", "") if varies else ("no order", "{order_amount_mean_ever:money}")
        feature = window_feature(w, stem, compute, "order size", what, how, unit, unread, usual)
        yield replace(feature, formula=SPREAD_FORMULA if varies else "")


def refund_share(span: str) -> Compute:
    """Refunds divided by the amount paid before refunds; null if nothing was bought."""
    return lambda m: m[f"refund_{span}"] / (m[f"amount_{span}"] + m[f"refund_{span}"]).nullif(0)


def window_ending(w: Window | None) -> str:
    """Return the end of a template: 'in the last <days> days', or 'so far' for the whole past."""
    return "in the last <days> days" if w else "so far"


def window_feature(
    w: Window,
    stem: str,
    compute: Compute,
    family: str,
    what: str,
    how: str,
    unit: str,
    unread: str = "",
    usual: str = "",
) -> Feature:
    """A feature of a window, with the window in its column name, phrase, reading and text for null.

    Features of frequency, money and discounts are actionable: a business can influence them.

    Args:
        w: The window.
        stem: The column name without the window, such as 'orders_count'.
        compute: From the table of measures to the feature's value.
        family: The family of the feature.
        what: The template of the phrase without the window, such as 'net spend'; it may have the slot `<days>`.
        how: The template of the reading without the window, such as 'spent {value:money}'; likewise.
        unit: The unit, as in `Feature`.
        unread: The text for null without the window; empty if the value is never null.
        usual: The template of what is usual for the customer, such as '{orders_rate_ever:number} a month'; empty: none.

    Returns:
        The feature.
    """
    last, days = window_ending(w), w.days
    zero_by_family = {
        "frequency": "no order",
        "refunds": "no refund",
        "money": "no net spend",
        "discount": "no discount",
    }
    nothing = "no item" if stem == "items_count" else zero_by_family.get(family, "")
    usually = f"[[, usually {usual}]]" if usual else ""
    return Feature(
        f"{stem}_{w}",
        compute,
        family,
        phrase(f"{what} {last}", days=days),
        phrase(f"{how} {last}{usually}", days=days),
        unit,
        w,
        phrase(f"{unread} {last}", days=days) if unread else "",
        phrase(f"{nothing} {last}{usually}", days=days) if nothing and "change" not in stem else "",
        actionable=family in ("frequency", "money", "discount"),
    )
