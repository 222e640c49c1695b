"""Measured plans as contacts: who counts, with which probability, and effects learned from them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.campaigns import uplift_dataset
from features.campaigns.measured_plans import COLUMNS, plans_as_contacts, read_measured_plans
from features.errors import DataError, RefusedError
from features.outputs.layout import PLAN_MANIFEST
from features.outputs.manifests import manifest_text
from serving.measurement.measure import measure_plan
from tests.campaigns import ExecutedPlanCase, in_horizon, make_executed_plan
from tests.scored import CUTOFF
from training.uplift.overlap import standardised_differences
from training.uplift.train import experiment_from_trials

TWO = {"actions": {"mail": {"cost": 0.5, "save_rate": 0.4}, "call": {"cost": 2.0, "save_rate": 0.6, "capacity": 60}}}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> ExecutedPlanCase:
    executed = make_executed_plan(tmp_path_factory.mktemp("planned"), rules=TWO)
    with pytest.raises(RefusedError, match="or measure a plan"):
        uplift_dataset.build_uplift_dataset(executed.config)
    assert plans_as_contacts(executed.config).num_rows == 0
    measure_plan(executed.config, str(CUTOFF))
    return executed


def test_intended_actions_become_randomised_contacts(ended: ExecutedPlanCase) -> None:
    contacts = plans_as_contacts(ended.config)
    expected = [
        {
            "customer_id": row["customer_id"],
            "day": CUTOFF,
            "action": "none" if row["holdout"] else row["action"],
            "propensity": row["propensity"],  # as the plan itself says it
            "round": f"2024-03-01 retention {row['would_have']}",
        }
        for row in ended.table
        if row["would_have"]
    ]
    assert contacts.schema == COLUMNS
    rows = contacts.to_pylist()
    for contact, other in zip(rows, sorted(expected, key=lambda r: (r["round"], r["customer_id"])), strict=True):
        assert contact.pop("propensity") == pytest.approx(other.pop("propensity"))
        assert contact == other
    assert {row["action"] for row in rows} == {"none", "mail", "call"}


def test_the_dataset_uses_plans_if_contacts_have_no_propensity(ended: ExecutedPlanCase) -> None:
    dataset = uplift_dataset.build_uplift_dataset(ended.config)
    assert dataset.plans == ("2024-03-01/retention",) and dataset.rounds == (CUTOFF,)
    rows = {row["customer_id"]: row for row in dataset.rows.to_pylist()}
    assert len(rows) == sum(bool(row["would_have"]) for row in ended.table)
    value = dict.fromkeys(rows, 0.0)
    for order in ended.orders:
        if in_horizon(order["time"]) and order["customer"] in rows:
            value[order["customer"]] += order["amount"]
    assert {who: row["value"] for who, row in rows.items()} == pytest.approx(value)
    experiment = experiment_from_trials(dataset, ended.config)
    assert experiment.actions == ("call", "mail") and experiment.source == "measured"
    mail = np.array([row["round"].endswith("mail") for row in dataset.rows.to_pylist()])
    assert experiment.offered_in_round(2)[mail].all() and not experiment.offered_in_round(1)[mail].any()
    uneven, alone = (standardised_differences(t, 2, np.ones(len(t))) for t in (experiment, experiment.rows(mail)))
    np.testing.assert_allclose(uneven, alone)  # those held out from a call are no control of a mail
    assert experiment.received[experiment.arm == 0] == pytest.approx(0.3) and experiment.received[
        experiment.arm > 0
    ] == pytest.approx(0.7)


def test_contacts_that_tell_their_propensity_go_first(ended: ExecutedPlanCase) -> None:
    contacts = ended.config.contacts.model_copy(update={"propensity": "cost"})
    assert uplift_dataset.randomising_plans(ended.config.model_copy(update={"contacts": contacts})) == ()


def test_customers_in_two_plans_of_a_cutoff_count_in_none(
    ended: ExecutedPlanCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"customer_id": "a", "day": date(2024, 3, 1), "action": "mail", "propensity": 0.5, "round": "x mail"}
    rows = [row, {**row, "action": "none", "round": "y mail"}, {**row, "customer_id": "b"}]
    monkeypatch.setattr(uplift_dataset, "plans_as_contacts", lambda config: pa.Table.from_pylist(rows, schema=COLUMNS))
    given, left_out = uplift_dataset._plan_contacts(ended.config)
    assert given.customer_id.tolist() == ["b"] and left_out == {"in several plans of one cutoff": 2}


def test_a_plan_changed_since_or_with_an_alarm_is_not_learned_from(ended: ExecutedPlanCase) -> None:
    (plan,) = read_measured_plans(ended.config)
    assert plan == read_measured_plans(ended.config)[0] and plan.share == 0.3
    measured_file = plan.folder / "measured.json"
    content = measured_file.read_text(encoding="utf-8")
    facts = json.loads(content)
    measured_file.write_text(manifest_text({**facts, "sample_ratio": {**facts["sample_ratio"], "alarm": True}}))
    assert read_measured_plans(ended.config) == []
    measured_file.write_text(content, encoding="utf-8")
    table_file = plan.folder / "plan.parquet"
    rows = table_file.read_bytes()
    table_file.write_bytes(rows + b"x")
    with pytest.raises(DataError, match="was changed since it was measured"):
        read_measured_plans(ended.config)
    table_file.write_bytes(rows)
    with pytest.raises(DataError, match="was changed since it was written"):
        _with(plan.folder / PLAN_MANIFEST, '"share": 0.3', '"share": 0.5', lambda: read_measured_plans(ended.config))


def _with(path: Path, old: str, new: str, look: object) -> None:
    """Looks while a file says something else."""
    kept = path.read_text()
    path.write_text(kept.replace(old, new))
    assert path.read_text() != kept
    try:
        assert look()
    finally:
        path.write_text(kept)
