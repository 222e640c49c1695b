"""The drivers of risk and value over all customers: one bar for each family of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving.charts import Bar, horizontal_bars, truncate_text
from serving.language.feature_phrases import Driver
from serving.report.text import ReportWording

DRIVERS, DEPENDS = 10, 0.2
LEVEL = 14  # greatest width of a level's name, in columns


def driver_charts(wording: ReportWording, drivers: Mapping[str, Sequence[Driver]]) -> list[dict[str, Any]]:
    """Draw a chart of drivers for each prediction, churn first."""
    kinds = [kind for kind in ("churn", "value") if drivers.get(kind) and (wording.money or kind == "churn")]
    return [_chart(wording, kind, drivers[kind]) for kind in kinds]


def _chart(wording: ReportWording, kind: str, rows: Sequence[Driver]) -> dict[str, Any]:
    """Draw the strongest driver of each family."""
    tr = wording.tr
    strongest: dict[str, Driver] = {}
    for row in rows:
        strongest.setdefault(row["family"], row)
    bars = [driver_bar(wording, row, kind) for row in list(strongest.values())[:DRIVERS]]
    details = "; ".join(f"{each.label}: {each.note}" for each in bars)
    if kind == "churn":
        title = tr("Risk of leaving, in percentage points")
        alt = tr("Strongest drivers of the risk of leaving, strongest first. {details}.", details=details)
        legend = tr(
            "Solid: higher values, higher risk. Hatched: higher values, lower risk. Open: it depends on the customer."
        )
    else:
        title = tr("Value over the {days} days, in money", days=wording.days)
        alt = tr("Strongest drivers of value, strongest first. {details}.", details=details)
        legend = tr(
            "Solid: higher values, higher value. Hatched: higher values, lower value. Open: it depends on the customer."
        )
    return {"kind": kind, "title": title, "legend": legend, "svg": horizontal_bars(alt, bars)}


def driver_bar(wording: ReportWording, row: Driver, kind: str) -> Bar:
    """Make the bar of a driver.

    Args:
        wording: Language and formats of the report.
        row: The driver: phrase, strength, direction; for a categorical feature also its highest and lowest level.
        kind: The prediction that it drives, 'churn' or 'value'.

    Returns:
        The bar with its phrase, its mean absolute contribution, and its direction as text and fill.
    """
    tr, label = wording.tr, row["phrase"]
    if kind == "churn":
        size = tr("{n} points", n=f"{100 * row['strength']:.1f}")
    else:
        size = wording.form.money(row["strength"], fine=True)
    if "highest" in row:
        most, least = truncate_text(row["highest"], LEVEL), truncate_text(row["lowest"], LEVEL)
        note = tr("{size}, highest for {most}, lowest for {least}", size=size, most=most, least=least)
        return Bar(label, row["strength"], note, "open")
    if not abs(row["direction"]) >= DEPENDS:
        return Bar(label, row["strength"], tr("{size}, it depends", size=size), "open")
    if row["direction"] > 0:
        note = tr("{size}, higher values: higher risk", size=size)
        note = note if kind == "churn" else tr("{size}, higher values: higher value", size=size)
        return Bar(label, row["strength"], note, "solid")
    note = tr("{size}, higher values: lower risk", size=size)
    note = note if kind == "churn" else tr("{size}, higher values: lower value", size=size)
    return Bar(label, row["strength"], note, "hatched")
