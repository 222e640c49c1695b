"""An experiment in sentences for terminal, report and page: its arms and what it can tell, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from features.outputs.manifests import Measurement, PlanManifest
from serving.experiments.arms import NOTHING
from serving.experiments.contrasts import INTERACTION, MAIN_EFFECT, PAIR
from serving.language.formats import NumberFormat
from serving.language.messages import N_, Language

TARGETS = {
    "given": N_("the difference asked for"),
    "expected": N_("the smallest difference that is expected"),
    "default": N_("the default difference, as none is expected; --detect sets another"),
}
LIMITS = {
    "customers": N_("the customers who may get every arm"),
    "budget": N_("the budget"),
    "capacity": N_("a capacity"),
}
FAMILIES = {PAIR: N_("arms"), MAIN_EFFECT: N_("main effects"), INTERACTION: N_("interactions")}


def experiment_sentences(facts: PlanManifest, form: NumberFormat, tr: Language) -> Iterator[str]:
    """Yield what an experiment compares, its size and money, and what it can tell; nothing for other plans.

    Args:
        facts: The manifest of the plan.
        form: The format of money.
        tr: The language.

    Yields:
        Sentences; the first says that it is an experiment, or a pilot.
    """
    experiment = facts.experiment
    if not experiment:
        return
    yield _head(experiment, tr)
    if experiment["observational"]:
        yield tr(
            "Contacts of the log without a known propensity: {n}. They are observational: they show what happened, not "
            "what an action changed, so they do not count as evidence.",
            n=f"{experiment['observational']:,}",
        )
    sizes = tr(", ").join(f"{_arm(name, tr)} {experiment['arms'][name]['customers']:,}" for name in experiment["order"])
    yield tr(
        "Of {eligible} customers who may get every arm, {drawn} are drawn and assigned at random within segments: "
        "{sizes}.",
        eligible=f"{experiment['eligible']:,}", sizes=sizes,
        drawn=f"{sum(arm['customers'] for arm in experiment['arms'].values()):,}",
    )  # fmt: skip
    yield from _size(facts, experiment, form, tr)
    yield from _detectable(experiment, form, tr)
    if NOTHING not in experiment["arms"]:
        yield tr(
            "No arm gets nothing, so the experiment tells which arm is better, but not whether any is worth its cost; "
            "add 'vs nothing' to learn that too."
        )
    if experiment["not_tried"]:
        yield tr(
            "Customers and budget do not suffice to try these too: {actions}.",
            actions=tr(", ").join(experiment["not_tried"]),
        )


def _head(experiment: Mapping[str, Any], tr: Language) -> str:
    test = " vs ".join(_arm(name, tr) for name in experiment["order"])
    if not experiment["pilot"]:
        return tr("This plan is an experiment: {test}.", test=test)
    return tr(
        "Nothing is known yet of what any action changes: no measured campaign, no contacts with known propensities, "
        "no assumed effect (save_rate). So this plan is a pilot, an experiment that measures it: {test}.",
        test=test,
    )


def _arm(name: str, tr: Language) -> str:
    return tr("nothing") if name == NOTHING else name


def _size(facts: PlanManifest, experiment: Mapping[str, Any], form: NumberFormat, tr: Language) -> Iterator[str]:
    """What the experiment costs, and what its target takes."""
    family, source = _sizing_family(experiment), TARGETS[experiment["target"]]
    target = min(each["target"] for each in experiment["comparisons"] if each["family"] == family)
    if experiment["needed"] is None:
        yield tr(
            "It costs {spent}. No number of customers would detect its target with a probability of 80%.",
            spent=form.money(facts.spent),
        )
        return
    yield tr(
        "It costs {spent}. To detect {points} percentage points of return ({target}) with a probability of 80%, it "
        "needs {needed} customers in each arm and a budget of {money}.",
        spent=form.money(facts.spent), target=tr(source), points=_points(target),
        needed=f"{experiment['needed']:,}", money=form.money(experiment["money"]),
    )  # fmt: skip
    if experiment["limits"]:
        limits = tr(", ").join(tr(LIMITS[name]) for name in experiment["limits"])
        yield tr("It is smaller than that, because of {limits}.", limits=limits)


def _sizing_family(experiment: Mapping[str, Any]) -> str:
    families = {each["family"] for each in experiment["comparisons"]}
    return MAIN_EFFECT if MAIN_EFFECT in families else PAIR


def _detectable(experiment: Mapping[str, Any], form: NumberFormat, tr: Language) -> Iterator[str]:
    """The smallest differences that each family of comparisons detects."""
    for family, name in FAMILIES.items():
        rows = [each for each in experiment["comparisons"] if each["family"] == family]
        points = [each["return"]["detects"] for each in rows if each["return"] and each["return"]["detects"]]
        if not points:
            continue
        money = [each["value"]["detects"] for each in rows if each["value"] and each["value"]["detects"]]
        slots = {"family": tr(name), "points": _points(max(points))}
        if money:
            yield tr(
                "Between {family} it can detect differences from {points} percentage points of return on, and from "
                "{money} of value a customer on.",
                money=form.money(max(money)), **slots,
            )  # fmt: skip
        else:
            yield tr(
                "Between {family} it can detect differences from {points} percentage points of return on.", **slots
            )


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


def contrast_sentences(measured: Measurement, form: NumberFormat, tr: Language) -> Iterator[str]:
    """Yield what a measured experiment found, one sentence a comparison; nothing for other plans.

    Args:
        measured: The measurement.
        form: The format of money.
        tr: The language.

    Yields:
        Sentences: pairs of arms or, where attributes were varied, main effects and interactions.
    """
    if not measured.experiment:
        return
    low, high = ("low", "high") if measured.mature else ("anytime_low", "anytime_high")
    rows = [row for row in measured.effects if row["estimator"] == "adjusted" and row.get("against")]
    families = {row["family"] for row in rows}
    for row in rows:
        if row["outcome"] == "return" and (row["family"] != PAIR or MAIN_EFFECT not in families):
            same = (row["family"], row["action"], row["against"])
            value = next(
                (r for r in rows if r["outcome"] == "value" and (r["family"], r["action"], r["against"]) == same), None
            )
            yield _contrast(measured.experiment, row, value, (low, high), form, tr)


def _contrast(
    experiment: Mapping[str, Any], row: Mapping[str, Any], value: Mapping[str, Any] | None, ends: tuple[str, str],
    form: NumberFormat, tr: Language,
) -> str:  # fmt: skip
    name = tr("{one} against {other}", one=_arm(row["action"], tr), other=_arm(row["against"], tr))
    if row["effect"] is None or row[ends[0]] is None:
        return tr("{name}: too few customers to tell.", name=name)
    points = [_signed(f"{100 * row[key]:+.1f}") for key in ("effect", *ends)]
    text = tr(
        "{name}: {n} percentage points of return ({low} to {high})",
        name=name,
        n=points[0],
        low=points[1],
        high=points[2],
    )
    if value is not None and value["effect"] is not None and value[ends[0]] is not None:
        money = [_signed(form.money(value[key], "+")) for key in ("effect", *ends)]
        text = tr(
            "{text}, {n} of value a customer ({low} to {high})", text=text, n=money[0], low=money[1], high=money[2]
        )
    gain = experiment.get("gains", {}).get(f"{row['action']} vs {row['against']}")
    if gain and None not in gain:
        money = [_signed(form.money(each, "+")) for each in gain]
        text = tr(
            "{text}, {n} a customer after costs ({low} to {high})", text=text, n=money[0], low=money[1], high=money[2]
        )
    return tr("{text}: {verdict}.", text=text, verdict=_verdict(row, value, gain, ends, tr))


def _signed(text: str) -> str:
    return text.replace("-", "−")


def _verdict(
    row: Mapping[str, Any], value: Mapping[str, Any] | None, gain: Any, ends: tuple[str, str], tr: Language
) -> str:
    """Which side is better: after costs if that is known, else by return."""
    low, high = (row[ends[0]], row[ends[1]]) if not gain or None in gain else gain[1:]
    if row["family"] == INTERACTION:
        return tr("significant interaction") if low > 0 or high < 0 else tr("no significant interaction")
    if low > 0 or high < 0:
        better = row["action"] if low > 0 else row["against"]
        better = tr("doing nothing") if better == NOTHING else better
        if gain:
            return tr("{name} earns more after costs", name=better)
        return tr("{name} has the higher return rate", name=better)
    if gain and (row[ends[0]] > 0 or row[ends[1]] < 0):
        return tr("the return rate differs, but no significant difference after costs")
    return tr("no significant difference after costs") if gain else tr("no significant difference")
