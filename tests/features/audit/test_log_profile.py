"""The profile of a small log, counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import numpy as np

from features.audit.log_profile import profile_log
from features.engines.duckdb import DuckDBEngine
from features.intake.tables import Tables

CUTOFF = date(2024, 2, 1)


def row(day: str, channel: str | None = "web", known: str | None = None, order: str = "a") -> dict[str, Any]:
    at = datetime.fromisoformat(day)
    return {
        "customer": "c",
        "time": at,
        "order": order,
        "kind": channel,
        "known_at": datetime.fromisoformat(known or day),
    }


def test_everything_is_counted_back_from_the_cutoff(make_log: Callable[..., Tables], engine: DuckDBEngine) -> None:
    tables = make_log(
        [
            row("2024-01-01"),
            row("2024-01-20", None),
            row("2024-01-29", order="b"),
            row("2024-01-29", order="b", known="2024-01-30"),  # delivered again a day later
            row("2024-01-30", "app", known="2024-01-31"),
            row("2024-01-31", known="2024-02-02"),  # not known before the cutoff
            row("2024-02-01", "later"),
        ]
    )
    profile = profile_log(tables, CUTOFF, engine, with_known=True)
    assert profile.days["events"][:4].tolist() == [1, 1, 1, 0]
    assert profile.days["events"].sum() == 5
    assert profile.last == date(2024, 1, 31)
    assert profile.missing["kind"].matching.tolist() == [0, 1, 0, 0, 0]
    assert profile.repeated.matching.tolist() == [1, 0, 0, 0, 0]
    assert profile.repeated.rows.tolist() == [3, 1, 0, 0, 1]
    assert profile.new["kind"].matching.tolist() == [1, 0, 0, 0]  # 'app'; the first week, where all is new, is left out
    assert profile.late is not None and profile.late.matching.tolist() == [2, 0, 0, 0, 0]
    assert profile.rows_read == 7
    np.testing.assert_allclose(profile.repeated.shares, [1 / 3, 0, np.nan, np.nan, 0])


def test_without_known_at_there_is_no_count_of_late_rows(make_log: Callable[..., Tables], engine: DuckDBEngine) -> None:
    tables = make_log(
        [{"customer": "c", "time": datetime(2024, 1, 1)}, {"customer": "c", "time": datetime(2024, 1, 30)}]
    )
    profile = profile_log(tables, CUTOFF, engine)
    assert profile.late is None and profile.missing == {} and profile.new == {}
