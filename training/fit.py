"""From snapshots to judged models: tune on early cutoffs, judge on the last, ship from the whole.

The shipped models repeat, a horizon later, what was judged: the same procedure, on every mature cutoff.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from features.config.load import Config
from features.errors import DataError
from features.snapshots.build import Snapshots
from training.artifact.bundle import ModelBundle
from training.data.category_levels import encode_sample, learn_levels, text_columns
from training.data.prediction import OutOfTimePredictions, Prediction
from training.data.time_split import MIN_PER_OUTCOME, Sample, TimeSplit, sample_at, time_splits
from training.evaluation.evaluate import (
    OURS,
    Evaluation,
    concat_evaluations,
    evaluate_coverage,
    evaluate_predictions,
    evaluation_segments,
)
from training.evaluation.longer_horizons import evaluate_longer_horizons
from training.evaluation.tenure_hazard import baselines_for
from training.models.base_models import OutOfTimeFold, has_money
from training.models.churn import ChurnClassifier
from training.models.ensemble import fit_ensemble
from training.models.lightgbm_base import LightGBMEstimator
from training.models.longer_horizons import with_longer_horizons
from training.models.spend import SpendRegressor, positive_spend
from training.tune import Labelled, StudyFile, TuningResult, later_loss, tune_models

Pair = tuple[Labelled, Labelled]


@dataclass(frozen=True)
class FittedModels:
    """What training leaves behind, before anything is logged.

    Attributes:
        churn: The shipped churn model.
        value: The shipped value model, or None without money.
        evaluation: Of the judged models, on cutoffs that they had not seen.
        judge: The models that were judged: they learned from cutoffs whose labels end by the last one.
        truth: The last cutoff's customers, and
        predictions: what the judge said of them, for plots.
        tuned: By 'churn' and 'spend'; empty where the log was too short.
        split: How the cutoffs were used.
        notes: Who was left out, and what was asked for and could not be done, in words.
    """

    churn: ModelBundle
    value: ModelBundle | None
    evaluation: Evaluation
    judge: ModelBundle
    truth: Sample
    predictions: dict[str, np.ndarray]
    tuned: dict[str, TuningResult]
    split: TimeSplit
    notes: tuple[str, ...] = ()

    @property
    def out_of_time(self) -> OutOfTimePredictions:
        """The evaluated models' predictions for the last cutoff, with the true outcomes."""
        return OutOfTimePredictions(self.truth, self.predictions, self.split.test.test)


def fit_models(snapshots: Snapshots, config: Config, *, resume: bool = False) -> FittedModels:
    """Tunes, judges and fits the models of a business.

    Args:
        snapshots: Of every mature cutoff, with labels.
        config: Seeds, trials, interval.
        resume: Whether to go on with a tuning of the same data that was interrupted.

    Raises:
        DataError: Too few cutoffs, customers, or customers of either fate.
    """
    plan = time_splits(snapshots.cutoffs, snapshots.task.horizon)
    _refuse_unlearnable(snapshots, plan)
    tuned = _tune(snapshots, plan, config, resume)
    parameters = {name: t.used for name, t in tuned.items()}
    with tqdm(total=4, desc="learning", leave=False, disable=None) as steps:
        earlier = fit_ensemble(snapshots, config, plan.test.train, parameters)
        truth = sample_at(snapshots, [plan.test.test])
        judged = earlier.richest.predict(truth.features)
        steps.update()
        evaluation = _evaluate(
            snapshots, config, plan, truth, judged, earlier.cross_calibrated(config.serving.interval)
        )
        steps.update()
        shipped = fit_ensemble(snapshots, config, plan.all_cutoffs, parameters)
        steps.update()
        value, notes = with_longer_horizons(shipped.value, snapshots, config, plan.all_cutoffs, snapshots.end)
        judge, _ = with_longer_horizons(earlier.value, snapshots, config, plan.test.train, plan.test.test)
        further, unjudged = evaluate_longer_horizons(
            snapshots, config, [step.column for step in value.longer] if value else []
        )
    return FittedModels(
        churn=shipped.churn,
        value=value,
        evaluation=concat_evaluations([evaluation, *further]),
        judge=judge or earlier.churn,
        truth=truth,
        predictions=judged,
        tuned=tuned,
        split=plan,
        notes=(*contacted_note(snapshots), *notes, *unjudged),
    )


def contacted_note(snapshots: Snapshots) -> tuple[str, ...]:
    """Who was left out for having been contacted, in words; empty where nobody was."""
    left = snapshots.touched
    if not left:
        return ()
    total = left + snapshots.rows.num_rows
    return (
        f"learned from, and judged on, customers whom no contact touched within the label's interval ([training] "
        f"learn_from = 'untouched'): {left:,} of {total:,} rows ({left / total:.1%}) are left out",
    )


def _tune(snapshots: Snapshots, plan: TimeSplit, config: Config, resume: bool) -> dict[str, TuningResult]:
    """What to boost with, by 'churn' and 'spend'; empty where the log is too short or no trials are wanted."""
    if not plan.folds or not config.training.trials:
        return {}
    folds = [*plan.folds, *([plan.calibration] if plan.calibration else [])]
    pairs = [_encoded_pair(sample_at(snapshots, fold.train), sample_at(snapshots, [fold.test])) for fold in folds]
    searches = {"churn": (ChurnClassifier, [((a, a.churned), (b, b.churned)) for a, b in pairs])}
    if has_money(snapshots):
        searches["spend"] = (SpendRegressor, [(_returned(a), _returned(b)) for a, b in pairs])
    return {
        kind: _tuned(kind, estimator, data[: len(plan.folds)], data[len(plan.folds) :], snapshots, config, resume)
        for kind, (estimator, data) in searches.items()
    }


def _tuned(
    kind: str,
    estimator: type[LightGBMEstimator],
    folds: Sequence[Pair],
    later: Sequence[Pair],
    snapshots: Snapshots,
    config: Config,
    resume: bool,
) -> TuningResult:
    """The search, and whether what it found also holds on a later cutoff, whose labels no trial has seen."""
    settings = config.training
    given: dict[str, Any] = {"seed": settings.seed, "categorical": text_columns(snapshots.rows.select(snapshots.names))}
    study = StudyFile(config.output / "tuning" / f"{kind}-{snapshots.fingerprint}-{settings.seed}.journal", resume)
    tuned = tune_models(
        estimator, folds, trials=settings.trials, timeout=settings.timeout, title=f"tuning {kind}", study=study, **given
    )
    if not later:
        return tuned
    losses = (later_loss(estimator(**given), later[0]), later_loss(estimator(**tuned.parameters, **given), later[0]))
    return replace(tuned, kept=losses[1] < losses[0], later=losses)


def _encoded_pair(train: Sample, test: Sample) -> tuple[Sample, Sample]:
    """Both with the levels of the first."""
    levels = learn_levels(train)
    return encode_sample(train, levels), encode_sample(test, levels)


def _returned(rows: Sample) -> tuple[Sample, np.ndarray]:
    """Those who purchased within the horizon, and what they spent."""
    back = rows.take(rows.churned == 0)
    return back, positive_spend(back.spend)


def _evaluate(
    snapshots: Snapshots,
    config: Config,
    plan: TimeSplit,
    truth: Sample,
    judged: dict[str, np.ndarray],
    earlier: Sequence[tuple[OutOfTimeFold, Prediction]],
) -> Evaluation:
    """The judge on the last cutoff, with intervals, segments and ladder; then what was heard of each earlier one."""
    settings, horizon = config.training, snapshots.task.horizon
    common: dict[str, Any] = {"seed": settings.seed, "resamples": settings.bootstrap}
    segments = evaluation_segments(truth, horizon)
    past = sample_at(snapshots, plan.test.train)
    rules = {name: rule(past, truth, horizon) for name, rule in baselines_for(snapshots.task).items()}
    ours = Prediction(judged["churn_probability"], judged.get("value"))
    parts = [evaluate_predictions({OURS: ours, **rules}, truth, plan.test.test, segments=segments, **common)]
    if "value" in judged:
        parts.append(evaluate_coverage(truth, judged["value_low"], judged["value_high"], plan.test.test, **common))
    parts += [evaluate_predictions({OURS: said}, heard.truth, heard.fold.test, **common) for heard, said in earlier]
    return concat_evaluations(parts)


def _refuse_unlearnable(snapshots: Snapshots, plan: TimeSplit) -> None:
    """Every set of rows to learn from or to judge on needs a few customers of either fate."""
    folds = [fold for fold in (plan.test, plan.calibration, *plan.folds) if fold]
    for cutoffs in [(fold.test,) for fold in folds] + [fold.train for fold in folds]:
        churned = sample_at(snapshots, cutoffs).churned
        left, stayed = int(churned.sum()), int((churned == 0).sum())
        if min(left, stayed) >= MIN_PER_OUTCOME:
            continue
        span = str(cutoffs[-1]) if len(cutoffs) == 1 else f"{cutoffs[0]} to {cutoffs[-1]}"
        raise DataError(
            f"cutoff {span}: {len(churned):,} customers in the cohort, of whom {left:,} churned and {stayed:,} "
            f"{'stayed' if snapshots.task.contractual else 'purchased'} within {snapshots.task.horizon}; at least "
            f"{MIN_PER_OUTCOME} of each are needed to learn. "
            + (
                "Check [subscriptions] end and cancelled, or"
                if snapshots.task.contractual
                else "Check [events] amount and time, or"
            )
            + " change [task] horizon, active_within or every"
        )
