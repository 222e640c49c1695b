"""Stages of the lifecycle: what a change of pace is, and the dated changes against plain Python."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from features.config.segments import LIFECYCLE_STAGES
from serving.segmentation.lifecycle_stages import (
    ABSENT,
    LOST,
    assign_stages,
    latest_stage_change,
    mark_lost,
    pace_change,
    stage_changes,
)


def test_noise_is_seldom_called_growing_or_declining() -> None:
    rng = np.random.default_rng(1)
    recent, before = rng.poisson(6.0, 20_000), rng.poisson(6.0, 20_000)
    z = pace_change(recent.astype(float), before.astype(float), np.full(20_000, 400.0), 90)
    called = assign_stages(["active"] * len(z), z, 0.9)
    assert 0.05 < np.mean(called == LIFECYCLE_STAGES.index("growing")) < 0.13
    assert 0.05 < np.mean(called == LIFECYCLE_STAGES.index("declining")) < 0.13


def test_a_new_customer_is_not_growing_by_having_begun() -> None:
    rng = np.random.default_rng(2)
    tenure = rng.uniform(91, 180, 20_000)
    recent, before = rng.poisson(6.0, 20_000), 1 + rng.poisson(6.0 * (tenure - 90) / 90)
    z = pace_change(recent.astype(float), before.astype(float), tenure, 90)
    assert np.mean(z > 1.2816) < 0.13
    assert abs(z.mean()) < 0.1


def test_a_true_change_is_seen_and_the_unknown_is_none() -> None:
    z = pace_change(np.array([20.0, 2.0, 9.0, 0.0]), np.array([5.0, 14.0, np.nan, 0.0]), np.full(4, 400.0), 90)
    assert z[0] > 2.5 and z[1] < -2.5
    assert z[2:].tolist() == [0.0, 0.0]
    named = [LIFECYCLE_STAGES[code] for code in assign_stages(["active", "active", "slipping", "active"], z, 0.9)]
    assert named == ["growing", "declining", "declining", "mature"]


def oracle(codes: np.ndarray, since: list[int], ids: list[str], days: list[date]) -> list[tuple[str, date, str, str]]:
    """Every change by walking through each customer's own history."""
    stages = []
    for row, who in enumerate(ids):
        state = [
            LIFECYCLE_STAGES[code] if code >= 0 else "lost" if place >= since[row] else None
            for place, code in enumerate(codes[row])
        ]
        for place in range(1, len(days)):
            if state[place - 1] is not None and state[place] != state[place - 1]:
                stages.append((who, days[place], state[place - 1], state[place]))
    return sorted(stages, key=lambda change: (change[1], change[0]))


@pytest.mark.parametrize("seed", range(3))
def test_changes_are_those_of_each_customers_history(seed: int) -> None:
    rng = np.random.default_rng(seed)
    days = [date(2024, month, 1) for month in range(1, 6)]
    codes = rng.integers(-1, 5, (40, 5))
    since = [int(rng.integers(0, np.flatnonzero(row >= 0)[0] + 1)) if (row >= 0).any() else 5 for row in codes]
    ids = [f"c{n:02d}" for n in rng.permutation(40)]
    marked = mark_lost(codes, np.array(since))
    table = stage_changes(pa.array(ids), marked, days)
    assert [tuple(row.values()) for row in table.to_pylist()] == oracle(codes, since, ids, days)
    assert (marked[codes == ABSENT] == LOST).any()


def test_who_returns_was_lost_and_since_when() -> None:
    marked = mark_lost(np.array([[2, -1, 2, 2], [1, 1, 1, 1]]), np.array([0, 0]))
    assert marked.tolist() == [[2, 5, 2, 2], [1, 1, 1, 1]]
    since, before = latest_stage_change(marked)
    assert (since.tolist(), before.tolist()) == ([2, 0], [LOST, ABSENT])
