"""The hazard of returning: for each period after a cutoff, the chance of the first purchase if there was none before.

From it follows, for each customer, the curve P(returns by t). The curve is anchored at the classifier of returning, so
that at the horizon it is 1 - churn_probability. The hazard says how a return within the horizon is spread over its
days, and how likely those who have not returned by then are to do so later.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from .margin import SURE, Margin

TIME_COLUMNS = ("period_hazard", "period_days", "elapsed_days", "elapsed_gaps", "expected_hazard")
RETURN_COLUMNS = (
    "next_purchase_days",
    "next_purchase_days_low",
    "next_purchase_days_high",
    "expected_orders",
    "overdue_days",
)
MARKS, RETURNS_WITHIN = (1 / 4, 1 / 2, 1, 2), "returns_within_"
LEAST_HAZARD, ALMOST_ALL = 1e-9, 1 - 1e-12
BLOCK_ROWS = 20_000  # customers whose periods are predicted together, to bound memory


@dataclass(frozen=True)
class ReturnHazard:
    """A fitted hazard of returning.

    Attributes:
        bounds: The ends of the periods, in days after the cutoff, ascending: the horizon and twice the horizon are
            among them. The first period begins at the cutoff.
        horizon: Of the labels, in days.
        life_table: The hazard of each period over all training customers.
        features: The feature columns that the hazard uses, beside TIME_COLUMNS.
        hazard: Predicts the log-odds of the first purchase within a period.
        orders: Predicts the log of the further purchases within the horizon, after the first, of those who return.
        typical: Mean log-odds of each period over training customers: where explanations start.
        pace: The exponent of how returns within the horizon are spread over its days: above 1 they come later than the
            hazard says. Out-of-time returns decide it.
        inside: The probability that the interval of the next purchase holds, in (0, 1).
        weights: Stacking weights of the base models, by name.
    """

    bounds: tuple[int, ...]
    horizon: int
    life_table: tuple[float, ...]
    features: tuple[str, ...]
    hazard: Margin
    orders: Margin
    typical: tuple[float, ...]
    pace: float = 1.0
    inside: float = 0.8
    weights: dict[str, float] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the hazard's margin uses."""
        return (*self.features, *TIME_COLUMNS)

    def period_rows(self, X: pa.Table, rows: np.ndarray, periods: np.ndarray) -> pa.Table:
        """The columns of the margin for customers in periods.

        Args:
            X: The model's feature columns (n rows).
            rows: Which customers (m,), as row numbers of X.
            periods: Which periods (m,), from 0.

        Returns:
            The table (m rows).
        """
        starts = np.array((0, *self.bounds[:-1]), float)[periods]
        ends = np.array(self.bounds, float)[periods]
        middle = (starts + ends) / 2
        elapsed = _numbers(X, "recency_days")[rows] + middle
        time_columns = (
            np.array(self.life_table)[periods],
            middle,
            elapsed,
            elapsed / np.maximum(_numbers(X, "gap_median_days")[rows], 1.0),
            _expected_hazard(X, rows, starts, ends, self.horizon),
        )
        columns = {name: _numbers(X, name)[rows] for name in self.features}
        return pa.table({**columns, **dict(zip(TIME_COLUMNS, time_columns, strict=True))})

    def log_survival(self, X: pa.Table) -> np.ndarray:
        """Log of the probability of no purchase before each of the bounds (n, k), not anchored."""
        parts = [self._log_survival(X.slice(at, BLOCK_ROWS)) for at in range(0, max(X.num_rows, 1), BLOCK_ROWS)]
        return np.concatenate(parts)

    def _log_survival(self, X: pa.Table) -> np.ndarray:
        count = len(self.bounds)
        rows, periods = np.repeat(np.arange(X.num_rows), count), np.tile(np.arange(count), X.num_rows)
        log_odds = self.hazard.predict(self.period_rows(X, rows, periods)).reshape(X.num_rows, count)
        return np.cumsum(np.minimum(-np.logaddexp(0, log_odds), -LEAST_HAZARD), axis=1)

    def curves(self, X: pa.Table, churn_log_odds: np.ndarray) -> ReturnCurves:
        """The curves of customers, anchored at their churn probability.

        Args:
            X: The model's feature columns (n rows).
            churn_log_odds: Log-odds of churn (n,).

        Returns:
            The curves.
        """
        survival, end = self.log_survival(X), self.bounds.index(self.horizon)
        within, later = survival[:, :end], survival[:, end + 1 :]
        at_horizon, log_churn = survival[:, [end]], -np.logaddexp(0, -churn_log_odds)[:, None]
        # of the returns within the horizon:
        spread = np.minimum((np.expm1(within) / np.expm1(at_horizon)) ** self.pace, ALMOST_ALL)
        anchored = [np.zeros_like(log_churn), np.log1p(spread * np.expm1(log_churn)), log_churn]
        return ReturnCurves(np.array((0, *self.bounds)), np.hstack([*anchored, log_churn + later - at_horizon]))

    def predict(self, X: pa.Table, churn_log_odds: np.ndarray) -> dict[str, np.ndarray]:
        """Predictions (n,) by column: RETURN_COLUMNS, and the curve at MARKS of the horizon, such as returns_within_7d.

        Days count from the cutoff, 0 is its day; NaN where the curve does not reach the quantile within two horizons.

        Args:
            X: The model's feature columns (n rows).
            churn_log_odds: Log-odds of churn (n,).

        Returns:
            The median of the time to the next purchase with its interval, the expected purchases within the horizon,
            how many days longer the customer has been silent than they usually are (NaN without a usual gap), and the
            probabilities of a purchase within some days.
        """
        curves = self.curves(X, churn_log_odds)
        shares = (0.5, (1 - self.inside) / 2, (1 + self.inside) / 2)
        days = [curves.quantile_days(share) for share in shares]
        orders = self.expected_orders(X, np.exp(-np.logaddexp(0, churn_log_odds)))
        overdue = _numbers(X, "recency_days") - _numbers(X, "gap_median_days")
        marks = {f"{RETURNS_WITHIN}{days}d": curves.returned_by(days) for days in self.marks}
        return dict(zip(RETURN_COLUMNS, (*days, orders, overdue), strict=True)) | marks

    @property
    def marks(self) -> tuple[int, ...]:
        """The days at which the curve is written: MARKS of the horizon, in whole days."""
        return tuple(sorted({max(1, round(share * self.horizon)) for share in MARKS}))

    def expected_orders(self, X: pa.Table, returns: np.ndarray) -> np.ndarray:
        """Expected purchases within the horizon (n,): never fewer than the probability of returning (n,)."""
        return returns * (1 + np.exp(self.orders.predict(X)))


@dataclass(frozen=True)
class ReturnCurves:
    """Curves of returning of n customers; between two days of `days` the hazard is constant.

    Attributes:
        days: Days after the cutoff (k,), ascending, the first is 0.
        log_stays_away: Log of the probability of no purchase before each of these days (n, k); the first is 0.
    """

    days: np.ndarray
    log_stays_away: np.ndarray

    def returned_by(self, days: float | np.ndarray) -> np.ndarray:
        """P(a purchase before so many days have passed) (n,); beyond the last day of the curve that of the last day.

        Args:
            days: Days after the cutoff, the same for all or each customer's own (n,).
        """
        days = np.minimum(np.broadcast_to(days, len(self.log_stays_away)), self.days[-1])
        place = np.clip(np.searchsorted(self.days, days, side="right") - 1, 0, len(self.days) - 2)
        step = (days - self.days[place]) / (self.days[place + 1] - self.days[place])
        rows = np.arange(len(place))
        before, after = self.log_stays_away[rows, place], self.log_stays_away[rows, place + 1]
        return -np.expm1(before + step * (after - before))

    def take(self, mask: np.ndarray) -> ReturnCurves:
        """The curves of the customers where `mask` (n,) holds."""
        return ReturnCurves(self.days, self.log_stays_away[mask])

    def median_day_if_within(self, days: float) -> np.ndarray:
        """The median day of the first purchase (n,), given that there is one before so many days have passed."""
        return self.quantile_days(self.returned_by(days) / 2)

    def quantile_days(self, share: float | np.ndarray) -> np.ndarray:
        """The first day (n,), 0 being the cutoff's, by whose end a purchase has a probability of at least `share`.

        NaN where the curve never reaches it.

        >>> even = ReturnCurves(np.array([0, 10]), np.array([[0.0, 10 * np.log(0.8)]]))
        >>> even.quantile_days(0.5).tolist(), even.quantile_days(0.95).tolist()
        ([3.0], [nan])
        """
        target = np.broadcast_to(np.log1p(-np.asarray(share)), len(self.log_stays_away))
        reached = self.log_stays_away <= target[:, None] + 1e-12
        place = np.maximum(reached.argmax(axis=1), 1)
        rows = np.arange(len(place))
        before, after = self.log_stays_away[rows, place - 1], self.log_stays_away[rows, place]
        step = (target - before) / np.minimum(after - before, -LEAST_HAZARD)
        moment = self.days[place - 1] + step * (self.days[place] - self.days[place - 1])
        return np.where(reached.any(axis=1), np.maximum(np.ceil(moment - 1e-6) - 1, 0.0), np.nan)


def _numbers(X: pa.Table, name: str) -> np.ndarray:
    """A column (n,) as floats, NaN where null; all NaN if there is no such column."""
    return X[name].to_numpy().astype(float) if name in X.column_names else np.full(X.num_rows, np.nan)


def _expected_hazard(X: pa.Table, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, horizon: int) -> np.ndarray:
    """The hazard (m,) that BG/NBD expects in periods [starts, ends).

    A customer is alive with the probability of that feature, and then buys at a constant rate: the one with which the
    probability of an order within the horizon is that of the other feature.
    """
    alive = np.clip(_numbers(X, "alive_probability"), SURE, 1.0)
    given_alive = np.clip(_numbers(X, "return_probability") / alive, SURE, 1 - SURE)
    alive, rate = alive[rows], (-np.log1p(-given_alive) / horizon)[rows]
    before, after = (1 - alive + alive * np.exp(-rate * days) for days in (starts, ends))
    return np.asarray(1 - after / before)
