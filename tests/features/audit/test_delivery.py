"""Delivery checks: which changes since the previous run are faults, and which are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.audit.audit import check_log
from features.audit.delivery import (
    DeliveryRecord,
    delivery_faults,
    delivery_record,
    longest_silence,
    parse_delivery_record,
)
from features.intake.log import opened

CUTOFF = date(2024, 3, 10)
BEFORE = DeliveryRecord(1000, 10, date(2024, 1, 1), date(2024, 3, 8), date(2024, 3, 9), "a")
NOW = replace(BEFORE, rows=1100, repeated=11, last=date(2024, 3, 9), complete_until=CUTOFF, fingerprint="b")


def faults_text(
    now: DeliveryRecord, before: DeliveryRecord | None = BEFORE, cutoff: date = CUTOFF, silence: int = 0
) -> str:
    return "; ".join(delivery_faults(now, before, cutoff, lambda: silence))


def test_a_log_that_grew_by_a_day_has_no_fault() -> None:
    assert faults_text(NOW) == faults_text(NOW, None) == faults_text(BEFORE, BEFORE, date(2024, 3, 9)) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"last": date(2024, 3, 7)}, "ends on 2024-03-07, but at the previous run it ended on 2024-03-08"),
        ({"rows": 890}, "has 890 rows, but at the previous run it had 1,000"),
        ({"repeated": 55}, "of 100 rows added since the previous run, 45 equal another"),
        ({"rows": 2000, "repeated": 1010}, "of 1,000 rows added since the previous run, 1,000 equal"),
    ],
)
def test_each_fault_is_reported(change: dict[str, Any], words: str) -> None:
    assert words in faults_text(replace(NOW, **change))


def test_a_last_day_that_begins_in_another_zone_is_not_cut_off() -> None:
    assert faults_text(replace(NOW, last=date(2024, 3, 7), timezone="America/New_York")) == ""


def test_a_log_whose_old_rows_are_dropped_is_not_cut_off() -> None:
    assert faults_text(replace(NOW, rows=500, first=date(2024, 2, 1), repeated=5)) == ""


def test_rows_that_always_repeat_are_no_second_delivery() -> None:
    usual = replace(BEFORE, repeated=450)
    assert faults_text(replace(NOW, repeated=495), usual) == ""
    assert faults_text(replace(NOW, rows=1010, repeated=20)) == ""  # ten rows are too few to prove it


def test_a_log_delivered_twice_is_noticed_without_a_previous_run() -> None:
    assert "of 1,100 rows of the log, 550 equal" in faults_text(replace(NOW, repeated=550), None)


def test_days_that_are_missing_before_a_given_cutoff() -> None:
    late = CUTOFF + timedelta(days=1)
    assert "for cutoff 2024-03-11 the day before it is missing" in faults_text(NOW, cutoff=late)
    assert "2 days before it are missing" in faults_text(NOW, cutoff=CUTOFF + timedelta(days=2), silence=1)
    assert faults_text(NOW, cutoff=late, silence=1) == ""  # closed on Sundays
    assert faults_text(replace(NOW, complete_until=late), cutoff=late) == ""  # [events] until says so


def test_the_record_of_an_audited_log_survives_storage(make_config: Any) -> None:
    config = make_config({"task": {"horizon": "2d", "every": "2d", "windows": ["2d"]}})
    days = [datetime(2024, 1, 1), *(datetime(2024, 4, day) for day in (1, 2, 6, 7))]
    rows = [{"customer": "a", "time": day} for day in [*days, days[-1]]]
    pq.write_table(pa.Table.from_pylist(rows), config.folder / "log.parquet")
    now = delivery_record(config.events, check_log(config)[0])
    assert (now.rows, now.repeated, now.last, now.complete_until) == (6, 1, date(2024, 4, 7), date(2024, 4, 8))
    assert parse_delivery_record(now.to_dict()) == now
    with opened(config) as log:
        assert longest_silence(log) == 3  # the silence before April is too long ago
