"""The list beside the report: the customers with the most at risk as CSV, with reasons and action."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from features.storage.atomic_files import atomic_file
from serving.report.customer_list import read_rows
from serving.report.inputs import ReportInputs
from serving.scoring.columns import SCORE_SCHEMA
from serving.scoring.sinks import spreadsheet_table

ROWS = 10_000
LEFT_OUT = ("churn_model", "value_model")


def write_customer_file(path: Path, inputs: ReportInputs, weight: np.ndarray) -> int:
    """Write the ROWS customers with the most at risk, largest first.

    Args:
        path: The file.
        inputs: The report's inputs; the scores and the plan are used.
        weight: (n,) value at risk of each scored customer, or the risk if there is no value.

    Returns:
        The number of rows.
    """
    rows = read_rows(inputs.scores, np.argsort(-weight, kind="stable")[:ROWS])
    names = [name for name in SCORE_SCHEMA.names if name not in LEFT_OUT and any(row.get(name) for row in rows)]
    table = pa.Table.from_pylist(
        [{name: row.get(name) for name in names} for row in rows], pa.schema([SCORE_SCHEMA.field(n) for n in names])
    )
    plan = inputs.plan.content
    if plan is not None and not plan.stale:
        planned: Mapping[str, Mapping[str, Any]] = plan.rows([row["customer_id"] for row in rows])
        actions = [(planned.get(row["customer_id"]) or {}).get("action") for row in rows]
        table = table.append_column("action", pa.array(actions, pa.string()))
    with atomic_file(path) as temporary:
        pa_csv.write_csv(spreadsheet_table(table), temporary)
    return len(rows)
