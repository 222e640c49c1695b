"""Every metric with an interval, by cutoff and by segment, and paired comparisons with the ladder.

Intervals are percentile bootstraps over customers (Efron, Annals of Statistics 7, 1979); models are compared on the
same resamples, so that what they share cancels out. Figures that add up the sizes of gaps grow with noise, and
resampling adds noise to that of the customers: their resamples are moved so that their mean is the plain figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from features.task import Window
from training.data.category_levels import text_columns
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.metrics import BEST, GROUPS, Figures, churn_metrics, distance_from_best, value_metrics

OURS = "regulars"
CONFIDENCE = 0.95
MOST_DRAWS, BLOCK = 60_000_000, 2_000_000
FEWEST, MOST_SEGMENTS, FEW_LEVELS = 30, 12, 6
FEWEST_IN_GROUP = 10
HIGHER_IS_BETTER = frozenset({"auc", "average_precision", "resolution", "spearman", "gini"})
GAPS = frozenset({"reliability", "resolution", "calibration_error", "decile_error"})
NOT_COMPARED = frozenset({"uncertainty", "within_groups", "coverage"})  # no model is better for more or less of these


@dataclass(frozen=True)
class Evaluation:
    """Metrics and paired differences as tables.

    Attributes:
        metrics: model, metric, value, low, high, cutoff, segment, customers.
        differences: metric, against, difference (ours less theirs; of distances from the best for the total's error and
            the figures of recalibration), low, high, cutoff.
        groups: number ('churn' or 'value'), group (1 to 10, 10 the highest prediction), customers, predicted and actual
            (means), low and high (of the actual), cutoff, segment: equal groups of its customers by our prediction.
    """

    metrics: pd.DataFrame
    differences: pd.DataFrame
    groups: pd.DataFrame

    def row(self, metric: str, model: str = OURS, segment: str = "all") -> dict[str, Any]:
        """The row of one metric at the last cutoff; raises KeyError where it was not measured."""
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
    """All metrics of all models on one cutoff's customers, with intervals and paired differences to ours.

    Args:
        predictions: By model; ours is called 'regulars'.
        truth: The cutoff's customers.
        cutoff: Which.
        seed: Of the resampling.
        resamples: Of customers; fewer where there are very many.
        segments: Masks (n,) by name, measured for our model without differences; fewer than 30 customers are left out.
    """
    figures = {name: _figures(p, truth, seed, resamples) for name, p in predictions.items()}
    rows = [row for name, found in figures.items() for row in _rows(name, found, "all", len(truth))]
    common: dict[str, Any] = {"seed": seed, "resamples": resamples}
    deciles = [calibration_groups(predictions[OURS], truth, cutoff, **common)]
    for segment, mask in (segments or {}).items():
        if mask.sum() >= FEWEST:
            part, inside = predictions[OURS].take(mask), truth.take(mask)
            rows += _rows(OURS, _figures(part, inside, seed, resamples), segment, len(inside))
            deciles.append(calibration_groups(part, inside, cutoff, segment=segment, **common))
    return Evaluation(_table(rows, cutoff), _differences(figures, cutoff), pd.concat(deciles, ignore_index=True))


def evaluation_segments(truth: Sample, horizon: Window) -> dict[str, np.ndarray]:
    """The segments that figures are given for: masks (n,) by name, at most 12 of at least 30 customers.

    New and established customers, where they stand in their own rhythm, then the levels (null: 'unknown') of each other
    text feature with at most six of them, such as a plan or a favourite channel. A segment that another equals, and
    one that holds everyone, is left out.
    """
    new = truth.column("tenure_days") <= horizon.days
    found = {"new within a horizon": new, "established": ~new}
    names = text_columns(truth.features)
    for name in sorted(names, key=lambda n: n != "lifecycle"):
        column = np.array([str(v) for v in truth.features[name].fill_null("unknown").to_pylist()])
        levels, counts = np.unique(column, return_counts=True)
        if len(levels) <= FEW_LEVELS:
            order = levels[np.argsort(-counts, kind="stable")]
            found |= {f"{name.replace('_', ' ')}: {level}": column == level for level in order}
    kept: dict[str, np.ndarray] = {}
    for segment, mask in found.items():
        if FEWEST <= mask.sum() < len(truth) and not any(np.array_equal(mask, m) for m in kept.values()):
            kept[segment] = mask
    return dict(list(kept.items())[:MOST_SEGMENTS])


def calibration_groups(
    ours: Prediction, truth: Sample, cutoff: date, *, seed: int, resamples: int, segment: str = "all"
) -> pd.DataFrame:
    """Mean predicted and mean actual churn and value in equal groups by prediction, and what intervals held.

    There are ten groups, fewer in a segment that cannot fill them with ten customers each. The interval is of the
    actual mean. Where the prediction has intervals, the number 'covered' is the share of the customers whose value
    came inside theirs, by predicted value; `predicted` is then the share that was promised.
    """
    many = GROUPS if segment == "all" else min(GROUPS, max(1, len(truth) // FEWEST_IN_GROUP))
    numbers = {"churn": (ours.churn, ours.churn, truth.churned)}
    if ours.value is not None:
        numbers["value"] = (ours.value, ours.value, truth.spend)
    if ours.value is not None and ours.interval is not None:
        numbers["covered"] = (ours.value, np.full(len(truth), ours.interval.inside), ours.interval.covers(truth.spend))
    rows = []
    for number, (by, said, came) in numbers.items():
        parts = [part for part in np.array_split(np.argsort(by, kind="stable"), many) if len(part)]
        means = _over_draws(len(truth), seed, resamples, lambda w, x=came, p=parts: _means(x, p, w))
        for place, inside in enumerate(parts, start=1):
            actual = percentile_interval(means[str(place)], "actual")
            told = {"number": number, "group": place, "customers": len(inside), "predicted": float(said[inside].mean())}
            rows.append(told | actual)
    order = ["number", "group", "customers", "predicted", "actual", "low", "high"]
    return pd.DataFrame(rows, columns=order).assign(cutoff=cutoff, segment=segment)


def _means(x: np.ndarray, parts: Sequence[np.ndarray], weights: np.ndarray) -> Figures:
    """Means (b,) of x (n,) in parts, by their number; NaN where a resample has no one of a part."""
    found = {}
    for place, part in enumerate(parts, start=1):
        w = weights[:, part]
        size = w.sum(axis=1)
        found[str(place)] = (w @ x[part]) / np.where(size > 0, size, np.nan)
    return found


def evaluate_coverage(
    truth: Sample, low: np.ndarray, high: np.ndarray, cutoff: date, *, seed: int, resamples: int
) -> Evaluation:
    """Share of customers whose value came inside [low, high] (n,), with its interval."""
    inside = ((truth.spend >= low) & (truth.spend <= high)).astype(float)
    found = _over_draws(len(truth), seed, resamples, lambda w: {"coverage": (w @ inside) / w.sum(axis=1)})
    table = _table(_rows(OURS, found, "all", len(truth)), cutoff)
    nothing = Prediction(inside[:0], None)
    deciles = calibration_groups(nothing, truth, cutoff, seed=seed, resamples=resamples)
    return Evaluation(table, _differences({OURS: found}, cutoff), deciles)


def concat_evaluations(parts: Sequence[Evaluation]) -> Evaluation:
    """Several evaluations as one, in their order."""

    def stacked(name: str) -> pd.DataFrame:
        tables = [getattr(part, name) for part in parts]
        return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)

    return Evaluation(stacked("metrics"), stacked("differences"), stacked("groups"))


def weighted_metrics(p: Prediction, truth: Sample, weights: np.ndarray) -> Figures:
    """Every metric (b,) of a prediction under weights (b, n) of the customers."""
    found = churn_metrics(truth.churned, p.churn, weights)
    if p.value is not None:
        found |= value_metrics(truth.spend, p.value, weights)
    if p.interval is not None:
        found["coverage"] = (weights @ p.interval.covers(truth.spend)) / weights.sum(axis=1)
    return found


def _figures(p: Prediction, truth: Sample, seed: int, resamples: int) -> Figures:
    """Every metric (1 + resamples,): the plain figure first."""
    return _over_draws(len(truth), seed, resamples, lambda weights: weighted_metrics(p, truth, weights))


def _over_draws(n: int, seed: int, resamples: int, measure: Any) -> Figures:
    """A measure of weights of one, then of resamples drawn from the seed, block by block."""
    blocks = [measure(np.ones((1, n))), *(measure(weights) for weights in bootstrap_weights(n, seed, resamples))]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def bootstrap_weights(n: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Resamples of n customers as weights (b, n), block by block; fewer of them where there are very many customers."""
    rng = np.random.default_rng(seed)
    left = int(np.clip(MOST_DRAWS // max(n, 1), min(50, resamples), resamples))
    while left > 0:
        count = min(left, max(1, BLOCK // n))
        yield np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(count)]).astype(float)
        left -= count


def _rows(model: str, figures: Figures, segment: str, customers: int) -> list[dict[str, Any]]:
    return [
        {
            "model": model,
            "metric": metric,
            **percentile_interval(figure, "value", centred=metric in GAPS, least=0.0 if metric in GAPS else -np.inf),
            "segment": segment,
            "customers": customers,
        }
        for metric, figure in figures.items()
        if np.isfinite(figure[0])
    ]


def percentile_interval(
    figure: np.ndarray, name: str, *, centred: bool = False, least: float = -np.inf
) -> dict[str, float]:
    """The plain figure, which stands first, and the percentile interval of its resamples.

    Args:
        figure: The plain figure, then the resamples (1 + b,).
        name: That the plain figure is given.
        centred: Moves the resamples so that their mean is the plain figure.
        least: That there can be.
    """
    tail, resamples = 100 * (1 - CONFIDENCE) / 2, figure[1:]
    moved = resamples - (np.nanmean(resamples) - figure[0]) if centred else resamples
    low, high = np.maximum(np.nanpercentile(moved, [tail, 100 - tail]), least)
    return {name: float(figure[0]), "low": float(low), "high": float(high)}


def _table(rows: list[dict[str, Any]], cutoff: date) -> pd.DataFrame:
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
            found = percentile_interval(gap, "difference", centred=metric in GAPS or metric in BEST)
            rows.append({"metric": metric, "against": other, **found, "cutoff": cutoff})
    return pd.DataFrame(rows, columns=["metric", "against", "difference", "low", "high", "cutoff"])
