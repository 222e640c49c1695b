"""Features of subscriptions by hand: runs and renewals, ends that had come, and prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.catalog.subscriptions import subscription_features
from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from tests.features import beside

CUTOFF = datetime(2024, 3, 1, tzinfo=UTC)
Build = Callable[..., dict[str, tuple[Any, ...]]]
Terms = list[tuple[float, float | None, float | None]]


@pytest.fixture
def build(tmp_path: Path, make_config: Callable[..., Config], engine: DuckDBEngine) -> Build:
    """Some features at the cutoff, by customer: from each one's terms (start and end in days before it, price)."""

    def make(cases: Mapping[str, Terms], names: tuple[str, ...], **more: Any) -> dict[str, tuple[Any, ...]]:
        rows = [
            {"customer": name, "time": before(start), "end": before(end), "price": price, **more}
            for name, terms in cases.items()
            for start, end, price in terms
        ]
        lines = [(name, CUTOFF - timedelta(50), 5.0) for name in cases]
        built = beside.by_hand(make_config, tmp_path, engine, CUTOFF.date(), "subscriptions", rows, lines)
        return {case: tuple(built[case][f"subscription_{name}"] for name in names) for case in cases}

    return make


def before(days: float | None) -> datetime | None:
    return None if days is None else CUTOFF - timedelta(days)


NAMES = ("age_days", "terms_running", "terms_ended_ever", "renewals_ever", "renewal_recency_days", "end_recency_days")
RUNS: dict[str, tuple[list[tuple[float, float | None]], tuple[Any, ...]]] = {
    "runs": ([(100, None)], (100, 1, 0, 0, None, None)),
    "an end at the cutoff has not come": ([(100, 0)], (100, 1, 0, 0, None, None)),
    "nor has one that is planned": ([(100, -30)], (100, 1, 0, 0, None, None)),
    "ended": ([(100, 1)], (None, 0, 1, 0, None, 1)),
    "followed at once": ([(100, 60), (60, None)], (100, 1, 1, 1, 60, None)),
    "seven days": ([(100, 60), (53, None)], (100, 1, 1, 1, 53, None)),
    "eight days are a new run": ([(100, 60), (52, None)], (52, 1, 1, 0, None, None)),
    "renewed early": ([(100, 40), (60, None)], (100, 1, 1, 1, 60, None)),
    "follows one that runs": ([(100, None), (60, None)], (100, 2, 0, 1, 60, None)),
    "covered by the longer one": ([(100, 20), (90, 80), (19, None)], (100, 1, 2, 2, 19, None)),
    "two on one day": ([(100, 60), (100, None)], (100, 1, 1, 0, None, None)),
    "two runs, both over": ([(200, 150), (100, 60), (55, 30)], (None, 0, 3, 1, 55, 30)),
    "starts at the cutoff": ([(0, None)], (None, 0, 0, 0, None, None)),
    "starts on the eve": ([(1, None)], (1, 1, 0, 0, None, None)),
    "none": ([], (None, 0, 0, 0, None, None)),
}
PRICES: dict[str, tuple[Terms, tuple[Any, ...]]] = {
    "one": ([(100, None, 10.0)], (10.0, None, 0)),
    "dearer": ([(100, 60, 10.0), (60, None, 12.5)], (12.5, 1.25, 1)),
    "the same, then half": ([(100, 60, 10.0), (60, 30, 10.0), (30, None, 5.0)], (5.0, 0.5, 1)),
    "one unknown": ([(100, 60, 10.0), (60, 30, None), (30, None, 5.0)], (5.0, None, 0)),
    "free at first": ([(100, 60, 0.0), (60, None, 5.0)], (5.0, None, 1)),
    "the one that runs": ([(100, None, 10.0), (60, 30, 5.0)], (10.0, 0.5, 1)),
    "of one day, those that run": ([(100, None, 10.0), (100, None, 5.0), (100, 60, 1.0)], (15.0, None, 0)),
    "added up by the day": ([(100, 60, 10.0), (100, 60, 5.0), (60, None, 30.0)], (30.0, 2.0, 1)),
    "ended": ([(100, 60, 10.0)], (None, None, 0)),
    "unknown": ([(100, None, None)], (None, None, 0)),
}


def test_runs_renewals_and_ends(build: Build) -> None:
    cases = {name: [(start, end, None) for start, end in terms] for name, (terms, _) in RUNS.items()}
    assert build(cases, NAMES) == {name: values for name, (_, values) in RUNS.items()}


def test_prices(build: Build) -> None:
    cases = {name: terms for name, (terms, _) in PRICES.items()}
    built = build(cases, ("price", "price_ratio", "price_changes_ever"))
    assert built == {name: values for name, (_, values) in PRICES.items()}


@pytest.mark.parametrize(("days", "seen"), [(0, 0), (0.01, 1)])
def test_a_term_is_invisible_until_it_was_known(days: float, seen: int, build: Build) -> None:
    values = build({"a": [(100, 50, 1.0)]}, ("terms_ever", "terms_ended_ever"), known_at=CUTOFF - timedelta(days))
    assert values == {"a": (seen, seen)}


def test_what_a_log_does_not_have_has_no_feature() -> None:
    names = {
        feature.name.removeprefix("subscription_") for feature in subscription_features(has_end=False, has_price=False)
    }
    assert names == {"age_days", "terms_ever", "renewals_ever", "renewal_recency_days"}
