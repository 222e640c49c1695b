"""From snapshots to judged models: tune on early cutoffs, calibrate on a later one, judge on the last, ship the whole.

The shipped models repeat, a horizon later, what was judged: they learn from every mature cutoff and are calibrated
on the last one by models that had not seen it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from tqdm import tqdm

from features.config import Config
from features.errors import DataError
from features.snapshots import Snapshots
from training.baselines import Prediction
from training.bundle import Levels, ModelBundle
from training.calibrate import fit_intervals, fit_level, fit_platt
from training.churn import ChurnClassifier
from training.evaluate import OURS, Evaluation, coverage, evaluate, together
from training.hazard import ladder
from training.levels import encoded, learn_levels, text_columns
from training.split import Sample, Split, split, take
from training.tune import Tuned, tune
from training.value import SpendRegressor, positive

FEWEST = 10


@dataclass(frozen=True)
class Learned:
    """What training leaves behind, before anything is logged.

    Attributes:
        churn: The shipped churn model.
        value: The shipped value model, or None without money.
        evaluation: Of the judged models, on cutoffs that they had not seen.
        truth: The last cutoff's customers, and
        judged: what the judged models said of them, for plots.
        tuned: By 'churn' and 'spend'; empty where the log was too short.
        split: How the cutoffs were used.
    """

    churn: ModelBundle
    value: ModelBundle | None
    evaluation: Evaluation
    truth: Sample
    judged: dict[str, np.ndarray]
    tuned: dict[str, Tuned]
    split: Split


@dataclass(frozen=True)
class _Models:
    gate: ChurnClassifier
    spend: SpendRegressor | None
    levels: Levels

    def predict(self, rows: Sample) -> Prediction:
        """Churn and value before any calibration."""
        X = encoded(rows, self.levels).features
        churn = self.gate.predict_proba(X)[:, 1]
        return Prediction(churn, None if self.spend is None else (1 - churn) * self.spend.predict(X))


@dataclass(frozen=True)
class _Recipe:
    """All that decides how models are made from some cutoffs."""

    snapshots: Snapshots
    config: Config
    money: bool
    parameters: dict[str, dict[str, Any]]

    def fit(self, cutoffs: tuple[date, ...]) -> _Models:
        """The levels, the gate, and the spend of those who returned, learned from some cutoffs."""
        text = take(self.snapshots, cutoffs)
        levels = learn_levels(text)
        rows = encoded(text, levels)
        given: dict[str, Any] = {"seed": self.config.training.seed, "categorical": tuple(levels)}
        gate = ChurnClassifier(**self.parameters.get("churn", {}), **given).fit(rows.features, rows.churned)
        if not self.money:
            return _Models(gate, None, levels)
        back = rows.take(rows.churned == 0)
        spend = SpendRegressor(**self.parameters.get("spend", {}), **given).fit(back.features, back.spend)
        return _Models(gate, spend, levels)

    def calibrate(self, models: _Models, later: Sample) -> dict[str, Any]:
        """Slope, intercept, level and intervals that would have held on a later cutoff."""
        X = encoded(later, models.levels).features
        margin = models.gate.margin(X)
        platt = fit_platt(margin, later.churned)
        if models.spend is None:
            return {"slope": platt.slope, "intercept": platt.intercept}
        back = 1 - platt.probability(margin)
        value = back * models.spend.predict(X)
        level = fit_level(value, later.spend, bought=int((later.churned == 0).sum()))
        intervals = fit_intervals(value * np.exp(level), later.spend, self.config.serving.interval)
        return {"slope": platt.slope, "intercept": platt.intercept, "log_level": level, "intervals": intervals}

    def bundle(self, models: _Models, calibration: dict[str, Any], kind: str, learned: tuple[date, ...]) -> ModelBundle:
        """The models as text, with where they came from."""
        task = self.snapshots.task
        spend = models.spend.booster_.model_to_string() if kind == "value" and models.spend is not None else ""
        own = ("slope", "intercept") if kind == "churn" else ("slope", "intercept", "log_level", "intervals")
        return ModelBundle(
            kind=kind,
            name=self.config.name,
            features=tuple(self.snapshots.names),
            task={
                "horizon": str(task.horizon),
                "churn": task.churn,
                "active_within": str(task.cohort.active_within),
                "every": str(task.every),
                "windows": [str(w) for w in task.windows],
            },
            gate=models.gate.booster_.model_to_string(),
            spend=spend,
            facts={
                "fingerprint": self.snapshots.fingerprint,
                "own_features": self.snapshots.own,
                "cutoffs": [str(c) for c in learned],
                "seed": self.config.training.seed,
                "parameters": self.parameters,
            },
            levels=models.levels,
            **{key: value for key, value in calibration.items() if key in own},
        )


def learn(snapshots: Snapshots, config: Config) -> Learned:
    """Tunes, calibrates, judges and fits the models of a business.

    Args:
        snapshots: Of every mature cutoff, with labels.
        config: Seeds, trials, interval.

    Raises:
        DataError: Too few cutoffs, customers, or customers of either fate.
    """
    plan = split(sorted({m.date() for m in snapshots.rows["cutoff"].unique().to_pylist()}), snapshots.task.horizon)
    money = snapshots.rows["value"].null_count < snapshots.rows.num_rows
    _refuse_unlearnable(snapshots, plan)
    tuned = _tune(snapshots, plan, config, money)
    recipe = _Recipe(snapshots, config, money, {name: t.parameters for name, t in tuned.items()})
    steps = tqdm(total=4, desc="learning", leave=False, disable=None)
    calibration: dict[str, Any] = {}
    if plan.calibration:
        earlier = recipe.fit(plan.calibration.train)
        calibration = recipe.calibrate(earlier, take(snapshots, [plan.calibration.test]))
    steps.update()
    judge, truth = recipe.fit(plan.test.train), take(snapshots, [plan.test.test])
    newest = recipe.calibrate(judge, truth)
    if not plan.calibration:
        newest = {"intervals": newest["intervals"]} if money else {}
        calibration = {"intervals": newest["intervals"]} if money else {}
    kind = "value" if money else "churn"
    judged = recipe.bundle(judge, calibration, kind, plan.test.train).predict(truth.features)
    steps.update()
    evaluation = _evaluate(recipe, plan, truth, judged)
    steps.update()
    shipped = recipe.fit(plan.everything)
    steps.close()
    return Learned(
        churn=recipe.bundle(shipped, newest, "churn", plan.everything),
        value=recipe.bundle(shipped, newest, "value", plan.everything) if money else None,
        evaluation=evaluation,
        truth=truth,
        judged=judged,
        tuned=tuned,
        split=plan,
    )


def _tune(snapshots: Snapshots, plan: Split, config: Config, money: bool) -> dict[str, Tuned]:
    settings = config.training
    if not plan.folds or not settings.trials:
        return {}
    pairs = [_encoded_pair(take(snapshots, fold.train), take(snapshots, [fold.test])) for fold in plan.folds]
    common: dict[str, Any] = {
        "trials": settings.trials,
        "seed": settings.seed,
        "timeout": settings.timeout,
        "categorical": text_columns(snapshots.rows.select(snapshots.names)),
    }
    churn = tune(ChurnClassifier, [((a, a.churned), (b, b.churned)) for a, b in pairs], title="tuning churn", **common)
    if not money:
        return {"churn": churn}
    back = [(_returned(a), _returned(b)) for a, b in pairs]
    return {"churn": churn, "spend": tune(SpendRegressor, back, title="tuning value", **common)}


def _encoded_pair(train: Sample, test: Sample) -> tuple[Sample, Sample]:
    """Both with the levels of the first."""
    levels = learn_levels(train)
    return encoded(train, levels), encoded(test, levels)


def _returned(rows: Sample) -> tuple[Sample, np.ndarray]:
    """Those who purchased within the horizon, and what they spent."""
    back = rows.take(rows.churned == 0)
    return back, positive(back.spend)


def _evaluate(recipe: _Recipe, plan: Split, truth: Sample, judged: dict[str, np.ndarray]) -> Evaluation:
    """The judged models on the last cutoff, with intervals, segments and ladder; then each earlier cutoff alone."""
    settings, horizon = recipe.config.training, recipe.snapshots.task.horizon
    common: dict[str, Any] = {"seed": settings.seed, "resamples": settings.bootstrap}
    new = truth.column("tenure_days") <= horizon.days
    segments = {"new within a horizon": new, "established": ~new}
    past = take(recipe.snapshots, plan.test.train)
    rules = {name: rule(past, truth, horizon) for name, rule in ladder(recipe.snapshots.task).items()}
    ours = Prediction(judged["churn_probability"], judged.get("value"))
    parts = [evaluate({OURS: ours, **rules}, truth, plan.test.test, segments=segments, **common)]
    if "value" in judged and plan.calibration:
        parts.append(coverage(truth, judged["value_low"], judged["value_high"], plan.test.test, **common))
    for fold in (f for f in (plan.calibration, *plan.folds) if f):
        later = take(recipe.snapshots, [fold.test])
        said = recipe.fit(fold.train).predict(later)
        parts.append(evaluate({OURS: said}, later, fold.test, **common))
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
