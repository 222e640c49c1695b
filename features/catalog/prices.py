"""Features of what a customer pays: the price of a unit, and discounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ibis

from features.catalog.windows import window_feature
from features.feature import Compute, Feature, measure_ratio, money
from features.task import Window


def unit_price_features(windows: Sequence[Window]) -> Iterator[Feature]:
    """Units in an order and the price of a unit: so far, in each window, and the ratio of the two."""
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
        _price_per_unit("ever"),
        "price",
        "average price of a unit so far",
        "{value:money} a unit on average",
        "money",
        unread="no units bought",
    )
    for w in windows:
        now, none, usual = _price_per_unit(str(w)), "no units bought", "{unit_price_ever:money}"
        yield window_feature(
            w, "unit_price", now, "price", "average price of a unit", "{value:money} a unit", "money", none, usual
        )
        yield window_feature(
            w,
            "unit_price_trend",
            lambda m, now=now: now(m) / _price_per_unit("ever")(m),  # type: ignore[misc]
            "price",
            "price of a unit against the usual one",
            "{unit_price_<days>d:money} a unit",
            "ratio",
            none,
            usual,
        )


def _price_per_unit(span: str) -> Compute:
    """Spend divided by units over the purchases of a span; null unless the units add up to more than 0."""

    def compute(m: ibis.Table) -> ibis.Value:
        bought = m[f"units_{span}"]
        return m[f"spend_{span}"] / (bought > 0).ifelse(bought, ibis.null("int64"))

    return compute


def discount_features(windows: Sequence[Window]) -> Iterator[Feature]:
    """The share of the price taken off, and the share of orders at a discount, so far and in each window."""
    forms = (
        ("discount_share", _discount_share, "share of the price taken off", "{value:share} taken off the price"),
        (
            "discounted_share",
            _discounted_orders_share,
            "share of orders at a discount",
            "{value:share} of orders at a discount",
        ),
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
            usual = f"{{{stem}_ever:share}}"
            yield window_feature(w, stem, of(str(w)), "discount", what, how, "share", "no order", usual)


def _discount_share(span: str) -> Compute:
    """Discounts divided by the full price (spend plus discounts), on purchases."""
    return lambda m: m[f"discount_{span}"] / (m[f"spend_{span}"] + m[f"discount_{span}"]).nullif(0)


def _discounted_orders_share(span: str) -> Compute:
    return measure_ratio(f"discounted_{span}", f"orders_{span}")
