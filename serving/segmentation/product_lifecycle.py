"""The lifecycle of what is sold: whether a value of a kind is rising, mature or fading among the customers who buy.

The share of the buying customers who bought a value is followed over periods before a cutoff, so that a growing or a
seasonal business does not make all of its products rise. The trend is that of the log-odds, by weighted least squares
whose errors are widened by the scatter around the line (quasi-binomial; McCullagh and Nelder, 1989, 'Generalized linear
models', chapter 4): a value that jumps up and down has no trend. Of all values tested together at most a tenth of
those called rising or fading are expected to be neither (Benjamini and Hochberg, 1995).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import t as student

from serving.language.messages import N_

PERIODS, FEWEST_PERIODS = 12, 4
FEWEST_CUSTOMERS = 20  # over all periods, below which nothing is said
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
    """One row a value of a kind, most customers in the last period first.

    Args:
        kind: Its name.
        by_value: value, period (0: the last), customers, orders.
        total: period, customers: those who bought anything of the kind.
        count: How many periods the log reaches back.

    Returns:
        customers and orders of the last period, reach (its share of the buying customers), state, change (of the odds
        over all periods: 0.5 is half as much again) with its interval, p_value, and customers by_period, oldest first.
    """
    everyone = _series(total.to_pylist(), count, "customers")
    rows = [_row(kind, value, series, everyone) for value, series in _by_value(by_value, count).items()]
    surely = _discoveries(np.array([row["p_value"] for row in rows], float))
    for row, sure in zip(rows, surely, strict=True):
        known = np.isfinite(row["p_value"])
        row["state"] = (RISING if row["change"] > 0 else FADING) if sure else MATURE if known else UNKNOWN
        row |= {k: None for k in ("change", "change_low", "change_high", "p_value") if not np.isfinite(row[k])}
    return pa.Table.from_pylist(sorted(rows, key=lambda row: (-row["customers"], row["value"])), KINDS_SCHEMA)


def odds_trend(hits: np.ndarray, all_: np.ndarray) -> tuple[float, float, float, float]:
    """The change of the odds from the first period to the last, its 95% interval, and its p-value.

    Args:
        hits: Customers who bought the value, by period (t,), oldest first.
        all_: Customers who bought anything (t,), above 0.
    """
    odds = np.log((hits + 0.5) / (all_ - hits + 0.5))
    weight = 1 / (1 / (hits + 0.5) + 1 / (all_ - hits + 0.5))
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


def _row(kind: str, value: str, series: Mapping[str, np.ndarray], everyone: np.ndarray) -> dict[str, Any]:
    hits, known = series["customers"], everyone > 0
    told = known.sum() >= FEWEST_PERIODS and hits.sum() >= FEWEST_CUSTOMERS
    change, low, high, p = odds_trend(hits[known], everyone[known]) if told else (np.nan,) * 4
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
    found: dict[str, list[dict[str, Any]]] = {}
    for row in by_value.to_pylist():
        found.setdefault(row["value"], []).append(row)
    return {
        value: {name: _series(rows, count, name) for name in ("customers", "orders")} for value, rows in found.items()
    }


def _series(rows: list[dict[str, Any]], count: int, name: str) -> np.ndarray:
    """A figure by period (count,), oldest first, 0 where there is no row."""
    found = np.zeros(count)
    for row in rows:
        found[count - 1 - row["period"]] = row[name]
    return found


def _discoveries(p: np.ndarray) -> np.ndarray:
    """Which tests are called (n,), so that FALSE_SHARE of them are expected to be false.

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
