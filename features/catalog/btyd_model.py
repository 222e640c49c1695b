"""BG/NBD and Gamma-Gamma, fitted at a cutoff: how often customers still buy, and how much an order is worth.

Each customer is told by a few numbers known at the cutoff. A purchase is a day with an order, so two orders of one
day count once: `frequency` is the purchases after the first one (0, 1, ...), `recency` the days from the first to the
last purchase, and `age` the days from the first purchase to the cutoff, 0 <= recency <= age.

A customer buys as a Poisson process with a rate of her own, Gamma(r, alpha), and after each repeat purchase leaves
for good with a probability of her own, Beta(a, b): Fader, Hardie and Lee, "Counting Your Customers the Easy Way"
(Marketing Science 24, 2005), below FHL. Her order amounts are Gamma(p, nu) with nu ~ Gamma(q, v) of her own: Fader and
Hardie, "The Gamma-Gamma Model of Monetary Value" (2013), below FH.

Everything is plain numbers in and out. On a log that tells too little the likelihood runs off to infinite or zero
parameters, or knows one of them less than a weak normal prior on its logarithm does: the fit is then done again with
that prior, and `penalised` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, gammaln, hyp2f1, psi
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]
Loss = Callable[[Floats], tuple[float, Floats]]  # log-parameters -> negative log-likelihood of all rows, its gradient

PARAMETER_LIMIT = (
    1e3  # parameters stay within 1/RANGE to RANGE in internal units; a plain fit that reaches the end has run off
)
PRIOR_SD = 3.0  # standard deviation of the prior on each log-parameter, where there is one
MAX_MEAN_SLOPE = 1e-5  # the largest slope of a customer's mean log-likelihood at which a fit has arrived
MAX_START_ROWS = 20_000  # the starts are tried on this many rows, the best goes on with all of them
MIN_DIVISOR = 1e-6  # FHL (10) divides by a - 1 and, without repeats, by a + b - 1: neither comes nearer to 0
MIN_Q_MINUS_1 = 0.05  # the least q - 1: the mean amount of the population is p v / (q - 1)


@dataclass(frozen=True)
class BGNBD:
    """A fitted BG/NBD model.

    Attributes:
        r: Shape of the purchase rates, above 0.
        alpha: Inverse scale of the purchase rates, above 0, in `time_unit_days`: the mean rate is r / alpha a unit.
        a: First parameter of the dropout probability, above 0: its mean is a / (a + b).
        b: Second parameter of the dropout probability, above 0.
        penalised: Whether the plain likelihood ran off and a weak prior was needed.
        time_unit_days: The unit of alpha, in days.
    """

    r: float
    alpha: float
    a: float
    b: float
    penalised: bool
    time_unit_days: float

    def alive_probability(self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
        """Probability [0, 1] of not having left by the cutoff, (n,); 1 without a repeat purchase.

        From Fader, Hardie and Lee, "Computing P(alive) Using the BG/NBD Model" (2008). What is not finite stays so.

        Args:
            frequency: Repeat purchases, (n,).
            recency: Days from the first to the last purchase, (n,).
            age: Days from the first purchase to the cutoff, (n,).

        >>> weeks = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426, penalised=False, time_unit_days=7)
        >>> weeks.alive([0, 2, 2, 9], [0, 213, 70, 70], [272, 272, 272, 272]).round(3)
        array([1.   , 0.727, 0.268, 0.001])
        """
        x, t_x, t = _customers(frequency, recency, age, self.time_unit_days)
        return expit(-_left_odds(x, t_x, t, self.r, self.alpha, self.a, self.b))

    def return_probability(
        self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, horizon: ArrayLike
    ) -> Floats:
        """Probability [0, 1] of a purchase within the `horizon` days after the cutoff, (n,).

        Who is alive has a rate that is Gamma(r + x, alpha + T) after x repeat purchases in T, and cannot leave before
        the next purchase: none comes with probability ((alpha + T) / (alpha + T + t)) ** (r + x).

        Args:
            frequency, recency, age: As in `alive`, (n,) each.
            horizon: Days after the cutoff, one number or (n,).

        >>> weeks = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426, penalised=False, time_unit_days=7)
        >>> weeks.returns([0, 2, 2, 9], [0, 213, 70, 70], [272, 272, 272, 272], 273).round(3)
        array([0.145, 0.555, 0.205, 0.001])
        """
        x, t_x, t = _customers(frequency, recency, age, self.time_unit_days)
        ahead = np.maximum(np.asarray(horizon, float), 0) / self.time_unit_days
        alive = expit(-_left_odds(x, t_x, t, self.r, self.alpha, self.a, self.b))
        return alive * -np.expm1(-(self.r + x) * np.log1p(ahead / (self.alpha + t)))

    def expected_orders(self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, horizon: ArrayLike) -> Floats:
        """Expected purchases in the `horizon` days after the cutoff, (n,): FHL (10), never negative.

        Args:
            frequency, recency, age: As in `alive`, (n,) each.
            horizon: Days after the cutoff, one number or (n,).

        >>> weeks = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426, penalised=False, time_unit_days=7)
        >>> weeks.expected_orders([0, 2, 2, 9], [0, 213, 70, 70], [272, 272, 272, 272], 273).round(3)
        array([0.195, 1.226, 0.453, 0.003])
        """
        x, t_x, t = _customers(frequency, recency, age, self.time_unit_days)
        ahead = np.maximum(np.asarray(horizon, float), 0) / self.time_unit_days
        alive = expit(-_left_odds(x, t_x, t, self.r, self.alpha, self.a, self.b))
        return alive * _orders_if_alive(self.r + x, self.a, self.b + x, ahead / (self.alpha + t))


@dataclass(frozen=True)
class GammaGamma:
    """A fitted Gamma-Gamma model.

    Attributes:
        p: Shape of a customer's order amounts, above 0.
        q: Shape of the customers' inverse scales, above 1, so that the mean amount exists.
        v: Inverse scale of the customers' inverse scales, above 0, in the money of the log.
        penalised: Whether the plain likelihood ran off and a weak prior was needed.
    """

    p: float
    q: float
    v: float
    penalised: bool

    def expected_spend(self, count: ArrayLike, mean_spend: ArrayLike) -> Floats:
        """Expected amount of a customer's next order, (n,), above 0: FH (5).

        It is her own mean amount pulled towards the mean of the population, p v / (q - 1), which is returned itself
        for who has no purchase, or a mean amount that is not positive and finite.

        Args:
            count: The number of purchases that were averaged, (n,): where the first one is among them, one more than
                the repeat purchases of BG/NBD.
            mean_spend: The mean amount of those purchases, (n,), in the money of the log.

        >>> music = GammaGamma(p=6.25, q=3.74, v=15.44, penalised=False)
        >>> music.expected_spend([0, 1, 2, 20], [0, 20, 20, 20]).round(2)
        array([35.22, 24.64, 22.74, 20.33])
        """
        x, z = np.broadcast_arrays(np.asarray(count, float), np.asarray(mean_spend, float))
        told = (x > 0) & (z > 0) & np.isfinite(x) & np.isfinite(z)
        own = self.p * np.where(told, x, 0)
        return (own * np.where(told, z, 0) + self.p * self.v) / (own + self.q - 1)


def fit_bgnbd(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, weights: ArrayLike | None = None) -> BGNBD:
    """Fits BG/NBD by maximum likelihood (FHL (6)); deterministic, never fails, always finite.

    Args:
        frequency, recency, age: As in `BGNBD.alive`, (n,) each.
        weights: How many customers each row stands for, (n,), not negative; one each, if absent.

    Rows that are not finite are left out. Where nobody came back, the prior speaks.

    >>> model = fit_bgnbd([0, 0, 1, 3, 5], [0, 0, 20, 70, 88], [90, 40, 90, 80, 90])
    >>> bool(model.alive([3], [70], [80])[0] > model.alive([3], [20], [80])[0])
    True
    """
    rows = _distinct(weights, *_customers(frequency, recency, age, 1.0))
    unit = _dot(rows[-1], rows[2]) / max(_dot(rows[-1], rows[0]), 1.0) or 1.0  # days a repeat purchase
    rows[1:3] /= unit
    starts = np.log([(1.0, 1.0, 1.0, 3.0), (0.25, 0.2, 0.8, 2.5), (3.0, 3.0, 0.1, 3.0), (0.5, 0.5, 5.0, 20.0)])
    found, penalised = _fit(_bgnbd_loss, rows, starts, np.full(4, 1 / PARAMETER_LIMIT))
    r, alpha, a, b = (float(value) for value in found)
    return BGNBD(r, alpha, a, b, penalised, unit)


def fit_gamma_gamma(count: ArrayLike, mean_spend: ArrayLike, weights: ArrayLike | None = None) -> GammaGamma:
    """Fits Gamma-Gamma by maximum likelihood (FH (1a)); deterministic, never fails, always finite, q above 1.

    Args:
        count: The number of purchases that were averaged, (n,).
        mean_spend: The mean amount of those purchases, (n,), in money.
        weights: How many customers each row stands for, (n,), not negative; one each, if absent.

    Only customers with a purchase and a positive finite mean are used. The currency does not matter: amounts are
    divided by their geometric mean first.

    >>> model = fit_gamma_gamma([1, 2, 4, 3, 2], [10.0, 12.0, 30.0, 8.0, 15.0])
    >>> low, high = model.expected_spend([2, 2], [8.0, 30.0])
    >>> bool(8 < low < high < 30)
    True
    """
    x, z = np.broadcast_arrays(np.asarray(count, float), np.asarray(mean_spend, float))
    rows = _distinct(weights, np.where(x > 0, x, np.nan), np.log(np.where(z > 0, z, np.nan)))
    middle = _dot(rows[-1], rows[1]) / float(rows[-1].sum()) if rows.size else 0.0
    rows[1] -= middle
    starts = np.log([(2.0, 2.0, 1.0), (6.0, 3.0, 0.5), (1.0, 0.5, 1.0)])
    found, penalised = _fit(
        _gamma_gamma_loss, rows, starts, np.array([1 / PARAMETER_LIMIT, MIN_Q_MINUS_1, 1 / PARAMETER_LIMIT])
    )
    p, above, v = (float(value) for value in found)
    return GammaGamma(p, 1 + above, v * float(np.exp(middle)), penalised)


def _customers(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, unit: float) -> tuple[Floats, Floats, Floats]:
    """The three numbers as floats of one shape, times in units and put in order: 0 <= recency <= age."""
    x, t_x, t = np.broadcast_arrays(*(np.asarray(column, float) for column in (frequency, recency, age)))
    x, t = np.rint(np.maximum(x, 0)), np.maximum(t, 0)
    return x, np.where(x == 0, 0, np.clip(t_x, 0, t)) / unit, t / unit


def _left_odds(x: Floats, t_x: Floats, t: Floats, r: float, alpha: float, a: float, b: float) -> Floats:
    """Log-odds of having left after the last purchase; minus infinity without a repeat purchase."""
    odds = np.log(a) - np.log(b + np.maximum(x, 1) - 1) + (r + x) * np.log1p((t - t_x) / (alpha + t_x))
    return np.where(x == 0, -np.inf, odds)


def _orders_if_alive(rate: Floats, a: float, b: Floats, ahead: Floats) -> Floats:
    """Expected purchases of who is alive: E[(1 - (1 + p ahead)^-rate) / p] for p from Beta(a, b).

    This is FHL (10) with `rate` = r + x, `b` = b + x, `ahead` = t / (alpha + T). Euler's transformation takes the large
    powers out of its hypergeometric function, so that x leaves the first two arguments. The mean lies between the
    function's value at the mean p (it is convex) and at p = 0: these bounds mend what rounding or overflow spoilt.
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


def _distinct(weights: ArrayLike | None, *columns: Floats) -> Floats:
    """The distinct finite rows in order, one column each, and last their total weights: (columns + 1, m)."""
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
    """FHL (6) over rows of x, t_x, T and weight, with the gradient by log r, log alpha, log a, log b."""
    x, t_x, t, w = rows
    counts, tally = _tally(x, w)
    back = w * (x > 0)

    def loss(theta: Floats) -> tuple[float, Floats]:
        r, alpha, a, b = np.exp(theta)
        odds = _left_odds(x, t_x, t, r, alpha, a, b)
        left, waited = back * expit(odds), np.log1p(t / alpha)
        silence = np.log1p((t - t_x) / (alpha + t_x))
        beta = gammaln(b + counts) - gammaln(b) + gammaln(a + b) - gammaln(a + b + counts)
        total = _dot(tally, gammaln(r + counts) - gammaln(r) - counts * theta[1] + beta)
        total += _dot(w, np.logaddexp(0, odds) - (r + x) * waited)
        both = psi(a + b) - psi(a + b + counts)
        slopes = [
            r * (_dot(tally, psi(r + counts) - psi(r)) - _dot(w, waited) + _dot(left, silence)),
            _dot(w, (r * t - alpha * x) / (alpha + t))
            - alpha * _dot(left, (r + x) * (t - t_x) / (alpha + t) / (alpha + t_x)),
            a * _dot(tally, both) + left.sum(),
            b * (_dot(tally, psi(b + counts) - psi(b) + both) - _dot(left, 1 / (b + np.maximum(x, 1) - 1))),
        ]
        return -float(total), -np.array(slopes)

    return loss


def _gamma_gamma_loss(rows: Floats) -> Loss:
    """FH (1a), without its factor 1 / mean, over rows of count, log mean and weight, by log p, log (q - 1), log v."""
    x, z, w = rows
    counts, tally = _tally(x, w)
    spent = z + np.log(x)

    def loss(theta: Floats) -> tuple[float, Floats]:
        p, above = np.exp(theta[:2])
        q, v = 1 + above, theta[2]
        own, other = -np.logaddexp(0, v - spent), -np.logaddexp(0, spent - v)
        both = gammaln(p * counts + q) - gammaln(p * counts) - gammaln(q)
        total = _dot(tally, both) + p * _dot(w * x, own) + q * _dot(w, other)
        by_p = _dot(tally, counts * (psi(p * counts + q) - psi(p * counts))) + _dot(w * x, own)
        by_q = _dot(tally, psi(p * counts + q) - psi(q)) + _dot(w, other)
        return -float(total), -np.array([p * by_p, above * by_q, _dot(w, q - (p * x + q) * np.exp(other))])

    return loss


def _tally(x: Floats, w: Floats) -> tuple[Floats, Floats]:
    """The distinct values of x and their total weights."""
    values, places = np.unique(x, return_inverse=True)
    return values, np.bincount(places, w, len(values)).astype(float)


def _dot(a: Floats, b: Floats) -> float:
    """The sum of products, the same bits on any number of threads: BLAS (`a @ b`) adds in an order of its threads."""
    return float((a * b).sum())


def _fit(make: Callable[[Floats], Loss], rows: Floats, starts: Floats, low: Floats) -> tuple[Floats, bool]:
    """The best parameters from `low` to RANGE, and whether they needed the prior around the first start."""
    box = np.stack([np.log(low), np.full(len(low), np.log(PARAMETER_LIMIT))])
    whole, customers = make(rows), float(rows[-1].sum())
    if customers > 0:
        sample = rows[:, :: -(-rows.shape[1] // MAX_START_ROWS)]
        found = _best(whole, [_best(make(sample), starts, box, float(sample[-1].sum()))], box, customers)
        if _settled(whole, found, box, customers):
            return np.exp(found), False

    def held(theta: Floats) -> tuple[float, Floats]:
        off = (theta - starts[0]) / PRIOR_SD
        total, slopes = whole(theta)
        return total + _dot(off, off) / 2, slopes + off / PRIOR_SD

    return np.exp(_best(held, starts, box, customers + 1)), True


def _settled(loss: Loss, found: Floats, box: Floats, size: float) -> bool:
    """Whether a plain fit arrived, inside the box, and every direction is better known than the prior would know it."""
    if np.abs(found - box).min() < 0.01 or np.abs(loss(found)[1]).max() > MAX_MEAN_SLOPE * size:
        return False
    steps = 1e-4 * np.eye(len(found))
    curvature = np.array([loss(found + step)[1] - loss(found - step)[1] for step in steps]) / 2e-4
    return bool(np.linalg.eigvalsh((curvature + curvature.T) / 2)[0] > 1 / PRIOR_SD**2)


def _best(loss: Loss, starts: Sequence[Floats] | Floats, box: Floats, size: float) -> Floats:
    """The lowest end of the descents (L-BFGS-B) from all starts, the loss divided by its size."""

    def scaled(theta: Floats) -> tuple[float, Floats]:
        total, slopes = loss(theta)
        return total / size, slopes / size

    options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8}
    with threadpool_limits(1, user_api="blas"):  # four numbers: threads would only wait for each other
        ends = [minimize(scaled, start, jac=True, method="L-BFGS-B", bounds=box.T, options=options) for start in starts]
    return min(ends, key=lambda end: end.fun).x
