"""How well value over longer horizons was said, each at the last cutoff whose label over it is known.

That cutoff lies before the one that judges the task's own horizon, and tuning may have seen its labels: so all is
learned anew, with default parameters, from what was known by then.
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
from training.evaluation.baselines import PLAIN_LIGHTGBM, btyd_baseline, past_rate_baseline
from training.evaluation.evaluate import OURS, Evaluation, evaluate_predictions
from training.models.base_models import has_money
from training.models.ensemble import fit_ensemble
from training.models.longer_horizons import value_over, with_longer_horizons
from training.models.spend import GainRegressor

SHOWN = ("gini", "deviance", "decile_error", "total_error", "coverage")
METRICS = ("spearman", "gini", "deviance", "decile_error", "total_error", "mae", "coverage")


def evaluate_longer_horizons(
    snapshots: Snapshots, config: Config, columns: Sequence[str]
) -> tuple[list[Evaluation], tuple[str, ...]]:
    """Figures of each longer horizon, its metrics named such as 'gini_180d', and why some were not judged.

    Args:
        snapshots: With labels.
        config: Seed, interval, resamples.
        columns: The values to judge, such as 'value_180d'.
    """
    found, notes = [], []
    for column in columns:
        horizon = snapshots.task.longer[column]
        cutoff = max(c for c in snapshots.cutoffs if c + horizon.delta <= snapshots.end)
        known = [c for c in snapshots.cutoffs if c + horizon.delta <= cutoff]
        why = (
            _unfit(snapshots, known, cutoff)
            if known
            else f"no cutoff lies {horizon} before the one that would judge it"
        )
        if not why:
            said = _ours(snapshots, config, column, cutoff)
            if said is not None:
                found.append(_judged(snapshots, config, column, known, cutoff, said))
                continue
            why = "too little was gained over it before that cutoff"
        notes.append(f"{column} was not judged: {why}")
    return found, tuple(notes)


def longer_horizon_figures(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The figures of longer horizons for people, one row a horizon and metric, as they were judged.

    Returns:
        horizon, cutoff, customers, metric (its plain name), the figure's value, low and high, and `rungs`: the same
        metric's value by simpler model.
    """
    m = evaluation.metrics[evaluation.metrics.segment == "all"]
    rows = []
    for row in m[m.model == OURS].to_dict("records"):
        metric, _, horizon = row["metric"].rpartition("_")
        if metric in SHOWN and horizon[:-1].isdigit():
            rungs = m[(m.metric == row["metric"]) & (m.model != OURS)].set_index("model").value.to_dict()
            rows.append({**row, "metric": metric, "horizon": horizon, "rungs": rungs})
    return rows


def _unfit(snapshots: Snapshots, known: Sequence[date], cutoff: date) -> str:
    return why_too_few(sample_at(snapshots, known), sample_at(snapshots, [cutoff]), has_money(snapshots))


def _ours(snapshots: Snapshots, config: Config, column: str, cutoff: date) -> Prediction | None:
    """What is said of a cutoff's customers by what was known by then; None where the horizon was left out then."""
    cutoffs = [c for c in snapshots.cutoffs if c + snapshots.task.horizon.delta <= cutoff]
    bundle, _ = with_longer_horizons(
        fit_ensemble(snapshots, config, cutoffs, {}).value, snapshots, config, cutoffs, cutoff
    )
    if bundle is None or column not in [step.column for step in bundle.longer]:
        return None
    said = bundle.predict(sample_at(snapshots, [cutoff]).features)
    bounds = PredictionInterval(said[f"{column}_low"], said[f"{column}_high"], config.serving.interval)
    return Prediction(said["churn_probability"], said[column], bounds)


def _judged(
    snapshots: Snapshots, config: Config, column: str, known: Sequence[date], cutoff: date, ours: Prediction
) -> Evaluation:
    """Ours beside the past rate, buying rhythm and plain LightGBM over the same horizon."""
    horizon, settings = snapshots.task.longer[column], config.training
    train, truth = (_over(sample_at(snapshots, cutoffs), column) for cutoffs in (known, [cutoff]))
    rungs = {
        "past mean rate": past_rate_baseline(train, truth, horizon),
        "BG/NBD and Gamma-Gamma": btyd_baseline(train, truth, horizon),
        PLAIN_LIGHTGBM: _plain(train, truth, ours.churn),
    }
    found = evaluate_predictions({OURS: ours, **rungs}, truth, cutoff, seed=settings.seed, resamples=settings.bootstrap)
    return _renamed(found, horizon)


def _over(rows: Sample, column: str) -> Sample:
    """Rows whose value is that over a longer horizon."""
    return replace(rows, value=value_over(rows, column))


def _plain(train: Sample, truth: Sample, churn: np.ndarray) -> Prediction:
    """LightGBM as it comes, on the value itself; it says nothing of churn, so that ours stands in."""
    levels = learn_levels(train)
    model = GainRegressor(seed=0, categorical=tuple(levels))
    model.fit(encode_sample(train, levels).features, train.spend)
    return Prediction(churn, model.predict(encode_sample(truth, levels).features))


def _renamed(found: Evaluation, horizon: Window) -> Evaluation:
    """The figures of value alone, under the horizon's name."""

    def over(table: pd.DataFrame) -> pd.DataFrame:
        kept = table[table.metric.isin(METRICS)]
        return kept.assign(metric=kept.metric + f"_{horizon}").reset_index(drop=True)

    groups = found.groups[found.groups.number.isin(("value", "covered"))]
    groups = groups.assign(number=groups.number + f"_{horizon}").reset_index(drop=True)
    return Evaluation(over(found.metrics), over(found.differences), groups)
