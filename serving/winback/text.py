"""The text that explains one lapsed customer, from the table that `regulars score` wrote."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from features.config.load import Config
from features.errors import printable
from features.phrases import format_number
from features.task import Window
from serving.winback.table import WinbackManifest, read_winback


def lapsed_customer_text(config: Config, names: Collection[str], cutoff: date) -> str:
    """Explain why a lapsed customer may come back; empty if none of the names is in the table of the cutoff.

    Args:
        config: The business.
        names: The ids of the customer, plain and hashed.
        cutoff: The cutoff.

    Returns:
        The text.

    Raises:
        DataError: The table has changed since it was written.
    """
    scores = read_winback(config, cutoff)
    if scores is None:
        return ""
    table = scores.table()
    rows = table.filter(pc.is_in(table["customer_id"], value_set=pa.array(sorted(names), pa.string()))).to_pylist()
    return "\n".join(_lines(rows[0], scores.manifest, config.serving.interval)) if rows else ""


def _lines(row: Mapping[str, Any], facts: WinbackManifest, inside: float) -> list[str]:
    task = facts.model.get("task", {})
    days = Window.parse(task["horizon"]).days
    lines = [
        f"customer {printable(row['customer_id'], keep='')} at {facts.cutoff}: lapsed, last purchase "
        f"{row['silent_days']:,} days before",
        "",
        f"  probability of coming back in the next {days} days   {row['return_probability']:.1%}",
    ]
    if row["value"] is not None:
        low, high = (format_number(row[name], "money") for name in ("value_low", "value_high"))
        value, back = (format_number(row[name], "money") for name in ("value", "value_if_back"))
        lines.append(f"  expected value over {days} days   {value} ({inside:.0%} of such customers: {low} to {high})")
        lines.append(f"  if they come back   {back}")
    lines.append(f"  last day to try   {_last_try(row['last_try'], facts)}")
    if not row["reasons"]:
        return [*lines, "", "  all lapsed customers have the same chance: no model tells them apart"]
    reasons = (f"  {100 * r['contribution']:>+6.1f} points  {r['reading']}  [{r['phrase']}]" for r in row["reasons"])
    return [*lines, "", "why this chance", *reasons]


def _last_try(day: date | None, facts: WinbackManifest) -> str:
    share = f"{facts.last_try:.0%}"
    if day is None:
        return f"none: the chance stays above {share} while they count as lapsed"
    return f"{day}{' (past)' if day < facts.cutoff else ''}, after which the chance is below {share}"
