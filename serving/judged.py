"""How good the predictions were, in the words and pictures of a page for analysts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from serving import charts
from serving.wording import Forms
from training.evaluate import BETTER_HIGH, LEVEL, OURS, Evaluation


@dataclass(frozen=True)
class Metric:
    """A metric's name, how it is written ('share', 'signed', 'plain' or 'money'), its title, and what it means."""

    name: str
    form: str
    title: str
    meaning: str


METRICS = tuple(
    Metric(*line.split(" | "))
    for line in """\
auc | share | Who leaves (AUC) | pairs of one who left and one who stayed in which the one who left had the higher \
risk; 50% is guessing, 100% perfect
average_precision | share | Leavers at the top of the list (average precision) | share of leavers among the customers \
flagged, averaged while walking down the list from the highest risk; 100% is perfect
brier | plain | Error of the probabilities (Brier score) | mean squared gap between risk and outcome; 0 is perfect
spearman | plain | Order by value (rank correlation) | 1: customers in exactly the order of what they then spent; 0: \
no relation
gini | plain | Finding the valuable (Gini) | how well a list by predicted value gathers the spend at its top: 1 is a \
perfect list, 0 a random one
total_error | signed | Total value | predicted total against what came; 0% is perfect, a minus means too low
decile_error | share | Value of groups | ten equal groups by predicted value: mean gap between predicted and actual, \
as a share of the mean; 0% is perfect
mae | money | Error for one customer | mean gap between predicted and actual value; 0 is perfect
""".splitlines()
)
PICTURED = ("auc", "brier", "gini", "mae")
TABLED = ("auc", "brier", "gini", "total_error", "mae")
RULES = {
    "recency alone": "risk from the days since the last order, and nothing else",
    "past mean rate": "everybody goes on as before, at their own average pace",
    "logistic regression on RFM": "a standard formula on recency, frequency and money",
    "tenure hazard": "how often contracts of the same age were cancelled, and nothing else",
    "BG/NBD and Gamma-Gamma": "a probability model of buying until one leaves, from each customer's own rhythm",
    "plain LightGBM": "decision trees on everything known of a customer, as they come",
}


def verdict(metric: str, low: float, high: float) -> str:
    """What the interval of 'ours less theirs' says of us.

    >>> verdict("auc", 0.01, 0.03), verdict("mae", 0.2, 0.5), verdict("brier", -0.01, 0.002)
    ('better', 'worse', 'no clear difference')
    """
    if not (low > 0 or high < 0):
        return "no clear difference"
    return "better" if (low > 0) == (metric in BETTER_HIGH) else "worse"


def judge(evaluation: Evaluation | None, form: Forms) -> dict[str, Any] | None:
    """The last cutoff against the ladder, in the words of the page; None where nothing was measured."""
    if evaluation is None or evaluation.metrics.empty:
        return None
    metrics = evaluation.metrics.assign(cutoff=evaluation.metrics["cutoff"].astype(str))
    last = metrics[metrics.cutoff == metrics.cutoff.max()]
    everyone = last[last.segment == "all"]
    found = {(row["model"], row["metric"]): row for row in everyone.to_dict("records") if np.isfinite(row["value"])}
    rivals = [name for name in everyone.model.unique() if name != OURS]
    verdicts = _verdicts(evaluation.differences, last.cutoff.iloc[0])
    known = [metric for metric in METRICS if (OURS, metric.name) in found]
    told = [verdicts[rival, m.name] for m in known for rival in rivals if (rival, m.name) in verdicts]
    return {
        "cutoff": last.cutoff.iloc[0],
        "customers": int(everyone.customers.max()),
        "level": LEVEL,
        "ours": {name: row for (model, name), row in found.items() if model == OURS},
        "rivals": [(name, RULES.get(name, "")) for name in rivals],
        "ladder": [
            (m, found[OURS, m.name], [(found.get((r, m.name)), verdicts.get((r, m.name), "")) for r in rivals])
            for m in known
        ],
        "told": {word: told.count(word) for word in ("better", "no clear difference", "worse")},
        "compared": len(told),
        "picture": _picture(found, [OURS, *rivals], form),
        "riskiest": _riskiest(evaluation.groups, last.cutoff.iloc[0]),
        "said_and_came": _said_and_came(evaluation.groups, last.cutoff.iloc[0]),
        "earlier": _by(metrics[(metrics.segment == "all") & (metrics.model == OURS)], "cutoff"),
        "groups": _by(last[(last.segment != "all") & (last.model == OURS)], "segment"),
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


def _picture(found: dict[tuple[str, str], dict[str, Any]], models: Sequence[str], form: Forms) -> str:
    """Ours beside the simple rules on the chief metrics; empty where none was measured."""
    panels, told = [], []
    for metric in (m for m in METRICS if m.name in PICTURED):
        rows = [(name, found[name, metric.name]) for name in models if (name, metric.name) in found]
        dots = [charts.Dot(_name(name), row["value"], row["low"], row["high"], name == OURS) for name, row in rows]
        if dots:
            hint = f"further {'right' if metric.name in BETTER_HIGH else 'left'} is better"
            panels.append(charts.Panel(metric.title, hint, metric.form == "share", dots))
            figures = ", ".join(f"{dot.label} {form.of(dot.value, metric.form)}" for dot in dots)
            told.append(f"{metric.title}, {hint}: {figures}")
    return Markup(charts.dots("ladder", "; ".join(told), panels)) if panels else ""  # noqa: S704 (escaped there)


def _name(model: str) -> str:
    return "our prediction" if model == OURS else model


def _churn_groups(groups: pd.DataFrame, cutoff: str) -> list[dict[str, Any]]:
    """The ten groups by predicted risk at a cutoff, the lowest first; empty where they were not logged."""
    whole = groups[groups["segment"] == "all"] if "segment" in groups else groups  # runs of 0.1 had no segments there
    found = whole[(whole["cutoff"].astype(str) == cutoff) & (whole["number"] == "churn")]
    return found.sort_values("group").to_dict("records")


def _riskiest(groups: pd.DataFrame, cutoff: str) -> dict[str, str] | None:
    """How many of ten left in the riskiest tenth, and of ten of all customers."""
    rows = _churn_groups(groups, cutoff)
    if len(rows) < 10:
        return None
    customers = sum(row["customers"] for row in rows)
    left = sum(row["actual"] * row["customers"] for row in rows) / customers
    return {
        "left": f"{10 * rows[-1]['actual']:.1f}".removesuffix(".0"),
        "all_left": f"{10 * left:.1f}".removesuffix(".0"),
    }


def _said_and_came(groups: pd.DataFrame, cutoff: str) -> str:
    """Expected beside actual churn in the ten groups; empty where they were not logged."""
    rows = _churn_groups(groups, cutoff)
    if not rows:
        return ""
    pairs = [(row["predicted"], row["actual"]) for row in rows]
    told = "; ".join(
        f"group {n}: expected {said:.0%}, left {came:.0%}" for n, (said, came) in enumerate(pairs, start=1)
    )
    svg = charts.pairs(
        "said", f"Expected and actual churn by group of risk. {told}.", pairs, "groups by risk, lowest to highest"
    )
    return Markup(svg)  # noqa: S704 (escaped where it was made)
