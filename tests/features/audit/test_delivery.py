"""How a log arrived beside how it was before: what is a fault, what is none, and that nobody is alarmed for nothing."""

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

CUTOFF = date(2024, 3, 10)
BEFORE = DeliveryRecord(1000, 10, date(2024, 1, 1), date(2024, 3, 8), date(2024, 3, 9), "a")
NOW = replace(BEFORE, rows=1100, repeated=11, last=date(2024, 3, 9), complete_until=CUTOFF, fingerprint="b")


def said(now: DeliveryRecord, before: DeliveryRecord | None = BEFORE, cutoff: date = CUTOFF, silence: int = 0) -> str:
    return "; ".join(delivery_faults(now, before, cutoff, lambda: silence))


def test_a_log_that_grew_by_a_day_is_as_it_should_be() -> None:
    assert said(NOW) == said(NOW, None) == said(BEFORE, BEFORE, date(2024, 3, 9)) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"last": date(2024, 3, 7)}, "ends with 2024-03-07, and at the run before it ended with 2024-03-08"),
        ({"rows": 890}, "has 890 rows, and at the run before it had 1,000"),
        ({"repeated": 55}, "of 100 rows that came since the run before, 45 equal another"),
        ({"rows": 2000, "repeated": 1010}, "of 1,000 rows that came since the run before, 1,000 equal"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], words: str) -> None:
    assert words in said(replace(NOW, **change))


def test_a_log_whose_old_rows_are_dropped_is_not_cut_off() -> None:
    assert said(replace(NOW, rows=500, first=date(2024, 2, 1), repeated=5)) == ""


def test_rows_that_always_repeat_are_no_second_delivery() -> None:
    usual = replace(BEFORE, repeated=450)
    assert said(replace(NOW, repeated=495), usual) == ""
    assert said(replace(NOW, rows=1010, repeated=20)) == ""  # ten rows are too few to say


def test_a_whole_log_that_came_twice_is_seen_without_a_run_before() -> None:
    assert "of 1,100 rows of the log, 550 equal" in said(replace(NOW, repeated=550), None)


def test_days_that_are_missing_before_a_given_cutoff() -> None:
    late = CUTOFF + timedelta(days=1)
    assert "for cutoff 2024-03-11 the day before it is missing" in said(NOW, cutoff=late)
    assert "2 days before it are missing" in said(NOW, cutoff=CUTOFF + timedelta(days=2), silence=1)
    assert said(NOW, cutoff=late, silence=1) == ""  # closed on Sundays
    assert said(replace(NOW, complete_until=late), cutoff=late) == ""  # [events] until says so


def test_what_is_remembered_is_what_was_seen(make_config: Any) -> None:
    config = make_config({"task": {"horizon": "2d", "every": "2d", "windows": ["2d"]}})
    days = [datetime(2024, 1, 1), *(datetime(2024, 4, day) for day in (1, 2, 6, 7))]
    rows = [{"customer": "a", "time": day} for day in [*days, days[-1]]]
    pq.write_table(pa.Table.from_pylist(rows), config.folder / "log.parquet")
    now = delivery_record(config, check_log(config)[0])
    assert (now.rows, now.repeated, now.last, now.complete_until) == (6, 1, date(2024, 4, 7), date(2024, 4, 8))
    assert parse_delivery_record(now.to_dict()) == now
    assert longest_silence(config) == 3  # the silence before April lies further back
