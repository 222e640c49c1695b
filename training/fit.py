"""From snapshots to evaluated models: tune on early cutoffs, evaluate on the last, then fit on all of them.

The final models are fitted by the procedure that was evaluated, on every mature cutoff: so a horizon later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from features.config.load import Config
from features.errors import DataError
from features.label_delay import label_delay_note
from features.snapshots.build import Snapshots
from features.task import Window
from training.artifact.bundle import ModelBundle
from training.data.category_levels import encode_sample, learn_levels, text_columns
from training.data.heavy_values import heavy_value_note
from training.data.prediction import OutOfTimePredictions, Prediction
from training.data.time_split import (
    MIN_PER_OUTCOME,
    Fold,
    Sample,
    TimeSplit,
    outcomes_at,
    sample_at,
    time_splits,
    training_sample,
)
from training.evaluation.evaluate import (
    OURS,
    Evaluation,
    concat_evaluations,
    evaluate_coverage,
    evaluate_predictions,
    evaluation_segments,
)
from training.evaluation.leavers import evaluate_leavers
from training.evaluation.longer_horizons import evaluate_longer_horizons
from training.evaluation.return_times import evaluate_return_times
from training.evaluation.skill import Skill, assess_skill
from training.evaluation.tenure_hazard import baselines_for
from training.models.base_models import FittedBefore, OutOfTimeFold, fit_at_all_cutoffs, has_money
from training.models.churn import ChurnClassifier
from training.models.ensemble import FittedEnsemble, fit_ensemble, sets_to_fit
from training.models.everybody_alike import AlikeModels, fit_everybody_alike
from training.models.lifetime import with_lifetime
from training.models.lightgbm_base import LightGBMEstimator
from training.models.longer_horizons import with_longer_horizons
from training.models.return_hazard import fit_return_hazard
from training.models.spend import SpendRegressor, positive_spend
from training.side_by_side import run_side_by_side
from training.tune import Labelled, StudyFile, TuningResult, is_gain, later_losses, sample_for_tuning, tune_models

Pair = tuple[Labelled, Labelled]
QUICK_NOTE = (
    "a quick look (`regulars train --quick`): of few rows and not tuned; run `regulars train` before you rely on it"
)
ESTIMATORS: dict[str, type[LightGBMEstimator]] = {"churn": ChurnClassifier, "spend": SpendRegressor}


@dataclass(frozen=True)
class FittedModels:
    """The models that training fitted, with their evaluation, before anything is logged.

    Attributes:
        churn: The final churn model.
        value: The final value model; None without money.
        evaluation: Of the evaluated model, on cutoffs that it had not seen.
        evaluated: The evaluated model: its training labels end by the last cutoff.
        truth: The last cutoff's customers (n rows).
        predictions: Its predictions (n,) for them by score column.
        tuned: By 'churn' and 'spend'; empty if the log was too short.
        split: How the cutoffs were used.
        interval: The probability that prediction intervals hold the actual number, in (0, 1).
        notes: Which rows were left out, and what could not be done, in words.
        alike: Everybody alike as models, which score in their place if they have no skill; None if they have.
    """

    churn: ModelBundle
    value: ModelBundle | None
    evaluation: Evaluation
    evaluated: ModelBundle
    truth: Sample
    predictions: dict[str, np.ndarray]
    tuned: dict[str, TuningResult]
    split: TimeSplit
    interval: float
    notes: tuple[str, ...] = ()
    alike: AlikeModels | None = None

    @property
    def skill(self) -> Skill | None:
        """Whether the evaluated model tells customers apart at the last cutoff; None if that was not measured."""
        return assess_skill(self.evaluation, self.split.test.test)

    @property
    def evaluated_without(self) -> tuple[str, ...]:
        """What the evaluated model had to do without because of too few cutoffs: 'calibration', 'tuning'."""
        lacks = {"calibration": not self.evaluated.facts["heard"], "tuning": not self.split.folds}
        return tuple(name for name, lacking in lacks.items() if lacking)

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What the evaluated model, or both models, had to do without, in words; empty if nothing."""
        return tuple(filter(None, (self.split.shortfall, _uncalibrated_note(self.evaluated, self.churn))))

    @property
    def out_of_time(self) -> OutOfTimePredictions:
        """The evaluated models' predictions for the last cutoff, with the true outcomes."""
        return OutOfTimePredictions(self.truth, self.predictions, self.split.test.test)


def fit_models(
    snapshots: Snapshots, config: Config, *, resume: bool = False, latest: Snapshots | None = None
) -> FittedModels:
    """Tunes, evaluates and fits the models of a business.

    Args:
        snapshots: Of every mature cutoff, with labels.
        config: Seeds, trials, interval.
        resume: Whether to continue an interrupted tuning of the same data.
        latest: The newest customers, without labels, from whom lifetime value is forecast; see `with_lifetime`.

    Returns:
        The fitted models with their evaluation.

    Raises:
        DataError: There are too few cutoffs, churned customers or retained customers.
    """
    split = time_splits(snapshots.cutoffs, snapshots.task.horizon)
    _check_outcomes(snapshots, split)
    with threadpool_limits(1, user_api="blas"):  # BLAS sums depend on the number of threads
        return _fit_models(snapshots, split, config, resume, latest)


def _fit_models(
    snapshots: Snapshots, split: TimeSplit, config: Config, resume: bool, latest: Snapshots | None
) -> FittedModels:
    tuned, baselines = _tune_and_predict_baselines(snapshots, split, config, resume)
    parameters = {name: t.used for name, t in tuned.items()}
    fitted: FittedBefore = {}
    known_then, inside = snapshots.as_known(split.test.test), config.serving.interval
    with tqdm(total=5, desc="fitting models", leave=False, disable=None) as steps:
        sets = [*sets_to_fit(known_then, split.test.train), *sets_to_fit(snapshots, split.all_cutoffs)]
        fit_at_all_cutoffs(sets, config.training.seed, parameters, fitted)
        steps.update()
        evaluated = fit_ensemble(known_then, config, split.test.train, parameters, fitted)
        truth = sample_at(snapshots, [split.test.test])
        predictions = evaluated.richest.predict(truth.features)
        steps.update()
        context = (snapshots.task.horizon, config, split.test.test, truth)
        evaluation = _evaluate(*context, predictions, baselines, evaluated.cross_calibrated(inside))
        steps.update()
        final = fit_ensemble(snapshots, config, split.all_cutoffs, parameters, fitted)
        steps.update()
        churn, value, notes = _with_later_outcomes(final, snapshots, config, split.all_cutoffs, latest)
        evaluated_bundle = _extended_then(evaluated, known_then, config, split.test)
        longer_evaluations, not_evaluated = evaluate_longer_horizons(
            snapshots, config, [step.column for step in value.longer] if value else []
        )
        longer_evaluations += evaluate_return_times(evaluated_bundle, truth, split.test.test, config)
    done = FittedModels(
        churn=churn,
        value=value,
        evaluation=concat_evaluations([evaluation, *longer_evaluations]),
        evaluated=evaluated_bundle,
        truth=truth,
        predictions=predictions,
        tuned=tuned,
        split=split,
        interval=inside,
        notes=(*_notes_on_rows(snapshots, config.training.quick), *notes, *not_evaluated),
    )
    return replace(done, alike=_everybody_alike(done, snapshots, inside))


def _notes_on_rows(snapshots: Snapshots, quick: bool) -> tuple[str, ...]:
    """Which rows were chosen, left out or limited, in words."""
    chosen = [snapshots.choice.note] if snapshots.choice and snapshots.choice.note else []
    delay = label_delay_note(snapshots.label_delay, snapshots.end, snapshots.task.horizon)
    left_out = (*contacted_note(snapshots), *heavy_value_note(snapshots))
    return (*([QUICK_NOTE] if quick else []), *chosen, *delay, *left_out)


def _everybody_alike(fitted: FittedModels, snapshots: Snapshots, inside: float) -> AlikeModels | None:
    """Everybody alike as models, from the cutoffs of the fitted ones; None if these have skill."""
    if fitted.skill is None or fitted.skill.shown:
        return None
    models = [bundle for bundle in (fitted.churn, fitted.value) if bundle is not None]
    known_then = snapshots.as_known(fitted.split.test.test)
    return AlikeModels(
        tuple(fit_everybody_alike(bundle, snapshots, inside) for bundle in models),
        fit_everybody_alike(fitted.evaluated, known_then, inside),
    )


def _uncalibrated_note(evaluated: ModelBundle, final: ModelBundle) -> str:
    """Says if the evaluated model had no cutoff to be calibrated on and the registered one has; empty if not."""
    calibrated_on = final.facts["heard"]
    if evaluated.facts["heard"] or not calibrated_on:
        return ""
    return (
        "the evaluated and the registered model are not of one kind: the evaluated one had no later cutoff for its "
        f"stacking weights and calibration, the registered one has {', '.join(calibrated_on)}. The figures show what "
        "the models can do without calibration; the calibration is not evaluated"
    )


def _with_later_outcomes(
    final: FittedEnsemble, snapshots: Snapshots, config: Config, cutoffs: Sequence[date], latest: Snapshots | None
) -> tuple[ModelBundle, ModelBundle | None, tuple[str, ...]]:
    """The final models with the hazard of returning, longer horizons and lifetime value, and notes on what is left out.

    The value model comes second.
    """
    known, returns = (cutoffs, snapshots.labels_end), fit_return_hazard(final.churn, snapshots, config, cutoffs)
    value, notes = with_longer_horizons(final.value, snapshots, config, *known)
    value, lifetime_notes = with_lifetime(value, snapshots, config.lifetime, *known, latest)
    return replace(final.churn, returns=returns), value and replace(value, returns=returns), (*notes, *lifetime_notes)


def _extended_then(evaluated: FittedEnsemble, known_then: Snapshots, config: Config, test: Fold) -> ModelBundle:
    """The evaluated model with the longer horizons and the hazard of returning that were known at its test cutoff."""
    value, _ = with_longer_horizons(evaluated.value, known_then, config, test.train, test.test)
    bundle = value or evaluated.churn
    return replace(bundle, returns=fit_return_hazard(bundle, known_then, config, test.train))


def contacted_note(snapshots: Snapshots) -> tuple[str, ...]:
    """Says how many rows were left out because of contacts; empty if none was."""
    left_out = snapshots.touched
    if not left_out:
        return ()
    total = left_out + snapshots.rows.num_rows
    return (
        "training and evaluation use only customers without a contact within the label's interval ([training] "
        f"learn_from = 'untouched'): {left_out:,} of {total:,} rows ({left_out / total:.1%}) are left out",
    )


def _tune_and_predict_baselines(
    snapshots: Snapshots, split: TimeSplit, config: Config, resume: bool
) -> tuple[dict[str, TuningResult], dict[str, Prediction]]:
    """Tunes churn and spend and fits the baselines, which do not depend on each other, side by side.

    Args:
        snapshots: See `fit_models`.
        split: The cutoffs.
        config: See `fit_models`.
        resume: See `fit_models`.

    Returns:
        The tuned parameters by 'churn' and 'spend', and the baselines' predictions for the last cutoff by name.
    """
    searches = _searches(snapshots, split, config, resume)
    pieces: list[Callable[[], Any]] = [*searches.values(), partial(_predict_baselines, snapshots, split.test)]
    *tuned, baselines = run_side_by_side(pieces)
    return dict(zip(searches, tuned, strict=True)), baselines


def _predict_baselines(snapshots: Snapshots, test: Fold) -> dict[str, Prediction]:
    train, truth, horizon = training_sample(snapshots, test), sample_at(snapshots, [test.test]), snapshots.task.horizon
    return {name: baseline(train, truth, horizon) for name, baseline in baselines_for(snapshots.task).items()}


def _searches(
    snapshots: Snapshots, split: TimeSplit, config: Config, resume: bool
) -> dict[str, Callable[[], TuningResult]]:
    """The searches of parameters by 'churn' and 'spend'; none if the log is too short or no trials are wanted."""
    if not split.folds or not config.training.trials:
        return {}
    folds = [*split.folds, *([split.calibration] if split.calibration else [])]
    known_then = snapshots.as_known(split.test.test)  # what the evaluated model is tuned on
    pairs = [_pairs_for_tuning(known_then, fold, config.training.seed) for fold in folds]
    return {
        kind: partial(
            _tune_and_check,
            kind,
            estimator,
            [by_kind[kind] for by_kind in pairs[: len(split.folds)]],
            [by_kind[kind] for by_kind in pairs[len(split.folds) :]],
            snapshots,
            config,
            resume,
        )
        for kind, estimator in ESTIMATORS.items()
        if kind in pairs[0]
    }


def _pairs_for_tuning(snapshots: Snapshots, fold: Fold, seed: int) -> dict[str, Pair]:
    """The training and test rows of a fold by 'churn' and 'spend'; of the training rows as many as tuning uses."""
    train, test = _encoded_pair(training_sample(snapshots, fold), sample_at(snapshots, [fold.test]))
    pairs = {"churn": (sample_for_tuning((train, train.churned), seed), (test, test.churned))}
    if has_money(snapshots):
        pairs["spend"] = (sample_for_tuning(_returning_customers(train), seed), _returning_customers(test))
    return pairs


def _tune_and_check(
    kind: str,
    estimator: type[LightGBMEstimator],
    folds: Sequence[Pair],
    later: Sequence[Pair],
    snapshots: Snapshots,
    config: Config,
    resume: bool,
) -> TuningResult:
    """Tunes parameters, then compares them with the defaults on a later cutoff whose labels no trial has seen."""
    settings = config.training
    fixed: dict[str, Any] = {"seed": settings.seed, "categorical": text_columns(snapshots.rows.select(snapshots.names))}
    study = StudyFile(config.output / "tuning" / _study_name(kind, snapshots, settings.seed), resume)
    tuned = tune_models(
        estimator, folds, trials=settings.trials, timeout=settings.timeout, title=f"tuning {kind}", study=study, **fixed
    )
    if not later or not tuned.gained:
        return tuned
    default, best = later_losses([estimator(**fixed), estimator(**tuned.parameters, **fixed)], later[0], settings.seed)
    means = float(default.mean()), float(best.mean())
    return replace(tuned, kept=is_gain([default], [best]), later=means)


def _study_name(kind: str, snapshots: Snapshots, seed: int) -> str:
    """The file of a study; another one if labels wait longer, because the folds then have other cutoffs."""
    wait = snapshots.label_delay.wait
    return f"{kind}-{snapshots.fingerprint}{f'-wait{wait}' if wait else ''}-{seed}.journal"


def _encoded_pair(train: Sample, test: Sample) -> tuple[Sample, Sample]:
    """Both samples with text as codes of the first one's levels."""
    levels = learn_levels(train)
    return encode_sample(train, levels), encode_sample(test, levels)


def _returning_customers(rows: Sample) -> tuple[Sample, np.ndarray]:
    """The customers who purchased within the horizon, and their spend (n,)."""
    returned = rows.take(rows.churned == 0)
    return returned, positive_spend(returned.spend)


def _evaluate(
    horizon: Window,
    config: Config,
    test: date,
    truth: Sample,
    predictions: dict[str, np.ndarray],
    baselines: Mapping[str, Prediction],
    out_of_time: Sequence[tuple[OutOfTimeFold, Prediction]],
) -> Evaluation:
    """Evaluates the last cutoff, with segments and baselines, then our out-of-time predictions at earlier cutoffs."""
    settings = config.training
    common: dict[str, Any] = {"seed": settings.seed, "resamples": settings.bootstrap}
    segments = evaluation_segments(truth, horizon)
    ours = Prediction(predictions["churn_probability"], predictions.get("value"))
    parts = [evaluate_predictions({OURS: ours, **baselines}, truth, test, segments=segments, **common)]
    if "value" in predictions:
        parts.append(evaluate_coverage(truth, predictions["value_low"], predictions["value_high"], test, **common))
    parts.append(evaluate_leavers(ours.churn, truth, test, out_of_time, horizon, config.serving.interval))
    earlier = [
        partial(evaluate_predictions, {OURS: predicted}, fold.truth, fold.fold.test, **common)
        for fold, predicted in out_of_time
    ]
    return concat_evaluations([*parts, *run_side_by_side(earlier)])


def _check_outcomes(snapshots: Snapshots, split: TimeSplit) -> None:
    """Raises DataError unless every training and test sample has some churned and some retained customers."""
    folds = [fold for fold in (split.test, split.calibration, *split.folds) if fold]
    tested = [((fold.test,), snapshots) for fold in folds]
    for cutoffs, known in [*tested, *((fold.train, snapshots.as_known(fold.test)) for fold in folds)]:
        churned = outcomes_at(known, cutoffs).churned
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
