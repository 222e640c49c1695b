"""Plots of an evaluation: what models predict against what came, what drives them, metrics by cutoff and by size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.artifact.bundle import ModelBundle
from training.data.time_split import Sample
from training.evaluation.metrics import GROUPS

SAMPLED, STRONGEST = 1_000, 15  # customers, and features, of the plots of contributions
_NO_CONTRIBUTIONS = pd.DataFrame(columns=["feature", "strength", "tenth", "contribution"])


def calibration_plot(truth: Sample, churn: np.ndarray) -> Figure:
    """Predicted against actual churn in ten equal groups by predicted probability (n,)."""
    figure, axes = _canvas("Predicted and actual churn", "predicted probability of churn", "share that churned")
    predicted, actual = _group_means(churn, churn, truth.churned)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfect")
    axes.plot(predicted, actual, marker="o", label="ten equal groups")
    axes.legend()
    return figure


def roc_plot(truth: Sample, churn: np.ndarray) -> Figure:
    """The ROC curve of the predicted probability of churn (n,): found churners against false alarms, by threshold."""
    figure, axes = _canvas("ROC curve", "share of those who stayed, called at risk", "share of churners found")
    found, false = _found_and_false(truth, churn)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="at random")
    axes.plot(false / max(false[-1], 1.0), found / max(found[-1], 1.0), label="by predicted risk")
    axes.legend()
    return figure


def precision_recall_plot(truth: Sample, churn: np.ndarray) -> Figure:
    """Precision by recall of the predicted probability of churn (n,), over all thresholds."""
    figure, axes = _canvas("Precision and recall", "recall: share of churners found", "precision")
    found, false = (counts[1:] for counts in _found_and_false(truth, churn))
    axes.axhline(truth.churned.mean(), color="grey", linestyle="--", label="at random")
    axes.plot(found / max(found[-1], 1.0), found / (found + false), label="by predicted risk")
    axes.set_ylim(0, 1.02)
    axes.legend()
    return figure


def importance_plot(table: pd.DataFrame) -> Figure:
    """The strongest features as bars, from `feature_contributions`."""
    figure, axes = _canvas("What drives the risk of churn", "mean size of the contribution to the log-odds", "")
    strongest = table.drop_duplicates("feature")[::-1]
    axes.barh(strongest["feature"], strongest["strength"])
    axes.tick_params(axis="y", labelsize="small")
    return figure


def contributions_plot(table: pd.DataFrame) -> Figure:
    """The strongest features with the mean SHAP contribution of each tenth of their values: blue low, red high.

    Means of tenths take the place of single customers, of whom nothing is kept.
    """
    figure, axes = _canvas("SHAP contributions by value of the feature", "mean contribution to the log-odds", "")
    names = list(table["feature"].unique())
    place = table["feature"].map({name: len(names) - n for n, name in enumerate(names)})
    dots = axes.scatter(
        table["contribution"], place, c=table["tenth"], cmap="coolwarm", edgecolors="grey", linewidths=0.3
    )
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(names), 0, -1), names, fontsize="small")
    figure.colorbar(dots, ax=axes, label="tenth of the feature's values (10: highest)")
    return figure


def feature_contributions(bundle: ModelBundle, truth: Sample) -> pd.DataFrame:
    """Mean SHAP contributions to the classifier's log-odds of churn, by tenth of each of the strongest features.

    Args:
        bundle: The model.
        truth: Customers with their features; at most 1,000 of them, evenly spaced, are used.

    Returns:
        feature, strength (mean absolute contribution), tenth (1 to 10 by the feature's values, ties together) and
        contribution (mean of the tenth's customers, in log-odds), strongest feature first.
    """
    rows = np.linspace(0, len(truth) - 1, min(len(truth), SAMPLED)).astype(int)
    X = bundle.model_inputs(truth.features.take(pa.array(rows)))
    added = bundle.slope * bundle.gate.contributions(X)
    strength = np.abs(added).mean(axis=0)
    order = [j for j in np.argsort(-strength, kind="stable")[:STRONGEST] if strength[j] > 0]
    tables = []
    for j in order:
        values = pd.Series(X.column(int(j)).to_numpy().astype(float))
        tenth = np.ceil(values.rank(pct=True, method="average") * 10)
        means = pd.Series(added[:, j]).groupby(tenth).mean()
        columns = {"strength": strength[j], "tenth": means.index, "contribution": means.to_numpy()}
        tables.append(pd.DataFrame({"feature": bundle.features[int(j)], **columns}))
    return (
        pd.concat(tables, ignore_index=True)
        if tables
        else pd.DataFrame(columns=["feature", "strength", "tenth", "contribution"])
    )


def lift_plot(truth: Sample, churn: np.ndarray) -> Figure:
    """Share of all churners among the customers with the highest predicted risk (n,)."""
    figure, axes = _canvas("Churners found", "share of customers, highest risk first", "share of all churners")
    order = np.argsort(-churn, kind="stable")
    share_found = np.concatenate([[0.0], np.cumsum(truth.churned[order]) / max(truth.churned.sum(), 1.0)])
    shares = np.linspace(0, 1, len(share_found))
    axes.plot(shares, shares, color="grey", linestyle="--", label="at random")
    axes.plot(shares, share_found, label="by predicted risk")
    axes.legend()
    return figure


def decile_plot(truth: Sample, value: np.ndarray) -> Figure:
    """Mean predicted and mean actual value in ten equal groups by predicted value (n,)."""
    figure, axes = _canvas("Predicted and actual value", "decile of predicted value (10: highest)", "mean value")
    predicted, actual = _group_means(value, value, truth.spend)
    place = np.arange(1, len(predicted) + 1)
    axes.bar(place - 0.2, predicted, width=0.4, label="predicted")
    axes.bar(place + 0.2, actual, width=0.4, label="actual", hatch="//")
    axes.set_xticks(place)
    axes.legend()
    return figure


def cutoffs_plot(metrics: pd.DataFrame, title: str, ours: str) -> Figure:
    """One metric over cutoffs: a line for each model, ours with its confidence interval.

    Args:
        metrics: model, value, low, high and cutoff (a day) of one metric.
        title: The metric's title.
        ours: The name of our model.

    Returns:
        The figure.
    """
    figure, axes = _canvas(f"{title} by cutoff", "", title)
    days = sorted(metrics["cutoff"].unique())
    for model, rows in metrics.groupby("model", sort=False):
        place = [days.index(day) for day in rows["cutoff"]]
        is_ours = model == ours
        axes.plot(place, rows["value"], marker="o", linewidth=2.5 if is_ours else 1.0, label=str(model))
        if is_ours:
            axes.fill_between(place, rows["low"], rows["high"], alpha=0.15)
    axes.set_xticks(range(len(days)), days, rotation=45, ha="right", fontsize="small")
    axes.legend(fontsize="small")
    return figure


def curve_plot(curve: pd.DataFrame, title: str) -> Figure:
    """One metric by the number of training customers, with confidence intervals: a line for each model.

    Args:
        curve: model, learned_from, value, low and high of one metric.
        title: The metric's title.

    Returns:
        The figure.
    """
    figure, axes = _canvas(f"{title} by customers learned from", "customers learned from", title)
    for model, rows in curve.groupby("model", sort=False):
        spread = np.abs(rows[["low", "high"]].to_numpy().T - rows["value"].to_numpy())
        axes.errorbar(rows["learned_from"], rows["value"], yerr=spread, marker="o", capsize=3, label=str(model))
    axes.set_xscale("log")
    axes.legend(fontsize="small")
    return figure


def _found_and_false(truth: Sample, churn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many churners, and how many others, have at least each predicted probability, highest first; from 0."""
    order = np.argsort(-churn, kind="stable")
    last = np.append(np.flatnonzero(np.diff(churn[order])), len(order) - 1)  # equal predictions are one threshold
    found, false = np.cumsum(truth.churned[order])[last], np.cumsum(1 - truth.churned[order])[last]
    return np.concatenate([[0.0], found]), np.concatenate([[0.0], false])


def _canvas(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _group_means(by: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    groups = [g for g in np.array_split(np.argsort(by, kind="stable"), GROUPS) if len(g)]
    return np.array([predicted[g].mean() for g in groups]), np.array([actual[g].mean() for g in groups])
