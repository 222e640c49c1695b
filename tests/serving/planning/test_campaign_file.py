"""A plan's file for campaign tools: who is in it, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa

from features.config.plan import PlanAction
from serving.planning.campaign_file import CSV_COLUMNS, write_plan_csv
from serving.planning.table import PLAN_SCHEMA

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
    write_plan_csv(table, "2024-06-01/spring", {"@mail": PlanAction(cost=0.5)}, tmp_path / "plan.csv")
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
    columns = {
        "customer_id": ["a", "b", "c", "d"],
        "would_have": ["mail10", "call", "mail10", None],
        "action": ["mail10", "call", None, None],
        "holdout": [False, False, True, True],
        "propensity": [0.9, 0.9, 0.1, 1.0],
    }
    table = pa.table({f.name: columns.get(f.name, pa.nulls(4, f.type)) for f in PLAN_SCHEMA}, schema=PLAN_SCHEMA)
    write_plan_csv(table, "2024-06-01/spring", actions, tmp_path / "plan.csv")
    with (tmp_path / "plan.csv").open(newline="", encoding="utf-8") as file:
        rows = [[r[name] for name in CSV_COLUMNS[-6:]] for r in csv.DictReader(file)]
    assert CSV_COLUMNS[-6:] == ("propensity", "variant", "channel", "depth", "day_part", "message")
    assert rows == [
        ["0.9", "2024-06-01/spring/mail10", "email", "0.1", "evening", "'=spring"],
        ["0.9", "2024-06-01/spring/call", "phone", "", "", ""],
        ["0.1", "2024-06-01/spring/mail10/holdout", "", "", "", ""],
    ]
