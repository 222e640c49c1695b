"""A plan's file for campaign tools: who is in it, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pyarrow as pa

from features.config.plan import PlanAction, PlanConfig
from serving.planning.campaign_file import CSV_COLUMNS, write_plan_csv
from serving.planning.table import PLAN_SCHEMA

DAY = date(2024, 6, 1)  # a Saturday
IDS = ["=1+1", " =1+1", "＝1+1", "\t-x", "-7", "C-8", "nobody"]


def test_formulas_are_escaped_and_numbers_stay_numbers(tmp_path: Path) -> None:
    columns = {
        "customer_id": IDS,
        "would_have": ["@mail"] * 6 + [None],
        "action": ["@mail"] * 6 + [None],
        "cost": [0.5] * 7,
        "expected_gain": [-1.5] * 7,
    }
    n = len(IDS)
    table = pa.table({f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in PLAN_SCHEMA}, schema=PLAN_SCHEMA)
    write_plan_csv(
        table, "2024-06-01/spring", PlanConfig(actions={"@mail": PlanAction(cost=0.5)}), DAY, tmp_path / "plan.csv"
    )
    with (tmp_path / "plan.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["customer_id"] for row in rows] == ["'=1+1", "' =1+1", "'＝1+1", "'\t-x", "-7", "C-8"]
    assert {(row["action"], row["cost"], row["expected_gain"]) for row in rows} == {("'@mail", "0.5", "-1.5")}


def test_each_customer_has_the_attributes_of_the_action_and_the_id_of_the_arm(tmp_path: Path) -> None:
    actions = {
        "mail10": PlanAction(cost=0.5, channel="email", depth=0.1, day_part="evening", message="=spring"),
        "call": PlanAction(cost=3, channel="phone"),
    }
    rules = PlanConfig(actions=actions, quiet_days=("Saturday", "06-02"), quiet_hours="20:00-08:00")
    columns = {
        "customer_id": ["a", "b", "c", "d"],
        "would_have": ["mail10", "call", "mail10", None],
        "action": ["mail10", "call", None, None],
        "holdout": [False, False, True, True],
        "propensity": [0.9, 0.9, 0.1, 1.0],
    }
    table = pa.table({f.name: columns.get(f.name, pa.nulls(4, f.type)) for f in PLAN_SCHEMA}, schema=PLAN_SCHEMA)
    write_plan_csv(table, "2024-06-01/spring", rules, DAY, tmp_path / "plan.csv")
    with (tmp_path / "plan.csv").open(newline="", encoding="utf-8") as file:
        rows = [[r[name] for name in CSV_COLUMNS[-9:]] for r in csv.DictReader(file)]
    sending, sent = ("send_on", "send_from", "send_until"), ["2024-06-03", "08:00", "20:00"]
    assert CSV_COLUMNS[-9:] == ("propensity", "variant", "channel", "depth", "day_part", "message", *sending)
    assert rows == [
        ["0.9", "2024-06-01/spring/mail10", "email", "0.1", "evening", "'=spring", *sent],
        ["0.9", "2024-06-01/spring/call", "phone", "", "", "", *sent],
        ["0.1", "2024-06-01/spring/mail10/holdout", *[""] * 7],
    ]
