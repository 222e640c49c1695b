"""The sections on the plan of the cutoff and on the measured effects of past plans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from features.outputs.manifests import Measurement, PlanManifest
from serving.campaigns.wording import belief_rows, campaign_rows, finding_sentences, next_step_sentences
from serving.charts import (
    Curve,
    CurveAxis,
    CurvePoint,
    Panel,
    PlottedEstimate,
    curve_chart,
    format_tick,
    interval_panels,
)
from serving.effects.action_effects import ASSUMED
from serving.experiments.wording import experiment_sentences
from serving.language.formats import NumberFormat
from serving.measurement.effect_estimates import ADJUSTED, ALL, EACH_ACTION, interval_columns
from serving.measurement.executed_plan import RETURN, VALUE
from serving.measurement.later_wording import later_sentences
from serving.measurement.refusals import refusal_sentences
from serving.planning.inputs import MONEY
from serving.planning.promise import evidence_sentences, gain_sentences, pilot_sentence
from serving.report.inputs import CutoffPlan, PastPlan, ReportInputs
from serving.report.text import ReportWording

SHOWN, PICTURED, LISTED = 8, 12, 20
Facts = Mapping[str, Any]


def plan_section(wording: ReportWording, inputs: ReportInputs) -> dict[str, Any]:
    """Prepare the plan of the cutoff: sentences, actions and curve; or what is missing."""
    cutoff_plan: CutoffPlan | None = inputs.plan.content
    if cutoff_plan is None:
        return {"gap": inputs.plan.gap}
    facts = cutoff_plan.plan.manifest
    form = NumberFormat(abs(facts.bound) / max(facts.customers["with_action"], 1), wording.tr)
    return {
        "gap": "",
        "name": facts.campaign,
        "stale": cutoff_plan.stale,
        "other_plans": cutoff_plan.others,
        "superseded": cutoff_plan.superseded,
        "unmeasurable": [*evidence_sentences(facts, form, wording.tr), *_unmeasurable(wording, facts)],
        "promise": [*_promise(wording, facts, form)],
        "sentences": list(_sentences(wording, facts)),
        "money": facts.objective == MONEY,
        "actions": [_action(wording, n, each, form) for n, each in facts.actions.items() if _is_used(each)],
        "unused": [name for name, each in facts.actions.items() if not _is_used(each)],
        "curve": _curve(wording, cutoff_plan, form),
        "points": _points(cutoff_plan, form),
        "assumed": facts.assumed,
    }


def _promise(wording: ReportWording, facts: PlanManifest, form: NumberFormat) -> Iterator[str]:
    """Say who gets an action, at what cost, for what expected gain."""
    tr, count = wording.tr, facts.customers
    if facts.experiment:
        yield from experiment_sentences(facts, form, tr)
        return
    yield tr(
        "Of {scored} scored customers, {eligible} are eligible; {action} of them get an action, for {spent} of a "
        "budget of {budget}.",
        scored=f"{count['scored']:,}", eligible=f"{count['eligible']:,}", action=f"{count['with_action']:,}",
        spent=form.money(facts.spent), budget=form.money(facts.budget),
    )  # fmt: skip
    yield from gain_sentences(facts, form, tr)


def _sentences(wording: ReportWording, facts: PlanManifest) -> Iterator[str]:
    """Say when the plan pays, and what its holdout can detect."""
    tr, form, count = wording.tr, wording.form, facts.customers
    if facts.experiment:
        return
    yield from filter(None, [pilot_sentence(facts, tr)])
    if facts.break_even is not None:
        yield tr("It breaks even if {share} of the expected effects are realised.", share=form.share(facts.break_even))
    if not facts.holdout["share"]:
        yield tr("There is no holdout, so its effect cannot be measured.")
        return
    yield tr(
        "{held_out} customers ({share} of the eligible ones, chosen at random) are held out and get nothing: the "
        "effect can be measured only against this randomised holdout.",
        held_out=f"{count['held_out']:,}", share=form.share(facts.holdout["share"]),
    )  # fmt: skip
    yield from _power(wording, facts)


def _power(wording: ReportWording, facts: PlanManifest) -> Iterator[str]:
    power = facts.design["all"]["return"]
    if not power:
        return
    tr, slots = wording.tr, {"detects": f"{100 * power['detects']:.1f}", "expected": f"{100 * power['expected']:+.1f}"}
    if power["power"] >= facts.design["power"]:
        yield tr(
            "This holdout is large enough to detect the expected change of the return rate, {expected} "
            "percentage points.",
            **slots,
        )
    else:
        yield tr(
            "This holdout can detect a change of the return rate of {detects} percentage points or more; "
            "{expected} are expected, so the result of a single campaign may well be not significant.",
            **slots,
        )


def _unmeasurable(wording: ReportWording, facts: PlanManifest) -> Iterator[str]:
    """Name the actions that cannot be measured, and how many customers would do."""
    for name, each in facts.unmeasurable.items() if facts.holdout["share"] else ():
        yield wording.tr(
            "{action} cannot be measured: {n} customers get it, and only {held_out} of those meant to get it are held "
            "out. About {needed} customers meant to get it would do.",
            action=name, n=f"{each['with_action']:,}", held_out=f"{each['held_out']:,}", needed=f"{each['needed']:,}",
        )  # fmt: skip


def _is_used(each: Facts) -> bool:
    """Whether an action of the plan is meant for anybody."""
    return bool(each["customers"] or each["held_out"])


def _action(wording: ReportWording, name: str, each: Facts, form: NumberFormat) -> dict[str, str]:
    source = wording.name(each["source"])
    if each["save_rate"] is not None:
        rate = form.of(each["save_rate"], "share")
        source = wording.tr("{source}: keeps {rate} of those who would leave", source=source, rate=rate)
    return {
        "name": name,
        "customers": f"{each['customers']:,}",
        "held_out": f"{each['held_out']:,}",
        "cost": form.money(each["cost"]),
        "gain": form.money(each["gain"]),
        "source": source,
    }


def _points(cutoff_plan: CutoffPlan, form: NumberFormat) -> list[dict[str, Any]]:
    """Select at most SHOWN points of the curve evenly, and the plan's own."""
    own, step = cutoff_plan.plan.manifest.budget, max(-(-len(cutoff_plan.points) // SHOWN), 1)
    return [
        {
            "budget": form.money(point["budget"]),
            "gain": form.money(point["gain"]),
            "customers": f"{point['customers']:,}",
            "adds": f"{point['price']:,.3g}",
            "own": point["budget"] == own,
        }
        for place, point in enumerate(cutoff_plan.points)
        if (len(cutoff_plan.points) - 1 - place) % step == 0 or point["budget"] == own
    ]


def _curve(wording: ReportWording, cutoff_plan: CutoffPlan, form: NumberFormat) -> Markup | str:
    """Draw the gain by budget, and below it the gain from one more unit of budget."""
    tr, facts, points = wording.tr, cutoff_plan.plan.manifest, cutoff_plan.points
    if len(points) < 2:
        return ""
    own = next((place for place, point in enumerate(points) if point["budget"] == facts.budget), len(points) - 1)
    gain = tr("Expected gain") if facts.objective == MONEY else tr("Customers expected to be kept")
    gain = tr("{what} (assumed)", what=gain) if facts.assumed else gain
    adds = tr("Gain from one more unit of budget")
    details = "; ".join(
        tr("budget {budget}: {gain}, one more unit adds {adds}", budget=p["budget"], gain=p["gain"], adds=p["adds"])
        for p in _points(cutoff_plan, form)
    )
    alt = tr("{what} by budget, and the gain from one more unit of budget. {details}.", what=gain, details=details)
    charts = []
    for title, key, write in ((gain, "gain", form.money), (adds, "price", "{:,.3g}".format)):
        drawn = []
        for place, p in enumerate(points):
            tip = tr(
                "budget {budget}: {what} {number}", budget=form.money(p["budget"]), what=title, number=write(p[key])
            )
            drawn.append(CurvePoint(p["budget"], p[key], tip, place == own))
        axes = CurveAxis(tr("budget"), format_tick), CurveAxis(title, format_tick)
        charts.append(curve_chart(alt if key == "gain" else f"{title}.", [Curve("", drawn)], *axes))
    return Markup('<div class="panels">{}{}</div>').format(*charts)


def measured_section(wording: ReportWording, inputs: ReportInputs) -> dict[str, Any]:
    """Prepare the effects of measured plans, newest first, and the plans that wait to be measured."""
    plans: Sequence[PastPlan] = inputs.past.content or []
    measured = [each for each in plans if each.measured]
    return {
        "gap": inputs.past.gap,
        "rows": [row for each in measured for row in _measured(wording, each)],
        "picture": _picture(wording, measured[:PICTURED]),
        "waiting": [_waiting(wording, inputs, each) for each in plans if not each.measured and not each.superseded_by],
        "notes": [note for each in measured for note in _notes(wording, each)],
    }


def campaigns_section(wording: ReportWording, inputs: ReportInputs) -> dict[str, Any]:
    """Prepare the list of all campaigns, what is believed of each action, and what to try next."""
    rows = campaign_rows(inputs.campaigns, wording.tr)
    return {
        "rows": rows[:LISTED],
        "older": len(rows) - LISTED,
        "beliefs": belief_rows(inputs.campaigns, wording.tr) if rows else [],
        "sentences": list(next_step_sentences(inputs.campaigns, wording.tr)) if rows else [],
        "findings": list(finding_sentences(inputs.campaigns, wording.tr)),
        "money": inputs.campaigns.money,
        "interval": wording.form.share(inputs.campaigns.interval),
    }


def _waiting(wording: ReportWording, inputs: ReportInputs, each: PastPlan) -> str:
    slots = {"name": each.campaign, "cutoff": each.cutoff, "day": each.matures}
    if each.matures <= inputs.scores.cutoff:
        return wording.tr(
            "The plan '{name}' of {cutoff} can be measured: `regulars measure {cutoff}/{name}`.", **slots
        )  # fmt: skip
    return wording.tr("The plan '{name}' of {cutoff} can be measured from {day} on.", **slots)


def _measured(wording: ReportWording, each: PastPlan) -> Iterator[dict[str, Any]]:
    """Make a table row for the plan in total, and one for each action if there are several."""
    facts = each.measured or {}
    form = _form_of(wording, each)
    rows = [r for r in facts["effects"] if r["estimator"] == ADJUSTED and r["family"] in (ALL, EACH_ACTION)]
    names = list(dict.fromkeys(row["action"] for row in rows))
    for name in names if len(names) > 2 else names[:1]:
        row_of_outcome = {row["outcome"]: row for row in rows if row["action"] == name}
        returns = facts["returns"].get(name, {})
        is_total = name == ALL
        yield {
            "name": f"{each.cutoff} {each.campaign}" if is_total else name,
            "total": is_total,
            "mark": _mark(wording, each) if is_total else "",
            "groups": _groups(row_of_outcome),
            "planned": _planned_gain(wording, each, name, form),
            "back": _effect(wording, row_of_outcome.get(RETURN), facts, form),
            "value": _effect(wording, row_of_outcome.get(VALUE), facts, form),
            "gain": _gain_with_interval(wording, returns.get("gain"), form),
            "verdict": _verdict(wording, row_of_outcome.get(VALUE) or row_of_outcome.get(RETURN), facts),
        }


def _mark(wording: ReportWording, each: PastPlan) -> str:
    """What to know about a measured plan at first sight."""
    marks = [wording.tr("immature")] if each.measured and not each.measured["mature"] else []
    marks += [wording.tr("superseded")] if each.superseded_by else []
    return wording.tr("; ").join(marks)


def _form_of(wording: ReportWording, each: PastPlan) -> NumberFormat:
    return NumberFormat(abs(each.manifest.gain) / max(each.manifest.customers["with_action"], 1), wording.tr)


def _groups(row_of_outcome: Mapping[str, Facts]) -> str:
    row = next(iter(row_of_outcome.values()), None)
    return f"{row['treated']:,} / {row['held']:,}" if row else "–"


def _planned_gain(wording: ReportWording, each: PastPlan, name: str, form: NumberFormat) -> str:
    """Format the planned gain, marked if it was based on assumed effects."""
    if name == ALL:
        planned, assumed = each.manifest.gain, each.manifest.assumed
    elif (action := each.manifest.actions.get(name)) is not None:
        planned, assumed = action["gain"], action["source"] == ASSUMED
    else:
        return "–"
    gain = form.money(planned, "+").replace("-", "−")
    return wording.tr("{gain} (assumed)", gain=gain) if assumed else gain


def _effect(wording: ReportWording, row: Facts | None, facts: Facts, form: NumberFormat) -> str:
    if row is None:
        return "–"
    low, high = interval_columns(facts["mature"])
    if row["effect"] is None or row[low] is None:
        return wording.tr("too few customers")
    if row["outcome"] == RETURN:
        ends = [f"{100 * row[key]:+.1f}".replace("-", "−") for key in ("effect", low, high)]
    else:
        ends = [form.money(row[key], "+").replace("-", "−") for key in ("effect", low, high)]
    return wording.tr("{n} ({low} to {high})", n=ends[0], low=ends[1], high=ends[2])


def _gain_with_interval(wording: ReportWording, ends: Sequence[float | None] | None, form: NumberFormat) -> str:
    if not ends or any(end is None for end in ends):
        return "–"
    texts = [form.money(float(end or 0.0), "+").replace("-", "−") for end in ends]
    return wording.tr("{n} ({low} to {high})", n=texts[0], low=texts[1], high=texts[2])


def _verdict(wording: ReportWording, row: Facts | None, facts: Facts) -> str:
    tr = wording.tr
    low, high = interval_columns(facts["mature"])
    if facts["sample_ratio"].get("alarm"):
        return tr("▲▲ not valid: sample-ratio mismatch")
    if row is None or row["effect"] is None or row[low] is None:
        return tr("● too few customers")
    if row[low] > 0:
        return tr("▲ significant positive effect")
    if row[high] < 0:
        return tr("▼ significant negative effect")
    return tr("● not significant")


def _notes(wording: ReportWording, each: PastPlan) -> Iterator[str]:
    """Say what to know before reading the effects of a measured plan."""
    tr, facts, name = wording.tr, each.measured or {}, f"{each.cutoff} {each.campaign}"
    stored = Measurement.model_validate(facts)
    for text in (*refusal_sentences(stored, tr), *later_sentences(stored, tr)):
        yield tr("{campaign}: {text}", campaign=name, text=text)
    if not facts["mature"]:
        yield tr(
            "{name}: immature, {days} of {all} days have passed; the confidence intervals are sequential, so "
            "they hold at an early look too.",
            name=name, days=facts.get("days", "?"), all=facts.get("horizon_days", "?"),
        )  # fmt: skip
    contamination = facts.get("contamination", {})
    if contamination.get("contacted"):
        yield tr(
            "{name}: {n} of {all} customers in the holdout were contacted, which makes the effects look smaller.",
            name=name, n=f"{contamination['contacted']:,}", all=f"{contamination['held_out']:,}",
        )  # fmt: skip
    yield from _limits(wording, each)
    under_exposed = {
        action: row for action, row in facts.get("exposure", {}).items() if row.get("meant") and row["share"] < 0.5
    }
    for action, row in under_exposed.items():
        yield tr(
            "{name}: only {got} of {meant} customers assigned to {action} received it, which makes the effects "
            "look smaller.",
            name=name, got=f"{row['got']:,}", meant=f"{row['meant']:,}", action=action,
        )  # fmt: skip


def _limits(wording: ReportWording, each: PastPlan) -> Iterator[str]:
    """Say up to how much the value of a customer counts, and which actions are too small to tell."""
    tr, facts, name = wording.tr, each.measured or {}, f"{each.cutoff} {each.campaign}"
    cap = facts.get("counted_up_to", {}).get(VALUE)
    if cap is not None:
        yield tr(
            "{name}: effects on value count at most {cap} of each customer, so that a few customers do not decide.",
            name=name, cap=_form_of(wording, each).money(cap),
        )  # fmt: skip
    for group in facts.get("withheld", []):
        if group["family"] == EACH_ACTION and group["needed"]:
            slots = {"action": group["action"], "held": f"{group['held']:,}", "needed": f"{group['needed']:,}"}
            if group["outcome"] == VALUE:
                yield tr(
                    "{name}: {action} is too small to tell an effect on value ({held} held out; about {needed} would "
                    "do).",
                    name=name, **slots,
                )  # fmt: skip
            else:
                yield tr(
                    "{name}: {action} is too small to tell an effect on the return rate ({held} held out; about "
                    "{needed} would do).",
                    name=name, **slots,
                )  # fmt: skip


def _picture(wording: ReportWording, measured: Sequence[PastPlan]) -> Markup | str:
    """Draw the effect of each plan on return rate and value, with its confidence interval and a line at zero."""
    tr, panels = wording.tr, []
    titles = {RETURN: tr("Effect on the return rate, in percentage points"), VALUE: tr("Effect on value per customer")}
    for outcome, title in titles.items():
        dots = [dot for each in measured if (dot := _dot(wording, each, outcome)) is not None]
        if dots:
            panels.append(Panel(title, tr("right of the line: positive effect"), format_tick, dots, zero=True))
    return interval_panels(panels) if panels else ""


def _dot(wording: ReportWording, each: PastPlan, outcome: str) -> PlottedEstimate | None:
    facts = each.measured or {}
    wanted = {"outcome": outcome, "estimator": ADJUSTED, "family": ALL}
    low, high = interval_columns(facts["mature"])
    for row in facts["effects"]:
        if (
            all(row[key] == value for key, value in wanted.items())
            and row["effect"] is not None
            and row[low] is not None
        ):
            scale = 100 if outcome == RETURN else 1
            ends = (row["effect"] * scale, row[low] * scale, row[high] * scale)
            middle, *reach = (f"{end:+,.1f}".replace("-", "−") for end in ends)
            label = f"{each.cutoff} {each.campaign}"
            tip = f"{label}: {middle} ({wording.tr('{low} to {high}', low=reach[0], high=reach[1])})"
            return PlottedEstimate(label, *ends, ours=True, tip=tip)
    return None
