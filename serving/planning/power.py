"""What a holdout can tell: the smallest effects that it detects, the power for those expected, the customers needed.

Two groups are compared who were meant to have the same action: those who got it and those held out. Returning is yes
or no, so its variance is p (1 - p). Value is nothing or, with probability p, a spend whose expectation s differs by
customer and which varies around it: its variance is E[p s^2 (1 + c)] - E[p s]^2, where c is the relative variance of
what buyers spent in the log's last horizon. As c holds differences between customers too, it errs on the wide side.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa

ALPHA, POWER = 0.05, 0.8
NORMAL = NormalDist()


@dataclass(frozen=True)
class PowerAnalysis:
    """What one outcome of a comparison can show.

    Attributes:
        deviation: Standard deviation of the outcome over customers.
        detects: The smallest effect on a customer that is found with power POWER.
        expected: The mean effect that the plan expects on those with an action.
        power: Probability of finding the expected effect.
        needed: Customers with an action or held out from one that POWER takes at the plan's share; None without effect.
    """

    deviation: float
    detects: float
    expected: float
    power: float
    needed: int | None


def analyse_power(
    deviation: float, treated: int, held: int, expected: float, share: float, alpha: float
) -> PowerAnalysis:
    """A comparison of the means of two groups, by the normal approximation.

    Args:
        deviation: Of the outcome, the same in both.
        treated: Customers with the action, and `held` those held out.
        expected: Mean effect.
        share: Of the customers that is held out.
        alpha: Two-sided probability of a false alarm.

    >>> found = compare(0.5, 1000, 1000, 0.05, 0.5, 0.05)
    >>> round(found.detects, 4), round(found.power, 3), found.needed
    (0.0626, 0.609, 3140)
    """
    sure, reach = NORMAL.inv_cdf(1 - alpha / 2), NORMAL.inv_cdf(1 - alpha / 2) + NORMAL.inv_cdf(POWER)
    if not treated or not held:
        return PowerAnalysis(deviation, np.inf, expected, 0.0, None)
    error = deviation * float(np.sqrt(1 / treated + 1 / held))
    if not error:
        return PowerAnalysis(deviation, 0.0, expected, float(expected != 0), None)
    ratio = abs(expected) / error
    power = NORMAL.cdf(ratio - sure) + NORMAL.cdf(-ratio - sure) if expected else 0.0
    size = (reach * deviation / expected) ** 2 * (1 / share + 1 / (1 - share)) if expected and 0 < share < 1 else None
    return PowerAnalysis(deviation, reach * error, expected, power, None if size is None else int(np.ceil(size)))


def holdout_power(table: pa.Table, actions: list[str], share: float, spread: float | None) -> dict[str, Any]:
    """What a plan's holdout can show, for all actions together and for each, as JSON; null where nothing is known.

    Args:
        table: The rows of the plan.
        actions: Their names.
        share: Of the eligible held out.
        spread: Relative variance of buyers' spend, None where it is not known.
    """
    would_have = np.array(table["would_have"].to_pylist(), object)
    together = would_have != None  # noqa: E711 (elementwise)
    facts: dict[str, Any] = {"alpha": ALPHA, "power": POWER, "spread": spread}
    facts["all"] = _compared(table, together, share, spread, ALPHA)
    each = max(len(actions), 1)  # what is asked of several actions may be wrong of any: Bonferroni
    facts["actions"] = {name: _compared(table, would_have == name, share, spread, ALPHA / each) for name in actions}
    return facts


def _compared(table: pa.Table, group: np.ndarray, share: float, spread: float | None, alpha: float) -> dict[str, Any]:
    held = table["holdout"].to_numpy()
    treated, kept = int((group & ~held).sum()), int((group & held).sum())
    found: dict[str, Any] = {"with_action": treated, "held_out": kept, "alpha": alpha, "return": None, "value": None}
    if not treated:
        return found
    columns = ("churn_probability", "value", "value_at_risk", "effect_return", "effect_value")
    churn, value, at_risk, on_return, on_value = (_numbers(table[name])[group] for name in columns)
    p, taken = float((1 - churn).mean()), ~held[group]
    expected = float(on_return[taken].mean())
    found["return"] = _plain(analyse_power(float(np.sqrt(p * (1 - p))), treated, kept, expected, share, alpha))
    if spread is not None and not np.isnan(value).any():
        deviation = float(np.sqrt(max((value * (value + at_risk) * (1 + spread)).mean() - value.mean() ** 2, 0)))
        expected = float(on_value[taken].mean())
        found["value"] = _plain(analyse_power(deviation, treated, kept, expected, share, alpha))
    return found


def _plain(found: PowerAnalysis) -> dict[str, Any]:
    """As JSON, which knows neither infinity nor nan."""
    return {name: v if v is not None and np.isfinite(v) else None for name, v in asdict(found).items()}


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy())
