"""Comparison of champion and challenger on the last cutoff, which neither was fitted on.

Differences are paired: both predict for the same customers, on the same resamples (see `evaluate`). If the champion
cannot predict from the new columns, its logged figures at the same cutoff of the same data are used instead. Their
difference then has the confidence interval of two unpaired figures (Zou and Donner, Statistics in Medicine 27, 2008),
which is too wide rather than too narrow if both models err on the same customers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from features.config.load import Config
from training.artifact.bundle import ModelBundle
from training.artifact.model_files import BundleError
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation import metrics
from training.evaluation.baselines import EVERYBODY_ALIKE
from training.evaluation.evaluate import OURS, Evaluation, evaluate_predictions
from training.evaluation.skill import Skill, assess_skill
from training.registry.aliases import CHAMPION
from training.registry.compatibility import learned_until
from training.registry.models import Champion

COMPARED = (
    "auc", "average_precision", "brier", "log_loss", "spearman", "gini", "deviance", "decile_error", "total_error",
    "mae",
)  # fmt: skip
TITLES = {name: metrics.TITLES[name] for name in COMPARED}


@dataclass(frozen=True)
class ChampionComparison:
    """Champion and challenger on the same cutoff.

    Attributes:
        table: metric, champion, challenger, difference, low, high (95% confidence interval): one row for each metric.
        cutoff: The cutoff.
        customers: Number of customers.
        how: Where the champion's figures come from, in words.
        problem: Why the two cannot be compared; the table is then empty.
    """

    table: pd.DataFrame
    cutoff: date
    customers: int
    how: str = ""
    problem: str = ""


@dataclass(frozen=True)
class CurrentChampions:
    """The champions of a business before a training, as far as they can be loaded.

    Attributes:
        models: Champion by kind.
        problem: Why a champion cannot be loaded; empty if all can.
        logged: Returns the evaluation that the champions' training logged, or None if it used other data.
    """

    models: Mapping[str, Champion] = field(default_factory=dict)
    problem: str = ""
    logged: Callable[[], Evaluation | None] = lambda: None


def compare_with_champions(
    evaluation_bundle: ModelBundle, truth: Sample, cutoff: date, champions: CurrentChampions, config: Config,
    evaluation: Evaluation, own: str = "",
) -> ChampionComparison:  # fmt: skip
    """Compare champion and challenger on the customers of one cutoff, which neither was fitted on.

    Args:
        evaluation_bundle: The challenger as evaluated: fitted on earlier cutoffs only.
        truth: The customers of `cutoff` with their labels.
        cutoff: The last mature cutoff.
        champions: The champions.
        config: The business, with seed and resamples.
        evaluation: The challenger's evaluation.
        own: Digest of the user's own features in `truth`.

    Returns:
        The comparison, or the reason why there is none.
    """
    problem, how, champion_prediction = champions.problem, "", None
    if not problem:
        problem, how, champion_prediction = _predict_with_champions(champions, evaluation_bundle, truth, cutoff, own)
    if champion_prediction is not None:
        predictions = {OURS: _prediction(evaluation_bundle.predict(truth.features)), CHAMPION: champion_prediction}
        settings = config.training
        evaluated = evaluate_predictions(predictions, truth, cutoff, seed=settings.seed, resamples=settings.bootstrap)
        return ChampionComparison(_paired_differences(evaluated), cutoff, len(truth), how)
    logged = champions.logged()
    if logged is not None and len(table := _unpaired_differences(evaluation, logged, cutoff)):
        how = f"its logged figures at this cutoff, unpaired, because {problem}"
        return ChampionComparison(table, cutoff, len(truth), how)
    return ChampionComparison(_paired_differences(None), cutoff, len(truth), problem=problem)


def champion_skill(
    evaluation_bundle: ModelBundle, alike: ModelBundle, truth: Sample, cutoff: date, champions: CurrentChampions,
    config: Config, own: str = "",
) -> Skill | None:  # fmt: skip
    """The champions' own skill at a cutoff that they were not fitted on.

    Args:
        evaluation_bundle: The challenger as evaluated, which shows what is compatible with `truth`.
        alike: Everybody alike, from what was known at the cutoff.
        truth: The customers of `cutoff` with their labels.
        cutoff: The last mature cutoff.
        champions: The champions.
        config: The business, with seed and resamples.
        own: Digest of the user's own features in `truth`.

    Returns:
        The skill; None if the champions cannot be evaluated there.
    """
    if champions.problem:
        return None
    *_, predicted = _predict_with_champions(champions, evaluation_bundle, truth, cutoff, own)
    if predicted is None:
        return None
    both = {OURS: predicted, EVERYBODY_ALIKE: _prediction(alike.predict(truth.features))}
    settings = config.training
    return assess_skill(
        evaluate_predictions(both, truth, cutoff, seed=settings.seed, resamples=settings.bootstrap), cutoff
    )


def _predict_with_champions(
    champions: CurrentChampions, evaluation_bundle: ModelBundle, truth: Sample, cutoff: date, own: str
) -> tuple[str, str, Prediction | None]:
    """A problem (or ""), where the figures come from, and the champions' predictions for customers of the cutoff."""
    predictions, descriptions = {}, []
    for kind, model in champions.models.items():
        label = model.version.label
        problem = _incompatibility(model.bundle, evaluation_bundle, own)
        if problem:
            return f"{label} {problem}", "", None
        bundle, how = _bundle_before(model, cutoff)
        if bundle is None:
            return f"{label}, and its evaluation model, were fitted on outcomes after the cutoff {cutoff}", "", None
        try:
            predictions[kind] = bundle.predict(truth.features)
        except BundleError as error:
            return f"{error}; the config changed since it was trained", "", None
        descriptions.append(f"{label}: {how}")
    churn = predictions.get("churn", predictions.get("value", {}))["churn_probability"]
    return "", "; ".join(dict.fromkeys(descriptions)), Prediction(churn, predictions.get("value", {}).get("value"))


def _bundle_before(model: Champion, cutoff: date) -> tuple[ModelBundle | None, str]:
    """The champion if its labels end by the cutoff, else its evaluation model if that one's do; and which it is."""
    for bundle, how in (
        (model.bundle, "the model that scores"),
        (model.judge, "its evaluation model, fitted on earlier cutoffs"),
    ):
        if bundle is not None and learned_until(bundle) <= cutoff:
            return bundle, how
    return None, ""


def _incompatibility(bundle: ModelBundle, evaluation_bundle: ModelBundle, own: str) -> str:
    """Why the predictions of two bundles cannot be compared; empty if they can."""
    for key in ("horizon", "churn"):
        if bundle.task.get(key) != evaluation_bundle.task.get(key):
            now = evaluation_bundle.task.get(key)
            return f"was trained for [task] {key} = {bundle.task.get(key)!r}, now it is {now!r}"
    theirs = bundle.facts.get("own_features", "")
    return "was trained with other features of your own" if theirs and theirs != own else ""


def _prediction(predicted: Mapping[str, np.ndarray]) -> Prediction:
    return Prediction(predicted["churn_probability"], predicted.get("value"))


def _paired_differences(evaluation: Evaluation | None) -> pd.DataFrame:
    columns = ["metric", "champion", "challenger", "difference", "low", "high"]
    if evaluation is None:
        return pd.DataFrame(columns=columns)
    figures = evaluation.metrics[evaluation.metrics.segment == "all"].pivot_table(
        index="metric", columns="model", values="value", sort=False
    )
    rows = evaluation.differences[evaluation.differences.metric.isin(TITLES)].set_index("metric")
    both = rows.join(figures.rename(columns={CHAMPION: "champion", OURS: "challenger"})).reset_index()
    order = {name: place for place, name in enumerate(TITLES)}
    return both.sort_values("metric", key=lambda names: names.map(order), ignore_index=True)[columns]


def _unpaired_differences(ours: Evaluation, theirs: Evaluation, cutoff: date) -> pd.DataFrame:
    """Differences between two evaluations of the same cutoff, each with its own intervals."""
    rows = []
    for metric in TITLES:
        pair = [
            figure
            for evaluation in (theirs, ours)
            if (figure := _figure_with_interval(evaluation, metric, cutoff)) is not None
        ]
        if len(pair) < 2:
            continue
        (b, b_low, b_high), (a, a_low, a_high) = pair
        low = (a - b) - np.hypot(a - a_low, b_high - b)
        high = (a - b) + np.hypot(a_high - a, b - b_low)
        rows.append([metric, b, a, a - b, low, high])
    return pd.DataFrame(rows, columns=_paired_differences(None).columns)


def _figure_with_interval(evaluation: Evaluation, metric: str, cutoff: date) -> tuple[float, float, float] | None:
    m = rows_at_cutoff(evaluation.metrics, cutoff)
    rows = m[(m.metric == metric) & (m.segment == "all") & (m.model == OURS)]
    if rows.empty:
        return None
    value, low, high = (float(rows.iloc[0][name]) for name in ("value", "low", "high"))
    if metric != "total_error":
        return value, low, high
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))  # of the absolute value, like the differences
    return abs(value), least, max(abs(low), abs(high))


def rows_at_cutoff(table: pd.DataFrame, cutoff: date) -> pd.DataFrame:
    """Return the rows of one cutoff; the table has dates, or dates as text."""
    return table[table.cutoff.astype(str).str[:10] == str(cutoff)]
