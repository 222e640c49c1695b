"""The steps of the nightly chain: each calls one function of the library and returns the outcome.

A step does nothing if its inputs have not changed. If it fails, it raises one of our errors; the chain reports it and
continues with the steps that do not depend on it.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from features.campaigns.live_plans import alert_campaign, live_plan, nightly_campaign, superseded_by
from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import DataError, RegularsError
from features.outputs.layout import MEASUREMENT, PLAN_MANIFEST, plan_name
from features.outputs.manifests import Measurement, PlanManifest, read_manifest
from features.task import Window
from serving.effects import uplift_scores
from serving.language.formats import format_money
from serving.language.messages import get_language
from serving.measurement import measure as measuring
from serving.monitoring import monitor as monitoring
from serving.monitoring.alerts import Finding
from serving.nightly.state import (
    DONE,
    FAILED,
    SKIPPED,
    UNCHANGED,
    Night,
    StepOutcome,
    content_digest,
    inputs_digest,
    without_quotes,
)
from serving.planning import plan as planning
from serving.planning.money import money_left
from serving.report import page
from serving.scoring import run
from serving.scoring.resumable_run import remove_folder
from serving.segmentation import run as segmentation
from training import train as training
from training.registry import models
from training.registry.compatibility import is_outdated, learned_until
from training.uplift import registry

RETRY_WINDOW = Window(7)  # after a plan's outcomes are complete, measuring is retried for this long
ON_SCHEDULE, AT_FIRST, ON_ALERT = "schedule", "first", "alert"
REDONE_AFTER_PROMOTION = ("score", "segments", "uplift", "monitor")  # steps that depend on the champion


def train_if_due(night: Night) -> StepOutcome:
    """Trains if there is no champion yet, or if `[run] retrain_every` has passed since the last training."""
    rules, last = night.config.run, _trained_until(night)
    if night.trained and night.trained["why"] != ON_ALERT:
        return _already_trained(night.trained)
    if last is None:
        if rules.train_first:
            return _train(night, AT_FIRST)
        return StepOutcome(SKIPPED, "there is no champion, and [run] train_first is off: run `regulars train`")
    if rules.retrain_every is None:
        return StepOutcome(SKIPPED, "no schedule ([run] retrain_every)")
    due = last + rules.retrain_every.delta
    if night.cutoff < due or not night.newest:
        return StepOutcome(
            SKIPPED, f"not due before {due}" if night.newest else "the log knows later days than this one"
        )
    return _train(night, ON_SCHEDULE)


def score_cutoff(night: Night) -> StepOutcome:
    """Scores the cutoff's cohort, resuming an interrupted run; removes the contributions of older nights."""
    config, nights_kept = night.config, night.config.run.contributions
    nights = [str(night.cutoff), *(summary["cutoff"] for summary in night.other_nights)]
    newest = sorted(nights)[-nights_kept:] if nights_kept else []
    scores = run.score_customers(night.log, night.cutoff, str(night.cutoff) in newest, resume=True)
    outdated = [
        place for cutoff in nights if cutoff not in newest for place in config.outputs.all_contributions(cutoff)
    ]
    for place in outdated:
        remove_folder(place)
    labels = ", ".join(model["label"] for model in scores.manifest.models.values())
    notes = [f"{scores.manifest.customers:,} customers by {labels}", *(scores.notes if scores.new else ())]
    return StepOutcome(DONE if scores.new or outdated else UNCHANGED, "; ".join(notes))


def segment_scores(night: Night) -> StepOutcome:
    """Segments the scored customers if the scores up to this cutoff or the rules have changed."""
    scored = sorted((night.config.output / "scores").glob(f"cutoff=*/{run.MANIFEST}"))
    inputs = inputs_digest(
        night.config, *(content_digest(path) for path in scored if _day(path.parent) <= night.cutoff)
    )
    place = night.config.outputs.segments(night.cutoff)
    if night.is_up_to_date("segments", inputs, place):
        return StepOutcome(UNCHANGED, "the same scores and rules", inputs=inputs, files=content_digest(place))
    result = segmentation.segment_customers(night.log, night.cutoff)
    count = result.tables["segments"].num_rows
    return StepOutcome(DONE, f"{count} segments", inputs=inputs, files=content_digest(place))


def score_uplift(night: Night) -> StepOutcome:
    """Estimates the effects of actions if there is an uplift champion."""
    champion = registry.load_uplift_champion(night.config)
    if champion is None:
        return StepOutcome(SKIPPED, "there is no uplift champion (`regulars train uplift`)")
    bundle, version = champion
    log = night.delivery.fingerprint if night.delivery else ""
    inputs = inputs_digest(night.config, log, bundle.digest, version.label)
    place = night.config.outputs.uplift(night.cutoff)
    if night.is_up_to_date("uplift", inputs, place):
        return StepOutcome(UNCHANGED, f"the same log and {version.label}", inputs=inputs, files=content_digest(place))
    scores = uplift_scores.write_uplift_scores(night.log, night.cutoff)
    return StepOutcome(DONE, uplift_scores.uplift_scores_text(scores), inputs=inputs, files=content_digest(place))


def monitor_newest(night: Night) -> StepOutcome:
    """Monitors the newest scored cutoff up to this night and delivers alerts."""
    known = [cutoff for cutoff in night.config.outputs.scored_cutoffs() if cutoff <= night.cutoff]
    if not known:
        return StepOutcome(SKIPPED, "no cutoff is scored yet")
    place = night.config.output / "monitor"
    before = content_digest(place)
    result = monitoring.monitor_scores(night.log, max(known), _delivery_findings(night))
    night.alerts = [alert.to_dict() for alert in result.alerts]
    notes = [f"{len(result.alerts)} alerts open, {len(result.new)} of them new" if result.alerts else "no alert"]
    notes += [f"with the scores of {max(known)}"] if max(known) < night.cutoff else []
    state = UNCHANGED if content_digest(place) == before else DONE
    return StepOutcome(state, "; ".join([*notes, *result.undelivered]), code=1 if result.alerts else 0)


def retrain_on_alert(night: Night) -> StepOutcome:
    """Trains if an alert asks for it, once a night and not within `[run] retrain_pause` of the last training."""
    rules = night.config.run
    if night.trained:
        return _already_trained(night.trained)
    reasons = [alert["title"] for alert in night.alerts if alert["action"] in rules.retrain_on]
    if not reasons:
        return StepOutcome(SKIPPED, "no alert asks for it")
    last = _trained_until(night)
    if not night.newest:
        return StepOutcome(SKIPPED, "the log knows later days than this one")
    if last is not None and night.cutoff < last + rules.retrain_pause.delta:
        return StepOutcome(
            SKIPPED, f"an alert asks for it, but the last training used the log up to {last} ([run] retrain_pause)"
        )
    return _train(night, ON_ALERT, "; ".join(reasons))


def plan_on_schedule(night: Night) -> StepOutcome:
    """Makes a plan if the schedule says so, with a campaign named after the night.

    An existing plan of the cutoff is kept, whoever made it, as it may already be under way.
    """
    config, rules = night.config, night.config.plan
    if rules is None or not config.run.has_schedule:
        return StepOutcome(SKIPPED, "no schedule ([run] plan_every, plan_on)")
    planned = sorted(_day(p.parent.parent) for p in _plan_manifests(night) if _is_regular(p.parent, rules))
    campaign = nightly_campaign(rules.campaign, night.cutoff)
    if (live := live_plan(config, night.cutoff)) and (not rules.independent or _is_regular(live.folder, rules)):
        existing = planning.read_plan(config, night.cutoff, live.campaign)
        return StepOutcome(
            UNCHANGED, f"the plan of campaign {existing.campaign} is kept; `regulars plan` would make it again"
        )
    first = min([night.cutoff, *(date.fromisoformat(summary["cutoff"]) for summary in night.other_nights)])
    due = config.run.next_plan_day(planned[-1] if planned else None, first)
    if night.cutoff < due or not night.newest:
        return StepOutcome(
            SKIPPED, f"not due before {due}" if night.newest else "the log knows later days than this one"
        )
    if affordable(config, rules, night.cutoff) is None:
        return StepOutcome(SKIPPED, "too little is left of [plan] total_budget")
    plan = planning.make_plan(night.log, night.cutoff, None, campaign)
    chosen = plan.manifest.customers["with_action"]
    spent = format_money(plan.spent, get_language("en", plan.manifest.currency))
    return StepOutcome(DONE, f"campaign {campaign}: {chosen:,} customers get an action, {spent} is spent")


def affordable(config: Config, rules: PlanConfig, cutoff: date, budget: float | None = None) -> float | None:
    """The budget that a plan can have of [plan] total_budget; None if less is left than the cheapest action.

    Args:
        config: The business.
        rules: Its [plan].
        cutoff: The cutoff of the plan.
        budget: What the plan is meant to spend; None: its share.

    Returns:
        The budget; without total_budget what the plan is meant to spend, or the config's budget.
    """
    left = money_left(config, rules, cutoff)
    if left is None:
        return budget if budget is not None else rules.budget
    money = left.share if budget is None else min(left.left, budget)
    return money if money >= min(action.cost for action in rules.actions.values()) else None


def measure_ended_plans(night: Night) -> StepOutcome:
    """Measures the plans whose outcomes are complete now and were not at the last measurement."""
    if night.config.contacts is None:
        return StepOutcome(SKIPPED, "there is no [contacts], so sent contacts are unknown")
    notes: list[str] = []
    failed: list[RegularsError] = []
    for place in (path.parent for path in _plan_manifests(night) if _due_for_measuring(night, path.parent)):
        name = plan_name(place)
        try:
            measured = measuring.measure_plan(night.log, name)
            measuring.refuse_sample_ratio_mismatch(measured)
            notes.append(f"{name} is measured")
        except RegularsError as problem:
            failed.append(problem)
            notes.append(f"{name}: {problem}")
            night.unmeasured[name] = without_quotes(str(problem))
    if failed:
        return StepOutcome(FAILED, "; ".join(notes), code=max(problem.exit_code for problem in failed))
    return StepOutcome(DONE, "; ".join(notes)) if notes else StepOutcome(SKIPPED, "no plan has newly complete outcomes")


def report_if_changed(night: Night) -> StepOutcome:
    """Rewrites the report if any of its inputs changed."""
    if not night.config.run.report:
        return StepOutcome(SKIPPED, "[run] report is off")
    output = night.config.output
    sources = [p for p in sorted(output.rglob("*.json")) if p.relative_to(output).parts[0] not in ("runs", "reports")]
    inputs = inputs_digest(night.config, night.cutoff, *(f"{path} {content_digest(path)}" for path in sources))
    place = night.config.outputs.report(night.cutoff)
    if night.is_up_to_date("report", inputs, place):
        return StepOutcome(UNCHANGED, "no input of the report has changed", inputs=inputs, files=content_digest(place))
    page.write_report(night.config, night.cutoff)
    return StepOutcome(DONE, str(place.relative_to(output)), inputs=inputs, files=content_digest(place))


def _delivery_findings(night: Night) -> list[Finding]:
    """A finding with the problems that the check found in the log, for the monitor."""
    if not night.log_faults:
        return []
    tr = get_language(night.config.language)
    text = tr("The nightly run stopped at its check, so the earlier scores stay in place: {why}.", why=night.log_faults)
    return [Finding("data:arrival", "critical", tr("The log did not arrive as expected"), text, "data")]


def _train(night: Night, why: str, reason: str = "") -> StepOutcome:
    """Trains and evaluates churn and value, as `regulars train` does; the gates alone decide the promotion."""
    trained = training.train_models(night.log, resume=True)
    labels, promoted = [version.label for version in trained.champions or trained.versions], bool(trained.champions)
    night.trained = {"cutoff": str(night.cutoff), "why": why, "versions": labels, "promoted": promoted}
    result = f"now champion{'s' if len(labels) > 1 else ''}"
    if not promoted:
        result = f"not promoted by the gates: {'; '.join(trained.decision.reasons)}"
    note = "; ".join(filter(None, (reason, f"{' and '.join(labels)}, {result}", trained.decision.note)))
    return StepOutcome(
        DONE, note, code=0 if promoted else 1, again=REDONE_AFTER_PROMOTION if promoted and why == ON_ALERT else ()
    )


def _already_trained(training_record: dict[str, Any]) -> StepOutcome:
    labels, promoted = " and ".join(training_record["versions"]), training_record["promoted"]
    stays = "" if promoted else ", which the gates did not promote (`regulars train --compare`)"
    return StepOutcome(UNCHANGED, f"already trained {labels} this night{stays}", code=0 if promoted else 1)


def _trained_until(night: Night) -> date | None:
    """Up to which day the champion's or any night's last training used the log.

    None without a champion, or if it is outdated, so that it can score nobody.
    """
    champion = models.load_champion(night.config, "churn")
    if champion is None or is_outdated(champion.bundle, night.config.task.timezone):
        return None
    trained = [
        date.fromisoformat(summary["trained"]["cutoff"]) for summary in night.other_nights if summary.get("trained")
    ]
    return max([learned_until(champion.bundle), *(day for day in trained if day <= night.cutoff)])


def _plan_manifests(night: Night) -> list[Path]:
    """The manifest paths of all plans, by cutoff and campaign."""
    return [folder / PLAN_MANIFEST for folder in night.config.outputs.plans()]


def _is_regular(folder: Path, rules: PlanConfig) -> bool:
    """Whether a plan is one of the config's campaign: made by a command or by a nightly run."""
    by_alert = folder.name == alert_campaign(rules.campaign, _day(folder.parent))
    return folder.name == rules.campaign or folder.name.startswith(f"{rules.campaign}-") and not by_alert


def _day(folder: Path) -> date:
    """The cutoff in the name of a folder."""
    return date.fromisoformat(folder.name.removeprefix("cutoff="))


def _due_for_measuring(night: Night, folder: Path) -> bool:
    """Whether a plan's outcomes are complete, not yet measured completely, and still worth a try."""
    try:
        matures = _day(folder.parent) + timedelta(read_manifest(folder / PLAN_MANIFEST, PlanManifest).horizon_days)
    except DataError:
        return night.delivery is not None  # measuring says what is wrong with it
    if night.delivery is None or night.delivery.complete_until < matures:
        return False
    if _is_measured(folder / MEASUREMENT):
        return False
    if superseded_by(folder) and not (folder / MEASUREMENT).is_file():  # nobody acted on it
        return False
    name = plan_name(folder)
    return name not in night.unmeasured or night.delivery.complete_until < matures + RETRY_WINDOW.delta


def _is_measured(path: Path) -> bool:
    """Whether a plan's measurement is there and complete; one that cannot be read is made again, or refused."""
    try:
        return read_manifest(path, Measurement).mature
    except (FileNotFoundError, DataError):
        return False
