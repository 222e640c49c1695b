"""What customers did in each of the last periods of four weeks: who stayed away, order amounts, shares of values.

Only what was known before the cutoff counts. Position 0 is the period just before the cutoff.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
import pyarrow as pa

from features.engines.base import Engine
from features.intake.tables import Tables
from features.money import TICKS
from features.point_in_time.history import cutoff_table, visible_at_cutoffs, with_age
from features.task import Task

PERIOD, MAX_PERIODS = 28, 26  # days of a period; periods that are read
MAX_LEVELS = 8  # values of a kind whose shares are followed


@dataclass(frozen=True)
class PeriodRates:
    """A figure in each period, the newest first.

    Attributes:
        values: The figure (p,); NaN where there is nothing to compute it from.
        errors: Its relative standard error (p,), if customers act independently of each other.
    """

    values: np.ndarray
    errors: np.ndarray


@dataclass(frozen=True)
class BehaviourProfile:
    """Figures of customers' behaviour by period.

    Attributes:
        away: Share of the cohort at the begin of a period without a purchase in it.
        amount: Mean amount of a purchase; None without amounts.
        shares: By kind and value: the value's share of order lines, for the most frequent values.
    """

    away: PeriodRates
    amount: PeriodRates | None
    shares: Mapping[tuple[str, str], PeriodRates]


def profile_behaviour(tables: Tables, task: Task, cutoff: date, engine: Engine) -> BehaviourProfile:
    """Computes the figures of a log by period.

    Args:
        tables: The contract; of a very large log, those of a sample of customers.
        task: Gives the cohort.
        cutoff: Only rows known before it count.
        engine: Where the tables are.

    Returns:
        The profile. Periods without a whole cohort's history before them are left out of `away`.
    """
    periods = min((cutoff - tables.first).days // PERIOD, MAX_PERIODS)
    moments = engine.store_arrow("behaviour_cutoff", cutoff_table([cutoff]))
    known = with_age(visible_at_cutoffs(tables.events, moments)).filter(lambda t: t.age <= periods * PERIOD)
    known = engine.store("behaviour_rows", known.mutate(period=((known.age - 1) / PERIOD).floor().cast("int64")))
    has_amount = tables.contract.has_amount
    orders = known.group_by("customer_id", "order_id").aggregate(period=known.period.max(), amount=known.amount.sum())
    bought = orders.filter(orders.amount > 0) if has_amount else orders
    sums = bought.group_by("customer_id", "period").aggregate(n=bought.count(), amount=bought.amount.sum())
    counts, totals = _by_customer(engine.to_arrow(sums), periods, ["n", "amount"])
    cohort_periods = max(min(task.cohort.active_within.days // PERIOD, periods // 2), 1)
    return BehaviourProfile(
        away=away_rates(counts > 0, cohort_periods),
        amount=ratio_rates(totals / TICKS, counts) if has_amount else None,
        shares={
            key: rates
            for kind in tables.contract.kinds
            for key, rates in _level_shares(known, kind, periods, engine).items()
        },
    )


def away_rates(bought: np.ndarray, cohort_periods: int) -> PeriodRates:
    """The share of each period's cohort that did not buy in it.

    Args:
        bought: Whether each customer bought in each period (n, p), the newest first.
        cohort_periods: The cohort are the buyers of so many periods before.

    Returns:
        The shares, for the periods with as many before them.

    >>> bought = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    >>> away_rates(bought, 1).values.tolist()
    [0.5, 1.0]
    """
    values, errors = [], []
    for period in range(bought.shape[1] - cohort_periods):
        cohort = bought[:, period + 1 : period + 1 + cohort_periods].any(axis=1)
        n, away = int(cohort.sum()), int((cohort & ~bought[:, period]).sum())
        values.append(away / n if n else np.nan)
        errors.append(np.sqrt((n - away) / (n * away)) if away else np.nan)
    return PeriodRates(np.array(values), np.array(errors))


def ratio_rates(above: np.ndarray, below: np.ndarray) -> PeriodRates:
    """Ratios of totals by period, with errors that allow for several rows of a customer.

    Args:
        above: Each customer's total of the numerator in each period (n, p).
        below: The same of the denominator (n, p).

    Returns:
        The ratios, with the linearised standard error of a ratio of totals of independent customers.

    >>> ratio_rates(np.array([[4.0], [2.0]]), np.array([[2.0], [1.0]])).values
    array([2.])
    """
    total, base = above.sum(axis=0), below.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = total / base
        residuals = above - ratio * below
        errors = np.sqrt((residuals**2).sum(axis=0)) / np.abs(total)
    return PeriodRates(np.where(base > 0, ratio, np.nan), np.where(total > 0, errors, np.nan))


def _level_shares(known: ibis.Table, kind: str, periods: int, engine: Engine) -> dict[tuple[str, str], PeriodRates]:
    """The shares of the most frequent values of a kind."""
    column = f"kind_{kind}"
    named = known.filter(known[column].notnull())
    grouped = named.group_by("customer_id", "period", value=named[column]).aggregate(n=named.count())
    rows = engine.to_arrow(grouped)
    values = np.array(rows["value"].to_pylist(), object)
    numbers = rows["n"].to_numpy()
    names, code = np.unique(values.astype(str), return_inverse=True)
    frequent = np.argsort(-np.bincount(code, numbers, len(names)), kind="stable")[:MAX_LEVELS]
    weighted = rows.append_column("all", pa.array(numbers))
    for place in frequent:
        weighted = weighted.append_column(f"level{place}", pa.array(np.where(code == place, numbers, 0)))
    levels = [f"level{place}" for place in frequent]
    base, *above = _by_customer(weighted, periods, ["all", *levels]) if len(rows) else [np.zeros((0, periods))]
    return {(kind, str(names[place])): ratio_rates(a, base) for place, a in zip(frequent, above, strict=True)}


def _by_customer(rows: pa.Table, periods: int, columns: Sequence[str]) -> list[np.ndarray]:
    """Totals of columns by customer and period, (n, p) each."""
    ids, place = np.unique(np.array(rows["customer_id"].to_pylist(), object).astype(str), return_inverse=True)
    cell = place * periods + rows["period"].to_numpy()
    size = len(ids) * periods
    return [np.bincount(cell, rows[name].to_numpy().astype(float), size).reshape(len(ids), periods) for name in columns]
