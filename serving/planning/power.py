"""Power analysis of a holdout: the smallest detectable effect, the power for the expected one, the customers needed.

Two groups intended for the same action are compared: customers who get it (treatment) and the holdout (control).
Returning is yes or no, so its variance is p (1 - p). Value is 0 or, with probability p, a spend whose expectation s
differs between customers and which varies around it: its variance is E[p s^2 (1 + c)] - E[p s]^2, where c is the
relative variance of buyers' spend in the log's last horizon. As c also includes differences between customers, the
variance is rather too large than too small.
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
    """The power of comparing one outcome between treatment and holdout.

    Attributes:
        deviation: Standard deviation of the outcome over customers.
        detects: The smallest mean effect that is detected with power POWER.
        expected: The mean effect that the plan expects on customers with an action.
        power: Probability of detecting the expected effect.
        needed: Customers of both groups together that POWER takes at the plan's holdout share; None if no effect is
            expected.
    """

    deviation: float
    detects: float
    expected: float
    power: float
    needed: int | None


def analyse_power(
    deviation: float, treated: int, held_out: int, expected: float, share: float, alpha: float
) -> PowerAnalysis:
    """Analyses a comparison of two means, by the normal approximation.

    Args:
        deviation: Standard deviation of the outcome, the same in both groups.
        treated: Number of customers with the action.
        held_out: Number of held-out customers.
        expected: Expected mean effect.
        share: Share of the customers that is held out.
        alpha: Two-sided significance level.

    Returns:
        Smallest detectable effect, power and customers needed.

    >>> analysis = analyse_power(0.5, 1000, 1000, 0.05, 0.5, 0.05)
    >>> round(analysis.detects, 4), round(analysis.power, 3), analysis.needed
    (0.0626, 0.609, 3140)
    """
    critical, reach = NORMAL.inv_cdf(1 - alpha / 2), NORMAL.inv_cdf(1 - alpha / 2) + NORMAL.inv_cdf(POWER)
    if not treated or not held_out:
        return PowerAnalysis(deviation, np.inf, expected, 0.0, None)
    error = deviation * float(np.sqrt(1 / treated + 1 / held_out))
    if not error:
        return PowerAnalysis(deviation, 0.0, expected, float(expected != 0), None)
    ratio = abs(expected) / error
    power = NORMAL.cdf(ratio - critical) + NORMAL.cdf(-ratio - critical) if expected else 0.0
    size = (reach * deviation / expected) ** 2 * (1 / share + 1 / (1 - share)) if expected and 0 < share < 1 else None
    return PowerAnalysis(deviation, reach * error, expected, power, None if size is None else int(np.ceil(size)))


def holdout_power(table: pa.Table, actions: list[str], share: float, spread: float | None) -> dict[str, Any]:
    """Analyses the power of a plan's holdout, for all actions together and for each.

    Args:
        table: The rows of the plan.
        actions: Names of the actions.
        share: Share of the eligible customers that is held out.
        spread: Relative variance of buyers' spend; None if unknown.

    Returns:
        The analyses, ready for JSON; null where nothing is known.
    """
    would_have = np.array(table["would_have"].to_pylist(), object)
    together = would_have != None  # noqa: E711 (elementwise)
    facts: dict[str, Any] = {"alpha": ALPHA, "power": POWER, "spread": spread}
    facts["all"] = _group_power(table, together, share, spread, ALPHA)
    tests = max(len(actions), 1)  # Bonferroni correction for testing several actions
    facts["actions"] = {name: _group_power(table, would_have == name, share, spread, ALPHA / tests) for name in actions}
    return facts


def _group_power(
    table: pa.Table, group: np.ndarray, share: float, spread: float | None, alpha: float
) -> dict[str, Any]:
    holdout = table["holdout"].to_numpy()
    treated, held_out = int((group & ~holdout).sum()), int((group & holdout).sum())
    facts: dict[str, Any] = {
        "with_action": treated,
        "held_out": held_out,
        "alpha": alpha,
        "return": None,
        "value": None,
    }
    if not treated:
        return facts
    columns = ("churn_probability", "value", "value_at_risk", "effect_return", "effect_value")
    churn, value, at_risk, on_return, on_value = (_floats(table[name])[group] for name in columns)
    p, treated_rows = float((1 - churn).mean()), ~holdout[group]
    expected = float(on_return[treated_rows].mean())
    facts["return"] = _to_json(analyse_power(float(np.sqrt(p * (1 - p))), treated, held_out, expected, share, alpha))
    if spread is not None and not np.isnan(value).any():
        deviation = float(np.sqrt(max((value * (value + at_risk) * (1 + spread)).mean() - value.mean() ** 2, 0)))
        expected = float(on_value[treated_rows].mean())
        facts["value"] = _to_json(analyse_power(deviation, treated, held_out, expected, share, alpha))
    return facts


def _to_json(analysis: PowerAnalysis) -> dict[str, Any]:
    """As JSON, which has neither infinity nor nan."""
    return {name: v if v is not None and np.isfinite(v) else None for name, v in asdict(analysis).items()}


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy())
