"""Active and lapsed customers: their sizes and values, and who moved between both."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.config.load import Config
from serving.segmentation import lapsed
from serving.segmentation.profiles import ScoredWorth
from serving.segmentation.transitions import transition_table

BEFORE, NOW = date(2024, 5, 1), date(2024, 6, 1)
ACTIVE = {BEFORE: ["a", "b", "c"], NOW: ["a", "d", "e"]}
LAPSED = {BEFORE: ["d"], NOW: ["b", "c"]}


def _scores(cutoff: date) -> Any:
    return SimpleNamespace(cutoff=cutoff, read_columns=lambda names: pa.table({"customer_id": ACTIVE[cutoff]}))


def _winback(cutoff: date) -> Any:
    size = len(LAPSED[cutoff])
    columns = {"customer_id": LAPSED[cutoff], "return_probability": [0.25] * size, "value": [5.0] * size}
    table = pa.table({**columns, "value_if_back": [20.0] * size})
    return SimpleNamespace(table=lambda names=None: table.select(names) if names else table)


@pytest.fixture
def config(shop: Config, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(lapsed, "read_winback", lambda config, cutoff: _winback(cutoff))
    monkeypatch.setattr(lapsed, "read_scores", lambda config, cutoff: _scores(cutoff))
    outputs = SimpleNamespace(scored_cutoffs=lambda: [BEFORE, NOW])
    return SimpleNamespace(outputs=outputs, segments=shop.segments, task=shop.task, language="en")


def test_both_groups_have_sizes_and_values(config: Any) -> None:
    worth = ScoredWorth(np.array([0.1, 0.2, 0.3]), np.array([9.0, 9.0, 9.0]), np.array([1.0, 2.0, 3.0]), None)
    active, gone = lapsed.activity_rows(config, _scores(NOW), worth)
    assert (active["segment"], active["customers"], active["share"]) == ("active", 3, 0.6)
    assert (gone["segment"], gone["customers"], gone["value"]) == ("lapsed", 2, 10.0)
    assert gone["churn_probability"] == 0.75 and gone["value_at_risk"] == 30.0
    assert gone["rule"] == "the last purchase is more than 365 and at most 1095 days old"


def test_movement_says_who_lapsed_and_who_came_back(config: Any) -> None:
    moves = transition_table(lapsed.activity_history(config, _scores(NOW))).to_pylist()
    counts = {(row["from_segment"], row["to_segment"]): row["customers"] for row in moves}
    assert counts == {
        ("active", "active"): 1,
        ("active", "lapsed"): 2,
        ("lapsed", "active"): 1,
        ("not yet a customer", "active"): 1,
    }


def test_without_scored_lapsed_customers_there_is_nothing(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lapsed, "read_winback", lambda config, cutoff: None)
    assert lapsed.activity_rows(config, _scores(NOW), ScoredWorth(np.ones(3), None, None)) == []
    assert lapsed.activity_history(config, _scores(NOW)) == []
