"""Activation: who of the first-time buyers orders again, when, and what their first year brings, as pooled rates.

For each thing known on the first day (its amount, its weekday, kinds, attributes), the rates of its groups are drawn
towards each other as far as their noise suggests (`statistics.pooled_rates`; money by `statistics.partial_pooling`), so
that a small group borrows from the large ones. This needs no model and works where nearly all customers buy once.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.stats import chi2_contingency, norm

from features.audit.audit import with_too_long_windows
from features.audit.second_orders import EVERYBODY, SecondOrders, count_second_orders
from features.errors import printable
from features.intake.log import Business, opened
from features.storage.atomic_files import write_text_atomically
from serving.language.formats import NumberFormat, format_share
from serving.scoring import escape_formulas
from serving.statistics.partial_pooling import pool_partially
from serving.statistics.pooled_rates import pool_shares

FILE = "activation.csv"
INSIDE = 0.95  # of intervals
SURE = 0.05  # above this p-value, times the number of groupings, there is no evidence that groups differ
LISTED = 6


@dataclass(frozen=True)
class ActivationRate:
    """What is expected of the first-time buyers of one group.

    Attributes:
        by, group: What groups them, and the group.
        customers, again: How many whose horizon is over, and how many of them ordered again within it.
        rate, rate_low, rate_high: The pooled share that orders again, with its 95% interval.
        days: Mean days to the second order, of those who ordered again; None if nobody did.
        year_customers: How many whose first year is over.
        year_value, year_low, year_high: Pooled mean net amount in the year after the first day; None if unknown.
        p_value: Of the hypothesis that all groups of this grouping have one rate; None for everybody.
    """

    by: str
    group: str
    customers: int
    again: int
    rate: float
    rate_low: float
    rate_high: float
    days: float | None
    year_customers: int
    year_value: float | None
    year_low: float | None
    year_high: float | None
    p_value: float | None


@dataclass(frozen=True)
class Activation:
    """The rates of a log.

    Attributes:
        rates: Everybody first, then the groupings, those with the clearest differences first.
        horizon: Days within which a second order counts.
        file: Where they are written.
    """

    rates: tuple[ActivationRate, ...]
    horizon: int
    file: Path


def measure_activation(business: Business) -> Activation:
    """Measure how many first-time buyers order again, and write the rates to OUTPUT/activation.csv.

    Args:
        business: An opened log, a config, or the path of a config.

    Returns:
        The rates.

    Raises:
        DataError: The log cannot be read.
        UsageError: The file cannot be written.
    """
    with opened(business) as log, log.stages() as (engine, log_tables):
        config, task = log.config, log.config.task.to_task()
        tables = with_too_long_windows(log_tables, task)
        counts = count_second_orders(tables, task, tables.labels_end, engine)
    file = config.output / FILE
    result = Activation(pool_rates(counts), task.horizon.days, file)
    write_text_atomically(file, _csv_text(result.rates))
    return result


def pool_rates(counts: Sequence[SecondOrders]) -> tuple[ActivationRate, ...]:
    """Pool the rates of each grouping partially.

    Args:
        counts: Of all groups.

    Returns:
        Everybody first, then the groupings by how clearly their groups differ.
    """
    groupings: dict[str, list[SecondOrders]] = {}
    for row in counts:
        groupings.setdefault(row.by, []).append(row)
    pooled = [rate for by, rows in groupings.items() if by == EVERYBODY for rate in _pool(rows, None)]
    others = [(_p_value(rows), rows) for by, rows in groupings.items() if by != EVERYBODY and len(rows) > 1]
    for p, rows in sorted(others, key=lambda one: one[0]):
        pooled += _pool(rows, p)
    return tuple(pooled)


def _pool(rows: Sequence[SecondOrders], p_value: float | None) -> list[ActivationRate]:
    counts, sizes = np.array([row.again for row in rows]), np.array([row.customers for row in rows])
    rate, low, high = pool_shares(counts, sizes, INSIDE)
    years = _pool_years(rows, float(norm.ppf((1 + INSIDE) / 2)))
    return [
        ActivationRate(
            row.by, row.group, row.customers, row.again, float(rate[n]), float(low[n]), float(high[n]),
            row.days / row.again if row.again else None, row.year_customers, *years[n], p_value,
        )
        for n, row in enumerate(rows)
    ]  # fmt: skip


def _pool_years(rows: Sequence[SecondOrders], reach: float) -> list[tuple[float | None, float | None, float | None]]:
    """The pooled mean of the first year's value with its interval; None for groups with fewer than two known years."""
    known = [n for n, row in enumerate(rows) if row.year_customers > 1]
    result: list[tuple[float | None, float | None, float | None]] = [(None, None, None)] * len(rows)
    if not known:
        return result
    sizes, sums, squares = (
        np.array([getattr(rows[n], name) for n in known], float)
        for name in ("year_customers", "year_sum", "year_squares")
    )
    mean = sums / sizes
    own = np.maximum(squares / sizes - mean**2, 0.0)
    common = max(float((own * sizes).sum() / sizes.sum()), 1e-12)  # a group of equal values has no spread of its own
    errors = np.sqrt(np.maximum(own, common / 4) / sizes)
    means, deviations = pool_partially(mean, errors)
    for n, middle, spread in zip(known, means, deviations, strict=True):
        result[n] = (float(middle), float(middle - reach * spread), float(middle + reach * spread))
    return result


def _p_value(rows: Sequence[SecondOrders]) -> float:
    table = np.array([[row.again, row.customers - row.again] for row in rows])
    if (table.sum(axis=0) == 0).any():
        return 1.0
    return float(chi2_contingency(table, correction=False).pvalue)


def activation_text(result: Activation) -> str:
    """Return the rates as text for a terminal."""
    if not result.rates:
        return f"second orders: no first order is {result.horizon} days old, so nothing is known yet"
    everybody = result.rates[0]
    known = [rate.year_value for rate in result.rates if rate.year_value is not None]
    form = NumberFormat(float(np.mean(np.abs(known))) if known else 0.0)
    lines = [
        f"second orders within {result.horizon} days: {everybody.again:,} of {everybody.customers:,} first-time buyers "
        f"({_share(everybody)}){_days(everybody)}{_year(everybody, form)}"
    ]
    names = list(dict.fromkeys(rate.by for rate in result.rates[1:]))
    for name in names:
        rows = [rate for rate in result.rates if rate.by == name]
        clear = (rows[0].p_value or 0.0) * len(names) <= SURE
        verdict = "differs" if clear else "no evidence that it differs"
        lines += ["", f"by {printable(name, keep='')}: {verdict} (p = {rows[0].p_value:.2g})"]
        ordered = sorted(rows, key=lambda rate: (-rate.rate, rate.group))
        shown = ordered if len(ordered) <= LISTED else [*ordered[: LISTED // 2], *ordered[-LISTED // 2 :]]
        lines += [_group_line(rate, form) for rate in shown]
    note = f"intervals hold {INSIDE:.0%}; groups borrow from each other; all are in {result.file}"
    return "\n".join([*lines, "", note])


def _group_line(rate: ActivationRate, form: NumberFormat) -> str:
    name = printable(rate.group, keep="")
    return f"  {name:<30}{rate.customers:>9,}   {_share(rate)}{_days(rate)}{_year(rate, form)}"


def _share(rate: ActivationRate) -> str:
    return f"{format_share(rate.rate)}, {format_share(rate.rate_low)} to {format_share(rate.rate_high)}"


def _days(rate: ActivationRate) -> str:
    return "" if rate.days is None else f", after {rate.days:.0f} days"


def _year(rate: ActivationRate, form: NumberFormat) -> str:
    if rate.year_value is None or rate.year_low is None or rate.year_high is None:
        return ""
    ends = f"{form.money(rate.year_low)} to {form.money(rate.year_high)}"
    return f"; first year {form.money(rate.year_value)} ({ends})"


def _csv_text(rates: Sequence[ActivationRate]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(ActivationRate)], lineterminator="\n")
    writer.writeheader()
    by, group = (
        escape_formulas(pa.chunked_array([[getattr(rate, name) for rate in rates]], pa.string())).to_pylist()
        for name in ("by", "group")
    )
    for n, rate in enumerate(rates):
        writer.writerow({**asdict(rate), "by": by[n], "group": group[n]})
    return text.getvalue()
