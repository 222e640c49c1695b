"""Judging at many cutoffs: figures at each and pooled over all, in pairs, and a grade that needs no statistics.

A customer is there at many cutoffs, and cutoffs closer than a horizon see the same days. So customers are resampled,
each with all of their cutoffs (a cluster bootstrap: Davison and Hinkley, Bootstrap Methods and their Application, 1997,
section 3.8), and a pooled figure is the mean over the cutoffs of one resample. What all customers share at a cutoff,
such as a season, is not resampled: that is what the grades and the count of cutoffs apart are for.
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
LEVEL_WITHIN = 1e-12
Key = tuple[str, str]


@dataclass(frozen=True)
class CutoffPredictions:
    """One cutoff: its customers and what each model said of them.

    Attributes:
        cutoff: When; no model learned from a label that ends after it.
        truth: The customers, and what they did within the horizon.
        predictions: By model; ours is called 'regulars'.
        segments: Masks (n,) by name.
        trained_on: The cutoffs that were learned from.
    """

    cutoff: date
    truth: Sample
    predictions: dict[str, Prediction]
    segments: dict[str, np.ndarray]
    trained_on: tuple[date, ...]


@dataclass(frozen=True)
class RollingEvaluation:
    """Figures over cutoffs as tables; `cutoff` is a day, or 'pooled': the mean over all cutoffs.

    Attributes:
        metrics: model, metric, value, low, high, cutoff, segment, customers. Pooled figures are of the cutoffs at which
            every model could be measured; those that may be off in either direction stand there a second time, as
            METRIC_distance: the mean of their distances from the best.
        differences: metric, against, difference (ours less theirs, of distances where there is one), low, high, cutoff.
        grades: metric, against, better, level, cutoffs, better_apart, cutoffs_apart, grade: in how many cutoffs ours is
            better or level, and the same of those that are at least a horizon apart.
        groups: As in `Evaluation`, by cutoff and segment.
    """

    metrics: pd.DataFrame
    differences: pd.DataFrame
    grades: pd.DataFrame
    groups: pd.DataFrame

    def row(self, metric: str, model: str = OURS, cutoff: str = POOLED) -> dict[str, Any] | None:
        """The row of one metric of everyone; None where it was not measured."""
        m = self.metrics
        rows = m[(m.metric == metric) & (m.model == model) & (m.segment == "all") & (m.cutoff == cutoff)]
        return None if rows.empty else rows.iloc[0].to_dict()


def evaluate_rolling(
    judged: Sequence[CutoffPredictions], horizon: Window, *, seed: int, resamples: int
) -> RollingEvaluation:
    """All figures of all models at some cutoffs, and pooled over them.

    Args:
        judged: One or more cutoffs, ascending.
        horizon: Of the labels: cutoffs closer than it overlap.
        seed: Of the resampling.
        resamples: Of customers; fewer where there are very many.
    """
    found = _figures(judged, seed, resamples)
    sizes = {"all": [len(j.truth) for j in judged]}
    for segment in {segment for _, segment in found} - {"all"}:
        sizes[segment] = [int(j.segments.get(segment, np.zeros(0)).sum()) for j in judged]
    days = [str(j.cutoff) for j in judged]
    common: dict[str, Any] = {"seed": seed, "resamples": resamples}
    return RollingEvaluation(
        metrics=_metrics(found, days, sizes, _distinct(judged)),
        differences=_differences(found, days),
        grades=_grades(found, _apart([j.cutoff for j in judged], horizon)),
        groups=pd.concat([part for j in judged for part in _groups(j, **common)], ignore_index=True),
    )


def _figures(judged: Sequence[CutoffPredictions], seed: int, resamples: int) -> dict[Key, Figures]:
    """Every metric of every model and segment (cutoffs, 1 + resamples), the plain figure first; NaN: not measured."""
    customers, places = _customers(judged)
    blocks: list[dict[tuple[int, Key], Figures]] = []
    drawn = chain([np.ones((1, customers))], bootstrap_weights(customers, seed, resamples))
    for weights in tqdm(drawn, desc="resampling customers", leave=False, disable=None):
        block = {}
        for at, (one, place) in enumerate(zip(judged, places, strict=True)):
            own = weights[:, place]
            for key, prediction, mask in _subjects(one):
                rows, w = (one.truth, own) if mask is None else (one.truth.take(mask), own[:, mask])
                block[at, key] = weighted_metrics(prediction, rows, w)
        blocks.append(block)
    found: dict[Key, Figures] = {}
    many = sum(len(next(iter(next(iter(block.values())).values()))) for block in blocks)
    for at, key in blocks[0]:
        for metric in blocks[0][at, key]:
            table = found.setdefault(key, {}).setdefault(metric, np.full((len(judged), many), np.nan))
            table[at] = np.concatenate([block[at, key][metric] for block in blocks])
    return found


def _subjects(one: CutoffPredictions) -> Iterator[tuple[Key, Prediction, np.ndarray | None]]:
    """Each model on everyone, then ours in each segment."""
    for model, prediction in one.predictions.items():
        yield (model, "all"), prediction, None
    for segment, mask in one.segments.items():
        yield (OURS, segment), one.predictions[OURS].take(mask), mask


def _customers(judged: Sequence[CutoffPredictions]) -> tuple[int, list[np.ndarray]]:
    """How many customers there are in all, and the place of each cutoff's customers among them."""
    names = [np.array(j.truth.customers.to_pylist(), dtype=object).astype(str) for j in judged]
    everyone, place = np.unique(np.concatenate(names), return_inverse=True)
    return len(everyone), np.split(place, np.cumsum([len(n) for n in names])[:-1])


def _distinct(judged: Sequence[CutoffPredictions]) -> dict[str, int]:
    """Distinct customers by segment, over all cutoffs."""
    _, places = _customers(judged)
    found = {"all": len(np.unique(np.concatenate(places)))}
    for segment in {s for j in judged for s in j.segments}:
        inside = [p[j.segments[segment]] for j, p in zip(judged, places, strict=True) if segment in j.segments]
        found[segment] = len(np.unique(np.concatenate(inside)))
    return found


def _groups(one: CutoffPredictions, **common: Any) -> Iterator[pd.DataFrame]:
    ours, day = one.predictions[OURS], one.cutoff
    yield calibration_groups(ours, one.truth, day, **common)
    for segment, mask in one.segments.items():
        yield calibration_groups(ours.take(mask), one.truth.take(mask), day, segment=segment, **common)


def _metrics(
    found: dict[Key, Figures], days: Sequence[str], sizes: dict[str, list[int]], distinct: dict[str, int]
) -> pd.DataFrame:
    rows = []
    for (model, segment), figures in found.items():
        for metric, table in figures.items():
            names = {"model": model, "metric": metric, "segment": segment}
            for day, figure, customers in zip(days, table, sizes[segment], strict=True):
                if np.isfinite(figure[0]):
                    rows.append({**names, **_interval(metric, figure), "cutoff": day, "customers": customers})
            known = table[_shared(found, segment, metric)]
            if not len(known):
                continue
            everywhere = {"cutoff": POOLED, "customers": distinct[segment]}
            rows.append({**names, **_interval(metric, _mean(known)), **everywhere})
            if metric in BEST:
                off = percentile_interval(_mean(distance_from_best(metric, known)), "value", centred=True, least=0.0)
                rows.append({**names, "metric": f"{metric}_distance", **off, **everywhere})
    order = ["model", "metric", "value", "low", "high", "cutoff", "segment", "customers"]
    return pd.DataFrame(rows, columns=order)


def _interval(metric: str, figure: np.ndarray) -> dict[str, float]:
    return percentile_interval(
        figure, "value", centred=metric in RECENTRED, least=0.0 if metric in RECENTRED else -np.inf
    )


def _shared(found: dict[Key, Figures], segment: str, metric: str) -> np.ndarray:
    """The cutoffs (c,) at which every model that has the metric could be measured: pooled figures are of these."""
    tables = [figures[metric] for (_, s), figures in found.items() if s == segment and metric in figures]
    return np.all([np.isfinite(table[:, 0]) for table in tables], axis=0)


def _differences(found: dict[Key, Figures], days: Sequence[str]) -> pd.DataFrame:
    rows = []
    for metric, against, gap in _gaps(found):
        shared = _shared(found, "all", metric)
        tables = [(day, row) for day, row in zip(days, gap, strict=True) if np.isfinite(row[0])]
        for day, row in [*tables, *([(POOLED, _mean(gap[shared]))] if shared.any() else [])]:
            ends = percentile_interval(row, "difference", centred=metric in RECENTRED or metric in BEST)
            rows.append({"metric": metric, "against": against, **ends, "cutoff": day})
    return pd.DataFrame(rows, columns=["metric", "against", "difference", "low", "high", "cutoff"])


def _grades(found: dict[Key, Figures], apart: np.ndarray) -> pd.DataFrame:
    rows = []
    for metric, against, gap in _gaps(found):
        known = np.isfinite(gap[:, 0])
        plain = gap[:, 0] if metric in HIGHER_IS_BETTER else -gap[:, 0]
        level = known & (np.abs(plain) <= LEVEL_WITHIN)
        better = known & ~level & (plain > 0)
        counts = {
            "better": int(better.sum()),
            "level": int(level.sum()),
            "cutoffs": int(known.sum()),
            "better_apart": int((better & apart).sum()),
            "cutoffs_apart": int((known & apart).sum()),
        }
        rows.append({"metric": metric, "against": against, **counts, "grade": _grade(against, **counts)})
    order = ["metric", "against", "better", "level", "cutoffs", "better_apart", "cutoffs_apart", "grade"]
    return pd.DataFrame(rows, columns=order)


def _grade(against: str, *, better: int, level: int, cutoffs: int, **apart: int) -> str:
    """The count in words.

    >>> _grade("recency alone", better=11, level=1, cutoffs=12)
    'better than recency alone in 11 of 12 cutoffs, level in 1'
    """
    plural = "" if cutoffs == 1 else "s"
    return f"better than {against} in {better} of {cutoffs} cutoff{plural}" + (f", level in {level}" if level else "")


def _gaps(found: dict[Key, Figures]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Ours less each other model's (cutoffs, 1 + resamples), of everyone, where it was measured at some cutoff."""
    for metric, ours in found[OURS, "all"].items():
        for against in (model for model, segment in found if segment == "all" and model != OURS):
            theirs = found[against, "all"].get(metric)
            if metric in NOT_COMPARED or theirs is None:
                continue
            gap = distance_from_best(metric, ours) - distance_from_best(metric, theirs)
            if np.isfinite(gap[:, 0]).any():
                yield metric, against, gap


def _apart(cutoffs: Sequence[date], horizon: Window) -> np.ndarray:
    """Which cutoffs (ascending) to keep so that no two labels share a day, counted back from the last.

    >>> months = [date(2024, m, 1) for m in (1, 2, 3, 4)]
    >>> _apart(months, Window(45)).tolist()
    [False, True, False, True]
    """
    kept, earliest = np.zeros(len(cutoffs), bool), date.max
    for place in reversed(range(len(cutoffs))):
        if cutoffs[place] <= earliest:
            kept[place], earliest = True, cutoffs[place] - horizon.delta
    return kept


def _mean(table: np.ndarray) -> np.ndarray:
    """The mean over cutoffs (c, b); a resample that could not be measured at one goes without it."""
    there = np.isfinite(table)
    many = there.sum(axis=0)
    return np.where(there, table, 0.0).sum(axis=0) / np.where(many > 0, many, np.nan)
