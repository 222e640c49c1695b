"""BG/NBD and Gamma-Gamma, fitted at a cutoff: how often customers still buy, and how much an order is worth.

A few numbers known at the cutoff describe each customer. A purchase is a day with an order, so two orders on one day
count once: `frequency` is the number of purchases after the first one (0, 1, ...), `recency` the days from the first to
the last purchase, and `age` the days from the first purchase to the cutoff, 0 <= recency <= age.

BG/NBD: a customer buys as a Poisson process with an own rate ~ Gamma(r, alpha), and leaves for good after each repeat
purchase with an own probability ~ Beta(a, b): Fader, Hardie and Lee, "Counting Your Customers the Easy Way" (Marketing
Science 24, 2005), below FHL. Gamma-Gamma: a customer's order amounts are Gamma(p, nu) with an own nu ~ Gamma(q, v):
Fader and Hardie, "The Gamma-Gamma Model of Monetary Value" (2013), below FH.

If a log says too little, the maximum of the likelihood lies at infinite or zero parameters, or determines one of them
less well than a weak normal prior on its logarithm would; the fit is repeated with that prior (`penalised`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, gammaln, hyp2f1, psi
from threadpoolctl import ThreadpoolController

from features.heavy_amounts import ordinary_limit

Floats = NDArray[np.float64]
Loss = Callable[[Floats], tuple[float, Floats]]  # log-parameters -> negative log-likelihood of all rows, its gradient

# Parameters stay within [1 / PARAMETER_LIMIT, PARAMETER_LIMIT] in internal units; a fit without prior that reaches
# a limit has diverged.
PARAMETER_LIMIT = 1e3
PRIOR_SD = 3.0  # standard deviation of the prior on each log-parameter, if there is one
MAX_MEAN_SLOPE = 1e-5  # a fit has converged if no slope of a customer's mean log-likelihood is larger
MAX_START_ROWS = 20_000  # the starting points are tried on at most this many rows; the best continues with all rows
MIN_DIVISOR = 1e-6  # FHL (10) divides by a - 1 and, without repeats, by a + b - 1: neither comes nearer to 0
MIN_Q_MINUS_1 = 0.05  # the smallest q - 1: the mean amount of the population is p v / (q - 1)


@dataclass(frozen=True)
class BGNBD:
    """A fitted BG/NBD model.

    Attributes:
        r: Shape of the purchase rates, above 0.
        alpha: Inverse scale of the purchase rates, above 0, in `time_unit_days`: the mean rate is r / alpha a unit.
        a: First parameter of the dropout probability, above 0: its mean is a / (a + b).
        b: Second parameter of the dropout probability, above 0.
        penalised: Whether the fit without prior diverged and a weak prior was needed.
        time_unit_days: The unit of alpha, in days.
    """

    r: float
    alpha: float
    a: float
    b: float
    penalised: bool
    time_unit_days: float

    def alive_probability(self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
        """Probability that a customer has not left by the cutoff.

        From Fader, Hardie and Lee, "Computing P(alive) Using the BG/NBD Model" (2008).

        Args:
            frequency: Repeat purchases, (n,).
            recency: Days from the first to the last purchase, (n,).
            age: Days from the first purchase to the cutoff, (n,).

        Returns:
            Probabilities [0, 1], (n,); 1 without a repeat purchase, not finite where the input is not.

        >>> weeks = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426, penalised=False, time_unit_days=7)
        >>> weeks.alive_probability([0, 2, 2, 9], [0, 213, 70, 70], [272, 272, 272, 272]).round(3)
        array([1.   , 0.727, 0.268, 0.001])
        """
        x, t_x, t = _clean_history(frequency, recency, age, self.time_unit_days)
        return expit(-_dropout_log_odds(x, t_x, t, self.r, self.alpha, self.a, self.b))

    def return_probability(
        self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, horizon: ArrayLike
    ) -> Floats:
        """Probability of a purchase within the `horizon` days after the cutoff.

        After x repeat purchases in T, the rate of a customer who is alive is Gamma(r + x, alpha + T), and the customer
        cannot leave before the next purchase. So the probability of no purchase in t is
        ((alpha + T) / (alpha + T + t)) ** (r + x).

        Args:
            frequency: Repeat purchases, (n,).
            recency: Days from the first to the last purchase, (n,).
            age: Days from the first purchase to the cutoff, (n,).
            horizon: Days after the cutoff, one number or (n,).

        Returns:
            Probabilities [0, 1], (n,).

        >>> weeks = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426, penalised=False, time_unit_days=7)
        >>> weeks.return_probability([0, 2, 2, 9], [0, 213, 70, 70], [272, 272, 272, 272], 273).round(3)
        array([0.145, 0.555, 0.205, 0.001])
        """
        x, t_x, t = _clean_history(frequency, recency, age, self.time_unit_days)
        ahead = np.maximum(np.asarray(horizon, float), 0) / self.time_unit_days
        alive = expit(-_dropout_log_odds(x, t_x, t, self.r, self.alpha, self.a, self.b))
        return alive * -np.expm1(-(self.r + x) * np.log1p(ahead / (self.alpha + t)))

    def expected_orders(self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, horizon: ArrayLike) -> Floats:
        """Expected number of purchases in the `horizon` days after the cutoff: FHL (10).

        Args:
            frequency: Repeat purchases, (n,).
            recency: Days from the first to the last purchase, (n,).
            age: Days from the first purchase to the cutoff, (n,).
            horizon: Days after the cutoff, one number or (n,).

        Returns:
            Expected purchases, 0 or more, (n,).

        >>> weeks = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426, penalised=False, time_unit_days=7)
        >>> weeks.expected_orders([0, 2, 2, 9], [0, 213, 70, 70], [272, 272, 272, 272], 273).round(3)
        array([0.195, 1.226, 0.453, 0.003])
        """
        x, t_x, t = _clean_history(frequency, recency, age, self.time_unit_days)
        ahead = np.maximum(np.asarray(horizon, float), 0) / self.time_unit_days
        alive = expit(-_dropout_log_odds(x, t_x, t, self.r, self.alpha, self.a, self.b))
        return alive * expected_orders_if_alive(self.r + x, self.a, self.b + x, ahead / (self.alpha + t))


@dataclass(frozen=True)
class GammaGamma:
    """A fitted Gamma-Gamma model.

    Attributes:
        p: Shape of a customer's order amounts, above 0.
        q: Shape of the customers' inverse scales, above 1, so that the mean amount exists.
        v: Inverse scale of the customers' inverse scales, above 0, in the money of the log.
        penalised: Whether the fit without prior diverged and a weak prior was needed.
    """

    p: float
    q: float
    v: float
    penalised: bool

    def expected_spend(self, count: ArrayLike, mean_spend: ArrayLike) -> Floats:
        """Expected amount of a customer's next order: FH (5).

        It is the customer's own mean amount, shrunk towards the mean of the population, p v / (q - 1). A customer
        without a purchase, or whose mean amount is not positive and finite, gets the mean of the population.

        Args:
            count: The number of purchases that were averaged, (n,). If the first purchase is among them, this is one
                more than the repeat purchases of BG/NBD.
            mean_spend: The mean amount of those purchases, (n,), in the money of the log.

        Returns:
            Expected amounts above 0, (n,), in the money of the log.

        >>> music = GammaGamma(p=6.25, q=3.74, v=15.44, penalised=False)
        >>> music.expected_spend([0, 1, 2, 20], [0, 20, 20, 20]).round(2)
        array([35.22, 24.64, 22.74, 20.33])
        """
        x, z = np.broadcast_arrays(np.asarray(count, float), np.asarray(mean_spend, float))
        known = (x > 0) & (z > 0) & np.isfinite(x) & np.isfinite(z)
        shape = self.p * np.where(known, x, 0)
        return (shape * np.where(known, z, 0) + self.p * self.v) / (shape + self.q - 1)


def fit_bgnbd(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, weights: ArrayLike | None = None) -> BGNBD:
    """Fits BG/NBD by maximum likelihood (FHL (6)); deterministic, never fails, always finite.

    Rows that are not finite are left out. If nobody bought twice, the prior determines the parameters.

    Args:
        frequency: Repeat purchases, (n,).
        recency: Days from the first to the last purchase, (n,).
        age: Days from the first purchase to the cutoff, (n,).
        weights: How many customers each row stands for, (n,), not negative; one each if None.

    Returns:
        The fitted model.

    >>> model = fit_bgnbd([0, 0, 1, 3, 5], [0, 0, 20, 70, 88], [90, 40, 90, 80, 90])
    >>> bool(model.alive_probability([3], [70], [80])[0] > model.alive_probability([3], [20], [80])[0])
    True
    """
    rows = _distinct_rows(weights, *_clean_history(frequency, recency, age, 1.0))
    repeats = max(_sum_of_products(rows[-1], rows[0]), 1.0)
    unit = _sum_of_products(rows[-1], rows[2]) / repeats or 1.0  # days a repeat purchase
    rows[1:3] /= unit
    starts = np.log([(1.0, 1.0, 1.0, 3.0), (0.25, 0.2, 0.8, 2.5), (3.0, 3.0, 0.1, 3.0), (0.5, 0.5, 5.0, 20.0)])
    parameters, penalised = _fit(_bgnbd_loss, rows, starts, np.full(4, 1 / PARAMETER_LIMIT))
    r, alpha, a, b = (float(value) for value in parameters)
    return BGNBD(r, alpha, a, b, penalised, unit)


def fit_gamma_gamma(count: ArrayLike, mean_spend: ArrayLike, weights: ArrayLike | None = None) -> GammaGamma:
    """Fits Gamma-Gamma by maximum likelihood (FH (1a)); deterministic, never fails, always finite, q above 1.

    Only customers with a purchase and a positive finite mean are used. A mean that outweighs all others, as a mistyped
    order gives, counts as the largest of the others (`ordinary_limit`). The currency does not matter: amounts are
    divided by their geometric mean first.

    Args:
        count: The number of purchases that were averaged, (n,).
        mean_spend: The mean amount of those purchases, (n,), in money.
        weights: How many customers each row stands for, (n,), not negative; one each if None.

    Returns:
        The fitted model.

    >>> model = fit_gamma_gamma([1, 2, 4, 3, 2], [10.0, 12.0, 30.0, 8.0, 15.0])
    >>> low, high = model.expected_spend([2, 2], [8.0, 30.0])
    >>> bool(8 < low < high < 30)
    True
    """
    x, z = np.broadcast_arrays(np.asarray(count, float), np.asarray(mean_spend, float))
    known = z if weights is None else np.repeat(z, np.rint(np.asarray(weights, float)).astype(int))
    z = np.minimum(z, ordinary_limit(known))
    rows = _distinct_rows(weights, np.where(x > 0, x, np.nan), np.where(z > 0, z, np.nan))
    rows[1] = np.log(rows[1])  # of sorted rows: the last bit of a logarithm may depend on its place in the array
    middle = _sum_of_products(rows[-1], rows[1]) / float(rows[-1].sum()) if rows.size else 0.0
    rows[1] -= middle
    starts = np.log([(2.0, 2.0, 1.0), (6.0, 3.0, 0.5), (1.0, 0.5, 1.0)])
    low = np.array([1 / PARAMETER_LIMIT, MIN_Q_MINUS_1, 1 / PARAMETER_LIMIT])
    parameters, penalised = _fit(_gamma_gamma_loss, rows, starts, low)
    p, above, v = (float(value) for value in parameters)
    return GammaGamma(p, 1 + above, v * float(np.exp(middle)), penalised)


def _clean_history(
    frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, unit: float
) -> tuple[Floats, Floats, Floats]:
    """Frequency, recency and age as floats of one shape, times in `unit` days, clipped to 0 <= recency <= age."""
    x, t_x, t = np.broadcast_arrays(*(np.asarray(column, float) for column in (frequency, recency, age)))
    x, t = np.rint(np.maximum(x, 0)), np.maximum(t, 0)
    return x, np.where(x == 0, 0, np.clip(t_x, 0, t)) / unit, t / unit


def _dropout_log_odds(x: Floats, t_x: Floats, t: Floats, r: float, alpha: float, a: float, b: float) -> Floats:
    """Log-odds of having left after the last purchase; minus infinity without a repeat purchase."""
    odds = np.log(a) - np.log(b + np.maximum(x, 1) - 1) + (r + x) * np.log1p((t - t_x) / (alpha + t_x))
    return np.where(x == 0, -np.inf, odds)


def expected_orders_if_alive(rate: Floats, a: float, b: Floats, ahead: Floats) -> Floats:
    """Expected purchases of customers who are alive, FHL (10): E[(1 - (1 + p ahead)^-rate) / p] for p ~ Beta(a, b).

    Euler's transformation takes the large powers out of the hypergeometric function. The mean lies between the function
    at the mean p (it is convex) and at p = 0; clipping to these limits corrects rounding and overflow.

    Args:
        rate: r + x, (n,).
        a: First parameter of the dropout probability.
        b: Its second parameter, plus x, (n,).
        ahead: Horizon / (alpha + T), (n,).

    Returns:
        Expected purchases, (n,).
    """
    a_near = 1 + MIN_DIVISOR if abs(a - 1) < MIN_DIVISOR else a
    c = a_near + b - 1
    c = np.where(np.abs(c) < MIN_DIVISOR, MIN_DIVISOR, c)
    with np.errstate(all="ignore"):
        series = hyp2f1(c - rate, a_near - 1, c, ahead / (1 + ahead))
        mean = c / (a_near - 1) * (1 - (1 + ahead) ** (1 - a_near) * series)
    middle = a / (a + b)
    low, high = -np.expm1(-rate * np.log1p(middle * ahead)) / middle, rate * ahead
    return np.clip(np.where(np.isfinite(mean), mean, low), low, np.maximum(low, high))


def _distinct_rows(weights: ArrayLike | None, *columns: Floats) -> Floats:
    """The distinct finite rows, sorted, and in the last row their total weights; shape (columns + 1, m)."""
    w = np.ones(columns[0].shape) if weights is None else np.broadcast_to(np.asarray(weights, float), columns[0].shape)
    rows = np.stack([*columns, w]).reshape(len(columns) + 1, -1)
    rows = rows[:, np.isfinite(rows).all(axis=0) & (rows[-1] > 0)]
    rows = rows[:, np.lexsort(rows[-2::-1])]
    new = np.ones(rows.shape[1], bool)
    new[1:] = (np.diff(rows[:-1]) != 0).any(axis=0)
    distinct = rows[:, new]
    if new.size:
        distinct[-1] = np.add.reduceat(rows[-1], np.flatnonzero(new))
    return distinct


def _bgnbd_loss(rows: Floats) -> Loss:
    """The negative logarithm of FHL (6) over rows of x, t_x, T and weight, by log r, log alpha, log a and log b."""
    x, t_x, t, w = rows
    counts, tally = _weights_by_value(x, w)
    back = w * (x > 0)

    def loss(theta: Floats) -> tuple[float, Floats]:
        r, alpha, a, b = np.exp(theta)
        odds = _dropout_log_odds(x, t_x, t, r, alpha, a, b)
        left, waited = back * expit(odds), np.log1p(t / alpha)
        silence = np.log1p((t - t_x) / (alpha + t_x))
        beta = gammaln(b + counts) - gammaln(b) + gammaln(a + b) - gammaln(a + b + counts)
        total = _sum_of_products(tally, gammaln(r + counts) - gammaln(r) - counts * theta[1] + beta)
        total += _sum_of_products(w, np.logaddexp(0, odds) - (r + x) * waited)
        both = psi(a + b) - psi(a + b + counts)
        slopes = [
            r
            * (
                _sum_of_products(tally, psi(r + counts) - psi(r))
                - _sum_of_products(w, waited)
                + _sum_of_products(left, silence)
            ),
            _sum_of_products(w, (r * t - alpha * x) / (alpha + t))
            - alpha * _sum_of_products(left, (r + x) * (t - t_x) / (alpha + t) / (alpha + t_x)),
            a * _sum_of_products(tally, both) + left.sum(),
            b
            * (
                _sum_of_products(tally, psi(b + counts) - psi(b) + both)
                - _sum_of_products(left, 1 / (b + np.maximum(x, 1) - 1))
            ),
        ]
        return -float(total), -np.array(slopes)

    return loss


def _gamma_gamma_loss(rows: Floats) -> Loss:
    """The negative logarithm of FH (1a), without its factor 1 / mean, by log p, log (q - 1) and log v.

    The rows are count, log mean and weight.
    """
    x, z, w = rows
    counts, tally = _weights_by_value(x, w)
    spent = z + np.log(x)

    def loss(theta: Floats) -> tuple[float, Floats]:
        p, above = np.exp(theta[:2])
        q, v = 1 + above, theta[2]
        own, other = -np.logaddexp(0, v - spent), -np.logaddexp(0, spent - v)
        both = gammaln(p * counts + q) - gammaln(p * counts) - gammaln(q)
        total = _sum_of_products(tally, both) + p * _sum_of_products(w * x, own) + q * _sum_of_products(w, other)
        by_p = _sum_of_products(tally, counts * (psi(p * counts + q) - psi(p * counts))) + _sum_of_products(w * x, own)
        by_q = _sum_of_products(tally, psi(p * counts + q) - psi(q)) + _sum_of_products(w, other)
        return -float(total), -np.array([p * by_p, above * by_q, _sum_of_products(w, q - (p * x + q) * np.exp(other))])

    return loss


def _weights_by_value(x: Floats, w: Floats) -> tuple[Floats, Floats]:
    """The distinct values of x and their total weights."""
    values, places = np.unique(x, return_inverse=True)
    return values, np.bincount(places, w).astype(float)


def _sum_of_products(a: Floats, b: Floats) -> float:
    """The sum of products, with the same bits on any number of threads: BLAS (`a @ b`) adds in an order of its own."""
    return float((a * b).sum())


def _fit(make_loss: Callable[[Floats], Loss], rows: Floats, starts: Floats, low: Floats) -> tuple[Floats, bool]:
    """The best parameters in [low, PARAMETER_LIMIT], and whether the prior around the first start was needed."""
    box = np.stack([np.log(low), np.full(len(low), np.log(PARAMETER_LIMIT))])
    loss, customers = make_loss(rows), float(rows[-1].sum())
    if customers > 0:
        sample = rows[:, :: -(-rows.shape[1] // MAX_START_ROWS)]
        best = _minimise(loss, [_minimise(make_loss(sample), starts, box, float(sample[-1].sum()))], box, customers)
        if _is_well_determined(loss, best, box, customers):
            return np.exp(best), False

    def penalised_loss(theta: Floats) -> tuple[float, Floats]:
        off = (theta - starts[0]) / PRIOR_SD
        total, slopes = loss(theta)
        return total + _sum_of_products(off, off) / 2, slopes + off / PRIOR_SD

    return np.exp(_minimise(penalised_loss, starts, box, customers + 1)), True


def _is_well_determined(loss: Loss, parameters: Floats, box: Floats, size: float) -> bool:
    """Whether a fit without prior converged inside the box and determines every direction better than the prior."""
    if np.abs(parameters - box).min() < 0.01 or np.abs(loss(parameters)[1]).max() > MAX_MEAN_SLOPE * size:
        return False
    slopes = [loss(parameters + step)[1] - loss(parameters - step)[1] for step in 1e-4 * np.eye(len(parameters))]
    return bool(np.linalg.eigvalsh((np.array(slopes) + np.transpose(slopes)) / 4e-4)[0] > 1 / PRIOR_SD**2)


@cache
def _linear_algebra() -> ThreadpoolController:
    """The libraries whose threads can be limited: looked for once, because that takes as long as a small fit."""
    return ThreadpoolController()


def _minimise(loss: Loss, starts: Sequence[Floats] | Floats, box: Floats, size: float) -> Floats:
    """The best minimum of L-BFGS-B from all starts; the loss is divided by `size`."""

    def scaled(theta: Floats) -> tuple[float, Floats]:
        total, slopes = loss(theta)
        return total / size, slopes / size

    options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8}
    with _linear_algebra().limit(limits=1, user_api="blas"):  # threads would only wait for each other
        ends = [minimize(scaled, start, jac=True, method="L-BFGS-B", bounds=box.T, options=options) for start in starts]
    return min(ends, key=lambda end: end.fun).x
