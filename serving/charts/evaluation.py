"""How good the predictions were in the test of a training, as charts: calibration, gains, lift, and value by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from serving.charts.axes import format_tick
from serving.charts.bars import Column, ColumnPair, columns, paired_columns
from serving.charts.lines import Curve, CurveAxis, CurvePoint, curve_chart
from serving.language.formats import NumberFormat

FEWEST = 2  # groups
Group = Mapping[str, Any]


def evaluation_groups(groups: pd.DataFrame, cutoff: str, number: str) -> list[dict[str, Any]]:
    """Select the groups of equal size by a prediction at a cutoff.

    Args:
        groups: The groups of an evaluation.
        cutoff: The cutoff of the test.
        number: 'churn' or 'value'.

    Returns:
        The groups of all customers, lowest prediction first; none if they were not logged.
    """
    # Runs of version 0.1 have no segments here.
    all_customers = groups[groups["segment"] == "all"] if "segment" in groups else groups
    rows = all_customers[(all_customers["cutoff"].astype(str) == cutoff) & (all_customers["number"] == number)]
    return [
        {"low": row["actual"], "high": row["actual"], **row} for row in rows.sort_values("group").to_dict("records")
    ]


def calibration_chart(risk_groups: Sequence[Group], form: NumberFormat) -> Markup | str:
    """Draw expected beside observed churn in the ten groups; empty if they were not logged."""
    if not risk_groups:
        return ""
    tr = form.tr
    details = "; ".join(
        tr(
            "group {n}: expected {expected}, observed {observed}",
            n=n,
            expected=f"{r['predicted']:.0%}",
            observed=f"{r['actual']:.0%}",
        )
        for n, r in enumerate(risk_groups, start=1)
    )
    pairs = [_calibration_pair(number, row, form) for number, row in enumerate(risk_groups, start=1)]
    alt = tr("Expected and observed churn by risk group. {details}.", details=details)
    names, axis = (tr("expected"), tr("observed")), tr("risk groups, lowest to highest")
    return paired_columns(alt, pairs, names, axis, "{:.0%}".format)


def _calibration_pair(number: int, row: Group, form: NumberFormat) -> ColumnPair:
    tr, share = form.tr, "{:.1%}".format
    expected = tr("risk group {n}: expected to leave {share}", n=number, share=share(row["predicted"]))
    observed = tr(
        "risk group {n}: left {share} (confidence interval {span})",
        n=number, share=share(row["actual"]), span=form.span(row["low"], row["high"], "share"),
    )  # fmt: skip
    return ColumnPair(str(number), row["predicted"], row["actual"], expected, observed, row["low"], row["high"])


def ranking_charts(risk: Sequence[Group], value: Sequence[Group], form: NumberFormat) -> list[dict[str, Any]]:
    """Draw gains and lift by predicted risk, and predicted beside actual value.

    Args:
        risk: Groups of equal size by predicted risk, lowest first: customers, predicted and actual share of leavers.
        value: The same by predicted value, with means; empty without money.
        form: Language and formats.

    Returns:
        Charts: `svg` and `caption`; none for a kind that was not measured.
    """
    tr, charts = form.tr, []
    leavers = sum(row["actual"] * row["customers"] for row in risk)
    if len(risk) >= FEWEST and leavers > 0:
        caption = tr(
            "Gains: the share of all leavers who are found among the customers with the highest risk. The dotted line "
            "is a random order."
        )
        charts.append({"svg": _gains(risk, leavers, form), "caption": caption})
        caption = tr("Lift: how many times as many leavers a risk group has as a random group of the same size.")
        charts.append({"svg": _lift(risk, leavers, form), "caption": caption})
    if len(value) >= FEWEST:
        caption = tr("Mean value of ten groups by predicted value: predicted (solid) and actual (hatched).")
        charts.append({"svg": _values(value, form), "caption": caption})
    return charts


def _gains(risk: Sequence[Group], leavers: float, form: NumberFormat) -> Markup:
    tr, everyone = form.tr, sum(row["customers"] for row in risk)
    customers = found = 0.0
    points = [CurvePoint(0.0, 0.0, tr("no customers, no leavers"))]
    for row in reversed(risk):
        customers += row["customers"]
        found += row["actual"] * row["customers"]
        share, gain = customers / everyone, found / leavers
        tip = tr(
            "the riskiest {share} of the customers: {gain} of the leavers, {lift} times as many as at random",
            share=f"{share:.0%}", gain=f"{gain:.0%}", lift=f"{gain / share:.1f}",
        )  # fmt: skip
        points.append(CurvePoint(share, gain, tip))
    chance = [CurvePoint(0.0, 0.0, ""), CurvePoint(1.0, 1.0, "")]
    details = "; ".join(point.tip for point in points[1:])
    alt = tr("Leavers found by risk. {details}.", details=details)
    x = CurveAxis(tr("share of customers, highest risk first"), "{:.0%}".format)
    y = CurveAxis(tr("share of all leavers"), "{:.0%}".format)
    return curve_chart(alt, [Curve(tr("by risk"), points), Curve(tr("at random"), chance, "dotted")], x, y)


def _lift(risk: Sequence[Group], leavers: float, form: NumberFormat) -> Markup:
    tr, mean = form.tr, leavers / sum(row["customers"] for row in risk)
    bars = []
    for number, row in enumerate(risk, start=1):
        lift = row["actual"] / mean
        tip = tr(
            "risk group {n}: {lift} times as many leavers as on average ({share} left)",
            n=number, lift=f"{lift:.1f}", share=f"{row['actual']:.1%}",
        )  # fmt: skip
        bars.append(Column(str(number), round(lift, 1), tip, lift > 1))
    alt = tr("Lift by risk group. {details}.", details="; ".join(bar.tip for bar in bars))
    return columns(alt, bars, tr("risk groups, lowest to highest"))


def _values(value: Sequence[Group], form: NumberFormat) -> Markup:
    tr, pairs = form.tr, []
    for number, row in enumerate(value, start=1):
        predicted, actual = form.money(row["predicted"]), form.money(row["actual"])
        first = tr("value group {n}: predicted {value} per customer", n=number, value=predicted)
        second = tr("value group {n}: actual {value} per customer", n=number, value=actual)
        pairs.append(ColumnPair(str(number), row["predicted"], row["actual"], first, second))
    details = "; ".join(f"{pair.first_tip}, {pair.second_tip}" for pair in pairs)
    alt = tr("Predicted and actual value by group. {details}.", details=details)
    names, axis = (tr("predicted"), tr("actual")), tr("value groups, lowest to highest")
    return paired_columns(alt, pairs, names, axis, format_tick)
