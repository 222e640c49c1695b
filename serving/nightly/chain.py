"""`regulars run`: the nightly chain, from one line of cron; what is there already and would be the same stays.

Check, train when due, score, segments, uplift, monitor, train again when an alert asks for it, plan when due, measure,
report. A step that fails stops what depends on it and nothing else; what it would have replaced stays as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from features.audit import audit as schema
from features.audit import delivery
from features.audit.delivery import DeliveryRecord
from features.config.load import Config
from features.errors import DataError, RefusedError, RegularsError, UsageError
from serving.nightly import steps
from serving.nightly.state import (
    DONE,
    FAILED,
    FORMAT,
    SKIPPED,
    UNCHANGED,
    Night,
    StepOutcome,
    content_digest,
    last_trusted_log,
    read_summaries,
    summary_path,
    without_quotes,
    write_summary,
)
from serving.scoring.resumable_run import exclusive_lock

CHECK = "check"
STATES = (DONE, UNCHANGED, SKIPPED, FAILED)


@dataclass(frozen=True)
class ChainStep:
    """One step of the chain.

    Attributes:
        name: As the summary names it.
        needs: The steps without which it has nothing to work with.
        run_step: Does it.
    """

    name: str
    needs: tuple[str, ...]
    run_step: Callable[[Night], StepOutcome]


STEPS = (
    ChainStep("train", (CHECK,), steps.train_if_due),
    ChainStep("score", (CHECK,), steps.score_cutoff),
    ChainStep("segments", ("score",), steps.segment_scores),
    ChainStep("uplift", (CHECK,), steps.score_uplift),
    ChainStep("monitor", (), steps.monitor_newest),
    ChainStep("retrain", (CHECK, "monitor"), steps.retrain_on_alert),
    ChainStep("plan", ("score", "uplift"), steps.plan_if_due),
    ChainStep("measure", (CHECK,), steps.measure_ended_plans),
    ChainStep("report", ("score",), steps.report_if_changed),
)


@dataclass(frozen=True)
class NightSummary:
    """What a night came to.

    Attributes:
        file: Where it is written down.
        content: What that file holds.
    """

    file: Path
    content: Mapping[str, Any]

    @property
    def code(self) -> int:
        """The worst of the steps: 0 all is well, 1 an alert or a gate said no, 2 wrong use, 3 bad data."""
        return int(self.content["exit"])

    @property
    def new(self) -> bool:
        """Whether anything was made."""
        return any(one["state"] in (DONE, FAILED) for one in self.content["steps"])


def run_night(
    config: Config, cutoff: date | None = None, accept: bool = False, say: Callable[[str], None] = lambda line: None
) -> NightSummary:
    """Runs the chain of a night, and leaves its summary in `OUTPUT/runs/CUTOFF.json`.

    Args:
        config: The business.
        cutoff: Of everything; by default the first day about which the log says nothing: the day after the last whole
            one that it knows. The machine's clock is never asked.
        accept: Takes the log as it is, where it looks as if it had come twice, cut off or too early.
        say: Receives the lines for the user, each step's when it has ended.

    Raises:
        RefusedError: Another run works on the same output.
        UsageError: The summary cannot be written.
        DataError: The log cannot be read, and no earlier night says which one this is.
    """
    with exclusive_lock(config.output / "runs" / ".lock", f"the nightly run of {config.output}"):
        return _run(config, cutoff, accept, say)


def _run(config: Config, cutoff: date | None, accept: bool, say: Callable[[str], None]) -> NightSummary:
    began, clock = datetime.now(UTC), time.monotonic()
    night, checked = _opened(config, cutoff, accept)
    say(f"night of cutoff {night.cutoff} of {config.name}, into {config.output}\n")
    records: dict[str, dict[str, Any]] = {}

    def keep(finished: bool) -> NightSummary:
        timing = {"started": began.isoformat(timespec="milliseconds"), "seconds": round(time.monotonic() - clock, 1)}
        told = _told(night, records, timing, finished)
        return NightSummary(write_summary(config, told), told)

    _note(records, CHECK, checked, time.monotonic() - clock, say)
    stopped, waiting = {CHECK} if checked.stops else set[str](), list(STEPS)
    while waiting:
        step, since = waiting.pop(0), time.monotonic()
        outcome = _acted(step, night, stopped)
        (stopped.add if outcome.stops else stopped.discard)(step.name)
        _note(records, step.name, outcome, time.monotonic() - since, say)
        waiting = [*(one for one in STEPS if one.name in outcome.again), *waiting]
        if outcome.state in (DONE, FAILED):
            keep(finished=False)
    told = _told(night, records, {}, finished=True)
    if _as_before(night, told):
        return NightSummary(summary_path(config, night.cutoff), {**night.earlier, "steps": told["steps"]})
    return keep(finished=True)


def night_text(summary: NightSummary) -> str:
    """What a night came to, as text for a terminal: after the lines of its steps, the alerts and the verdict."""
    told = summary.content
    lines = [f"alert ({one['severity']}): {one['title']}; {one['todo']}" for one in told["alerts"]]
    counts = {state: sum(one["state"] == state for one in told["steps"]) for state in STATES}
    said = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    if not summary.new:
        said += ": nothing is new since this night was run"
    return "\n".join([*lines, *([""] if lines else []), f"{said}; exit {summary.code}"])


def next_command(summary: NightSummary) -> str:
    """The command that is worth running after a night."""
    bad = [one["name"] for one in summary.content["steps"] if one["state"] == FAILED]
    if CHECK in bad:
        return "regulars check"
    return f"regulars run --cutoff {summary.content['cutoff']}" if bad else "regulars report"


def _opened(config: Config, cutoff: date | None, accept: bool) -> tuple[Night, StepOutcome]:
    """Audits the log, and says which night this is and what came of the check.

    A log that cannot be read, or not be trusted, does not say which night it is: then it is that of the last run.
    """
    nights, damaged = read_summaries(config)
    known = [date.fromisoformat(one["cutoff"]) for one in nights]
    before, place = last_trusted_log(nights), config.output / "audit.json"
    held = content_digest(place)
    try:
        audit, _ = schema.check_log(config)
    except RegularsError as problem:
        which, log = cutoff or max(known, default=None), None
        if which is None:
            raise
        checked = StepOutcome(FAILED, str(problem), problem.exit_code, stops=True)
    else:
        log = delivery.delivery_record(config, audit)
        which = cutoff or log.complete_until
        wrong = (
            [] if accept else delivery.delivery_faults(log, before, which, partial(delivery.longest_silence, config))
        )
        if wrong and cutoff is None:
            which = max([which, *known])
        checked = _checked(log, before, audit.breaches, wrong, content_digest(place) == held)
    night = _night(config, which, None if checked.stops else log, nights)
    night.log_faults = without_quotes(checked.note) if checked.stops else ""
    unread = [f"{path} cannot be read: what that night left is looked at anew" for path in damaged]
    return night, replace(checked, note="; ".join([checked.note, *unread]))


def _checked(
    log: DeliveryRecord, before: DeliveryRecord | None, breaches: Sequence[str], wrong: Sequence[str], same: bool
) -> StepOutcome:
    """What came of a check whose log could be read."""
    if breaches:
        said = f"{len(breaches)} breach(es) of the data contract: {'; '.join(breaches)}"
        return StepOutcome(FAILED, said, RefusedError.exit_code, stops=True)
    if wrong:
        said = "; ".join(wrong)
        return StepOutcome(FAILED, f"{said}; where it is right as it is: --accept", DataError.exit_code, stops=True)
    said = f"{log.rows:,} rows, {log.first} to {log.last}, complete until {log.complete_until}"
    if before is not None and log.fingerprint == before.fingerprint:
        return StepOutcome(
            UNCHANGED if same else DONE, f"{said}; the same log as at the run before: nothing came since"
        )
    return StepOutcome(DONE, said)


def _night(config: Config, cutoff: date, log: DeliveryRecord | None, nights: Sequence[dict[str, Any]]) -> Night:
    """A night, and what it remembers."""
    earlier = next((one for one in nights if one["cutoff"] == str(cutoff)), {})
    others = [one for one in nights if one["cutoff"] != str(cutoff)]
    tried = {name: why for one in nights for name, why in one["tried"].items()}
    return Night(config, cutoff, log, earlier, others, trained=earlier.get("trained"), unmeasured=tried)


def _acted(step: ChainStep, night: Night, stopped: set[str]) -> StepOutcome:
    """A step's outcome; its errors, and those of the disk, are its own."""
    lacks = [name for name in step.needs if name in stopped]
    if lacks:
        return StepOutcome(SKIPPED, f"needs {' and '.join(lacks)}", stops=True)
    try:
        return step.run_step(night)
    except RegularsError as problem:
        return StepOutcome(FAILED, str(problem), problem.exit_code, stops=True)
    except OSError as problem:
        return StepOutcome(FAILED, f"{problem}; make room or give another place", UsageError.exit_code, stops=True)


def _note(
    records: dict[str, dict[str, Any]], name: str, outcome: StepOutcome, seconds: float, say: Callable[[str], None]
) -> None:
    """Says what came of a step, and writes it down; of a step that was done again, the later."""
    indented = outcome.note.replace("\n", "\n" + " " * 32)
    say(f"{name:<10}{outcome.state:<10}{seconds:>8.1f} s  {indented}")
    spent = records.get(name, {}).get("seconds", 0.0) + round(seconds, 1)
    records[name] = {
        "name": name,
        "state": DONE if records.get(name, {}).get("state") == DONE and outcome.state == UNCHANGED else outcome.state,
        "seconds": round(spent, 1),
        "note": without_quotes(outcome.note) if outcome.state == FAILED else outcome.note,
        "code": outcome.code,
        "inputs": outcome.inputs,
        "files": outcome.files,
    }


def _told(night: Night, records: Mapping[str, Any], timing: Mapping[str, Any], finished: bool) -> dict[str, Any]:
    """What a night leaves; of steps that could not be done it keeps what they were last done from."""
    before = {one["name"]: one for one in night.earlier.get("steps", ())}
    kept = {
        name: {key: before[name][key] for key in ("inputs", "files")}
        for name, one in records.items()
        if name in before and one["state"] in (FAILED, SKIPPED)
    }
    return {
        "format": FORMAT,
        "name": night.config.name,
        "cutoff": str(night.cutoff),
        **timing,
        "finished": finished,
        "exit": max(one["code"] for one in records.values()),
        "steps": [{**one, **kept.get(name, {})} for name, one in records.items()],
        "alerts": night.alerts,
        "trained": night.trained,
        "tried": dict(sorted(night.unmeasured.items())),
        "log": night.log.to_dict() if night.log else night.earlier.get("log"),
    }


def _as_before(night: Night, told: Mapping[str, Any]) -> bool:
    """Whether the summary that lies there says it all: nothing was done, and nothing else is otherwise."""
    still = ("finished", "exit", "alerts", "trained", "tried", "log")
    idle = all(one["state"] in (UNCHANGED, SKIPPED) for one in told["steps"])
    return idle and all(night.earlier.get(key) == told[key] for key in still)
