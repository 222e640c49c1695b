"""The power of a holdout, against simulation and textbook figures."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from serving.planning.power import ALPHA, POWER, analyse_power, holdout_power
from serving.planning.table import PLAN_SCHEMA

N = 4_000


def _table(seed: int = 0, share: float = 0.25) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    churn, spend = rng.uniform(0.2, 0.8, N), rng.lognormal(3, 0.5, N)
    some = rng.random(N) < 0.7
    columns = {
        "holdout": rng.random(N) < share,
        "would_have": pa.array(["mail"] * N, mask=~some),
        "churn_probability": churn,
        "value": (1 - churn) * spend,
        "value_at_risk": churn * spend,
        "effect_return": 0.1 * churn,
        "effect_value": 0.1 * churn * spend,
    }
    table = pa.table({f.name: columns.get(f.name, pa.nulls(N, f.type)) for f in PLAN_SCHEMA}, schema=PLAN_SCHEMA)
    return table, churn[some], spend[some]


def test_power_for_the_sizes_of_cookie_cats_is_the_textbook_value() -> None:
    """45,000 a side and 19.0% against 18.2%: z = 3.1, so power is Phi(3.1 - 1.96) = 0.87."""
    analysis = analyse_power(np.sqrt(0.186 * 0.814), 45_000, 45_000, -0.008, 0.5, ALPHA)
    assert analysis.power == pytest.approx(0.870, abs=0.005)
    assert analysis.needed == pytest.approx(74_300, rel=0.01)
    assert analysis.detects == pytest.approx(0.00727, abs=5e-5)


def test_at_the_smallest_effect_power_is_as_promised() -> None:
    analysis = analyse_power(2.0, 900, 100, 0.0, 0.1, 0.05)
    assert analysis.power == 0 and analysis.needed is None
    again = analyse_power(2.0, 900, 100, analysis.detects, 0.1, 0.05)
    assert again.power == pytest.approx(POWER, abs=1e-4)
    assert again.needed == pytest.approx(1000, abs=1)


def test_deviations_are_those_of_simulated_outcomes() -> None:
    table, churn, spend = _table()
    power = holdout_power(table, ["mail"], 0.25, spread=0.3)
    rng = np.random.default_rng(1)
    returned = rng.random((200, len(churn))) > churn
    brought = returned * spend * rng.gamma(1 / 0.3, 0.3, returned.shape)  # mean 1, variance 0.3
    assert power["all"]["return"]["deviation"] == pytest.approx(returned.std(), rel=0.01)
    assert power["all"]["value"]["deviation"] == pytest.approx(brought.std(), rel=0.01)


def test_groups_are_counted_and_several_actions_share_the_false_alarms() -> None:
    table, churn, _ = _table()
    power = holdout_power(table, ["mail", "call"], 0.25, spread=None)
    everyone, mail = power["all"], power["actions"]["mail"]
    assert everyone["with_action"] + everyone["held_out"] == len(churn)
    assert everyone["held_out"] == pytest.approx(0.25 * len(churn), rel=0.1)
    assert everyone["return"]["expected"] == pytest.approx(0.1 * churn.mean(), rel=0.02)
    assert mail["alpha"] == ALPHA / 2 and mail["return"]["detects"] > everyone["return"]["detects"]
    assert everyone["value"] is None
    assert power["actions"]["call"]["return"] is None


def test_without_a_holdout_there_is_no_power() -> None:
    assert analyse_power(1.0, 100, 0, 0.5, 0.0, 0.05).power == 0.0
    table, _, _ = _table(share=0.0)
    assert holdout_power(table, ["mail"], 0.0, 0.3)["all"]["value"]["detects"] is None
