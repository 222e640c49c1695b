"""The catalog: every behavioural feature of a task on a log, with its window and the phrase a marketer understands.

All of them are made of rows that were already known at a cutoff, with their `age` in days before it (1: the day
before); none can look ahead. Sums and counts over nothing are 0; means, extremes and ages are null.
"""

from __future__ import annotations

from collections.abc import Iterator

from features.feature import Feature
from features.task import Task
from features.whole_past import gaps, recency, whole_past
from features.windowed import kind, money_in, orders_in, season, trends


def catalog(
    task: Task, kinds: tuple[str, ...] = (), has_amount: bool = True, has_quantity: bool = False, has_clock: bool = True
) -> tuple[Feature, ...]:
    """All features of a task on a log, in a fixed order; names are unique.

    Args:
        task: Gives the windows and the horizon.
        kinds: Slugs of the kind columns.
        has_amount: Whether the log has money.
        has_quantity: Whether the log has units.
        has_clock: Whether the times carry hours.
    """
    families: list[Iterator[Feature]] = [recency(), gaps(), whole_past(has_amount, has_clock)]
    for w in task.windows:
        families += [orders_in(w, has_quantity), *([money_in(w)] if has_amount else [])]
    pairs = zip(task.windows[:-1], task.windows[1:], strict=True)
    families += [trends(short, long, has_amount) for short, long in pairs]
    families += [season(task.horizon, has_amount)]
    families += [kind(slug, task.windows) for slug in kinds]
    return tuple(feature for family in families for feature in family)
