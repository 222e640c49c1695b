"""The part of the report on lapsed customers: how many may come back, what they bring, and whom to try first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from features.task import Window
from serving.language.messages import N_
from serving.report.inputs import ReportInputs
from serving.report.text import ReportWording

LISTED = 25
PAST, FAR = N_("past"), N_("not in sight")
NUMBERS = ["return_probability", "value", "last_try"]


def winback_section(wording: ReportWording, inputs: ReportInputs) -> dict[str, Any] | None:
    """Prepare the figures and the list of lapsed customers.

    Args:
        wording: Language, formats and terms of the report.
        inputs: The report's inputs; the lapsed customers are used.

    Returns:
        The figures, and a row for each of the LISTED customers who can still be tried and are expected to bring most;
        None if no lapsed customers were scored.
    """
    scores = inputs.winback.content
    if scores is None or not scores.manifest.customers:
        return None
    facts = scores.manifest
    task = facts.model.get("task", {})
    return {
        "facts": facts,
        "skill": facts.model.get("skill", True),
        "days": Window.parse(task["horizon"]).days,
        "active": Window.parse(task["silent_for"]).days,
        "limit": Window.parse(task["active_within"]).days,
        "rows": [_row(wording, row, facts.cutoff) for row in _first(scores.table(), facts.cutoff)],
        "file": f"winback/cutoff={facts.cutoff}",
    }


def _first(table: pa.Table, cutoff: date) -> list[dict[str, Any]]:
    """The rows to list: of those who can still be tried the ones with most expected value, else with most chance."""
    money = table["value"].null_count < table.num_rows
    weight = table["value" if money else "return_probability"].to_numpy().astype(float)
    in_time = np.array([day is None or day >= cutoff for day in table["last_try"].to_pylist()])
    order = np.argsort(-np.where(in_time, weight, -np.inf), kind="stable")
    return list(table.take(pa.array(order[: min(LISTED, int(in_time.sum()))])).to_pylist())


def _row(wording: ReportWording, row: Mapping[str, Any], cutoff: date) -> dict[str, Any]:
    reasons = [
        {"amount": wording.points(reason["contribution"]), "reading": reason["reading"]} for reason in row["reasons"]
    ]
    return {**row, "why": reasons, "until": last_try_text(row["last_try"], cutoff, wording.tr)}


def last_try_text(day: date | None, cutoff: date, tr: Any) -> str:
    """Return the last day to try as text.

    Args:
        day: The day; None if the chance does not fall so far.
        cutoff: The cutoff.
        tr: The language.

    Returns:
        The day, or that it is past or not in sight.
    """
    if day is None:
        return str(tr(FAR))
    return str(tr(PAST)) if day < cutoff else str(day)
