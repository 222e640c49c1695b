"""Arms compared with each other: effects by hand, error rates over repetition, and a measured experiment end to end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.campaigns.measured_plans import plans_as_contacts
from features.config.load import Config
from features.task import Window
from serving.campaigns.overview import list_campaigns
from serving.campaigns.text import campaigns_text
from serving.effects.past_effects import past_effects
from serving.experiments.arms import NOTHING
from serving.measurement.arm_contrasts import contrast_rows, experiment_facts
from serving.measurement.compared_outcomes import ComparedOutcomes
from serving.measurement.measure import PlanMeasurement, measure_plan
from serving.measurement.text import measurement_text
from serving.planning.plan import make_plan
from tests.campaigns import CONTACTS, EARLIER, days_after_cutoff, write_parquet
from tests.scored import CUTOFF, make_scored

LEVELS = {"a": ["email", 0.1], "b": ["email", 0.2], "c": ["phone", 0.1], "d": ["phone", 0.2]}
FACTORIAL = {"test": "", "pilot": False, "order": list(LEVELS), "factors": ["channel", "depth"], "levels": LEVELS}
THREE = {"test": "", "pilot": False, "order": ["a", "b", NOTHING], "factors": [], "levels": {}}


def _executed(experiment: dict[str, Any], arm: np.ndarray, value: np.ndarray) -> Any:
    """An executed experiment with known arms (n,) and values (n,)."""
    names = experiment["order"]
    actions = tuple(name for name in names if name != NOTHING)
    manifest = SimpleNamespace(experiment={**experiment, "arms": dict.fromkeys(names)}, margin=0.5)
    return SimpleNamespace(
        plan=SimpleNamespace(manifest=manifest), actions=actions, assigned=np.where(arm < len(actions), arm, -1),
        treated=arm < len(actions), arm=lambda name: arm == names.index(name), outcomes={"value": value},
        horizon=Window(30), mature=True, cost=np.ones(len(arm)),
    )  # fmt: skip


def _outcomes(value: np.ndarray, strata: np.ndarray, draws: int = 99) -> ComparedOutcomes:
    n, column = len(value), value[:, None]
    every = np.ones(n, bool)
    return ComparedOutcomes(every, every, strata, column, column, column, np.empty((n, 0)), {}, 3, draws)


def _rows(experiment: dict[str, Any], arm: np.ndarray, value: np.ndarray, strata: np.ndarray) -> list[dict[str, Any]]:
    rows = contrast_rows(_executed(experiment, arm, value), _outcomes(value, strata))
    return [row for row in rows if row["estimator"] == "adjusted"]


def test_pairs_main_effects_and_interaction_are_those_of_the_cell_means() -> None:
    arm, strata = np.tile(np.arange(4), 60), np.repeat([0, 1, 2], 80)
    means = np.array([1.0, 2.0, 5.0, 9.0])
    value = means[arm] + 10 * strata + np.random.default_rng(1).normal(0, 0.01, len(arm))
    by_name = {(row["family"], row["action"]): row for row in _rows(FACTORIAL, arm, value, strata)}
    assert by_name["pair", "a"]["effect"] == pytest.approx(1 - 9, abs=0.01), "the last of its pairs, against d"
    assert by_name["main effect", "channel phone"]["effect"] == pytest.approx((4 + 7) / 2, abs=0.01)
    assert by_name["main effect", "depth 0.2"]["effect"] == pytest.approx((1 + 4) / 2, abs=0.01)
    interaction = by_name["interaction", "channel phone vs email at depth 0.2"]
    assert interaction["effect"] == pytest.approx(3, abs=0.01)
    assert interaction["low"] < 3 < interaction["high"] and interaction["low"] > 2.9


def test_an_interaction_is_not_a_main_effect_of_unequal_arms() -> None:
    """A capacity makes arms unequal; main effects then must not pass for an interaction."""
    arm = np.repeat([0, 1, 2, 3], [90, 90, 90, 20])
    value = np.array([1.0, 2.0, 5.0, 6.0])[arm] + np.random.default_rng(2).normal(0, 0.05, len(arm))
    (row,) = (r for r in _rows(FACTORIAL, arm, value, np.zeros(len(arm), int)) if r["family"] == "interaction")
    assert abs(row["effect"]) < 0.05


def test_without_effects_any_significant_pair_is_rare() -> None:
    """At most 5% of experiments have a p-value below 0.05 in the family: a one-sided test over 200 repetitions."""
    rng, wrong = np.random.default_rng(3), 0
    for _ in range(200):
        arm, value = rng.permutation(np.repeat([0, 1, 2], 30)), rng.lognormal(0, 1.5, 90)
        rows = _rows(THREE, arm, value, np.repeat([0, 1], 45))
        wrong += min(row["p"] for row in rows) < 0.05
    assert wrong <= 10 + 2.6 * np.sqrt(200 * 0.05 * 0.95)


def test_gains_are_margin_of_the_effect_less_the_costs() -> None:
    arm = np.repeat([0, 1, 2], 40)
    value = np.array([4.0, 2.0, 0.0])[arm] + np.random.default_rng(4).normal(0, 0.01, len(arm))
    executed = _executed(THREE, arm, value)
    executed.cost = np.array([1.5, 0.5, 0.0])[arm]
    facts = experiment_facts(executed, list(contrast_rows(executed, _outcomes(value, np.zeros(len(arm), int)))))
    assert facts["gains"]["a vs b"][0] == pytest.approx(0.5 * 2 - 1, abs=0.01)
    assert facts["gains"][f"a vs {NOTHING}"][0] == pytest.approx(0.5 * 4 - 1.5, abs=0.01)


ACTIONS = {"mail": {"cost": 0.5, "save_rate": 0.3}, "call": {"cost": 2.0, "save_rate": 0.6}}


def make_executed_experiment(folder: Path, test: str = "mail vs call vs nothing", lost: str = "") -> Config:
    """An experiment with known orders and contacts since; customers of the arm `lost` vanish from the log."""
    write_parquet(folder, "contacts", [EARLIER])
    config = make_scored(folder, {"plan": {"margin": 0.5, "actions": ACTIONS}, "contacts": CONTACTS}, customers=600)
    plan = make_plan(config, CUTOFF, test=test, detect=0.3)
    rng, orders, sent = np.random.default_rng(5), [], [EARLIER]
    for row in plan.table().to_pylist():
        chance = 1 - row["churn_probability"] + {"mail": 0.1, "call": 0.5}.get(row["action"], 0.0)
        if rng.random() < chance:
            moment = days_after_cutoff(int(rng.integers(1, 28)))
            orders.append({"customer": row["customer_id"], "time": moment, "amount": float(rng.gamma(2, 10))})
        if row["action"]:
            sent.append({"id": row["customer_id"], "at": days_after_cutoff(0), "what": row["action"], "cost": 0.75})
    orders.append({"customer": "late", "time": days_after_cutoff(39), "amount": 1.0})
    gone = {r["customer_id"] for r in plan.table().to_pylist() if r["action"] == lost} if lost else set()
    before = pq.read_table(folder / "log.parquet").to_pylist()
    write_parquet(folder, "log", [row for row in [*before, *orders] if row["customer"] not in gone])
    write_parquet(folder, "contacts", [row for row in sent if row["id"] not in gone])
    return config


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_executed_experiment(tmp_path_factory.mktemp("arms"))


@pytest.fixture(scope="module")
def measured(config: Config) -> PlanMeasurement:
    return measure_plan(config, str(CUTOFF))


def test_an_experiment_is_measured_pair_by_pair(measured: PlanMeasurement) -> None:
    text = measurement_text(measured)
    assert text.startswith("experiment 'retention-test'") and "as randomised" in text
    assert "call against nothing: +" in text and "nothing is learned" not in text
    pairs = [row for row in measured.facts["effects"] if row["family"] == "pair" and row["estimator"] == "adjusted"]
    assert {(row["action"], row["against"]) for row in pairs} == {
        ("mail", "call"), ("mail", NOTHING), ("call", NOTHING),
    }  # fmt: skip
    assert measured.table().schema.field("against").type == "string"


def test_arms_against_nothing_are_evidence(config: Config, measured: PlanMeasurement) -> None:
    later = measured.plan.cutoff.replace(month=12)
    assert {each.action for each in past_effects(config, later, "return", ())} == {"mail", "call"}
    rows = plans_as_contacts(config).to_pandas()
    shares = rows.groupby("action").propensity.first()
    assert set(shares.index) == {"mail", "call", "none"} and shares.sum() == pytest.approx(1)
    overview = list_campaigns(config)
    assert overview.campaigns[0].arms == ("mail", "call", NOTHING)
    assert "what the experiments found" in campaigns_text(overview)


def test_arms_that_all_get_something_are_no_evidence_of_an_effect(tmp_path: Path) -> None:
    config = make_executed_experiment(tmp_path, "mail vs call")
    measured = measure_plan(config, str(CUTOFF))
    assert {row["family"] for row in measured.facts["effects"]} == {"pair"}
    assert measured.facts["customers"]["held_out"] == 0 and not plans_as_contacts(config).num_rows
    assert past_effects(config, measured.plan.cutoff.replace(month=12), "return", ()) == ()


def test_nothing_is_learned_from_arms_of_other_sizes_than_drawn(tmp_path: Path) -> None:
    """Customers of one arm vanish from the log: a sample-ratio mismatch."""
    config = make_executed_experiment(tmp_path, lost="mail")
    measured = measure_plan(config, str(CUTOFF), other_log=True)
    assert measured.sample_ratio_mismatch
    text = measurement_text(measured)
    assert "ALARM: sample-ratio mismatch" in text and "Nothing is learned from it: sample-ratio mismatch" in text
    assert not plans_as_contacts(config).num_rows
    assert past_effects(config, measured.plan.cutoff.replace(month=12), "return", ()) == ()
    overview = list_campaigns(config)
    assert all(belief.effect is None for belief in overview.beliefs) and not overview.experiments
    listed = campaigns_text(overview)
    assert "measured; does not count" in listed and "Nothing is learned from it: sample-ratio mismatch" in listed
