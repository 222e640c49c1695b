"""The lifecycle of products: whether a value of a kind is rising, mature or fading among buying customers.

The share of the buying customers who bought a value is followed over periods before a cutoff, so that growth or season
of the whole business does not make all products rise. The trend is that of the log-odds, by weighted least squares
whose errors are widened by the scatter around the trend (quasi-binomial; McCullagh and Nelder, 1989, 'Generalized
linear models', chapter 4): a value that jumps up and down has no trend. Of all values tested together at most a tenth
of those called rising or fading are expected to be neither (Benjamini and Hochberg, 1995).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import t as student

from serving.language.messages import N_

PERIODS, FEWEST_PERIODS = 12, 4
FEWEST_CUSTOMERS = 20  # over all periods, below which no trend is computed
FALSE_DISCOVERY_RATE = 0.1
CONFIDENCE = 0.95
RISING, MATURE, FADING, UNKNOWN = N_("rising"), N_("mature"), N_("fading"), N_("too early to tell")
KINDS_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("value", pa.string()),
        ("customers", pa.int64()),
        ("orders", pa.int64()),
        ("reach", pa.float64()),
        ("state", pa.string()),
        ("change", pa.float64()),
        ("change_low", pa.float64()),
        ("change_high", pa.float64()),
        ("p_value", pa.float64()),
        ("by_period", pa.list_(pa.int64())),
    ]
)


def product_lifecycles(kind: str, by_value: pa.Table, total: pa.Table, count: int) -> pa.Table:
    """Build one row for each value of a kind, sorted by customers in the last period, most first.

    Args:
        kind: The name of the kind.
        by_value: value, period (0: the last), customers, orders.
        total: period, customers: those who bought anything of the kind.
        count: The number of periods that the log covers.

    Returns:
        customers and orders of the last period, reach (its share of the buying customers), state, change (of the odds
        over all periods: 0.5 is half as much again) with its interval, p_value, and customers by_period, oldest first.
    """
    everyone = _series(total.to_pylist(), count, "customers")
    rows = [_lifecycle_row(kind, value, series, everyone) for value, series in _by_value(by_value, count).items()]
    significant = _discoveries(np.array([row["p_value"] for row in rows], float))
    for row, is_significant in zip(rows, significant, strict=True):
        known = np.isfinite(row["p_value"])
        row["state"] = (RISING if row["change"] > 0 else FADING) if is_significant else MATURE if known else UNKNOWN
        row |= {k: None for k in ("change", "change_low", "change_high", "p_value") if not np.isfinite(row[k])}
    return pa.Table.from_pylist(sorted(rows, key=lambda row: (-row["customers"], row["value"])), KINDS_SCHEMA)


def odds_trend(hits: np.ndarray, buyers: np.ndarray) -> tuple[float, float, float, float]:
    """Fit the change of the odds from the first period to the last.

    Args:
        hits: Customers who bought the value, by period (t,), oldest first.
        buyers: Customers who bought anything (t,), above 0.

    Returns:
        The change, the low and high end of its 95% confidence interval, and its p-value.
    """
    odds = np.log((hits + 0.5) / (buyers - hits + 0.5))
    weight = 1 / (1 / (hits + 0.5) + 1 / (buyers - hits + 0.5))
    x = np.arange(len(hits), dtype=float)
    x = x - np.average(x, weights=weight)
    spread = float((weight * x * x).sum())
    slope = float((weight * x * odds).sum()) / spread
    left = odds - np.average(odds, weights=weight) - slope * x
    free = len(hits) - 2
    scatter = max(1.0, float((weight * left * left).sum()) / free)
    error, steps = (scatter / spread) ** 0.5, len(hits) - 1
    reach = float(student.ppf((1 + CONFIDENCE) / 2, free)) * error
    p = float(2 * student.sf(abs(slope) / error, free))
    low, middle, high = (float(np.expm1(steps * s)) for s in (slope - reach, slope, slope + reach))
    return middle, low, high, p


def _lifecycle_row(kind: str, value: str, series: Mapping[str, np.ndarray], everyone: np.ndarray) -> dict[str, Any]:
    hits, known = series["customers"], everyone > 0
    enough = known.sum() >= FEWEST_PERIODS and hits.sum() >= FEWEST_CUSTOMERS
    change, low, high, p = odds_trend(hits[known], everyone[known]) if enough else (np.nan,) * 4
    return {
        "kind": kind,
        "value": value,
        "customers": int(hits[-1]),
        "orders": int(series["orders"][-1]),
        "reach": float(hits[-1] / everyone[-1]) if everyone[-1] else 0.0,
        "change": change,
        "change_low": low,
        "change_high": high,
        "p_value": p,
        "by_period": hits.astype(int).tolist(),
    }


def _by_value(by_value: pa.Table, count: int) -> dict[str, dict[str, np.ndarray]]:
    rows_by_value: dict[str, list[dict[str, Any]]] = {}
    for row in by_value.to_pylist():
        rows_by_value.setdefault(row["value"], []).append(row)
    return {
        value: {name: _series(rows, count, name) for name in ("customers", "orders")}
        for value, rows in rows_by_value.items()
    }


def _series(rows: list[dict[str, Any]], count: int, name: str) -> np.ndarray:
    """Return a figure by period (count,), oldest first, 0 where there is no row."""
    series = np.zeros(count)
    for row in rows:
        series[count - 1 - row["period"]] = row[name]
    return series


def _discoveries(p: np.ndarray) -> np.ndarray:
    """Select tests (n,) by Benjamini and Hochberg, so that at most FALSE_DISCOVERY_RATE of them are false.

    >>> _discoveries(np.array([0.001, 0.9, 0.04, np.nan])).tolist()
    [True, False, True, False]
    """
    order = np.argsort(np.where(np.isfinite(p), p, np.inf), kind="stable")
    tests = int(np.isfinite(p).sum())
    limits = FALSE_DISCOVERY_RATE * np.arange(1, tests + 1) / max(tests, 1)
    below = np.flatnonzero(p[order[:tests]] <= limits)
    called = np.zeros(len(p), bool)
    called[order[: below[-1] + 1 if len(below) else 0]] = True
    return called
