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
from training.data.category_levels import encoded, learn_levels, text_columns
from training.data.prediction import OutOfTime, Prediction
from training.data.time_split import FEWEST, Sample, Split, take, time_splits
from training.evaluation.evaluate import OURS, Evaluation, coverage, evaluate_predictions, segments_of, together
from training.evaluation.longer_horizons import judge_longer
from training.evaluation.tenure_hazard import ladder
from training.models.churn import ChurnClassifier
from training.models.ensemble import Heard, has_money, ship
from training.models.lightgbm_base import Boosted
from training.models.longer_horizons import with_longer
from training.models.spend import SpendRegressor, positive
from training.tune import Labelled, Study, Tuned, later_loss, tune_models

Pair = tuple[Labelled, Labelled]


@dataclass(frozen=True)
class Learned:
    """What training leaves behind, before anything is logged.

    Attributes:
        churn: The shipped churn model.
        value: The shipped value model, or None without money.
        evaluation: Of the judged models, on cutoffs that they had not seen.
        judge: The models that were judged: they learned from cutoffs whose labels end by the last one.
        truth: The last cutoff's customers, and
        judged: what the judge said of them, for plots.
        tuned: By 'churn' and 'spend'; empty where the log was too short.
        split: How the cutoffs were used.
        notes: Who was left out, and what was asked for and could not be done, in words.
    """

    churn: ModelBundle
    value: ModelBundle | None
    evaluation: Evaluation
    judge: ModelBundle
    truth: Sample
    judged: dict[str, np.ndarray]
    tuned: dict[str, Tuned]
    split: Split
    notes: tuple[str, ...] = ()

    @property
    def out_of_time(self) -> OutOfTime:
        """The evaluated models' predictions for the last cutoff, with the true outcomes."""
        return OutOfTime(self.truth, self.judged, self.split.test.test)


def fit_models(snapshots: Snapshots, config: Config, *, resume: bool = False) -> Learned:
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
        earlier = ship(snapshots, config, plan.test.train, parameters)
        truth = take(snapshots, [plan.test.test])
        judged = earlier.fullest.predict(truth.features)
        steps.update()
        evaluation = _evaluate(snapshots, config, plan, truth, judged, earlier.earlier(config.serving.interval))
        steps.update()
        shipped = ship(snapshots, config, plan.everything, parameters)
        steps.update()
        value, notes = with_longer(shipped.value, snapshots, config, plan.everything, snapshots.end)
        judge, _ = with_longer(earlier.value, snapshots, config, plan.test.train, plan.test.test)
        further, unjudged = judge_longer(snapshots, config, [step.column for step in value.longer] if value else [])
    return Learned(
        churn=shipped.churn,
        value=value,
        evaluation=together([evaluation, *further]),
        judge=judge or earlier.churn,
        truth=truth,
        judged=judged,
        tuned=tuned,
        split=plan,
        notes=(*untouched_note(snapshots), *notes, *unjudged),
    )


def untouched_note(snapshots: Snapshots) -> tuple[str, ...]:
    """Who was left out for having been contacted, in words; empty where nobody was."""
    left = snapshots.touched
    if not left:
        return ()
    total = left + snapshots.rows.num_rows
    return (
        f"learned from, and judged on, customers whom no contact touched within the label's interval ([training] "
        f"learn_from = 'untouched'): {left:,} of {total:,} rows ({left / total:.1%}) are left out",
    )


def _tune(snapshots: Snapshots, plan: Split, config: Config, resume: bool) -> dict[str, Tuned]:
    """What to boost with, by 'churn' and 'spend'; empty where the log is too short or no trials are wanted."""
    if not plan.folds or not config.training.trials:
        return {}
    folds = [*plan.folds, *([plan.calibration] if plan.calibration else [])]
    pairs = [_encoded_pair(take(snapshots, fold.train), take(snapshots, [fold.test])) for fold in folds]
    searches = {"churn": (ChurnClassifier, [((a, a.churned), (b, b.churned)) for a, b in pairs])}
    if has_money(snapshots):
        searches["spend"] = (SpendRegressor, [(_returned(a), _returned(b)) for a, b in pairs])
    return {
        kind: _tuned(kind, estimator, data[: len(plan.folds)], data[len(plan.folds) :], snapshots, config, resume)
        for kind, (estimator, data) in searches.items()
    }


def _tuned(
    kind: str,
    estimator: type[Boosted],
    folds: Sequence[Pair],
    later: Sequence[Pair],
    snapshots: Snapshots,
    config: Config,
    resume: bool,
) -> Tuned:
    """The search, and whether what it found also holds on a later cutoff, whose labels no trial has seen."""
    settings = config.training
    given: dict[str, Any] = {"seed": settings.seed, "categorical": text_columns(snapshots.rows.select(snapshots.names))}
    study = Study(config.output / "tuning" / f"{kind}-{snapshots.fingerprint}-{settings.seed}.journal", resume)
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
    return encoded(train, levels), encoded(test, levels)


def _returned(rows: Sample) -> tuple[Sample, np.ndarray]:
    """Those who purchased within the horizon, and what they spent."""
    back = rows.take(rows.churned == 0)
    return back, positive(back.spend)


def _evaluate(
    snapshots: Snapshots,
    config: Config,
    plan: Split,
    truth: Sample,
    judged: dict[str, np.ndarray],
    earlier: Sequence[tuple[Heard, Prediction]],
) -> Evaluation:
    """The judge on the last cutoff, with intervals, segments and ladder; then what was heard of each earlier one."""
    settings, horizon = config.training, snapshots.task.horizon
    common: dict[str, Any] = {"seed": settings.seed, "resamples": settings.bootstrap}
    segments = segments_of(truth, horizon)
    past = take(snapshots, plan.test.train)
    rules = {name: rule(past, truth, horizon) for name, rule in ladder(snapshots.task).items()}
    ours = Prediction(judged["churn_probability"], judged.get("value"))
    parts = [evaluate_predictions({OURS: ours, **rules}, truth, plan.test.test, segments=segments, **common)]
    if "value" in judged:
        parts.append(coverage(truth, judged["value_low"], judged["value_high"], plan.test.test, **common))
    parts += [evaluate_predictions({OURS: said}, heard.truth, heard.fold.test, **common) for heard, said in earlier]
    return together(parts)


def _refuse_unlearnable(snapshots: Snapshots, plan: Split) -> None:
    """Every set of rows to learn from or to judge on needs a few customers of either fate."""
    folds = [fold for fold in (plan.test, plan.calibration, *plan.folds) if fold]
    for cutoffs in [(fold.test,) for fold in folds] + [fold.train for fold in folds]:
        churned = take(snapshots, cutoffs).churned
        left, stayed = int(churned.sum()), int((churned == 0).sum())
        if min(left, stayed) >= FEWEST:
            continue
        span = str(cutoffs[-1]) if len(cutoffs) == 1 else f"{cutoffs[0]} to {cutoffs[-1]}"
        raise DataError(
            f"cutoff {span}: {len(churned):,} customers in the cohort, of whom {left:,} churned and {stayed:,} "
            f"{'stayed' if snapshots.task.contractual else 'purchased'} within {snapshots.task.horizon}; at least "
            f"{FEWEST} of each are needed to learn. "
            + (
                "Check [subscriptions] end and cancelled, or"
                if snapshots.task.contractual
                else "Check [events] amount and time, or"
            )
            + " change [task] horizon, active_within or every"
        )
