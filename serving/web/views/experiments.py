"""The experiments page: what each measured plan changed, with intervals, and whether it was carried out as drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.campaigns.measured_plans import MEASURED
from serving.charts.live_svg import span
from serving.language.formats import Forms
from serving.language.messages import N_, Language
from serving.web.parts.output_reader import NotHere, Site, manifest
from serving.web.views.plan import plans

RETURN, VALUE = "return", "value"
# As `serving.measurement.effect_estimates` has them, which takes seconds to import.
ALL, ADJUSTED, EACH_ACTION, EACH_SEGMENT = "all", "adjusted", "action", "segment"
ENDS = {True: ("low", "high"), False: ("anytime_low", "anytime_high")}  # while immature, those that hold at every look
TITLES = {RETURN: N_("Effect on return, in points of 100"), VALUE: N_("Effect on value, money a customer")}
VERDICTS = {
    1: N_("it brought more than nothing would have"),
    -1: N_("it brought less than nothing would have"),
    0: N_("no effect can be told from chance: neither that it works nor that it does not"),
}


def experiments(site: Site) -> list[dict[str, Any]]:
    """Every measured plan, the newest first.

    Raises:
        NotHere: None is measured.
    """
    found = []
    for name in plans(site):
        day, campaign = name.split("/")
        told = manifest(site, site.config.output / "plans" / f"cutoff={day}" / campaign / MEASURED)
        if told is not None and {"effects", "sample_ratio", "customers", "mature"} <= set(told[0]):
            found.append(_experiment(name, told[0], site.tr))
    if not found:
        raise NotHere(site.tr("No plan is measured yet."), "regulars measure CUTOFF/CAMPAIGN")
    return found


def _experiment(name: str, facts: Mapping[str, Any], tr: Language) -> dict[str, Any]:
    rows = [row for row in facts["effects"] if row["estimator"] == ADJUSTED]
    outcomes = [_outcome(kind, rows, facts, tr) for kind in (RETURN, VALUE)]
    return {
        "name": name,
        "facts": facts,
        "outcomes": [outcome for outcome in outcomes if outcome],
        "checks": list(_checks(facts, tr)),
        "returns": [_returns(which, told, tr) for which, told in facts.get("returns", {}).items() if told.get("gain")],
    }


def _outcome(kind: str, rows: list[dict[str, Any]], facts: Mapping[str, Any], tr: Language) -> dict[str, Any] | None:
    """One outcome: the whole, each action and each segment, on one scale; None where it was not measured."""
    low, high = ENDS[bool(facts["mature"])]
    shown = [row for row in rows if row["outcome"] == kind and row["family"] in (ALL, EACH_ACTION, EACH_SEGMENT)]
    known = [row for row in shown if row["effect"] is not None]
    if not shown:
        return None
    scale = 100 if kind == RETURN else 1
    digits = max((abs(row["effect"]) for row in known), default=0.0)
    form = Forms(digits * (1 if kind == VALUE else 0))
    ends = min([row[low] for row in known] + [0.0]), max([row[high] for row in known] + [0.0])
    told = [_row(row, (low, high), scale, ends, form, kind, tr) for row in shown]
    whole = next((row for row in known if row["family"] == ALL), None)
    verdict = 0 if whole is None else (whole[low] > 0) - (whole[high] < 0)
    return {"title": tr(TITLES[kind]), "rows": told, "verdict": tr(VERDICTS[int(verdict)])}


def _row(
    row: Mapping[str, Any], at: tuple[str, str], scale: float, ends: tuple[float, float], form: Forms, kind: str,
    tr: Language,
) -> dict[str, Any]:  # fmt: skip
    segment = row["segment"]
    names = {ALL: tr("all"), EACH_ACTION: row["action"], EACH_SEGMENT: tr(segment)}
    told = {"name": names[row["family"]], "family": row["family"], "treated": row["treated"], "held": row["held"]}
    if row["effect"] is None:
        return {**told, "effect": tr("too few to tell"), "range": "", "cell": ""}
    say = (lambda v: f"{v * scale:+,.1f}") if kind == RETURN else (lambda v: form.money(v, "+"))
    low, high = row[at[0]], row[at[1]]
    reach = tr("{low} to {high}", low=_minus(say(low)), high=_minus(say(high)))
    return {**told, "effect": _minus(say(row["effect"])), "range": reach, "cell": span(low, row["effect"], high, ends)}


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _checks(facts: Mapping[str, Any], tr: Language) -> Any:
    """What says whether the figures may be trusted: (well, sentence)."""
    ratio, customers = facts["sample_ratio"], facts["customers"]
    if ratio["alarm"]:
        yield (
            False,
            tr("The groups are not those that the lot drew: no figure here can be trusted until it is found why."),
        )
    else:
        yield True, tr("The groups are those that the lot drew.")
    if not facts["mature"]:
        yield False, tr(
            "Immature: {days} of {all} days have passed; the outcomes are whole from {when} on.",
            days=facts["days"], all=facts["horizon_days"], when=facts["matures"],
        )  # fmt: skip
    for action, got in facts.get("exposure", {}).items():
        if got["meant"]:
            text = tr(
                "Of {meant} customers meant to get {action}, {got} got it.",
                meant=f"{got['meant']:,}", action=action, got=f"{got['got']:,}",
            )  # fmt: skip
            yield got["got"] >= 0.9 * got["meant"], text
    strayed = facts.get("contamination", {}).get("contacted", 0)
    if strayed:
        yield False, tr("{n} customers who were held out were contacted all the same.", n=f"{strayed:,}")
    else:
        yield True, tr("Nobody who was held out was contacted.")
    if customers.get("missing"):
        yield False, tr("{n} customers of the plan are not in the log.", n=f"{customers['missing']:,}")


def _returns(which: str, told: Mapping[str, Any], tr: Language) -> dict[str, Any]:
    """What the money brought: cost, and gain after it with its interval."""
    middle, low, high = told["gain"][:3]
    form = Forms(abs(middle or 0.0))
    return {
        "name": tr("all") if which == ALL else which,
        "cost": form.money(told["cost"]),
        "gain": "" if middle is None else _minus(form.money(middle, "+")),
        "range": ""
        if middle is None
        else tr("{low} to {high}", low=_minus(form.money(low)), high=_minus(form.money(high))),
    }
