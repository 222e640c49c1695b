"""Effects of synthetic plans: false alarms over segments, groups without a comparison, groups that are too small."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from features.task import Window
from serving.measurement.compared_outcomes import compare_outcomes
from serving.measurement.effect_estimates import ADJUSTED, ALL, EACH_ACTION, EACH_SEGMENT, measured_effects
from serving.measurement.executed_plan import ExecutedPlan


def executed_plan(
    seed: int, customers: int = 1_000, segments: int = 4, share: float = 0.1, **more: Any
) -> ExecutedPlan:
    """A plan that did nothing to anybody: few customers bring most of the money, which is known before in part."""
    rng = np.random.default_rng(seed)
    churn, usual = rng.uniform(0.2, 0.8, customers), rng.lognormal(3, 1, customers)
    back = rng.random(customers) > churn
    known = {"before": usual * rng.lognormal(0, 1, customers), "churn_probability": churn, "value": (1 - churn) * usual}
    columns: dict[str, Any] = {
        "plan": SimpleNamespace(manifest=SimpleNamespace(holdout={"seed": seed}, margin=0.5, experiment=None)),
        "actions": ("mail", "call"),
        "segment": np.array([f"s{number}" for number in rng.integers(segments, size=customers)]),
        "eligible": np.ones(customers, bool),
        "held_out": rng.random(customers) < share,
        "assigned": rng.choice([-1, 0, 1], customers, p=[0.1, 0.6, 0.3]),
        "contacts": np.zeros((customers, 2)),
        "other_contacts": np.zeros(customers),
        "cost": np.ones(customers),
        "cost_source": "plan",
        "responses": {},
        "outcomes": {"return": back * 1.0, "value": back * usual * rng.lognormal(0, 1, customers)},
        "covariates": np.column_stack(list(known.values())),
        "covariate_names": tuple(known),
        "missing_customers": 0,
        "contacted_outside": 0,
        "other_actions": {},
        "log": SimpleNamespace(days=30),
        "horizon": Window(30),
    }
    return ExecutedPlan(**{**columns, **more})


def _rows(executed: ExecutedPlan, **of: str) -> list[dict[str, Any]]:
    wanted = {"estimator": ADJUSTED, **of}
    return [row for row in measured_effects(executed, draws=799).rows if wanted.items() <= row.items()]


def test_without_an_effect_hardly_any_plan_has_a_segment_with_one() -> None:
    false_segments, alarms = [], []
    for seed in range(40):
        rows = measured_effects(executed_plan(seed, 400, 3), draws=799).rows
        adjusted = [row for row in rows if (row["estimator"], row["outcome"]) == (ADJUSTED, "value")]
        alarms.append([row["p"] <= 0.05 for row in adjusted if row["family"] == ALL])
        segments = [row for row in adjusted if row["family"] == EACH_SEGMENT]
        false_segments.append(any(row["low"] > 0 or row["high"] < 0 for row in segments))
        assert all((row["p"] <= 0.05) >= (row["low"] > 0 or row["high"] < 0) for row in segments)
    assert np.mean(alarms) <= 0.12 and np.mean(false_segments) <= 0.12


def test_actions_without_customers_on_both_sides_are_not_compared() -> None:
    executed = executed_plan(1)
    lost = executed_plan(1, held_out=executed.held_out & (executed.assigned != 1))
    effects = measured_effects(lost)
    assert effects.compared == ("mail",)
    (everybody,) = _rows(lost, family=ALL, outcome="value")
    assert everybody["treated"] == ((lost.assigned == 0) & ~lost.held_out).sum()
    split = executed_plan(1, held_out=executed.assigned == 1)  # one action treats all, the other holds out all
    assert compare_outcomes(split).inside.sum() == (split.assigned >= 0).sum()
    (mixed,) = _rows(split, family=ALL, outcome="value")
    assert mixed["effect"] is not None and (mixed["held"], mixed["treated"]) == tuple(
        (split.assigned == place).sum() for place in (1, 0)
    )


def test_everybody_has_a_row_however_few_are_held_out() -> None:
    executed = executed_plan(2, 60)
    few = executed_plan(2, 60, held_out=np.arange(60) == np.flatnonzero(executed.assigned == 0)[0])
    everybody = next(row for row in measured_effects(few).rows if row["outcome"] == "value")
    assert (
        everybody["family"] == ALL
        and everybody["held"] == 1
        and everybody["effect"] is not None
        and 0.03 < everybody["p"] <= 1
    )
    assert everybody["low"] is None and everybody["anytime_low"] is None  # 36 assignments do not reach 5%


def test_the_only_action_and_segment_are_everybody() -> None:
    executed = executed_plan(3, 300, 1, assigned=np.zeros(300, int), actions=("mail",))
    rows = _rows(executed, outcome="return")
    assert len({(row["effect"], row["low"], row["high"], row["p"]) for row in rows}) == 1
    assert {row["family"] for row in rows} == {ALL, EACH_ACTION, EACH_SEGMENT, "action and segment"}


def test_groups_that_are_too_small_say_how_many_would_do() -> None:
    executed = executed_plan(4, 1_200, 6)
    effects = measured_effects(executed, draws=799)
    small = [group for group in effects.withheld if (group["family"], group["outcome"]) == (EACH_SEGMENT, "value")]
    shown = _rows(executed, family=EACH_SEGMENT, outcome="value")
    assert len(small) + len(shown) == 6 and small
    larger = executed_plan(4, int(1_200 * max(group["needed"] / group["held"] for group in small) * 1.4), 6)
    assert len(_rows(larger, family=EACH_SEGMENT, outcome="value")) == 6


def test_a_segment_where_nobody_returned_has_no_row_and_no_number() -> None:
    executed = executed_plan(5, 800, 2)
    gone = {name: values * (executed.segment != "s1") for name, values in executed.outcomes.items()}
    effects = measured_effects(executed_plan(5, 800, 2, outcomes=gone))
    (group,) = [
        g for g in effects.withheld if (g["family"], g["segment"], g["outcome"]) == (EACH_SEGMENT, "s1", "return")
    ]
    assert group["needed"] is None


def test_an_outcome_that_nobody_has_is_not_an_effect_of_zero() -> None:
    executed = executed_plan(6, 300)
    nothing = {name: np.zeros(300) for name in executed.outcomes}
    (everybody,) = _rows(executed_plan(6, 300, outcomes=nothing), family=ALL, outcome="value")
    assert everybody["effect"] == 0 and everybody["p"] == 1 and everybody["low"] is None
    assert measured_effects(executed_plan(6, 300, outcomes=nothing)).caps == {}
