"""Each section's columns are read by one set of rules, and every role counts."""

from __future__ import annotations

import ibis
import pyarrow as pa
import pytest

from features.config.table_sections import Contacts, Events
from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.intake.section_rows import first_reason, listed_roles, section_rows


def test_the_first_reason_wins(engine: DuckDBEngine) -> None:
    rows = ibis.memtable({"x": [1, 2, 3]})
    reason = first_reason({"small": rows.x < 2, "below 3": rows.x < 3})
    values = engine.to_arrow(rows.select(x=rows.x, reason=reason).order_by("x"))["reason"].to_pylist()
    assert values == ["small", "below 3", None]


def test_marks_for_no_time_are_missing_and_not_unreadable(each_engine: Engine) -> None:
    texts = ["2024-01-31", "NULL", "n/a", "-", " ", "0000-00-00", "0000-00-00 00:00:00", "soon"]
    source = each_engine.store_arrow("log", pa.table({"c": [str(n) for n in range(len(texts))], "t": texts}))
    rows = section_rows("events", Events(source="log.csv", customer="c", time="t"), source, each_engine, "UTC")
    reasons = source.select("c", reason=first_reason(rows.time_checks("time", required=True))).order_by("c")
    values = each_engine.to_arrow(reasons)["reason"].to_pylist()
    assert values == [None, *["missing time"] * 6, "unreadable time"]


def test_roles_stakes_and_rates(engine: DuckDBEngine) -> None:
    section = Events(
        source="log.csv", customer="c", time="t", amount="a", currency="cur", rates={"EUR": 1, "USD": 0.5}, discount="d"
    )
    source = engine.store_arrow(
        "log",
        ibis.memtable(
            {
                "c": ["x", "y", "z"],
                "t": ["2024-01-01"] * 3,
                "a": ["-1,000.00", "5.00", "99.50 pcs"],
                "d": [1, 2, 3],
                "cur": ["EUR", "USD", "EUR"],
            }
        ).to_pyarrow(),
    )
    rows = section_rows("events", section, source, engine, "UTC")
    assert list(listed_roles(rows)) == ["time", "amount", "discount", "currency"]
    values = engine.to_arrow(
        source.select(
            "c",
            amount=rows.number("amount"),
            discount=rows.number("discount"),
            stake=rows.stake(),
            quantity=rows.number("quantity"),
        ).order_by("c")
    )
    assert values["amount"].to_pylist() == [-1000.0, 2.5, None]
    assert values["discount"].to_pylist() == [1.0, 1.0, 3.0]
    assert values["stake"].to_pylist() == [1000.0, 5.0, 99.5]
    assert values["quantity"].to_pylist() == [None] * 3


@pytest.mark.parametrize(("currency", "has"), [("EUR", False), ("", False), ("cur", True)])
def test_a_code_is_no_column(currency: str, has: bool, engine: DuckDBEngine) -> None:
    section = Contacts(source="c.csv", customer="c", time="t", action="a", cost="k", currency=currency)
    source = ibis.memtable({"c": ["x"], "t": ["2024-01-01"], "a": ["mail"], "k": [1.0], "cur": ["EUR"]})
    assert section_rows("contacts", section, source, engine, "UTC").has_currency_column is has
    assert ("currency" in section.columns_by_role()) is has
