"""A plan that is an experiment: its rules, its files, and when a plan becomes a pilot by itself."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

import regulars
from features.config.load import Config
from features.errors import RefusedError, UsageError
from features.storage.json_files import read_object
from serving.campaigns.overview import list_campaigns
from serving.campaigns.text import formatted_campaigns
from serving.campaigns.wording import campaign_rows
from serving.experiments.arms import NOTHING
from serving.language.messages import ENGLISH
from serving.planning.experiment import NOT_DRAWN, NOT_EVERY_ARM
from serving.planning.plan import Plan, make_plan
from serving.planning.text import plan_text
from tests.campaigns import CONTACTS, EARLIER, write_parquet
from tests.scored import CUTOFF, make_scored

ACTIONS = {"mail": {"cost": 0.5, "channel": "email"}, "call": {"cost": 4.0, "capacity": 40}}
STATED = {name: {**action, "save_rate": 0.2} for name, action in ACTIONS.items()}
STAFF = {"why": "staff", "customers": ["c000", "c001"]}
NO_CALLS = {"why": "no telephone", "customers": ["c002", "c003", "c004"], "actions": ["call"]}
RULES: dict[str, Any] = {"margin": 0.5, "actions": STATED, "exclude": [STAFF, NO_CALLS], "minimums": {"keep": 0.5}}


def _frame(plan: Plan) -> pd.DataFrame:
    return plan.table().to_pandas().set_index("customer_id")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_scored(tmp_path_factory.mktemp("experiment"), {"plan": RULES})


@pytest.fixture(scope="module")
def plan(config: Config) -> Plan:
    return make_plan(config, CUTOFF, 300.0, test="mail vs call vs nothing", detect=0.1)


def test_arms_keep_to_the_rules_of_a_plan(plan: Plan) -> None:
    table, facts = _frame(plan), plan.manifest
    assert facts.campaign == "retention-test" and plan.spent <= 300 and (table.action == "call").sum() <= 40
    arms = {**table.action.value_counts().to_dict(), NOTHING: int(table.holdout.sum())}
    assert facts.experiment is not None
    assert {name: arm["customers"] for name, arm in facts.experiment["arms"].items()} == arms
    assert facts.left_out["staff"] == 2 and facts.left_out[NOT_EVERY_ARM] == 3
    assert facts.left_out[NOT_DRAWN] == 295 - sum(arms.values())
    assert not (table.holdout & table.action.notna()).any()


def test_propensities_are_the_shares_of_the_arms(plan: Plan) -> None:
    table = _frame(plan)
    drawn = table[table.eligible]
    for arm, rows in drawn.groupby(drawn.action.fillna(NOTHING)):
        assert rows.propensity.to_numpy() == pytest.approx(len(rows) / len(drawn)), arm
    assert table[~table.eligible].propensity.eq(1.0).all()


def test_the_same_again_has_the_same_bytes(config: Config, plan: Plan) -> None:
    before = {file.name: file.read_bytes() for file in plan.folder.iterdir()}
    again = make_plan(config, CUTOFF, 300.0, test="mail vs call vs nothing", detect=0.1)
    assert {file.name: file.read_bytes() for file in again.folder.iterdir()} == before


def test_the_campaign_file_has_every_arm(plan: Plan) -> None:
    with (plan.folder / "plan.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["variant"].rsplit("/", 1)[1] for row in rows} == {"mail", "call", NOTHING}
    assert len(rows) == plan.manifest.customers["eligible"]


def test_the_text_says_size_money_and_what_it_can_tell(config: Config, plan: Plan) -> None:
    text = plan_text(plan)
    assert text.startswith("This plan is an experiment: mail vs call vs nothing.")
    assert "To detect 10.0 percentage points of return (the difference asked for)" in text
    assert "It is smaller than that, because of" in text and "The experiment will test it" in text
    assert "gain against budget" not in text
    assert "experiment: mail vs call vs nothing" in formatted_campaigns(config)


def test_customers_held_out_by_another_plan_of_the_cutoff_are_left_out(tmp_path: Path) -> None:
    config = make_scored(tmp_path, {"plan": {**RULES, "holdout": 0.3}})
    held_out = _frame(make_plan(config, CUTOFF, 100.0)).query("holdout").index
    test = _frame(make_plan(config, CUTOFF, test="mail vs nothing"))
    assert len(held_out) > 50 and not test.loc[held_out].eligible.any()
    later = _frame(make_plan(config, CUTOFF, 100.0))
    assert later.loc[test.query("holdout").index, "action"].isna().all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"test": "mail vs sms"}, UsageError, "no action 'sms'"),
        ({"test": "mail vs call", "detect": 2.0}, UsageError, "--detect 2: expected"),
        ({"detect": 0.1, "budget": 10.0}, UsageError, "--detect goes with --test"),
        ({"test": "mail vs call", "budget": 8.0}, RefusedError, "too small"),
    ],
)
def test_impossible_tests_are_refused(config: Config, options: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make_plan(config, CUTOFF, **options)


def test_without_any_evidence_the_plan_is_a_pilot(tmp_path: Path) -> None:
    write_parquet(tmp_path, "contacts", [EARLIER])
    sections = {"plan": {"margin": 0.5, "actions": ACTIONS}, "contacts": CONTACTS}
    config = make_scored(tmp_path, sections)
    plan = make_plan(config, CUTOFF, detect=0.3)
    facts = plan.manifest.experiment
    assert facts is not None and facts["pilot"] and facts["order"] == ["mail", "call", NOTHING]
    assert plan.campaign == "retention" and set(_frame(plan).source.dropna()) == {"unknown"}
    (listed,) = campaign_rows(list_campaigns(config), ENGLISH)
    assert (listed["kind"], listed["promised"]) == ("pilot: mail vs call vs nothing", "–")
    first, second, *_ = plan_text(plan).splitlines()
    assert first.startswith("Nothing is known yet of what any action changes")
    assert second.startswith("Contacts of the log without a known propensity: 1. They are observational")


def test_a_pilot_tries_what_the_budget_suffices_for(tmp_path: Path) -> None:
    plan = make_plan(make_scored(tmp_path, {"plan": {"margin": 0.5, "actions": ACTIONS}}), CUTOFF, 50.0)
    assert plan.manifest.experiment is not None
    assert plan.manifest.experiment["not_tried"] == ["call"] and set(plan.manifest.actions) == {"mail"}
    assert "Customers and budget do not suffice to try these too: call." in plan_text(plan)


@pytest.mark.parametrize("stated", ["save_rate", "contacts"])
def test_whatever_is_known_or_stated_keeps_the_plan_as_it_was(tmp_path: Path, stated: str) -> None:
    write_parquet(tmp_path, "contacts", [{**EARLIER, "p": 0.5}])
    actions = {**ACTIONS, "mail": STATED["mail"]} if stated == "save_rate" else ACTIONS
    contacts = {**CONTACTS, "propensity": "p"}
    config = make_scored(tmp_path, {"plan": {"margin": 0.5, "actions": actions}, "contacts": contacts})
    with pytest.raises(UsageError, match=r"no save_rate to assume; .* test it with `regulars plan"):
        make_plan(config, CUTOFF, 50.0)


def test_the_command_prints_one_json_object(config: Config, plan: Plan) -> None:
    text = Path(config.folder, "regulars.toml")
    text.write_text(
        'config_version = 1\nname = "shop"\n[events]\nsource = "log.parquet"\ncustomer = "customer"\ntime = "time"\n'
        'amount = "amount"\n[task]\nhorizon = "30d"\nwindows = ["30d"]\n[plan]\nmargin = 0.5\n'
        "[plan.actions.mail]\ncost = 0.5\nsave_rate = 0.2\n",
        encoding="utf-8",
    )
    arguments = ["-c", str(text), "plan", "--cutoff", str(CUTOFF), "--test", "mail vs nothing", "--json"]
    result = CliRunner().invoke(regulars.cli, arguments)
    assert result.exit_code == 0, result.output
    assert read_object(config.outputs.plan(CUTOFF, "retention-test") / "manifest.json", "")["experiment"]["test"] in (
        result.output
    )
