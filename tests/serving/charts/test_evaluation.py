"""Calibration, gains and lift are those of the groups, and nothing is drawn that was not measured."""

from __future__ import annotations

import pandas as pd

from serving.charts.evaluation import calibration_chart, evaluation_groups, ranking_charts
from serving.language.formats import NumberFormat
from tests.serving.charts.drawn import of_class

RISK = [{"customers": 50, "predicted": 0.1, "actual": 0.1}, {"customers": 50, "predicted": 0.5, "actual": 0.3}]
VALUE = [{"customers": 50, "predicted": 10.0, "actual": 12.0}, {"customers": 50, "predicted": 90.0, "actual": 80.0}]


def test_gains_and_lift_are_those_of_the_groups() -> None:
    gains, lift, values = (chart["svg"] for chart in ranking_charts(RISK, VALUE, NumberFormat(50.0)))
    assert [mark[0].text for mark in of_class(gains, "mark")][1:] == [
        "the riskiest 50% of the customers: 75% of the leavers, 1.5 times as many as at random",
        "the riskiest 100% of the customers: 100% of the leavers, 1.0 times as many as at random",
    ]
    assert of_class(lift, "mark")[1][0].text == "risk group 2: 1.5 times as many leavers as on average (30.0% left)"
    assert of_class(values, "mark")[0][0].text == "value group 1: predicted 10 per customer"


def test_what_was_not_measured_is_not_drawn() -> None:
    nobody = [{**row, "actual": 0.0} for row in RISK]
    assert ranking_charts([], [], NumberFormat(1.0)) == [] == ranking_charts(nobody, [], NumberFormat(1.0))


def test_groups_are_those_of_a_cutoff_lowest_first() -> None:
    table = pd.DataFrame(
        [
            {"number": "churn", "group": 2, "segment": "all", "cutoff": "2024-01-01", **RISK[1]},
            {"number": "churn", "group": 1, "segment": "all", "cutoff": "2024-01-01", **RISK[0]},
            {"number": "churn", "group": 1, "segment": "tier: low", "cutoff": "2024-01-01", **RISK[0]},
            {"number": "value", "group": 1, "segment": "all", "cutoff": "2024-01-01", **VALUE[0]},
            {"number": "churn", "group": 1, "segment": "all", "cutoff": "2023-01-01", **RISK[0]},
        ]
    )
    groups = evaluation_groups(table, "2024-01-01", "churn")
    assert [group["predicted"] for group in groups] == [0.1, 0.5] and groups[0]["low"] == groups[0]["actual"]
    tips = [mark[0].text for mark in of_class(calibration_chart(groups, NumberFormat(1.0)), "mark")]
    assert tips[:2] == [
        "risk group 1: expected to leave 10.0%", "risk group 1: left 10.0% (confidence interval 10.0% to 10.0%)",
    ]  # fmt: skip
    assert calibration_chart([], NumberFormat(1.0)) == ""
