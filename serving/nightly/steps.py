"""The steps of the nightly chain: each has one function of a room do its work, and says what came of it.

A step that finds nothing new does nothing. What it cannot do is an error of ours, which the chain tells before it goes
on with what does not depend on it.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from features.campaigns.measured_plans import MANIFEST as PLANNED
from features.campaigns.measured_plans import MEASURED
from features.errors import RegularsError
from features.task import Window
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
from serving.planning import uplift_scores
from serving.report import page
from serving.scoring import run
from serving.scoring.resumable_run import remove_folder
from serving.segmentation import run as segmentation
from training import train as training
from training.registry import models
from training.uplift import registry

RETRY_WINDOW = Window(7)  # a plan that cannot be measured is tried again so long after its outcomes are whole
ON_SCHEDULE, AT_FIRST, ON_ALERT = "schedule", "first", "alert"
REDONE_AFTER_PROMOTION = ("score", "segments", "uplift", "monitor")  # what a new champion says otherwise


def train_if_due(night: Night) -> StepOutcome:
    """Trains where there is no champion yet, or where the last training lies `[run] retrain_every` back."""
    rules, last = night.config.run, _trained_up_to(night)
    if night.trained and night.trained["why"] != ON_ALERT:
        return _trained_already(night.trained)
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
    """Scores the cutoff's cohort, going on with a run that died; of older nights the contributions go."""
    config, kept = night.config, night.config.run.contributions
    nights = [str(night.cutoff), *(one["cutoff"] for one in night.other_nights)]
    newest = sorted(nights)[-kept:] if kept else []
    scores = run.score_customers(config, night.cutoff, str(night.cutoff) in newest, resume=True)
    old = [
        place
        for one in nights
        if one not in newest
        for place in sorted((config.output / "contributions").glob(f"*/cutoff={one}"))
    ]
    for place in old:
        remove_folder(place)
    labels = ", ".join(model["label"] for model in scores.manifest.models.values())
    told = [f"{scores.manifest.customers:,} customers by {labels}", *(scores.notes if scores.new else ())]
    return StepOutcome(DONE if scores.new or old else UNCHANGED, "; ".join(told))


def segment_scores(night: Night) -> StepOutcome:
    """Segments the scored customers, where scores of this or an earlier cutoff, or rules, are others than before."""
    scored = sorted((night.config.output / "scores").glob(f"cutoff=*/{run.MANIFEST}"))
    inputs = inputs_digest(
        night.config, *(content_digest(path) for path in scored if _day(path.parent) <= night.cutoff)
    )
    place = night.config.output / "segments" / f"cutoff={night.cutoff}"
    if night.is_up_to_date("segments", inputs, place):
        return StepOutcome(UNCHANGED, "the same scores and rules", inputs=inputs, files=content_digest(place))
    made = segmentation.segment_customers(night.config, night.cutoff)
    count = made.tables["segments"].num_rows
    return StepOutcome(DONE, f"{count} segments", inputs=inputs, files=content_digest(place))


def score_uplift(night: Night) -> StepOutcome:
    """Says what each action would change, where a champion for that stands."""
    found = registry.load_uplift_champion(night.config)
    if found is None:
        return StepOutcome(SKIPPED, "there is no uplift champion (`regulars train uplift`)")
    bundle, version = found
    log = night.log.fingerprint if night.log else ""
    inputs = inputs_digest(night.config, log, bundle.digest, version.label)
    place = night.config.output / "uplift" / f"cutoff={night.cutoff}"
    if night.is_up_to_date("uplift", inputs, place):
        return StepOutcome(UNCHANGED, f"the same log and {version.label}", inputs=inputs, files=content_digest(place))
    made = uplift_scores.write_uplift_scores(night.config, night.cutoff)
    return StepOutcome(DONE, uplift_scores.uplift_scores_text(made), inputs=inputs, files=content_digest(place))


def monitor_newest(night: Night) -> StepOutcome:
    """Looks for what moved and has alerts delivered; where this cutoff was not scored, beside the newest that was."""
    scored = [_day(path.parent) for path in (night.config.output / "scores").glob(f"cutoff=*/{run.MANIFEST}")]
    known = [day for day in scored if day <= night.cutoff]
    if not known:
        return StepOutcome(SKIPPED, "nothing is scored yet")
    place = night.config.output / "monitor"
    before = content_digest(place)
    found = monitoring.monitor_scores(night.config, max(known), _arrival(night))
    night.alerts = [one.to_dict() for one in found.alerts]
    told = [f"{len(found.alerts)} alerts stand, {len(found.new)} of them new" if found.alerts else "no alert"]
    told += [f"beside the scores of {max(known)}"] if max(known) < night.cutoff else []
    state = UNCHANGED if content_digest(place) == before else DONE
    return StepOutcome(state, "; ".join([*told, *found.undelivered]), code=1 if found.alerts else 0)


def retrain_on_alert(night: Night) -> StepOutcome:
    """Trains where an alert asks for it, once a night and not within `[run] retrain_pause` of the last training."""
    rules = night.config.run
    if night.trained:
        return _trained_already(night.trained)
    asking = [one["title"] for one in night.alerts if one["action"] in rules.retrain_on]
    if not asking:
        return StepOutcome(SKIPPED, "no alert asks for it")
    last = _trained_up_to(night)
    if not night.newest:
        return StepOutcome(SKIPPED, "the log knows later days than this one")
    if last is not None and night.cutoff < last + rules.retrain_pause.delta:
        return StepOutcome(SKIPPED, f"an alert asks for it, but models learned up to {last} ([run] retrain_pause)")
    return _train(night, ON_ALERT, "; ".join(asking))


def plan_if_due(night: Night) -> StepOutcome:
    """Makes a plan where one is due, of a campaign that is named for the night: its holdout is drawn afresh.

    A plan that was made stands, as it may be on its way to customers.
    """
    config, rules = night.config, night.config.plan
    if rules is None or not config.run.makes_plans:
        return StepOutcome(SKIPPED, "no schedule ([run] plan_every, plan_on)")
    made = sorted(_day(p.parent.parent) for p in _plans(night) if p.parent.name.startswith(f"{rules.campaign}-"))
    campaign = f"{rules.campaign}-{night.cutoff}"
    if (config.output / "plans" / f"cutoff={night.cutoff}" / campaign / PLANNED).exists():
        standing = planning.read_plan(config, night.cutoff, campaign)
        return StepOutcome(
            UNCHANGED, f"the plan of campaign {standing.campaign} stands; `regulars plan` would make it anew"
        )
    first = min([night.cutoff, *(date.fromisoformat(one["cutoff"]) for one in night.other_nights)])
    due = config.run.next_plan_day(made[-1] if made else None, first)
    if night.cutoff < due or not night.newest:
        return StepOutcome(
            SKIPPED, f"not due before {due}" if night.newest else "the log knows later days than this one"
        )
    found = planning.make_plan(config, night.cutoff, None, campaign)
    chosen = found.manifest.customers["with_action"]
    return StepOutcome(DONE, f"campaign {campaign}: {chosen:,} customers get an action, {found.spent:,.2f} is spent")


def measure_ended_plans(night: Night) -> StepOutcome:
    """Measures the plans whose outcomes are whole by now and were not when they were last measured."""
    if night.config.contacts is None:
        return StepOutcome(SKIPPED, "no [contacts] tells what went out")
    told: list[str] = []
    failed: list[RegularsError] = []
    for place in (path.parent for path in _plans(night) if _wants_measuring(night, path.parent)):
        name = f"{place.parent.name.removeprefix('cutoff=')}/{place.name}"
        try:
            found = measuring.measure_plan(night.config, name)
            measuring.refuse_sample_ratio_mismatch(found)
            told.append(f"{name} is measured")
        except RegularsError as problem:
            failed.append(problem)
            told.append(f"{name}: {problem}")
            night.unmeasured[name] = without_quotes(str(problem))
    if failed:
        return StepOutcome(FAILED, "; ".join(told), code=max(problem.exit_code for problem in failed))
    return StepOutcome(DONE, "; ".join(told)) if told else StepOutcome(SKIPPED, "no plan's outcomes are newly whole")


def report_if_changed(night: Night) -> StepOutcome:
    """Writes the page for analysts, where anything that it tells is another than before."""
    if not night.config.run.report:
        return StepOutcome(SKIPPED, "[run] report is off")
    output = night.config.output
    told = [p for p in sorted(output.rglob("*.json")) if p.relative_to(output).parts[0] not in ("runs", "reports")]
    inputs = inputs_digest(night.config, night.cutoff, *(f"{path} {content_digest(path)}" for path in told))
    place = output / "reports" / f"cutoff={night.cutoff}.html"
    if night.is_up_to_date("report", inputs, place):
        return StepOutcome(UNCHANGED, "nothing that it tells is new", inputs=inputs, files=content_digest(place))
    page.write_report(night.config, night.cutoff)
    return StepOutcome(DONE, str(place.relative_to(output)), inputs=inputs, files=content_digest(place))


def _arrival(night: Night) -> list[Finding]:
    """What the check found wrong with the log, to be told with the alerts."""
    if not night.log_faults:
        return []
    tr = get_language(night.config.language)
    text = tr("The nightly run stopped at its check, so the earlier scores stay in place: {why}.", why=night.log_faults)
    return [Finding("data:arrival", "critical", tr("The log did not arrive as expected"), text, "data")]


def _train(night: Night, why: str, asked: str = "") -> StepOutcome:
    """Has churn and value learned and judged, as `regulars train` does: the gates alone decide who is champion."""
    made = training.train_models(night.config, resume=True)
    labels, promoted = [version.label for version in made.versions], made.decision.promoted
    night.trained = {"cutoff": str(night.cutoff), "why": why, "versions": labels, "promoted": promoted}
    end = f"now champion{'s' if len(labels) > 1 else ''}"
    if not promoted:
        end = f"by the gates not champion: {'; '.join(made.decision.reasons)}"
    note = "; ".join(filter(None, (asked, f"{' and '.join(labels)}, {end}", made.decision.note)))
    return StepOutcome(
        DONE, note, code=0 if promoted else 1, again=REDONE_AFTER_PROMOTION if promoted and why == ON_ALERT else ()
    )


def _trained_already(said: dict[str, Any]) -> StepOutcome:
    labels, promoted = " and ".join(said["versions"]), said["promoted"]
    stays = "" if promoted else ", which the gates did not make champion (`regulars train --compare`)"
    return StepOutcome(UNCHANGED, f"this night made {labels} already{stays}", code=0 if promoted else 1)


def _trained_up_to(night: Night) -> date | None:
    """Up to when the newest training of the champion, or of any night, knew the log; None without a champion."""
    found = models.load_champion(night.config, "churn")
    if found is None:
        return None
    facts, horizon = found.bundle.facts, Window.parse(found.bundle.task["horizon"])
    known = date.fromisoformat(max(facts["cutoffs"])) + horizon.delta
    tried = [date.fromisoformat(one["trained"]["cutoff"]) for one in night.other_nights if one.get("trained")]
    return max([known, *(day for day in tried if day <= night.cutoff)])


def _plans(night: Night) -> list[Path]:
    """The manifests of all plans, by cutoff and campaign."""
    return sorted((night.config.output / "plans").glob(f"cutoff=*/*/{PLANNED}"))


def _day(folder: Path) -> date:
    """The cutoff that a folder is named by."""
    return date.fromisoformat(folder.name.removeprefix("cutoff="))


def _wants_measuring(night: Night, folder: Path) -> bool:
    """Whether a plan's outcomes are whole, were not measured whole, and are not given up."""
    told = _read(folder / PLANNED)
    matures = _day(folder.parent) + timedelta(int(told.get("horizon_days", 0)))
    if night.log is None or night.log.complete_until < matures:
        return False
    if _read(folder / MEASURED).get("mature"):
        return False
    name = f"{folder.parent.name.removeprefix('cutoff=')}/{folder.name}"
    return name not in night.unmeasured or night.log.complete_until < matures + RETRY_WINDOW.delta


def _read(path: Path) -> dict[str, Any]:
    """A JSON file; empty where there is none, or none that can be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
