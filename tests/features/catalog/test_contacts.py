"""Features of contacts by hand: who was held out, what it cost, and which contact a purchase answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.catalog.contacts import contact_features
from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.task import Window
from tests.features import beside

CUTOFF = datetime(2024, 3, 1, tzinfo=UTC)
Build = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def build(tmp_path: Path, make_config: Callable[..., Config], engine: DuckDBEngine) -> Build:
    """Features at the cutoff, by customer: from each one's contacts, and purchases (days before it, amount)."""

    def make(cases: Mapping[str, tuple[list[dict[str, Any]], list[tuple[float, float]]]]) -> dict[str, dict[str, Any]]:
        rows = [row | {"customer": name} for name, (contacts, _) in cases.items() for row in contacts]
        lines = [
            (name, CUTOFF - timedelta(days), amount)
            for name, (_, bought) in cases.items()
            for days, amount in [(100, 5.0), *bought]
        ]
        return beside.by_hand(make_config, tmp_path, engine, CUTOFF.date(), "contacts", rows, lines)

    return make


def contact(days: float, action: str = "email", cost: float | None = 0.25) -> dict[str, Any]:
    return {"time": CUTOFF - timedelta(days), "action": action, "cost": cost}


def test_the_control_is_held_out_and_not_received(build: Build) -> None:
    every = [contact(1, "none", 9.0), contact(2), contact(31, "call"), contact(32, cost=None)]
    values = build({"both": (every, []), "never": ([contact(20, "none")], [(10, 5.0)])})
    row, never = values["both"], values["never"]
    assert (row["contacts_recency_days"], row["contacts_count_30d"], row["contacts_count_90d"]) == (2, 1, 3)
    assert (row["contacts_held_out_ever"], row["contacts_actions_distinct_ever"]) == (1, 2)
    assert (row["contacts_action_last"], never["contacts_action_last"]) == ("email", None)
    assert row["contacts_cost_ever"] == 0.5
    assert row["contacts_trend_30d_90d"] == pytest.approx((1 / 30) / (3 / 90))
    names = ("recency_days", "rate_ever", "count_ever", "held_out_ever", "answered_ever", "answered_share_ever")
    assert [never[f"contacts_{name}"] for name in names] == [None, None, 0, 1, 0, None]
    assert row["contacts_rate_ever"] == pytest.approx(3 * 30 / 32)


# What it is about: days of contacts, days of purchases, contacts answered.
ANSWERS: dict[str, tuple[list[float], list[float], int]] = {
    "within 14 days": ([30], [16.001], 1),
    "14 days later": ([30], [16], 0),
    "at the same moment": ([30], [30], 1),
    "before": ([30], [30.01], 0),
    "the latest is answered": ([30, 29], [28], 1),
    "each by its own": ([30, 29], [29.5, 28], 2),
    "several purchases answer one": ([30], [29, 28, 27], 1),
    "two at one moment": ([30, 30], [29], 1),
    "a purchase at the cutoff": ([5], [0], 0),
    "a purchase after it": ([5], [-1], 0),
}


def test_a_purchase_answers_the_latest_contact_before_it(build: Build) -> None:
    cases = {
        name: ([contact(days) for days in histories], [(days, 5.0) for days in bought])
        for name, (histories, bought, _) in ANSWERS.items()
    }
    late = contact(30) | {"known_at": CUTOFF}
    cases["a late one does not count"] = ([late, contact(35)], [(29, 5.0)])
    cases["nor is it answered"] = ([late, contact(60)], [(29, 5.0)])
    cases["a refund is no answer"] = ([contact(30)], [(29, -5.0)])
    values = {
        name: (row["contacts_answered_ever"], row["contacts_answered_share_ever"]) for name, row in build(cases).items()
    }
    wanted = {name: (count, count / len(histories)) for name, (histories, _, count) in ANSWERS.items()}
    wanted |= {"a late one does not count": (1, 1), "nor is it answered": (0, 0), "a refund is no answer": (0, 0)}
    assert values == wanted | {"other": (0, None)}


def test_what_a_log_does_not_have_has_no_feature() -> None:
    names = {f.name for f in contact_features([Window(30)], has_cost=False, has_control=False)}
    assert names == {"contacts_recency_days", "contacts_rate_ever", "contacts_count_30d", "contacts_count_ever"}
