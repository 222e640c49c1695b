"""How the spend of a cutoff's customers is expected to grow beyond the horizon, by BG/NBD, and how it did grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalog.btyd_model import BGNBD, expected_orders_if_alive, fit_bgnbd
from features.heavy_amounts import ordinary_limit
from features.snapshots.build import Snapshots
from training.artifact.lifetime import NEVER, growth_at, history
from training.models.calibration import EPOCH
from training.models.forecast_aging import AgedForecast

PURCHASES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
AGES = (7.0, 14.0, 30.0, 60.0, 120.0, 240.0, 365.0, 730.0, 1460.0, 3650.0)
MOST_ROWS, FEWEST_ROWS = 20_000, 20


@dataclass(frozen=True)
class BuyingCohort:
    """The customers of a cutoff as a forecast of their future sees them.

    Attributes:
        cutoff: The cutoff.
        horizon: Days of the value.
        window: Days of history that count.
        features: Their features (n rows).
        bought: Repeat purchases (n,) in the history that counts.
        age: Days since the first of these purchases (n,).
        expected: Spend (n,) that BG/NBD and Gamma-Gamma expect within the horizon, above 0.
        actual: Value (n,) over the horizon and over each labelled span, by days; only where it is known.
        model: BG/NBD, fitted to their purchases.
    """

    cutoff: date
    horizon: int
    window: int
    features: pa.Table
    bought: np.ndarray
    age: np.ndarray
    expected: np.ndarray
    actual: Mapping[int, np.ndarray]
    model: BGNBD

    @property
    def day(self) -> int:
        """The cutoff in days since 1970-01-01."""
        return (self.cutoff - EPOCH).days

    def growth(self, table: np.ndarray) -> np.ndarray:
        """The growth (n, d) of each customer from a table of `growth_table`."""
        return growth_at(table, PURCHASES, AGES, self.bought, self.age)


def read_cohort(snapshots: Snapshots, cutoff: date, known_by: date, most: int = MOST_ROWS) -> BuyingCohort | None:
    """The customers of a cutoff; None if they are too few or nothing is expected of them.

    Args:
        snapshots: With labels.
        cutoff: The cutoff.
        known_by: Labels that end after this day are left out.
        most: Of more customers, so many are taken.

    Returns:
        The cohort.
    """
    moment = pa.scalar(datetime(cutoff.year, cutoff.month, cutoff.day), pa.timestamp("us"))  # noqa: DTZ001 (UTC)
    rows = snapshots.labelled(snapshots.rows.filter(pc.equal(snapshots.rows["cutoff"], moment)))
    if rows.num_rows > most:
        rows = rows.take(np.linspace(0, rows.num_rows - 1, most).astype(int))
    task, features = snapshots.task, rows.select(snapshots.names)
    expected = np.nan_to_num(_floats(features, "amount_expected"))
    if rows.num_rows < FEWEST_ROWS or not expected.sum() > 0:
        return None
    labels = {"value": task.horizon, **task.value_labels(snapshots.spans)}
    known = {
        name: span.days
        for name, span in labels.items()
        if name in rows.column_names and cutoff + span.delta <= known_by
    }
    values = {days: _floats(rows, name) for name, days in known.items()}
    actual = {days: np.minimum(value, ordinary_limit(value)) for days, value in values.items()}
    horizon, window = task.horizon.days, task.windows[-1].days
    bought, age = history(features, window)
    model = fit_bgnbd(bought, age - np.nan_to_num(_floats(features, "recency_days")), age)
    return BuyingCohort(cutoff, horizon, window, features, bought, age, np.maximum(expected, NEVER), actual, model)


def growth_table(model: BGNBD, horizon: int, ends: Sequence[int], slowing: float = 0.0) -> np.ndarray:
    """Expected orders of customers who are still alive between the horizon and later days, per order within it.

    Args:
        model: BG/NBD.
        horizon: In days.
        ends: Later days (d,), ascending.
        slowing: How far customers leave less than the model says: 0 as it says, 1 nobody leaves any more (a geometric
            mean of both), below 0 more.

    Returns:
        Growth (p, a, d) by PURCHASES and AGES; it never falls with the day.

    >>> weeks = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426, penalised=False, time_unit_days=7)
    >>> growth_table(weeks, 90, (180, 365))[2, 5].round(2), growth_table(weeks, 90, (180, 365), 1.0)[2, 5].round(2)
    (array([0.88, 2.41]), array([1.  , 3.06]))
    """
    bought, age = np.meshgrid(PURCHASES, AGES, indexing="ij")
    start = model.alpha * model.time_unit_days + age
    orders = [
        expected_orders_if_alive(model.r + bought, model.a, model.b + bought, day / start) for day in (horizon, *ends)
    ]
    growth = np.maximum(np.stack(orders[1:], axis=2) / orders[0][:, :, None] - 1, NEVER)
    steady = (np.array(ends) - horizon) / horizon
    return np.asarray(np.maximum.accumulate(growth ** (1 - slowing) * steady**slowing, axis=2))


def age_forecasts(cohort: BuyingCohort, anchor: float) -> list[AgedForecast]:
    """How far the forecast of a past cutoff was off over each labelled span beyond the horizon.

    Args:
        cohort: The customers of the past cutoff.
        anchor: Weight of the actual value within the horizon, as of `Lifetime`.

    Returns:
        One for each span whose outcome is known.
    """
    ends = sorted(end for end in cohort.actual if end > cohort.horizon)
    if not ends or not cohort.actual[cohort.horizon].sum() > 0:
        return []
    within = cohort.actual[cohort.horizon]
    level = (within.sum() / cohort.expected.sum()) ** anchor
    tails = level * cohort.expected[:, None] * cohort.growth(growth_table(cohort.model, cohort.horizon, ends))
    return [
        _aged(cohort, end, tail, cohort.actual[end] - within, log_slowing)
        for end, tail, log_slowing in zip(ends, tails.T, slowing_room(cohort, ends), strict=True)
    ]


def slowing_room(cohort: BuyingCohort, ends: Sequence[int]) -> np.ndarray:
    """Log(total if nobody left any more / total as expected) (d,) after the horizon, up to later days (d,)."""
    growth = cohort.growth(growth_table(cohort.model, cohort.horizon, ends))
    steady = (np.array(ends) - cohort.horizon) / cohort.horizon
    return np.asarray(np.log(steady * cohort.expected.sum() / (cohort.expected @ growth)))


def _aged(cohort: BuyingCohort, end: int, tail: np.ndarray, actual: np.ndarray, room: float) -> AgedForecast:
    """One forecast of tails (n,) compared with what came (n,); one customer's mean is added to both totals."""
    expected, came = float(tail.sum()), max(float(actual.sum()), 0.0)
    one = expected / len(tail)
    ratio = (came + one) / (expected + one)
    variance = float(((actual - ratio * tail) ** 2).sum()) / (ratio * expected) ** 2
    return AgedForecast(cohort.day, cohort.horizon, end, float(np.log(ratio)), float(room), variance)


def _floats(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table[name].to_numpy().astype(np.float64))
