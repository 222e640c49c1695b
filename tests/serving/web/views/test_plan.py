"""The plan at other budgets: against the solver that plans are made with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.config.load import Config
from features.outputs.manifests import manifest_text
from serving.language.messages import get_language
from serving.measurement import effect_estimates
from serving.planning import inputs, plan
from serving.report import inputs as report_inputs
from serving.report.plans import measured_section, plan_section
from serving.report.text import report_wording
from serving.scoring.score_tables import read_scores
from serving.web.parts.output_reader import open_site, read_scored_cutoff
from serving.web.views import customer, experiments, plan_list
from serving.web.views import plan as planning
from tests.scored import CUTOFF, make_scored
from tests.webpages import TASK, app_of, fetch

ONE = {"margin": 0.5, "holdout": 0.2, "actions": {"mail": {"cost": 0.5, "save_rate": 0.1}}, "curve": 6}
TWO = {**ONE, "actions": {**ONE["actions"], "call": {"cost": 2.0, "save_rate": 0.6, "capacity": 20}}}


def planned(folder: Path, rules: dict, budget: float) -> tuple[Config, planning.StoredPlan]:
    config = make_scored(folder, {"plan": rules})
    plan.make_plan(config, CUTOFF, budget=budget)
    return config, planning.read_stored_plan(open_site(config))


def test_with_one_action_a_smaller_budget_is_planned_exactly(tmp_path: Path) -> None:
    config, stored_plan = planned(tmp_path, ONE, 40.0)
    for budget in (0.0, 0.4, 7.3, 20.0, 29.9):
        smaller = planning.at_budget(stored_plan, budget)
        assert smaller.sort == "best"
        if budget >= 0.5:
            best = plan.make_plan(config, CUTOFF, budget=budget)
            assert smaller.gain == pytest.approx(best.gain, abs=1e-9)
            assert smaller.customers == best.manifest.customers["with_action"]
        assert smaller.spent <= budget and smaller.bound is not None and smaller.bound >= smaller.gain - 1e-9


def test_with_several_it_is_a_part_of_the_plan_under_a_bound_that_holds(tmp_path: Path) -> None:
    config, stored_plan = planned(tmp_path, TWO, 60.0)
    for budget in (3.0, 11.0, 42.0):
        smaller = planning.at_budget(stored_plan, budget)
        best = plan.make_plan(config, CUTOFF, budget=budget)
        assert smaller.sort == "part" and smaller.spent <= budget
        assert smaller.bound is not None and smaller.gain <= best.gain + 1e-9 <= smaller.bound + 2e-9
        assert smaller.bound <= stored_plan.facts.bound + 1e-9


def test_the_plan_itself_and_what_lies_beyond(tmp_path: Path) -> None:
    config, stored_plan = planned(tmp_path, ONE, 20.0)
    own = planning.at_budget(stored_plan, stored_plan.budget)
    assert (own.sort, own.customers) == ("own", stored_plan.facts.customers["with_action"])
    assert own.gain == pytest.approx(stored_plan.facts.gain) and own.spent == pytest.approx(stored_plan.facts.spent)
    beyond = planning.at_budget(stored_plan, 30.0)
    best = plan.make_plan(config, CUTOFF, budget=30.0)
    assert beyond.sort == "beyond" and beyond.customers == own.customers
    assert beyond.about == pytest.approx(best.gain, rel=0.05) and beyond.bound >= best.gain - 1e-9
    assert planning.at_budget(stored_plan, stored_plan.last * 2).about is None


def test_the_list_is_those_who_are_in_most_gain_for_the_money_first(tmp_path: Path) -> None:
    config, stored_plan = planned(tmp_path, TWO, 60.0)
    site, smaller = open_site(config), planning.at_budget(stored_plan, 20.0)
    pages = (plan_list.plan_customers(site, stored_plan, smaller, plan_list.PlanFilter(), page) for page in (1, 2, 3))
    rows = [row for page in pages for row in page]
    assert len(rows) == smaller.customers
    assert sum(row["cost"] for row in rows) == pytest.approx(smaller.spent)
    assert sum(row["expected_gain"] for row in rows) == pytest.approx(smaller.gain)
    ratio = np.array([row["expected_gain"] / row["cost"] for row in rows])
    assert (np.diff(ratio) <= 1e-12).all()


def test_names_that_are_repeated_here_are_those_of_the_room() -> None:
    assert (planning.CURVE_JSON, planning.MONEY) == (plan.CURVE_JSON, inputs.MONEY)
    for mature in (True, False):
        assert experiments.ENDS[mature] == effect_estimates.interval_columns(mature)
    names = ("ALL", "ADJUSTED", "EACH_ACTION", "EACH_SEGMENT")
    assert [getattr(experiments, name) for name in names] == [getattr(effect_estimates, name) for name in names]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_report_page_and_customer_name_the_same_live_plan(tmp_path: Path, language: str) -> None:
    actions = {**TWO["actions"], "voucher": {"cost": 4.0, "save_rate": 0.9, "capacity": 5}}
    config = make_scored(tmp_path, {"plan": {**TWO, "actions": actions}, "language": language})
    plan.make_plan(config, CUTOFF, budget=40.0)
    plan.make_plan(config, CUTOFF, budget=60.0, campaign="autumn")
    site, scores, tr = open_site(config), read_scores(config, CUTOFF), get_language(language)
    assert planning.read_stored_plan(site).name == f"{CUTOFF}/autumn"
    assert planning.plan_names(site) == [f"{CUTOFF}/autumn", f"{CUTOFF}/retention"]
    rows = customer._plans(site, read_scored_cutoff(site), "c010")
    assert [(row["campaign"], row["superseded_by"]) for row in rows] == [("autumn", ""), ("retention", "autumn")]
    found = report_inputs.read_report_inputs(config, scores, tr)
    models = {"churn": {"label": "shop-churn/1", "task": TASK}}
    manifest = scores.manifest.model_copy(update={"models": models})
    wording = report_wording(replace(scores, manifest=manifest), True, 10.0, tr)
    section = plan_section(wording, found)
    assert (section["name"], section["other_plans"], section["superseded"]) == ("autumn", [], ["retention"])
    assert any("voucher" in sentence for sentence in section["unmeasurable"])
    (waiting,) = measured_section(wording, found)["waiting"]
    assert "autumn" in waiting, "superseded plans wait for nothing"
    app = app_of(config)
    live, old = fetch(app, "/plan").text, fetch(app, f"/plan?plan={CUTOFF}/retention").text
    note = tr("Superseded by the plan '{by}' of the same cutoff: nobody should act on this one.", by="autumn")
    assert note.replace("'", "&#39;") in old and note.replace("'", "&#39;") not in live
    assert all(sentence in live for sentence in section["unmeasurable"]) and tr("superseded") in live


def test_the_first_page_leads_to_the_live_plan_unless_it_is_of_other_scores(tmp_path: Path) -> None:
    config, stored_plan = planned(tmp_path, ONE, 20.0)
    text = fetch(app_of(config), "/").text
    assert "get an action, for 20" in text and f'href="/plan/campaign.csv?plan={CUTOFF}%2F' in text
    path = stored_plan.folder / "manifest.json"
    path.write_text(manifest_text(json.loads(path.read_text()) | {"scores": {"parts": []}}), encoding="utf-8")
    text = fetch(app_of(config), "/").text
    assert "scored again after this plan was made" in text and "/plan/campaign.csv" not in text
    path.unlink()
    assert f"<code>regulars plan --cutoff {CUTOFF} --budget B</code>" in fetch(app_of(config), "/").text


def test_an_experiment_is_shown_with_its_arms_and_whole_at_any_budget(tmp_path: Path) -> None:
    config = make_scored(tmp_path, {"plan": TWO})
    plan.make_plan(config, CUTOFF, test="mail vs nothing", detect=0.3)
    page = fetch(app_of(config), f"/plan?plan={CUTOFF}/retention-test&budget=1").text
    assert "This plan is an experiment: mail vs nothing." in page
    assert "This is the complete plan" in page and "Expected gain by budget" not in page
    assert "no plan within the limits" not in page
