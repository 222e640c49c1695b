"""Tunes parameters with Optuna over folds forward in time: reproducible, pruned, stored on disk and resumable.

The defaults are tried first. Each trial begins on a quarter of the newest fold's training rows; only the better third
goes on to all folds (successive halving: Jamieson and Talwalkar, AISTATS 2016). The search ends when WITHOUT_GAIN
trials in a row brought nothing but noise. Every trial has its own seed, so an interrupted and resumed search gives the
same result as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import lightgbm as lgb
import numpy as np
import optuna
import pyarrow as pa
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from tqdm import tqdm

from features.errors import UsageError
from training.data.time_split import Sample
from training.models.lightgbm_base import FIXED, LightGBMEstimator, bin_features
from training.models.linear_prior import churn_loss, spend_loss
from training.side_by_side import is_unwanted

MAX_TREES = 300
PATIENCE = 15
MAX_ROWS, MAX_TEST_ROWS = 30_000, 15_000  # most rows of a fold: enough to compare parameters
FIRST_SHARE, SURVIVORS = 0.25, 33.0  # share of these rows that a trial begins on; percentage of trials that go on
STARTUP_TRIALS = 4  # so many are not pruned
WITHOUT_GAIN = 10  # the search ends after so many trials without a gain
GAIN = "gain"  # attribute of a trial: whether its loss was lower by more than a standard error
COARSE_BINS = {"max_bin": 63, "bin_construct_sample_cnt": 10_000}  # while trials are compared: fine ones cost more
MIN_TRIALS_FOR_IMPORTANCE = 8  # with fewer trials no importance is computed
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
STUDY_NAME = "halving until nothing is gained"  # named after the procedure: trials of another one are not continued
LOSSES = {"binary": churn_loss, "gamma": spend_loss}


@dataclass(frozen=True)
class TuningTrial:
    """One set of parameters and its mean loss over the folds (None if it was pruned)."""

    number: int
    parameters: dict[str, Any]
    loss: float | None


@dataclass(frozen=True)
class TuningResult:
    """The best parameters, with their number of trees, and every trial.

    Attributes:
        parameters: Of the best trial.
        loss: Its mean loss over the folds.
        default_loss: Mean loss of the defaults.
        trials: All trials in their order.
        importance: Share of the variance of the first part's loss over the trials that each parameter explains (fANOVA:
            Hutter, Hoos and Leyton-Brown, ICML 2014), largest first; empty if there are few trials.
        gained: Whether any trial was better than the defaults by more than chance.
        kept: Whether they were also better on a later cutoff that no trial had seen, by more than chance; if False,
            the defaults are used.
        later: Loss of the defaults and of these parameters there; None if that was not compared.
    """

    parameters: dict[str, Any]
    loss: float
    default_loss: float
    trials: tuple[TuningTrial, ...]
    importance: dict[str, float] = field(default_factory=dict)
    gained: bool = True
    kept: bool = True
    later: tuple[float, float] | None = None

    @property
    def used(self) -> dict[str, Any]:
        """The parameters to use: the best ones if they are kept, else none, which means the defaults."""
        return self.parameters if self.kept else {}


Labelled = tuple[Sample, np.ndarray]


@dataclass(frozen=True)
class StudyFile:
    """Where a search is stored: in a journal file of Optuna, or in memory.

    Attributes:
        path: The journal; None: in memory.
        resume: Whether to continue the stored search; otherwise it is deleted and started again.
    """

    path: Path | None = None
    resume: bool = False


def tune_models(
    estimator: type[LightGBMEstimator],
    folds: Sequence[tuple[Labelled, Labelled]],
    *,
    trials: int,
    seed: int,
    timeout: int = 0,
    title: str = "",
    categorical: Sequence[str] = (),
    study: StudyFile = StudyFile(),
) -> TuningResult:
    """Searches the parameters of an estimator that give the lowest mean loss on later cutoffs.

    Args:
        estimator: Its `objective` names LightGBM's loss.
        folds: Pairs of a training and a test (sample, label); the test sample is a horizon later.
        trials: Most sets of parameters, including the defaults.
        seed: Of the search and of the trees.
        timeout: Seconds after which no trial starts; 0: no limit.
        title: Title of the progress bar.
        categorical: Columns that hold codes of levels.
        study: Where the search is stored.

    Returns:
        The best parameters; the number of trees is the mean that early stopping chose over the folds.

    Raises:
        UsageError: The study's file cannot be written or read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampled = [(sample_for_tuning(train, seed), sample_for_tuning(test, seed, MAX_TEST_ROWS)) for train, test in folds]
    folds_in_bins = [_FoldInBins.of(fold, categorical) for fold in sampled]
    first = _first_part(sampled[0], categorical, seed) or folds_in_bins[0]
    trying = _Trying(estimator, [first, *folds_in_bins], {"seed": seed, "categorical": categorical})
    search = _open_study(study, _defaults(estimator))
    ends = monotonic() + timeout if timeout else np.inf
    with tqdm(total=trials, desc=title, leave=False, disable=None) as bar:
        while _goes_on(search, trials) and monotonic() < ends and not is_unwanted():
            done = len(_finished(search))
            bar.update(done - bar.n)
            search.sampler = _sampler(seed, done)
            search.optimize(trying.loss, n_trials=1)
    best = search.best_trial
    finished = tuple(_to_tuning_trial(number, t) for number, t in enumerate(_finished(search)))
    return TuningResult(
        parameters={**best.params, "n_estimators": best.user_attrs["trees"]},
        loss=float(best.value or 0.0),
        default_loss=float(finished[0].loss if finished[0].loss is not None else np.nan),
        trials=finished,
        importance=_importance(search, seed),
        gained=(gained := _last_gain(search) > 0),
        kept=gained,
    )


def later_losses(
    estimators: Sequence[LightGBMEstimator], fold: tuple[Labelled, Labelled], seed: int
) -> tuple[np.ndarray, ...]:
    """Compares estimators of one class on a later fold, on as many rows as tuning uses.

    Args:
        estimators: The estimators, which are fitted.
        fold: Training and test (sample, label), text as codes.
        seed: Of the sample of customers.

    Returns:
        The loss of each test row (n,), by estimator.
    """
    (train, label), (test, outcome) = sample_for_tuning(fold[0], seed), fold[1]
    binned = bin_features(train.features, estimators[0].categorical)
    margins = (estimator.fit_binned(binned, label).margin(test.features) for estimator in estimators)
    loss = LOSSES[estimators[0].objective]
    return tuple(loss(outcome, margin)[0] for margin in margins)


def is_gain(before: Sequence[np.ndarray], now: Sequence[np.ndarray]) -> bool:
    """Whether losses became lower by more than the standard error of the paired difference.

    Args:
        before: Losses (n,) of the test rows of each fold.
        now: Other losses of the same rows.

    Returns:
        The verdict on the mean over the folds.

    >>> is_gain([np.array([2.0, 2.0, 3.0])], [np.array([1.0, 1.5, 2.0])])
    True
    >>> is_gain([np.array([2.0, 2.0, 3.0])], [np.array([1.0, 2.5, 3.4])])
    False
    """
    gaps = [losses - fewer for losses, fewer in zip(before, now, strict=True)]
    error = np.sqrt(sum(gap.var() / len(gap) for gap in gaps)) / len(gaps)
    return bool(np.mean([gap.mean() for gap in gaps]) > error)


def _open_study(study: StudyFile, defaults: Mapping[str, Any]) -> optuna.Study:
    """Opens the search: a new one tries the defaults first; a resumed one drops interrupted trials."""
    try:
        search = optuna.create_study(
            study_name=STUDY_NAME,
            storage=_storage(study),
            direction="minimize",
            pruner=optuna.pruners.PercentilePruner(SURVIVORS, n_startup_trials=STARTUP_TRIALS),
            load_if_exists=True,
        )
    except (OSError, ValueError, KeyError) as problem:
        raise UsageError(f"{study.path}: the tuning study cannot be kept there: {problem}") from None
    for trial in search.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        search.tell(trial.number, state=TrialState.FAIL)
    if not search.get_trials(deepcopy=False, states=(*DONE, TrialState.WAITING)):
        search.enqueue_trial(dict(defaults))
    return search


def _storage(study: StudyFile) -> BaseStorage:
    if study.path is None:
        return InMemoryStorage()
    study.path.parent.mkdir(parents=True, exist_ok=True)
    if not study.resume:
        study.path.unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(str(study.path)))


def _finished(search: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return search.get_trials(deepcopy=False, states=DONE)


def _goes_on(search: optuna.Study, trials: int) -> bool:
    """Whether another trial is wanted: less than `trials` are finished, and one of the last ones was a gain."""
    return len(_finished(search)) < min(trials, _last_gain(search) + 1 + WITHOUT_GAIN)


def _last_gain(search: optuna.Study) -> int:
    """How many trials were finished before the last one that was a gain; 0 for the defaults."""
    return max((n for n, trial in enumerate(_finished(search)) if trial.user_attrs.get(GAIN)), default=0)


def _sampler(seed: int, number: int) -> optuna.samplers.BaseSampler:
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return optuna.samplers.TPESampler(seed=own, multivariate=True, n_startup_trials=8)


def sample_for_tuning(rows: Labelled, seed: int, most: int | None = None) -> Labelled:
    """Samples customers with all of their rows.

    Args:
        rows: The rows (n) and their labels.
        seed: Of the sample.
        most: About how many rows to take; by default MAX_ROWS.

    Returns:
        The sample; everything if there are hardly more rows.
    """
    sample, label = rows
    most = MAX_ROWS if most is None else most
    if len(sample) <= 1.1 * most:
        return rows
    chosen = _of_some_customers(sample, most / len(sample), seed)
    return sample.take(chosen), label[chosen]


def _of_some_customers(sample: Sample, share: float, seed: int) -> np.ndarray:
    """Marks (n,) all rows of a random share of the customers."""
    customers, place = np.unique(sample.customers.to_numpy(zero_copy_only=False), return_inverse=True)
    return (np.random.default_rng(seed).random(len(customers)) < share)[place]


def _first_part(fold: tuple[Labelled, Labelled], categorical: Sequence[str], seed: int) -> _FoldInBins | None:
    """A fold with the training rows that every trial begins on; None if these would have labels of one kind only.

    The rows get bins of their own: LightGBM's `Dataset.subset` can crash the process in training on few of many rows.
    """
    (sample, label), test = fold
    chosen = _of_some_customers(sample, FIRST_SHARE, seed + 1)
    if not chosen.any() or np.ptp(label[chosen]) == 0:
        return None
    return _FoldInBins.of(((sample.take(chosen), label[chosen]), test), categorical)


def _importance(search: optuna.Study, seed: int) -> dict[str, float]:
    """The importance of the parameters for the loss on the first part, which every trial has."""
    finished = _finished(search)
    if len({t.intermediate_values[0] for t in finished}) < MIN_TRIALS_FOR_IMPORTANCE:
        return {}
    first = optuna.create_study()
    first.add_trials(
        optuna.trial.create_trial(params=t.params, distributions=t.distributions, value=t.intermediate_values[0])
        for t in finished
    )
    shares = get_param_importances(first, evaluator=FanovaImportanceEvaluator(seed=seed))
    return {name: float(share) for name, share in shares.items()}


@dataclass(frozen=True)
class _FoldInBins:
    """A fold as LightGBM takes it, with the features (n, p) and labels (n,) of its test rows."""

    train: lgb.Dataset
    test: lgb.Dataset
    features: pa.Table
    label: np.ndarray

    @classmethod
    def of(cls, fold: tuple[Labelled, Labelled], categorical: Sequence[str]) -> _FoldInBins:
        (train, label), (test, later) = fold
        places = [train.features.column_names.index(name) for name in categorical]
        params = {**FIXED, **COARSE_BINS}
        learn = lgb.Dataset(train.features, label=label, params=params, categorical_feature=places)
        return cls(learn, lgb.Dataset(test.features, label=later, reference=learn, params=params), test.features, later)


class _Trying:
    """Tries sets of parameters on folds; the first fold only decides which trials go on to the others."""

    def __init__(self, estimator: type[LightGBMEstimator], folds: Sequence[_FoldInBins], fixed: Mapping[str, Any]):
        self.estimator, self.folds, self.fixed = estimator, folds, fixed
        self.boosters: dict[int, list[lgb.Booster]] = {}  # of the last trial that was a gain, by its number

    def loss(self, trial: optuna.Trial) -> float:
        """The mean loss over all folds but the first; raises TrialPruned if the trial is not among the better ones."""
        losses: list[float] = []
        boosters = []
        for step, fold in enumerate(self.folds):
            boosters.append(self._fit(_suggest(trial), fold))
            losses.append(next(iter(boosters[-1].best_score["valid_0"].values())))
            trial.report(float(np.mean(losses[1:] or losses)), step)
            if step + 1 < len(self.folds) and trial.should_prune():
                raise optuna.TrialPruned
        trees = [booster.best_iteration for booster in boosters[1:]]
        trial.set_user_attr("trees", max(5, round(float(np.mean(trees)))))
        trial.set_user_attr(GAIN, self._is_gain(trial, boosters[1:]))
        return float(np.mean(losses[1:]))

    def _fit(self, parameters: Mapping[str, Any], fold: _FoldInBins) -> lgb.Booster:
        return lgb.train(
            self.estimator(**parameters, **self.fixed).lightgbm_parameters(),
            fold.train,
            num_boost_round=MAX_TREES,
            valid_sets=[fold.test],
            callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
        )

    def _is_gain(self, trial: optuna.Trial, boosters: list[lgb.Booster]) -> bool:
        """Whether the loss is lower than that of the last gain by more than the standard error of the difference."""
        gains = [t for t in _finished(trial.study) if t.user_attrs.get(GAIN)]
        if gains:
            last = gains[-1]
            if last.number not in self.boosters:  # an interrupted search is continued
                self.boosters = {last.number: [self._fit(last.params, fold) for fold in self.folds[1:]]}
            if not is_gain(self._losses(self.boosters[last.number]), self._losses(boosters)):
                return False
        self.boosters = {trial.number: boosters}
        return True

    def _losses(self, boosters: Sequence[lgb.Booster]) -> list[np.ndarray]:
        """The loss of each test row (n,) of each fold but the first."""
        loss = LOSSES[self.estimator.objective]
        return [
            loss(fold.label, np.asarray(booster.predict(fold.features, raw_score=True)))[0]
            for booster, fold in zip(boosters, self.folds[1:], strict=True)
        ]


def _suggest(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.04, 0.15, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 48, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 10, 500, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.4, 1.0),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
    }


def _defaults(estimator: type[LightGBMEstimator]) -> dict[str, Any]:
    own = estimator().get_params()
    return {name: value for name, value in own.items() if name not in ("n_estimators", "seed", "categorical")}


def _to_tuning_trial(number: int, trial: optuna.trial.FrozenTrial) -> TuningTrial:
    complete = trial.state == TrialState.COMPLETE
    return TuningTrial(number, dict(trial.params), float(trial.value) if complete and trial.value is not None else None)
