"""Campaigns, beliefs and the next step in words, for terminal, report and page."""

from __future__ import annotations

from collections.abc import Iterator

from serving.campaigns.next_step import (
    DOES_NOT_PAY,
    GO_ON,
    HOLD_OUT,
    MEASURE,
    NEVER_MEASURED,
    OBSERVATIONAL,
    PAYS,
    PLAN,
    STOP,
    TEST,
    UNDECIDED,
    WAIT,
    choose_next_step,
    verdict,
)
from serving.campaigns.overview import DUE, EARLY, MEASURED, SUPERSEDED, WAITING, Campaign, CampaignOverview
from serving.effects.action_beliefs import ActionBelief
from serving.experiments.arms import NOTHING
from serving.experiments.wording import contrast_sentences
from serving.language.formats import NumberFormat
from serving.language.messages import N_, Language
from serving.measurement.refusals import refusal_sentences

STATUSES = {
    WAITING: N_("waiting until {day}"),
    DUE: N_("can be measured"),
    EARLY: N_("measured early, complete from {day} on"),
    MEASURED: N_("measured"),
    SUPERSEDED: N_("superseded by {by}"),
}
VERDICTS = {
    PAYS: N_("worth its cost"),
    DOES_NOT_PAY: N_("not worth its cost"),
    UNDECIDED: N_("undecided"),
    NEVER_MEASURED: N_("never measured"),
    OBSERVATIONAL: N_("observational: not proven"),
}
STEPS = {
    PLAN: N_("Make a plan with a holdout: `regulars plan --cutoff D --budget B`."),
    MEASURE: N_("Measure {campaign}, whose outcomes are complete: `regulars measure {campaign}`."),
    HOLD_OUT: N_(
        "No campaign has a holdout, so nothing can be learned from any of them. Set [plan] holdout, such as 0.1, for "
        "the next plan."
    ),
    WAIT: N_("Wait until {day}, when the outcomes of {campaign} are complete; nothing was measured so far."),
    GO_ON: N_(
        "There is enough evidence. Go on with {action}, and keep a small holdout, so that you notice if its effect "
        "fades."
    ),
    STOP: N_("There is enough evidence that no action is worth its cost. Stop, or try a new action."),
}
UNKNOWN = "–"
SHOWN = 3  # measured experiments whose findings are listed


def campaign_rows(overview: CampaignOverview, tr: Language) -> list[dict[str, str]]:
    """Format each campaign: name, kind, status, customers, spent, promised, gained, next_unit and responses.

    Args:
        overview: The campaigns.
        tr: The language.

    Returns:
        One row of texts a campaign, in the order of the overview.
    """
    return [_campaign_row(each, tr) for each in overview.campaigns]


def belief_rows(overview: CampaignOverview, tr: Language) -> list[dict[str, str]]:
    """Format what is believed of each action: action, cost, effect, gain, worth, verdict and evidence.

    Args:
        overview: The campaigns.
        tr: The language.

    Returns:
        One row of texts an action, in the order of the config.
    """
    return [_belief_row(each, tr) for each in overview.beliefs]


def next_step_sentences(overview: CampaignOverview, tr: Language) -> Iterator[str]:
    """Yield what to try next, and what else to know: no holdout, actions that cannot be measured, unread plans.

    Args:
        overview: The campaigns.
        tr: The language.

    Yields:
        Sentences, the next step first.
    """
    step = choose_next_step(overview)
    if step.kind == TEST:
        belief = next(each for each in overview.beliefs if each.action == step.action)
        form = NumberFormat(_size(belief), tr)
        yield tr(
            "Test {action} next: it is worth its cost with a probability of {share}, and knowing for certain would be "
            "worth {price} a contact, more than for any other action. Plan it with a holdout, or alone "
            "(`regulars plan --cutoff D --test '{action} vs nothing'`), and measure it.",
            action=step.action, share=form.share(belief.worth or 0.0), price=_amount(belief, form),
        )  # fmt: skip
    else:
        yield tr(STEPS[step.kind], campaign=step.campaign, action=step.action, day=step.day)
    for name, measured in overview.refused.items():
        yield from (tr("{campaign}: {text}", campaign=name, text=each) for each in refusal_sentences(measured, tr))
    if overview.shared and overview.shared.more > 0:
        shared = overview.shared
        form = NumberFormat(max(shared.budgets.values()), tr)
        yield tr(
            "By one price of money, the live plans would gain {more} more together: {budgets}. The next unit of money "
            "then brings {price} in each.",
            more=form.money(shared.more), price=f"{shared.price:,.3g}",
            budgets=tr(", ").join(f"{name} {form.money(money)}" for name, money in shared.budgets.items()),
        )  # fmt: skip
    newest = next((each for each in overview.campaigns if each.status != SUPERSEDED), None)
    if newest and newest.unmeasurable:
        yield tr(
            "{campaign}: too few customers are held out to measure {actions}.",
            campaign=newest.name, actions=", ".join(newest.unmeasurable),
        )  # fmt: skip
    for name in overview.unread:
        yield tr("{campaign}: cannot be read, and is left out.", campaign=name)


def finding_sentences(overview: CampaignOverview, tr: Language) -> Iterator[str]:
    """Yield what the newest measured experiments found, one sentence a comparison.

    Args:
        overview: The campaigns.
        tr: The language.

    Yields:
        Sentences, the newest experiment first.
    """
    for name, measured in list(overview.experiments.items())[:SHOWN]:
        for text in contrast_sentences(measured, NumberFormat(0.0, tr), tr):
            yield tr("{campaign}: {text}", campaign=name, text=text)


def _amount(belief: ActionBelief, form: NumberFormat) -> str:
    """The price of not knowing: money, or percentage points of return."""
    price = belief.price_of_not_knowing
    return form.money(price) if belief.outcome == "value" else form.tr("{n} points", n=f"{100 * price:.2f}")


def _campaign_row(each: Campaign, tr: Language) -> dict[str, str]:
    form = NumberFormat(abs(each.promised) / max(each.customers, 1), tr)
    promised = _with_interval(None if each.pilot else each.promised, each.promised_low, each.promised_high, form)
    contacted = tr("{n} of {all}", n=f"{each.contacted or 0:,}", all=f"{each.customers:,}")
    return {
        "name": each.name,
        "kind": _kind(each, tr),
        "status": _status(each, tr),
        "customers": f"{each.customers:,}" if each.contacted is None else contacted,
        "spent": form.money(each.spent if each.cost is None else each.cost),
        "promised": tr("{gain} (assumed)", gain=promised) if each.assumed else promised,  # a pilot promises nothing
        "gained": _with_interval(each.gained, each.gained_low, each.gained_high, form),
        "next_unit": UNKNOWN if each.next_unit is None else f"{each.next_unit:,.3g}",
        "responses": _responses(each, tr),
    }


def _status(each: Campaign, tr: Language) -> str:
    status = tr(STATUSES[each.status], day=each.matures, by=each.superseded_by)
    return tr("{status}; does not count", status=status) if each.valid is False else status


def _kind(each: Campaign, tr: Language) -> str:
    """What an experiment compares; empty for an ordinary plan."""
    test = " vs ".join(tr("nothing") if name == NOTHING else name for name in each.arms)
    if each.pilot:
        return tr("pilot: {test}", test=test)
    return tr("experiment: {test}", test=test) if test else ""


def _responses(each: Campaign, tr: Language) -> str:
    words = {"opened": tr("opened"), "clicked": tr("clicked"), "converted": tr("converted")}
    count = max(each.responses.get("contacts", 0), 1)
    return tr(", ").join(
        f"{words[key]} {number:,} ({number / count:.0%})" for key, number in each.responses.items() if key in words
    )


def _belief_row(belief: ActionBelief, tr: Language) -> dict[str, str]:
    form = NumberFormat(_size(belief), tr)
    percent = belief.outcome != "value"
    scale = 100.0 if percent else 1.0

    def scaled(*numbers: float | None) -> str:
        if any(number is None for number in numbers):
            return UNKNOWN
        texts = [f"{scale * (number or 0.0):+.1f}" if percent else form.money(number or 0.0, "+") for number in numbers]
        first, *ends = (text.replace("-", "−") for text in texts)
        return tr("{n} ({low} to {high})", n=first, low=ends[0], high=ends[1]) if ends else first

    return {
        "action": belief.action,
        "cost": form.money(belief.cost),
        "effect": scaled(belief.effect, belief.low, belief.high),
        "gain": scaled(belief.gain),
        "worth": UNKNOWN if belief.worth is None else form.share(belief.worth),
        "verdict": tr(VERDICTS[verdict(belief)]),
        "evidence": f"{belief.campaigns:,}",
    }


def _size(belief: ActionBelief) -> float:
    """A size that sets the digits of money: small effects get decimals."""
    return max(abs(belief.low or 0.0), abs(belief.high or 0.0))


def _with_interval(number: float | None, low: float | None, high: float | None, form: NumberFormat) -> str:
    if number is None:
        return UNKNOWN
    texts = [form.money(each, "+").replace("-", "−") for each in (number, low, high) if each is not None]
    return form.tr("{n} ({low} to {high})", n=texts[0], low=texts[1], high=texts[2]) if len(texts) == 3 else texts[0]
