"""Champion and challenger on the last cutoff, which neither has seen.

Differences are paired: both are asked about the same customers, on the same resamples (see `evaluate`). Where the
champion cannot be asked on the new columns, its logged figures at the same cutoff of the same data are taken; their
difference has the interval of two figures that are not paired (Zou and Donner, Statistics in Medicine 27, 2008), which
is too wide rather than too narrow where both err on the same customers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from features.config.load import Config
from features.task import Window
from training.artifact.bundle import ModelBundle
from training.artifact.model_files import BundleError
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation import metrics
from training.evaluation.evaluate import OURS, Evaluation, evaluate_predictions
from training.registry.aliases import CHAMPION
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
        table: metric, champion, challenger, difference, low, high: one row a metric.
        cutoff: Which.
        customers: How many were asked about.
        how: What the champion's figures are of, in words.
        problem: Why they cannot be compared; the table is then empty.
    """

    table: pd.DataFrame
    cutoff: date
    customers: int
    how: str = ""
    problem: str = ""


@dataclass(frozen=True)
class CurrentChampions:
    """The champions of a business as far as they can be read.

    Attributes:
        models: By kind.
        problem: Why one of them cannot be read.
        logged: Gives the figures that the champions' training logged, where they are of the same data, else None.
    """

    models: Mapping[str, Champion] = field(default_factory=dict)
    problem: str = ""
    logged: Callable[[], Evaluation | None] = lambda: None


def compare_with_champions(
    judge: ModelBundle, truth: Sample, cutoff: date, rivals: CurrentChampions, config: Config, evaluation: Evaluation,
    own: str = "",
) -> ChampionComparison:  # fmt: skip
    """Champion and challenger on one cutoff's customers, which neither has seen; arguments as of `decide`."""
    problem, how, theirs = rivals.problem, "", None
    if not problem:
        problem, how, theirs = _asked(rivals, judge, truth, cutoff, own)
    if theirs is not None:
        said = {OURS: _prediction(judge.predict(truth.features)), CHAMPION: theirs}
        settings = config.training
        found = evaluate_predictions(said, truth, cutoff, seed=settings.seed, resamples=settings.bootstrap)
        return ChampionComparison(_paired(found), cutoff, len(truth), how)
    logged = rivals.logged()
    if logged is not None and len(table := _unpaired(evaluation, logged, cutoff)):
        return ChampionComparison(
            table, cutoff, len(truth), f"its logged figures at this cutoff, not paired, since {problem}"
        )
    return ChampionComparison(_paired(None), cutoff, len(truth), problem=problem)


def _asked(
    rivals: CurrentChampions, judge: ModelBundle, truth: Sample, cutoff: date, own: str
) -> tuple[str, str, Prediction | None]:
    """What the champions say of customers whose cutoff they had not seen; or why they cannot be asked."""
    said, told = {}, []
    for kind, model in rivals.models.items():
        label = model.version.label
        problem = _other_question(model.bundle, judge, own)
        if problem:
            return f"{label} {problem}", "", None
        bundle, how = _unseen(model, cutoff)
        if bundle is None:
            return f"{label} has seen what came to the customers of {cutoff}, and so has what was judged then", "", None
        try:
            said[kind] = bundle.predict(truth.features)
        except BundleError as problem_found:
            return f"{problem_found}; the config changed since it was trained", "", None
        told.append(f"{label} {how}")
    churn = said.get("churn", said.get("value", {}))["churn_probability"]
    return "", "; ".join(dict.fromkeys(told)), Prediction(churn, said.get("value", {}).get("value"))


def _unseen(model: Champion, cutoff: date) -> tuple[ModelBundle | None, str]:
    """The champion itself where its labels end by the cutoff, else what was judged in its stead, if that has not."""
    for bundle, how in ((model.bundle, "as it scores"), (model.judge, "as it was judged, from earlier cutoffs")):
        if bundle is not None and _last_seen(bundle) <= cutoff:
            return bundle, how
    return None, ""


def _last_seen(bundle: ModelBundle) -> date:
    """The end of the last label that a bundle learned from."""
    newest = max(date.fromisoformat(str(cutoff)) for cutoff in bundle.facts["cutoffs"])
    return newest + Window.parse(str(bundle.task["horizon"])).delta


def _other_question(bundle: ModelBundle, judge: ModelBundle, own: str) -> str:
    """Why the answers of two bundles cannot be compared; empty where they can."""
    for key in ("horizon", "churn"):
        if bundle.task.get(key) != judge.task.get(key):
            return f"was trained for [task] {key} = {bundle.task.get(key)!r}, now it is {judge.task.get(key)!r}"
    theirs = bundle.facts.get("own_features", "")
    return "learned from other features of your own" if theirs and theirs != own else ""


def _prediction(said: Mapping[str, np.ndarray]) -> Prediction:
    return Prediction(said["churn_probability"], said.get("value"))


def _paired(found: Evaluation | None) -> pd.DataFrame:
    columns = ["metric", "champion", "challenger", "difference", "low", "high"]
    if found is None:
        return pd.DataFrame(columns=columns)
    figures = found.metrics[found.metrics.segment == "all"].pivot_table(
        index="metric", columns="model", values="value", sort=False
    )
    rows = found.differences[found.differences.metric.isin(TITLES)].set_index("metric")
    both = rows.join(figures.rename(columns={CHAMPION: "champion", OURS: "challenger"})).reset_index()
    order = {name: place for place, name in enumerate(TITLES)}
    return both.sort_values("metric", key=lambda names: names.map(order), ignore_index=True)[columns]


def _unpaired(ours: Evaluation, theirs: Evaluation, cutoff: date) -> pd.DataFrame:
    """Two evaluations of the same cutoff, each with intervals of its own."""
    rows = []
    for metric in TITLES:
        pair = [figure for found in (theirs, ours) if (figure := _figure(found, metric, cutoff)) is not None]
        if len(pair) < 2:
            continue
        (b, b_low, b_high), (a, a_low, a_high) = pair
        low = (a - b) - np.hypot(a - a_low, b_high - b)
        high = (a - b) + np.hypot(a_high - a, b - b_low)
        rows.append([metric, b, a, a - b, low, high])
    return pd.DataFrame(rows, columns=_paired(None).columns)


def _figure(found: Evaluation, metric: str, cutoff: date) -> tuple[float, float, float] | None:
    m = rows_at_cutoff(found.metrics, cutoff)
    rows = m[(m.metric == metric) & (m.segment == "all") & (m.model == OURS)]
    if rows.empty:
        return None
    value, low, high = (float(rows.iloc[0][name]) for name in ("value", "low", "high"))
    if metric != "total_error":
        return value, low, high
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))  # of its size, as the differences are
    return abs(value), least, max(abs(low), abs(high))


def rows_at_cutoff(table: pd.DataFrame, cutoff: date) -> pd.DataFrame:
    """The rows of one cutoff, whether it is a date or the text of one."""
    return table[table.cutoff.astype(str).str[:10] == str(cutoff)]
