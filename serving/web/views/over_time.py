"""The charts of the first page over scored cutoffs: risk, customers, value and segments."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from serving.charts.over_cutoffs import CutoffTotals, TotalsWording, charts_over_cutoffs
from serving.scoring import value_tiers
from serving.web.parts.output_reader import (
    ROWS,
    MissingOutput,
    ScoredCutoff,
    Site,
    has_value,
    number_format,
    read_scored_cutoff,
    scored_cutoffs,
)

PAST = 13
TOTALS = (
    "SELECT segment, count(*) AS customers, count(*) FILTER (churn_probability >= ?) AS at_risk, "
    "sum(churn_probability) AS leaving, coalesce(sum(value), 0) AS value, "
    f"coalesce(sum(value_at_risk), 0) AS value_at_risk FROM {ROWS} GROUP BY 1 ORDER BY 1"
)
SUMS = ("customers", "at_risk", "leaving", "value", "value_at_risk")


def history_charts(site: Site, at: ScoredCutoff) -> list[dict[str, Any]]:
    """Draw the newest PAST cutoffs up to one of them; a cutoff that cannot be read is left out.

    Args:
        site: The output folder.
        at: The scored cutoff that is shown.

    Returns:
        Charts: `title` and `svg`; none if there are fewer than two cutoffs.
    """
    totals = []
    for day in [day for day in scored_cutoffs(site) if day <= at.cutoff][-PAST:]:
        try:
            totals.append(_totals(site, read_scored_cutoff(site, str(day))))
        except MissingOutput:
            continue  # it is being written, or damaged: its own page says so
    money = number_format(site, at).money if has_value(site, at) else None
    return charts_over_cutoffs(totals, TotalsWording(site.tr, money, _link))


def _totals(site: Site, at: ScoredCutoff) -> CutoffTotals:
    """Sum up a cutoff; cached."""

    def read() -> CutoffTotals:
        rows = site.query(TOTALS, [value_tiers.AT_RISK, at.files]).to_pylist()
        sums = {name: sum(row[name] for row in rows) for name in SUMS}
        return CutoffTotals(at.cutoff, segments={row["segment"] or "–": row["customers"] for row in rows}, **sums)

    return site.cache.get(("over time", at.fingerprint), read)


def _link(day: object, **filters: str) -> str:
    """Address a cutoff's first page, or its list of customers by a filter."""
    return f"{'/customers' if filters else '/'}?{urlencode({**filters, 'cutoff': day})}"
