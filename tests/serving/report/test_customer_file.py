"""The list of customers beside the report: its order, its columns, and no formula in it."""

from __future__ import annotations

import csv
from collections.abc import Callable

from features.config.load import Config
from serving.report import page as report
from tests.report_samples import CUTOFF, write_plan


def test_the_list_has_the_most_at_risk_first_with_reasons_and_action(scored: Callable[..., Config]) -> None:
    config = scored()
    write_plan(config)
    path = report.write_report(config, CUTOFF)
    with (path.parent / f"cutoff={CUTOFF}_customers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    at_risk = [float(row["value_at_risk"]) for row in rows]
    assert at_risk == sorted(at_risk, reverse=True) and len(rows) == 80
    assert "last order 74 days ago & counting (" in rows[0]["churn_reasons"]
    assert "action" in rows[0] and "churn_model" not in rows[0]
    assert not any(row["customer_id"].startswith("=") for row in rows)
