"""Features of activities by hand: windows, means, the last value, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.catalog.activities import activity_features, activity_kind_features, last_activity_features
from features.config.data_contract import ActivityColumns
from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.task import Window
from tests.features import beside

CUTOFF = datetime(2024, 3, 1, tzinfo=UTC)
Build = Callable[..., dict[str, Any]]


@pytest.fixture
def build(tmp_path: Path, make_config: Callable[..., Config], engine: DuckDBEngine) -> Build:
    """Features of customer a, a customer for 100 days, at the cutoff from rows of one table."""

    def make(rows: list[dict[str, Any]]) -> dict[str, Any]:
        bought = [("a", CUTOFF - timedelta(days), 5.0) for days in (100, 20)]
        return beside.by_hand(make_config, tmp_path, engine, CUTOFF.date(), "visits", rows, bought)["a"]

    return make


def visit(days: float, measure: float | None = None, what: str | None = None) -> dict[str, Any]:
    return {"customer": "a", "time": CUTOFF - timedelta(days), "measure": measure, "what": what}


def test_counts_sums_and_means_of_windows(build: Build) -> None:
    row = build([visit(1, 4.0), visit(30, 8.0), visit(30, None), visit(30.5, 100.0), visit(0, 7.0)])
    assert (row["visits_recency_days"], row["visits_count_30d"], row["visits_count_90d"]) == (1, 3, 4)
    assert (row["visits_active_days_30d"], row["visits_active_days_ever"]) == (2, 3)
    assert (row["visits_sum_30d"], row["visits_mean_30d"]) == (12, 6)
    assert row["visits_mean_ever"] == pytest.approx(112 / 3)
    assert row["visits_mean_change_30d_90d"] == pytest.approx(6 - 112 / 3)
    assert row["visits_rate_ever"] == pytest.approx(4 * 30 / 31)
    assert row["visits_trend_30d_90d"] == pytest.approx((3 / 30) / (4 / 90))


def test_the_last_value_is_the_last_by_time_that_has_one(build: Build) -> None:
    rows = [visit(2.5, 9.0), visit(2.25, 1.0), visit(2.25, 2.0), visit(1, None), visit(50, 30.0)]
    assert build(rows)["visits_last"] == 2.0  # the largest of one moment


def test_values_of_a_kind_count_in_the_window_of_their_youngest(build: Build) -> None:
    row = build([visit(1, what="a"), visit(40, what="a"), visit(41, what="b"), visit(42, what="é"), visit(2)])
    values = [
        row[f"visits_what_{tail}"] for tail in ("distinct_30d", "distinct_90d", "distinct_ever", "top_share_ever")
    ]
    assert values == [1, 3, 3, 0.5]


def test_nothing_is_zero_or_null(build: Build) -> None:
    row = build([visit(0, 5.0, "a")])  # at the cutoff
    zero = ("count_30d", "active_days_ever", "sum_30d", "what_distinct_ever")
    null = ("recency_days", "mean_ever", "last", "trend_30d_90d", "mean_change_30d_90d", "what_top_share_ever")
    assert {row[f"visits_{name}"] for name in zero} == {0.0}
    assert {row[f"visits_{name}"] for name in null} == {None}


def test_readings_say_the_names_of_the_config() -> None:
    scores, window = ActivityColumns("survey_scores", "rating", ("store_id",)), [Window(30), Window(90)]
    by_name = {
        f.name: f
        for f in (
            *activity_features(scores, window),
            *last_activity_features(scores),
            *activity_kind_features(scores, "store_id", window),
        )
    }
    usual = {"survey_scores_rate_ever": 5.25, "survey_scores_mean_ever": 2.0}
    readings = {
        name: by_name[f"survey_scores_{name}"].format_reading({**usual, f"survey_scores_{name}": 2.0}) for name in WORDS
    }
    assert readings == WORDS
    count = by_name["survey_scores_count_30d"]
    assert count.format_reading({**usual, count.name: 0}) == (
        "no survey scores in the last 30 days, usually 5.2 a month"
    )
    assert count.format_reading({"survey_scores_rate_ever": None, count.name: 0}) == (
        "no survey scores in the last 30 days"
    )


WORDS = {
    "recency_days": "survey scores: the last 2 days ago",
    "count_30d": "survey scores: 2 in the last 30 days, usually 5.2 a month",
    "rate_ever": "survey scores: 2.0 a month since the first",
    "mean_30d": "rating of the survey scores: 2.0 on average in the last 30 days, usually 2.0",
    "mean_ever": "rating of the survey scores: 2.0 on average so far",
    "last": "last rating of the survey scores: 2.0",
    "store_id_distinct_90d": "survey scores: 2 different stores in the last 90 days",
}


def test_a_table_without_a_measure_has_no_feature_of_one() -> None:
    names = [f.name for f in activity_features(ActivityColumns("tickets"), [Window(30), Window(90)])]
    assert [name for name in names if "sum" in name or "mean" in name or "last" in name] == []
    assert len(names) == 9
