"""A plan measured: joins against plain Python, what went wrong on the way, and the same bytes again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import regulars
from features.campaigns.measured_plans import MANIFEST, TABLE
from features.config.load import Config
from features.errors import DataError, RefusedError, UsageError
from serving.measurement.measure import EFFECT_SCHEMA, PlanMeasurement, measure_plan, refuse_sample_ratio_mismatch
from serving.measurement.text import measurement_text
from serving.planning import plan as plans
from serving.planning.plan import Plan
from serving.statistics.treatment_effect import difference_in_means, regression_adjusted_effect
from tests.campaigns import CONTACTS, HORIZON, Ended, at, make_ended, within, write
from tests.scored import CUTOFF

NAME = f"{CUTOFF}/retention"
TWO = {"actions": {"mail": {"cost": 0.5, "save_rate": 0.4}, "call": {"cost": 2.0, "save_rate": 0.6, "capacity": 60}}}
STRAY = [
    {"id": "c003", "at": at(5), "what": "sms", "cost": 1.0},
    {"id": "late", "at": at(39), "what": "mail", "cost": 1.0},  # after the horizon
    {"id": "c005", "at": datetime(2024, 2, 29, 23), "what": "call", "cost": 99.0},  # before the plan
]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return make_ended(tmp_path_factory.mktemp("ended"), rules=TWO, stray=STRAY)


@pytest.fixture(scope="module")
def measured(ended: Ended) -> PlanMeasurement:
    return measure_plan(ended.config, NAME)


def _came(ended: Ended, days: int = HORIZON) -> dict[str, tuple[float, float]]:
    """Returned and value of each customer, from the raw orders: those of one moment are one order."""
    orders: dict[tuple[str, datetime], float] = {}
    for row in ended.orders:
        if within(row["time"], days):
            key = (row["customer"], row["time"])
            orders[key] = orders.get(key, 0.0) + row["amount"]
    found = {row["customer_id"]: (0.0, 0.0) for row in ended.table}
    for (who, _), amount in orders.items():
        if who in found:
            back, value = found[who]
            found[who] = (max(back, float(amount > 0)), value + amount)
    return found


def _cell(ended: Ended, days: int = HORIZON, **of: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes (n, 2), who was treated, and what was known before (n, 3), of those meant to get something."""
    came, spent = _came(ended, days), _spent_before(ended)
    rows = [r for r in ended.table if r["would_have"] and all(r[key] == value for key, value in of.items())]
    outcome = np.array([came[r["customer_id"]] for r in rows])
    before = np.array([[spent[r["customer_id"]], r["churn_probability"], r["value"]] for r in rows])
    return outcome, np.array([not r["holdout"] for r in rows]), before


def _spent_before(ended: Ended) -> dict[str, float]:
    """Of the 30 days before the cutoff: orders of 1 February lie 29 days before it."""
    rows = pq.read_table(ended.config.folder / "log.parquet").to_pylist()
    found = {row["customer_id"]: 0.0 for row in ended.table}
    for row in rows:
        if row["time"].date() < CUTOFF and (CUTOFF - row["time"].date()).days <= HORIZON and row["customer"] in found:
            found[row["customer"]] += round(row["amount"], 4)
    return found


def _row(
    measured: PlanMeasurement, outcome: str, estimator: str, action: str = "all", segment: str = "all"
) -> dict[str, Any]:
    wanted = {"outcome": outcome, "estimator": estimator, "action": action, "segment": segment}
    (row,) = [r for r in measured.facts["effects"] if all(r[key] == value for key, value in wanted.items())]
    return row


@pytest.mark.parametrize("action", ["mail", "call"])
def test_effects_are_those_of_the_raw_rows(ended: Ended, measured: PlanMeasurement, action: str) -> None:
    outcome, treated, before = _cell(ended, would_have=action)
    assert min(treated.sum(), (~treated).sum()) > 10
    for place, name in enumerate(("return", "value")):
        for estimator, found in (
            ("plain", difference_in_means(outcome[:, place], treated)),
            ("adjusted", regression_adjusted_effect(outcome[:, place], treated, before)),
        ):
            row = _row(measured, name, estimator, action)
            assert (row["effect"], row["error"]) == pytest.approx((found.effect, found.error), rel=1e-6)
            assert (row["treated"], row["held"], row["together"]) == (found.treated, found.held_out, 2)
            assert row["high"] - row["low"] == pytest.approx(2 * 2.241402728 * found.error, rel=1e-6)
            assert (row["anytime_low"], row["anytime_high"]) == pytest.approx(found.anytime_interval(0.975), rel=1e-6)


def test_the_whole_is_the_mean_over_actions_by_customers_treated(ended: Ended, measured: PlanMeasurement) -> None:
    parts = [_cell(ended, would_have=action) for action in ("mail", "call")]
    known = [difference_in_means(outcome[:, 1], treated) for outcome, treated, _ in parts]
    share = np.array([part.treated for part in known]) / sum(part.treated for part in known)
    row = _row(measured, "value", "plain")
    assert row["effect"] == pytest.approx(share @ [part.effect for part in known], rel=1e-6)
    assert row["high"] - row["low"] == pytest.approx(2 * 1.959963985 * row["error"], rel=1e-6)


def test_segments_hold_together_and_pairs_are_in_the_table(ended: Ended, measured: PlanMeasurement) -> None:
    outcome, treated, _ = _cell(ended, segment="keep")
    row = _row(measured, "return", "plain", segment="keep")
    assert row["effect"] == pytest.approx(difference_in_means(outcome[:, 0], treated).effect, rel=1e-6)
    assert row["together"] == 3
    table = measured.table()
    assert table.schema == EFFECT_SCHEMA and table.to_pylist() == measured.facts["effects"]
    assert set(table["family"].to_pylist()) == {"all", "action", "segment", "action and segment"}
    both, treated, _ = _cell(ended, segment="keep", would_have="mail")
    found = _row(measured, "value", "plain", "mail", "keep")
    assert found["effect"] == pytest.approx(difference_in_means(both[:, 1], treated).effect, rel=1e-6)


def test_exposure_and_cost_are_those_of_the_contacts(ended: Ended, measured: PlanMeasurement) -> None:
    inside = [row for row in ended.contacts if within(row["at"]) and row["what"] in ("mail", "call")]
    meant = {row["customer_id"]: row["action"] for row in ended.table if row["action"]}
    for action, found in measured.facts["exposure"].items():
        got = {row["id"] for row in inside if meant.get(row["id"]) == action == row["what"]}
        assert found["got"] == len(got) < found["meant"] == sum(a == action for a in meant.values())
        assert found["meant"] == found["got"] + found["nothing"] + found["not_of_the_plan"]
    cost = measured.facts["cost"]
    assert cost["treated"] == pytest.approx(sum(row["cost"] for row in inside if row["id"] in meant))
    assert cost["treated"] == pytest.approx(sum(cost["by_action"].values()))
    assert measured.facts["contamination"] | {"by_action": 0} == {
        "held_out": sum(bool(row["would_have"]) and row["holdout"] for row in ended.table), "contacted": 0,
        "by_action": 0, "planned_nothing": 0, "outside_the_plan": 0, "other_actions": {"sms": 1},
    }  # fmt: skip


def test_money_is_margin_times_value_less_cost(measured: PlanMeasurement) -> None:
    row, found = _row(measured, "value", "adjusted"), measured.facts["returns"]["all"]
    more = [row["treated"] * row[end] for end in ("effect", "low", "high")]
    assert found["more_value"] == pytest.approx(more)
    assert found["gain"] == pytest.approx([0.5 * value - found["cost"] for value in more])
    assert found["return_on_spend"] == pytest.approx([0.5 * value / found["cost"] for value in more])
    assert found["cost"] == pytest.approx(measured.facts["cost"]["treated"])


def test_the_words_say_who_was_reached_and_what_it_changed(measured: PlanMeasurement) -> None:
    said, mail = measurement_text(measured), measured.facts["exposure"]["mail"]
    assert f"of {mail['meant']:,} customers meant to get mail, {mail['got']:,} (" in said
    assert "held out, nobody was contacted" in said and "IMMATURE" not in said and "ALARM" not in said
    assert "the contacts hold 'sms' too, which the plan lacks (1)" in said
    assert "it brought more than nothing would have" in said
    assert "return on spend" in said and "segment keep" in said and "p after Holm" in said


def test_measured_twice_gives_the_same_bytes_and_says_so(ended: Ended, measured: PlanMeasurement) -> None:
    files = [ended.plan.folder / name for name in ("measured.json", "measured.parquet")]
    before = [file.read_bytes() for file in files]
    again = measure_plan(ended.config, str(ended.plan.folder))
    assert [file.read_bytes() for file in files] == before
    assert (
        f"measured before, with the same log (fingerprint {measured.facts['log']['fingerprint']})"
        in measurement_text(again)
    )
    assert json.loads(before[0]) == again.facts


def test_a_measured_plan_is_not_planned_anew(ended: Ended, measured: PlanMeasurement) -> None:
    with pytest.raises(RefusedError, match="was measured already.*--campaign"):
        plans.make_plan(ended.config, CUTOFF, budget=50.0)


def test_immature_outcomes_are_marked_and_have_intervals_for_every_look(tmp_path: Path) -> None:
    early = make_ended(tmp_path, days=12)
    found = measure_plan(early.config, str(CUTOFF))
    said = measurement_text(found)
    assert "IMMATURE: 12 of 30 days have passed (the log ends at 2024-03-13)" in said
    assert "whole from 2024-03-31 on" in said and "within 12 days" in said
    outcome, treated, before = _cell(early, days=12)
    best = regression_adjusted_effect(outcome[:, 0], treated, before)
    low, high = best.anytime_interval()
    assert f"{best.effect * 100:+.2f} ({low * 100:+.2f} to {high * 100:+.2f})" in said
    assert found.facts["returns"]["all"]["more_return"][1] == pytest.approx(low * best.treated)
    log = pq.read_table(tmp_path / "log.parquet").to_pylist()
    write(tmp_path, "log", [*log, {"customer": "late", "time": at(39), "amount": 1.0}])
    later = measurement_text(measure_plan(early.config, str(CUTOFF)))
    assert "IMMATURE" not in later and "measured before, with another log" in later
    assert "intervals for every look" in later


def test_a_contacted_holdout_is_measured_as_held_out_and_said(tmp_path: Path) -> None:
    clean = make_ended(tmp_path)
    before = measure_plan(clean.config, NAME)
    held = [row["customer_id"] for row in clean.table if row["holdout"] and row["would_have"]]
    stray = [{"id": who, "at": at(1), "what": "mail", "cost": 5.0} for who in held[:3]]
    idle = [row["customer_id"] for row in clean.table if not row["would_have"]][:2]
    stray += [{"id": who, "at": at(1), "what": "call", "cost": 1.0} for who in (*idle, "late")]
    sent = {row["id"] for row in clean.contacts}
    missed = [row["customer_id"] for row in clean.table if row["action"] == "call" and row["customer_id"] not in sent]
    stray += [{"id": missed[0], "at": at(1), "what": what, "cost": 50.0} for what in ("sms", "none")]
    stray += [{"id": missed[1], "at": at(1), "what": "mail", "cost": 0.25}]
    write(tmp_path, "contacts", [*clean.contacts, *stray])
    found = measure_plan(clean.config, NAME)
    reached, before_reached = found.facts["exposure"]["call"], before.facts["exposure"]["call"]
    assert (reached["another"], reached["not_of_the_plan"]) == (1, 1)
    assert reached["nothing"] == before_reached["nothing"] - 2 and reached["got"] == before_reached["got"]
    assert found.facts["effects"] == before.facts["effects"]
    assert found.facts["contamination"]["contacted"] == 3
    assert found.facts["cost"]["held_out"] == 15.0 and found.facts["cost"]["treated"] == pytest.approx(
        before.facts["cost"]["treated"] + 0.25
    )
    said = measurement_text(found)
    assert f"CONTAMINATION: of {len(held)} held out, 3 (" in said
    assert "2 customers for whom nothing was planned were contacted too" in said
    assert "1 customers who are not in the plan" in said


def _forged(plan: Plan, **columns: Any) -> None:
    """A plan with other columns, its manifest's checksum mended."""
    table = plan.table()
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    pq.write_table(table, plan.folder / TABLE)
    facts = json.loads((plan.folder / MANIFEST).read_text())
    facts["files"][TABLE] = plans._digest(plan.folder / TABLE)
    (plan.folder / MANIFEST).write_text(json.dumps(facts))


def test_a_lot_that_was_not_drawn_raises_the_alarm(tmp_path: Path) -> None:
    ended = make_ended(tmp_path)
    held = ended.plan.table()["holdout"].to_numpy().copy()
    held[np.flatnonzero(held)[: held.sum() // 2]] = False
    _forged(ended.plan, holdout=pa.array(held))
    found = measure_plan(ended.config, NAME)
    assert found.sample_ratio_mismatch and "ALARM: the groups are not those that the lot drew" in measurement_text(
        found
    )
    with pytest.raises(RefusedError, match="sample ratio"):
        refuse_sample_ratio_mismatch(found)
    ran = CliRunner().invoke(regulars.cli, ["-c", str(_toml(tmp_path, ended.config)), "measure", NAME])
    assert ran.exit_code == 1 and "who was reached" in ran.output and "no figure above can be trusted" in ran.output


def _toml(folder: Path, config: Config) -> Path:
    """The config as a file."""
    lines = ['config_version = 1\nname = "shop"\n[task]\nhorizon = "30d"\nwindows = ["30d"]\n[events]']
    lines += ['source = "log.parquet"\ncustomer = "customer"\ntime = "time"\namount = "amount"\n[contacts]']
    lines += [f'{key} = "{value}"' for key, value in CONTACTS.items()]
    (folder / "regulars.toml").write_text("\n".join(lines) + "\n")
    return folder / "regulars.toml"


def test_another_log_is_refused_unless_asked_for(tmp_path: Path) -> None:
    ended = make_ended(tmp_path)
    log = pq.read_table(tmp_path / "log.parquet").to_pylist()
    write(tmp_path, "log", [*log, {"customer": "c001", "time": datetime(2024, 2, 2), "amount": 5.0}])
    with pytest.raises(
        RefusedError, match=r"before 2024-03-01 it has 301 events of 300 customers.*from 300 of 300.*--other"
    ):
        measure_plan(ended.config, NAME)
    write(tmp_path, "log", [{**log[0], "amount": log[0]["amount"] + 1}, *log[1:]])
    with pytest.raises(RefusedError, match="with other amounts or days"):
        measure_plan(ended.config, NAME)
    write(tmp_path, "log", [row for row in log if row["customer"] not in ("c007", "c011")])
    with pytest.raises(RefusedError, match="lacks 2 of 300 customers.*'c007', 'c011'"):
        measure_plan(ended.config, NAME)
    assert not (ended.plan.folder / "measured.json").exists()
    write(tmp_path, "contacts", [row for row in ended.contacts if row["id"] not in ("c007", "c011")])
    found = measure_plan(ended.config, NAME, other_log=True)
    assert found.facts["customers"][
        "missing"
    ] == 2 and "2 customers of the plan are not in the log" in measurement_text(found)


@pytest.mark.parametrize(
    ("what", "problem", "words"),
    [
        ({"Call": "call"}, DataError, "has no 'call' in .* but has 'Call', which the config lacks"),
        ({}, DataError, "the plan was not carried out: .*none of 'call', 'mail' in .*no contact at all"),
    ],
)
def test_contacts_that_do_not_fit_the_plan_are_told(
    tmp_path: Path, what: dict[str, str], problem: type[Exception], words: str
) -> None:
    ended = make_ended(tmp_path)
    named = {old: new for new, old in what.items()}
    rows = [{**row, "what": named.get(row["what"], "none")} for row in ended.contacts]
    write(tmp_path, "contacts", rows)
    with pytest.raises(problem, match=words):
        measure_plan(ended.config, NAME)


def test_contacts_of_strangers_are_told(tmp_path: Path) -> None:
    ended = make_ended(tmp_path)
    strangers = [{"id": f"x{i}", "at": at(1), "what": "call", "cost": 1.0} for i in range(40)]
    write(tmp_path, "contacts", [*ended.contacts, *strangers])
    with pytest.raises(DataError, match="40 of .* do not know, or not yet .such as 'x0', 'x1'"):
        measure_plan(ended.config, NAME)


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    ended = make_ended(tmp_path)
    log = pq.read_table(tmp_path / "log.parquet").to_pylist()
    write(tmp_path, "log", [row for row in log if row["time"].date() < CUTOFF])
    with pytest.raises(DataError, match="nothing has happened yet: the log ends at 2024-03-01.*whole from 2024-03-31"):
        measure_plan(ended.config, NAME)
    with pytest.raises(UsageError, match=r"no \[contacts\]"):
        measure_plan(ended.config.model_copy(update={"contacts": None}), NAME)
    n = ended.plan.table().num_rows
    _forged(ended.plan, holdout=pa.array(np.zeros(n, bool)))
    with pytest.raises(DataError, match="nobody who would have an action was held out"):
        measure_plan(ended.config, NAME)
    _forged(ended.plan, would_have=pa.nulls(n, pa.string()))
    with pytest.raises(DataError, match="gives nobody an action"):
        measure_plan(ended.config, NAME)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("spring", "names no plan: expected its folder"),
        ("2024-03-01/winter", "plans there: retention"),
        ("/elsewhere/plans/cutoff=2024-03-01/retention", "is not of this config"),
    ],
)
def test_what_names_no_plan_is_told(ended: Ended, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        measure_plan(ended.config, name)


def test_without_money_there_is_return_alone(tmp_path: Path) -> None:
    ended = make_ended(tmp_path, money=False, contacts={k: v for k, v in CONTACTS.items() if k != "cost"})
    found = measure_plan(ended.config, NAME)
    assert {row["outcome"] for row in found.facts["effects"]} == {"return"}
    cost = found.facts["cost"]
    reached = sum(e["got"] for e in found.facts["exposure"].values())
    prices = {name: action["cost"] for name, action in ended.plan.manifest["rules"]["actions"].items()}
    expected = sum(e["got"] * prices[name] for name, e in found.facts["exposure"].items())
    assert reached and cost["treated"] == pytest.approx(expected) and cost["source"] == "plan"
    said = measurement_text(found)
    assert "at the plan's prices, as contacts tell none" in said and "return on spend" not in said
    assert "customers more came back" in said


def test_a_file_that_is_no_measurement_is_told(ended: Ended, measured: PlanMeasurement) -> None:
    path = ended.plan.folder / "measured.json"
    kept = path.read_bytes()
    path.write_text("{}")
    with pytest.raises(DataError, match="is no measurement of regulars"):
        measure_plan(ended.config, NAME)
    path.write_bytes(kept)


def test_too_few_to_tell_is_said(measured: PlanMeasurement) -> None:
    facts = {**measured.facts, "effects": [dict(row) for row in measured.facts["effects"]]}
    for row in facts["effects"]:
        row |= {name: None for name in ("effect", "low", "high", "p")}
    facts["returns"] = {
        "all": {"more_return": [None] * 3},
        "mail": {"more_return": [None] * 3},
        "call": {"more_return": [None] * 3},
    }
    said = measurement_text(replace(measured, facts=facts))
    assert said.count("too few customers on one side to tell an effect") == 2
