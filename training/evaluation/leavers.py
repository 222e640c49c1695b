"""Expected against observed leavers of a cutoff: their number with a prediction interval, and their tenths by risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import logit

from features.task import Window
from training.artifact.margin import SURE
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.evaluate import OURS, Evaluation
from training.models.calibration import LaterCutoffs
from training.models.level_forecast import churn_levels, unknown_level

if TYPE_CHECKING:
    from training.models.base_models import OutOfTimeFold

EXPECTED, OBSERVED = "expected_leavers", "observed_leavers"
COLUMNS = ["model", "metric", "value", "low", "high", "cutoff", "segment", "customers"]


def evaluate_leavers(
    churn: np.ndarray, truth: Sample, cutoff: date, earlier: Sequence[tuple[OutOfTimeFold, Prediction]],
    horizon: Window, inside: float,
) -> Evaluation:  # fmt: skip
    """The expected number of leavers with its prediction interval, and the observed number, as metrics.

    Args:
        churn: Predicted probability (n,) of churn.
        truth: The customers of the cutoff (n rows).
        cutoff: The cutoff.
        earlier: Out-of-time predictions at earlier cutoffs, which show how far the level of churn moves.
        horizon: Of the labels.
        inside: The probability that the interval holds the observed number, in (0, 1).

    Returns:
        An evaluation with these two metrics only; `low` and `high` are the ends of the prediction interval.
    """
    observed = float(truth.churned.sum())
    ends = {
        EXPECTED: leavers_interval(churn, _level_error(earlier, cutoff, horizon, inside), inside),
        OBSERVED: (observed, observed),
    }
    values = {EXPECTED: float(churn.sum()), OBSERVED: observed}
    rows = [(OURS, name, values[name], *ends[name], cutoff, "all", len(truth)) for name in values]
    return Evaluation(pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame(), pd.DataFrame())


def leavers_interval(churn: np.ndarray, level_error: float, inside: float) -> tuple[float, float]:
    """The prediction interval of the number of leavers, by the normal approximation.

    It covers the chance of each customer and the error of the level, which all of them share.

    Args:
        churn: Predicted probability (n,) of churn.
        level_error: Standard deviation of the log-odds of churn around the predicted ones, common to all customers.
        inside: The probability that the interval holds the number, in (0, 1).

    Returns:
        Lower and upper end, between 0 and n.

    >>> [round(end, 1) for end in leavers_interval(np.full(100, 0.5), 0.0, 0.8)]
    [43.6, 56.4]
    """
    variance = float((churn * (1 - churn)).sum())
    error = NormalDist().inv_cdf((1 + inside) / 2) * float(np.sqrt(variance + (level_error * variance) ** 2))
    total = float(churn.sum())
    return max(0.0, total - error), min(float(len(churn)), total + error)


def leaver_lines(evaluation: Evaluation, cutoff: date, inside: float) -> list[str]:
    """Expected and observed leavers, together and by tenths of the customers, as lines for a terminal.

    Args:
        evaluation: Of the cutoff.
        cutoff: The cutoff.
        inside: The probability that the prediction interval holds the observed number.

    Returns:
        The lines; none if leavers were not evaluated.
    """
    rows = _figures(evaluation, cutoff)
    if EXPECTED not in rows:
        return []
    expected, total = rows[EXPECTED], rows.get("total_error")
    error = f"; error of the total value {total['value']:+.1%}" if total else ""
    lines = [
        f"leavers: {expected['value']:,.0f} expected ({inside:.0%} prediction interval {expected['low']:,.0f} to "
        f"{expected['high']:,.0f}), {rows[OBSERVED]['value']:,.0f} observed{error}"
    ]
    tenths = leavers_by_tenth(evaluation, cutoff)
    if len(tenths):
        lines.append("in tenths of the customers, from the lowest predicted risk (1) to the highest (10):")
        for title, cells in (("tenth", tenths.group), ("expected", tenths.predicted), ("observed", tenths.actual)):
            lines.append(f"  {title:<10}" + "".join(f"{cell:>8,.0f}" for cell in cells))
    return lines


def leavers_by_tenth(evaluation: Evaluation, cutoff: date) -> pd.DataFrame:
    """Customers with expected (`predicted`) and observed (`actual`) leavers in ten equal groups by predicted risk."""
    groups = evaluation.groups
    of_all = groups[(groups.cutoff == cutoff) & (groups.number == "churn") & (groups.segment == "all")]
    numbers = {name: of_all[name] * of_all.customers for name in ("predicted", "actual")}
    return of_all[["group", "customers"]].assign(**numbers)


def _figures(evaluation: Evaluation, cutoff: date) -> Mapping[str, dict[str, Any]]:
    """Our metrics of all customers at a cutoff, by name."""
    m = evaluation.metrics
    rows = m[(m.model == OURS) & (m.segment == "all") & (m.cutoff == cutoff)]
    return {row["metric"]: row for row in rows.to_dict("records")}


def _level_error(
    earlier: Sequence[tuple[OutOfTimeFold, Prediction]], cutoff: date, horizon: Window, inside: float
) -> float:
    """Standard deviation of the log-odds of churn around predicted ones, as the level of a cutoff is forecast."""
    if not earlier:
        return unknown_level(horizon, inside).error
    margins = [logit(np.clip(prediction.churn, SURE, 1 - SURE)) for _, prediction in earlier]
    churned = np.concatenate([fold.truth.churned for fold, _ in earlier])
    cutoffs = LaterCutoffs(tuple(fold.fold.test for fold, _ in earlier), cutoff, horizon, inside)
    return cutoffs.forecast(churn_levels(np.concatenate(margins), churned, cutoffs.dates(margins))).error
