"""Each kind of business: its tables, its config, and customers as its settings say."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.config.load import load_config
from features.errors import UsageError
from features.simulation.kinds import KINDS, PRICES
from features.simulation.simulate import simulate_business


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_config_that_fits_its_tables(kind: str, tmp_path: Path) -> None:
    business = simulate_business(tmp_path / kind, 200, days=400, seed=3, kind=kind)
    config = load_config(business.config)
    assert config.has_value is (kind != "app") and config.contacts is not None
    table = "usage" if KINDS[kind].terms else "events"
    events = pq.read_table(tmp_path / kind / table)
    assert events.num_rows == business.events and ("amount" in events.column_names) is KINDS[kind].money
    known = set(events["category"].to_pylist())
    assert known == set(KINDS[kind].settings.categories)
    assert config.task.horizon.days == int(KINDS[kind].horizon[:-1])


def test_terms_of_a_subscription_run_from_the_first_day_to_the_end_of_a_lifetime(tmp_path: Path) -> None:
    simulate_business(tmp_path / "s", 500, days=600, seed=3, kind="subscription")
    terms, truth = pq.read_table(tmp_path / "s" / "terms"), pq.read_table(tmp_path / "s" / "truth")
    assert terms["customer_id"].equals(truth["customer_id"]) and set(terms["price"].to_pylist()) == set(PRICES)
    ended = terms.filter(pc.is_valid(terms["end"]))
    assert 100 < ended.num_rows < 500 and pc.all(pc.greater(ended["end"], ended["start"])).as_py()
    alive = pc.is_null(truth["lifetime_end"])
    assert pc.all(pc.is_null(terms["end"].filter(alive))).as_py()
    assert "expected_value_90d" not in truth.column_names


def test_business_customers_order_on_working_days(tmp_path: Path) -> None:
    simulate_business(tmp_path / "b", 300, days=300, seed=3, kind="b2b")
    events = pq.read_table(tmp_path / "b" / "events")
    firsts = events.group_by("customer_id").aggregate([("time", "min")])["time_min"]
    orders = events.filter(pc.and_(pc.greater(events["amount"], 0), pc.invert(pc.is_in(events["time"], firsts))))
    assert pc.max(pc.day_of_week(orders["time"])).as_py() <= 4


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected one of shop, groceries, subscription, app, b2b, found 'bank'"):
        simulate_business(tmp_path / "x", 10, seed=1, kind="bank")
