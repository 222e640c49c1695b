"""An independent, slow computation of the features of the customer table, one customer and cutoff at a time.

Shares no code with `features`. A row is a dictionary: customer, known_at (a naive UTC time, or absent where the table
is as of today), since and the attributes. Dates are dates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

Row = Mapping[str, Any]


def features(
    rows: Sequence[Row], customer: str, cutoff: date, first_order: date, attributes: Sequence[str]
) -> dict[str, Any]:
    """Return the attributes known before a cutoff, dates as days before it, and the days since signing up."""
    row = as_it_stood([row for row in rows if row["customer"] == customer], cutoff)
    values = {name: _value(row.get(name), cutoff) for name in attributes}
    age = _value(row.get("since"), cutoff)
    waited = None if age is None else float(max(0, (first_order - row["since"]).days))
    return {**values, "signup_age_days": age, "signup_to_first_order_days": waited}


def as_it_stood(rows: Sequence[Row], cutoff: date) -> Row:
    """Return the newest row known before a cutoff; empty if there is none."""
    midnight = datetime(cutoff.year, cutoff.month, cutoff.day)
    attributes: Row = {}
    for row in rows:
        if "known_at" not in row:
            return row
        if row["known_at"] < midnight and (not attributes or row["known_at"] > attributes["known_at"]):
            attributes = row
    return attributes


def _value(value: Any, cutoff: date) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, date):
        return float((cutoff - value).days) if value < cutoff else None
    return float(value) if isinstance(value, int | float) else value
