"""The audit of a log small enough to count by hand, and every breach of the contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.audit.audit import Audit, audit_tables, audit_text, check_log, mature_cutoffs, require_no_breach
from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError
from features.intake.tables import Tables
from features.task import Task

Make = Callable[..., Any]
moment = datetime.fromisoformat

# Usable: 8 lines of 3 customers. a buys twice, b once and returns half of it, c only has a refund; x has no time.
HAND_MADE = [
    {"customer": "a", "time": moment("2024-01-01T10:00"), "amount": 10.0, "order": "1"},
    {"customer": "a", "time": moment("2024-01-01T10:00"), "amount": 10.0, "order": "1"},
    {"customer": "a", "time": moment("2024-01-01T10:00"), "amount": 5.0, "order": "1"},
    {"customer": "a", "time": moment("2024-01-20T10:00"), "amount": 20.0, "order": "2"},
    {"customer": "b", "time": moment("2024-01-21T10:00"), "amount": 40.0, "order": "3"},
    {"customer": "b", "time": moment("2024-02-10T10:00"), "amount": -20.0, "order": "4"},
    {"customer": "c", "time": moment("2024-02-11T10:00"), "amount": -5.0, "order": "5"},
    {"customer": "b", "time": moment("2024-02-12T10:00"), "amount": 0.0, "order": "6"},
    {"customer": "x", "time": None, "amount": 1.0, "order": "7"},
    {"customer": None, "time": moment("2024-02-12T10:00"), "amount": 1.0, "order": "8"},
]


@pytest.fixture
def report(make_log: Make, make_task: Make, engine: DuckDBEngine) -> Audit:
    return audit_tables(make_log(HAND_MADE, max_unreadable=0.5), make_task(horizon=14, every=7), engine)


def test_rows_customers_and_span_are_counted(report: Audit) -> None:
    assert (report.rows_read, report.rows, report.customers, report.orders) == (10, 8, 3, 3)
    assert (report.first, report.last, report.complete_until) == (
        date(2024, 1, 1),
        date(2024, 2, 12),
        date(2024, 2, 12),
    )


def test_rows_set_aside_come_with_reason_and_customers(report: Audit) -> None:
    assert {row["reason"]: (row["rows"], row["customers"]) for row in report.set_aside} == {
        "missing customer": (1, ()),
        "missing time": (1, ("x",)),
    }


def test_money_and_refunds(report: Audit) -> None:
    assert report.net_amount == 60.0
    assert report.refund_rows_share == 2 / 8
    assert report.refund_amount_share == pytest.approx(25 / 85)


def test_one_time_buyers_are_among_buyers(report: Audit) -> None:
    assert report.one_time_buyers_share == 1 / 2


def test_duplicates_gaps_and_months(report: Audit) -> None:
    assert (report.duplicate_rows, report.duplicates_dropped, report.late_rows) == (1, 0, 0)
    assert report.gaps == ({"from": date(2024, 1, 22), "days": 19}, {"from": date(2024, 1, 2), "days": 18})
    assert [(m["month"], m["events"], m["customers"], m["net_amount"]) for m in report.months] == [
        ("2024-01", 5, 2, 85.0),
        ("2024-02", 3, 2, -25.0),
    ]


def test_late_rows_are_counted(make_log: Make, make_task: Make, engine: DuckDBEngine) -> None:
    known = [timedelta(0), timedelta(hours=1), timedelta(days=3)]
    rows = [
        {"customer": "a", "time": moment("2024-01-01T10:00"), "known_at": moment("2024-01-01T10:00") + d} for d in known
    ]
    assert audit_tables(make_log(rows), make_task(), engine).late_rows == 1


def test_a_log_without_money_says_so(make_log: Make, make_task: Make, engine: DuckDBEngine) -> None:
    rows = [{key: row[key] for key in ("customer", "time", "order")} for row in HAND_MADE[:8]]
    report = audit_tables(make_log(rows), make_task(horizon=14), engine)
    assert (report.net_amount, report.refund_rows_share, report.refund_amount_share) == (None, None, None)
    assert report.orders == 6
    assert any("value cannot" in note for note in report.notes)
    assert "net amount" not in audit_text(report)


def test_an_audit_is_plain_json(report: Audit) -> None:
    values = json.loads(json.dumps(report.to_dict()))
    assert values == report.to_dict() | {"set_aside": values["set_aside"], "months": values["months"]}
    assert (values["first"], values["gaps"][0]["from"]) == ("2024-01-01", "2024-01-22")


def test_the_text_of_an_audit_shows_what_matters(report: Audit) -> None:
    text = audit_text(report)
    for part in (
        "8 usable of 10 read",
        "50.0% of buyers bought once",
        "60.00",
        "missing time: 1 (customers such as x)",
    ):
        assert part in text
    assert "19 days from 2024-01-22" in text
    assert "BREACH" not in text


def daily(days: int, amount: float = 1.0) -> list[dict[str, Any]]:
    start = date(2024, 1, 1)
    return [{"customer": "a", "time": start + timedelta(n), "amount": amount} for n in range(days) for _ in range(3)]


def breaches_of(tables: Tables, task: Task, engine: DuckDBEngine) -> list[str]:
    return list(audit_tables(tables, task, engine).breaches)


@pytest.mark.parametrize(("span", "broken"), [(29, True), (30, True), (31, False)])
def test_a_log_no_longer_than_the_horizon_is_a_breach(
    span: int, broken: bool, make_log: Make, make_task: Make, engine: DuckDBEngine
) -> None:
    breaches = breaches_of(make_log(daily(span)), make_task(horizon=30), engine)
    assert [f"the log spans {span} days" in breach for breach in breaches] == [True] * broken


def test_a_log_without_a_positive_amount_is_a_breach(make_log: Make, make_task: Make, engine: DuckDBEngine) -> None:
    (breach,) = breaches_of(make_log(daily(60, amount=-1.0)), make_task(), engine)
    assert "no purchase to predict" in breach


def test_stray_dates_ahead_say_which_until_to_set(make_log: Make, make_task: Make, engine: DuckDBEngine) -> None:
    rows = [*daily(60), {"customer": "a", "time": date(2042, 1, 1), "amount": 1.0}]
    (breach,) = breaches_of(make_log(rows), make_task(), engine)
    assert "1 of 181 rows are dated 2042-01-01 or later" in breach
    assert '[events] until = "2024-03-01"' in breach
    assert breaches_of(make_log(rows, until="2024-03-01"), make_task(), engine) == []


def test_stray_dates_behind_are_a_breach(make_log: Make, make_task: Make, engine: DuckDBEngine) -> None:
    rows = [{"customer": "a", "time": date(1970, 1, 1), "amount": 1.0}, *daily(60)]
    (breach,) = breaches_of(make_log(rows), make_task(), engine)
    assert "1 of 181 rows are dated 1970-01-01 or earlier" in breach


def test_a_break_between_two_whole_seasons_is_no_breach(make_log: Make, make_task: Make, engine: DuckDBEngine) -> None:
    later = [row | {"time": row["time"] + timedelta(200)} for row in daily(60)]
    assert breaches_of(make_log(daily(60) + later), make_task(), engine) == []


def test_require_stops_on_a_breach_and_lets_a_good_log_pass(
    make_log: Make, make_task: Make, engine: DuckDBEngine
) -> None:
    require_no_breach(make_log(daily(60)), make_task(horizon=30), engine)
    with pytest.raises(DataError, match="no label can mature"):
        require_no_breach(make_log(daily(60)), make_task(horizon=60), engine)


def test_a_window_longer_than_the_log_is_noted(make_log: Make, make_task: Make, engine: DuckDBEngine) -> None:
    notes = audit_tables(make_log(daily(60)), make_task(windows=(30, 365)), engine).notes
    assert any("the window 365d is longer than the log (60 days): its features are null" == note for note in notes)


def test_cutoffs_are_those_of_the_task(make_log: Make, make_task: Make) -> None:
    tables, task = make_log(daily(60)), make_task(horizon=20, every=15)
    assert mature_cutoffs(tables, task) == task.mature_cutoffs(date(2024, 1, 1), date(2024, 3, 1))
    assert len(mature_cutoffs(tables, task)) == 2


def test_check_writes_what_it_found(make_log: Make, make_config: Callable[..., Config], tmp_path: Path) -> None:
    make_log(daily(60))
    report, target = check_log(make_config({"task": {"horizon": "30d"}}, amount="amount"))
    assert target == tmp_path.resolve() / "output" / "audit.json"
    assert json.loads(target.read_text())["rows"] == report.rows == 180


def test_a_zone_of_the_clocks_without_one_of_the_days_is_a_note(make_config: Callable[..., Config]) -> None:
    rows = [{"customer": "a", "time": datetime(2024, 1, day, 10)} for day in range(1, 29)]
    for clock, zone, noted in (("", "UTC", False), ("Asia/Tokyo", "UTC", True), ("Asia/Tokyo", "Asia/Tokyo", False)):
        config = make_config({"task": {"horizon": "7d", "windows": ["7d"], "timezone": zone}}, timezone=clock)
        pq.write_table(pa.Table.from_pylist(rows), config.folder / "log.parquet")
        notes = " ".join(check_log(config)[0].notes)
        assert ("set [task] timezone too" in notes) is noted
