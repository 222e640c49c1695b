"""Risk, value and segments of all customers at each scored cutoff."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from markupsafe import Markup

from serving.charts.bars import Layer, stacked_columns
from serving.charts.lines import TimeSeries, line_chart
from serving.charts.svg import FILLS

Money = Callable[[float], str]
Link = Callable[..., str]


@dataclass(frozen=True)
class CutoffTotals:
    """Sums over all customers of a scored cutoff; `leaving` is the sum of their risks, `segments` counts them."""

    day: date
    customers: int
    at_risk: int
    leaving: float
    value: float
    value_at_risk: float
    segments: Mapping[str, int]


@dataclass(frozen=True)
class TotalsWording:
    """How totals are written: the language, the format of money (None without money), and links by cutoff."""

    tr: Callable[..., str]
    money: Money | None
    link: Link = lambda day, **filters: ""


def charts_over_cutoffs(totals: Sequence[CutoffTotals], wording: TotalsWording) -> list[dict[str, Any]]:
    """Draw risk, customers, value and segments over cutoffs; nothing for fewer than two.

    Args:
        totals: The cutoffs, ascending.
        wording: Language, money and links.

    Returns:
        Charts: `title` and `svg`.
    """
    if len(totals) < 2:
        return []
    tr, days = wording.tr, [each.day for each in totals]
    links = [wording.link(day) for day in days]

    def lines(title: str, series: Mapping[str, Sequence[float]], form: Money) -> dict[str, Any]:
        drawn = [
            TimeSeries(label, values, hollow=place > 0, links=links)
            for place, (label, values) in enumerate(series.items())
        ]
        return {"title": title, "svg": line_chart(_alt(title, days, drawn, form), days, drawn, form)}

    shares = {tr("expected share of leavers"): [each.leaving / max(each.customers, 1) for each in totals]}
    counts = {
        tr("customers"): [float(each.customers) for each in totals],
        tr("customers at risk"): [float(each.at_risk) for each in totals],
    }
    charts = [
        lines(tr("Expected share of leavers"), shares, _share),
        lines(tr("Customers, and customers at risk"), counts, "{:,.0f}".format),
    ]
    if wording.money is not None:
        values = {
            tr("expected value"): [each.value for each in totals],
            tr("value at risk"): [each.value_at_risk for each in totals],
        }
        charts.append(lines(tr("Expected value, and value at risk"), values, wording.money))
    return [*charts, {"title": tr("Customers by segment"), "svg": _segments(totals, wording)}]


def _share(number: float) -> str:
    """Format a share, without a decimal that is 0.

    >>> _share(0.2), _share(0.183)
    ('20%', '18.3%')
    """
    return f"{number:.1%}".replace(".0%", "%")


def _alt(title: str, days: Sequence[date], drawn: Sequence[TimeSeries], form: Money) -> str:
    rows = [
        f"{day}: " + " / ".join(form(line.values[place] or 0.0) for line in drawn) for place, day in enumerate(days)
    ]
    return f"{title}: {'; '.join(rows)}."


def _segments(totals: Sequence[CutoffTotals], wording: TotalsWording) -> Markup:
    """Draw the customers of each segment, the largest segment of the newest cutoff at the bottom."""
    tr, sizes = wording.tr, totals[-1].segments
    names = sorted({name for each in totals for name in each.segments}, key=lambda name: (-sizes.get(name, 0), name))
    layers = []
    for name in names[: len(FILLS)]:
        counts = [each.segments.get(name, 0) for each in totals]
        tips = [
            tr("{group} at {day}: {n} customers", group=tr(name), day=each.day, n=f"{count:,}")
            for each, count in zip(totals, counts, strict=True)
        ]
        layers.append(Layer(tr(name), counts, tips, [wording.link(each.day, segment=name) for each in totals]))
    details = "; ".join(
        f"{each.day}: " + ", ".join(f"{tr(name)} {each.segments.get(name, 0):,}" for name in names) for each in totals
    )
    alt = tr("Customers by segment at each cutoff. {details}.", details=details)
    return stacked_columns(alt, [str(each.day) for each in totals], layers, "{:,.0f}".format)
