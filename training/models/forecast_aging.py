"""How forecasts of longer spans have aged: a model of log(actual / expected) total by span, from a log's own past.

At past cutoffs, a model of buying and leaving forecasts what its customers will spend after the horizon, up to the end
of a span, from the history of then. How far it was off is modelled as

    log(actual / expected) = level + slowing x d + noise,

where d is log(what it would be if nobody left any more / expected), so that 'slowing' says how far customers leave less
than the model says (below 0: more). Both have priors. The noise of a span has three parts: single customers, a shock
shared by all (white noise in time, such as a season's: spans have the shock of the days that they share, and in long
spans it averages out), and a drift (Brownian motion from the cutoff on), which is what no history can know and which
grows with the span. Their sizes are averaged over by the evidence (Bayesian model averaging), as in `level_forecast`.
So forecasts shrink to the prior where a log says little, and their errors grow beyond the spans that were seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL_SD = 0.25
SLOWING, SLOWING_SD = 0.4, 0.4
SHOCKS = (0.1, 0.25, 0.5)  # standard deviations of the mean over SHOCK_DAYS
SHOCK_DAYS, MOST_SHOCK = 90, 2.0  # the variance of a mean falls with the span, and is at most MOST_SHOCK times as large
DRIFTS = (0.05, 0.15, 0.4)  # standard deviations after a year
CELL = 15  # days in which time is measured
FARTHEST = 3_650  # the drift stays as it is after so many days
CHANCE = 4.0  # times the variance of single customers: who is far off is so at several cutoffs
ROUNDING = 1e-6


@dataclass(frozen=True)
class AgedForecast:
    """The forecast of a past cutoff's total after the horizon, and what came.

    Attributes:
        cutoff: In days since 1970-01-01.
        start: Days from the cutoff to the begin of the span.
        end: Days from the cutoff to its end.
        log_ratio: Log(actual total / expected total).
        slowing: d; see the module.
        variance: Of the log ratio, from single customers.
    """

    cutoff: int
    start: int
    end: int
    log_ratio: float
    slowing: float
    variance: float


@dataclass(frozen=True)
class AgingForecast:
    """The expected log(actual / expected) of future spans.

    Attributes:
        shifts: By span (t,).
        covariance: Of the errors (t, t), without the chance of single customers.
        slowing: The posterior mean of 'slowing'.
    """

    shifts: np.ndarray
    covariance: np.ndarray
    slowing: float

    @property
    def errors(self) -> np.ndarray:
        """Standard deviations (t,)."""
        return np.sqrt(np.diag(self.covariance))


def forecast_aging(
    past: Sequence[AgedForecast], cutoff: int, start: int, ends: Sequence[int], slowing: Sequence[float]
) -> AgingForecast:
    """Forecasts how far the forecasts of a new cutoff will be off.

    Args:
        past: Forecasts whose outcomes are known; may be none.
        cutoff: The new cutoff, in days since 1970-01-01.
        start: Days from it to the begin of all spans.
        ends: Days from it to the ends of the spans (t,).
        slowing: d of each span (t,).

    Returns:
        The forecast.

    >>> far = forecast_aging((), 0, 90, (365, 1095), (0.2, 0.6))
    >>> far.shifts.round(2).tolist(), far.errors.round(1).tolist()
    ([0.08, 0.24], [0.4, 0.5])
    >>> seen = [AgedForecast(day, 90, 365, -0.3, 0.2, 1e-3) for day in range(-1800, -360, 180)]
    >>> bool(forecast_aging(seen, 0, 90, (365,), (0.2,)).shifts[0] < -0.2)
    True
    """
    known = len(past)
    spans = [(p.cutoff, p.start, p.end) for p in past] + [(cutoff, start, end) for end in ends]
    design = np.array([[1.0, p.slowing] for p in past] + [[1.0, d] for d in slowing] + [[0.0, 1.0]])
    prior_mean = design @ np.array([0.0, SLOWING])
    prior = design @ np.diag([LEVEL_SD**2, SLOWING_SD**2]) @ design.T
    shock, drift = (np.pad(part, (0, 1)) for part in _noise(spans))
    off = np.array([p.log_ratio for p in past]) - prior_mean[:known]
    chance = np.diag([CHANCE * p.variance + ROUNDING for p in past]) if past else np.empty((0, 0))
    means, covariances, evidence = [], [], []
    for shock_sd in SHOCKS:
        for drift_sd in DRIFTS:
            every = prior + shock_sd**2 * shock + drift_sd**2 * drift
            root = np.linalg.cholesky(every[:known, :known] + chance)
            seen, gain = np.linalg.solve(root, off), np.linalg.solve(root, every[:known, known:])
            means.append(prior_mean[known:] + gain.T @ seen)
            covariances.append(every[known:, known:] - gain.T @ gain)
            evidence.append(-float(seen @ seen) / 2 - float(np.log(np.diag(root)).sum()))
    weight = np.exp(np.array(evidence) - max(evidence))
    weight /= weight.sum()
    mean = weight @ np.array(means)
    between = [c + np.outer(m - mean, m - mean) for c, m in zip(covariances, means, strict=True)]
    whole = np.tensordot(weight, np.array(between), axes=1)
    return AgingForecast(mean[:-1], whole[:-1, :-1], float(mean[-1]))


def _noise(spans: Sequence[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """The covariances (k, k) of the shocks and of the drifts of spans: cutoff, start and end in days."""
    first = min(cutoff for cutoff, _, _ in spans)
    last = max(cutoff + min(end, FARTHEST) for cutoff, _, end in spans)
    edges = first + CELL * np.arange(-(-(last - first) // CELL) + 1)
    shocks, drifts = [], []
    for cutoff, start, end in spans:
        low, high = cutoff + min(start, FARTHEST - CELL), cutoff + min(end, FARTHEST)
        inside = np.clip(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0, None) / (high - low)
        shocks.append(inside / np.sqrt(inside @ inside) * np.sqrt(min(MOST_SHOCK, SHOCK_DAYS / (high - low))))
        drifts.append(np.where(edges[:-1] >= cutoff - CELL / 2, np.cumsum(inside[::-1])[::-1], 0.0))
    shock, drift = np.array(shocks), np.array(drifts) * np.sqrt(CELL / 365.0)
    return np.einsum("ik,jk->ij", shock, shock), np.einsum("ik,jk->ij", drift, drift)
