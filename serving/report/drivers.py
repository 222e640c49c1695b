"""What drives risk and value over all customers: a bar for each family of features, its direction in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from serving.charts import figures
from serving.charts.cjk_glyphs import shortened
from serving.report.text import Said

DRIVERS, DEPENDS = 10, 0.2
LEVEL = 14  # columns of a level's name
Row = Mapping[str, Any]


def drivers(said: Said, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A chart of each number that the manifest says drivers of, churn first."""
    found = manifest["drivers"]
    kinds = [kind for kind in ("churn", "value") if found.get(kind) and (said.money or kind == "churn")]
    return [_chart(said, kind, found[kind]) for kind in kinds]


def _chart(said: Said, kind: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The strongest driver of each family, by its phrase."""
    tr = said.tr
    strongest: dict[str, Row] = {}
    for row in rows:
        strongest.setdefault(row["family"], row)
    bars = [bar(said, row, kind) for row in list(strongest.values())[:DRIVERS]]
    told = "; ".join(f"{each.label}: {each.note}" for each in bars)
    if kind == "churn":
        title = tr("Risk of leaving, in percentage points")
        alt = tr("Strongest drivers of the risk of leaving, strongest first. {told}.", told=told)
        legend = tr("Solid: more of it, higher risk. Hatched: more of it, lower. Open: it depends on the customer.")
    else:
        title = tr("Value over the {days} days, in money", days=said.days)
        alt = tr("Strongest drivers of value, strongest first. {told}.", told=told)
        legend = tr("Solid: more of it, higher value. Hatched: more of it, lower. Open: it depends on the customer.")
    svg = Markup(figures.bars(kind, alt, bars))  # noqa: S704 (escaped where it was made)
    return {"kind": kind, "title": title, "legend": legend, "svg": svg}


def bar(said: Said, row: Row, kind: str) -> figures.Bar:
    """A driver as a bar: its phrase, its mean size, and which way it goes; of levels, the most and the least."""
    tr, label = said.tr, said.tr.phrase(row["phrase"])
    if kind == "churn":
        size = tr("{n} points", n=f"{100 * row['strength']:.1f}")
    else:
        size = said.form.money(row["strength"], fine=True)
    if "highest" in row:
        most, least = shortened(row["highest"], LEVEL), shortened(row["lowest"], LEVEL)
        note = tr("{size}, most with {most}, least {least}", size=size, most=most, least=least)
        return figures.Bar(label, row["strength"], note, "open")
    if not abs(row["direction"]) >= DEPENDS:
        return figures.Bar(label, row["strength"], tr("{size}, depends", size=size), "open")
    if row["direction"] > 0:
        note = tr("{size}, more of it: higher risk", size=size)
        note = note if kind == "churn" else tr("{size}, more of it: higher value", size=size)
        return figures.Bar(label, row["strength"], note, "solid")
    note = tr("{size}, more of it: lower risk", size=size)
    note = note if kind == "churn" else tr("{size}, more of it: lower value", size=size)
    return figures.Bar(label, row["strength"], note, "hatched")
