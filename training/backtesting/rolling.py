"""Evaluation at many cutoffs: metrics at each and pooled, paired differences, and counts of better cutoffs.

A customer appears at many cutoffs, and cutoffs closer than a horizon share days. So customers are resampled, each with
all of their cutoffs (a cluster bootstrap: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section
3.8), and a pooled metric is the mean over the cutoffs within one resample. What all customers share at a cutoff, such
as a season, is not resampled: for that there are the counts, also of cutoffs at least a horizon apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from features.task import Window
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.evaluate import (
    HIGHER_IS_BETTER,
    NOT_COMPARED,
    OURS,
    RECENTRED,
    bootstrap_weights,
    calibration_groups,
    percentile_interval,
    weighted_metrics,
)
from training.evaluation.metrics import BEST, Figures, distance_from_best

POOLED = "pooled"
TIE_TOLERANCE = 1e-12
Key = tuple[str, str]


@dataclass(frozen=True)
class CutoffPredictions:
    """Every model's predictions at one cutoff, with the actual outcomes.

    Attributes:
        cutoff: The cutoff; no model was fitted on a label that ends after it.
        truth: The customers with their labels.
        predictions: By model; ours is called 'regulars'.
        segments: Masks (n,) by name.
    """

    cutoff: date
    truth: Sample
    predictions: dict[str, Prediction]
    segments: dict[str, np.ndarray]


@dataclass(frozen=True)
class RollingEvaluation:
    """Metrics over cutoffs as tables; `cutoff` is a day, or 'pooled': the mean over all cutoffs.

    Attributes:
        metrics: model, metric, value, low, high, cutoff, segment, customers. Pooled metrics use the cutoffs at which
            every model could be measured. Metrics that can be off in either direction are there a second time as
            METRIC_distance: the mean of their distances from the best value.
        differences: metric, against, difference (our model minus the baseline, of distances if there are any), low,
            high, cutoff.
        grades: metric, against, better, level, cutoffs, better_apart, cutoffs_apart, grade: at how many cutoffs our
            model is better or equal, and the same for cutoffs that are at least a horizon apart.
        groups: As in `Evaluation`, by cutoff and segment.
    """

    metrics: pd.DataFrame
    differences: pd.DataFrame
    grades: pd.DataFrame
    groups: pd.DataFrame

    def row(self, metric: str, model: str = OURS, cutoff: str = POOLED) -> dict[str, Any] | None:
        """The row of one metric over all customers.

        Args:
            metric: The metric's name.
            model: 'regulars' or a baseline.
            cutoff: A day, or 'pooled'.

        Returns:
            The row of `metrics` as a dictionary; None if it was not measured.
        """
        m = self.metrics
        rows = m[(m.metric == metric) & (m.model == model) & (m.segment == "all") & (m.cutoff == cutoff)]
        return None if rows.empty else rows.iloc[0].to_dict()


def evaluate_rolling(
    cutoffs: Sequence[CutoffPredictions], horizon: Window, *, seed: int, resamples: int
) -> RollingEvaluation:
    """Computes all metrics of all models at some cutoffs, and pooled over them.

    Args:
        cutoffs: Predictions at one or more cutoffs, ascending.
        horizon: Of the labels; cutoffs closer than it overlap.
        seed: Of the resampling.
        resamples: Number of resamples of customers; fewer if there are very many customers.

    Returns:
        The tables.
    """
    figures = _bootstrap_figures(cutoffs, seed, resamples)
    sizes = {"all": [len(j.truth) for j in cutoffs]}
    for segment in {segment for _, segment in figures} - {"all"}:
        sizes[segment] = [int(j.segments.get(segment, np.zeros(0)).sum()) for j in cutoffs]
    days = [str(j.cutoff) for j in cutoffs]
    common: dict[str, Any] = {"seed": seed, "resamples": resamples}
    return RollingEvaluation(
        metrics=_metric_table(figures, days, sizes, _distinct_customers(cutoffs)),
        differences=_difference_table(figures, days),
        grades=_grade_table(figures, _non_overlapping([j.cutoff for j in cutoffs], horizon)),
        groups=pd.concat([part for j in cutoffs for part in _groups(j, **common)], ignore_index=True),
    )


def _bootstrap_figures(cutoffs: Sequence[CutoffPredictions], seed: int, resamples: int) -> dict[Key, Figures]:
    """Every metric of every model and segment (c, 1 + b), the estimate on the data itself first; NaN: not measured."""
    customers, places = _customer_positions(cutoffs)
    blocks: list[dict[tuple[int, Key], Figures]] = []
    resamples_of_all = chain([np.ones((1, customers))], bootstrap_weights(customers, seed, resamples))
    for weights in tqdm(resamples_of_all, desc="resampling customers", leave=False, disable=None):
        block = {}
        for at, (one, place) in enumerate(zip(cutoffs, places, strict=True)):
            own = weights[:, place]
            for key, prediction, mask in _evaluated_predictions(one):
                rows, w = (one.truth, own) if mask is None else (one.truth.take(mask), own[:, mask])
                block[at, key] = weighted_metrics(prediction, rows, w)
        blocks.append(block)
    figures: dict[Key, Figures] = {}
    columns = sum(len(next(iter(next(iter(block.values())).values()))) for block in blocks)
    for at, key in blocks[0]:
        for metric in blocks[0][at, key]:
            table = figures.setdefault(key, {}).setdefault(metric, np.full((len(cutoffs), columns), np.nan))
            table[at] = np.concatenate([block[at, key][metric] for block in blocks])
    return figures


def _evaluated_predictions(one: CutoffPredictions) -> Iterator[tuple[Key, Prediction, np.ndarray | None]]:
    """Each model over all customers, then ours in each segment."""
    for model, prediction in one.predictions.items():
        yield (model, "all"), prediction, None
    for segment, mask in one.segments.items():
        yield (OURS, segment), one.predictions[OURS].take(mask), mask


def _customer_positions(cutoffs: Sequence[CutoffPredictions]) -> tuple[int, list[np.ndarray]]:
    """The number of distinct customers, and the positions of each cutoff's customers among them."""
    names = [np.array(j.truth.customers.to_pylist(), dtype=object).astype(str) for j in cutoffs]
    everyone, place = np.unique(np.concatenate(names), return_inverse=True)
    return len(everyone), np.split(place, np.cumsum([len(n) for n in names])[:-1])


def _distinct_customers(cutoffs: Sequence[CutoffPredictions]) -> dict[str, int]:
    """Distinct customers by segment, over all cutoffs."""
    _, places = _customer_positions(cutoffs)
    counts = {"all": len(np.unique(np.concatenate(places)))}
    for segment in {s for j in cutoffs for s in j.segments}:
        inside = [p[j.segments[segment]] for j, p in zip(cutoffs, places, strict=True) if segment in j.segments]
        counts[segment] = len(np.unique(np.concatenate(inside)))
    return counts


def _groups(one: CutoffPredictions, **common: Any) -> Iterator[pd.DataFrame]:
    ours, day = one.predictions[OURS], one.cutoff
    yield calibration_groups(ours, one.truth, day, **common)
    for segment, mask in one.segments.items():
        yield calibration_groups(ours.take(mask), one.truth.take(mask), day, segment=segment, **common)


def _metric_table(
    figures_by_model: dict[Key, Figures], days: Sequence[str], sizes: dict[str, list[int]], distinct: dict[str, int]
) -> pd.DataFrame:
    rows = []
    for (model, segment), figures in figures_by_model.items():
        for metric, table in figures.items():
            names = {"model": model, "metric": metric, "segment": segment}
            for day, figure, customers in zip(days, table, sizes[segment], strict=True):
                if np.isfinite(figure[0]):
                    rows.append({**names, **_metric_interval(metric, figure), "cutoff": day, "customers": customers})
            known = table[_measured_cutoffs(figures_by_model, segment, metric)]
            if not len(known):
                continue
            everywhere = {"cutoff": POOLED, "customers": distinct[segment]}
            rows.append({**names, **_metric_interval(metric, _mean_over_cutoffs(known)), **everywhere})
            if metric in BEST:
                off = percentile_interval(
                    _mean_over_cutoffs(distance_from_best(metric, known)), "value", centred=True, least=0.0
                )
                rows.append({**names, "metric": f"{metric}_distance", **off, **everywhere})
    order = ["model", "metric", "value", "low", "high", "cutoff", "segment", "customers"]
    return pd.DataFrame(rows, columns=order)


def _metric_interval(metric: str, figure: np.ndarray) -> dict[str, float]:
    return percentile_interval(
        figure, "value", centred=metric in RECENTRED, least=0.0 if metric in RECENTRED else -np.inf
    )


def _measured_cutoffs(figures_by_model: dict[Key, Figures], segment: str, metric: str) -> np.ndarray:
    """Mask (c,) of the cutoffs at which every model with the metric could be measured: pooled metrics use these."""
    tables = [figures[metric] for (_, s), figures in figures_by_model.items() if s == segment and metric in figures]
    return np.all([np.isfinite(table[:, 0]) for table in tables], axis=0)


def _difference_table(figures_by_model: dict[Key, Figures], days: Sequence[str]) -> pd.DataFrame:
    rows = []
    for metric, against, gap in _differences(figures_by_model):
        shared = _measured_cutoffs(figures_by_model, "all", metric)
        tables = [(day, row) for day, row in zip(days, gap, strict=True) if np.isfinite(row[0])]
        for day, row in [*tables, *([(POOLED, _mean_over_cutoffs(gap[shared]))] if shared.any() else [])]:
            ends = percentile_interval(row, "difference", centred=metric in RECENTRED or metric in BEST)
            rows.append({"metric": metric, "against": against, **ends, "cutoff": day})
    return pd.DataFrame(rows, columns=["metric", "against", "difference", "low", "high", "cutoff"])


def _grade_table(figures_by_model: dict[Key, Figures], non_overlapping: np.ndarray) -> pd.DataFrame:
    rows = []
    for metric, against, gap in _differences(figures_by_model):
        known = np.isfinite(gap[:, 0])
        plain = gap[:, 0] if metric in HIGHER_IS_BETTER else -gap[:, 0]
        level = known & (np.abs(plain) <= TIE_TOLERANCE)
        better = known & ~level & (plain > 0)
        counts = {
            "better": int(better.sum()),
            "level": int(level.sum()),
            "cutoffs": int(known.sum()),
            "better_apart": int((better & non_overlapping).sum()),
            "cutoffs_apart": int((known & non_overlapping).sum()),
        }
        rows.append({"metric": metric, "against": against, **counts, "grade": _grade_text(against, **counts)})
    order = ["metric", "against", "better", "level", "cutoffs", "better_apart", "cutoffs_apart", "grade"]
    return pd.DataFrame(rows, columns=order)


def _grade_text(against: str, *, better: int, level: int, cutoffs: int, **unused: int) -> str:
    """The counts in words.

    >>> _grade_text("recency alone", better=11, level=1, cutoffs=12)
    'better than recency alone in 11 of 12 cutoffs, level in 1'
    """
    plural = "" if cutoffs == 1 else "s"
    return f"better than {against} in {better} of {cutoffs} cutoff{plural}" + (f", level in {level}" if level else "")


def _differences(figures_by_model: dict[Key, Figures]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Our metrics minus each baseline's (c, 1 + b), over all customers, if measured at some cutoff."""
    for metric, ours in figures_by_model[OURS, "all"].items():
        for against in (model for model, segment in figures_by_model if segment == "all" and model != OURS):
            theirs = figures_by_model[against, "all"].get(metric)
            if metric in NOT_COMPARED or theirs is None:
                continue
            gap = distance_from_best(metric, ours) - distance_from_best(metric, theirs)
            if np.isfinite(gap[:, 0]).any():
                yield metric, against, gap


def _non_overlapping(cutoffs: Sequence[date], horizon: Window) -> np.ndarray:
    """Mask of the cutoffs (ascending) to keep so that no two labels share a day, chosen backwards from the last.

    >>> months = [date(2024, m, 1) for m in (1, 2, 3, 4)]
    >>> _non_overlapping(months, Window(45)).tolist()
    [False, True, False, True]
    """
    kept, earliest = np.zeros(len(cutoffs), bool), date.max
    for place in reversed(range(len(cutoffs))):
        if cutoffs[place] <= earliest:
            kept[place], earliest = True, cutoffs[place] - horizon.delta
    return kept


def _mean_over_cutoffs(table: np.ndarray) -> np.ndarray:
    """The mean over cutoffs of a table (c, b), without the cutoffs at which a resample could not be measured."""
    measured = np.isfinite(table)
    counts = measured.sum(axis=0)
    return np.where(measured, table, 0.0).sum(axis=0) / np.where(counts > 0, counts, np.nan)
