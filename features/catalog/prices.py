"""What a customer pays: the price of a unit, and what is taken off it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ibis

from features.catalog.windows import window_feature
from features.feature import Compute, Feature, measure_ratio, money
from features.task import Window


def unit_price_features(windows: Sequence[Window]) -> Iterator[Feature]:
    """Units in an order and the price of one, so far and lately, and lately against so far."""
    yield Feature(
        "quantity_per_order_ever",
        lambda m: money(m.units_ever) / m.orders_ever,
        "basket",
        "units in an order",
        "{value:number} units in an order on average",
        "count",
    )
    yield Feature(
        "unit_price_ever",
        _price("ever"),
        "price",
        "average price of a unit so far",
        "{value:money} a unit on average",
        "money",
        unread="no units bought",
    )
    for w in windows:
        now, none = _price(str(w)), "no units bought"
        yield window_feature(
            w, "unit_price", now, "price", "average price of a unit", "{value:money} a unit", "money", none
        )
        yield window_feature(
            w,
            "unit_price_trend",
            lambda m, now=now: now(m) / _price("ever")(m),  # type: ignore[misc]
            "price",
            "price of a unit against the usual one",
            f"{{unit_price_ever:money}} a unit so far, {{unit_price_{w}:money}}",
            "ratio",
            none,
        )


def _price(span: str) -> Compute:
    """Money a unit over the purchases of a span; null where their units do not add up to more than none."""

    def compute(m: ibis.Table) -> ibis.Value:
        bought = m[f"units_{span}"]
        return m[f"spend_{span}"] / (bought > 0).ifelse(bought, ibis.null("int64"))

    return compute


def discount_features(windows: Sequence[Window]) -> Iterator[Feature]:
    """How much was taken off the price, and on how many orders, so far and lately."""
    forms = (
        ("discount_share", _off, "share of the price taken off", "{value:share} taken off the price"),
        ("discounted_share", _discounted, "share of orders at a discount", "{value:share} of orders at a discount"),
    )
    for stem, of, what, how in forms:
        yield Feature(
            f"{stem}_ever",
            of("ever"),
            "discount",
            f"{what} so far",
            f"{how} so far",
            "share",
            at_zero="no discount so far",
            actionable=True,
        )
        for w in windows:
            yield window_feature(w, stem, of(str(w)), "discount", what, how, "share", "no order")


def _off(span: str) -> Compute:
    """What was taken off over what would have been paid without it, on purchases."""
    return lambda m: m[f"discount_{span}"] / (m[f"spend_{span}"] + m[f"discount_{span}"]).nullif(0)


def _discounted(span: str) -> Compute:
    return measure_ratio(f"discounted_{span}", f"orders_{span}")
