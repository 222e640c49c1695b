"""A plan's file for campaign tools: who is in it, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa

from serving.planning.table import CSV_COLUMNS, PLAN_SCHEMA, write_plan_csv

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
    write_plan_csv(table, tmp_path / "plan.csv")
    with (tmp_path / "plan.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["customer_id"] for row in rows] == ["'=1+1", "' =1+1", "'＝1+1", "'\t-x", "-7", "C-8"]
    assert {(row["action"], row["cost"], row["expected_gain"]) for row in rows} == {("'@mail", "0.5", "-1.5")}
