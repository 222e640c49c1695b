"""A plan as text for a terminal: customers, actions, cost and gain, binding limits, power and the budget curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.campaigns.live_plans import plans_superseded_by, superseded_by
from features.outputs.manifests import PlanManifest
from serving.effects.action_effects import ASSUMED, INTERPOLATED, UNKNOWN
from serving.experiments.arms import NOTHING
from serving.experiments.wording import experiment_sentences
from serving.language.formats import NumberFormat, format_share
from serving.language.messages import Language, get_language
from serving.planning.eligibility import NO_ACTION
from serving.planning.experiment import NOT_DRAWN, NOT_EVERY_ARM
from serving.planning.inputs import MONEY
from serving.planning.plan import Plan
from serving.planning.promise import evidence_sentences, exploring_sentences, pilot_sentence
from serving.scoring.value_tiers import NO_SKILL

CURVE_LINES, ENOUGH_POWER = 8, 0.8  # points of the curve that are printed; power that needs no more customers
MOSTLY_UNKNOWN = 0.05  # a list of which a smaller share is in the log matches almost nobody


def plan_text(plan: Plan) -> str:
    """The plan in words, ending with the budget curve; effects that are assumed are marked."""
    facts = plan.manifest
    if facts.experiment:
        parts = [
            list(experiment_sentences(facts, _form(facts), _tr(facts))),
            [*_customer_lines(facts), *_other_plan_lines(plan)],
            _arm_table(facts),
            _source_notes(facts),
        ]
        return "\n\n".join("\n".join(part) for part in parts if part)
    parts = [
        _pilot_lines(facts),
        [*_customer_lines(facts), *_other_plan_lines(plan)],
        [*_action_table(facts), *_unmeasurable_lines(facts)],
        _gain_lines(facts),
        _source_notes(facts),
        _power_lines(facts),
        _curve_table(plan),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _pilot_lines(facts: PlanManifest) -> list[str]:
    """What scores without skill mean for the plan; empty where scores choose."""
    return [] if facts.pilot is None else [NO_SKILL, pilot_sentence(facts, _tr(facts))]


def _customer_lines(facts: PlanManifest) -> list[str]:
    count = facts.customers
    lines = [
        f"plan {facts.campaign!r} at {facts.cutoff}: {count['scored']:,} customers scored, {count['eligible']:,} "
        f"{'in the experiment' if facts.experiment else 'eligible'}, {count['held_out']:,} of them held out, "
        f"{count['with_action']:,} with an action"
    ]
    quiet = (NO_ACTION, NOT_EVERY_ARM, NOT_DRAWN)
    left_out = {reason: number for reason, number in facts.left_out.items() if number or reason not in quiet}
    lines += [f"  left out: {number:,} {reason}" for reason, number in left_out.items()]
    for action, closed in facts.closed.items():
        lines += [f"  not {action}: {number:,} {reason}" for reason, number in closed.items()]
    for reason, ids in facts.lists.items():
        if ids["known"] < MOSTLY_UNKNOWN * ids["ids"]:
            lines.append(
                f"  NOTE: only {ids['known']:,} of the {ids['ids']:,} ids listed as {reason!r} are in the log; "
                "are they the ids of this business?"
            )
    if facts.rules.get("quiet_days") or facts.rules.get("quiet_hours"):
        hours = f", from {facts.send['send_from']} to {facts.send['send_until']}" if facts.send["send_from"] else ""
        lines.append(f"  contact them from {facts.send['send_on']} on{hours} (quiet days and hours of [plan])")
    if not facts.holdout["share"] and not facts.experiment:
        lines.append("  NOTE: there is no holdout ([plan] holdout = 0), so the effect cannot be measured")
    return lines


def _other_plan_lines(plan: Plan) -> list[str]:
    """What other plans of the cutoff mean for this one, and this one for them."""
    facts, lines = plan.manifest, []
    own, share = facts.rules.get("holdout"), facts.holdout["share"]
    if own is not None and share > own:
        lines.append(
            f"  NOTE: the holdout is {share:.1%} instead of {own:.1%}: another plan of this cutoff holds these "
            "customers out, so they stay held out. Remove that plan's folder if nobody acts on it, and plan again"
        )
    if by := superseded_by(plan.folder):
        lines.append(f"  NOTE: SUPERSEDED by the plan {by!r} of the same cutoff, so nobody should act on it")
    if replaced := plans_superseded_by(plan.folder):
        names = ", ".join(map(repr, replaced))
        lines.append(
            f"  NOTE: this plan takes the place of {names} of the same cutoff, now marked as superseded; act on one "
            "plan a cutoff only ([plan] independent = true if your campaigns are independent)"
        )
    return lines


def _unmeasurable_lines(facts: PlanManifest) -> list[str]:
    """The actions that cannot be measured, and how many customers would do."""
    if not facts.holdout["share"]:
        return []
    return [
        f"CANNOT BE MEASURED: {name}: {each['with_action']:,} customers get it, and only {each['held_out']:,} of those "
        f"meant to get it are held out; about {each['needed']:,} customers meant to get it would do"
        for name, each in facts.unmeasurable.items()
    ]


def _action_table(facts: PlanManifest) -> list[str]:
    money, form = facts.objective == MONEY, _money_format(facts)
    head = ("action", "customers", "held out", "cost", "expected gain" if money else "expected to stay", "effect")
    rows = [
        (name, f"{a['customers']:,}", f"{a['held_out']:,}", form(a["cost"]), form(a["gain"]), a["source"])
        for name, a in facts.actions.items()
    ]
    return _table([head, *rows], words=(0, 5))


def _arm_table(facts: PlanManifest) -> list[str]:
    """The arms of an experiment."""
    money, form = facts.objective == MONEY, _money_format(facts)
    head = ("arm", "customers", "propensity", "cost", "expected gain" if money else "expected to stay", "effect")
    total = sum(arm["customers"] for arm in (facts.experiment or {})["arms"].values())
    rows = [
        (name, f"{a['customers']:,}", f"{a['propensity']:.3f}", form(a["cost"]), form(a["gain"]), a["source"])
        for name, a in facts.actions.items()
    ]
    if count := facts.customers["held_out"]:
        rows.append((NOTHING, f"{count:,}", f"{count / total:.3f}", form(0.0), form(0.0), ""))
    return _table([head, *rows], words=(0, 5))


def _table(rows: list[tuple[str, ...]], words: tuple[int, ...]) -> list[str]:
    """Rows as aligned lines; columns of words to the left, numbers to the right."""
    wide = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            text.ljust(w) if place in words else text.rjust(w)
            for place, (text, w) in enumerate(zip(row, wide, strict=True))
        ).rstrip()
        for row in rows
    ]


def _gain_lines(facts: PlanManifest) -> list[str]:
    form, money = _money_format(facts), facts.objective == MONEY
    what = "expected gain (margin on the value saved, minus cost)" if money else "customers expected to be kept"
    lines = [
        f"spent {form(facts.spent)} of {form(facts.budget)}; the next unit of money {_adds(facts.prices['budget'])}",
        *_money_lines(facts),
        f"{what}: {form(facts.gain)}; no plan within these limits reaches more than {form(facts.bound)} "
        f"(gap {facts.gap:.4%})",
    ]
    if facts.gain_low is not None:
        risk = format_share(facts.loss_probability) if facts.loss_probability is not None else ""
        loses = f"; probability that it loses money: {risk}" if risk else ""
        lines.append(
            f"  {facts.interval:.0%} credible interval, from the errors of the effects: "
            f"{form(facts.gain_low)} to {form(facts.gain_high)}{loses}"
        )
    if facts.break_even is not None:
        lines.append(f"  breaks even at {facts.break_even:.0%} of the expected effects")
    lines += [f"  {each}" for each in exploring_sentences(facts, _form(facts), _tr(facts))]
    prices = facts.prices
    limits = ["the budget"] if "budget" in facts.binding else []
    for kind, words in (("capacity", "one more {} {}"), ("minimum", "one customer less of the minimum of '{}' {}")):
        for name, price in prices[kind].items():
            label = f"{kind} of {name}" if kind == "capacity" else f"minimum share of {name!r}"
            limits += [words.format(name, _adds(price))] if label in facts.binding else []
    return [*lines, "binding limits: " + ("; ".join(limits) if limits else "none: every action that pays is taken")]


def _money_lines(facts: PlanManifest) -> list[str]:
    """What is left of the money of a period, and what the plans to come may gain with it."""
    money, form = facts.money, _money_format(facts)
    if not money:
        return []
    lines = [
        f"  until {money['until']}, {form(money['left'])} of {form(money['total'])} is left for {money['plans']:,} "
        f"plans, this one included: {form(money['share'])} each"
    ]
    if money["gain"] is None or money["bound"] is None:
        return lines
    return [
        *lines,
        f"  if the coming cutoffs are like this one, these plans gain {form(money['gain'])} together, and no split of "
        f"the money gains more than {form(money['bound'])}",
    ]


def _source_notes(facts: PlanManifest) -> list[str]:
    sources = {a["source"] for a in facts.actions.values()} - {
        "measured",
        "observational",
        ASSUMED,
        INTERPOLATED,
        UNKNOWN,
    }
    lines = [f"NOTE: {each}" for each in evidence_sentences(facts, _form(facts), _tr(facts))]
    lines += [
        f"{source.upper()}, not measured in a randomised trial: the effects of some actions"
        for source in sorted(sources)
    ]
    unknown = [name for name, a in facts.actions.items() if a["source"] == UNKNOWN]
    if unknown:
        lines.append(
            f"UNKNOWN: nothing is known of the effect of {', '.join(unknown)}, so the expected gain counts it as 0"
        )
    untried = [name for name, a in facts.actions.items() if a["source"] == INTERPOLATED]
    if untried:
        lines.append(
            f"INTERPOLATED: {', '.join(untried)} was never tried; its effect is that of the curve through the doses "
            "that were"
        )
    rates = {name: a["save_rate"] for name, a in facts.actions.items() if a["save_rate"] is not None}
    if not rates:
        return lines
    keeps = ", ".join(f"{name} keeps {rate:.1%} of those who would leave" for name, rate in rates.items())
    tested = "experiment" if facts.experiment else "holdout"
    return [
        *lines,
        f"ASSUMED, not measured: {keeps} (save_rate in [plan.actions]). This is your own assumption, not evidence: "
        f"the gains depend on it, and nobody can say how likely a loss is. The {tested} will test it.",
    ]


def _power_lines(facts: PlanManifest) -> list[str]:
    """The effects that the holdout can detect."""
    design = facts.design["all"]
    if not facts.holdout["share"] or design["return"] is None:
        return []
    lines = [
        f"effects that the holdout can detect ({design['held_out']:,} held out against {design['with_action']:,} with "
        f"an action, power {facts.design['power']:.0%} at significance level {facts.design['alpha']:.0%}):"
    ]
    if not design["held_out"]:
        return [f"{lines[0]} none: no customer who would get an action is held out"]
    share = design["return"]
    lines.append(
        f"  return: a difference of {share['detects']:.1%} or more; expected {share['expected']:+.1%}"
        + _power_note(share)
    )
    if design["value"] is not None:
        form, value = _money_format(facts), design["value"]
        lines.append(
            f"  value: a difference of {form(value['detects'])} a customer or more; expected "
            f"{form(value['expected'], '+')}" + _counted_note(value, form) + _power_note(value)
        )
    return lines


def _counted_note(outcome: Mapping[str, Any], form: Any) -> str:
    """How much of the expected effect counts below the cap."""
    cap = outcome.get("counted_up_to")
    return f", of which {form(outcome['counted'], '+')} counts, up to {form(cap)} of each customer" if cap else ""


def _power_note(outcome: Mapping[str, Any]) -> str:
    """The power for the expected effect, and how many customers would be enough."""
    needed = (
        f"; {outcome['needed']:,} customers would do" if outcome["needed"] and outcome["power"] < ENOUGH_POWER else ""
    )
    return f" (power {outcome['power']:.0%}{needed})"


def _curve_table(plan: Plan) -> list[str]:
    rows, form, own = plan.curve().to_pylist(), _money_format(plan.manifest), plan.manifest.budget
    step = max(-(-len(rows) // CURVE_LINES), 1)
    shown = [row for place, row in enumerate(rows) if (len(rows) - 1 - place) % step == 0 or row["budget"] == own]
    lines = ["gain against budget" + (" (assumed)" if plan.manifest.assumed else "")]
    lines.append(f"{'budget':>12}  {'gain':>12}  {'customers':>9}  next unit adds")
    return lines + [
        f"{form(row['budget']):>12}  {form(row['gain']):>12}  {row['customers']:>9,}  {row['price']:.3g}"
        + ("  <- this plan" if row["budget"] == own else "")
        for row in shown
    ]


def _adds(price: float) -> str:
    return f"adds {price:,.3g}"


def _money_format(facts: PlanManifest) -> Any:
    """A formatter of money, or customers, with digits that fit the mean of a customer."""
    return _form(facts).money


def _form(facts: PlanManifest) -> NumberFormat:
    return NumberFormat(_gain_each(facts), _tr(facts))


def _tr(facts: PlanManifest) -> Language:
    """English, with the currency of the plan."""
    return get_language("en", facts.currency)


def _gain_each(facts: PlanManifest) -> float:
    return abs(facts.bound) / max(facts.customers["with_action"], 1)
