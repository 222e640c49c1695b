"""What is sold can be offered; where and how it was sold cannot."""

from __future__ import annotations

import pytest

from features.config_guess import guess_offers


@pytest.mark.parametrize(
    "kinds",
    [
        ("store_id", "Country", "channel", "shop_category", "payment_type", "colour", "event"),
        ("Filiale", "Kanal", "Land", "tienda", "canal", "门店", "渠道", "国家"),
    ],
)
def test_a_place_a_way_and_what_nobody_can_tell_are_not_offered(kinds: tuple[str, ...]) -> None:
    assert guess_offers(kinds) == ()


@pytest.mark.parametrize(
    "kinds", [("StockCode", "brand", "sub_category", "itemid"), ("Warengruppe", "marca", "商品品类")]
)
def test_what_is_sold_is_offered_in_its_order(kinds: tuple[str, ...]) -> None:
    assert guess_offers((kinds[0], "store", *kinds[1:])) == kinds
