"""The customers with most at risk: their numbers, their reasons, and what to do with each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from serving.planning.action_effects import ASSUMED
from serving.report.inputs import Found
from serving.report.text import Said
from serving.scoring.score_tables import Scores
from serving.segmentation import profiles

LISTED = 50
NUMBERS = ["churn_probability", "value", "value_at_risk", "lifecycle", "tier", "segment"]


def numbers(scores: Scores) -> pd.DataFrame:
    """What the totals need of every customer; ids and reasons are read for the listed ones only."""
    parts = [pq.ParquetFile(scores.folder / part["file"]).read(NUMBERS) for part in scores.manifest["parts"]]
    return pa.concat_tables(parts).to_pandas().astype({"value": float, "value_at_risk": float})


def listed(said: Said, found: Found, weight: np.ndarray) -> list[dict[str, Any]]:
    """The LISTED customers who weigh (n,) most, with reasons and action in words."""
    rows = _at(found.scores, np.argsort(-weight, kind="stable")[:LISTED])
    planned = found.plan.content
    plan = planned.rows([row["customer_id"] for row in rows]) if planned and not planned.stale else {}
    form = said.form
    for row in rows:
        row["why_risk"] = _reasons(row["churn_reasons"], said.points)
        row["why_value"] = _reasons(row["value_reasons"], lambda c: form.money(c, "+").replace("-", "−"))
        row["todo"] = _todo(said, found, row, plan.get(row["customer_id"]))
    return rows


def _at(scores: Scores, places: np.ndarray) -> list[dict[str, Any]]:
    """The customers at some places of the score table, in that order."""
    found: dict[int, dict[str, Any]] = {}
    start = 0
    for part in scores.manifest["parts"]:
        inside = places[(places >= start) & (places < start + part["rows"])]
        if len(inside):
            rows = pq.ParquetFile(scores.folder / part["file"]).read().take(pa.array(inside - start)).to_pylist()
            found |= dict(zip(inside.tolist(), rows, strict=True))
        start += part["rows"]
    return [found[place] for place in places.tolist()]


def _reasons(reasons: Sequence[Mapping[str, Any]] | None, say: Callable[[float], str]) -> list[dict[str, str]]:
    return [{"amount": say(reason["contribution"]), "reading": reason["reading"]} for reason in reasons or []]


def _todo(said: Said, found: Found, row: Mapping[str, Any], planned: Mapping[str, Any] | None) -> str:
    """What the plan does with a customer; without a plan what fits their segment, or their lifecycle."""
    tr = said.tr
    if planned is None:
        ways = (profiles.treatment_for(row[column] or "", found.treatments) for column in ("segment", "lifecycle"))
        return tr(next((way for way in ways if way), ""))
    if planned["action"] is not None:
        gain, money = planned["expected_gain"], said.money
        size = said.form.money(gain, "+", fine=True) if money else said.points(gain)
        if planned["source"] == ASSUMED:
            return tr("{action} (expected gain {gain}, assumed)", action=planned["action"], gain=size)
        return tr("{action} (expected gain {gain})", action=planned["action"], gain=size)
    if planned["would_have"] is not None:
        return tr("held out, leave alone (would have {action})", action=planned["would_have"])
    return said.name(planned["assignment"])
