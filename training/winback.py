"""The win-back model: whether lapsed customers come back, what they bring, and how the chance fades with silence.

It is trained, registered, promoted and rolled back like the models of a business of its own, named NAME-winback, whose
customers are the lapsed ones. So the ensemble, its calibration, the baselines and the gates are those of all models;
only tuning is left out, because few lapsed customers come back. Where the model has no skill, everybody alike stands
in for it.

The chance fades with silence by a power law: while somebody stays silent, the odds of coming back within a horizon are
multiplied by (silence then / silence now) ** -fade. The exponent is that of recency in a logistic regression that also
knows orders, spend and the time between the first and the last order, none of which changes in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from features.config.load import Config
from features.errors import DataError, RegularsError
from features.snapshots.lapsed import MOST_ROWS
from features.snapshots.snapshots import Snapshots
from training.artifact.bundle import ModelBundle
from training.data.time_split import Sample, sample_at
from training.evaluation.evaluate import OURS
from training.fit import FittedModels, fit_models
from training.registry.winback_models import FADE, winback_config

QUICK_ROWS = 10_000
WEAKEST_RIDGE = 1e3  # inverse strength of the ridge: the exponent is hardly pulled to 0


@dataclass(frozen=True)
class FittedWinback:
    """The win-back models of a training.

    Attributes:
        fitted: With their evaluation; None if there was too little to learn from.
        note: Why there is none, in words; empty if there is one.
    """

    fitted: FittedModels | None
    note: str = ""


def winback_rows(config: Config) -> int:
    """Return the most rows that the win-back model learns from."""
    most = QUICK_ROWS if config.training.quick else MOST_ROWS
    return min(most, config.training.rows) if config.training.rows else most


def fit_winback(snapshots: Snapshots | None, config: Config) -> FittedWinback:
    """Fits the win-back models, or says why there are none.

    Args:
        snapshots: Of lapsed customers, with labels; None if nobody had lapsed.
        config: The business.

    Returns:
        The models.
    """
    if snapshots is None:
        return FittedWinback(None, "" if config.task.lapsed_limit is None else _no_model("nobody had lapsed so far"))
    try:
        fitted = fit_models(snapshots, winback_config(config))
    except DataError as problem:
        return FittedWinback(None, _no_model(str(problem)))
    fade = fit_fade(sample_at(snapshots, fitted.split.all_cutoffs))
    return FittedWinback(_with_facts(fitted, {FADE: fade}))


def _no_model(reason: str) -> str:
    return f"no win-back model: {reason}. Other scores do not need it; `[task] lapsed_within = 'off'` leaves it out"


def unregistered_note(problem: RegularsError) -> str:
    """Say that a win-back model was fitted, but could not be registered."""
    return _no_model(f"it could not be registered ({problem})")


def _with_facts(fitted: FittedModels, facts: dict[str, Any]) -> FittedModels:
    def noted(bundle: ModelBundle) -> ModelBundle:
        return replace(bundle, facts={**bundle.facts, **facts})

    alike = fitted.alike and replace(fitted.alike, models=tuple(map(noted, fitted.alike.models)))
    return replace(fitted, churn=noted(fitted.churn), value=fitted.value and noted(fitted.value), alike=alike)


def fit_fade(rows: Sample) -> float:
    """Fits by which power of their silence the odds of coming back fall.

    Args:
        rows: Lapsed customers (n rows) with labels; both outcomes must occur.

    Returns:
        The exponent, 0 or more; 0 where the chance does not fall with silence.
    """
    silence = rows.column("recency_days")
    columns = [silence, rows.column("orders_count_ever"), 1 + rows.column("tenure_days") - silence]
    if "amount_sum_ever" in rows.features.column_names:
        columns.append(1 + np.maximum(rows.column("amount_sum_ever"), 0))
    model = LogisticRegression(C=WEAKEST_RIDGE, max_iter=1000)
    logs = np.log(np.column_stack(columns))
    model.fit(logs - logs.mean(axis=0), rows.churned == 0)
    return max(0.0, -float(model.coef_[0, 0]))


def winback_text(fitted: FittedModels) -> str:
    """The figures of a win-back model beside those of the best baseline, in one line for a terminal."""
    cutoff, metrics = fitted.split.test.test, fitted.evaluation.metrics
    last = metrics[(metrics.cutoff == cutoff) & (metrics.segment == "all")]
    figures = last.set_index(["model", "metric"])
    size = f"win-back: {int(last.customers.iloc[0]):,} lapsed customers at {cutoff}"
    if fitted.alike:
        return f"{size}: no better than treating everybody alike ({fitted.skill}); so each gets the same chance"
    auc, brier = figures.loc[(OURS, "auc")], figures.loc[(OURS, "brier")]
    others = last[(last.metric == "brier") & (last.model != OURS)].sort_values("value", kind="stable").iloc[0]
    return (
        f"{size}: AUC {auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f}), Brier score {brier.value:.4f} against "
        f"{others.value:.4f} of the best baseline ({others.model})"
    )
