"""How good the predictions were, in the words and pictures of a page for analysts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from serving.charts import figures as charts
from serving.language.formats import Forms
from serving.language.messages import N_
from training.evaluation.evaluate import CONFIDENCE, HIGHER_IS_BETTER, OURS, Evaluation


@dataclass(frozen=True)
class Metric:
    """A metric's name, how it is written ('share', 'signed', 'plain' or 'money'), its title, and what it means."""

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
            "pairs of one who left and one who stayed in which the one who left had the higher risk; 50% is guessing, "
            "100% perfect"
        ),
    ),
    Metric(
        "average_precision",
        "share",
        N_("Leavers at the top of the list (average precision)"),
        N_(
            "share of leavers among the customers flagged, averaged while walking down the list from the highest risk; "
            "100% is perfect"
        ),
    ),
    Metric(
        "brier",
        "plain",
        N_("Error of the probabilities (Brier score)"),
        N_("mean squared gap between risk and outcome; 0 is perfect"),
    ),
    Metric(
        "spearman",
        "plain",
        N_("Order by value (rank correlation)"),
        N_("1: customers in exactly the order of what they then spent; 0: no relation"),
    ),
    Metric(
        "gini",
        "plain",
        N_("Finding the valuable (Gini)"),
        N_("how well a list by predicted value gathers the spend at its top: 1 is a perfect list, 0 a random one"),
    ),
    Metric(
        "total_error",
        "signed",
        N_("Total value"),
        N_("predicted total against what came; 0% is perfect, a minus means too low"),
    ),
    Metric(
        "decile_error",
        "share",
        N_("Value of groups"),
        N_(
            "ten equal groups by predicted value: mean gap between predicted and actual, as a share of the mean; 0% is "
            "perfect"
        ),
    ),
    Metric(
        "mae", "money", N_("Error for one customer"), N_("mean gap between predicted and actual value; 0 is perfect")
    ),
)
PICTURED = ("auc", "brier", "gini", "mae")
TABLED = ("auc", "brier", "gini", "total_error", "mae")
RULES = {
    N_("recency alone"): N_("risk from the days since the last order, and nothing else"),
    N_("past mean rate"): N_("everybody goes on as before, at their own average pace"),
    N_("logistic regression on RFM"): N_("a standard formula on recency, frequency and money"),
    N_("tenure hazard"): N_("how often contracts of the same age were cancelled, and nothing else"),
    N_("BG/NBD and Gamma-Gamma"): N_("a probability model of buying until one leaves, from each customer's own rhythm"),
    N_("plain LightGBM"): N_("decision trees on everything known of a customer, as they come"),
}
VERDICTS = {
    "better": N_("▲ ours is better"),
    "worse": N_("▼ ours is worse"),
    "no clear difference": N_("● no clear difference"),
}
FIRM, WEAK = 0.7, 0.55  # of the AUC: from here on an order is firm, up to here hardly better than guessing


def verdict(metric: str, low: float, high: float) -> str:
    """What the interval of 'ours less theirs' says of us.

    >>> verdict("auc", 0.01, 0.03), verdict("mae", 0.2, 0.5), verdict("brier", -0.01, 0.002)
    ('better', 'worse', 'no clear difference')
    """
    if not (low > 0 or high < 0):
        return "no clear difference"
    return "better" if (low > 0) == (metric in HIGHER_IS_BETTER) else "worse"


def judge(evaluation: Evaluation | None, form: Forms) -> dict[str, Any] | None:
    """The last cutoff against the ladder, in the words of the page; None where nothing was measured."""
    if evaluation is None or evaluation.metrics.empty:
        return None
    metrics = evaluation.metrics.assign(cutoff=evaluation.metrics["cutoff"].astype(str))
    last = metrics[metrics.cutoff == metrics.cutoff.max()]
    everyone, cutoff = last[last.segment == "all"], last.cutoff.iloc[0]
    found = {(row["model"], row["metric"]): row for row in everyone.to_dict("records") if np.isfinite(row["value"])}
    rivals = [name for name in everyone.model.unique() if name != OURS]
    verdicts = _verdicts(evaluation.differences, cutoff)
    known = [metric for metric in METRICS if (OURS, metric.name) in found]
    told = [verdicts[rival, m.name] for m in known for rival in rivals if (rival, m.name) in verdicts]
    ours = {name: row for (model, name), row in found.items() if model == OURS}
    tenths = _churn_groups(evaluation.groups, cutoff)
    return {
        "cutoff": cutoff,
        "customers": int(everyone.customers.max()),
        "level": CONFIDENCE,
        "ours": ours,
        "rivals": [(form.tr(name), form.tr(RULES.get(name, ""))) for name in rivals],
        "ladder": [
            (m, found[OURS, m.name], [(found.get((r, m.name)), verdicts.get((r, m.name), "")) for r in rivals])
            for m in known
        ],
        "verdicts": {name: form.tr(words) for name, words in VERDICTS.items()},
        "told": {word: told.count(word) for word in ("better", "no clear difference", "worse")},
        "compared": len(told),
        "picture": _picture(found, [OURS, *rivals], form),
        "riskiest": _riskiest(tenths),
        "plain": list(_plain(ours, tenths, form)),
        "order": _order(ours, form),
        "said_and_came": _said_and_came(tenths, form),
        "earlier": _by(metrics[(metrics.segment == "all") & (metrics.model == OURS)], "cutoff"),
        "groups": [
            (_kind(name, form), customers, figures)
            for name, customers, figures in _by(last[(last.segment != "all") & (last.model == OURS)], "segment")
        ],
        "shown": [m for m in METRICS if m.name in TABLED and m in known],
    }


def _verdicts(differences: pd.DataFrame, cutoff: str) -> dict[tuple[str, str], str]:
    rows = differences[differences["cutoff"].astype(str) == cutoff].to_dict("records")
    known = [row for row in rows if np.isfinite(row["low"])]
    return {(row["against"], row["metric"]): verdict(row["metric"], row["low"], row["high"]) for row in known}


def _by(metrics: pd.DataFrame, column: str) -> list[tuple[str, int, dict[str, Any]]]:
    """Our figures by cutoff (newest first) or by group of customers."""
    found = []
    for name, rows in metrics.groupby(column, sort=True):
        found.append((str(name), int(rows.customers.max()), {r["metric"]: r for r in rows.to_dict("records")}))
    return found[::-1]


def _kind(name: str, form: Forms) -> str:
    """A kind of customer, such as 'lifecycle: slipping', each half of it in the language where it is known."""
    return form.tr(": ").join(form.tr(part) for part in name.split(": ", 1))


def _picture(found: dict[tuple[str, str], dict[str, Any]], models: Sequence[str], form: Forms) -> str:
    """Ours beside the simple rules on the chief metrics; empty where none was measured."""
    tr, panels, told = form.tr, [], []
    for metric in (m for m in METRICS if m.name in PICTURED):
        rows = [(name, found[name, metric.name]) for name in models if (name, metric.name) in found]
        dots = [charts.Dot(_name(name, form), r["value"], r["low"], r["high"], name == OURS) for name, r in rows]
        if dots:
            hint = tr("further right is better") if metric.name in HIGHER_IS_BETTER else tr("further left is better")
            panels.append(charts.Panel(tr(metric.title), hint, metric.form == "share", dots))
            figures = ", ".join(f"{dot.label} {form.of(dot.value, metric.form)}" for dot in dots)
            told.append(f"{tr(metric.title)}, {hint}: {figures}")
    return Markup(charts.dots("ladder", "; ".join(told), panels)) if panels else ""  # noqa: S704 (escaped there)


def _name(model: str, form: Forms) -> str:
    return form.tr("our prediction") if model == OURS else form.tr(model)


def _churn_groups(groups: pd.DataFrame, cutoff: str) -> list[dict[str, Any]]:
    """The ten groups by predicted risk at a cutoff, the lowest first; empty where they were not logged."""
    whole = groups[groups["segment"] == "all"] if "segment" in groups else groups  # runs of 0.1 had no segments there
    found = whole[(whole["cutoff"].astype(str) == cutoff) & (whole["number"] == "churn")]
    return [
        {"low": row["actual"], "high": row["actual"], **row} for row in found.sort_values("group").to_dict("records")
    ]


def _riskiest(tenths: Sequence[dict[str, Any]]) -> dict[str, str] | None:
    """How many of ten left in the riskiest tenth, and of ten of all customers."""
    if len(tenths) < 10:
        return None
    customers = sum(row["customers"] for row in tenths)
    left = sum(row["actual"] * row["customers"] for row in tenths) / customers
    return {
        "left": f"{10 * tenths[-1]['actual']:.1f}".removesuffix(".0"),
        "all_left": f"{10 * left:.1f}".removesuffix(".0"),
    }


def _plain(ours: dict[str, Any], tenths: Sequence[dict[str, Any]], form: Forms) -> Iterator[str]:
    """What the test says, in sentences without a term of statistics."""
    tr = form.tr
    if order := _order(ours, form):
        yield tr("Who leaves: {order}.", order=order)
    if tenths:
        said, came = (sum(row[name] * row["customers"] for row in tenths) for name in ("predicted", "actual"))
        yield tr(
            "How many: about {said} were expected to leave, {came} left.", said=f"{said:,.0f}", came=f"{came:,.0f}"
        )
        right = sum(row["low"] <= row["predicted"] <= row["high"] for row in tenths)
        if all(row["low"] < row["high"] for row in tenths if 0 < row["actual"] < 1):
            yield tr(
                "How risky: in {right} of {all} groups by risk, what we expected lies within the interval of what "
                "came.",
                right=right, all=len(tenths),
            )  # fmt: skip
    if error := ours.get("total_error"):
        span = form.span(error["low"], error["high"], "signed")
        yield tr(
            "How much money: the predicted total missed what came by {error} (interval {span}; a minus means too low).",
            error=form.of(error["value"], "signed"), span=span,
        )  # fmt: skip


def _order(ours: dict[str, Any], form: Forms) -> str:
    """How firm the order by risk is, by the low end of its interval; empty where it was not measured."""
    if "auc" not in ours:
        return ""
    low = ours["auc"]["low"]
    if low >= FIRM:
        return form.tr("the order of the list by risk is firm")
    if low > WEAK:
        return form.tr("the order of the list by risk is better than chance, but not firm")
    return form.tr("the order of the list by risk is hardly better than guessing")


def _said_and_came(tenths: Sequence[dict[str, Any]], form: Forms) -> str:
    """Expected beside actual churn in the ten groups; empty where they were not logged."""
    if not tenths:
        return ""
    tr = form.tr
    told = "; ".join(
        tr("group {n}: expected {said}, left {came}", n=n, said=f"{r['predicted']:.0%}", came=f"{r['actual']:.0%}")
        for n, r in enumerate(tenths, start=1)
    )
    svg = charts.pairs(
        "said",
        tr("Expected and actual churn by group of risk. {told}.", told=told),
        [charts.Pair(row["predicted"], row["actual"], row["low"], row["high"]) for row in tenths],
        tr("groups by risk, lowest to highest"),
    )
    return Markup(svg)  # noqa: S704 (escaped where it was made)
