"""Features predicted by BG/NBD and Gamma-Gamma, which are fitted at each cutoff on what was known then.

A purchase is a day with an order. Only the purchases in the task's longest window before the cutoff count, and the
models are fitted on the cohort. So they see the same length of history at every cutoff, and their predictions do not
climb as the log grows, beyond what classifiers have learned from.

The models need only the number of days with a purchase, the first and the last of these days, and the amount spent.
The engine computes these as sums of integers. The models are fitted in this process, once for each cutoff, and predict
in NumPy, batch by batch and each row on its own. So the numbers do not depend on threads, batches or the order of rows,
and they are finite for every customer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalog.btyd_model import BGNBD, GammaGamma, fit_bgnbd, fit_gamma_gamma
from features.catalog.btyd_shares import TypicalInputs, history_span, prediction_shares, share_columns, typical_inputs
from features.config.data_contract import DataContract
from features.engines.base import take_share
from features.feature import Feature, measure_value
from features.money import TICKS
from features.point_in_time.history import KEYS, Past
from features.task import Task, Window
from features.templates import phrase

MAX_FITTED_CUSTOMERS = 200_000  # at a cutoff with more customers, the models are fitted on a sample of about this size
FAMILY = "buying rhythm"
ORDER_COLUMNS = ("expected_orders", "expected_alive", "expected_return")
AMOUNT_COLUMNS = ("expected_order_amount", "expected_amount")


@dataclass(frozen=True)
class CutoffModels:
    """The models of one cutoff.

    Attributes:
        rhythm: Predicts how often customers buy, and whether they still do.
        spend: Predicts the spend on a day with a purchase; None if the log has no amounts.
    """

    rhythm: BGNBD
    spend: GammaGamma | None


def btyd_features(horizon: Window, has_amount: bool) -> Iterator[Feature]:
    """Expected orders and spend, and the chances of ordering again, if customers go on as similar ones did."""
    ahead, days = "in the next <days> days", horizon.days
    for name, measure, what, reading, unit in (
        (
            "orders_expected",
            ORDER_COLUMNS[0],
            phrase(f"orders expected {ahead}", days=days),
            phrase(f"{{value:number}} orders expected {ahead}", days=days),
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
            phrase(f"chance of an order {ahead}", days=days),
            phrase(f"{{value:share}} likely to order {ahead}", days=days),
            "share",
        ),
    ):
        yield Feature(name, measure_value(measure), FAMILY, what, reading, unit)
    if has_amount:
        yield from _spend_features(ahead, days)


def _spend_features(ahead: str, days: int) -> Iterator[Feature]:
    """Expected spend on a day with an order, and within the horizon."""
    yield Feature(
        "order_amount_expected",
        measure_value(AMOUNT_COLUMNS[0]),
        FAMILY,
        "spend expected on a day with an order",
        "{value:money} spend expected on a day with an order",
        "money",
    )
    yield Feature(
        "amount_expected",
        measure_value(AMOUNT_COLUMNS[1]),
        FAMILY,
        phrase(f"spend expected {ahead}", days=days),
        phrase(f"{{value:money}} spend expected {ahead}", days=days),
        "money",
    )


def btyd_measures(past: Past) -> ibis.Table:
    """The predictions for every customer with a purchase before a cutoff, and what they are made of.

    Returns:
        The keys, ORDER_COLUMNS and, if the log has amounts, AMOUNT_COLUMNS; then the columns of `btyd_shares`.
    """
    length = history_length(past.task)
    summaries = past.engine.store("expected_from", purchase_summaries(past.days, length))
    everyone = purchase_summaries(past.everyone.days, length) if past.compared else summaries
    names = ORDER_COLUMNS + (AMOUNT_COLUMNS if past.tables.contract.has_amount else ())
    shares = btyd_shares(past.task, past.tables.contract)
    columns = [(name, pa.float64()) for name in (*names, *shares)]
    schema = pa.schema([("customer_id", pa.string()), ("cutoff", pa.date32()), *columns])
    models, typical = fit_by_cutoff(past, everyone), typical_inputs(past, everyone)
    predict = partial(
        predict_with_shares, models=models, typical=typical, horizon=past.task.horizon.days, names=names, shares=shares
    )
    return past.engine.map_batches(summaries, predict, schema, "expected_rows")


def btyd_shares(task: Task, contract: DataContract) -> tuple[str, ...]:
    """The columns that say which features each prediction is made of; see `features.catalog.btyd_shares`."""
    names = [feature.name for feature in btyd_features(task.horizon, contract.has_amount)]
    return share_columns(names, history_span(task, contract))


def history_length(task: Task) -> Window:
    """How much history the models see at every cutoff: the longest window."""
    return task.windows[-1]


def purchase_summaries(days: ibis.Table, length: Window) -> ibis.Table:
    """What the models need to know about each customer and cutoff, as integers.

    Only the purchases in [cutoff - length, cutoff) count. Of a customer without any of these, the last one counts.

    Args:
        days: As `Past.days`.
        length: Length of the history that the models see.

    Returns:
        The keys, bought (days with a purchase), spend (on these days, in ticks), first and last (days from the first
        and the last of these days to the cutoff).
    """
    counted = (days.age <= length.days) | (days.place == 0)
    return days.group_by(KEYS).aggregate(
        bought=days.count(where=counted),
        spend=days.spend.sum(where=counted).cast("int64"),
        first=days.age.max(where=counted),
        last=days.age.min(),
    )


def fit_by_cutoff(past: Past, summaries: ibis.Table) -> dict[date, CutoffModels]:
    """Fits the models of every cutoff on its cohort or, above MAX_FITTED_CUSTOMERS, on a sample of it.

    Args:
        past: Gives the engine and the task, and says whether the log has amounts.
        summaries: As `purchase_summaries` returns them.

    Returns:
        The models by cutoff.
    """
    cohort = fitted_customers(summaries, past.task)
    counts = past.engine.to_arrow(cohort.group_by("cutoff").aggregate(customers=cohort.count()))
    sizes = dict(zip(counts["cutoff"].to_pylist(), counts["customers"].to_pylist(), strict=True))
    models = {}
    for cutoff in past.cutoffs:
        customers_at_cutoff = cohort.filter(cohort.cutoff == ibis.literal(cutoff))
        rows = sample_customers(customers_at_cutoff, sizes.get(cutoff, 0)).select("bought", "spend", "first", "last")
        models[cutoff] = fit_one_cutoff(past.engine.to_arrow(rows), past.tables.contract.has_amount)
    return models


def fitted_customers(summaries: ibis.Table, task: Task) -> ibis.Table:
    """The summaries of the cohort: customers who were gone before would be more at every cutoff."""
    return summaries.filter(summaries["last"] <= task.cohort.active_within.days)


def sample_customers(rows: ibis.Table, customers: int, limit: int = MAX_FITTED_CUSTOMERS) -> ibis.Table:
    """Samples about `limit` of the rows of one cutoff, by the MD5 of the customer's id.

    Args:
        rows: The rows of one cutoff.
        customers: How many rows there are.
        limit: The size to aim at.

    Returns:
        The sample, or all rows if there are no more than `limit`.
    """
    if customers <= limit:
        return rows
    return take_share(rows, limit / customers)


def fit_one_cutoff(rows: pa.Table, has_amount: bool) -> CutoffModels:
    """Fits the models on the purchase summaries of one cutoff; the order of rows does not matter."""
    bought, spend, first, last = _as_floats(rows)
    rhythm = fit_bgnbd(bought - 1, first - last, first)
    return CutoffModels(rhythm, fit_gamma_gamma(bought, spend / bought) if has_amount else None)


def predict_purchases(
    rows: pa.Table, models: Mapping[date, CutoffModels], horizon: int, names: Sequence[str]
) -> pa.Table:
    """Predicts the purchases of each row with the models of its cutoff.

    Args:
        rows: A batch of purchase summaries.
        models: The models of every cutoff in the batch.
        horizon: Days after the cutoff.
        names: ORDER_COLUMNS, followed by AMOUNT_COLUMNS if the models predict spend.

    Returns:
        customer_id, cutoff and the predictions by name, all finite.

    >>> models = {date(2024, 5, 1): CutoffModels(BGNBD(0.243, 4.414, 0.793, 2.426, False, 7), None)}
    >>> history = {"bought": [1, 3, 3, 10], "spend": [0] * 4, "first": [272] * 4, "last": [272, 59, 202, 202]}
    >>> rows = pa.table({"customer_id": list("abcd"), "cutoff": [date(2024, 5, 1)] * 4, **history})
    >>> predict_purchases(rows, models, 273, ORDER_COLUMNS)["expected_return"].to_numpy().round(3)
    array([0.145, 0.555, 0.205, 0.001])
    """
    return _compute_by_cutoff(rows, names, lambda part, cutoff: _predict_at_cutoff(part, models[cutoff], horizon))


def predict_with_shares(
    rows: pa.Table,
    models: Mapping[date, CutoffModels],
    typical: Mapping[date, TypicalInputs],
    horizon: int,
    names: Sequence[str],
    shares: Sequence[str],
) -> pa.Table:
    """Predicts as `predict_purchases`, and adds the shares of each prediction's inputs.

    Args:
        rows: A batch of purchase summaries.
        models: The models of every cutoff in the batch.
        typical: The start of the path from which shares are computed, at every cutoff in the batch.
        horizon: Days after the cutoff.
        names: As in `predict_purchases`.
        shares: The columns of `btyd_shares.share_columns`.

    Returns:
        The table of `predict_purchases`, followed by the shares.
    """

    def predict(part: pa.Table, cutoff: date) -> Iterator[np.ndarray]:
        fitted = models[cutoff]
        yield from _predict_at_cutoff(part, fitted, horizon)
        bought, spend, first, last = _as_floats(part)
        history = np.stack([last, first, bought])
        yield from prediction_shares(history, spend, fitted.rhythm, fitted.spend, typical[cutoff], horizon)

    return _compute_by_cutoff(rows, (*names, *shares), predict)


def _compute_by_cutoff(
    rows: pa.Table, names: Sequence[str], compute: Callable[[pa.Table, date], Iterable[np.ndarray]]
) -> pa.Table:
    """The keys of the rows, and columns by name that `compute` gives for the rows of each cutoff."""
    values = {name: np.empty(rows.num_rows) for name in names}
    for cutoff in rows["cutoff"].unique().to_pylist():
        positions = np.flatnonzero(pc.equal(rows["cutoff"], pa.scalar(cutoff, pa.date32())).to_numpy())
        for name, column in zip(names, compute(rows.take(positions), cutoff), strict=True):
            values[name][positions] = column
    return pa.table({key: rows[key] for key in KEYS} | values)


def _predict_at_cutoff(rows: pa.Table, models: CutoffModels, horizon: int) -> Iterator[np.ndarray]:
    """The predictions for one cutoff's rows, in the order of ORDER_COLUMNS and AMOUNT_COLUMNS."""
    bought, spend, first, last = _as_floats(rows)
    history = bought - 1, first - last, first
    orders = models.rhythm.expected_orders(*history, horizon=horizon)
    yield orders
    yield models.rhythm.alive_probability(*history)
    yield models.rhythm.return_probability(*history, horizon=horizon)
    if models.spend is not None:
        size = models.spend.expected_spend(bought, spend / bought)
        yield size
        yield orders * size


def _as_floats(rows: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Days with a purchase, spend in money, and the ages in days of the first and the last of them; floats (n,)."""
    bought, spend, first, last = (
        rows[name].to_numpy().astype(np.float64) for name in ("bought", "spend", "first", "last")
    )
    return bought, spend / TICKS, first, last
