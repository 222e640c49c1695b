"""Every metric with an interval, by cutoff and by segment, and paired comparisons with the ladder.

Intervals are percentile bootstraps over customers (Efron, Annals of Statistics 7, 1979); models are compared on the
same resamples, so that what they share cancels out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from training.baselines import Prediction
from training.metrics import GROUPS, Figures, churn_metrics, value_metrics
from training.split import Sample

OURS = "regulars"
LEVEL = 0.95
MOST_DRAWS, BLOCK = 60_000_000, 2_000_000
FEWEST = 30
BETTER_HIGH = frozenset({"auc", "average_precision", "spearman", "gini"})


@dataclass(frozen=True)
class Evaluation:
    """Metrics and paired differences as tables.

    Attributes:
        metrics: model, metric, value, low, high, cutoff, segment, customers.
        differences: metric, against, difference (ours less theirs; of sizes for total_error), low, high, cutoff.
        groups: number ('churn' or 'value'), group (1 to 10, 10 the highest prediction), customers, predicted and actual
            (means), cutoff: ten equal groups of customers by our prediction.
    """

    metrics: pd.DataFrame
    differences: pd.DataFrame
    groups: pd.DataFrame

    def of(self, metric: str, model: str = OURS, segment: str = "all") -> dict[str, Any]:
        """The row of one metric at the last cutoff; raises KeyError where it was not measured."""
        m = self.metrics
        rows = m[(m.metric == metric) & (m.model == model) & (m.segment == segment)]
        if rows.empty:
            raise KeyError(f"{metric} of {model} in {segment} was not measured")
        return rows.sort_values("cutoff").iloc[-1].to_dict()


def evaluate(
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
    for segment, mask in (segments or {}).items():
        if mask.sum() >= FEWEST:
            ours, inside = predictions[OURS], truth.take(mask)
            part = Prediction(ours.churn[mask], None if ours.value is None else ours.value[mask])
            rows += _rows(OURS, _figures(part, inside, seed, resamples), segment, len(inside))
    return Evaluation(_table(rows, cutoff), _differences(figures, cutoff), groups(predictions[OURS], truth, cutoff))


def groups(ours: Prediction, truth: Sample, cutoff: date) -> pd.DataFrame:
    """Mean predicted and mean actual churn and value in ten equal groups by prediction."""
    rows = []
    for number, said, came in (("churn", ours.churn, truth.churned), ("value", ours.value, truth.spend)):
        if said is None:
            continue
        for place, inside in enumerate(np.array_split(np.argsort(said, kind="stable"), GROUPS), start=1):
            if len(inside):
                means = {"predicted": float(said[inside].mean()), "actual": float(came[inside].mean())}
                rows.append({"number": number, "group": place, "customers": len(inside), **means, "cutoff": cutoff})
    return pd.DataFrame(rows, columns=["number", "group", "customers", "predicted", "actual", "cutoff"])


def coverage(
    truth: Sample, low: np.ndarray, high: np.ndarray, cutoff: date, *, seed: int, resamples: int
) -> Evaluation:
    """Share of customers whose value came inside [low, high] (n,), with its interval."""
    inside = ((truth.spend >= low) & (truth.spend <= high)).astype(float)
    found = _over_draws(len(truth), seed, resamples, lambda w: {"coverage": (w @ inside) / w.sum(axis=1)})
    table = _table(_rows(OURS, found, "all", len(truth)), cutoff)
    return Evaluation(table, _differences({OURS: found}, cutoff), groups(Prediction(inside[:0], None), truth, cutoff))


def together(parts: Sequence[Evaluation]) -> Evaluation:
    """Several evaluations as one, in their order."""

    def stacked(name: str) -> pd.DataFrame:
        tables = [getattr(part, name) for part in parts]
        return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)

    return Evaluation(stacked("metrics"), stacked("differences"), stacked("groups"))


def _figures(p: Prediction, truth: Sample, seed: int, resamples: int) -> Figures:
    """Every metric (1 + resamples,): the plain figure first."""

    def measure(weights: np.ndarray) -> Figures:
        found = churn_metrics(truth.churned, p.churn, weights)
        return found if p.value is None else found | value_metrics(truth.spend, p.value, weights)

    return _over_draws(len(truth), seed, resamples, measure)


def _over_draws(n: int, seed: int, resamples: int, measure: Any) -> Figures:
    """A measure of weights of one, then of resamples drawn from the seed, block by block."""
    blocks = [measure(np.ones((1, n))), *(measure(weights) for weights in _draws(n, seed, resamples))]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _draws(n: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    left = int(np.clip(MOST_DRAWS // max(n, 1), min(50, resamples), resamples))
    while left > 0:
        count = min(left, max(1, BLOCK // n))
        yield np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(count)]).astype(float)
        left -= count


def _rows(model: str, figures: Figures, segment: str, customers: int) -> list[dict[str, Any]]:
    return [
        {"model": model, "metric": metric, **_interval(figure, "value"), "segment": segment, "customers": customers}
        for metric, figure in figures.items()
        if np.isfinite(figure[0])
    ]


def _interval(figure: np.ndarray, name: str) -> dict[str, float]:
    """The plain figure and the percentile interval of its resamples."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(figure[1:], [tail, 100 - tail])
    return {name: float(figure[0]), "low": float(low), "high": float(high)}


def _table(rows: list[dict[str, Any]], cutoff: date) -> pd.DataFrame:
    order = ["model", "metric", "value", "low", "high", "cutoff", "segment", "customers"]
    return pd.DataFrame([{**row, "cutoff": cutoff} for row in rows], columns=order)


def _differences(figures: Mapping[str, Figures], cutoff: date) -> pd.DataFrame:
    rows = []
    for other in (name for name in figures if name != OURS):
        for metric, ours in figures[OURS].items():
            theirs = figures[other].get(metric)
            if theirs is None or not np.isfinite(ours[0] - theirs[0]):
                continue
            gap = np.abs(ours) - np.abs(theirs) if metric == "total_error" else ours - theirs
            rows.append({"metric": metric, "against": other, **_interval(gap, "difference"), "cutoff": cutoff})
    return pd.DataFrame(rows, columns=["metric", "against", "difference", "low", "high", "cutoff"])
