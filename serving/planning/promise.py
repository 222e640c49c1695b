"""What a plan promises, in sentences for terminal, report and page: its gain, the risk of a loss, missing evidence."""

from __future__ import annotations

from collections.abc import Iterator

from features.outputs.manifests import PlanManifest
from serving.effects.believed_effects import EVIDENT
from serving.language.formats import NumberFormat
from serving.language.messages import Language

OBSERVATIONAL = "observational"  # in the source of effects that were learned from contacts without propensities
MONEY, RETURN = "margin", "return"  # the objective and the outcome, as manifests name them


def pilot_sentence(facts: PlanManifest, tr: Language) -> str:
    """Say how a pilot chooses its customers; empty where scores choose."""
    if facts.pilot is None:
        return ""
    slots = {name: f"{fact:,}" if isinstance(fact, int) else fact for name, fact in facts.pilot.items()}
    return tr(
        "So this plan is a pilot, which does not choose by score: of {eligible} eligible customers, {drawn} are drawn "
        "at random for one action, {action}. To detect its expected effect takes about {needed}. Minimum shares of "
        "segments do not apply.",
        **slots,
    )


def gain_sentences(facts: PlanManifest, form: NumberFormat, tr: Language) -> Iterator[str]:
    """Yield the expected gain and its risk, what exploring costs, and what more money would bring.

    Args:
        facts: The manifest of the plan, also of an earlier version.
        form: The format of gains.
        tr: The language.

    Yields:
        Sentences; if an interval or a probability is unknown, why.
    """
    yield from _gain_and_risk(facts, form, tr)
    yield from exploring_sentences(facts, form, tr)
    price = facts.prices.get("budget")
    if isinstance(price, int | float):
        yield tr("The next unit of money would bring {gain}.", gain=f"{price:,.3g}")
    if facts.money and facts.money["gain"] is not None and facts.money["bound"] is not None:
        yield tr(
            "Until {until}, {left} of {total} is left for {n} plans, this one included. If the coming cutoffs are like "
            "this one, these plans gain {gain} together; no split of the money gains more than {bound}.",
            until=facts.money["until"], n=f"{facts.money['plans']:,}",
            **{name: form.money(facts.money[name]) for name in ("left", "total", "gain", "bound")},
        )  # fmt: skip


def _gain_and_risk(facts: PlanManifest, form: NumberFormat, tr: Language) -> Iterator[str]:
    money, gain = facts.objective == MONEY, form.money(facts.gain)
    if facts.gain_low is None or facts.gain_high is None or facts.interval is None:
        if not facts.customers["with_action"]:
            yield tr("Nobody gets an action, so nothing is gained or lost.")
        elif money:
            yield tr(
                "The expected gain is {gain}: the margin on the value saved, less the costs. The effects are assumed, "
                "so neither an interval nor the probability of a loss can be given.",
                gain=gain,
            )
        else:
            yield tr("It is expected to keep {n} customers.", n=gain)
        return
    slots = {
        "gain": gain,
        "interval": form.share(facts.interval),
        "low": form.money(facts.gain_low),
        "high": form.money(facts.gain_high),
    }
    if not money:
        yield tr("It is expected to keep {gain} customers ({interval} credible interval: {low} to {high}).", **slots)
        return
    yield tr(
        "The expected gain is {gain} ({interval} credible interval, from the errors of the effects: {low} to {high}): "
        "the margin on the value saved, less the costs.",
        **slots,
    )
    if facts.loss_probability is not None:  # plans of earlier versions do not say it
        yield tr("The probability that the plan loses money is {share}.", share=form.share(facts.loss_probability))


def evidence_sentences(facts: PlanManifest, form: NumberFormat, tr: Language) -> Iterator[str]:
    """Yield which effects are observational, and a sentence for each measured action without evidence of an effect.

    Args:
        facts: The manifest of the plan, also of an earlier version.
        form: The format of gains.
        tr: The language.

    Yields:
        The sentences.
    """
    yield from _observational_sentences(facts, tr)
    for name, each in facts.actions.items():
        known = each.get("evidence")
        if known is None or known["enough"]:
            continue
        scale, reach = (100.0 if known["outcome"] == RETURN else 1.0), EVIDENT * known["error"]
        slots = {
            "action": name,
            "unit": tr("percentage points of return") if known["outcome"] == RETURN else tr("of value"),
            "estimate": form.money(scale * known["estimate"], "+"),
            "low": form.money(scale * (known["estimate"] - reach), "+"),
            "high": form.money(scale * (known["estimate"] + reach), "+"),
            "believed": form.money(scale * known["believed"], "+"),
        }
        if facts.exploring and not each["unproven"]:
            yield tr(
                "No evidence of an effect of {action}: {estimate} {unit} a customer on average (95% confidence "
                "interval {low} to {high}). The plan counts it as 0. Exploring may give it to some customers, within "
                "its price ([plan] explore = 0: to nobody).",
                **slots,
            )
        elif each["unproven"]:
            yield tr(
                "No evidence of an effect of {action}: {estimate} {unit} a customer on average (95% confidence "
                "interval {low} to {high}). The config allows it nevertheless (unproven = true), so its posterior mean "
                "counts: {believed}.",
                **slots,
            )
        else:
            yield tr(
                "No evidence of an effect of {action}: {estimate} {unit} a customer on average (95% confidence "
                "interval {low} to {high}). The plan counts it as 0 and spends nothing on it, unless a minimum share "
                "asks for it or the config says unproven = true.",
                **slots,
            )


def _observational_sentences(facts: PlanManifest, tr: Language) -> Iterator[str]:
    """Say which effects come from contacts that were not assigned at random."""
    if names := [name for name, each in facts.actions.items() if OBSERVATIONAL in str(each.get("source"))]:
        yield tr(
            "Observational, not measured: the contacts from which the effects of {actions} were estimated were not "
            "assigned at random. What decided who was contacted may explain them, which neither the interval nor the "
            "probability of a loss takes into account. Only a randomised holdout shows whether they are true.",
            actions=tr(", ").join(names),
        )


def exploring_sentences(facts: PlanManifest, form: NumberFormat, tr: Language) -> Iterator[str]:
    """Yield what exploring costs; nothing if the plan does not explore.

    Args:
        facts: The manifest of the plan, also of an earlier version.
        form: The format of gains.
        tr: The language.

    Yields:
        One sentence.
    """
    if facts.exploring:
        yield tr(
            "To learn more about the actions, the plan gives up {price} of expected gain ([plan] explore = {share}); "
            "the probability of each assignment is in the column propensity.",
            price=form.money(facts.exploring["price"]), share=f"{facts.exploring['share']:g}",
        )  # fmt: skip
