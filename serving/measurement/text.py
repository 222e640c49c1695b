"""A measured plan as text for a terminal: who was contacted, the effect, and what the money brought."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from features.outputs.manifests import Measurement
from serving.experiments.wording import contrast_sentences
from serving.language.formats import NumberFormat, format_money
from serving.language.messages import Language, get_language
from serving.measurement.effect_estimates import ADJUSTED, ALL, EACH_ACTION, EACH_SEGMENT, PLAIN, interval_columns
from serving.measurement.executed_plan import RETURN, VALUE
from serving.measurement.later_wording import later_sentences
from serving.measurement.measure import PlanMeasurement
from serving.measurement.refusals import refusal_sentences

COVARIATES = {
    "before": "spend in the horizon before the plan",
    "churn_probability": "predicted churn probability",
    "value": "predicted value",
}
Facts = Mapping[str, Any]


def measurement_text(measured: PlanMeasurement) -> str:
    """Return a measurement as text."""
    facts = measured.facts
    if facts.get("experiment"):
        parts = [
            _head(measured),
            _exposure(facts),
            _sample_ratio(facts),
            *_arms(measured),
            _later(facts),
            _notes(facts),
        ]
        return "\n\n".join("\n".join(part) for part in parts if part)
    parts = [
        _head(measured), _exposure(facts), _sample_ratio(facts), *_effects(facts), _returns(facts), _later(facts),
        _notes(facts),
    ]  # fmt: skip
    return "\n\n".join("\n".join(part) for part in parts if part)


def _head(measured: PlanMeasurement) -> list[str]:
    facts = measured.facts
    kind = "experiment" if facts.get("experiment") else "plan"
    lines = [
        f"{kind} {facts['campaign']!r} at {facts['cutoff']}, measured by intention to treat: "
        f"{facts['customers']['treated']:,} customers assigned to an action, {facts['customers']['held_out']:,} held "
        "out"
    ]
    if not facts["mature"]:
        lines.append(
            f"IMMATURE: {facts['days']} of {facts['horizon_days']} days have passed (the log ends at "
            f"{facts['log']['end']}). The figures below cover these days only, with wider (sequential) confidence "
            f"intervals, which stay valid if you look early; outcomes are complete from {facts['matures']} on"
        )
    if measured.earlier:
        lines.append(_earlier_note(measured.earlier, facts))
    if facts["log"]["other"]:
        lines.append("NOTE: measured with --other-log: it was not checked that the plan was made from this log")
    if by := facts.get("superseded_by"):
        lines.append(
            f"NOTE: this plan is SUPERSEDED by the plan {by!r} of the same cutoff; the figures mean something only if "
            "this is the plan that was carried out"
        )
    if since := facts.get("policy_since"):
        lines.append(
            f"NOTE: an earlier version of Regulars held out the same customers in each plan of this campaign since "
            f"{since}. The effect is that of all these plans together, not of this one alone, so it is adjusted only "
            "for what was known before the first of them. A new plan draws its own holdout"
        )
    lines += [f"NOTE: {each}" for each in refusal_sentences(Measurement.model_validate(facts), _tr(facts))]
    overlap = facts["overlap"]
    if overlap["plans"] and not overlap["alarm"]:
        lines.append(
            f"NOTE: its outcomes overlap with those of {', '.join(overlap['plans'])}, whose actions reach "
            f"{overlap['treated']:.0%} of the customers with an action and {overlap['held_out']:.0%} of those held "
            "out; the effect includes what follows"
        )
    if missing := facts["customers"]["missing"]:
        lines.append(f"NOTE: {missing:,} customers of the plan are not in the log, and are left out")
    return lines


def _earlier_note(earlier: Facts, facts: Facts) -> str:
    if earlier["fingerprint"] == facts["log"]["fingerprint"]:
        log = f"the same log (fingerprint {earlier['fingerprint']}), so the result is the same"
        looks = ""
    else:
        log = f"another log, or an earlier state of this one (fingerprint {earlier['fingerprint']})"
        looks = "; if you measure more than once, read the sequential intervals, anytime_low to anytime_high"
    return f"NOTE: it was measured before, with {log}; that log ended at {earlier['end']}{looks}"


def _exposure(facts: Facts) -> list[str]:
    lines, experiment = ["who was contacted"], facts.get("experiment")
    for name, counts in facts["exposure"].items():
        if not counts["meant"]:
            lines.append(f"  nobody was assigned to {name}")
            continue
        other_contacts = {
            "another action of the plan": counts["another"],
            "an action that is not in the plan": counts["not_of_the_plan"],
            "nothing": counts["nothing"],
        }
        others = "".join(f", {number:,} {what}" for what, number in other_contacts.items() if number)
        lines.append(
            f"  of {counts['meant']:,} customers assigned to {name}, {counts['got']:,} ({counts['share']:.1%}) "
            f"got it{others}"
        )
        if answers := facts.get("responses", {}).get(name):
            lines.append(f"    {_answers(answers)}")
    nobody_is_held_out = experiment and not facts["customers"]["held_out"]
    return lines if nobody_is_held_out else [*lines, *_contamination(facts["contamination"])]


def _answers(answers: Mapping[str, int]) -> str:
    """How many contacts were opened, clicked and converted; the sending tool's own count, not an effect."""
    share = max(answers["contacts"], 1)
    parts = [f"{number:,} {role} ({number / share:.1%})" for role, number in answers.items() if role != "contacts"]
    return f"of {answers['contacts']:,} contacts: {', '.join(parts)} (as the log records it; not an effect)"


def _contamination(counts: Facts) -> Iterator[str]:
    if counts["contacted"]:
        yield (
            f"  CONTAMINATION: of {counts['held_out']:,} held out, {counts['contacted']:,} "
            f"({counts['contacted'] / counts['held_out']:.1%}) were contacted anyway; they still count as held out, so "
            "the measured effects are closer to 0 than the true ones"
        )
    else:
        yield f"  of {counts['held_out']:,} held out, nobody was contacted"
    if counts["planned_nothing"]:
        yield f"  {counts['planned_nothing']:,} customers without a planned action were contacted too"
    if counts["outside_the_plan"]:
        yield f"  {counts['outside_the_plan']:,} customers who are not in the plan were contacted too"
    for action, number in counts["other_actions"].items():
        yield f"  the contacts also have {action!r}, which is not in the plan ({number:,}): not counted, nor its cost"


def _sample_ratio(facts: Facts) -> list[str]:
    """The size of the holdout against its planned share, and an alarm if the two do not fit."""
    checks = facts["sample_ratio"]
    if facts.get("experiment"):
        return _arm_ratio(checks)
    eligible = checks["groups"][0]
    total = eligible["held"] + eligible["treated"]
    line = (
        f"sample ratio: {eligible['held']:,} of {total:,} eligible customers held out ({eligible['held'] / total:.1%}; "
        f"planned {checks['share']:.1%}, p = {eligible['p']:.2g})"
    )
    if not checks["alarm"]:
        return [
            f"{line}: as randomised, also for each action" if len(checks["groups"]) > 2 else f"{line}: as randomised"
        ]
    wrong = [group for group in checks["groups"] if group["p"] < checks["threshold"]]
    return [
        line,
        "ALARM: sample-ratio mismatch: the group sizes do not fit the randomisation; no figure below can be trusted",
        *(f"  {g['of']}: {g['held']:,} held out and {g['treated']:,} not (p = {g['p']:.2g})" for g in wrong),
    ]


def _arm_ratio(checks: Facts) -> list[str]:
    """The sizes of an experiment's arms, and an alarm if they do not fit their planned shares."""
    group = checks["groups"][0]
    counts = ", ".join(f"{name} {count:,}" for name, count in group["arms"].items())
    line = f"sample ratio: {counts} (p = {group['p']:.2g})"
    if not checks["alarm"]:
        return [f"{line}: as randomised"]
    return [
        line,
        "ALARM: sample-ratio mismatch: the sizes of the arms do not fit the randomisation; no figure below can be "
        "trusted",
    ]


def _arms(measured: PlanMeasurement) -> Iterator[list[str]]:
    """The arms of an experiment, and each comparison in a sentence."""
    facts, money = measured.facts, VALUE in {row["outcome"] for row in measured.facts["effects"]}
    head = ("arm", "customers", "cost of each", "return rate", *(["value of each"] if money else []))
    rows = [head]
    for name in facts["experiment"]["order"]:
        arm = facts["experiment"]["arms"][name]
        if not arm["customers"]:
            rows.append((name, "0", *["–"] * (len(head) - 2)))
            continue
        value = [_money(arm["mean_value"], facts)] if money else []
        rows.append((name, f"{arm['customers']:,}", _money(arm["cost"], facts), f"{arm['mean_return']:.1%}", *value))
    yield [f"the arms within {facts['days']} days", *_aligned(rows, (1, 2, 3, 4))]
    interval = "95% confidence intervals" if facts["mature"] else "95% sequential confidence intervals"
    tr = _tr(facts)
    form = NumberFormat(0.0, tr)
    yield [
        f"differences ({interval}; the plain figures above are not adjusted)",
        *(f"  {each}" for each in contrast_sentences(Measurement.model_validate(facts), form, tr)),
    ]


def _effects(facts: Facts) -> Iterator[list[str]]:
    """A table for each outcome: all customers, each action, each segment."""
    span = f"within {facts['days']} days"
    titles = {
        RETURN: f"effect on return: more customers who {_returned(facts)} {span}, in percentage points",
        VALUE: f"effect on value: more money per customer {span}",
    }
    interval = "95% confidence interval" if facts["mature"] else "95% sequential confidence interval"
    head = ("", "treated", "held out", f"adjusted ({interval})", "p" * facts["mature"], f"unadjusted ({interval})")
    for outcome, title in titles.items():
        rows = [row for row in facts["effects"] if row["outcome"] == outcome]
        small = [group for group in facts.get("withheld", []) if group["outcome"] == outcome]
        unadjusted = {_key(row): row for row in rows if row["estimator"] == PLAIN}
        adjusted = [row for row in rows if row["estimator"] == ADJUSTED]
        several = {f for f in (EACH_ACTION, EACH_SEGMENT) if sum(r["family"] == f for r in (*adjusted, *small)) > 1}
        shown = [row for row in adjusted if row["family"] in {ALL, *several}]
        if shown:
            lines = [head, *(_effect_cells(row, unadjusted[_key(row)], facts) for row in shown)]
            sentences = [_too_small(group) for group in small if group["family"] in several]
            yield [title, *_aligned(lines), *sentences, *_pooled(shown), _verdict(shown[0], facts)]


def _key(row: Facts) -> tuple[str, str, str]:
    return row["family"], row["action"], row["segment"]


def _group_name(row: Facts) -> str:
    return {ALL: "all", EACH_ACTION: row["action"], EACH_SEGMENT: f"segment {row['segment']}"}[row["family"]]


def _too_small(group: Facts) -> str:
    """Why a group has no row, and how many customers held out would do."""
    enough = f"about {group['needed']:,} held out would do" if group["needed"] else "its outcome does not vary"
    sizes = f"{group['treated']:,} treated, {group['held']:,} held out"
    return f"  {_group_name(group)}: too small to tell ({sizes}; {enough})"


def _pooled(rows: list[Facts]) -> Iterator[str]:
    """The partially pooled effects of each family, as best guesses."""
    for family, title in ((EACH_ACTION, "actions"), (EACH_SEGMENT, "segments")):
        pooled = [row for row in rows if row["family"] == family and row.get("pooled") is not None]
        guesses = ", ".join(f"{_group_name(row)} {row['pooled'] * _scale(row):+,.2f}" for row in pooled)
        if guesses:
            yield f"  best guesses for {title}, each drawn towards the mean of all as far as it is uncertain: {guesses}"


def _scale(row: Facts) -> int:
    return 100 if row["outcome"] == RETURN else 1


def _effect_cells(row: Facts, unadjusted: Facts, facts: Facts) -> tuple[str, ...]:
    p = "" if row["p"] is None or not facts["mature"] else f"{row['p']:.2g}"
    return (
        _group_name(row),
        f"{row['treated']:,}",
        f"{row['held']:,}",
        _effect(row, facts),
        p,
        _effect(unadjusted, facts),
    )


def _effect(row: Facts, facts: Facts) -> str:
    low, high = interval_columns(facts["mature"])
    if row["effect"] is None:
        return "too few customers"
    scale = _scale(row)
    if row[low] is None:
        return f"{row['effect'] * scale:+,.2f} (no limits: too few customers on one side)"
    return f"{row['effect'] * scale:+,.2f} ({row[low] * scale:+,.2f} to {row[high] * scale:+,.2f})"


def _verdict(overall: Facts, facts: Facts) -> str:
    low, high = interval_columns(facts["mature"])
    if overall["effect"] is None or overall[low] is None:
        return "  too few customers on one side to estimate an effect"
    if overall[low] > 0:
        return "  positive effect: it brought more than doing nothing"
    if overall[high] < 0:
        return "  NEGATIVE effect: it brought LESS than doing nothing"
    return "  not significant: no evidence that it works, nor that it does not"


def _returns(facts: Facts) -> list[str]:
    cost = facts["cost"]
    source = "from the contacts" if cost["source"] == "contacts" else "at the plan's prices, as contacts have no cost"
    planned = _money(cost["expected"], facts)
    lines = [
        f"cost of contacts with the treatment group: {_money(cost['treated'], facts)} ({source}; planned: {planned})"
    ]
    other_costs = {"held out": cost["held_out"], "without a planned action": cost["planned_nothing"]}
    lines += [
        f"  in addition, for customers {who}: {_money(money, facts)}" for who, money in other_costs.items() if money
    ]
    returns = facts["returns"]
    for name, figures in returns.items() if len(returns) > 2 else [(ALL, returns[ALL])]:
        lines += _returns_of("in total" if name == ALL else name, figures, _returned(facts))
    return lines


def _returned(facts: Facts) -> str:
    return "did not cancel" if facts["churn"] == "cancelled" else "came back"


def _returns_of(label: str, figures: Facts, returned: str) -> Iterator[str]:
    """Lines for one action, or for all; none if its effect has no limits."""
    if None not in figures.get("more_return", [None]):
        yield f"  {label}: {_with_interval(figures['more_return'], '+,.0f')} more customers {returned}"
    if None not in figures.get("gain", [None]):
        yield (
            f"  {label}: {_with_interval(figures['more_value'], '+,.2f')} of value; at a margin of "
            f"{figures['margin']:.0%} and after costs, {_with_interval(figures['gain'], '+,.2f')}"
        )
        if None not in figures["return_on_spend"]:
            each = _with_interval(figures["return_on_spend"], ",.2f")
            yield f"  {label}: return on spend {each} for each unit of money (1: it earned exactly its cost)"


def _with_interval(figures: list[float], form: str) -> str:
    middle, low, high = (format(value, form) for value in figures)
    return f"{middle} ({low} to {high})"


def _later(facts: Facts) -> list[str]:
    """Whether effects last, as far as the log reaches beyond the horizon."""
    sentences = list(later_sentences(Measurement.model_validate(facts), _tr(facts)))
    return ["after the horizon (95% confidence intervals)", *(f"  {each}" for each in sentences)] if sentences else []


def _notes(facts: Facts) -> list[str]:
    known = [row["together"] for row in facts["effects"] if row["family"] != ALL]
    lines = [f"adjusted for {', '.join(COVARIATES[name] for name in facts['adjusted_for'])}"]
    if VALUE in facts.get("counted_up_to", {}):
        most = _money(facts["counted_up_to"][VALUE], facts)
        lines.append(
            f"adjusted effects on value count at most {most} of each customer (one in "
            "twenty buyers brought more), so that a few customers do not decide; unadjusted ones count everything"
        )
    if max(known, default=0) > 1:
        lines.append(
            "figures are corrected for comparing several arms: p-values by Holm, intervals by Bonferroni"
            if facts.get("experiment")
            else "figures are corrected for comparing several actions, and likewise several segments: p-values by "
            "Holm, intervals by Bonferroni"
        )
    return lines


def _money(number: float, facts: Facts) -> str:
    return format_money(number, _tr(facts))


def _tr(facts: Facts) -> Language:
    """English, with the currency of the measurement."""
    return get_language("en", str(facts.get("currency", "")))


def _aligned(rows: list[tuple[str, ...]], numbers: tuple[int, ...] = (1, 2, 4)) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            text.rjust(width) if place in numbers else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
