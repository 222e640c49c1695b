"""The page of experiments: the measured effect of each plan with intervals, and whether the plan ran as randomised."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from features.outputs.layout import MEASUREMENT
from features.outputs.manifests import Measurement
from serving.campaigns.overview import list_campaigns
from serving.campaigns.wording import belief_rows, campaign_rows, finding_sentences, next_step_sentences
from serving.charts.cells import interval_cell
from serving.language.formats import NumberFormat, format_share
from serving.language.messages import N_, Language
from serving.measurement.later_wording import later_sentences
from serving.measurement.refusals import refusal_sentences
from serving.web.parts.output_reader import MissingOutput, Site, read_stored_manifest
from serving.web.views.plan import plan_names

RETURN, VALUE = "return", "value"
# Copied from `serving.measurement.effect_estimates`, which takes seconds to import.
ALL, ADJUSTED, EACH_ACTION, EACH_SEGMENT = "all", "adjusted", "action", "segment"
ENDS = {True: ("low", "high"), False: ("anytime_low", "anytime_high")}  # sequential while immature
TITLES = {
    RETURN: N_("Effect on the return rate, in percentage points"),
    VALUE: N_("Effect on value, in money per customer"),
}
VERDICTS = {
    1: N_("significant positive effect"),
    -1: N_("significant negative effect"),
    0: N_("not significant: no evidence of an effect, and no evidence that there is none"),
}


def experiment_results(site: Site) -> list[dict[str, Any]]:
    """Read the results of every measured plan, newest first."""
    results = []
    for name in plan_names(site):
        day, campaign = name.split("/")
        place = site.config.outputs.plan(date.fromisoformat(day), campaign) / MEASUREMENT
        stored = read_stored_manifest(site, place, Measurement)
        if stored is not None:
            results.append(_experiment(name, stored[0], site.tr))
    return results


def campaigns_page(site: Site) -> dict[str, Any]:
    """List all campaigns, what is believed of each action, and what to try next.

    Raises:
        MissingOutput: There is no plan.
    """
    overview = list_campaigns(site.config)
    if not overview.campaigns:
        raise MissingOutput(site.tr("There is no plan yet."), "regulars plan --cutoff D --budget B")
    return {
        "rows": campaign_rows(overview, site.tr),
        "beliefs": belief_rows(overview, site.tr),
        "sentences": list(next_step_sentences(overview, site.tr)),
        "findings": list(finding_sentences(overview, site.tr)),
        "money": overview.money,
        "interval": format_share(overview.interval, site.tr),
    }


def _experiment(name: str, facts: Measurement, tr: Language) -> dict[str, Any]:
    rows = [row for row in facts.effects if row["estimator"] == ADJUSTED]
    outcomes = [_outcome(kind, rows, facts, tr) for kind in (RETURN, VALUE)]
    return {
        "name": name,
        "facts": facts,
        "outcomes": [outcome for outcome in outcomes if outcome],
        "checks": list(_checks(facts, tr)),
        "later": list(later_sentences(facts, tr)),
        "returns": [_returns(which, returns, tr) for which, returns in facts.returns.items() if returns.get("gain")],
    }


def _outcome(kind: str, rows: list[dict[str, Any]], facts: Measurement, tr: Language) -> dict[str, Any] | None:
    """Prepare one outcome on one scale: overall, by action and by segment; None if it was not measured."""
    low, high = ENDS[facts.mature]
    shown = [row for row in rows if row["outcome"] == kind and row["family"] in (ALL, EACH_ACTION, EACH_SEGMENT)]
    known = [row for row in shown if row["effect"] is not None and row[low] is not None]
    if not shown:
        return None
    scale = 100 if kind == RETURN else 1
    digits = max((abs(row["effect"]) for row in known), default=0.0)
    form = NumberFormat(digits * (1 if kind == VALUE else 0), tr)
    ends = min([row[low] for row in known] + [0.0]), max([row[high] for row in known] + [0.0])
    shown_rows = [_row(row, (low, high), scale, ends, form, kind, tr) for row in shown]
    total = next((row for row in known if row["family"] == ALL), None)
    verdict = 0 if total is None else (total[low] > 0) - (total[high] < 0)
    small = [group for group in facts.withheld if group["outcome"] == kind]
    sentences = [_too_small(group, tr) for group in small if group["family"] in (EACH_ACTION, EACH_SEGMENT)]
    cap = facts.counted_up_to.get(kind)
    if cap is not None:
        sentences.append(
            tr("Counts at most {cap} of each customer, so that a few customers do not decide.", cap=form.money(cap))
        )
    return {"title": tr(TITLES[kind]), "rows": shown_rows, "notes": sentences, "verdict": tr(VERDICTS[int(verdict)])}


def _too_small(group: Mapping[str, Any], tr: Language) -> str:
    """Say why a group has no row, and how many customers held out would do."""
    action, segment = group["action"], group["segment"]
    name = action if group["family"] == EACH_ACTION else tr(segment)
    slots = {"name": name, "treated": f"{group['treated']:,}", "held": f"{group['held']:,}"}
    if not group["needed"]:
        return tr("{name}: too small to tell ({treated} with an action, {held} held out).", **slots)
    return tr(
        "{name}: too small to tell ({treated} with an action, {held} held out; about {needed} held out would do).",
        needed=f"{group['needed']:,}", **slots,
    )  # fmt: skip


def _row(
    row: Mapping[str, Any], end_columns: tuple[str, str], scale: float, ends: tuple[float, float],
    form: NumberFormat, kind: str, tr: Language,
) -> dict[str, Any]:  # fmt: skip
    segment = row["segment"]
    names = {ALL: tr("all"), EACH_ACTION: row["action"], EACH_SEGMENT: tr(segment)}
    cells = {"name": names[row["family"]], "family": row["family"], "treated": row["treated"], "held_out": row["held"]}
    if row["effect"] is None or row[end_columns[0]] is None:
        return {**cells, "effect": tr("too few customers"), "range": "", "cell": ""}
    format_effect = (lambda v: f"{v * scale:+,.1f}") if kind == RETURN else (lambda v: form.money(v, "+"))
    low, high = row[end_columns[0]], row[end_columns[1]]
    reach = tr("{low} to {high}", low=_minus(format_effect(low)), high=_minus(format_effect(high)))
    return {
        **cells,
        "effect": _minus(format_effect(row["effect"])),
        "range": reach,
        "cell": interval_cell(low, row["effect"], high, ends),
    }


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _checks(facts: Measurement, tr: Language) -> Any:
    """Yield the checks of validity: (passed, sentence)."""
    yield from ((False, sentence) for sentence in refusal_sentences(facts, tr))
    if facts.sample_ratio["alarm"]:
        yield (False, tr("Sample-ratio mismatch: do not trust any figure here until its cause is known."))
    else:
        yield True, tr("No sample-ratio mismatch.")
    if not facts.mature:
        yield False, tr(
            "Immature: {days} of {all} days have passed; the outcomes are complete from {when} on.",
            days=facts.days, all=facts.horizon_days, when=facts.matures,
        )  # fmt: skip
    for action, exposure in facts.exposure.items():
        if exposure["meant"]:
            text = tr(
                "Of {meant} customers assigned to {action}, {got} received it.",
                meant=f"{exposure['meant']:,}", action=action, got=f"{exposure['got']:,}",
            )  # fmt: skip
            yield exposure["got"] >= 0.9 * exposure["meant"], text
    contaminated = facts.contamination.get("contacted", 0)
    if contaminated:
        yield False, tr("{n} customers in the holdout were contacted.", n=f"{contaminated:,}")
    else:
        yield True, tr("Nobody in the holdout was contacted.")
    if missing := facts.customers.get("missing"):
        yield False, tr("{n} customers of the plan are not in the log.", n=f"{missing:,}")


def _returns(action: str, returns: Mapping[str, Any], tr: Language) -> dict[str, Any]:
    """Format the costs, and the gain after costs with its confidence interval."""
    middle, low, high = returns["gain"][:3]
    form = NumberFormat(abs(middle or 0.0), tr)
    return {
        "name": tr("all") if action == ALL else action,
        "cost": form.money(returns["cost"]),
        "gain": "" if middle is None else _minus(form.money(middle, "+")),
        "range": ""
        if middle is None
        else tr("{low} to {high}", low=_minus(form.money(low)), high=_minus(form.money(high))),
    }
