"""How well the test ranked and valued customers, as charts: gains, lift, and value by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from serving.charts import (
    Column,
    ColumnPair,
    Curve,
    CurveAxis,
    CurvePoint,
    columns,
    curve_chart,
    format_tick,
    paired_columns,
)
from serving.language.formats import NumberFormat

FEWEST = 2  # groups
Group = Mapping[str, Any]


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
    return curve_chart("gains", alt, [Curve(tr("by risk"), points), Curve(tr("at random"), chance, "dotted")], x, y)


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
    return columns("lift", alt, bars, tr("risk groups, lowest to highest"))


def _values(value: Sequence[Group], form: NumberFormat) -> Markup:
    tr, pairs = form.tr, []
    for number, row in enumerate(value, start=1):
        tips = [
            tr("value group {n}: predicted {value} per customer", n=number, value=form.money(row["predicted"])),
            tr("value group {n}: actual {value} per customer", n=number, value=form.money(row["actual"])),
        ]
        pairs.append(ColumnPair(str(number), row["predicted"], row["actual"], *tips))
    details = "; ".join(f"{pair.first_tip}, {pair.second_tip}" for pair in pairs)
    alt = tr("Predicted and actual value by group. {details}.", details=details)
    names, axis = (tr("predicted"), tr("actual")), tr("value groups, lowest to highest")
    return paired_columns("values", alt, pairs, names, axis, format_tick)
