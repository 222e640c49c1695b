"""Values of customers that would outweigh all others in training are taken for the largest of the others.

Such values come from mistyped orders. One of them would move means, levels and totals so far that nothing could be
learned about anybody else. Ordinary values, also with a long tail, are never changed (`features.heavy_amounts`).
"""

from __future__ import annotations

import numpy as np

from features.heavy_amounts import ordinary_limit
from features.snapshots.build import KEYS, Snapshots

LABELS = ("churned", "value")


def value_limits(snapshots: Snapshots) -> dict[str, float]:
    """For each column of values the largest that is not heavy; infinity if none is heavy.

    Args:
        snapshots: With labels; those that were not known by `known_by` decide nothing.

    Returns:
        Limits by column: 'value', and those of longer horizons.
    """
    return {name: ordinary_limit(_known_values(snapshots, name)) for name in ("value", *snapshots.task.longer)}


def heavy_value_note(snapshots: Snapshots) -> tuple[str, ...]:
    """Says how many values training takes for smaller ones; empty if none."""
    values, limit = _known_values(snapshots, "value"), value_limits(snapshots)["value"]
    count = int((values > limit).sum())
    if not count:
        return ()
    who = "1 value of a customer outweighs" if count == 1 else f"{count:,} values of customers outweigh"
    return (
        f"{who} all others, up to {values.max():,.0f} (see `regulars check`): in training and evaluation "
        f"{limit:,.2f}, the largest of the others, stands for each",
    )


def _known_values(snapshots: Snapshots, name: str) -> np.ndarray:
    """The values of a column that are known, or were by `known_by`, as floats."""
    rows = snapshots.rows.select([*KEYS, *LABELS, *snapshots.task.longer])
    return snapshots.labelled(rows)[name].drop_null().to_numpy().astype(float)
