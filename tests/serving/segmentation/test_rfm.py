"""RFM scores against counting in plain Python, and groups at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from features.config.rfm_rules import RULES
from serving.segmentation.rfm import rfm_groups, rfm_scores


def oracle(values: list[float], least_is_best: bool) -> list[int]:
    """One more than the whole fifths of the customers who are strictly worse; no value is the worst."""
    scores = []
    for own in values:
        if own != own:
            worse = 0
        elif least_is_best:
            worse = sum(other != other or other > own for other in values)
        else:
            worse = sum(other != other or other < own for other in values)
        scores.append(1 + worse * 5 // len(values))
    return scores


@pytest.mark.parametrize("least_is_best", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_scores_count_who_is_worse(seed: int, least_is_best: bool) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, [3, 8, 50, 1000][seed], size=int(rng.integers(1, 90))).astype(float)
    values[rng.random(len(values)) < 0.1] = np.nan
    assert rfm_scores(values, least_is_best).tolist() == oracle(values.tolist(), least_is_best)


def test_one_time_buyers_all_score_one_however_many_they_are() -> None:
    assert rfm_scores(np.array([1.0] * 80 + [2.0] * 10 + [3.0] * 10)).tolist() == [1] * 80 + [5] * 20


def test_fifths_are_fifths_where_nobody_is_tied() -> None:
    assert np.bincount(rfm_scores(np.arange(100.0)))[1:].tolist() == [20] * 5
    assert rfm_scores(np.arange(100.0), least_is_best=True)[0] == 5
    assert rfm_scores(np.array([])).tolist() == []


def test_groups_without_money_go_by_frequency_alone() -> None:
    r, f = np.array([5, 5, 1, 3]), np.array([5, 1, 5, 3])
    names = list(RULES)
    expected = ["champions", "recent buyers", "quiet champions", "average customers"]
    assert [names[g] for g in rfm_groups(RULES, r, f, None)] == expected
    m = np.array([2, 4, 5, 4])
    assert [names[g] for g in rfm_groups(RULES, r, f, m)] == [
        "champions",
        "potential loyalists",
        "quiet champions",
        "loyal",
    ]
