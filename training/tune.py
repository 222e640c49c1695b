"""Optuna over folds forward in time: the defaults first, seeded, pruned fold by fold, ended by trials or by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import optuna
from tqdm import tqdm

from training.boosted import FIXED, Boosted
from training.split import Sample

MOST_TREES = 600
PATIENCE = 30


@dataclass(frozen=True)
class Trial:
    """One set of parameters and its mean loss over the folds (None where it was pruned)."""

    number: int
    parameters: dict[str, Any]
    loss: float | None


@dataclass(frozen=True)
class Tuned:
    """The best parameters, with the trees that they want, and every trial."""

    parameters: dict[str, Any]
    loss: float
    default_loss: float
    trials: tuple[Trial, ...]


Labelled = tuple[Sample, np.ndarray]


def tune(
    estimator: type[Boosted],
    folds: Sequence[tuple[Labelled, Labelled]],
    *,
    trials: int,
    seed: int,
    timeout: int = 0,
    title: str = "",
    categorical: Sequence[str] = (),
) -> Tuned:
    """Searches the parameters of an estimator for the least mean loss on later cutoffs.

    Args:
        estimator: Its `objective` names LightGBM's loss.
        folds: Pairs of (sample, label) to learn from and to judge on, the judged one later by a horizon.
        trials: How many sets of parameters, the defaults among them.
        seed: Of the search and of the trees.
        timeout: Seconds after which no trial starts; 0: none.
        title: What the progress bar says.
        categorical: Columns that hold codes of levels.

    Returns:
        The best parameters; the number of trees is the mean that early stopping chose over the folds.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = [_datasets(fold, categorical) for fold in folds]
    study = optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=8),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=0),
    )
    study.enqueue_trial(_defaults(estimator))
    with tqdm(total=trials, desc=title or "tuning", leave=False, disable=None) as bar:

        def tick(*_: Any) -> None:
            bar.update()

        study.optimize(
            _objective(estimator, data, {"seed": seed, "categorical": categorical}),
            n_trials=trials,
            timeout=timeout or None,
            callbacks=[tick],
        )
    done = tuple(_trial(t) for t in study.trials)
    best = study.best_trial
    return Tuned(
        parameters={**best.params, "n_estimators": best.user_attrs["trees"]},
        loss=float(best.value or 0.0),
        default_loss=float(done[0].loss if done[0].loss is not None else np.nan),
        trials=done,
    )


def _objective(
    estimator: type[Boosted], data: Sequence[tuple[lgb.Dataset, lgb.Dataset]], given: dict[str, Any]
) -> Callable[[optuna.Trial], float]:
    def loss(trial: optuna.Trial) -> float:
        model = estimator(**_suggest(trial), **given)
        losses, trees = [], []
        for step, (train, test) in enumerate(data):
            booster = lgb.train(
                model.parameters(),
                train,
                num_boost_round=MOST_TREES,
                valid_sets=[test],
                callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
            )
            losses.append(next(iter(booster.best_score["valid_0"].values())))
            trees.append(booster.best_iteration)
            trial.report(float(np.mean(losses)), step)
            if step + 1 < len(data) and trial.should_prune():
                raise optuna.TrialPruned
        trial.set_user_attr("trees", max(5, round(float(np.mean(trees)))))
        return float(np.mean(losses))

    return loss


def _suggest(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.12, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 48, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 10, 500, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.4, 1.0),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
    }


def _defaults(estimator: type[Boosted]) -> dict[str, Any]:
    own = estimator().get_params()
    return {name: value for name, value in own.items() if name not in ("n_estimators", "seed", "categorical")}


def _datasets(fold: tuple[Labelled, Labelled], categorical: Sequence[str]) -> tuple[lgb.Dataset, lgb.Dataset]:
    (train, label), (test, later) = fold
    places = [train.features.column_names.index(name) for name in categorical]
    learn = lgb.Dataset(train.features, label=label, params=FIXED, free_raw_data=False, categorical_feature=places)
    return learn, lgb.Dataset(test.features, label=later, reference=learn, params=FIXED, free_raw_data=False)


def _trial(trial: optuna.trial.FrozenTrial) -> Trial:
    complete = trial.state == optuna.trial.TrialState.COMPLETE
    return Trial(trial.number, dict(trial.params), float(trial.value) if complete and trial.value is not None else None)
