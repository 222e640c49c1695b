"""Why nothing is learned from a measured plan, in sentences for terminal, report, page and the list of campaigns."""

from __future__ import annotations

from collections.abc import Iterator

from features.outputs.manifests import OVERLAP, SAME_DRAW, SAMPLE_RATIO, Measurement
from serving.language.messages import N_, Language

REFUSALS = {
    SAMPLE_RATIO: N_(
        "Nothing is learned from it: sample-ratio mismatch. The sizes of the groups do not fit the randomisation, so "
        "something else decided who is in which group."
    ),
    OVERLAP: N_(
        "Nothing is learned from it: its outcomes overlap with those of {plans}. Later actions reached {treated} of "
        "the customers with an action and {held_out} of those held out, so the groups differ by more than this plan."
    ),
    SAME_DRAW: N_(
        "Nothing is learned from it: the same customers were held out in each plan since {since}, so the effect is "
        "that of all these plans together."
    ),
}


def refusal_sentences(measured: Measurement, tr: Language) -> Iterator[str]:
    """Yield why nothing is learned from a measurement; nothing if it is evidence.

    Args:
        measured: The measurement.
        tr: The language.

    Yields:
        One sentence a reason.
    """
    overlap = measured.overlap or {}
    shares = {name: f"{overlap.get(name, 0.0):.0%}" for name in ("treated", "held_out")}
    for reason in measured.refused_because:
        template = REFUSALS[reason]
        yield tr(template, plans=tr(", ").join(overlap.get("plans", [])), since=measured.policy_since, **shares)
