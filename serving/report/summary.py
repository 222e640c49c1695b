"""The top of the page: five numbers with a sentence each, and what to do next, the most pressing first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from serving.charts import figures
from serving.report.inputs import Found, PastPlan
from serving.report.text import Said
from serving.scoring import value_tiers
from serving.scoring.score_tables import total_value_interval as sum_of
from serving.segmentation import profiles

STEPS = 5
SEVERE = ("critical", "warning")


@dataclass(frozen=True)
class Number:
    """One of the five: an id, what it is, the figure, and a sentence; `link` names the section that says more."""

    id: str
    title: str
    figure: str
    text: str
    link: str


@dataclass(frozen=True)
class Step:
    """Something to do: in a few words, why and how, and for how many customers or what it is about."""

    figure: str
    title: str
    text: str
    link: str


@dataclass(frozen=True)
class Totals:
    """Sums over all customers; `half` is how many of them hold half of what is at risk."""

    customers: int
    at_risk: int
    leaving: float
    value: float
    value_low: float | None
    value_high: float | None
    value_at_risk: float
    half: int


def totals(table: pd.DataFrame, weight: np.ndarray, found: Found) -> Totals:
    """The figures on top, from risk and money of every customer and what each weighs (n,)."""
    running, risk = np.cumsum(np.sort(weight)[::-1]), table["churn_probability"]
    spread = found.scores.spread
    low, high = sum_of(risk.to_numpy(), table["value"].to_numpy(), table["value_at_risk"].to_numpy(), spread)
    return Totals(
        customers=len(table),
        at_risk=int((risk >= value_tiers.AT_RISK).sum()),
        leaving=float(risk.sum()),
        value=float(table["value"].sum()),
        value_low=low,
        value_high=high,
        value_at_risk=float(table["value_at_risk"].sum()),
        half=int(np.searchsorted(running, float(weight.sum()) / 2) + 1),
    )


def numbers(said: Said, top: Totals, judged: Mapping[str, Any] | None, steps: Sequence[Step]) -> list[Number]:
    """The five numbers; without money, whom to look at first stands for the two of value."""
    money = [_at_risk(said, top), _value(said, top)] if said.money else [_first(said, top)]
    return [_customers(said, top), *money, _trust(said, judged), _next(said, steps)]


def _customers(said: Said, top: Totals) -> Number:
    tr = said.tr
    text = tr(
        "of {all} customers scored are likelier to leave than to stay; adding up everybody's risk, about {leaving} "
        "will leave.",
        all=f"{top.customers:,}",
        leaving=f"{top.leaving:,.0f}",
    )
    return Number("number-customers", tr("Customers at risk"), f"{top.at_risk:,}", text, "list")


def _at_risk(said: Said, top: Totals) -> Number:
    tr, form = said.tr, said.form
    text = tr(
        "is what leaving is expected to cost: for each customer the value (customer lifetime value, LTV, over the "
        "horizon of {days} days) if they stay, times the risk that they do not; {half} customers ({share}) hold half "
        "of it.",
        days=said.days,
        half=f"{top.half:,}",
        share=form.share(top.half / top.customers),
    )
    return Number("number-at-risk", tr("Value at risk"), form.money(top.value_at_risk), text, "list")


def _first(said: Said, top: Totals) -> Number:
    tr, part = said.tr, said.form.share(top.half / top.customers)
    text = tr("customers ({share} of all) make up half of the departures expected.", share=part)
    return Number("number-first", tr("Whom to look at first"), f"{top.half:,}", text, "list")


def _value(said: Said, top: Totals) -> Number:
    tr, form = said.tr, said.form
    slots = {"bring": said.words.bring, "days": said.days, "sum": form.money(top.value + top.value_at_risk)}
    if top.value_low is None or top.value_high is None:
        text = tr(
            "is what all customers together are expected to {bring} in the {days} days; if nobody left it would be "
            "{sum}.",
            **slots,
        )
    else:
        text = tr(
            "is what all customers together are expected to {bring} in the {days} days, {low} to {high} with a "
            "probability of {interval}; if nobody left it would be {sum}.",
            low=form.money(top.value_low),
            high=form.money(top.value_high),
            interval=form.share(said.interval),
            **slots,
        )
    return Number("number-value", tr("Expected value"), form.money(top.value), text, "segments")


def _trust(said: Said, judged: Mapping[str, Any] | None) -> Number:
    tr, title = said.tr, said.tr("How far to trust this")
    ours = judged["ours"] if judged else {}
    if not judged or "auc" not in ours:
        text = tr("because no test of this model on customers it had not seen is at hand.")
        return Number("number-trust", title, tr("not known"), text, "trust")
    text = judged["order"]
    if error := ours.get("total_error"):
        text = _total(said, text, error)
    if tenth := judged["riskiest"]:
        figure = tr("{left} of 10", left=tenth["left"])
        text = tr(
            "in the riskiest tenth really left when last tested, against {all} of 10 of all customers: {order}.",
            all=tenth["all_left"], order=text,
        )  # fmt: skip
    else:
        figure = tr("{pairs} of 100", pairs=f"{100 * ours['auc']['value']:.0f}")
        text = tr(
            "pairs of one who left and one who stayed were put in the right order when last tested (50 is guessing): "
            "{order}.",
            order=text,
        )
    return Number("number-trust", title, figure, text, "trust")


def _total(said: Said, order: str, error: Mapping[str, float]) -> str:
    """The order, and how far the predicted total was off: by how much where its interval tells a side."""
    tr, off = said.tr, said.form.share(abs(error["value"]))
    if error["high"] < 0:
        return tr("{order}, but the total value predicted was {off} too low", order=order, off=off)
    if error["low"] > 0:
        return tr("{order}, but the total value predicted was {off} too high", order=order, off=off)
    reach = said.form.share(max(abs(error["low"]), abs(error["high"])))
    return tr("{order}, and the total value predicted was right to within {reach}", order=order, reach=reach)


def _next(said: Said, steps: Sequence[Step]) -> Number:
    first = steps[0]
    text = first.title + said.tr(": ") + first.text
    return Number("number-next", said.tr("What to do next"), first.figure, text, first.link)


def next_steps(said: Said, found: Found, table: pd.DataFrame) -> list[Step]:
    """What to do, the most pressing first: alarms, the plan of the day, plans that can be measured, the segments."""
    steps = [*_alerts(said, found), *_plan(said, found), *_measure(said, found), *_segment(said, found, table)]
    return steps[:STEPS]


def _alerts(said: Said, found: Found) -> Iterator[Step]:
    alerts = found.monitor.content["alerts"] if found.monitor.content else []
    severe = [alert for alert in alerts if alert.get("severity") in SEVERE]
    for alert in sorted(severe, key=lambda alert: SEVERE.index(alert["severity"])):
        yield Step(said.severity(alert["severity"]), str(alert["title"]), str(alert["todo"]), "data")


def _plan(said: Said, found: Found) -> Iterator[Step]:
    if not found.plan.content or found.plan.content.stale:
        return
    tr, facts, past = said.tr, found.plan.content.plan.manifest, _of_today(found)
    count = facts["customers"]
    if past and past.measured:
        return
    yield Step(
        f"{count['with_action']:,}",
        tr("customers get an offer by the plan '{name}'", name=facts["campaign"]),
        tr(
            "give its plan.csv to the campaign tool, leave the {held} held out alone, and measure it from {day} on.",
            held=f"{count['held_out']:,}",
            day=past.matures if past else "",
        ),
        "plan",
    )


def _of_today(found: Found) -> PastPlan | None:
    name = found.plan.content.plan.campaign
    for past in found.past.content or []:
        if past.cutoff == found.scores.cutoff and past.campaign == name:
            return past
    return None


def _measure(said: Said, found: Found) -> Iterator[Step]:
    """Plans whose days are over at this cutoff, and which nobody measured."""
    for past in found.past.content or []:
        if past.measured is None and past.matures <= found.scores.cutoff:
            name = f"{past.cutoff}/{past.campaign}"
            yield Step(
                said.tr("measure"),
                said.tr("the plan '{name}' of {day}", name=past.campaign, day=past.cutoff),
                said.tr("its days are over: `regulars measure {name}` says what it changed.", name=name),
                "past",
            )


def _segment(said: Said, found: Found, table: pd.DataFrame) -> Iterator[Step]:
    """The segment that holds most of what is at risk, unless a plan has been made for it."""
    tr, cutoff = said.tr, found.scores.cutoff
    by = table.assign(weight=table["value_at_risk"] if said.money else table["churn_probability"]).groupby("segment")
    held = by["weight"].sum()
    if held.empty:
        return
    name = str(held.idxmax()) if "save first" not in held.index else "save first"
    size, todo = int(by.size()[name]), tr(profiles.treatment_for(name, found.treatments))
    slots = {"todo": todo, "share": said.form.share(float(held[name] / max(held.sum(), 1e-300)))}
    if said.money:
        text = tr("they hold {share} of the value at risk; {todo}.", **slots)
    else:
        text = tr("they are {share} of the departures expected; {todo}.", **slots)
    title = tr("customers in the segment '{name}'", name=tr(name))
    if found.plan.content is None:
        title = tr("customers in the segment '{name}', for whom there is no plan yet", name=tr(name))
        command = f"regulars plan --cutoff {cutoff} --budget B"
        text = tr("{text} `{command}` finds whom to contact within a budget.", text=text, command=command)
    yield Step(f"{size:,}", title, text, "segments")


def spread(said: Said, risk: np.ndarray) -> Markup:
    """Customers by risk, in steps of ten points."""
    tr = said.tr
    counts = np.bincount(np.minimum((risk * 10).astype(int), 9), minlength=10).tolist()
    steps = [(low, low + 10) for low in range(0, 100, 10)]
    told = ", ".join(
        tr("{low} to {high}%: {n}", low=low, high=high, n=f"{n:,}")
        for (low, high), n in zip(steps, counts, strict=True)
    )
    svg = figures.columns(
        "spread",
        tr("Customers by risk of leaving. {told}.", told=told),
        [f"{low}–{high}%" for low, high in steps],
        counts,
        int(value_tiers.AT_RISK * 10),
        tr("risk of leaving"),
    )
    return Markup(svg)  # noqa: S704 (escaped where it was made)
