"""Transitions against counting in plain Python."""

from __future__ import annotations

from collections import Counter
from datetime import date

import numpy as np
import pytest

from serving.segmentation.transitions import GONE, NOT_YET, GroupHistory, transition_table
from serving.statistics.proportions import wilson_interval

DAYS = [date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)]


@pytest.mark.parametrize("seed", range(3))
def test_every_movement_is_counted_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = ["a", "b", "c"]
    codes = rng.integers(-1, 3, (200, 3))
    here = np.maximum.accumulate((codes >= 0) | (rng.random(codes.shape) < 0.3), axis=1)
    counts: Counter[tuple[date, date, str, str]] = Counter()
    for own, known in zip(codes.tolist(), here.tolist(), strict=True):
        expected = [groups[c] if c >= 0 else GONE if k else NOT_YET for c, k in zip(own, known, strict=True)]
        for place in (0, 1):
            if max(own[place], own[place + 1]) >= 0:
                counts[DAYS[place], DAYS[place + 1], expected[place], expected[place + 1]] += 1
    rows = transition_table([GroupHistory("g", groups, codes, here, DAYS)]).to_pylist()
    table = {(r["from_cutoff"], r["to_cutoff"], r["from_segment"], r["to_segment"]): r for r in rows}
    assert {key: row["customers"] for key, row in table.items()} == dict(counts)
    for key, row in table.items():
        of = sum(n for other, n in counts.items() if other[:3] == key[:3])
        low, high = wilson_interval(np.array([row["customers"]]), np.array([of]))
        assert row["share"] == pytest.approx(counts[key] / of)
        assert (row["share_low"], row["share_high"]) == pytest.approx((low[0], high[0]))


def test_those_lost_to_a_stage_of_that_name_are_in_it() -> None:
    codes, here = np.array([[0, -1, 0]]), np.ones((1, 3), bool)
    rows = transition_table([GroupHistory("stage", ["mature", "lost"], codes, here, DAYS, gone="lost")]).to_pylist()
    assert [(r["from_segment"], r["to_segment"]) for r in rows] == [("mature", "lost"), ("lost", "mature")]
    assert transition_table([]).num_rows == 0
