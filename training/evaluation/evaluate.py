"""Metrics with confidence intervals, by cutoff and by segment, and paired comparisons with the baselines.

Intervals are percentile bootstraps over customers (Efron, Annals of Statistics 7, 1979). Models are compared on the
same resamples, so the noise that they share cancels out. Metrics that sum absolute gaps grow with noise, and
resampling adds noise: their resamples are shifted so that their mean is the estimate on the data itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd

from features.task import Window
from training.data.category_levels import text_columns
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.metrics import BEST, GROUPS, Figures, churn_metrics, distance_from_best, value_metrics
from training.side_by_side import run_side_by_side

OURS, ALL = "regulars", "all"  # our model; the segment of all customers
CONFIDENCE = 0.95
MAX_WEIGHTS, WEIGHTS_PER_BLOCK = 12_000_000, 600_000  # blocks that fit into the processor's cache take half the time
MIN_SEGMENT_SIZE, MAX_SEGMENTS, MAX_SEGMENT_LEVELS = 30, 12, 6
MIN_GROUP_SIZE = 10
HIGHER_IS_BETTER = frozenset({"auc", "average_precision", "resolution", "spearman", "gini"})
RECENTRED = frozenset({"reliability", "resolution", "calibration_error", "decile_error"})
NOT_COMPARED = frozenset({"uncertainty", "within_groups", "coverage"})  # for these, neither more nor less is better


@dataclass(frozen=True)
class Evaluation:
    """Metrics and paired differences as tables.

    Attributes:
        metrics: model, metric, value, low, high, cutoff, segment, customers.
        differences: metric, against, difference (our model minus the baseline; of distances from the best value for
            total error and recalibration metrics), low, high, cutoff.
        groups: number ('churn', 'value' or 'covered'), group (1 to 10, 10 the highest prediction), customers, predicted
            and actual (means), low and high (of the actual mean), cutoff, segment: see `calibration_groups`.
    """

    metrics: pd.DataFrame
    differences: pd.DataFrame
    groups: pd.DataFrame

    def row(self, metric: str, model: str = OURS, segment: str = "all") -> dict[str, Any]:
        """The row of one metric at the last cutoff.

        Args:
            metric: The metric's name.
            model: 'regulars' or a baseline.
            segment: 'all' or a segment.

        Returns:
            The row of `metrics` as a dictionary.

        Raises:
            KeyError: The metric was not measured.
        """
        m = self.metrics
        rows = m[(m.metric == metric) & (m.model == model) & (m.segment == segment)]
        if rows.empty:
            raise KeyError(f"{metric} of {model} in {segment} was not measured")
        return rows.sort_values("cutoff").iloc[-1].to_dict()

    def to_pandas(self) -> pd.DataFrame:
        """The metrics: model, metric, value, low, high, cutoff, segment, customers."""
        return self.metrics


def evaluate_predictions(
    predictions: Mapping[str, Prediction],
    truth: Sample,
    cutoff: date,
    *,
    seed: int,
    resamples: int,
    segments: Mapping[str, np.ndarray] | None = None,
) -> Evaluation:
    """Computes all metrics of all models at one cutoff, with intervals and paired differences to our model.

    Args:
        predictions: By model; ours is called 'regulars'.
        truth: The cutoff's customers (n rows).
        cutoff: The cutoff.
        seed: Of the resampling.
        resamples: Number of resamples of customers; fewer if there are very many customers.
        segments: Masks (n,) by name; measured for our model only. Segments of fewer than 30 customers are left out.

    Returns:
        Metrics, differences and calibration groups.
    """
    parts = {ALL: (predictions[OURS], truth)}
    for segment, mask in (segments or {}).items():
        if mask.sum() >= MIN_SEGMENT_SIZE:
            parts[segment] = predictions[OURS].take(mask), truth.take(mask)
    measured = {
        **{(name, ALL): (prediction, truth) for name, prediction in predictions.items()},
        **{(OURS, segment): part for segment, part in parts.items()},
    }
    results = run_side_by_side([partial(_bootstrap_metrics, *part, seed, resamples) for part in measured.values()])
    figures = dict(zip(measured, results, strict=True))
    groups = run_side_by_side(
        [
            partial(calibration_groups, *part, cutoff, seed=seed, resamples=resamples, segment=segment)
            for segment, part in parts.items()
        ]
    )
    rows = [
        row
        for (name, segment), metrics in figures.items()
        for row in _metric_rows(name, metrics, segment, len(measured[name, segment][1]))
    ]
    of_all = {name: metrics for (name, segment), metrics in figures.items() if segment == ALL}
    return Evaluation(_metric_table(rows, cutoff), _differences(of_all, cutoff), pd.concat(groups, ignore_index=True))


def evaluation_segments(truth: Sample, horizon: Window) -> dict[str, np.ndarray]:
    """The segments of an evaluation: masks (n,) by name, at most 12, each of at least 30 customers.

    New and established customers, the lifecycle stages, then the levels (null: 'unknown') of each other text feature
    with at most six levels, such as a plan or a favourite channel. A segment that equals another, or that includes
    everyone, is left out.
    """
    new = truth.column("tenure_days") <= horizon.days
    masks = {"new within a horizon": new, "established": ~new}
    names = text_columns(truth.features)
    for name in sorted(names, key=lambda n: n != "lifecycle"):
        column = np.array([str(v) for v in truth.features[name].fill_null("unknown").to_pylist()])
        levels, counts = np.unique(column, return_counts=True)
        if len(levels) <= MAX_SEGMENT_LEVELS:
            order = levels[np.argsort(-counts, kind="stable")]
            masks |= {f"{name.replace('_', ' ')}: {level}": column == level for level in order}
    kept: dict[str, np.ndarray] = {}
    for segment, mask in masks.items():
        if MIN_SEGMENT_SIZE <= mask.sum() < len(truth) and not any(np.array_equal(mask, m) for m in kept.values()):
            kept[segment] = mask
    return dict(list(kept.items())[:MAX_SEGMENTS])


def calibration_groups(
    ours: Prediction, truth: Sample, cutoff: date, *, seed: int, resamples: int, segment: str = "all"
) -> pd.DataFrame:
    """Mean predicted and actual churn and value in equal groups by prediction, and the coverage of intervals.

    There are ten groups, fewer in a segment with fewer than ten customers for each. If there are prediction intervals,
    the number 'covered' is the share of customers whose value lies inside theirs, in groups by predicted value; its
    `predicted` is the nominal coverage.

    Args:
        ours: Our predictions.
        truth: The customers (n rows).
        cutoff: The cutoff.
        seed: Of the resampling.
        resamples: See `evaluate_predictions`.
        segment: The name of the segment that these customers are.

    Returns:
        See `Evaluation.groups`; the confidence interval is of the actual mean.
    """
    group_count = GROUPS if segment == "all" else min(GROUPS, max(1, len(truth) // MIN_GROUP_SIZE))
    numbers = {"churn": (ours.churn, ours.churn, truth.churned)}
    if ours.value is not None:
        numbers["value"] = (ours.value, ours.value, truth.spend)
    if ours.value is not None and ours.interval is not None:
        numbers["covered"] = (ours.value, np.full(len(truth), ours.interval.inside), ours.interval.covers(truth.spend))
    rows = []
    for number, (by, predicted, actual_values) in numbers.items():
        parts = [part for part in np.array_split(np.argsort(by, kind="stable"), group_count) if len(part)]
        means = _bootstrap(len(truth), seed, resamples, lambda w, x=actual_values, p=parts: _group_means(x, p, w))
        for place, inside in enumerate(parts, start=1):
            actual = percentile_interval(means[str(place)], "actual")
            group = {
                "number": number,
                "group": place,
                "customers": len(inside),
                "predicted": float(predicted[inside].mean()),
            }
            rows.append(group | actual)
    order = ["number", "group", "customers", "predicted", "actual", "low", "high"]
    return pd.DataFrame(rows, columns=order).assign(cutoff=cutoff, segment=segment)


def _group_means(x: np.ndarray, parts: Sequence[np.ndarray], weights: np.ndarray) -> Figures:
    """Means (b,) of x (n,) in each part, by the part's number; NaN if a resample has no customer of the part."""
    means = {}
    for place, part in enumerate(parts, start=1):
        w = weights[:, part]
        size = w.sum(axis=1)
        means[str(place)] = (w @ x[part]) / np.where(size > 0, size, np.nan)
    return means


def evaluate_coverage(
    truth: Sample, low: np.ndarray, high: np.ndarray, cutoff: date, *, seed: int, resamples: int
) -> Evaluation:
    """The share of customers whose value lies in their prediction interval, with its confidence interval.

    Args:
        truth: The customers (n rows).
        low: Lower ends (n,).
        high: Upper ends (n,).
        cutoff: The cutoff.
        seed: Of the resampling.
        resamples: See `evaluate_predictions`.

    Returns:
        An evaluation with the metric 'coverage' only.
    """
    inside = ((truth.spend >= low) & (truth.spend <= high)).astype(float)
    coverage = _bootstrap(len(truth), seed, resamples, lambda w: {"coverage": (w @ inside) / w.sum(axis=1)})
    table = _metric_table(_metric_rows(OURS, coverage, "all", len(truth)), cutoff)
    no_predictions = Prediction(inside[:0], None)
    deciles = calibration_groups(no_predictions, truth, cutoff, seed=seed, resamples=resamples)
    return Evaluation(table, _differences({OURS: coverage}, cutoff), deciles)


def concat_evaluations(parts: Sequence[Evaluation]) -> Evaluation:
    """Concatenates evaluations in their order."""

    def stacked(name: str) -> pd.DataFrame:
        tables = [getattr(part, name) for part in parts]
        return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)

    return Evaluation(stacked("metrics"), stacked("differences"), stacked("groups"))


def weighted_metrics(prediction: Prediction, truth: Sample, weights: np.ndarray) -> Figures:
    """Computes every metric of a prediction for many resamples.

    Args:
        prediction: The prediction.
        truth: The customers (n rows).
        weights: Weights (b, n) of the customers, a row for each resample.

    Returns:
        Figures (b,) by metric.
    """
    metrics = churn_metrics(truth.churned, prediction.churn, weights)
    if prediction.value is not None:
        metrics |= value_metrics(truth.spend, prediction.value, weights)
    if prediction.interval is not None:
        metrics["coverage"] = (weights @ prediction.interval.covers(truth.spend)) / weights.sum(axis=1)
    return metrics


def _bootstrap_metrics(prediction: Prediction, truth: Sample, seed: int, resamples: int) -> Figures:
    """Every metric (1 + resamples,), the estimate on the data itself first."""
    return _bootstrap(len(truth), seed, resamples, lambda weights: weighted_metrics(prediction, truth, weights))


def _bootstrap(n: int, seed: int, resamples: int, statistic: Any) -> Figures:
    """A statistic of the data itself (weights of one), then of resamples, block by block."""
    blocks = [statistic(np.ones((1, n))), *(statistic(weights) for weights in bootstrap_weights(n, seed, resamples))]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def bootstrap_weights(n: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Draws bootstrap resamples of customers as weights.

    Args:
        n: Number of customers.
        seed: Of the drawing.
        resamples: Number of resamples; fewer if there are very many customers.

    Yields:
        Weights (b, n) of a block of resamples: how often each customer was drawn.
    """
    count = int(np.clip(MAX_WEIGHTS // max(n, 1), min(50, resamples), resamples))
    draws, size = _draw_customers(n, seed, count), max(1, WEIGHTS_PER_BLOCK // n)
    for start in range(0, count, size):
        yield draws[start : start + size].astype(float)


@lru_cache(maxsize=4)
def _draw_customers(n: int, seed: int, resamples: int) -> np.ndarray:
    """How often (b, n) each customer is drawn; kept, because all models are measured on the same resamples."""
    rng = np.random.default_rng(seed)
    counts = (np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(resamples))
    return np.stack([count.astype(np.uint8) for count in counts])  # more than 255 times happens to nobody


def _metric_rows(model: str, figures: Figures, segment: str, customers: int) -> list[dict[str, Any]]:
    return [
        {
            "model": model,
            "metric": metric,
            **percentile_interval(
                figure, "value", centred=metric in RECENTRED, least=0.0 if metric in RECENTRED else -np.inf
            ),
            "segment": segment,
            "customers": customers,
        }
        for metric, figure in figures.items()
        if np.isfinite(figure[0])
    ]


def percentile_interval(
    figures: np.ndarray, name: str, *, centred: bool = False, least: float = -np.inf
) -> dict[str, float]:
    """An estimate with its percentile bootstrap interval.

    Args:
        figures: (1 + b,) the estimate on the data itself, then those of the resamples.
        name: The key for the estimate.
        centred: Whether to shift the resamples so that their mean is the estimate.
        least: Lower bound of the interval's ends.

    Returns:
        The estimate under `name`, 'low' and 'high'.
    """
    tail, resamples = 100 * (1 - CONFIDENCE) / 2, figures[1:]
    moved = resamples - (np.nanmean(resamples) - figures[0]) if centred else resamples
    low, high = np.maximum(np.nanpercentile(moved, [tail, 100 - tail]), least)
    return {name: float(figures[0]), "low": float(low), "high": float(high)}


def _metric_table(rows: list[dict[str, Any]], cutoff: date) -> pd.DataFrame:
    order = ["model", "metric", "value", "low", "high", "cutoff", "segment", "customers"]
    return pd.DataFrame([{**row, "cutoff": cutoff} for row in rows], columns=order)


def _differences(figures: Mapping[str, Figures], cutoff: date) -> pd.DataFrame:
    rows = []
    for other in (name for name in figures if name != OURS):
        for metric, ours in figures[OURS].items():
            theirs = figures[other].get(metric)
            if metric in NOT_COMPARED or theirs is None or not np.isfinite(ours[0] - theirs[0]):
                continue
            gap = distance_from_best(metric, ours) - distance_from_best(metric, theirs)
            ends = percentile_interval(gap, "difference", centred=metric in RECENTRED or metric in BEST)
            rows.append({"metric": metric, "against": other, **ends, "cutoff": cutoff})
    return pd.DataFrame(rows, columns=["metric", "against", "difference", "low", "high", "cutoff"])
