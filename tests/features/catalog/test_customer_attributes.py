"""Attributes as they stood at each cutoff, against a slow oracle; ties, late versions and dates still to come."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog.customer_attributes import attribute_features
from features.catalog.families import catalog_features
from features.config.data_contract import CustomerAttribute, DataContract
from features.engines.duckdb import DuckDBEngine
from features.errors import UsageError
from features.intake.read_log import read_tables
from features.intake.tables import Tables
from features.snapshots.build import snapshots_from_tables
from tests.features import oracle_customers as oracle

Make = Callable[..., Any]
CUTOFFS = (date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1))
IDS = tuple("abcdefgh")
ATTRIBUTES = ("plan", "age", "newsletter", "renews")
SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("known_at", pa.timestamp("us")),
        ("since", pa.date32()),
        ("plan", pa.string()),
        ("age", pa.int64()),
        ("newsletter", pa.bool_()),
        ("renews", pa.date32()),
    ]
)
EVERYTHING = DataContract(
    attributes=(
        CustomerAttribute("plan", "level"),
        CustomerAttribute("shoe_size", "number"),
        CustomerAttribute("birth_date", "date"),
    ),
    has_since=True,
)


@pytest.fixture
def shop(tmp_path: Path, make_config: Make, engine: DuckDBEngine) -> Make:
    """From rows of customers and keys of [customers] to the contract's tables; everybody buys in January and March."""

    def make(rows: list[dict[str, Any]] | pa.Table, **keys: Any) -> Tables:
        moments = (datetime(2024, 1, 10), datetime(2024, 3, 20), datetime(2024, 4, 5))
        log = [{"customer": c, "time": t, "amount": 5.0} for c in IDS for t in moments]
        pq.write_table(pa.Table.from_pylist(log), tmp_path / "log.parquet")
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
        pq.write_table(table, tmp_path / "people.parquet")
        section = {"source": "people.parquet", "customer": "customer", **keys}
        return read_tables(make_config({"customers": section}, amount="amount"), engine)

    return make


def _built(tables: Tables, make_task: Make, engine: DuckDBEngine) -> dict[tuple[str, date], dict[str, Any]]:
    rows = snapshots_from_tables(tables, make_task(), CUTOFFS, engine, with_labels=False).rows.to_pylist()
    return {(row["customer_id"], row["cutoff"].date()): row for row in rows}


def _version(choose: Callable[[Any], Any], customer: str) -> dict[str, Any]:
    """A version that became known, or says something, most often around a cutoff."""
    day = choose(CUTOFFS) + timedelta(choose((-40, -2, -1, 0, 1)))
    clock = choose((timedelta(0), timedelta(hours=9), timedelta(days=1, microseconds=-1)))
    return {
        "customer": customer,
        "known_at": datetime.combine(day, datetime.min.time()) + clock,
        "since": choose((None, date(2023, 5, 5), date(2024, 1, 10), *CUTOFFS, date(2024, 2, 29))),
        "plan": choose((None, "gold", "basic", "", "é 商")),
        "age": choose((None, -1, 0, 34)),
        "newsletter": choose((None, True, False)),
        "renews": choose((None, date(1999, 1, 1), *(c + timedelta(d) for c in CUTOFFS for d in (-1, 0, 1)))),
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("versions", [True, False], ids=["versions", "one row each"])
def test_the_oracle_agrees(seed: int, versions: bool, shop: Make, make_task: Make, engine: DuckDBEngine) -> None:
    choose = random.Random(seed).choice  # noqa: S311 (test data)
    rows = [_version(choose, customer) for customer in IDS[:-1] for _ in range(choose((1, 2, 5)) if versions else 1)]
    if versions:  # at one instant only one of them; ties have a test of their own
        rows = list({(row["customer"], row["known_at"]): row for row in rows}.values())
    schema = SCHEMA if versions else pa.schema([field for field in SCHEMA if field.name != "known_at"])
    keys = {"known_at": "known_at"} if versions else {"constant": ATTRIBUTES}
    table = pa.Table.from_pylist(rows, schema=schema)
    built = _built(shop(table, attributes=ATTRIBUTES, since="since", **keys), make_task, engine)
    assert len(built) == len(IDS) * len(CUTOFFS)
    attribute_rows = [{**row, "plan": row["plan"] or None} for row in table.to_pylist()]
    for (customer, cutoff), row in built.items():
        expected = oracle.features(attribute_rows, customer, cutoff, date(2024, 1, 10), ATTRIBUTES)
        assert {name: row[name] for name in expected} == expected, (customer, cutoff)


def test_what_became_known_later_changes_nothing(shop: Make, make_task: Make, engine: DuckDBEngine) -> None:
    choose = random.Random(7).choice  # noqa: S311 (test data)
    rows = [_version(choose, customer) for customer in IDS for _ in range(4)]
    keys = {"attributes": ATTRIBUTES, "since": "since", "known_at": "known_at"}
    cutoff = CUTOFFS[1]
    before = [row for row in rows if row["known_at"] < datetime(2024, 3, 1)]
    spoilt = [row | {"plan": "spoilt", "age": 99, "since": date(2020, 1, 1)} for row in rows if row not in before]
    assert len(before) < len(rows)
    full_table, cut, other = (
        _built(shop(pa.Table.from_pylist(part, schema=SCHEMA), **keys), make_task, engine)
        for part in (rows, before, before + spoilt)
    )
    for customer in IDS:
        assert full_table[customer, cutoff] == cut[customer, cutoff] == other[customer, cutoff]
    assert full_table != cut


def test_versions_known_at_one_instant_do_not_depend_on_the_order_of_the_file(
    shop: Make, make_task: Make, engine: DuckDBEngine
) -> None:
    at = datetime(2024, 1, 5, 8)
    rows = [
        {"customer": "a", "known_at": at, "plan": plan, "age": age}
        for plan, age in (("x", 3), ("y", 2), ("y", None), (None, 5))
    ]
    keys = {"attributes": ["plan", "age"], "known_at": "known_at"}
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)):
        built = _built(shop([rows[i] for i in order], **keys), make_task, engine)["a", CUTOFFS[0]]
        assert (built["plan"], built["age"]) == ("y", 2.0)


def test_the_later_clock_of_a_day_wins(shop: Make, make_task: Make, engine: DuckDBEngine) -> None:
    rows = [
        {"customer": "a", "known_at": datetime(2024, 1, 31, hour), "plan": plan}
        for hour, plan in ((9, "z"), (15, "a"), (12, "m"))
    ]
    built = _built(shop(rows, attributes=["plan"], known_at="known_at"), make_task, engine)
    assert built["a", CUTOFFS[0]]["plan"] == "a"


def test_names_phrases_and_readings() -> None:
    by_name = {feature.name: feature for feature in attribute_features(EVERYTHING)}
    row = {"plan": "gold", "shoe_size": 42.5, "birth_date": 12000.0, "signup_age_days": 30.0}
    assert {name: by_name[name].format_reading(row) for name in row} == {
        "plan": "plan gold",
        "shoe_size": "shoe size 42.5",
        "birth_date": "birth date 12,000 days ago",
        "signup_age_days": "signed up 30 days ago",
    }
    assert [feature.phrase for feature in by_name.values()][:3] == ["plan", "shoe size", "days since birth date"]
    assert not any(feature.actionable for feature in by_name.values())
    assert by_name["plan"].format_reading({"plan": None}) == "plan not known"
    waited = by_name["signup_to_first_order_days"]
    assert waited.format_reading({waited.name: 3.0}) == "first order 3 days after signing up"
    assert waited.format_reading({waited.name: 0.0}) == "first order no later than the day of signing up"


def test_a_name_that_another_feature_has_is_refused(make_task: Make) -> None:
    same = replace(EVERYTHING, attributes=(CustomerAttribute("recency_days", "number"),))
    with pytest.raises(UsageError, match=r"\[events\] and \[customers\] would both give a feature 'recency_days'"):
        catalog_features(make_task(), same)
    twice = replace(EVERYTHING, attributes=(CustomerAttribute("signup_age_days", "number"),))
    with pytest.raises(UsageError, match="would both give a feature 'signup_age_days'"):
        catalog_features(make_task(), twice)


@pytest.mark.parametrize("name", ["tenure", "customer", "id", "age"])
def test_an_attribute_may_be_called_like_a_measure(
    name: str, shop: Make, make_task: Make, engine: DuckDBEngine
) -> None:
    rows = [{"customer": "a", name: 77.0}] if name != "customer" else [{"customer": "a"}]
    built = _built(shop(rows, attributes=[name], constant=[name]), make_task, engine)
    assert built["a", CUTOFFS[0]][name] == ("a" if name == "customer" else 77.0)
    assert built["a", CUTOFFS[0]]["tenure_days"] == 22.0
