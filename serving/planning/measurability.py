"""Which actions of a plan cannot be measured because too few of the customers meant to get them are held out.

The holdout is drawn before actions are chosen, so a rare action may have nobody to be compared with.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.experiments.power import ALPHA, POWER

LEAST_HELD_OUT = 10  # fewer say nothing of the tail of a skewed outcome, nor of a rate near 0 or 1


def unmeasurable_actions(table: pa.Table, actions: list[str], share: float) -> dict[str, dict[str, Any]]:
    """Finds the actions that customers get although the effect cannot be measured.

    Args:
        table: The rows of the plan.
        actions: Names of the actions.
        share: Share of the eligible customers that is held out.

    Returns:
        By action: customers with_action, held_out, and needed (customers meant to get it, held out or not, that would
        do; null without a holdout).
    """
    found = {}
    for name in actions:
        meant = table.filter(pc.equal(table["would_have"], name))
        held_out = int(pc.sum(meant["holdout"]).as_py() or 0)
        with_action = meant.num_rows - held_out
        if with_action and held_out < LEAST_HELD_OUT:
            needed = _customers_needed(meant, share, len(actions)) if share else None
            found[name] = {"with_action": with_action, "held_out": held_out, "needed": needed}
    return found


def _customers_needed(meant: pa.Table, share: float, tests: int) -> int:
    """As `customers_needed`, for the customers who are meant to get an action."""
    churn = np.asarray(meant["churn_probability"].cast(pa.float64()).fill_null(np.nan).to_numpy())
    effect = np.asarray(meant["effect_return"].cast(pa.float64()).fill_null(np.nan).to_numpy())
    return customers_needed(float(np.mean(1 - churn)), float(np.mean(effect)), share, tests)


def customers_needed(mean: float, expected: float, share: float, tests: int) -> int:
    """Customers meant to get an action that detect its expected effect on return, and enough of them held out.

    Args:
        mean: Their mean probability of returning.
        expected: The expected effect on it.
        share: Share that is held out, above 0.
        tests: Number of actions that are compared.

    Returns:
        The number.

    >>> customers_needed(0.4, 0.1, 0.5, 1), customers_needed(0.4, 0.0, 0.5, 1)
    (754, 20)
    """
    least = int(np.ceil(LEAST_HELD_OUT / share))
    if not np.isfinite(mean) or not np.isfinite(expected) or not expected:
        return least
    reach = NormalDist().inv_cdf(1 - ALPHA / tests / 2) + NormalDist().inv_cdf(POWER)
    size = reach**2 * mean * (1 - mean) / expected**2 * (1 / share + 1 / (1 - share))
    return max(least, int(np.ceil(size)))
