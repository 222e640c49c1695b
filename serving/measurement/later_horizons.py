"""Whether the effect of a plan lasts: its effect on value at two and four horizons, once the log reaches so far.

What customers bring after the first horizon is an outcome of its own, compared as the plan's value is: by re-drawing
the holdout, with the same covariates. If an action only made customers buy earlier, they bring less later (pulled
forward). Later plans drew anew, so what they changed is alike in both groups, but adds noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from serving.measurement.compared_outcomes import ComparedOutcomes, compare_outcomes
from serving.measurement.executed_plan import VALUE, ExecutedPlan
from serving.statistics.randomisation import DRAWS
from serving.statistics.treatment_effect import LEVEL

ALL = "all"
MULTIPLES = (2, 4)  # horizons, over which effects are looked at again
LASTING, FADING, PULLED_FORWARD, OPEN = "lasting", "fading", "pulled forward", "open"
Interval = tuple[float, float, float]  # the effect, and the ends of its interval


def later_effects(
    executed: ExecutedPlan, values: Mapping[int, np.ndarray], draws: int = DRAWS
) -> Iterator[dict[str, Any]]:
    """Yield the effect on value within the first horizon, after it, and in all, for all actions and for each.

    Args:
        executed: A plan with complete outcomes, a control group and money.
        values: By number of horizons, the value (n,) of each customer until their end.
        draws: How many assignments are drawn for comparison.

    Yields:
        Rows with horizons, action, first, later and whole (each the effect per customer with the ends of its interval,
        which hold together for all numbers of horizons), and kind.
    """
    first = executed.outcomes[VALUE]
    names = (ALL, *executed.actions) if len(executed.actions) > 1 else (ALL,)
    level = 1 - (1 - LEVEL) / max(len(values), 1)
    for horizons, whole in values.items():
        columns = [_compared(executed, each, draws) for each in (first, whole - first, whole)]
        for name in names:
            intervals = [_interval(each, executed, name, level) for each in columns]
            if all(np.isfinite(interval).all() for interval in intervals):
                yield {
                    "horizons": horizons, "action": name, "first": list(intervals[0]), "later": list(intervals[1]),
                    "whole": list(intervals[2]), "kind": kind_of_effect(intervals[0], intervals[1], horizons - 1),
                }  # fmt: skip


def kind_of_effect(first: Interval, later: Interval, horizons: int) -> str:
    """Say what became of an effect: 'lasting', 'fading', 'pulled forward', or 'open' if that cannot be told.

    Args:
        first: The effect within the first horizon.
        later: That in all later ones together.
        horizons: How many later ones there are.

    Returns:
        The kind.

    >>> kind_of_effect((2.0, 1.0, 3.0), (-1.5, -2.0, -1.0), 1), kind_of_effect((2.0, 1.0, 3.0), (0.1, -0.5, 0.7), 1)
    ('pulled forward', 'fading')
    """
    if first[1] <= 0:
        return OPEN
    if later[2] < 0:
        return PULLED_FORWARD
    if later[1] > 0:
        return LASTING
    return FADING if later[2] / horizons < first[0] else OPEN


def _compared(executed: ExecutedPlan, value: np.ndarray, draws: int) -> ComparedOutcomes:
    return compare_outcomes(replace(executed, outcomes={VALUE: value}), draws)


def _interval(outcomes: ComparedOutcomes, executed: ExecutedPlan, name: str, level: float) -> Interval:
    """The adjusted effect on all customers, or on those of an action, with its interval."""
    if name == ALL:
        effect = outcomes.overall()[0]
    else:
        members = executed.assigned == executed.actions.index(name)
        effect = outcomes.of_group(outcomes.inside & (members | (executed.control & executed.experiment)))[0]
    return effect.effect, *effect.interval(level)
