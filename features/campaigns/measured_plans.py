"""Measured plans as contacts drawn by lot: who was meant to get what, held out or not, with the probability of it.

A plan's holdout is a trial of each of its actions: of those meant to have it, a known share got nothing. Only plans
that were measured count: a plan that was never carried out would teach that its actions do nothing. By intention, who
could not be reached stays with those meant to get it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.config.load import Config
from features.errors import DataError

MANIFEST, TABLE, MEASURED = "manifest.json", "plan.parquet", "measured.json"
DEFAULT_CONTROL = "none"  # the control's name where [contacts] has none
COLUMNS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("day", pa.date32()),
        ("action", pa.string()),
        ("propensity", pa.float64()),
        ("round", pa.string()),
    ]
)


@dataclass(frozen=True)
class MeasuredPlan:
    """A plan that was measured at least once, and whose groups are those that the lot drew."""

    folder: Path
    cutoff: date
    campaign: str
    share: float


def read_measured_plans(config: Config) -> list[MeasuredPlan]:
    """The plans of a config's output that were carried out and measured, by cutoff and campaign.

    Those whose sample ratio raised an alarm are left out: something else than the lot drew them.

    Raises:
        DataError: A plan was changed since it was measured.
    """
    return list(_plans(config))


def plans_as_contacts(config: Config) -> pa.Table:
    """What measured plans meant for each customer, as rows of contacts (columns: `COLUMNS`), by round and customer.

    `day` is the plan's cutoff, from which its outcomes count; `action` is what was meant, or the control of those held
    out from it, and `propensity` the probability of that. `round` is a plan and one of its actions, within which the
    probabilities of action and control sum to one.

    Raises:
        DataError: A plan was changed since it was measured.
    """
    control = (config.contacts.control if config.contacts else "") or DEFAULT_CONTROL
    parts = [_rows(plan, control) for plan in read_measured_plans(config)]
    return pa.concat_tables([COLUMNS.empty_table(), *parts])


def _plans(config: Config) -> Iterator[MeasuredPlan]:
    for path in sorted((config.output / "plans").glob(f"cutoff=*/*/{MEASURED}")):
        told, facts = _json(path), _json(path.parent / MANIFEST)
        whole = _digest(path.parent / MANIFEST) == told["plan_sha256"]
        if not whole or _digest(path.parent / TABLE) != facts["files"][TABLE]:
            raise DataError(f"{path.parent}: was changed since it was measured; `regulars measure` it again")
        if not told["sample_ratio"]["alarm"]:
            cutoff, share = date.fromisoformat(facts["cutoff"]), float(facts["holdout"]["share"])
            yield MeasuredPlan(path.parent, cutoff, facts["campaign"], share)


def _rows(plan: MeasuredPlan, control: str) -> pa.Table:
    wanted = ["customer_id", "would_have", "holdout"]
    table = pq.ParquetFile(plan.folder / TABLE).read(columns=wanted)
    table = table.filter(table["would_have"].is_valid())
    meant, held = table["would_have"], table["holdout"]
    columns = {
        "customer_id": table["customer_id"],
        "day": pa.repeat(pa.scalar(plan.cutoff, pa.date32()), table.num_rows),
        "action": pc.if_else(held, control, meant),
        "propensity": pc.if_else(held, plan.share, 1 - plan.share),
        "round": pc.binary_join_element_wise(f"{plan.cutoff} {plan.campaign}", meant, " "),
    }
    order = [("round", "ascending"), ("customer_id", "ascending")]
    return pa.table(columns, schema=COLUMNS).sort_by(order)


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        raise DataError(f"{path}: cannot be read; `regulars measure` the plan again, or remove its folder") from None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
