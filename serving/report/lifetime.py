"""The section on lifetime value: what all customers together are worth over years, and what that rests on."""

from __future__ import annotations

from typing import Any

from serving.report.inputs import ReportInputs
from serving.report.text import ReportWording
from serving.scoring.lifetime_totals import lifetime_name, reach_text


def lifetime_section(wording: ReportWording, inputs: ReportInputs) -> dict[str, Any]:
    """Prepare the totals over years with their intervals; empty if the scores have no lifetime value.

    Args:
        wording: Language and formats of the report.
        inputs: The report's inputs.

    Returns:
        `rows` (name, total, low, high and profit as text), `reach` and `terms` as sentences, and whether there is
        `profit`.
    """
    manifest, tr, form = inputs.scores.manifest, wording.tr, wording.form
    if not manifest.lifetime:
        return {}
    rows = [
        {
            "name": lifetime_name(row["column"], tr),
            **{name: form.money(row[name]) for name in ("total", "low", "high")},
            "profit": "" if row["profit"] is None else form.money(row["profit"]),
        }
        for row in manifest.lifetime["totals"]
    ]
    terms = tr(
        "What comes after the horizon of {days} days is discounted by {share} a year. The intervals hold the total "
        "with a probability of {interval}.",
        days=wording.days,
        share=form.share(manifest.lifetime["discount"]),
        interval=form.share(wording.interval),
    )
    profit = any(row["profit"] for row in rows)
    return {"rows": rows, "reach": reach_text(manifest, tr), "terms": terms, "profit": profit}
