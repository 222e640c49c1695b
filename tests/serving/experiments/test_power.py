"""The power of a holdout, against textbook figures and against the method by which a plan is measured."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from serving.experiments.power import ALPHA, POWER, OutcomeMoments, analyse_power, holdout_power, simulate_moments
from serving.planning.table import PLAN_SCHEMA
from serving.statistics.treatment_effect import count_up_to_cap, regression_adjusted_effect

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


def _moments(deviation: float, effect: float, skewness: float = 0.0) -> OutcomeMoments:
    return OutcomeMoments(deviation, deviation, deviation, skewness, effect, effect)


def test_power_for_the_sizes_of_cookie_cats_is_the_textbook_value() -> None:
    """45,000 a side and 19.0% against 18.2%: z = 3.1, so power is Phi(3.1 - 1.96) = 0.87."""
    analysis = analyse_power(_moments(np.sqrt(0.186 * 0.814), -0.008), 45_000, 45_000, 0.5, ALPHA)
    assert analysis.power == pytest.approx(0.870, abs=0.005)
    assert analysis.needed == pytest.approx(74_300, rel=0.01)
    assert analysis.detects == pytest.approx(0.00727, abs=5e-5)


@pytest.mark.parametrize("skewness", [0.0, 4.0])
def test_at_the_smallest_effect_power_is_as_promised(skewness: float) -> None:
    analysis = analyse_power(_moments(2.0, 0.0, skewness), 900, 100, 0.1, 0.05)
    assert analysis.power == 0 and analysis.needed is None
    again = analyse_power(_moments(2.0, analysis.detects, skewness), 900, 100, 0.1, 0.05)
    assert again.power == pytest.approx(POWER, abs=1e-4)
    assert again.needed == pytest.approx(1000, abs=1)


def test_buyers_spend_varies_as_in_the_log_and_the_effect_is_the_plan_s() -> None:
    table, churn, spend = _table()
    power = holdout_power(table, ["mail"], 0.25, spread=0.9, seed=1)
    every = power["all"]
    assert every["return"]["expected"] == pytest.approx(0.1 * churn.mean(), rel=0.02)
    assert every["return"]["counted"] == pytest.approx(every["return"]["expected"], rel=0.1)
    assert every["value"]["expected"] == pytest.approx((0.1 * churn * spend).mean(), rel=0.03)
    assert 0 < every["value"]["counted"] < every["value"]["expected"]
    assert spend.mean() < every["value"]["counted_up_to"] < spend.max() * 10
    wider = holdout_power(table, ["mail"], 0.25, spread=2.0, seed=1)["all"]["value"]
    assert wider["deviation"] > every["value"]["deviation"] and wider["power"] < every["value"]["power"]
    assert holdout_power(table, ["mail"], 0.25, spread=0.9, seed=1) == power


@pytest.mark.parametrize("held, effect", [(0.06, 0.3), (0.25, 0.15)])
def test_plans_are_measured_as_significant_as_often_as_foretold(held: float, effect: float) -> None:
    """Experiments with the same world, measured as `measure` does; 6% held out of some 500 are few and skewed."""
    rng, n, hits = np.random.default_rng(3), 500, 0
    churn, spend = rng.uniform(0.3, 0.9, n), rng.lognormal(3, 0.7, n)
    value, sigma = (1 - churn) * spend, 0.8
    with_action = np.minimum(1 - churn + effect * churn, 1)
    weight = (1 - churn) / (1 - churn).sum()
    spread = np.exp(sigma**2) * (weight @ spend**2) / (weight @ spend) ** 2 - 1
    scores = {"churn_probability": churn, "value": value, "value_at_risk": churn * spend,
              "effect_return": with_action - 1 + churn, "effect_value": (with_action - 1 + churn) * spend}  # fmt: skip
    holdout = np.arange(n) < held * n
    moments = simulate_moments(scores, rng.permutation(holdout), float(spread), 1)["value"]
    foretold = analyse_power(moments, int((~holdout).sum()), int(holdout.sum()), held, 0.05).power
    trials = 250
    for seed in range(trials):
        treated = ~rng.permutation(holdout)
        back = rng.random(n) < np.where(treated, with_action, 1 - churn)
        outcome, _ = count_up_to_cap(back * spend * np.exp(sigma * rng.normal(size=n) - sigma**2 / 2))
        covariates = np.column_stack([churn, value, np.log1p(value)])
        hits += regression_adjusted_effect(outcome, treated, covariates, seed=seed, draws=399).p <= 0.05
    assert hits / trials == pytest.approx(foretold, abs=0.08)
    assert 0.15 < foretold < 0.95


def test_groups_are_counted_and_several_actions_share_the_false_alarms() -> None:
    table, churn, _ = _table()
    power = holdout_power(table, ["mail", "call"], 0.25, spread=None, seed=1)
    everyone, mail = power["all"], power["actions"]["mail"]
    assert everyone["with_action"] + everyone["held_out"] == len(churn)
    assert everyone["held_out"] == pytest.approx(0.25 * len(churn), rel=0.1)
    assert everyone["return"]["expected"] == pytest.approx(0.1 * churn.mean(), rel=0.02)
    assert mail["alpha"] == ALPHA / 2 and mail["return"]["detects"] > everyone["return"]["detects"]
    assert everyone["value"] is None
    assert power["actions"]["call"]["return"] is None


def test_without_a_holdout_there_is_no_power() -> None:
    assert analyse_power(_moments(1.0, 0.5), 100, 0, 0.0, 0.05).power == 0.0
    table, _, _ = _table(share=0.0)
    assert holdout_power(table, ["mail"], 0.0, 0.3, 1)["all"]["value"]["detects"] is None
