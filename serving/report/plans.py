"""The plan of the cutoff with its curve, and what plans that were carried out have changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from serving.charts import figures
from serving.language.formats import Forms
from serving.measurement.effect_estimates import ADJUSTED, ALL, EACH_ACTION, interval_columns
from serving.measurement.executed_plan import RETURN, VALUE
from serving.planning.action_effects import ASSUMED
from serving.planning.inputs import MONEY
from serving.report.inputs import Found, PastPlan, Planned
from serving.report.text import Said

SHOWN, PICTURED = 8, 12
Facts = Mapping[str, Any]


def plan(said: Said, found: Found) -> dict[str, Any]:
    """The plan of the cutoff: sentences, its actions, its curve; or what is missing."""
    planned: Planned | None = found.plan.content
    if planned is None:
        return {"gap": found.plan.gap}
    facts = planned.plan.manifest
    form = Forms(abs(facts["bound"]) / max(facts["customers"]["with_action"], 1), said.tr)
    return {
        "gap": "",
        "name": facts["campaign"],
        "stale": planned.stale,
        "others": planned.others,
        "sentences": list(_sentences(said, facts, form)),
        "money": facts["objective"] == MONEY,
        "actions": [_action(said, name, each, form) for name, each in facts["actions"].items()],
        "curve": _curve(said, planned, form),
        "points": _points(planned, form),
        "assumed": facts["assumed"],
    }


def _sentences(said: Said, facts: Facts, form: Forms) -> Iterator[str]:
    """Who, for how much, for what gain, and what the holdout will tell."""
    tr, count = said.tr, facts["customers"]
    yield tr(
        "Of {scored} customers scored, {eligible} may be contacted; {action} of them get an action, for {spent} of a "
        "budget of {budget}.",
        scored=f"{count['scored']:,}", eligible=f"{count['eligible']:,}", action=f"{count['with_action']:,}",
        spent=form.money(facts["spent"]), budget=form.money(facts["budget"]),
    )  # fmt: skip
    yield _gain(said, facts, form)
    if facts["break_even"] is not None:
        yield tr(
            "It pays for itself once {share} of the effects that it counts on come true.",
            share=form.share(facts["break_even"]),
        )
    if not facts["holdout"]["share"]:
        yield tr("Nobody is held out, so nobody will be able to say what it changed.")
        return
    yield tr(
        "{held} customers ({share} of those who may be contacted, drawn by lot) are held out and get nothing: only "
        "against them can the effect be measured.",
        held=f"{count['held_out']:,}", share=form.share(facts["holdout"]["share"]),
    )  # fmt: skip
    yield from _power(said, facts)


def _gain(said: Said, facts: Facts, form: Forms) -> str:
    tr = said.tr
    if facts["objective"] != MONEY:
        return tr("{n} customers are expected to be kept by it.", n=form.money(facts["gain"]))
    if facts["gain_low"] is None:
        return tr(
            "The expected gain is {gain}: the margin of what is saved, less the costs. It rests on assumed effects, so "
            "no interval can be given.",
            gain=form.money(facts["gain"]),
        )
    return tr(
        "The expected gain is {gain} ({low} to {high} with a probability of {interval}, from the errors of the "
        "effects): the margin of what is saved, less the costs.",
        gain=form.money(facts["gain"]), low=form.money(facts["gain_low"]), high=form.money(facts["gain_high"]),
        interval=form.share(facts["interval"]),
    )  # fmt: skip


def _power(said: Said, facts: Facts) -> Iterator[str]:
    found = facts["design"]["all"]["return"]
    if not found:
        return
    tr, slots = said.tr, {"detects": f"{100 * found['detects']:.1f}", "expected": f"{100 * found['expected']:+.1f}"}
    if found["power"] >= facts["design"]["power"]:
        yield tr("Such a holdout is large enough to see the {expected} points of return that are expected.", **slots)
    else:
        yield tr(
            "Such a holdout sees a change of return of {detects} points or more; expected are {expected}, so a single "
            "campaign may well end without proof.",
            **slots,
        )


def _action(said: Said, name: str, each: Facts, form: Forms) -> dict[str, str]:
    source = said.name(each["source"])
    if each["save_rate"] is not None:
        rate = form.of(each["save_rate"], "share")
        source = said.tr("{source}: keeps {rate} of those who would leave", source=source, rate=rate)
    return {
        "name": name,
        "customers": f"{each['customers']:,}",
        "held": f"{each['held_out']:,}",
        "cost": form.money(each["cost"]),
        "gain": form.money(each["gain"]),
        "source": source,
    }


def _points(planned: Planned, form: Forms) -> list[dict[str, Any]]:
    """At most so many points of the curve, the plan's own among them."""
    own, step = planned.plan.manifest["budget"], max(-(-len(planned.points) // SHOWN), 1)
    return [
        {
            "budget": form.money(point["budget"]),
            "gain": form.money(point["gain"]),
            "customers": f"{point['customers']:,}",
            "adds": f"{point['price']:,.3g}",
            "own": point["budget"] == own,
        }
        for place, point in enumerate(planned.points)
        if (len(planned.points) - 1 - place) % step == 0 or point["budget"] == own
    ]


def _curve(said: Said, planned: Planned, form: Forms) -> Markup | str:
    """Gain against budget, and beside it what one more unit of money adds."""
    tr, facts, points = said.tr, planned.plan.manifest, planned.points
    if len(points) < 2:
        return ""
    own = next((place for place, point in enumerate(points) if point["budget"] == facts["budget"]), len(points) - 1)
    gain = tr("Expected gain") if facts["objective"] == MONEY else tr("Customers expected to be kept")
    gain = tr("{what} (assumed)", what=gain) if facts["assumed"] else gain
    adds = tr("What one more unit of money adds")
    told = "; ".join(
        tr("budget {budget}: {gain}, one more unit adds {adds}", budget=p["budget"], gain=p["gain"], adds=p["adds"])
        for p in _points(planned, form)
    )
    lines = [
        figures.Line(gain, [(p["budget"], p["gain"]) for p in points], own, tr("this plan: {gain}", gain=form.money(
            points[own]["gain"]))),
        figures.Line(adds, [(p["budget"], p["price"]) for p in points], own, f"{points[own]['price']:,.3g}"),
    ]  # fmt: skip
    alt = tr("{what} against the budget, and what the next unit of money adds. {told}.", what=gain, told=told)
    return Markup(figures.curves("curve", alt, lines, tr("budget")))  # noqa: S704 (escaped where it was made)


def past(said: Said, found: Found) -> dict[str, Any]:
    """What measured plans have changed, the newest first, and which plans wait to be measured."""
    plans: Sequence[PastPlan] = found.past.content or []
    measured = [each for each in plans if each.measured]
    return {
        "gap": found.past.gap,
        "rows": [row for each in measured for row in _measured(said, each)],
        "picture": _picture(said, measured[:PICTURED]),
        "waiting": [_waiting(said, found, each) for each in plans if not each.measured],
        "notes": [note for each in measured for note in _notes(said, each)],
    }


def _waiting(said: Said, found: Found, each: PastPlan) -> str:
    slots = {"name": each.campaign, "cutoff": each.cutoff, "day": each.matures}
    if each.matures <= found.scores.cutoff:
        return said.tr(
            "The plan '{name}' of {cutoff} can be measured: `regulars measure {cutoff}/{name}`.", **slots
        )  # fmt: skip
    return said.tr("The plan '{name}' of {cutoff} can be measured from {day} on.", **slots)


def _measured(said: Said, each: PastPlan) -> Iterator[dict[str, Any]]:
    """The plan as a whole, then its actions where there are several; money and customers with their intervals."""
    facts = each.measured or {}
    form = _form_of(said, each)
    rows = [r for r in facts["effects"] if r["estimator"] == ADJUSTED and r["family"] in (ALL, EACH_ACTION)]
    names = list(dict.fromkeys(row["action"] for row in rows))
    for name in names if len(names) > 2 else names[:1]:
        mine = {row["outcome"]: row for row in rows if row["action"] == name}
        brought = facts["returns"].get(name, {})
        whole = name == ALL
        yield {
            "name": f"{each.cutoff} {each.campaign}" if whole else name,
            "whole": whole,
            "mark": said.tr("immature") if whole and not facts["mature"] else "",
            "groups": _groups(mine),
            "planned": _foreseen(said, each, name, form),
            "back": _effect(said, mine.get(RETURN), facts, form),
            "value": _effect(said, mine.get(VALUE), facts, form),
            "gain": _brought(said, brought.get("gain"), form),
            "verdict": _verdict(said, mine.get(VALUE) or mine.get(RETURN), facts),
        }


def _form_of(said: Said, each: PastPlan) -> Forms:
    return Forms(abs(each.manifest["gain"]) / max(each.manifest["customers"]["with_action"], 1), said.tr)


def _groups(mine: Mapping[str, Facts]) -> str:
    row = next(iter(mine.values()), None)
    return f"{row['treated']:,} / {row['held']:,}" if row else "–"


def _foreseen(said: Said, each: PastPlan, name: str, form: Forms) -> str:
    """The gain that was planned, marked where it rested on assumed effects."""
    facts = each.manifest if name == ALL else each.manifest.get("actions", {}).get(name)
    if facts is None:
        return "–"
    assumed = facts["assumed"] if name == ALL else facts["source"] == ASSUMED
    gain = form.money(facts["gain"], "+").replace("-", "−")
    return said.tr("{gain} (assumed)", gain=gain) if assumed else gain


def _effect(said: Said, row: Facts | None, facts: Facts, form: Forms) -> str:
    if row is None:
        return "–"
    low, high = interval_columns(facts["mature"])
    if row["effect"] is None or row[low] is None:
        return said.tr("too few to tell")
    if row["outcome"] == RETURN:
        ends = [f"{100 * row[key]:+.1f}".replace("-", "−") for key in ("effect", low, high)]
    else:
        ends = [form.money(row[key], "+").replace("-", "−") for key in ("effect", low, high)]
    return said.tr("{n} ({low} to {high})", n=ends[0], low=ends[1], high=ends[2])


def _brought(said: Said, ends: Sequence[float | None] | None, form: Forms) -> str:
    if not ends or any(end is None for end in ends):
        return "–"
    told = [form.money(float(end or 0.0), "+").replace("-", "−") for end in ends]
    return said.tr("{n} ({low} to {high})", n=told[0], low=told[1], high=told[2])


def _verdict(said: Said, row: Facts | None, facts: Facts) -> str:
    tr = said.tr
    low, high = interval_columns(facts["mature"])
    if facts["sample_ratio"].get("alarm"):
        return tr("▲▲ not to be trusted: the groups are not those that the lot drew")
    if row is None or row["effect"] is None or row[low] is None:
        return tr("● too few to tell")
    if row[low] > 0:
        return tr("▲ it worked")
    if row[high] < 0:
        return tr("▼ it did harm")
    return tr("● not to be told from chance")


def _notes(said: Said, each: PastPlan) -> Iterator[str]:
    """What to know before reading a measured plan."""
    tr, facts, name = said.tr, each.measured or {}, f"{each.cutoff} {each.campaign}"
    if not facts["mature"]:
        yield tr(
            "{name}: immature, {days} of {all} days have passed; the intervals are wide enough for those who look "
            "early.",
            name=name, days=facts.get("days", "?"), all=facts.get("horizon_days", "?"),
        )  # fmt: skip
    mixed = facts.get("contamination", {})
    if mixed.get("contacted"):
        yield tr(
            "{name}: {n} of {all} held out were contacted all the same, which makes the effects look smaller.",
            name=name, n=f"{mixed['contacted']:,}", all=f"{mixed['held_out']:,}",
        )  # fmt: skip
    missed = {
        action: row for action, row in facts.get("exposure", {}).items() if row.get("meant") and row["share"] < 0.5
    }
    for action, row in missed.items():
        yield tr(
            "{name}: only {got} of {meant} customers meant to get {action} really got it, which makes the effects look "
            "smaller.",
            name=name, got=f"{row['got']:,}", meant=f"{row['meant']:,}", action=action,
        )  # fmt: skip


def _picture(said: Said, measured: Sequence[PastPlan]) -> Markup | str:
    """The effect of each plan on return and on value, with its interval and a line at none."""
    tr, panels, told = said.tr, [], []
    titles = {RETURN: tr("Customers who stayed thanks to it, in points of 100"), VALUE: tr("More value a customer")}
    for outcome, title in titles.items():
        dots = [dot for each in measured if (dot := _dot(each, outcome)) is not None]
        if dots:
            panels.append(figures.Panel(title, tr("right of the line: it helped"), False, dots, zero=True))
            told.append(
                f"{title}: " + ", ".join(f"{d.label} {d.value:+.1f} ({d.low:+.1f} to {d.high:+.1f})" for d in dots)
            )
    if not panels:
        return ""
    return Markup(figures.dots("effects", "; ".join(told), panels))  # noqa: S704 (escaped where it was made)


def _dot(each: PastPlan, outcome: str) -> figures.Dot | None:
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
            return figures.Dot(f"{each.cutoff} {each.campaign}", *ends, ours=True)
    return None
