"""A measured plan as lines for a terminal: who was reached, what it changed, what its money brought."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serving.measurement.effect_estimates import ADJUSTED, ALL, EACH_ACTION, EACH_SEGMENT, PLAIN, interval_columns
from serving.measurement.executed_plan import RETURN, VALUE
from serving.measurement.measure import PlanMeasurement

COVARIATES = {
    "before": "what they brought in a horizon before",
    "churn_probability": "the predicted risk",
    "value": "the predicted value",
}
Facts = Mapping[str, Any]


def measurement_text(measured: PlanMeasurement) -> str:
    """What was measured, in words."""
    facts = measured.facts
    parts = [_head(measured), _reached(facts), _lot(facts), *_effects(facts), _money(facts), _reading(facts)]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _head(measured: PlanMeasurement) -> list[str]:
    facts, earlier = measured.facts, measured.earlier
    lines = [
        f"plan {facts['campaign']!r} at {facts['cutoff']}, measured by who was meant to get what: "
        f"{facts['customers']['treated']:,} customers with an action, {facts['customers']['held_out']:,} held out"
    ]
    if not facts["mature"]:
        lines.append(
            f"IMMATURE: {facts['days']} of {facts['horizon_days']} days have passed (the log ends at "
            f"{facts['log']['end']}); what follows is what came in them, with wider intervals for those who look "
            f"early; the outcomes are whole from {facts['matures']} on"
        )
    if earlier:
        same = earlier["fingerprint"] == facts["log"]["fingerprint"]
        log = (
            f"the same log (fingerprint {earlier['fingerprint']}), so the result is the same"
            if same
            else f"another log, or as it was then (fingerprint {earlier['fingerprint']})"
        )
        lines.append(
            f"NOTE: it was measured before, with {log}; it ended at {earlier['end']}"
            + (
                ""
                if same
                else "; who looks more than once reads the intervals for every look, anytime_low to anytime_high"
            )
        )
    if facts["log"]["other"]:
        lines.append("NOTE: measured with --other-log: whether the log is the one planned from was not asked")
    if facts["customers"]["missing"]:
        lines.append(f"NOTE: {facts['customers']['missing']:,} customers of the plan are not in the log, and left out")
    return lines


def _reached(facts: Facts) -> list[str]:
    lines = ["who was reached"]
    for name, found in facts["exposure"].items():
        if not found["meant"]:
            lines.append(f"  nobody was meant to get {name}")
            continue
        rest = {
            "another action of the plan": found["another"],
            "an action that the plan lacks": found["not_of_the_plan"],
            "nothing": found["nothing"],
        }
        others = "".join(f", {number:,} {what}" for what, number in rest.items() if number)
        lines.append(
            f"  of {found['meant']:,} customers meant to get {name}, {found['got']:,} ({found['share']:.1%}) "
            f"got it{others}"
        )
    return [*lines, *_contaminated(facts["contamination"])]


def _contaminated(found: Facts) -> Iterator[str]:
    if found["contacted"]:
        yield (
            f"  CONTAMINATION: of {found['held_out']:,} held out, {found['contacted']:,} "
            f"({found['contacted'] / found['held_out']:.1%}) were contacted all the same; they are measured as held "
            "out, so effects are nearer 0 than those of the actions"
        )
    else:
        yield f"  of {found['held_out']:,} held out, nobody was contacted"
    if found["planned_nothing"]:
        yield f"  {found['planned_nothing']:,} customers for whom nothing was planned were contacted too"
    if found["outside_the_plan"]:
        yield f"  {found['outside_the_plan']:,} customers who are not in the plan were contacted too"
    for action, number in found["other_actions"].items():
        yield f"  the contacts hold {action!r} too, which the plan lacks ({number:,}): not counted, nor its cost"


def _lot(facts: Facts) -> list[str]:
    """Whether who is there is who was drawn."""
    found = facts["sample_ratio"]
    whole = found["groups"][0]
    share = whole["held"] / (whole["held"] + whole["treated"])
    line = (
        f"the lot: {whole['held']:,} of {whole['held'] + whole['treated']:,} eligible held out ({share:.1%}), "
        f"meant were {found['share']:.1%} (p = {whole['p']:.2g})"
    )
    if not found["alarm"]:
        return [f"{line}: as drawn, also for each action" if len(found["groups"]) > 2 else f"{line}: as drawn"]
    wrong = [group for group in found["groups"] if group["p"] < found["threshold"]]
    return [
        line,
        "ALARM: the groups are not those that the lot drew; no figure below can be trusted",
        *(f"  {g['of']}: {g['held']:,} held out and {g['treated']:,} not (p = {g['p']:.2g})" for g in wrong),
    ]


def _effects(facts: Facts) -> Iterator[list[str]]:
    """A table for each outcome: the whole, each action, each segment."""
    span = f"within {facts['days']} days"
    titles = {
        RETURN: f"effect on return: more customers who {_stayed(facts)} {span}, in points of 100",
        VALUE: f"effect on value: more money a customer {span}",
    }
    for outcome, title in titles.items():
        rows = [row for row in facts["effects"] if row["outcome"] == outcome]
        plain = {(row["action"], row["segment"]): row for row in rows if row["estimator"] == PLAIN}
        shown = [row for row in rows if row["estimator"] == ADJUSTED and row["family"] in _families(rows)]
        if shown:
            span = "95% interval" if facts["mature"] else "95% interval, at every look"
            head = ("", "with action", "held out", f"adjusted ({span})", "p" * facts["mature"], f"unadjusted ({span})")
            lines = [head, *(_line(row, plain[row["action"], row["segment"]], facts) for row in shown)]
            yield [title, *_aligned(lines), _verdict(shown[0], facts)]


def _families(rows: list[Facts]) -> set[str]:
    """What is shown: the whole, and actions and segments where there are several."""
    several = {family for family in (EACH_ACTION, EACH_SEGMENT) if sum(r["family"] == family for r in rows) > 2}
    return {ALL, *several}


def _line(row: Facts, plain: Facts, facts: Facts) -> tuple[str, ...]:
    name = {ALL: "all", EACH_ACTION: row["action"], EACH_SEGMENT: f"segment {row['segment']}"}[row["family"]]
    p = "" if row["p"] is None or not facts["mature"] else f"{row['p']:.2g}"
    return (name, f"{row['treated']:,}", f"{row['held']:,}", _range(row, facts), p, _range(plain, facts))


def _range(row: Facts, facts: Facts) -> str:
    low, high = interval_columns(facts["mature"])
    if row["effect"] is None:
        return "too few to tell"
    scale = 100 if row["outcome"] == RETURN else 1
    return f"{row['effect'] * scale:+,.2f} ({row[low] * scale:+,.2f} to {row[high] * scale:+,.2f})"


def _verdict(whole: Facts, facts: Facts) -> str:
    low, high = interval_columns(facts["mature"])
    if whole["effect"] is None:
        return "  too few customers on one side to tell an effect"
    if whole[low] > 0:
        return "  it brought more than nothing would have"
    if whole[high] < 0:
        return "  it brought LESS than nothing would have"
    return "  no effect can be told from chance: neither that it works nor that it does not"


def _money(facts: Facts) -> list[str]:
    cost = facts["cost"]
    source = "as the contacts tell" if cost["source"] == "contacts" else "at the plan's prices, as contacts tell none"
    lines = [
        f"cost of what went out to those meant to get it: {cost['treated']:,.2f} ({source}; planned were "
        f"{cost['expected']:,.2f})"
    ]
    aside = {"held out": cost["held_out"], "planned nothing": cost["planned_nothing"]}
    lines += [f"  beside it, to customers {who}: {money:,.2f}" for who, money in aside.items() if money]
    for name, found in facts["returns"].items() if len(facts["returns"]) > 2 else [(ALL, facts["returns"][ALL])]:
        lines += _brought("in all" if name == ALL else name, found, _stayed(facts))
    return lines


def _stayed(facts: Facts) -> str:
    return "did not cancel" if facts["churn"] == "cancelled" else "came back"


def _brought(label: str, found: Facts, stayed: str) -> Iterator[str]:
    """What an action brought, where it can be told."""
    if found["more_return"][0] is None:
        return
    yield f"  {label}: {_ends(found['more_return'], '+,.0f')} customers more {stayed}"
    if "gain" in found:
        yield (
            f"  {label}: {_ends(found['more_value'], '+,.2f')} of value; at a margin of {found['margin']:.0%}, after "
            f"costs, {_ends(found['gain'], '+,.2f')}"
        )
        if found["return_on_spend"][0] is not None:
            each = _ends(found["return_on_spend"], ",.2f")
            yield f"  {label}: return on spend {each} for each unit of money (1: just what it cost)"


def _ends(found: list[float], form: str) -> str:
    middle, low, high = (format(value, form) for value in found)
    return f"{middle} ({low} to {high})"


def _reading(facts: Facts) -> list[str]:
    known = [row["together"] for row in facts["effects"] if row["family"] != ALL]
    lines = [f"adjusted for {', '.join(COVARIATES[name] for name in facts['adjusted_for'])}"]
    if max(known) > 1:
        lines.append(
            "figures of the actions hold together, and so do those of the segments: p after Holm, intervals after "
            "Bonferroni"
        )
    return lines


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    wide = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            text.rjust(w) if place in (1, 2, 4) else text.ljust(w)
            for place, (text, w) in enumerate(zip(row, wide, strict=True))
        ).rstrip()
        for row in rows
    ]
