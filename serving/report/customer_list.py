"""The customers with the most at risk: their scores, their reasons, and what to do with each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from serving.effects.action_effects import ASSUMED
from serving.report.inputs import ReportInputs
from serving.report.text import ReportWording
from serving.scoring.score_tables import Scores

LISTED, PRINTED, BECAME = 50, 15, 5
NUMBERS = ["churn_probability", "value", "value_at_risk", "lifecycle", "tier", "segment"]


def read_score_columns(scores: Scores) -> pd.DataFrame:
    """Read the score columns that the totals need, for all customers; ids and reasons are not read."""
    return scores.read_columns(NUMBERS).to_pandas().astype({"value": float, "value_at_risk": float})


def customers_at_risk(wording: ReportWording, inputs: ReportInputs, weight: np.ndarray) -> list[dict[str, Any]]:
    """Read the LISTED customers with the most at risk, with reasons and action as text.

    Args:
        wording: Language, formats and terms of the report.
        inputs: The report's inputs; the scores and the plan are used.
        weight: (n,) value at risk of each scored customer, or the risk if there is no value.

    Returns:
        A row per customer, largest weight first: the score columns, `why_risk`, `why_value` and `todo`.
    """
    rows = read_rows(inputs.scores, np.argsort(-weight, kind="stable")[:LISTED])
    cutoff_plan = inputs.plan.content
    plan_rows = cutoff_plan.rows([row["customer_id"] for row in rows]) if cutoff_plan and not cutoff_plan.stale else {}
    form = wording.form
    for row in rows:
        row["why_risk"] = _reasons(row["churn_reasons"], wording.points)
        row["why_value"] = _reasons(row["value_reasons"], lambda c: form.money(c, "+").replace("-", "−"))
        row["todo"] = _todo(wording, inputs, row, plan_rows.get(row["customer_id"]))
    return rows


def became_at_risk(wording: ReportWording, inputs: ReportInputs) -> list[dict[str, str]]:
    """Write the customers who became at risk since the cutoff before, those with the most value at risk."""
    changes = inputs.changes
    if changes is None or not wording.skill:
        return []
    form = wording.form
    return [
        {
            "customer": row["customer_id"],
            "before": form.share(row["risk_before"]),
            "now": form.share(row["risk"]),
            "at_risk": form.money(row["value_at_risk"]) if row["value_at_risk"] is not None else "–",
            "segment": wording.name(row["segment"] or "–"),
        }
        for row in changes.became[:BECAME]
    ]


def read_rows(scores: Scores, places: np.ndarray) -> list[dict[str, Any]]:
    """Read the rows at some places of the score table, in that order."""
    rows_by_place: dict[int, dict[str, Any]] = {}
    start = 0
    for part in scores.manifest.parts:
        places_inside = places[(places >= start) & (places < start + part["rows"])]
        if len(places_inside):
            rows = scores.read_part(part).take(pa.array(places_inside - start)).to_pylist()
            rows_by_place |= dict(zip(places_inside.tolist(), rows, strict=True))
        start += part["rows"]
    return [rows_by_place[place] for place in places.tolist()]


def _reasons(
    reasons: Sequence[Mapping[str, Any]] | None, format_amount: Callable[[float], str]
) -> list[dict[str, str]]:
    return [{"amount": format_amount(reason["contribution"]), "reading": reason["reading"]} for reason in reasons or []]


def _todo(
    wording: ReportWording, inputs: ReportInputs, row: Mapping[str, Any], plan_row: Mapping[str, Any] | None
) -> str:
    """Say what the plan does with a customer; without a plan, what suits their segment, or else their lifecycle."""
    tr = wording.tr
    if plan_row is None:
        suitable = (inputs.advice.get(row[column] or "", "") for column in ("segment", "lifecycle"))
        return tr(next((way for way in suitable if way), ""))
    if plan_row["action"] is not None:
        gain, money = plan_row["expected_gain"], wording.money
        size = wording.form.money(gain, "+", fine=True) if money else wording.points(gain)
        if plan_row["source"] == ASSUMED:
            return tr("{action} (expected gain {gain}, assumed)", action=plan_row["action"], gain=size)
        return tr("{action} (expected gain {gain})", action=plan_row["action"], gain=size)
    if plan_row["would_have"] is not None:
        return tr("holdout: do not contact (would have {action})", action=plan_row["would_have"])
    return wording.name(plan_row["assignment"])
