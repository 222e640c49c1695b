"""`regulars run`: the nightly chain, started by one line of cron; a step whose inputs have not changed is skipped.

The steps: check, train when due, score, segments, uplift, monitor, retrain when an alert asks for it, plan when due,
measure, report. A failed step stops only the steps that depend on it, and leaves its earlier results in place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from features.audit import delivery
from features.audit.audit import check_log
from features.audit.delivery import DeliveryRecord
from features.errors import DataError, RefusedError, RegularsError
from features.intake.log import Business, Log, opened
from features.storage.file_locks import exclusive_lock
from serving.interruption import raise_if_interrupted
from serving.nightly import alert_plans, steps
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
from serving.unforeseen import message_and_code

CHECK = "check"
STATES = (DONE, UNCHANGED, SKIPPED, FAILED)


@dataclass(frozen=True)
class ChainStep:
    """One step of the chain.

    Attributes:
        name: Its name in the summary.
        needs: The steps that it depends on.
        run_step: Runs it.
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
    ChainStep("plan", ("score", "uplift"), alert_plans.plan_if_due),
    ChainStep("measure", (CHECK,), steps.measure_ended_plans),
    ChainStep("report", ("score",), steps.report_if_changed),
)


@dataclass(frozen=True)
class NightSummary:
    """The summary of a night.

    Attributes:
        file: The file that it is written to.
        content: The content of that file.
    """

    file: Path
    content: Mapping[str, Any]

    @property
    def code(self) -> int:
        """The highest exit code of the steps, as the command line has them: 0 success to 4 an unforeseen error."""
        return int(self.content["exit"])

    @property
    def new(self) -> bool:
        """Whether any step did something or failed."""
        return any(step["state"] in (DONE, FAILED) for step in self.content["steps"])


def run_night(
    business: Business,
    cutoff: date | None = None,
    accept: bool = False,
    report_line: Callable[[str], None] = lambda line: None,
) -> NightSummary:
    """Runs the chain of a night, and writes its summary to `OUTPUT/runs/CUTOFF.json`.

    Args:
        business: An opened log, a config, or the path of a config.
        cutoff: The cutoff of all steps; by default the day after the last complete day in the log. The machine's clock
            is never used.
        accept: Accepts a log that looks delivered twice, cut off or too early.
        report_line: Receives the lines for the user, one after each step.

    Returns:
        The summary.

    Raises:
        RefusedError: Another run uses the same output.
        UsageError: The summary cannot be written.
        DataError: The log cannot be read, and there is no earlier night to take the cutoff from.
    """
    with opened(business) as log:
        output = log.config.output
        with exclusive_lock(output / "runs" / ".lock", f"the nightly run of {output}"):
            return _run_chain(log, cutoff, accept, report_line)


def _run_chain(log: Log, cutoff: date | None, accept: bool, report_line: Callable[[str], None]) -> NightSummary:
    config, start, clock = log.config, datetime.now(UTC), time.monotonic()
    night, check_outcome = _open_night(log, cutoff, accept)
    report_line(f"night of cutoff {night.cutoff} of {config.name}, into {config.output}\n")
    records: dict[str, dict[str, Any]] = {}

    def save(finished: bool) -> NightSummary:
        timing = {"started": start.isoformat(timespec="milliseconds"), "seconds": round(time.monotonic() - clock, 1)}
        content = _summary_content(night, records, timing, finished)
        return NightSummary(write_summary(config, content), content)

    _record_outcome(records, CHECK, check_outcome, time.monotonic() - clock, report_line)
    stopped, queue = {CHECK} if check_outcome.stops else set[str](), list(STEPS)
    while queue:
        step, step_clock = queue.pop(0), time.monotonic()
        outcome = _execute(step, night, stopped)
        (stopped.add if outcome.stops else stopped.discard)(step.name)
        _record_outcome(records, step.name, outcome, time.monotonic() - step_clock, report_line)
        queue = [*(later for later in STEPS if later.name in outcome.again), *queue]
        if outcome.state in (DONE, FAILED):
            save(finished=False)
    content = _summary_content(night, records, {}, finished=True)
    if _nothing_new(night, content):
        return NightSummary(summary_path(config.output, night.cutoff), {**night.earlier, "steps": content["steps"]})
    return save(finished=True)


def night_text(summary: NightSummary) -> str:
    """The end of a night's text for the terminal: alerts, counts of steps by state, and the exit code."""
    content = summary.content
    lines = [f"alert ({alert['severity']}): {alert['title']}; {alert['todo']}" for alert in content["alerts"]]
    counts = {state: sum(step["state"] == state for step in content["steps"]) for state in STATES}
    totals = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    if not summary.new:
        totals += ": nothing has changed since the last run of this night"
    return "\n".join([*lines, *([""] if lines else []), f"{totals}; exit {summary.code}"])


def next_command(summary: NightSummary) -> str:
    """The command to run after a night."""
    failed = [step["name"] for step in summary.content["steps"] if step["state"] == FAILED]
    if CHECK in failed:
        return "regulars check"
    return f"regulars run --cutoff {summary.content['cutoff']}" if failed else "regulars report"


def _open_night(log: Log, cutoff: date | None, accept: bool) -> tuple[Night, StepOutcome]:
    """Audits the log; returns the night and the outcome of the check.

    The cutoff comes from the log; if the log cannot be read or trusted, it is that of the last run.
    """
    config = log.config
    nights, damaged = read_summaries(config.output)
    known_cutoffs = [date.fromisoformat(summary["cutoff"]) for summary in nights]
    before, audit_file = last_trusted_log(nights), config.output / "audit.json"
    audit_before = content_digest(audit_file)
    try:
        audit, _ = check_log(log)
    except RegularsError as problem:
        night_cutoff, record = cutoff or max(known_cutoffs, default=None), None
        if night_cutoff is None:
            raise
        outcome = StepOutcome(FAILED, str(problem), problem.exit_code, stops=True)
    else:
        record = delivery.delivery_record(config.events, audit, config.task.timezone)
        night_cutoff = cutoff or record.complete_until
        faults = (
            []
            if accept
            else delivery.delivery_faults(record, before, night_cutoff, partial(delivery.longest_silence, log))
        )
        if faults and cutoff is None:
            night_cutoff = max([night_cutoff, *known_cutoffs])
        outcome = _check_outcome(record, before, audit.breaches, faults, content_digest(audit_file) == audit_before)
    night = _new_night(log, night_cutoff, None if outcome.stops else record, nights)
    night.log_faults = without_quotes(outcome.note) if outcome.stops else ""
    unread = [f"{path} cannot be read: the results of that night are checked again" for path in damaged]
    return night, replace(outcome, note="; ".join([outcome.note, *unread]))


def _check_outcome(
    record: DeliveryRecord,
    before: DeliveryRecord | None,
    breaches: Sequence[str],
    faults: Sequence[str],
    audit_unchanged: bool,
) -> StepOutcome:
    """The outcome of the check of a readable log."""
    if breaches:
        note = f"{len(breaches)} breach(es) of the data contract: {'; '.join(breaches)}"
        return StepOutcome(FAILED, note, RefusedError.exit_code, stops=True)
    if faults:
        note = "; ".join(faults)
        return StepOutcome(FAILED, f"{note}; if the log is correct, use --accept", DataError.exit_code, stops=True)
    note = f"{record.rows:,} rows, {record.first} to {record.last}, complete until {record.complete_until}"
    if before is not None and record.fingerprint == before.fingerprint:
        return StepOutcome(UNCHANGED if audit_unchanged else DONE, f"{note}; the same log as at the last run")
    return StepOutcome(DONE, note)


def _new_night(log: Log, cutoff: date, record: DeliveryRecord | None, nights: Sequence[dict[str, Any]]) -> Night:
    """A night, with the results of earlier nights."""
    earlier = next((summary for summary in nights if summary["cutoff"] == str(cutoff)), {})
    other_nights = [summary for summary in nights if summary["cutoff"] != str(cutoff)]
    unmeasured = {name: why for summary in nights for name, why in summary.get("tried", {}).items()}
    alert_plans = [plan for summary in nights for plan in summary.get("alert_plans", ())]
    return Night(
        log, cutoff, record, earlier, other_nights, trained=earlier.get("trained"), alert_plans=alert_plans,
        unmeasured=unmeasured,
    )  # fmt: skip


def _execute(step: ChainStep, night: Night, stopped: set[str]) -> StepOutcome:
    """Runs a step; turns its error into its outcome."""
    missing = [name for name in step.needs if name in stopped]
    if missing:
        return StepOutcome(SKIPPED, f"needs {' and '.join(missing)}", stops=True)
    try:
        return step.run_step(night)
    except Exception as problem:  # a step that fails stops only the steps that need it, whatever the reason
        raise_if_interrupted(problem)
        message, code = message_and_code(problem, f"the step {step.name} of regulars run")
        return StepOutcome(FAILED, message, code, stops=True)


def _record_outcome(
    records: dict[str, dict[str, Any]],
    name: str,
    outcome: StepOutcome,
    seconds: float,
    report_line: Callable[[str], None],
) -> None:
    """Reports and records the outcome of a step; if it ran twice, the later outcome counts."""
    indented = outcome.note.replace("\n", "\n" + " " * 32)
    report_line(f"{name:<10}{outcome.state:<10}{seconds:>8.1f} s  {indented}")
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


def _summary_content(
    night: Night, records: Mapping[str, Any], timing: Mapping[str, Any], finished: bool
) -> dict[str, Any]:
    """The content of a night's summary; failed and skipped steps keep the digests of their last success."""
    earlier_steps = {step["name"]: step for step in night.earlier.get("steps", ())}
    earlier_digests = {
        name: {key: earlier_steps[name][key] for key in ("inputs", "files")}
        for name, step in records.items()
        if name in earlier_steps and step["state"] in (FAILED, SKIPPED)
    }
    return {
        "format": FORMAT,
        "name": night.config.name,
        "cutoff": str(night.cutoff),
        **timing,
        "finished": finished,
        "exit": max(step["code"] for step in records.values()),
        "steps": [{**step, **earlier_digests.get(name, {})} for name, step in records.items()],
        "alerts": night.alerts,
        "trained": night.trained,
        "alert_plans": [plan for plan in night.alert_plans if plan["cutoff"] == str(night.cutoff)],
        "tried": dict(sorted(night.unmeasured.items())),
        "log": night.delivery.to_dict() if night.delivery else night.earlier.get("log"),
    }


def _nothing_new(night: Night, content: Mapping[str, Any]) -> bool:
    """Whether no step did anything and the existing summary is still correct."""
    compared = ("finished", "exit", "alerts", "trained", "tried", "log")
    idle = all(step["state"] in (UNCHANGED, SKIPPED) for step in content["steps"])
    return idle and all(night.earlier.get(key) == content[key] for key in compared)
