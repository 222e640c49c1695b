"""The columns and tables that a config gives, and column names in the form of feature names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from features.config.data_contract import build_contract, feature_slug
from features.config.load import Config


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("StockCode", "stock_code"),
        ("store id", "store_id"),
        ("-a--b-", "a_b"),
        ("商品", "商品"),
        ("HTTPCode2", "httpcode2"),
    ],
)
def test_slugs(name: str, slug: str) -> None:
    assert feature_slug(name) == slug


def test_only_what_the_config_names_is_there(make_config: Callable[..., Config]) -> None:
    least = build_contract(make_config(), has_clock=False)
    assert (least.kinds, least.has_amount, least.has_contacts, least.has_subscriptions) == ((), False, False, False)
    contacts = {"source": "contacts.parquet", "customer": "customer", "time": "time", "action": "what", "cost": "cost"}
    more = build_contract(make_config({"contacts": contacts}, amount="paid", kinds=["StockCode"]), has_clock=True)
    assert (more.kinds, more.has_amount, more.has_clock) == (("stock_code",), True, True)
    assert more.has_contacts and more.has_cost and not more.has_control
