"""What BG/NBD and Gamma-Gamma expect of a customer, fitted at each cutoff on what was known then.

A purchase is a day with an order. The models need little of the past: how many days with a purchase there were, when
the first and the last one, and what was spent. These are sums of integers taken by the engine; the models are fitted
in this process, once a cutoff, and what they expect is worked out in NumPy a batch of rows at a time, each row for
itself. So the numbers do not depend on threads, on batches or on the order of rows, and are finite for every customer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalog.btyd_model import BGNBD, GammaGamma, fit_bgnbd, fit_gamma_gamma
from features.feature import Feature, measure_value
from features.money import TICKS
from features.point_in_time.history import KEYS, Past
from features.task import Window

MAX_FITTED_CUSTOMERS = 200_000  # customers; at a cutoff with more, a sample of about as many is fitted
FAMILY = "buying rhythm"
ORDER_COLUMNS = ("expected_orders", "expected_alive", "expected_return")
AMOUNT_COLUMNS = ("expected_order_amount", "expected_amount")


@dataclass(frozen=True)
class CutoffModels:
    """The models of one cutoff.

    Attributes:
        rhythm: How often customers buy, and whether they still do.
        spend: What a day with a purchase brings; None without money.
    """

    rhythm: BGNBD
    spend: GammaGamma | None


def btyd_features(horizon: Window, has_amount: bool) -> Iterator[Feature]:
    """What is expected of a customer who goes on as customers like them did."""
    ahead = f"in the next {horizon.days} days"
    for name, measure, phrase, reading, unit in (
        (
            "orders_expected",
            ORDER_COLUMNS[0],
            f"orders expected {ahead}",
            f"{{value:number}} orders expected {ahead}",
            "orders",
        ),
        (
            "alive_probability",
            ORDER_COLUMNS[1],
            "chance of still being a customer",
            "{value:share} likely to still buy",
            "share",
        ),
        (
            "return_probability",
            ORDER_COLUMNS[2],
            f"chance of an order {ahead}",
            f"{{value:share}} likely to order {ahead}",
            "share",
        ),
    ):
        yield Feature(name, measure_value(measure), FAMILY, phrase, reading, unit)
    if has_amount:
        size, total = "spend expected on a day with an order", f"spend expected {ahead}"
        yield Feature(
            "order_amount_expected", measure_value(AMOUNT_COLUMNS[0]), FAMILY, size, f"{{value:money}} {size}", "money"
        )
        yield Feature(
            "amount_expected", measure_value(AMOUNT_COLUMNS[1]), FAMILY, total, f"{{value:money}} {total}", "money"
        )


def btyd_measures(past: Past) -> ibis.Table:
    """The expectations of every customer with a purchase at a cutoff: keys, GATE, and MONEY where the log has any."""
    told = past.engine.store("expected_from", purchase_summaries(past.days))
    everyone = purchase_summaries(past.everyone.days) if past.compared else told
    names = ORDER_COLUMNS + (AMOUNT_COLUMNS if past.tables.contract.has_amount else ())
    schema = pa.schema([("customer_id", pa.string()), ("cutoff", pa.date32()), *((n, pa.float64()) for n in names)])
    work = partial(predict_purchases, models=fit_by_cutoff(past, everyone), horizon=past.task.horizon.days, names=names)
    return past.engine.map_batches(told, work, schema, "expected_rows")


def purchase_summaries(days: ibis.Table) -> ibis.Table:
    """One row a customer and cutoff, whole numbers: days with a purchase (bought), their spend in ticks, and the age
    of the first and of the last of them."""
    return days.group_by(KEYS).aggregate(
        bought=days.count(), spend=days.spend.sum().cast("int64"), first=days.age.max(), last=days.age.min()
    )


def fit_by_cutoff(past: Past, told: ibis.Table) -> dict[date, CutoffModels]:
    """The models of every cutoff, each fitted on all of its customers or, above MOST_FITTED, on a sample.

    Args:
        past: The cutoffs, and whether the log has money.
        told: The `summaries` of its days.
    """
    sizes = past.engine.to_arrow(told.group_by("cutoff").aggregate(customers=told.count()).order_by("cutoff"))
    found = {}
    for cutoff, customers in zip(sizes["cutoff"].to_pylist(), sizes["customers"].to_pylist(), strict=True):
        mine = told.filter(told.cutoff == ibis.literal(cutoff))
        rows = sample_customers(mine, customers).select("bought", "spend", "first", "last")
        found[cutoff] = fit_one_cutoff(past.engine.to_arrow(rows), past.tables.contract.has_amount)
    return found


def sample_customers(rows: ibis.Table, customers: int, most: int = MAX_FITTED_CUSTOMERS) -> ibis.Table:
    """About `most` of the rows of one cutoff, chosen by the MD5 of the customer's id; all where there are no more."""
    if customers <= most:
        return rows
    below = f"{int(most / customers * 2**32):08x}"
    return rows.filter(rows.customer_id.hexdigest("md5").substr(0, 8) < below)


def fit_one_cutoff(rows: pa.Table, has_amount: bool) -> CutoffModels:
    """The models of `summaries` of one cutoff; the order of rows does not matter."""
    bought, spend, first, last = _numbers(rows)
    rhythm = fit_bgnbd(bought - 1, first - last, first)
    return CutoffModels(rhythm, fit_gamma_gamma(bought, spend / bought) if has_amount else None)


def predict_purchases(
    rows: pa.Table, models: Mapping[date, CutoffModels], horizon: int, names: Sequence[str]
) -> pa.Table:
    """What the models of its cutoff expect of each row.

    Args:
        rows: A batch of `summaries`.
        models: Of every cutoff in it.
        horizon: Days after the cutoff.
        names: GATE, and MONEY where the models have a spend.

    Returns:
        customer_id, cutoff and the expectations by name, all finite.

    >>> models = {date(2024, 5, 1): Fitted(BGNBD(0.243, 4.414, 0.793, 2.426, False, 7), None)}
    >>> told = {"bought": [1, 3, 3, 10], "spend": [0] * 4, "first": [272] * 4, "last": [272, 59, 202, 202]}
    >>> rows = pa.table({"customer_id": list("abcd"), "cutoff": [date(2024, 5, 1)] * 4, **told})
    >>> expect(rows, models, 273, GATE)["expected_return"].to_numpy().round(3)
    array([0.145, 0.555, 0.205, 0.001])
    """
    values = {name: np.empty(rows.num_rows) for name in names}
    for cutoff in rows["cutoff"].unique().to_pylist():
        here = np.flatnonzero(pc.equal(rows["cutoff"], pa.scalar(cutoff, pa.date32())).to_numpy())
        for name, found in zip(names, _expected(rows.take(here), models[cutoff], horizon), strict=True):
            values[name][here] = found
    return pa.table({key: rows[key] for key in KEYS} | values)


def _expected(rows: pa.Table, fitted: CutoffModels, horizon: int) -> Iterator[np.ndarray]:
    """The expectations of one cutoff's rows, in the order of GATE and MONEY."""
    bought, spend, first, last = _numbers(rows)
    told = bought - 1, first - last, first
    orders = fitted.rhythm.expected_orders(*told, horizon=horizon)
    yield orders
    yield fitted.rhythm.alive_probability(*told)
    yield fitted.rhythm.return_probability(*told, horizon=horizon)
    if fitted.spend is not None:
        size = fitted.spend.expected_spend(bought, spend / bought)
        yield size
        yield orders * size


def _numbers(rows: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Days with a purchase, their spend in money, and the ages of the first and the last, as floats (n,)."""
    bought, spend, first, last = (
        rows[name].to_numpy().astype(np.float64) for name in ("bought", "spend", "first", "last")
    )
    return bought, spend / TICKS, first, last
