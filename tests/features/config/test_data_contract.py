"""The columns and tables that a config gives."""

from __future__ import annotations

from collections.abc import Callable

from features.config.data_contract import build_contract
from features.config.load import Config


def test_only_what_the_config_names_is_there(make_config: Callable[..., Config]) -> None:
    least = build_contract(make_config(), has_clock=False)
    assert (least.kinds, least.has_amount, least.has_contacts, least.has_subscriptions) == ((), False, False, False)
    contacts = {"source": "contacts.parquet", "customer": "customer", "time": "time", "action": "what", "cost": "cost"}
    more = build_contract(make_config({"contacts": contacts}, amount="paid", kinds=["StockCode"]), has_clock=True)
    assert (more.kinds, more.has_amount, more.has_clock) == (("stock_code",), True, True)
    assert more.has_contacts and more.has_cost and not more.has_control
