"""The list of all campaigns: statuses, promised and measured gain, and what cannot be read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import regulars
from features.outputs.layout import PLAN_MANIFEST
from serving.campaigns.overview import CampaignOverview, list_campaigns
from serving.campaigns.tables import campaigns_csv, overview_document
from serving.campaigns.text import campaigns_text
from serving.campaigns.wording import belief_rows, campaign_rows, next_step_sentences
from serving.language.messages import get_language
from serving.measurement.measure import measure_plan
from serving.planning.plan import make_plan
from tests.campaigns import ExecutedPlanCase, make_executed_plan
from tests.scored import CUTOFF, make_scored

NAME = f"{CUTOFF}/retention"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> ExecutedPlanCase:
    case = make_executed_plan(tmp_path_factory.mktemp("campaigns"))
    measure_plan(case.config, NAME)
    make_plan(case.config, CUTOFF, budget=40, campaign="second")
    return case


@pytest.fixture(scope="module")
def overview(executed: ExecutedPlanCase) -> CampaignOverview:
    return list_campaigns(executed.config)


def test_a_measured_plan_shows_what_it_promised_and_brought(
    executed: ExecutedPlanCase, overview: CampaignOverview
) -> None:
    second, first = overview.campaigns
    facts = measure_plan(executed.config, NAME).facts
    assert (first.name, first.status, first.superseded_by) == (NAME, "measured", "second")
    assert (first.gained, first.gained_low, first.gained_high) == tuple(facts["returns"]["all"]["gain"])
    assert first.contacted == sum(each["got"] for each in facts["exposure"].values()) > 0
    assert (first.promised, first.spent) == (executed.plan.gain, executed.plan.spent)
    assert first.cost == facts["returns"]["all"]["cost"]
    assert (second.status, second.gained, second.contacted) == ("due", None, None)
    assert second.next_unit and second.next_unit > first.next_unit  # type: ignore[operator]


def test_what_is_believed_follows_from_the_measurement(overview: CampaignOverview) -> None:
    beliefs = {belief.action: belief for belief in overview.beliefs}
    call = beliefs["call"]
    assert call.campaigns == 1 and call.effect is not None and call.gain is not None
    assert call.gain == pytest.approx(0.5 * call.effect - 2.0)
    assert call.low is not None and call.low < call.effect < (call.high or 0.0)
    assert 0 < (call.worth or 0) < 1


def test_a_plan_waits_until_its_horizon_is_over(tmp_path: Path) -> None:
    config = make_scored(tmp_path, {"plan": {"margin": 0.5, "actions": {"mail": {"cost": 0.5, "save_rate": 0.1}}}})
    assert list_campaigns(config).campaigns == ()
    assert "Make a plan" in campaigns_text(list_campaigns(config))
    make_plan(config, CUTOFF, budget=20)
    listed = list_campaigns(config)
    (plan,) = listed.campaigns
    assert (plan.status, str(plan.matures)) == ("waiting", "2024-03-31")
    assert listed.beliefs[0].worth is None
    assert "Wait until 2024-03-31" in campaigns_text(listed)
    (config.outputs.plan(CUTOFF, "retention") / PLAN_MANIFEST).write_text("{")
    broken = list_campaigns(config)
    assert broken.campaigns == () and list(broken.unread) == [f"{CUTOFF}/retention"]
    assert "cannot be read" in campaigns_text(broken)


def test_text_json_and_csv_say_the_same(executed: ExecutedPlanCase, overview: CampaignOverview) -> None:
    assert overview_document(overview)["campaigns"][1]["gained"] == overview.campaigns[1].gained
    lines = campaigns_csv(overview).splitlines()
    assert len(lines) == 3 and lines[0].startswith("name,cutoff,campaign,status")
    text = campaigns_text(overview)
    assert "measured gain" in text and f"regulars measure {CUTOFF}/second" not in text  # not newer than the measured
    run = _command(executed)
    assert json.loads(run("--json")) == json.loads(json.dumps(overview_document(overview)))
    assert run("--csv") == campaigns_csv(overview)
    assert run() == text + "\n"


def test_campaigns_are_shown_in_chinese(overview: CampaignOverview) -> None:
    tr = get_language("zh")
    assert [row["status"] for row in campaign_rows(overview, tr)] == ["可以衡量", "实测"]
    assert {row["verdict"] for row in belief_rows(overview, tr)} == {"尚无定论", "从未衡量"}
    assert next(iter(next_step_sentences(overview, tr))).startswith("接下来请测试")


def test_answers_are_counted_where_they_are_known(overview: CampaignOverview) -> None:
    answered = replace(overview.campaigns[1], responses={"contacts": 50, "opened": 20, "clicked": 5})
    shown = replace(overview, campaigns=(answered,))
    assert f"{NAME}: opened 20 (40%), clicked 5 (10%)" in campaigns_text(shown)
    assert campaigns_csv(shown).splitlines()[1].endswith(",20,5,")


def _command(executed: ExecutedPlanCase) -> Any:
    def run(*options: str) -> str:
        path = executed.config.folder / "regulars.toml"
        sections = executed.config.model_dump(mode="json", exclude_unset=True, exclude={"folder"})
        path.write_text(_toml(sections), encoding="utf-8")
        return CliRunner().invoke(regulars.cli, ["-c", str(path), "campaigns", *options]).output

    return run


def _toml(sections: dict[str, Any], prefix: str = "") -> str:
    """A nested mapping as TOML, tables last."""
    plain = {key: value for key, value in sections.items() if not isinstance(value, dict)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items() if value is not None]
    for key, value in sections.items():
        if isinstance(value, dict):
            lines += [f"[{prefix}{key}]", _toml(value, f"{prefix}{key}.")]
    return "\n".join(lines)


def test_a_damaged_plan_is_left_out_and_named(tmp_path: Path) -> None:
    config = make_scored(tmp_path, {"plan": {"margin": 0.5, "actions": {"mail": {"cost": 0.5, "save_rate": 0.1}}}})
    make_plan(config, CUTOFF, budget=20)
    path = config.outputs.plan(CUTOFF, "retention") / PLAN_MANIFEST
    facts = {key: value for key, value in json.loads(path.read_text()).items() if key != "checksum"}
    path.write_text(json.dumps({**facts, "prices": {"budget": "x"}}))
    listed = list_campaigns(config)
    assert listed.campaigns == () and list(listed.unread) == [f"{CUTOFF}/retention"]
