"""Evaluates when customers return: the curve by day, the interval of the next purchase, and the error of its date.

Dates are compared among those who did return within the days that were seen, so each model's date is the median of its
curve given such a return. The customer's own rhythm says: the last order plus the usual gap; without a usual gap that
of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from features.config.load import Config
from training.artifact.bundle import ModelBundle
from training.artifact.return_hazard import ReturnCurves
from training.data.time_split import ReturnTimes, Sample
from training.evaluation.baselines import btyd_curves
from training.evaluation.evaluate import OURS, Evaluation, bootstrap_weights, percentile_interval
from training.evaluation.leavers import COLUMNS

OWN_RHYTHM, BTYD = "own rhythm", "BG/NBD"
DATE_ERRORS = {OURS: "date_error", OWN_RHYTHM: "date_error_own_rhythm", BTYD: "date_error_btyd"}
SURE = 1e-6


@dataclass(frozen=True)
class CurveFigure:
    """A curve of returning at one day, expected and observed.

    Attributes:
        days: Days after the cutoff.
        customers: How many were seen for so long.
        expected: Mean probability of a purchase before so many days had passed.
        observed: Share with a purchase before.
        slope: Calibration slope: of the logistic regression of the outcome on the log-odds; 1 is best.
        slope_error: Its standard error.
        brier: Brier score.
    """

    days: int
    customers: int
    expected: float
    observed: float
    slope: float
    slope_error: float
    brier: float


def curve_figures(curves: ReturnCurves, returns: ReturnTimes, days: int) -> CurveFigure | None:
    """The curve at one day, expected and observed.

    Args:
        curves: Of n customers.
        returns: When they returned.
        days: Days after the cutoff.

    Returns:
        The figure; None if nobody was seen for so long, or if all or none returned.
    """
    seen = returns.seen >= days
    returned = (np.nan_to_num(returns.days, nan=np.inf) < days)[seen].astype(float)
    if not len(returned) or returned.min() == returned.max():
        return None
    p = curves.returned_by(days)[seen]
    slope, error = calibration_slope(p, returned)
    brier = float(np.mean((p - returned) ** 2))
    return CurveFigure(days, int(seen.sum()), float(p.mean()), float(returned.mean()), slope, error, brier)


def date_errors(
    curves: Mapping[str, ReturnCurves], truth: Sample, returns: ReturnTimes, days: int
) -> dict[str, np.ndarray]:
    """Absolute errors in days of the date of the next purchase, of those who made one before `days` had passed.

    Args:
        curves: By model, of n customers.
        truth: Their features.
        returns: When they returned.
        days: Days after the cutoff.

    Returns:
        Errors (m,) by model, and those of the customer's own rhythm.
    """
    returned = np.nan_to_num(returns.days, nan=np.inf) < days
    dates = {name: c.take(returned).median_day_if_within(days) for name, c in curves.items()}
    dates[OWN_RHYTHM] = own_rhythm_days(truth)[returned].clip(0, days - 1)
    return {name: np.abs(day - returns.days[returned]) for name, day in dates.items()}


def own_rhythm_days(truth: Sample) -> np.ndarray:
    """Days until the next order (n,) if customers order after their usual gap; below 0 where that day has passed."""
    gap = truth.column("gap_median_days")
    usual = float(np.nanmedian(gap)) if np.isfinite(gap).any() else 0.0
    return np.where(np.isfinite(gap), gap, usual) - truth.column("recency_days")


def evaluate_return_times(bundle: ModelBundle, truth: Sample, cutoff: date, config: Config) -> list[Evaluation]:
    """Evaluates the curve of returning at one cutoff, as far as it was seen.

    Args:
        bundle: A model with a hazard of returning, fitted on what was known at the cutoff.
        truth: The cutoff's customers (n rows).
        cutoff: The cutoff.
        config: Seed and number of resamples of customers.

    Returns:
        An evaluation with metrics such as 'returned_7d' (observed minus expected share), 'curve_slope_7d' and
        'date_error' (median absolute error in days; 'date_error_own_rhythm' and 'date_error_btyd' are those of the
        simpler dates); none without a hazard.
    """
    curves, returns = bundle.return_curves(truth.features), truth.returns
    if curves is None or returns is None or bundle.returns is None:
        return []
    horizon, settings = bundle.returns.horizon, config.training
    rows: list[dict[str, Any]] = []
    for days in bundle.returns.marks:
        if (figure := curve_figures(curves, returns, days)) is not None:
            rows += _curve_rows(figure)
    both = {OURS: curves, BTYD: btyd_curves(truth, curves.days)}
    for name, errors in date_errors(both, truth, returns, horizon).items():
        if len(errors):
            medians = np.array([np.median(errors), *_resampled_medians(errors, settings.seed, settings.bootstrap)])
            rows.append(_row(DATE_ERRORS[name], len(errors), **percentile_interval(medians, "value")))
    return [Evaluation(pd.DataFrame(rows, columns=COLUMNS).assign(cutoff=cutoff), pd.DataFrame(), pd.DataFrame())]


def return_time_lines(evaluation: Evaluation, cutoff: date) -> list[str]:
    """The curve, expected and observed, and the error of the date, as lines for a terminal; none if not evaluated."""
    m = evaluation.metrics
    rows = m[(m.cutoff == cutoff) & (m.segment == "all")]
    ours = rows[rows.model == OURS].set_index("metric").value
    days = [name.removeprefix("returned_expected_") for name in ours.index if name.startswith("returned_expected_")]
    if not days:
        return []
    lines = [f"{'returned within':<20}" + "".join(f"{d[:-1] + ' days':>12}" for d in days)]
    for title, metric, form in (
        ("  expected", "returned_expected", ".1%"),
        ("  observed", "returned_observed", ".1%"),
        ("  calibration slope", "curve_slope", ".2f"),
    ):
        lines.append(f"{title:<20}" + "".join(f"{ours[f'{metric}_{d}']:>12{form}}" for d in days))
    errors = rows[rows.model == OURS].set_index("metric")
    if DATE_ERRORS[OURS] in errors.index:
        ends = errors.loc[DATE_ERRORS[OURS]]
        others = ", ".join(f"{errors.value[DATE_ERRORS[name]]:.1f} {name}" for name in (OWN_RHYTHM, BTYD))
        lines.append(
            f"date of the next purchase: median error {ends.value:.1f} days ({ends.low:.1f} to {ends.high:.1f}) of "
            f"{int(ends.customers):,} customers who returned within the horizon; {others}"
        )
    return lines


def _curve_rows(figure: CurveFigure) -> list[dict[str, Any]]:
    share_error = 1.96 * float(np.sqrt(figure.observed * (1 - figure.observed) / figure.customers))
    values = {
        "returned_expected": (figure.expected, 0.0),
        "returned_observed": (figure.observed, share_error),
        "curve_slope": (figure.slope, 1.96 * figure.slope_error),
    }
    return [
        _row(f"{name}_{figure.days}d", figure.customers, value=value, low=value - error, high=value + error)
        for name, (value, error) in values.items()
    ]


def _row(metric: str, customers: int, **ends: float) -> dict[str, Any]:
    return {"model": OURS, "metric": metric, "segment": "all", "customers": customers, **ends}


def calibration_slope(p: np.ndarray, returned: np.ndarray) -> tuple[float, float]:
    """The slope of the logistic regression of outcomes (n,) on log-odds, and its standard error; by Newton's method."""
    Z = np.column_stack([np.ones(len(p)), logit(np.clip(p, SURE, 1 - SURE))])
    b, information = np.array([0.0, 1.0]), np.eye(2)
    for _ in range(25):
        q = expit(Z @ b)
        information = (Z * (q * (1 - q))[:, None]).T @ Z + SURE * np.eye(2)
        step = np.clip(np.linalg.solve(information, Z.T @ (returned - q)), -1, 1)
        b = b + step
        if np.abs(step).max() < 1e-9:
            break
    return float(b[1]), float(np.sqrt(np.linalg.inv(information)[1, 1]))


def _resampled_medians(errors: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Medians of resamples of the errors (n,), by their counts in ascending order."""
    ordered = np.sort(errors)
    medians = [
        ordered[(np.cumsum(weights, axis=1) >= len(errors) / 2).argmax(axis=1)]
        for weights in bootstrap_weights(len(errors), seed, resamples)
    ]
    return np.concatenate(medians)
