"""A plan on disk: it keeps its limits and rules, its holdout is symmetric and stable, its files are reproducible."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.errors import DataError, RefusedError, UsageError
from features.intake.log import opened
from features.storage.json_files import read_object
from serving.planning import plan as plan_module
from serving.planning.plan import Plan, make_plan, read_plan
from serving.planning.table import PLAN_SCHEMA
from serving.planning.text import plan_text
from tests.campaigns import CONTACTS, EARLIER, write_parquet
from tests.counted import count_engines
from tests.scored import CUTOFF, make_scored

ACTIONS = {"mail": {"cost": 0.5, "save_rate": 0.1}, "call": {"cost": 4.0, "save_rate": 0.5, "capacity": 20}}
RULES: dict[str, Any] = {"margin": 0.5, "holdout": 0.2, "actions": ACTIONS, "curve": 3}


def _config(folder: Path, money: bool = True, sections: dict[str, Any] | None = None, **rules: Any) -> Config:
    return make_scored(folder, {"plan": {**RULES, **rules}, **(sections or {})}, money=money)


def _frame(plan: Plan) -> pd.DataFrame:
    return plan.table().to_pandas().set_index("customer_id")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return _config(tmp_path_factory.mktemp("plan"), minimums={"keep": 0.5})


@pytest.fixture(scope="module")
def plan(config: Config) -> Plan:
    return make_plan(config, CUTOFF, budget=100.0)


def test_one_row_a_scored_customer_and_all_limits_kept(plan: Plan) -> None:
    table = _frame(plan)
    assert plan.table().schema == PLAN_SCHEMA
    assert len(table) == 300 and table.index.is_monotonic_increasing
    done = table[table.action.notna()]
    assert done.cost.sum() == pytest.approx(plan.spent) and plan.spent <= 100
    assert done.action.eq("call").sum() <= 20
    keep = table[table.segment.eq("keep") & ~table.holdout]
    assert keep.action.notna().sum() >= np.ceil(0.5 * len(keep))
    assert not (table.holdout & table.action.notna()).any()
    assert plan.gain <= plan.bound == pytest.approx(plan.gain, rel=1e-6)


def test_gain_is_margin_of_the_effect_less_cost(plan: Plan) -> None:
    table = _frame(plan)
    done = table[table.action.notna()]
    rate = done.action.map({name: action["save_rate"] for name, action in ACTIONS.items()})
    np.testing.assert_allclose(done.effect_value, rate * done.value_at_risk)
    np.testing.assert_allclose(done.effect_return, rate * done.churn_probability)
    np.testing.assert_allclose(done.expected_gain, 0.5 * done.effect_value - done.cost)
    assert done.expected_gain.sum() == pytest.approx(plan.gain)
    assert set(done.source) == {"assumed"}


def test_propensity_is_that_of_what_is_done(plan: Plan) -> None:
    table = _frame(plan)
    assert table[table.action.notna()].propensity.eq(0.8).all()
    assert table[table.holdout & table.would_have.notna()].propensity.eq(0.2).all()
    assert table[table.would_have.isna()].propensity.eq(1.0).all()
    assert (table.holdout & table.would_have.notna()).sum() > 5
    assert table[~table.holdout].action.equals(table[~table.holdout].would_have)


def test_the_same_again_has_the_same_bytes(config: Config, plan: Plan) -> None:
    before = {file.name: file.read_bytes() for file in plan.folder.iterdir()}
    again = make_plan(config, CUTOFF, budget=100.0)
    assert {file.name: file.read_bytes() for file in again.folder.iterdir()} == before
    assert set(before) == {"plan.parquet", "plan.csv", "curve.parquet", "curve.json", "manifest.json"}


def test_a_new_plan_keeps_the_holdout_and_so_does_another_campaign(config: Config, plan: Plan) -> None:
    before = _frame(plan).holdout
    assert _frame(make_plan(config, CUTOFF, budget=30.0, campaign="again")).holdout.equals(before)
    other = make_plan(config, CUTOFF, budget=30.0)
    assert _frame(other).holdout.equals(before)
    make_plan(config, CUTOFF, budget=100.0)


def test_the_manifest_adds_up(plan: Plan) -> None:
    facts = read_object(plan.folder / "manifest.json", "")
    assert facts == plan.manifest.to_dict()
    for groups in (facts["actions"], facts["segments"]):
        assert sum(g["gain"] for g in groups.values()) == pytest.approx(facts["gain"])
        assert sum(g["cost"] for g in groups.values()) == pytest.approx(facts["spent"])
    for name, action in facts["actions"].items():
        assert sum(s["actions"][name] for s in facts["segments"].values()) == action["customers"] > 0
    count = facts["customers"]
    assert sum(s["eligible"] for s in facts["segments"].values()) == count["eligible"] == 300
    assert facts["break_even"] == pytest.approx(facts["spent"] / (facts["spent"] + facts["gain"]))
    assert "budget" in facts["binding"] and facts["prices"]["budget"] > 0
    for name, digest in facts["files"].items():
        assert hashlib.sha256((plan.folder / name).read_bytes()).hexdigest() == digest


def test_the_file_for_tools_names_who_gets_what(plan: Plan) -> None:
    with (plan.folder / "plan.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = _frame(plan)
    assert [row["customer_id"] for row in rows] == table[table.would_have.notna()].index.tolist()
    for row in rows:
        assert bool(row["action"]) == (row["holdout"] == "false")
        word = f"gets {row['action']}" if row["action"] else "held out: gets nothing"
        assert row["assignment"].startswith(word)
        assert row["reasons"] == "last order 9 days ago; last order 9 days ago"


def test_the_curve_holds_the_plan_and_never_falls(plan: Plan) -> None:
    curve = plan.curve().to_pandas()
    own = curve[curve.budget == 100.0].iloc[0]
    assert (own.gain, own.spent) == (plan.gain, plan.spent)
    assert curve.gain.is_monotonic_increasing and (curve.gain <= curve.bound * (1 + 1e-9)).all()
    assert json.loads((plan.folder / "curve.json").read_text()) == curve.to_dict("records")


def test_the_words_say_that_effects_are_assumed(plan: Plan) -> None:
    text = plan_text(plan)
    assert "ASSUMED, not measured: mail keeps 10.0%" in text
    assert "gain against budget (assumed)" in text.splitlines()
    assert "<- this plan" in text
    assert "the next unit of money adds" in text


def _write_effects(config: Config, rows: list[dict[str, Any]]) -> None:
    path = config.output / "uplift" / f"cutoff={CUTOFF}" / "effects.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def _measured_rows(
    customers: int, value: float = 20.0, action: str = "mail", source: str = "measured", error: float = 2.0
) -> list[dict[str, Any]]:
    return [
        {"customer_id": f"c{i:03d}", "action": action, "effect_return": 0.1, "effect_return_error": 0.01,
         "effect_value": value + i % 3, "effect_value_error": error, "source": source}
        for i in reversed(range(customers))
    ]  # fmt: skip


def test_measured_effects_go_before_assumed_ones(tmp_path: Path) -> None:
    config = _config(tmp_path)
    _write_effects(config, _measured_rows(200))
    plan = make_plan(config, CUTOFF, budget=200.0)
    table = _frame(plan)
    assert set(table[table.would_have.eq("mail")].source) == {"measured"}
    assert set(table[table.would_have.eq("call")].source) == {"assumed"}
    assert not table.iloc[200:].would_have.eq("mail").any()
    row = table.loc["c001"]
    assert row.would_have == "mail" and 20 < row.effect_value < 21  # a posterior mean
    facts = plan.manifest.to_dict()
    assert facts["assumed"] and facts["gain_low"] is None and plan.loss_probability is None
    only = make_scored(tmp_path, {"plan": {**RULES, "actions": {"mail": {"cost": 0.5}}}})
    facts = make_plan(only, CUTOFF, budget=20.0).manifest.to_dict()
    assert not facts["assumed"]
    assert facts["gain_high"] - facts["gain"] == pytest.approx(facts["gain"] - facts["gain_low"])
    share = facts["actions"]["mail"]["evidence"]["error"] * 0.5 * facts["actions"]["mail"]["customers"]
    assert facts["gain_high"] - facts["gain"] == pytest.approx(1.2815515655446 * share, rel=0.02)
    assert facts["loss_probability"] < 1e-6


def test_nothing_is_spent_without_evidence_of_an_effect(tmp_path: Path) -> None:
    """An e-mail with +2.8 (-3.8 to +9.5) was once sent to 290 customers."""
    config = _config(tmp_path, actions={"mail": {"cost": 0.1}}, explore=0.0)
    _write_effects(config, _measured_rows(300, value=1.8, error=3.4))
    plan = make_plan(config, CUTOFF, budget=40.0)
    assert plan.spent == 0 == plan.manifest.customers["with_action"] and plan.gain == 0
    assert plan.gain_interval is None is plan.loss_probability
    text = plan_text(plan)
    assert "NOTE: No evidence of an effect of mail: +2.80 of value a customer on average" in text
    assert not plan.manifest.assumed and "assumed" not in text
    exact = {"actions": {"mail": {"cost": 0.1}}, "explore": 0.0}
    forced = make_plan(_config(tmp_path, minimums={"keep": 0.5}, **exact), CUTOFF, budget=40.0)
    assert forced.gain == pytest.approx(-forced.spent) and forced.loss_probability and forced.loss_probability > 0.3
    assert forced.gain_interval and forced.gain < sum(forced.gain_interval) / 2  # around the posterior mean, not 0
    asked = make_plan(_config(tmp_path, actions={"mail": {"cost": 0.1, "unproven": True}}), CUTOFF, budget=20.0)
    mail = asked.manifest.actions["mail"]
    assert mail["customers"] > 100 and 0 < mail["evidence"]["believed"] < 0.75 * mail["evidence"]["estimate"]
    assert asked.loss_probability and 0.05 < asked.loss_probability < 0.5
    assert "unproven = true" in plan_text(asked) and "probability that it loses money: " in plan_text(asked)


def test_exploring_tries_what_may_pay_within_its_price(tmp_path: Path) -> None:
    actions = {"mail": {"cost": 0.1}}
    config = _config(tmp_path, actions=actions, explore=0.1)
    _write_effects(config, _measured_rows(300, value=1.8, error=3.4))
    plan = make_plan(config, CUTOFF, budget=40.0)
    facts, table = plan.manifest.exploring, _frame(plan)
    assert facts and 0 < facts["price"] <= 0.1 * 40 and 0 < plan.spent <= 4.5
    assert "To learn more about the actions, the plan gives up" in plan_text(plan)
    assert "The plan counts it as 0. Exploring may give it to some customers" in plan_text(plan)
    mailed, eligible = table[table.action.notna()], table[table.eligible]
    assert ((mailed.propensity > 0) & (mailed.propensity < 0.9)).all()
    assert len(mailed) == pytest.approx(
        (1 - eligible[eligible.action.isna()].propensity).sum(), abs=4 * len(mailed) ** 0.5
    )
    assert _frame(make_plan(config, CUTOFF, budget=40.0)).equals(table)
    off = make_plan(_config(tmp_path, actions=actions, explore=0.0), CUTOFF, budget=40.0)
    assert off.manifest.exploring is None and set(_frame(off).propensity) <= {0.1, 1.0}


def test_effects_of_an_earlier_version_are_believed_as_far_as_those_on_value(tmp_path: Path) -> None:
    config = _config(tmp_path, actions={"mail": {"cost": 0.1}})
    rows = [{k: v for k, v in row.items() if k != "effect_return_error"} for row in _measured_rows(300, error=4.0)]
    _write_effects(config, rows)
    table = _frame(make_plan(config, CUTOFF, budget=20.0))
    done = table[table.action.notna()]
    assert done.effect_return.nunique() == 1 and 0.05 < done.effect_return.iloc[0] < 0.1
    without = make_scored(tmp_path, {"plan": {**RULES, "margin": None}}, money=False)
    with pytest.raises(UsageError, match="'mail' have no effect_return_error.*save_rate"):
        make_plan(without, CUTOFF, budget=20.0)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (_measured_rows(3, action="sms"), "'sms'.*config lacks.*plan.actions.sms"),
        (_measured_rows(3) + _measured_rows(1), "several effects of 'mail'.*'c000'"),
        ([{**_measured_rows(1)[0], "customer_id": "nobody"}], "no customer with an effect of 'mail'"),
        ([{"customer_id": "c000", "action": "mail"}], "has no column effect_return, effect_value"),
    ],
)
def test_effects_that_cannot_be_used_are_refused(tmp_path: Path, rows: list[dict[str, Any]], words: str) -> None:
    config = _config(tmp_path)
    _write_effects(config, rows)
    with pytest.raises((UsageError, DataError), match=words):
        make_plan(config, CUTOFF, budget=10.0)


def test_without_money_customers_kept_count(tmp_path: Path) -> None:
    plan = make_plan(_config(tmp_path, money=False, margin=None), CUTOFF, budget=20.0)
    table = _frame(plan)
    done = table[table.action.notna()]
    assert plan.manifest.objective == "customers kept"
    np.testing.assert_allclose(done.expected_gain, done.effect_return)
    assert plan.gain == pytest.approx(done.effect_return.sum())
    assert table.effect_value.isna().all()
    assert "customers expected to be kept" in plan_text(plan)


def test_rules_leave_customers_out_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "staff.csv").write_text("customer_id,name\nc001,x\nc299,y\nzzz,z\n")
    at = datetime(2024, 2, 20)
    contacts = [
        {"id": "c004", "at": at, "action": "mail"},
        {"id": "c010", "at": datetime(2024, 1, 1), "action": "mail"},
    ]
    contacts += [
        {"id": "c010", "at": datetime(2024, 1, 2), "action": "call"},
        {"id": "c013", "at": at, "action": "none"},
    ]
    pq.write_table(pa.Table.from_pylist(contacts), tmp_path / "contacts.parquet")
    people = [{"id": f"c{i:03d}", "consent": i % 10 > 0} for i in range(300)]
    pq.write_table(pa.Table.from_pylist(people), tmp_path / "people.parquet")
    sections = {
        "contacts": {
            "source": "contacts.parquet",
            "customer": "id",
            "time": "at",
            "action": "action",
            "control": "none",
        },
        "customers": {"source": "people.parquet", "customer": "id", "attributes": ["consent"]},
    }
    rules = [
        {"why": "staff", "ids": "staff.csv"},
        {"why": "no consent", "column": "consent", "values": [False], "actions": ["mail"]},
        {"why": "not worth a call", "column": "segment", "values": ["let go"], "actions": ["call"]},
    ]
    limits = {"contacted_within": "30d", "contacts_at_most": 1, "contacts_window": "90d"}
    plan = make_plan(_config(tmp_path, sections=sections, exclude=rules, **limits), CUTOFF, budget=400.0)
    table = _frame(plan)
    assert table.loc["c004"].assignment == "left out: contacted in the last 30 days"
    assert table.loc["c010"].assignment == "left out: more than 1 contact in the last 90 days"
    assert table.loc["c001"].assignment == "left out: staff" == table.loc["c299"].assignment
    assert table.loc["c013"].eligible
    assert table.loc["c020"].assignment == "left out: no action is open to them"  # let go, without consent
    assert not table[table.index.str.endswith("0")].would_have.eq("mail").any()
    assert not table[table.segment.eq("let go")].would_have.eq("call").any()
    assert plan.manifest.left_out["staff"] == 2
    assert not table[~table.eligible].holdout.any()
    text = plan_text(plan)
    assert "left out: 2 staff" in text and "not mail: 30 no consent" not in text


def test_an_action_rests_before_a_customer_gets_it_again(tmp_path: Path) -> None:
    days = {"c000": ("mail", 10), "c001": ("mail", 60), "c002": ("call", 10), "c003": ("none", 10)}
    contacts = [
        {"id": who, "at": datetime(2024, 3, 1) - timedelta(days=ago), "what": what, "cost": 0.0}
        for who, (what, ago) in days.items()
    ]
    write_parquet(tmp_path, "contacts", contacts)
    actions = {**ACTIONS, "mail": {**ACTIONS["mail"], "rest": "30d"}}
    plan = make_plan(_config(tmp_path, sections={"contacts": CONTACTS}, actions=actions), CUTOFF, budget=400.0)
    assert plan.manifest.closed["mail"] == {"got it in the last 30 days": 1}
    assert "not mail: 1 got it in the last 30 days" in plan_text(plan)
    assert _frame(plan).loc["c000"].would_have != "mail"


def test_an_action_needs_consent_that_is_known(tmp_path: Path) -> None:
    answers = [True, False, None]
    people = [{"id": f"c{i:03d}", "email_ok": answers[i % 3]} for i in range(299)]  # nothing is known of c299
    pq.write_table(pa.Table.from_pylist(people), tmp_path / "people.parquet")
    customers = {"customers": {"source": "people.parquet", "customer": "id", "attributes": ["email_ok"]}}
    mail = {**ACTIONS["mail"], "consent": "email_ok"}
    config = _config(tmp_path, sections=customers, actions={**ACTIONS, "mail": mail})
    plan = make_plan(config, CUTOFF, budget=60.0)
    table = _frame(plan)
    agreed = table.index.isin([f"c{i:03d}" for i in range(0, 299, 3)])
    assert table[agreed].would_have.eq("mail").any() and not table[~agreed].would_have.eq("mail").any()
    assert plan.manifest.closed["mail"] == {"without consent (email_ok)": 200}
    assert "not mail: 200 without consent (email_ok)" in plan_text(plan)
    wrong = _config(tmp_path, sections=customers, actions={"mail": {**mail, "consent": "mail_ok"}})
    with pytest.raises(
        UsageError, match=r"\[plan.actions.mail\] consent: there is no 'mail_ok'; did you mean 'email_ok'"
    ):
        make_plan(wrong, CUTOFF, budget=60.0)


def test_a_dose_between_measured_ones_gets_the_effect_of_their_curve(tmp_path: Path) -> None:
    doses = {name: {"cost": 0.1, "channel": "mail", "depth": depth} for name, depth in (("m10", 0.1), ("m20", 0.2))}
    doses["m40"] = {"cost": 0.5, "channel": "mail", "depth": 0.4}
    config = _config(tmp_path, actions=doses, quiet_days=["2024-03-01"], quiet_hours="20:00-08:00")
    low, high = (_measured_rows(300, value, name) for name, value in (("m10", 5.0), ("m40", 12.0)))
    _write_effects(config, low + high)
    plan = make_plan(config, CUTOFF, budget=200.0)
    facts = plan.manifest.actions
    assert [facts[name]["source"] for name in doses] == ["measured", "interpolated", "measured"]
    believed = [facts[name]["evidence"]["believed"] for name in doses]
    assert believed == sorted(believed) and believed[1] - believed[0] > (believed[2] - believed[0]) / 3
    text = plan_text(plan)
    assert "INTERPOLATED: m20 was never tried" in text and not plan.manifest.assumed
    assert "contact them from 2024-03-02 on, from 08:00 to 20:00" in text


def test_in_another_language_only_the_words_for_people_change(tmp_path: Path) -> None:
    rules = [{"why": "opted out", "column": "segment", "values": ["let go"]}]
    english = make_plan(_config(tmp_path, exclude=rules), CUTOFF, budget=40.0)
    before, facts = english.table(), english.manifest.to_dict()
    plan = make_plan(_config(tmp_path, sections={"language": "zh"}, exclude=rules), CUTOFF, budget=40.0)
    words = ["assignment", "reasons"]
    assert plan.table().drop_columns(words).equals(before.drop_columns(words))
    assert {k: v for k, v in plan.manifest.to_dict().items() if k not in ("language", "files")} == {
        k: v for k, v in facts.items() if k not in ("language", "files")
    }
    text = dict(zip(before["assignment"].to_pylist(), plan.table()["assignment"].to_pylist(), strict=True))
    assert text["gets mail"] == "触达：mail" and text["left out: opted out"] == "已排除：opted out"
    assert len(set(text.values())) == len(text) >= 6
    assert plan.table()["reasons"][0].as_py() == "last order 9 days ago；last order 9 days ago"


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"exclude": [{"why": "x", "column": "segmnt", "values": ["keep"]}]}, "'segmnt'; did you mean 'segment'"),
        ({"exclude": [{"why": "x", "ids": "nowhere.csv"}]}, "nowhere.csv: there is no such file"),
        ({"minimums": {"kep": 0.1}}, "'kep'; did you mean 'keep'"),
        ({"margin": None}, "margin is missing"),
        ({"actions": {"mail": {"cost": 1}, "call": {"cost": 4, "save_rate": 0.1}}}, "no save_rate to assume"),
        ({"exclude": [{"why": "all", "column": "segment", "values": ["keep", "let go", "save first"]}]}, "all: 300"),
        ({"minimums": {"keep": 1.0}}, "the minimum share of 'keep'.*costs.*the budget is 10"),
    ],
)
def test_what_cannot_be_planned_is_told(tmp_path: Path, rules: dict[str, Any], words: str) -> None:
    with pytest.raises((UsageError, DataError, RefusedError), match=words):
        make_plan(_config(tmp_path, **rules), CUTOFF, budget=10.0)
    assert not (tmp_path / "output" / "plans").exists()


def test_budgets_that_buy_nothing_are_refused(config: Config) -> None:
    with pytest.raises(UsageError, match=r"a budget of 0.3 is below the cheapest action \(mail, 0.5"):
        make_plan(config, CUTOFF, budget=0.3)
    with pytest.raises(UsageError, match="no budget"):
        make_plan(config, CUTOFF)
    with pytest.raises(UsageError, match="--budget must be 0 or more"):
        make_plan(config, CUTOFF, budget=-1.0)


def test_reading_refuses_a_changed_file_and_an_unknown_campaign(config: Config, plan: Plan, tmp_path: Path) -> None:
    assert read_plan(config, CUTOFF).table().equals(plan.table())
    with pytest.raises(UsageError, match="plans there: .*retention"):
        read_plan(config, CUTOFF, "winter")
    path = plan.folder / "plan.csv"
    kept = path.read_bytes()
    path.write_bytes(kept + b"x")
    with pytest.raises(DataError, match="changed since it was written"):
        read_plan(config, CUTOFF)
    path.write_bytes(kept)


def test_nothing_is_half_written(config: Config, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (plan.folder / "manifest.json").read_bytes()

    def broken(*arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(plan_module, "write_plan_csv", broken)
    with pytest.raises(OSError, match="disk full"):
        make_plan(config, CUTOFF, budget=50.0)
    assert (plan.folder / "manifest.json").read_bytes() == before
    assert [p.name for p in plan.folder.parent.iterdir() if p.name.startswith(".")] == []


def test_observational_effects_are_marked(tmp_path: Path) -> None:
    config = _config(tmp_path)
    _write_effects(config, _measured_rows(300, source="observational"))
    plan = make_plan(config, CUTOFF, budget=20.0)
    assert set(_frame(plan).source.dropna()) <= {"observational", "assumed"}
    assert "NOTE: Observational, not measured: the contacts from which the effects of" in plan_text(plan)


def test_a_plan_and_its_measurement_open_the_log_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if its rules ask for earlier contacts and for attributes."""
    write_parquet(tmp_path, "people", [{"id": f"c{n:03d}", "consent": n % 5 > 0} for n in range(300)])
    people = {"source": "people.parquet", "customer": "id", "attributes": ["consent"]}
    rules = {"contacted_within": "14d", "exclude": [{"column": "consent", "values": [False], "why": "no consent"}]}
    write_parquet(tmp_path, "contacts", [EARLIER])
    config = make_scored(tmp_path, {"plan": {**RULES, **rules}, "contacts": CONTACTS, "customers": people})
    engines = count_engines(monkeypatch)
    alone = make_plan(config, CUTOFF, budget=100.0)
    assert engines == ["duckdb"]
    with opened(config) as log:
        twice = [make_plan(log, CUTOFF, budget=100.0, campaign=name) for name in (None, "again")]
    assert engines == ["duckdb"] * 2
    assert twice[0].manifest == alone.manifest and twice[1].manifest.past == alone.manifest.past
    assert "no consent" in str(alone.manifest)
