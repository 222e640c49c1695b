"""Evaluates value over longer horizons, each at the last cutoff whose label over it is known.

That cutoff lies before the test cutoff of the task's own horizon, and tuning may have seen its labels. So everything is
fitted again, with default parameters, from what was known by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from features.config.load import Config
from features.snapshots.build import Snapshots
from features.task import Window
from training.data.category_levels import encode_sample, learn_levels
from training.data.prediction import Prediction, PredictionInterval
from training.data.time_split import Sample, sample_at, why_too_few
from training.evaluation.baselines import (
    EVERYBODY_ALIKE,
    PLAIN_LIGHTGBM,
    PLAIN_TREES,
    btyd_baseline,
    everybody_alike_baseline,
    past_rate_baseline,
)
from training.evaluation.evaluate import OURS, Evaluation, evaluate_predictions
from training.models.base_models import has_money
from training.models.ensemble import fit_ensemble
from training.models.longer_horizons import value_over, with_longer_horizons
from training.models.spend import GainRegressor

SHOWN = ("gini", "deviance", "decile_error", "total_error", "coverage")
VALUE_METRICS = ("spearman", "gini", "deviance", "decile_error", "total_error", "mae", "coverage")


def evaluate_longer_horizons(
    snapshots: Snapshots, config: Config, columns: Sequence[str]
) -> tuple[list[Evaluation], tuple[str, ...]]:
    """Evaluates each longer horizon; its metrics have names such as 'gini_180d'.

    Args:
        snapshots: With labels.
        config: Seed, interval, resamples.
        columns: The values to evaluate, such as 'value_180d'.

    Returns:
        The evaluations, and for each column that cannot be evaluated a sentence that says why.
    """
    evaluations, notes = [], []
    for column in columns:
        horizon = snapshots.task.longer[column]
        cutoff = max(c for c in snapshots.cutoffs if c + horizon.delta <= snapshots.labels_end)
        train_cutoffs = [c for c in snapshots.cutoffs if c + horizon.delta <= cutoff]
        why = (
            _why_fold_too_small(snapshots, train_cutoffs, cutoff)
            if train_cutoffs
            else f"no cutoff lies {horizon} before the one to evaluate it on"
        )
        if not why:
            ours = _predict_with_ours(snapshots, config, column, cutoff)
            if ours is not None:
                evaluations.append(_evaluate_column(snapshots, config, column, train_cutoffs, cutoff, ours))
                continue
            why = "too few gains over it were known before that cutoff"
        notes.append(f"{column} was not evaluated: {why}")
    return evaluations, tuple(notes)


def longer_horizon_figures(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The chief metrics of longer horizons, one row for each horizon and metric.

    Returns:
        horizon, cutoff, customers, metric (without the horizon), value, low and high, and `baselines`: the metric's
        value by baseline.
    """
    m = evaluation.metrics[evaluation.metrics.segment == "all"]
    rows = []
    for row in m[m.model == OURS].to_dict("records"):
        metric, _, horizon = row["metric"].rpartition("_")
        if metric in SHOWN and horizon[:-1].isdigit():
            baselines = m[(m.metric == row["metric"]) & (m.model != OURS)].set_index("model").value.to_dict()
            rows.append({**row, "metric": metric, "horizon": horizon, "baselines": baselines})
    return rows


def _why_fold_too_small(snapshots: Snapshots, train_cutoffs: Sequence[date], cutoff: date) -> str:
    train, truth = sample_at(snapshots.as_known(cutoff), train_cutoffs), sample_at(snapshots, [cutoff])
    return why_too_few(train, truth, has_money(snapshots))


def _predict_with_ours(snapshots: Snapshots, config: Config, column: str, cutoff: date) -> Prediction | None:
    """Our predictions at a cutoff from what was known by then; None if the horizon was left out then."""
    cutoffs = [c for c in snapshots.cutoffs if c + snapshots.task.horizon.delta <= cutoff]
    known_then = snapshots.as_known(cutoff)
    value = fit_ensemble(known_then, config, cutoffs, {}).value
    bundle, _ = with_longer_horizons(value, known_then, config, cutoffs, cutoff)
    if bundle is None or column not in [step.column for step in bundle.longer]:
        return None
    predicted = bundle.predict(sample_at(snapshots, [cutoff]).features)
    bounds = PredictionInterval(predicted[f"{column}_low"], predicted[f"{column}_high"], config.serving.interval)
    return Prediction(predicted["churn_probability"], predicted[column], bounds)


def _evaluate_column(
    snapshots: Snapshots, config: Config, column: str, train_cutoffs: Sequence[date], cutoff: date, ours: Prediction
) -> Evaluation:
    """Evaluates our model, everybody alike, the past mean rate, BG/NBD and plain LightGBM over the same horizon."""
    horizon, settings = snapshots.task.longer[column], config.training
    samples = sample_at(snapshots.as_known(cutoff), train_cutoffs), sample_at(snapshots, [cutoff])
    train, truth = (_with_value_over(sample, column) for sample in samples)
    baselines = {
        EVERYBODY_ALIKE: everybody_alike_baseline(train, truth, horizon),
        "past mean rate": past_rate_baseline(train, truth, horizon),
        "BG/NBD and Gamma-Gamma": btyd_baseline(train, truth, horizon),
        PLAIN_LIGHTGBM: _lightgbm(train, truth, ours.churn),
    }
    evaluation = evaluate_predictions(
        {OURS: ours, **baselines}, truth, cutoff, seed=settings.seed, resamples=settings.bootstrap
    )
    return _name_by_horizon(evaluation, horizon)


def _with_value_over(rows: Sample, column: str) -> Sample:
    """The rows with their value over a longer horizon."""
    return replace(rows, value=value_over(rows, column))


def _lightgbm(train: Sample, truth: Sample, churn: np.ndarray) -> Prediction:
    """Plain LightGBM on the value itself; it does not predict churn, so ours is used."""
    levels = learn_levels(train)
    model = GainRegressor(seed=0, categorical=tuple(levels), **PLAIN_TREES)
    model.fit(encode_sample(train, levels).features, train.spend)
    return Prediction(churn, model.predict(encode_sample(truth, levels).features))


def _name_by_horizon(evaluation: Evaluation, horizon: Window) -> Evaluation:
    """Only the metrics of value, with the horizon in their names."""

    def value_metrics(table: pd.DataFrame) -> pd.DataFrame:
        kept = table[table.metric.isin(VALUE_METRICS)]
        return kept.assign(metric=kept.metric + f"_{horizon}").reset_index(drop=True)

    groups = evaluation.groups[evaluation.groups.number.isin(("value", "covered"))]
    groups = groups.assign(number=groups.number + f"_{horizon}").reset_index(drop=True)
    return Evaluation(value_metrics(evaluation.metrics), value_metrics(evaluation.differences), groups)
