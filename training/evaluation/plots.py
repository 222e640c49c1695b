"""Plots of an evaluation: calibration, lift, value by decile, metrics by cutoff and by training size."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.data.time_split import Sample
from training.evaluation.metrics import GROUPS


def calibration_plot(truth: Sample, churn: np.ndarray) -> Figure:
    """Predicted against actual churn in ten equal groups by predicted probability (n,)."""
    figure, axes = _canvas("Predicted and actual churn", "predicted probability of churn", "share that churned")
    predicted, actual = _group_means(churn, churn, truth.churned)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfect")
    axes.plot(predicted, actual, marker="o", label="ten equal groups")
    axes.legend()
    return figure


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


def _canvas(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _group_means(by: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    groups = [g for g in np.array_split(np.argsort(by, kind="stable"), GROUPS) if len(g)]
    return np.array([predicted[g].mean() for g in groups]), np.array([actual[g].mean() for g in groups])
