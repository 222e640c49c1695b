"""The top of the report: key figures with a sentence each, and the next steps, most urgent first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from serving.charts import Column, columns
from serving.report.inputs import PastPlan, ReportInputs
from serving.report.text import ReportWording
from serving.scoring import value_tiers
from serving.scoring.score_changes import change_sentences
from serving.scoring.score_tables import total_value_interval as sum_of
from training.evaluation.grade import Grade, grade_text

STEPS = 5
SEVERE = ("critical", "warning")


@dataclass(frozen=True)
class KeyFigure:
    """A key figure: its id, title and number, a sentence, and in `link` the section with more."""

    id: str
    title: str
    figure: str
    text: str
    link: str


@dataclass(frozen=True)
class NextStep:
    """Something to do: a number or word, a title, a sentence with why and how; `link` names the section with more."""

    figure: str
    title: str
    text: str
    link: str


@dataclass(frozen=True)
class ScoreTotals:
    """Sums over all customers; `half` is the smallest number of customers who hold half of what is at risk."""

    customers: int
    at_risk: int
    leaving: float
    value: float
    value_low: float | None
    value_high: float | None
    value_at_risk: float
    half: int


def score_totals(table: pd.DataFrame, weight: np.ndarray, inputs: ReportInputs) -> ScoreTotals:
    """Sum up risk and value over all customers.

    Args:
        table: The score columns of n customers.
        weight: (n,) value at risk of each customer, or the risk if there is no value.
        inputs: The report's inputs; the spread of the total is used.

    Returns:
        The totals, with a prediction interval of the total value.
    """
    running, risk = np.cumsum(np.sort(weight)[::-1]), table["churn_probability"]
    spread = inputs.scores.spread
    low, high = sum_of(risk.to_numpy(), table["value"].to_numpy(), table["value_at_risk"].to_numpy(), spread)
    return ScoreTotals(
        customers=len(table),
        at_risk=int((risk >= value_tiers.AT_RISK).sum()),
        leaving=float(risk.sum()),
        value=float(table["value"].sum()),
        value_low=low,
        value_high=high,
        value_at_risk=float(table["value_at_risk"].sum()),
        half=int(np.searchsorted(running, float(weight.sum()) / 2) + 1),
    )


def key_figures(wording: ReportWording, top: ScoreTotals, grade: Grade | None) -> list[KeyFigure]:
    """Make the key figures at the top: four, or three if there is no value.

    Args:
        wording: Language, formats and terms of the report.
        top: Totals over all customers.
        grade: The grade of the models, or None if it is not known.

    Returns:
        The figures in their order on the page.
    """
    money = [_at_risk(wording, top), _value(wording, top)] if wording.money else [_first(wording, top)]
    return [_customers(wording, top), *money, _trust(wording, grade)]


def _customers(wording: ReportWording, top: ScoreTotals) -> KeyFigure:
    tr = wording.tr
    if not wording.skill:
        text = tr("of {all} scored customers, all with the same risk.", all=f"{top.customers:,}")
        return KeyFigure("number-customers", tr("Expected leavers"), f"{top.leaving:,.0f}", text, "trust")
    text = tr(
        "of {all} scored customers are more likely to leave than to stay; the risks of all customers add up to "
        "about {leaving} leavers.",
        all=f"{top.customers:,}",
        leaving=f"{top.leaving:,.0f}",
    )
    return KeyFigure("number-customers", tr("Customers at risk"), f"{top.at_risk:,}", text, "list")


def _at_risk(wording: ReportWording, top: ScoreTotals) -> KeyFigure:
    tr, form = wording.tr, wording.form
    text = tr(
        "is the expected loss from churn: each customer's value if they stay (customer lifetime value, LTV, over "
        "the horizon of {days} days), times the risk that they leave; {half} customers ({share}) hold half of it.",
        days=wording.days,
        half=f"{top.half:,}",
        share=form.share(top.half / top.customers),
    )
    return KeyFigure("number-at-risk", tr("Value at risk"), form.money(top.value_at_risk), text, "list")


def _first(wording: ReportWording, top: ScoreTotals) -> KeyFigure:
    tr, part = wording.tr, wording.form.share(top.half / top.customers)
    text = tr("customers ({share} of all) account for half of the expected churn.", share=part)
    return KeyFigure("number-first", tr("Whom to look at first"), f"{top.half:,}", text, "list")


def _value(wording: ReportWording, top: ScoreTotals) -> KeyFigure:
    tr, form = wording.tr, wording.form
    slots = {"bring": wording.words.bring, "days": wording.days, "sum": form.money(top.value + top.value_at_risk)}
    if top.value_low is None or top.value_high is None:
        text = tr(
            "is what all customers together are expected to {bring} in the {days} days; if nobody left, it would "
            "be {sum}.",
            **slots,
        )
    else:
        text = tr(
            "is what all customers together are expected to {bring} in the {days} days ({low} to {high} with a "
            "probability of {interval}); if nobody left, it would be {sum}.",
            low=form.money(top.value_low),
            high=form.money(top.value_high),
            interval=form.share(wording.interval),
            **slots,
        )
    return KeyFigure("number-value", tr("Expected value"), form.money(top.value), text, "segments")


def _trust(wording: ReportWording, grade: Grade | None) -> KeyFigure:
    tr, title = wording.tr, wording.tr("How far to trust it")
    if grade is None:
        text = tr("because there is no test of this model on unseen data.")
        return KeyFigure("number-trust", title, tr("not known"), text, "trust")
    return KeyFigure("number-trust", title, tr("Grade {letter}", letter=grade.letter), grade_text(grade, tr), "trust")


def what_happened(wording: ReportWording, inputs: ReportInputs) -> list[str]:
    """Say what changed since the cutoff before; empty if there is none."""
    if inputs.changes is None:
        return []
    return list(change_sentences(inputs.changes, wording.form, wording.money, wording.skill))


def how_sure(wording: ReportWording, quality: Mapping[str, Any] | None) -> str:
    """Say in one sentence how the last test came out; empty if there was none."""
    if not wording.skill or not quality or "auc" not in quality["ours"]:
        return ""
    tr = wording.tr
    if tenth := quality["riskiest"]:
        return tr(
            "In the last test, {left} of 10 customers in the riskiest tenth left, against {all} of 10 among all.",
            left=tenth["left"], all=tenth["all_left"],
        )  # fmt: skip
    return tr(
        "In the last test, {pairs} of 100 pairs of one customer who left and one who stayed were ranked correctly (50 "
        "is random).",
        pairs=f"{100 * quality['ours']['auc']['value']:.0f}",
    )


def next_steps(wording: ReportWording, inputs: ReportInputs, scores: pd.DataFrame) -> list[NextStep]:
    """List what to do, most urgent first: alerts, the plan, plans to measure, the segment with the most at risk.

    Args:
        wording: Language, formats and terms of the report.
        inputs: The report's inputs.
        scores: The score columns of all customers.

    Returns:
        At most STEPS steps.
    """
    steps = [
        *_alerts(wording, inputs),
        *_plan(wording, inputs),
        *_measure(wording, inputs),
        *(_segment(wording, inputs, scores) if wording.skill else ()),
    ]
    return steps[:STEPS] or [_pilot(wording, inputs)]


def _alerts(wording: ReportWording, inputs: ReportInputs) -> Iterator[NextStep]:
    alerts = inputs.monitor.content["alerts"] if inputs.monitor.content else []
    severe = [alert for alert in alerts if alert.get("severity") in SEVERE]
    for alert in sorted(severe, key=lambda alert: SEVERE.index(alert["severity"])):
        yield NextStep(wording.severity(alert["severity"]), str(alert["title"]), str(alert["todo"]), "data")


def _plan(wording: ReportWording, inputs: ReportInputs) -> Iterator[NextStep]:
    if not inputs.plan.content or inputs.plan.content.stale:
        return
    tr, facts, past = wording.tr, inputs.plan.content.plan.manifest, _of_today(inputs)
    count = facts.customers
    if past and past.measured:
        return
    yield NextStep(
        f"{count['with_action']:,}",
        tr("customers get an action in the plan '{name}'", name=facts.campaign),
        tr(
            "load its plan.csv into the campaign tool, do not contact the {held_out} customers in the holdout, "
            "and measure the effect from {day} on.",
            held_out=f"{count['held_out']:,}",
            day=past.matures if past else "",
        ),
        "plan",
    )


def _of_today(inputs: ReportInputs) -> PastPlan | None:
    name = inputs.plan.content.plan.campaign
    for past in inputs.past.content or []:
        if past.cutoff == inputs.scores.cutoff and past.campaign == name:
            return past
    return None


def _measure(wording: ReportWording, inputs: ReportInputs) -> Iterator[NextStep]:
    """Name the plans whose horizon is over at this cutoff and that have not been measured."""
    for past in inputs.past.content or []:
        if past.measured is None and not past.superseded_by and past.matures <= inputs.scores.cutoff:
            name = f"{past.cutoff}/{past.campaign}"
            yield NextStep(
                wording.tr("measure"),
                wording.tr("the plan '{name}' of {day}", name=past.campaign, day=past.cutoff),
                wording.tr("its horizon is over: run `regulars measure {name}` to measure the effect.", name=name),
                "past",
            )


def _pilot(wording: ReportWording, inputs: ReportInputs) -> NextStep:
    """Where no segment is to act on: draw customers at random and measure an action on them."""
    command = f"regulars plan --cutoff {inputs.scores.cutoff} --budget B"
    return NextStep(
        wording.tr("pilot"),
        wording.tr("customers drawn at random"),
        wording.tr(
            "run `{command}`: it draws as many as it takes to measure whether an action helps.", command=command
        ),
        "plan",
    )


def _segment(wording: ReportWording, inputs: ReportInputs, table: pd.DataFrame) -> Iterator[NextStep]:
    """Name the segment to act on, the one with the most at risk, and what the plan does for it."""
    tr, cutoff = wording.tr, inputs.scores.cutoff
    by = table.assign(weight=table["value_at_risk"] if wording.money else table["churn_probability"]).groupby("segment")
    at_risk = by["weight"].sum()
    if at_risk.empty:
        return
    name = str(at_risk.idxmax())
    size, todo = int(by.size()[name]), tr(inputs.advice.get(name, ""))
    slots = {"todo": todo, "share": wording.form.share(float(at_risk[name] / max(at_risk.sum(), 1e-300)))}
    if wording.money:
        text = tr("they hold {share} of the value at risk; {todo}.", **slots)
    else:
        text = tr("they account for {share} of the expected churn; {todo}.", **slots)
    title = tr("customers in the segment '{name}'", name=tr(name))
    if inputs.plan.content is None:
        title = tr("customers in the segment '{name}', for whom there is no plan yet", name=tr(name))
        command = f"regulars plan --cutoff {cutoff} --budget B"
        text = tr("{text} Run `{command}` to choose whom to contact within a budget.", text=text, command=command)
    elif not inputs.plan.content.stale:
        plan, contacted = inputs.plan.content.plan.campaign, inputs.plan.content.contacted.get(name, 0)
        text = tr("{text} The plan '{plan}' contacts {n} of them.", text=text, plan=plan, n=f"{contacted:,}")
    yield NextStep(f"{size:,}", title, text, "segments")


def risk_histogram(wording: ReportWording, risk: np.ndarray) -> Markup:
    """Draw the number of customers by risk, in steps of ten percentage points."""
    tr = wording.tr
    counts = np.bincount(np.minimum((risk * 10).astype(int), 9), minlength=10).tolist()
    steps = [(low, low + 10) for low in range(0, 100, 10)]
    details = ", ".join(
        tr("{low} to {high}%: {n}", low=low, high=high, n=f"{n:,}")
        for (low, high), n in zip(steps, counts, strict=True)
    )
    bars = []
    for (low, high), n in zip(steps, counts, strict=True):
        tip = tr("risk of {low} to {high}%: {n} customers", low=low, high=high, n=f"{n:,}")
        solid = low >= 100 * value_tiers.AT_RISK
        bars.append(Column(f"{low}–{high}%", n, tip, solid, "#list" if solid and n else ""))
    alt = tr("Customers by risk of leaving. {details}.", details=details)
    return columns(alt, bars, tr("risk of leaving"))
