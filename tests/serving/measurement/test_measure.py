"""Measuring a plan: joins against plain Python, plans that did not run as randomised, and repeatable bytes."""

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
from features.config.load import Config
from features.errors import DataError, RefusedError, UsageError
from features.intake.log import opened
from features.outputs.layout import PLAN_MANIFEST, PLAN_TABLE
from features.outputs.manifests import manifest_text
from features.storage.json_files import file_digest, read_object
from serving.campaigns.overview import list_campaigns
from serving.measurement.measure import EFFECT_SCHEMA, PlanMeasurement, measure_plan, refuse_sample_ratio_mismatch
from serving.measurement.text import measurement_text
from serving.planning import plan as plans
from serving.planning.plan import Plan
from serving.statistics.randomisation import remove_covariates
from serving.statistics.treatment_effect import (
    TreatmentEffect,
    count_up_to_cap,
    regression_adjusted_effect,
    treatment_effects,
)
from tests.campaigns import (
    CONTACTS,
    HORIZON,
    ExecutedPlanCase,
    days_after_cutoff,
    in_horizon,
    make_executed_plan,
    write_parquet,
)
from tests.counted import count_engines
from tests.scored import CUTOFF

NAME = f"{CUTOFF}/retention"
TWO = {"actions": {"mail": {"cost": 0.5, "save_rate": 0.4}, "call": {"cost": 2.0, "save_rate": 0.6, "capacity": 60}}}
STRAY = [
    {"id": "c003", "at": days_after_cutoff(5), "what": "sms", "cost": 1.0},
    {"id": "late", "at": days_after_cutoff(39), "what": "mail", "cost": 1.0},  # after the horizon
    {"id": "c005", "at": datetime(2024, 2, 29, 23), "what": "call", "cost": 99.0},  # before the plan
]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> ExecutedPlanCase:
    return make_executed_plan(tmp_path_factory.mktemp("executed"), rules=TWO, stray=STRAY)


@pytest.fixture(scope="module")
def measured(executed: ExecutedPlanCase) -> PlanMeasurement:
    return measure_plan(executed.config, NAME)


def _outcomes_by_customer(executed: ExecutedPlanCase, days: int = HORIZON) -> dict[str, tuple[float, float]]:
    """Returned and value of each customer, from the raw orders: those of one moment are one order."""
    orders: dict[tuple[str, datetime], float] = {}
    for row in executed.orders:
        if in_horizon(row["time"], days):
            key = (row["customer"], row["time"])
            orders[key] = orders.get(key, 0.0) + row["amount"]
    outcomes = {row["customer_id"]: (0.0, 0.0) for row in executed.table}
    for (who, _), amount in orders.items():
        if who in outcomes:
            back, value = outcomes[who]
            outcomes[who] = (max(back, float(amount > 0)), value + amount)
    return outcomes


def _group_arrays(
    executed: ExecutedPlanCase, days: int = HORIZON, **of: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes (n, 2), who was treated, and what was known before (n, 3), of those meant to get something."""
    outcomes, spent = _outcomes_by_customer(executed, days), _spent_before(executed)
    rows = [r for r in executed.table if r["would_have"] and all(r[key] == value for key, value in of.items())]
    outcome = np.array([outcomes[r["customer_id"]] for r in rows])
    before = np.array([[spent[r["customer_id"]], r["churn_probability"], r["value"]] for r in rows])
    return outcome, np.array([not r["holdout"] for r in rows]), before


def _spent_before(executed: ExecutedPlanCase) -> dict[str, float]:
    """Of the 30 days before the cutoff: orders of 1 February lie 29 days before it."""
    rows = pq.read_table(executed.config.folder / "log.parquet").to_pylist()
    spent = {row["customer_id"]: 0.0 for row in executed.table}
    for row in rows:
        if row["time"].date() < CUTOFF and (CUTOFF - row["time"].date()).days <= HORIZON and row["customer"] in spent:
            spent[row["customer"]] += round(row["amount"], 4)
    return spent


def _row(
    measured: PlanMeasurement, outcome: str, estimator: str, action: str = "all", segment: str = "all"
) -> dict[str, Any]:
    wanted = {"outcome": outcome, "estimator": estimator, "action": action, "segment": segment}
    (row,) = [r for r in measured.facts["effects"] if all(r[key] == value for key, value in wanted.items())]
    return row


def _design(before: np.ndarray) -> np.ndarray:
    """The covariates, and the logarithms of the two with a tail: spend before and predicted value."""
    logs = [np.sign(x) * np.log1p(np.abs(x) / np.median(np.abs(x)[x != 0])) for x in before[:, [0, 2]].T]
    return np.column_stack([before[:, 0], logs[0], before[:, 1:], logs[1]])


def _expected_effects(executed: ExecutedPlanCase, outcome: str, days: int = HORIZON) -> dict[str, TreatmentEffect]:
    """The effects on all customers and on each action and segment, from the raw rows alone."""
    rows = [row for row in executed.table if row["would_have"]]
    outcomes, treated, before = _group_arrays(executed, days)
    values = outcomes[:, 0] if outcome == "return" else count_up_to_cap(outcomes[:, 1])[0]
    strata = np.array([sorted(executed.plan.manifest.actions).index(row["would_have"]) for row in rows])
    seed = int(executed.plan.manifest.holdout["seed"])
    rest = remove_covariates(values[:, None], _design(before), strata)
    effects = {"all": regression_adjusted_effect(values, treated, _design(before), strata, seed)}
    for key in ("would_have", "segment"):
        for name in {row[key] for row in rows}:
            inside = np.array([row[key] == name for row in rows])
            effects[name] = treatment_effects(
                rest[inside], treated[inside], np.empty((inside.sum(), 0)), strata[inside], seed
            )[0]
    return effects


@pytest.mark.parametrize("outcome", ["return", "value"])
def test_effects_are_those_of_the_raw_rows(executed: ExecutedPlanCase, measured: PlanMeasurement, outcome: str) -> None:
    expected = _expected_effects(executed, outcome)
    for name in ("all", "mail", "call") if outcome == "return" else ("all", "mail"):
        row = _row(measured, outcome, "adjusted", name)
        together = 2 if name != "all" and outcome == "return" else 1
        assert (row["effect"], row["error"]) == pytest.approx((expected[name].effect, expected[name].error), rel=1e-6)
        assert (row["treated"], row["held"]) == (expected[name].treated, expected[name].held_out)
        assert row["together"] == together
        level = 1 - 0.05 / together
        assert (row["low"], row["high"]) == pytest.approx(expected[name].interval(level), rel=1e-3)
        anytime = expected[name].anytime_interval(level, looks=HORIZON)
        assert (row["anytime_low"], row["anytime_high"]) == pytest.approx(anytime, rel=1e-2)


def test_unadjusted_effects_are_differences_of_means(executed: ExecutedPlanCase, measured: PlanMeasurement) -> None:
    outcome, treated, _ = _group_arrays(executed, would_have="mail")
    for place, name in enumerate(("return", "value")):
        row = _row(measured, name, "plain", "mail")
        means = outcome[treated, place].mean(), outcome[~treated, place].mean()
        assert row["effect"] == pytest.approx(means[0] - means[1], rel=1e-6)
        assert (row["mean_treated"], row["mean_held"]) == pytest.approx(means)


def test_a_group_too_small_to_tell_has_no_row_but_a_sentence(
    executed: ExecutedPlanCase, measured: PlanMeasurement
) -> None:
    """Of value, even an effect as large as the mean would probably not be noticed among the calls."""
    rows = [row for row in measured.facts["effects"] if (row["family"], row["outcome"]) == ("action", "value")]
    assert {row["action"] for row in rows} == {"mail"} and {row["together"] for row in rows} == {1}
    small = {"family": "action", "outcome": "value", "action": "call", "segment": "all"}
    (group,) = [group for group in measured.facts["withheld"] if small.items() <= group.items()]
    outcome, treated, _ = _group_arrays(executed, would_have="call")
    assert (group["treated"], group["held"]) == (treated.sum(), (~treated).sum()) and group["needed"] > group["held"]
    assert (
        f"call: too small to tell ({group['treated']} treated, {group['held']} held out; about {group['needed']} held "
        "out would do)"
    ) in measurement_text(measured)
    assert "call" not in measured.facts["returns"] or "gain" not in measured.facts["returns"]["call"]


def test_value_counts_up_to_a_cap_that_is_written_down(executed: ExecutedPlanCase, measured: PlanMeasurement) -> None:
    outcome, _, _ = _group_arrays(executed)
    assert measured.facts["counted_up_to"] == {"value": pytest.approx(count_up_to_cap(outcome[:, 1])[1])}
    assert f"count at most {measured.facts['counted_up_to']['value']:,.2f} of each customer" in measurement_text(
        measured
    )


def test_segments_hold_together_and_pairs_are_in_the_table(
    executed: ExecutedPlanCase, measured: PlanMeasurement
) -> None:
    expected = _expected_effects(executed, "return")
    rows = [row for row in measured.facts["effects"] if (row["family"], row["outcome"]) == ("segment", "return")]
    adjusted = [row for row in rows if row["estimator"] == "adjusted"]
    small = [
        group for group in measured.facts["withheld"] if (group["family"], group["outcome"]) == ("segment", "return")
    ]
    assert {row["segment"] for row in adjusted} | {group["segment"] for group in small} == {
        row["segment"] for row in executed.table if row["would_have"]
    }
    for row in adjusted:
        assert row["effect"] == pytest.approx(expected[row["segment"]].effect, rel=1e-6)
        assert row["together"] == len(adjusted)
        assert min(r["effect"] for r in adjusted) < row["pooled"] < max(r["effect"] for r in adjusted)
    table = measured.table()
    assert table.schema == EFFECT_SCHEMA and table.to_pylist() == measured.facts["effects"]
    assert {"all", "action", "segment"} <= set(table["family"].to_pylist())


def test_exposure_and_cost_are_those_of_the_contacts(executed: ExecutedPlanCase, measured: PlanMeasurement) -> None:
    inside = [row for row in executed.contacts if in_horizon(row["at"]) and row["what"] in ("mail", "call")]
    assigned = {row["customer_id"]: row["action"] for row in executed.table if row["action"]}
    for action, counts in measured.facts["exposure"].items():
        got = {row["id"] for row in inside if assigned.get(row["id"]) == action == row["what"]}
        assert counts["got"] == len(got) < counts["meant"] == sum(a == action for a in assigned.values())
        assert counts["meant"] == counts["got"] + counts["nothing"] + counts["not_of_the_plan"]
    cost = measured.facts["cost"]
    assert cost["treated"] == pytest.approx(sum(row["cost"] for row in inside if row["id"] in assigned))
    assert cost["treated"] == pytest.approx(sum(cost["by_action"].values()))
    assert measured.facts["contamination"] | {"by_action": 0} == {
        "held_out": sum(bool(row["would_have"]) and row["holdout"] for row in executed.table), "contacted": 0,
        "by_action": 0, "planned_nothing": 0, "outside_the_plan": 0, "other_actions": {"sms": 1},
    }  # fmt: skip


def test_money_is_margin_times_value_less_cost(measured: PlanMeasurement) -> None:
    row, returns = _row(measured, "value", "adjusted"), measured.facts["returns"]["all"]
    more = [row["treated"] * row[end] for end in ("effect", "low", "high")]
    assert returns["more_value"] == pytest.approx(more)
    assert returns["gain"] == pytest.approx([0.5 * value - returns["cost"] for value in more])
    assert returns["return_on_spend"] == pytest.approx([0.5 * value / returns["cost"] for value in more])
    assert returns["cost"] == pytest.approx(measured.facts["cost"]["treated"])


def test_the_text_says_who_was_contacted_and_the_effect(measured: PlanMeasurement) -> None:
    text, mail = measurement_text(measured), measured.facts["exposure"]["mail"]
    assert f"of {mail['meant']:,} customers assigned to mail, {mail['got']:,} (" in text
    assert "held out, nobody was contacted" in text and "IMMATURE" not in text and "ALARM" not in text
    assert "the contacts also have 'sms', which is not in the plan (1)" in text
    assert "positive effect: it brought more than doing nothing" in text
    assert "return on spend" in text and "segment keep" in text and "p-values by Holm" in text


def test_measured_twice_gives_the_same_bytes_and_says_so(executed: ExecutedPlanCase, measured: PlanMeasurement) -> None:
    files = [executed.plan.folder / name for name in ("measured.json", "measured.parquet")]
    before = [file.read_bytes() for file in files]
    again = measure_plan(executed.config, str(executed.plan.folder))
    assert [file.read_bytes() for file in files] == before
    assert (
        f"measured before, with the same log (fingerprint {measured.facts['log']['fingerprint']})"
        in measurement_text(again)
    )
    assert read_object(files[0], "") == again.facts


def test_a_measured_plan_is_not_planned_anew(executed: ExecutedPlanCase, measured: PlanMeasurement) -> None:
    with pytest.raises(RefusedError, match="was already measured.*--campaign"):
        plans.make_plan(executed.config, CUTOFF, budget=50.0)


def test_immature_outcomes_are_marked_and_have_intervals_for_every_look(tmp_path: Path) -> None:
    early = make_executed_plan(tmp_path, days=12)
    measured_early = measure_plan(early.config, str(CUTOFF))
    text = measurement_text(measured_early)
    assert "IMMATURE: 12 of 30 days have passed (the log ends at 2024-03-13)" in text
    assert "complete from 2024-03-31 on" in text and "within 12 days" in text
    best = _expected_effects(early, "return", days=12)["all"]
    low, high = best.anytime_interval(looks=HORIZON)
    assert f"{best.effect * 100:+.2f} ({low * 100:+.2f} to {high * 100:+.2f})" in text
    assert measured_early.facts["returns"]["all"]["more_return"][1] == pytest.approx(low * best.treated)
    log = pq.read_table(tmp_path / "log.parquet").to_pylist()
    write_parquet(tmp_path, "log", [*log, {"customer": "late", "time": days_after_cutoff(39), "amount": 1.0}])
    later = measurement_text(measure_plan(early.config, str(CUTOFF)))
    assert "IMMATURE" not in later and "measured before, with another log" in later
    assert "read the sequential intervals" in later


def test_a_contacted_holdout_is_measured_as_held_out_and_said(tmp_path: Path) -> None:
    clean = make_executed_plan(tmp_path)
    before = measure_plan(clean.config, NAME)
    held_out = [row["customer_id"] for row in clean.table if row["holdout"] and row["would_have"]]
    stray = [{"id": who, "at": days_after_cutoff(1), "what": "mail", "cost": 5.0} for who in held_out[:3]]
    idle = [row["customer_id"] for row in clean.table if not row["would_have"]][:2]
    stray += [{"id": who, "at": days_after_cutoff(1), "what": "call", "cost": 1.0} for who in (*idle, "late")]
    sent = {row["id"] for row in clean.contacts}
    missed = [row["customer_id"] for row in clean.table if row["action"] == "call" and row["customer_id"] not in sent]
    stray += [{"id": missed[0], "at": days_after_cutoff(1), "what": what, "cost": 50.0} for what in ("sms", "none")]
    stray += [{"id": missed[1], "at": days_after_cutoff(1), "what": "mail", "cost": 0.25}]
    write_parquet(tmp_path, "contacts", [*clean.contacts, *stray])
    measured_again = measure_plan(clean.config, NAME)
    reached, before_reached = measured_again.facts["exposure"]["call"], before.facts["exposure"]["call"]
    assert (reached["another"], reached["not_of_the_plan"]) == (1, 1)
    assert reached["nothing"] == before_reached["nothing"] - 2 and reached["got"] == before_reached["got"]
    assert measured_again.facts["effects"] == before.facts["effects"]
    assert measured_again.facts["contamination"]["contacted"] == 3
    assert measured_again.facts["cost"]["held_out"] == 15.0 and measured_again.facts["cost"][
        "treated"
    ] == pytest.approx(before.facts["cost"]["treated"] + 0.25)
    text = measurement_text(measured_again)
    assert f"CONTAMINATION: of {len(held_out)} held out, 3 (" in text
    assert "2 customers without a planned action were contacted too" in text
    assert "1 customers who are not in the plan" in text


def _forge_plan(plan: Plan, **columns: Any) -> None:
    """A plan with other columns, its manifest's checksum mended."""
    table = pq.ParquetFile(plan.folder / PLAN_TABLE).read()
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    pq.write_table(table, plan.folder / PLAN_TABLE)
    facts = json.loads((plan.folder / PLAN_MANIFEST).read_text())
    facts["files"][PLAN_TABLE] = file_digest(plan.folder / PLAN_TABLE)
    (plan.folder / PLAN_MANIFEST).write_text(manifest_text(facts))


def test_a_sample_ratio_mismatch_raises_the_alarm(tmp_path: Path) -> None:
    executed = make_executed_plan(tmp_path)
    held_out = executed.plan.table()["holdout"].to_numpy().copy()
    held_out[np.flatnonzero(held_out)[: held_out.sum() // 2]] = False
    _forge_plan(executed.plan, holdout=pa.array(held_out))
    measured_plan = measure_plan(executed.config, NAME)
    assert (
        measured_plan.sample_ratio_mismatch
        and "ALARM: sample-ratio mismatch: the group sizes do not fit the randomisation"
        in measurement_text(measured_plan)
    )
    with pytest.raises(RefusedError, match="sample-ratio mismatch"):
        refuse_sample_ratio_mismatch(measured_plan)
    ran = CliRunner().invoke(regulars.cli, ["-c", str(_toml(tmp_path, executed.config)), "measure", NAME])
    assert ran.exit_code == 1 and "who was contacted" in ran.output and "no figure above can be trusted" in ran.output


def _toml(folder: Path, config: Config) -> Path:
    """The config as a file."""
    lines = ['config_version = 1\nname = "shop"\n[task]\nhorizon = "30d"\nwindows = ["30d"]\n[events]']
    lines += ['source = "log.parquet"\ncustomer = "customer"\ntime = "time"\namount = "amount"\n[contacts]']
    lines += [f'{key} = "{value}"' for key, value in CONTACTS.items()]
    (folder / "regulars.toml").write_text("\n".join(lines) + "\n")
    return folder / "regulars.toml"


def test_another_log_is_refused_unless_asked_for(tmp_path: Path) -> None:
    executed = make_executed_plan(tmp_path)
    log = pq.read_table(tmp_path / "log.parquet").to_pylist()
    write_parquet(tmp_path, "log", [*log, {"customer": "c001", "time": datetime(2024, 2, 2), "amount": 5.0}])
    with pytest.raises(
        RefusedError, match=r"before 2024-03-01 it has 301 events of 300 customers.*from 300 of 300.*--other"
    ):
        measure_plan(executed.config, NAME)
    write_parquet(tmp_path, "log", [{**log[0], "amount": log[0]["amount"] + 1}, *log[1:]])
    with pytest.raises(RefusedError, match="with other amounts or days"):
        measure_plan(executed.config, NAME)
    write_parquet(tmp_path, "log", [row for row in log if row["customer"] not in ("c007", "c011")])
    with pytest.raises(RefusedError, match="lacks 2 of 300 customers.*'c007', 'c011'"):
        measure_plan(executed.config, NAME)
    assert not (executed.plan.folder / "measured.json").exists()
    write_parquet(tmp_path, "contacts", [row for row in executed.contacts if row["id"] not in ("c007", "c011")])
    measured_plan = measure_plan(executed.config, NAME, other_log=True)
    task = executed.config.task.model_copy(update={"timezone": "Asia/Tokyo"})
    moved = executed.config.model_copy(update={"task": task})
    with pytest.raises(
        RefusedError, match="made with days that begin in 'UTC'.*now 'Asia/Tokyo'; set it back.*--other"
    ):
        measure_plan(moved, NAME)
    assert measure_plan(moved, NAME, other_log=True).facts["customers"]["missing"] == 2
    assert measured_plan.facts["customers"][
        "missing"
    ] == 2 and "2 customers of the plan are not in the log" in measurement_text(measured_plan)


@pytest.mark.parametrize(
    ("what", "problem", "words"),
    [
        ({"Call": "call"}, DataError, "has no 'call' in .* but has 'Call', which the plan does not have"),
        ({}, DataError, "the plan was not carried out: .*none of 'call', 'mail' in .*no contacts in that time"),
    ],
)
def test_contacts_that_do_not_fit_the_plan_are_refused(
    tmp_path: Path, what: dict[str, str], problem: type[Exception], words: str
) -> None:
    executed = make_executed_plan(tmp_path)
    named = {old: new for new, old in what.items()}
    rows = [{**row, "what": named.get(row["what"], "none")} for row in executed.contacts]
    write_parquet(tmp_path, "contacts", rows)
    with pytest.raises(problem, match=words):
        measure_plan(executed.config, NAME)


def test_contacts_of_unknown_customers_are_refused(tmp_path: Path) -> None:
    executed = make_executed_plan(tmp_path)
    strangers = [{"id": f"x{i}", "at": days_after_cutoff(1), "what": "call", "cost": 1.0} for i in range(40)]
    write_parquet(tmp_path, "contacts", [*executed.contacts, *strangers])
    with pytest.raises(DataError, match="40 of .* had no event by then .such as 'x0', 'x1'"):
        measure_plan(executed.config, NAME)


def test_a_plan_without_a_comparison_is_refused(tmp_path: Path) -> None:
    executed = make_executed_plan(tmp_path)
    log = pq.read_table(tmp_path / "log.parquet").to_pylist()
    write_parquet(tmp_path, "log", [row for row in log if row["time"].date() < CUTOFF])
    with pytest.raises(
        DataError, match="there are no outcomes yet: the log ends at 2024-03-01.*complete from 2024-03-31"
    ):
        measure_plan(executed.config, NAME)
    with pytest.raises(UsageError, match=r"no \[contacts\]"):
        measure_plan(executed.config.model_copy(update={"contacts": None}), NAME)
    n = executed.plan.table().num_rows
    _forge_plan(executed.plan, holdout=pa.array(np.zeros(n, bool)))
    with pytest.raises(DataError, match="no customer assigned to an action was held out"):
        measure_plan(executed.config, NAME)
    _forge_plan(executed.plan, would_have=pa.nulls(n, pa.string()))
    with pytest.raises(DataError, match="gives nobody an action"):
        measure_plan(executed.config, NAME)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("spring", "names no plan: expected its folder"),
        ("2024-03-01/winter", "plans there: retention"),
        ("/elsewhere/plans/cutoff=2024-03-01/retention", "is not a plan of this config"),
    ],
)
def test_a_name_of_no_plan_is_refused(executed: ExecutedPlanCase, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        measure_plan(executed.config, name)


def test_without_money_there_is_return_alone(tmp_path: Path) -> None:
    executed = make_executed_plan(tmp_path, money=False, contacts={k: v for k, v in CONTACTS.items() if k != "cost"})
    measured_plan = measure_plan(executed.config, NAME)
    assert {row["outcome"] for row in measured_plan.facts["effects"]} == {"return"}
    cost = measured_plan.facts["cost"]
    reached = sum(e["got"] for e in measured_plan.facts["exposure"].values())
    prices = {name: action["cost"] for name, action in executed.plan.manifest.rules["actions"].items()}
    expected = sum(e["got"] * prices[name] for name, e in measured_plan.facts["exposure"].items())
    assert reached and cost["treated"] == pytest.approx(expected) and cost["source"] == "plan"
    text = measurement_text(measured_plan)
    assert "at the plan's prices, as contacts have no cost" in text and "return on spend" not in text
    assert "more customers came back" in text


def test_a_file_that_is_no_measurement_is_refused(executed: ExecutedPlanCase, measured: PlanMeasurement) -> None:
    path = executed.plan.folder / "measured.json"
    kept = path.read_bytes()
    path.write_text("{}")
    with pytest.raises(DataError, match="is not a measurement of regulars"):
        measure_plan(executed.config, NAME)
    path.write_bytes(kept)


def test_the_text_says_when_customers_are_too_few(measured: PlanMeasurement) -> None:
    facts = {**measured.facts, "effects": [dict(row) for row in measured.facts["effects"]]}
    for row in facts["effects"]:
        row |= {name: None for name in ("effect", "low", "high", "p")}
    facts["returns"] = {
        "all": {"more_return": [None] * 3},
        "mail": {"more_return": [None] * 3},
        "call": {"more_return": [None] * 3},
    }
    text = measurement_text(replace(measured, facts=facts))
    assert text.count("too few customers on one side to estimate an effect") == 2


def test_a_measurement_opens_the_log_once(
    executed: ExecutedPlanCase, measured: PlanMeasurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = count_engines(monkeypatch)
    assert measure_plan(executed.config, NAME).facts == measured.facts and engines == ["duckdb"]
    with opened(executed.config) as log:
        assert [measure_plan(log, NAME).facts for _ in range(2)] == [measured.facts] * 2
    assert engines == ["duckdb"] * 2


def test_answers_are_counted_by_action_and_shown(tmp_path: Path) -> None:
    executed = make_executed_plan(tmp_path)
    rows = [{**row, "seen": place % 2 == 0, "bought": "no"} for place, row in enumerate(executed.contacts)]
    write_parquet(tmp_path, "contacts", rows)
    section = executed.config.contacts
    assert section is not None
    named = section.model_copy(update={"opened": "seen", "converted": "bought"})
    config = executed.config.model_copy(update={"contacts": named})
    measured = measure_plan(config, NAME)
    planned = {row["customer_id"]: row["action"] for row in executed.table if row["action"]}
    since = [row for row in rows if in_horizon(row["at"]) and planned.get(row["id"]) == row["what"]]
    for action, answers in measured.facts["responses"].items():
        of_action = [row for row in since if row["what"] == action]
        opened = sum(row["seen"] for row in of_action)
        assert answers == {"contacts": len(of_action), "opened": opened, "converted": 0}
        assert not of_action or f"of {len(of_action):,} contacts: {opened:,} opened" in measurement_text(measured)
    assert since
    (campaign,) = list_campaigns(config).campaigns
    assert campaign.responses["opened"] == sum(row["seen"] for row in since)
    assert measure_plan(executed.config, NAME).facts["responses"] == {}
