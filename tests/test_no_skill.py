"""A business whose customers nobody can tell apart: everybody alike is champion, and every text says so first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pytest

from features.config.load import Config, load_config
from features.snapshots.build import build_snapshots
from serving.customer_report import explain_customer
from serving.explanation.what_if import WhatIf, what_if_lines
from serving.planning.plan import Plan, make_plan
from serving.planning.text import plan_text
from serving.report.page import write_report
from serving.scoring.run import score_customers
from serving.scoring.score_tables import Scores
from serving.scoring.value_tiers import NO_SKILL
from serving.segmentation.run import segment_customers
from serving.segmentation.text import segments_text
from training import train as room
from training.evaluation.evaluate import OURS
from training.evaluation.skill import NO_BETTER
from training.fit import FittedModels
from training.models.everybody_alike import AlikeModels, fit_everybody_alike
from training.registry.aliases import promote_challengers, roll_back_champions
from training.registry.model_card import model_card_text
from training.registry.models import load_champion
from training.train import TrainingRun

PLAN = """
[plan]
budget = 500
margin = 0.5
holdout = 0.5
[plan.actions.mail]
cost = 0.1
save_rate = 0.9
[plan.minimums]
"save first" = 0.5
"""


def without_skill(fitted: FittedModels, config: Config) -> FittedModels:
    """The shop's models under the name of another business, as if their order at the last cutoff were random."""
    metrics = fitted.evaluation.metrics.copy()
    order = (metrics.model == OURS) & (metrics.metric == "auc") & (metrics.cutoff == fitted.split.test.test)
    metrics.loc[order, ["value", "low", "high"]] = (0.5, 0.45, 0.55)
    assert fitted.value is not None
    churn, value, evaluated = (replace(b, name=config.name) for b in (fitted.churn, fitted.value, fitted.evaluated))
    rows = build_snapshots(config)
    known_then = rows.as_known(fitted.split.test.test)
    alike = AlikeModels(
        tuple(fit_everybody_alike(bundle, rows, 0.8) for bundle in (churn, value)),
        fit_everybody_alike(evaluated, known_then, 0.8),
    )
    evaluation = replace(fitted.evaluation, metrics=metrics)
    return replace(fitted, churn=churn, value=value, evaluated=evaluated, evaluation=evaluation, alike=alike)


@pytest.fixture(scope="module")
def config(shop: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The shop's log with a plan, in a folder and an MLflow of its own."""
    folder = tmp_path_factory.mktemp("alike")
    os.link(shop.folder / "log.parquet", folder / "log.parquet")
    text = (shop.folder / "regulars.toml").read_text(encoding="utf-8").replace('"shop"', '"alike"')
    (folder / "regulars.toml").write_text(text + PLAN, encoding="utf-8")
    return load_config(folder / "regulars.toml")


@pytest.fixture(scope="module")
def run(config: Config, trained: TrainingRun) -> Iterator[TrainingRun]:
    """A training of it; the fitted models are those of the shop."""
    fitted = without_skill(trained.fitted, config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "fit_models", lambda *_, **__: fitted)
        yield room.train_models(config)


@pytest.fixture(scope="module")
def scores(config: Config, run: TrainingRun) -> Scores:
    return score_customers(config, run.newest, with_contributions=True)


@pytest.fixture(scope="module")
def plan(config: Config, scores: Scores) -> Plan:
    return make_plan(config, scores.cutoff)


def test_everybody_alike_is_champion_and_the_models_are_challengers(config: Config, run: TrainingRun) -> None:
    assert run.decision.alike and not run.decision.promoted
    assert [v.label for v in run.champions] == ["alike-churn/1", "alike-value/1"]
    assert [v.label for v in run.versions] == ["alike-churn/2", "alike-value/2"]
    assert run.decision.reasons[0].startswith(f"it is {NO_BETTER}: AUC 0.500 (0.450 to 0.550; 0.5 is chance)")
    champion, challenger = (load_champion(config, "value", alias) for alias in ("champion", "challenger"))
    assert champion is not None and challenger is not None
    assert (champion.bundle.skill, challenger.bundle.skill) == (False, True)
    assert champion.judge is not None and not champion.judge.skill
    assert "alike-churn/1, alike-value/1, everybody alike, champion; alike-churn/2" in room.training_outcome(run)


def test_train_and_the_model_card_say_it_first(run: TrainingRun, config: Config) -> None:
    assert room.training_text(run.fitted).startswith(f"No{NO_BETTER[2:]}: AUC 0.500")
    card = model_card_text(run.fitted, build_snapshots(config), config, pd.DataFrame())
    assert card.startswith(f"# alike: {NO_BETTER}\n")
    assert (config.output / "model_card.md").read_text(encoding="utf-8") == card


def test_a_registered_model_predicts_the_same_for_everybody(run: TrainingRun, config: Config) -> None:
    model = mlflow.pyfunc.load_model("models:/alike-value@champion")
    rows = build_snapshots(config).rows.slice(0, 4).to_pandas()
    columns = [name for name in model.metadata.get_input_schema().input_names() if name in rows]
    predicted = model.predict(rows[columns], params={"reasons": 3})
    assert predicted.churn_probability.nunique() == 1
    assert all(len(reasons) == 0 for reasons in predicted.churn_reasons)


def test_scores_are_the_same_for_everybody_without_reasons(config: Config, scores: Scores) -> None:
    table = scores.to_pandas()
    same = ["churn_probability", "value", "value_low", "value_high", "value_at_risk", "tier", "segment"]
    assert (table[same].nunique() == 1).all()
    assert not table.churn_reasons.map(len).any() and not table.value_reasons.map(len).any()
    assert not scores.manifest.skill
    assert scores.manifest.drivers == {"churn": [], "value": []}
    contributions = pd.read_parquet(config.outputs.contributions("churn", scores.cutoff))
    assert not contributions.drop(columns=["customer_id", "base", "total", "cutoff"], errors="ignore").any(axis=None)
    np.testing.assert_allclose(contributions.base, contributions.total, rtol=1e-12)


@pytest.mark.parametrize("of", ["segments", "plan", "explain"])
def test_every_text_says_it_first(config: Config, scores: Scores, plan: Plan, of: str) -> None:
    customer = scores.to_pandas().customer_id[0]
    texts: dict[str, Callable[[], str]] = {
        "segments": lambda: segments_text(segment_customers(config)),
        "plan": lambda: plan_text(plan),
        "explain": lambda: explain_customer(config, customer, scores.cutoff),
    }
    assert texts[of]().startswith(NO_SKILL)


def test_a_plan_is_a_pilot_that_ignores_segments(plan: Plan) -> None:
    facts, table = plan.manifest, plan.to_pandas()
    assert facts.pilot is not None and facts.pilot["action"] == "mail"
    assert facts.pilot["drawn"] == min(facts.pilot["needed"], facts.pilot["eligible"]) == table.eligible.sum()
    assert table.would_have.notna().sum() == facts.pilot["drawn"]
    assert "of them held out" in plan_text(plan)


def test_the_report_says_it_in_its_title_and_lists_nobody(config: Config, scores: Scores) -> None:
    page = write_report(config, scores.cutoff).read_text(encoding="utf-8")
    assert f"<h1>alike: {NO_BETTER}</h1>" in page
    assert f'<p class="note">{NO_SKILL}</p>' in page
    assert "Nobody first: every customer has the same risk and value." in page
    assert '<table id="customers">' not in page


def test_what_if_has_nothing_to_change() -> None:
    assert "no change was tried" in what_if_lines(WhatIf(0.5, 0.5))[-1]


def test_by_hand_the_models_become_champions_and_back(config: Config, run: TrainingRun) -> None:
    assert promote_challengers(config).after == {"churn": "alike-churn/2", "value": "alike-value/2"}
    assert roll_back_champions(config).after == {"churn": "alike-churn/1", "value": "alike-value/1"}


def test_nobody_moves_between_groups_that_are_alike(config: Config, scores: Scores) -> None:
    before = scores.cutoff - config.task.every.delta
    score_customers(config, before)
    moved = segment_customers(config).tables["transitions"]["segmentation"].to_pylist()
    assert "stage" in moved
    assert not {"tier", "segment"} & set(moved)
