"""What to do with the customers of a group, in words that agree with the plan.

A plan spends wherever an action saves more than it costs: its gain is a share of the value at risk, less the cost. So
no text forbids to spend on a group or promises that an action pays; it says where to look first, and leaves the sum to
the plan. Contracts have texts of their own: their customers renew or cancel.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from features.config.load import Config
from serving.language.messages import N_

ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "champions": N_("reward them and ask for reviews and referrals; they buy anyway, so a discount rarely pays"),
        "loyal": N_("offer more of what they like and a place in the loyalty programme"),
        "potential loyalists": N_("recommend what goes with their purchases; invite them to the loyalty programme"),
        "new": N_("welcome them, help with the first steps, and invite a second order soon"),
        "recent buyers": N_("make the brand known and invite the next order soon"),
        "promising": N_("make the brand known and give a small reason to come back"),
        "average customers": N_("a limited offer on what they bought before, while they are still near"),
        "occasional buyers": N_("remind them of what is new and popular before the habit is gone"),
        "quiet regulars": N_("a personal message with a reason to order again"),
        "quiet champions": N_("call or write personally: they are among the best and have been quiet for a while"),
        "quiet occasional buyers": N_("a cheap reminder first; spend no more than their value at risk bears"),
        "long quiet": N_("a cheap attempt to win them back; spend no more than their value at risk bears"),
        "lost": N_("a cheap attempt to win them back; spend no more than it is worth"),
        "growing": N_("keep what works; offer more variety and larger sizes"),
        "mature": N_("keep them content; a discount needs a reason"),
        "declining": N_("find out why the pace fell, and act before they fall silent"),
        "dormant": N_("wake them with their favourites; spend no more than their value at risk bears"),
        "high": N_("the best service: each of them would be a large loss"),
        "middle": N_("room to grow: recommend and bundle"),
        "low": N_("cheap, automated contacts first"),
        "save first": N_("act here first: most is at risk with them, so keeping them saves the most"),
        "let go": N_("little is at stake: contact them only where that costs less than it saves"),
        "keep": N_("keep them content with good service; a discount only where the plan finds that it pays"),
        "grow": N_("recommend and bundle to raise what they spend"),
        "maintain": N_("automated contacts; more only where the plan finds that it pays"),
    }
)
CONTRACT_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "new": N_("help them to use what they pay for, long before the first renewal"),
        "quiet regulars": N_("a personal message before they cancel; ask what went wrong"),
        "quiet champions": N_("call or write personally before they cancel: they were among the best"),
        "lost": N_("ask why they cancelled and offer a way back; spend no more than it is worth"),
        "growing": N_("offer a larger plan or a longer term"),
        "mature": N_("keep the service good and renew in time; a discount needs a reason"),
        "declining": N_("find out why they use it less, and act before they cancel"),
        "dormant": N_("they hardly use it any more: help them to start again before they cancel"),
        "middle": N_("room to grow: offer an addition at the renewal"),
        "save first": N_(
            "act here first, before they cancel: most is at risk with them, so their renewals save the most"
        ),
        "let go": N_("little is at stake: a reminder to renew; more only where that costs less than it saves"),
        "keep": N_("renew early and keep the service good; a discount only where the plan finds that it pays"),
        "grow": N_("offer a larger plan or an addition at the renewal"),
        "maintain": N_("an automatic reminder before each renewal; more only where the plan finds that it pays"),
    }
)


def group_advice(own: Mapping[str, str], contractual: bool) -> dict[str, str]:
    """Return what to do with the customers of each group, by its name: the config's words, else ours.

    Args:
        own: The config's `[segments] treatments`.
        contractual: Whether churn is the end of a contract.

    Returns:
        The advice in English, apart from the config's own words.
    """
    return {**ADVICE, **(CONTRACT_ADVICE if contractual else {}), **own}


def config_advice(config: Config) -> dict[str, str]:
    """Return the advice of `group_advice` for a business."""
    return group_advice(config.segments.treatments, config.task.churn == "cancelled")
