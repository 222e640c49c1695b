"""Nobody who is held out by a plan is contacted by another of the same cutoff, and each cutoff has its own draw."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.config.load import Config
from features.config.plan import PlanConfig
from features.outputs.manifests import manifest_text
from serving.planning import rules as plan_rules
from serving.planning.cutoff_holdout import HELD_OUT_ELSEWHERE, draw_cutoff_holdout
from serving.planning.plan import Plan, make_plan, read_plan
from serving.planning.text import plan_text
from tests.scored import CUTOFF, make_scored

ACTIONS = {"mail": {"cost": 0.5, "save_rate": 0.1}}
RULES: dict[str, Any] = {"margin": 0.5, "holdout": 0.2, "actions": ACTIONS, "curve": 2, "budget": 100.0}


def _config(folder: Path, **rules: Any) -> Config:
    return make_scored(folder, {"plan": {**RULES, **rules}})


def _with(config: Config, **rules: Any) -> Config:
    return config.model_copy(update={"plan": config.plan.model_copy(update=rules)})  # type: ignore[union-attr]


def _held_out(plan: Plan) -> set[str]:
    return set(plan.table().filter(plan.table()["holdout"])["customer_id"].to_pylist())


def _contacted(plan: Plan) -> set[str]:
    return set(plan.table().filter(plan.table()["action"].is_valid())["customer_id"].to_pylist())


def _as_of_an_earlier_version(plan: Plan) -> None:
    path = plan.folder / "manifest.json"
    facts = json.loads(path.read_text())
    del facts["holdout"]["key"], facts["unmeasurable"]
    path.write_text(manifest_text(facts))


def test_each_cutoff_draws_anew_and_its_campaigns_share_the_draw(tmp_path: Path) -> None:
    config = _config(tmp_path)
    rules, ids = PlanConfig.model_validate(RULES), pa.chunked_array([[f"c{i}" for i in range(4000)]])
    draws = [draw_cutoff_holdout(config, rules, CUTOFF + timedelta(days=d), ids) for d in (0, 30)]
    other = draw_cutoff_holdout(config, rules.model_copy(update={"campaign": "other"}), CUTOFF, ids)
    assert np.array_equal(draws[0].held_out, other.held_out) and draws[0].share == 0.2
    both = (draws[0].held_out & draws[1].held_out).mean()
    assert both == pytest.approx(0.04, abs=0.012)  # independent of each other
    alone = rules.model_copy(update={"independent": True})
    apart = [draw_cutoff_holdout(config, alone.model_copy(update={"campaign": c}), CUTOFF, ids) for c in ("a", "b")]
    assert (apart[0].held_out & apart[1].held_out).mean() == pytest.approx(0.04, abs=0.012)
    assert not any(draw.elsewhere.any() for draw in (*draws, *apart))


@pytest.mark.parametrize("change", [{}, {"holdout": 0.05}, {"holdout": 0.0}, {"seed": 8}])
def test_those_held_out_by_one_campaign_are_not_contacted_by_another(tmp_path: Path, change: dict[str, Any]) -> None:
    config = _config(tmp_path)
    first = make_plan(config, CUTOFF)
    second = make_plan(_with(config, **change), CUTOFF, campaign="autumn")
    assert _held_out(first) and _contacted(second) and not _held_out(first) & _contacted(second)
    share = second.manifest.holdout["share"]
    assert share == (0.0 if change.get("holdout") == 0.0 else 0.2)
    table = second.table().to_pandas()
    assert (table[table.action.notna()].propensity == 1 - share).all()
    left_out = second.manifest.left_out.get(HELD_OUT_ELSEWHERE, 0)
    assert bool(left_out) == bool(change and change != {"holdout": 0.05})
    text = plan_text(second)
    assert "takes the place of 'retention'" in text
    assert ("the holdout is 20.0% instead of 5.0%" in text) == (change == {"holdout": 0.05})
    again = make_plan(_with(config, **change), CUTOFF, campaign="autumn")
    assert again.manifest == second.manifest


def test_independent_campaigns_stand_side_by_side(tmp_path: Path) -> None:
    config = _config(tmp_path, independent=True)
    first, second = make_plan(config, CUTOFF), make_plan(config, CUTOFF, campaign="autumn")
    assert _held_out(first) & _contacted(second) and _held_out(first) != _held_out(second)
    assert not list(first.folder.parent.glob("*/superseded.json"))
    assert "takes the place" not in plan_text(second)
    assert read_plan(config, CUTOFF).campaign == "retention"


def test_a_plan_keeps_the_draw_of_the_earlier_version_that_it_replaces(tmp_path: Path) -> None:
    config = _config(tmp_path)
    old = make_plan(config, CUTOFF)
    _as_of_an_earlier_version(old)
    ids = old.table()["customer_id"]
    legacy = draw_cutoff_holdout(config, config.plan, CUTOFF, ids)  # type: ignore[arg-type]
    assert legacy.key == "retention"
    new = make_plan(config, CUTOFF)
    assert new.manifest.holdout["key"] == "retention" == make_plan(config, CUTOFF).manifest.holdout["key"]
    assert _held_out(new) == set(ids.filter(pa.array(legacy.held_out)).to_pylist())
    other = make_plan(config, CUTOFF, campaign="autumn")
    assert _held_out(other) == _held_out(new)
    assert make_plan(_with(config, seed=9), CUTOFF).manifest.holdout["key"] == str(CUTOFF)


def test_a_command_without_a_campaign_means_the_live_plan(tmp_path: Path) -> None:
    config = _config(tmp_path)
    make_plan(config, CUTOFF)
    assert read_plan(config, CUTOFF).campaign == "retention"
    make_plan(config, CUTOFF, campaign="autumn")
    assert read_plan(config, CUTOFF).campaign == "autumn"
    assert plan_rules.find_plan_manifest(config, CUTOFF, "retention").parent.name == "retention"
    old = read_plan(config, CUTOFF, "retention")
    assert "SUPERSEDED by the plan 'autumn'" in plan_text(old)
    assert read_plan(_with(config, campaign="x"), CUTOFF).campaign == "autumn"
    with pytest.raises(plan_rules.UsageError, match="plans there: none"):
        read_plan(config, date(2024, 1, 1))
