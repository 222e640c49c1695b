"""How good the predictions were on unseen data: metrics, baselines and calibration, as text and charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from serving.charts import (
    Panel,
    PlottedEstimate,
    calibration_chart,
    evaluation_groups,
    format_tick,
    interval_panels,
    ranking_charts,
)
from serving.language.formats import NumberFormat
from serving.language.messages import N_
from training.evaluation.evaluate import CONFIDENCE, HIGHER_IS_BETTER, OURS, Evaluation
from training.evaluation.leavers import EXPECTED


@dataclass(frozen=True)
class Metric:
    """A metric: its name, its format ('share', 'signed', 'plain' or 'money'), its title, and what it means."""

    name: str
    form: str
    title: str
    meaning: str


METRICS = (
    Metric(
        "auc",
        "share",
        N_("Who leaves (AUC)"),
        N_(
            "share of pairs (one customer who left, one who stayed) in which the one who left had the higher "
            "risk; 50% is random, 100% is perfect"
        ),
    ),
    Metric(
        "average_precision",
        "share",
        N_("Leavers at the top of the list (average precision)"),
        N_("share of leavers from the top of the list down to each leaver, averaged over all leavers; 100% is perfect"),
    ),
    Metric(
        "brier",
        "plain",
        N_("Error of the probabilities (Brier score)"),
        N_("mean squared difference between risk and outcome; 0 is perfect"),
    ),
    Metric(
        "spearman",
        "plain",
        N_("Order by value (rank correlation)"),
        N_("1: the order by predicted value is exactly the order by actual spend; 0: no relation"),
    ),
    Metric(
        "gini",
        "plain",
        N_("Finding the valuable (Gini)"),
        N_(
            "how much of the actual spend is at the top of a list by predicted value: 1 is a perfect list, 0 a "
            "random one"
        ),
    ),
    Metric(
        "total_error",
        "signed",
        N_("Total value"),
        N_("predicted total compared with the actual total; 0% is perfect, a minus means too low"),
    ),
    Metric(
        "decile_error",
        "share",
        N_("Value by group"),
        N_(
            "ten equal groups by predicted value: mean difference between predicted and actual, as a share of "
            "the mean; 0% is perfect"
        ),
    ),
    Metric(
        "mae",
        "money",
        N_("Error for one customer"),
        N_("mean absolute difference between predicted and actual value; 0 is perfect"),
    ),
)
CHARTED = ("auc", "brier", "gini", "mae")
TABLE_METRICS = ("auc", "brier", "gini", "total_error", "mae")
BASELINE_MEANINGS = {
    N_("everybody alike"): N_(
        "the same for every customer: the share of leavers and the mean value of the newest known cutoff"
    ),
    N_("recency alone"): N_("risk from the days since the last order only"),
    N_("past mean rate"): N_("every customer keeps their own average past rate"),
    N_("logistic regression on RFM"): N_("a standard classifier on recency, frequency and monetary value"),
    N_("tenure hazard"): N_("the cancellation rate of contracts of the same age only"),
    N_("BG/NBD and Gamma-Gamma"): N_(
        "a probability model of repeat purchases and dropout, from each customer's order history"
    ),
    N_("plain LightGBM"): N_("gradient-boosted trees on all features, without tuning"),
}
VERDICTS = {
    "better": N_("▲ our model is better"),
    "worse": N_("▼ our model is worse"),
    "no clear difference": N_("● no significant difference"),
}
RHYTHM = N_("rhythm")  # what readers call the column `lifecycle` of the scores
FIRM, WEAK = 0.7, 0.55  # AUC: from FIRM on a ranking is reliable, up to WEAK hardly better than random


def comparison_verdict(metric: str, low: float, high: float) -> str:
    """Judge our model against a baseline by the confidence interval of the difference (ours minus baseline).

    Args:
        metric: Its name; `BETTER_HIGH` has those for which higher is better.
        low: Lower end of the interval.
        high: Upper end of the interval.

    Returns:
        'better' or 'worse' if the interval does not contain zero, else 'no clear difference'.

    >>> [comparison_verdict(*case) for case in (("auc", 0.01, 0.03), ("mae", 0.2, 0.5), ("brier", -0.01, 0.002))]
    ['better', 'worse', 'no clear difference']
    """
    if not (low > 0 or high < 0):
        return "no clear difference"
    return "better" if (low > 0) == (metric in HIGHER_IS_BETTER) else "worse"


def summarise_evaluation(evaluation: Evaluation | None, form: NumberFormat) -> dict[str, Any] | None:
    """Summarise the newest cutoff of an evaluation against the baselines; None if nothing was measured."""
    if evaluation is None or evaluation.metrics.empty:
        return None
    metrics = evaluation.metrics.assign(cutoff=evaluation.metrics["cutoff"].astype(str))
    newest = metrics[metrics.cutoff == metrics.cutoff.max()]
    everyone, cutoff = newest[newest.segment == "all"], newest.cutoff.iloc[0]
    row_of = {(row["model"], row["metric"]): row for row in everyone.to_dict("records") if np.isfinite(row["value"])}
    baselines = [name for name in everyone.model.unique() if name != OURS]
    verdicts = _verdicts(evaluation.differences, cutoff)
    known = [metric for metric in METRICS if (OURS, metric.name) in row_of]
    verdict_list = [verdicts[rival, m.name] for m in known for rival in baselines if (rival, m.name) in verdicts]
    ours = {name: row for (model, name), row in row_of.items() if model == OURS}
    risk_groups = evaluation_groups(evaluation.groups, cutoff, "churn")
    return {
        "cutoff": cutoff,
        "customers": int(everyone.customers.max()),
        "level": CONFIDENCE,
        "ours": ours,
        "baselines": [(form.tr(name), form.tr(BASELINE_MEANINGS.get(name, ""))) for name in baselines],
        "comparisons": [
            (m, row_of[OURS, m.name], [(row_of.get((r, m.name)), verdicts.get((r, m.name), "")) for r in baselines])
            for m in known
        ],
        "verdicts": {name: form.tr(words) for name, words in VERDICTS.items()},
        "verdict_counts": {word: verdict_list.count(word) for word in ("better", "no clear difference", "worse")},
        "compared": len(verdict_list),
        "chart": _metrics_chart(row_of, [OURS, *baselines], form),
        "riskiest": _riskiest(risk_groups),
        "sentences": list(_sentences(ours, risk_groups, form)),
        "order": _order(ours, form),
        "calibration": calibration_chart(risk_groups, form),
        "ranking": ranking_charts(risk_groups, evaluation_groups(evaluation.groups, cutoff, "value"), form),
        "earlier": _by(metrics[(metrics.segment == "all") & (metrics.model == OURS)], "cutoff"),
        "groups": [
            (_kind(name, form), customers, figures)
            for name, customers, figures in _by(newest[(newest.segment != "all") & (newest.model == OURS)], "segment")
        ],
        "table_metrics": [m for m in METRICS if m.name in TABLE_METRICS and m in known],
    }


def _verdicts(differences: pd.DataFrame, cutoff: str) -> dict[tuple[str, str], str]:
    rows = differences[differences["cutoff"].astype(str) == cutoff].to_dict("records")
    known = [row for row in rows if np.isfinite(row["low"])]
    return {
        (row["against"], row["metric"]): comparison_verdict(row["metric"], row["low"], row["high"]) for row in known
    }


def _by(metrics: pd.DataFrame, column: str) -> list[tuple[str, int, dict[str, Any]]]:
    """Group our metrics by cutoff (newest first) or by kind of customer."""
    figures_by_name = []
    for name, rows in metrics.groupby(column, sort=True):
        figures_by_name.append(
            (str(name), int(rows.customers.max()), {r["metric"]: r for r in rows.to_dict("records")})
        )
    return figures_by_name[::-1]


def _kind(name: str, form: NumberFormat) -> str:
    """Translate a kind of customer such as 'lifecycle: slipping', each half on its own."""
    name = name.replace("lifecycle: ", f"{RHYTHM}: ")
    return form.tr(": ").join(form.tr(part) for part in name.split(": ", 1))


def _metrics_chart(row_of: dict[tuple[str, str], dict[str, Any]], models: Sequence[str], form: NumberFormat) -> str:
    """Draw our model beside the baselines on the main metrics; empty if none was measured."""
    tr, panels = form.tr, []
    for metric in (m for m in METRICS if m.name in CHARTED):
        rows = [(name, row_of[name, metric.name]) for name in models if (name, metric.name) in row_of]
        dots = [_estimate(_name(name, form), row, name == OURS, metric, form) for name, row in rows]
        if dots:
            hint = tr("further right is better") if metric.name in HIGHER_IS_BETTER else tr("further left is better")
            panels.append(
                Panel(tr(metric.title), hint, "{:.0%}".format if metric.form == "share" else format_tick, dots)
            )
    return interval_panels(panels) if panels else ""


def _estimate(label: str, row: Mapping[str, Any], ours: bool, metric: Metric, form: NumberFormat) -> PlottedEstimate:
    value, low, high = row["value"], row["low"], row["high"]
    tip = f"{label}: {form.of(value, metric.form)} ({form.span(low, high, metric.form)})"
    return PlottedEstimate(label, value, low, high, ours, tip)


def _name(model: str, form: NumberFormat) -> str:
    return form.tr("our model") if model == OURS else form.tr(model)


def _riskiest(risk_groups: Sequence[dict[str, Any]]) -> dict[str, str] | None:
    """Count how many of ten customers left: in the riskiest tenth, and among all customers."""
    if len(risk_groups) < 10:
        return None
    customers = sum(row["customers"] for row in risk_groups)
    share_left = sum(row["actual"] * row["customers"] for row in risk_groups) / customers
    return {
        "left": f"{10 * risk_groups[-1]['actual']:.1f}".removesuffix(".0"),
        "all_left": f"{10 * share_left:.1f}".removesuffix(".0"),
    }


def _sentences(ours: dict[str, Any], risk_groups: Sequence[dict[str, Any]], form: NumberFormat) -> Iterator[str]:
    """Say the results of the test in plain sentences."""
    tr = form.tr
    if order := _order(ours, form):
        yield tr("Who leaves: {order}.", order=order)
    if risk_groups:
        expected, observed = (
            sum(row[name] * row["customers"] for row in risk_groups) for name in ("predicted", "actual")
        )
        slots = {"expected": f"{expected:,.0f}", "observed": f"{observed:,.0f}"}
        if leavers := ours.get(EXPECTED):
            yield tr(
                "How many leave: about {expected} were expected to leave (prediction interval {low} to {high}), "
                "{observed} left.",
                low=f"{leavers['low']:,.0f}", high=f"{leavers['high']:,.0f}", **slots,
            )  # fmt: skip
        else:
            yield tr("How many leave: about {expected} were expected to leave, {observed} left.", **slots)
        inside = sum(row["low"] <= row["predicted"] <= row["high"] for row in risk_groups)
        if all(row["low"] < row["high"] for row in risk_groups if 0 < row["actual"] < 1):
            yield tr(
                "Calibration: in {inside} of {all} risk groups, the expected share lies within the confidence "
                "interval of the observed share.",
                inside=inside, all=len(risk_groups),
            )  # fmt: skip
    if error := ours.get("total_error"):
        span = form.span(error["low"], error["high"], "signed")
        yield tr(
            "How much money: the predicted total differs from the actual total by {error} (confidence interval "
            "{span}; a minus means too low).",
            error=form.of(error["value"], "signed"), span=span,
        )  # fmt: skip


def _order(ours: dict[str, Any], form: NumberFormat) -> str:
    """Say how good the ranking by risk is, by the lower end of the AUC's confidence interval; empty if not measured."""
    if "auc" not in ours:
        return ""
    low = ours["auc"]["low"]
    if low >= FIRM:
        return form.tr("the ranking by risk is reliable")
    if low > WEAK:
        return form.tr("the ranking by risk is better than random, but not reliable")
    return form.tr("the ranking by risk is hardly better than random")
