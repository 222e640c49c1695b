"""Whether all is as it was: the log, the features, the scores, their performance and the segments, night by night.

`OUTPUT/monitor/cutoff=D/monitor.json` holds everything that was looked at; `alerts.jsonl` each alert once, when it was
first raised. The same log, scores and state make the same bytes. A cutoff older than the newest that was monitored is
looked at, but raises and closes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from features.atomic_files import atomic_folder, report_write_errors
from features.config.load import Config
from features.errors import DataError, EmptyError
from serving.language.messages import Language, get_language
from serving.monitoring.alerts import (
    Alert,
    Finding,
    append_alerts,
    next_state,
    raise_alerts,
    read_alert_state,
    write_alert_state,
)
from serving.monitoring.delivery import queue_alerts, send_queued
from serving.monitoring.feature_drift import compare_with_references, drift_notes
from serving.monitoring.findings import data_findings, drift_findings, segment_findings, unusable_log_finding
from serving.monitoring.inputs import MonitorInputs, open_monitored_log
from serving.monitoring.log_health import LogCheck, check_log_health, health_record
from serving.monitoring.performance import PerformanceFigure, calibration_rows, evaluate_cutoffs
from serving.monitoring.performance import performance_findings as of_performance
from serving.scoring.resumable_run import exclusive_lock
from serving.scoring.score_tables import MANIFEST, Scores, read_scores
from serving.segmentation.group_rates import segment_rates
from serving.statistics.population_drift import Drift

FORMAT, FILE = 1, "monitor.json"


@dataclass(frozen=True)
class MonitoringResult:
    """A monitored cutoff.

    Attributes:
        alerts: All that are open, the most severe first.
        new: Those of them that this run raised.
        facts: What monitor.json holds.
        folder: Where it lies.
        undelivered: What could not be delivered and is kept for the next run, in words.
    """

    cutoff: date
    alerts: tuple[Alert, ...]
    new: tuple[Alert, ...]
    facts: dict[str, Any]
    folder: Path
    undelivered: tuple[str, ...] = ()


@dataclass
class _Found:
    """What is gathered while looking, in the form of monitor.json."""

    data: list[LogCheck] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    performance: list[PerformanceFigure] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    log: dict[str, Any] | None = None

    @property
    def unseen(self) -> tuple[str, ...]:
        """How the keys begin of what could not be looked at: an alert of it is neither found nor over."""
        if self.log is None:
            return ("data:", "drift:", "performance:", "estimate:")
        return () if self.drift else ("drift:",)


def monitor_scores(config: Config, cutoff: date | None = None, known: Sequence[Finding] = ()) -> MonitoringResult:
    """Looks at a scored cutoff, the newest where none is named; writes what it found and tells of new alerts.

    Args:
        config: The business.
        cutoff: A scored one.
        known: What is wrong already, such as how the log arrived: told with the rest.

    Raises:
        UsageError: The cutoff was not scored, or the output cannot be written to.
        DataError: A file of ours is not what was written.
        RefusedError: Another run is monitoring into the same output.
    """
    scores = read_scores(config, cutoff)
    folder = config.output / "monitor"
    with exclusive_lock(folder / ".lock", f"monitoring {config.output}"):
        tr, state = get_language(config.language), read_alert_state(folder)
        found = _looked(config, scores, tr)
        found.findings += known
        alerts = raise_alerts(found.findings, state, scores.cutoff, tr)
        newest = str(scores.cutoff) >= state.cutoff
        new = tuple(alert for alert in alerts if newest and alert.id not in state.ids)
        facts = _facts(config, scores, found, alerts)
        target = folder / f"cutoff={scores.cutoff}"
        with atomic_folder(target) as beside, report_write_errors(target):
            text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
            (beside / FILE).write_text(text, encoding="utf-8")
        if newest:
            append_alerts(folder, new, scores.cutoff)
            queue_alerts(config, folder, new, scores.cutoff)
            write_alert_state(folder, next_state(found.findings, state, scores.cutoff, found.unseen))
        undelivered = send_queued(config, folder, tr)
    return MonitoringResult(scores.cutoff, tuple(alerts), new, facts, target, tuple(undelivered))


def _looked(config: Config, scores: Scores, tr: Language) -> _Found:
    """Looks at everything; a log that cannot be used is what is found then."""
    earlier = scored_cutoffs_before(config, scores.cutoff)
    before = read_scores(config, earlier[-1]) if earlier else None
    found = _Found(segments=segment_rates(scores, before))
    found.findings += segment_findings(found.segments, config.monitor, before.cutoff if before else None, tr)
    record_before = _before(config, scores.cutoff)
    with ExitStack() as stack:
        try:
            log = stack.enter_context(open_monitored_log(config, scores, earlier))
        except DataError as problem:
            logging.getLogger(__name__).warning("the log cannot be monitored: %s", problem)
            found.findings.append(unusable_log_finding(isinstance(problem, EmptyError), tr))
            return found
        _look_at_data(found, config, log.inputs, record_before, tr)
        found.drift = compare_with_references(config, log.inputs, scores, earlier, tr)
        found.notes += drift_notes(log.inputs, found.drift, tr)
        found.performance = evaluate_cutoffs(config, log, scores, earlier)
    drivers = {row["feature"]: row["strength"] for row in scores.manifest.get("drivers", {}).get("churn", [])}
    found.findings += [
        *drift_findings(found.drift, drivers, tr),
        *of_performance(found.performance, config.monitor, tr),
    ]
    return found


def scored_cutoffs_before(config: Config, before: date) -> list[date]:
    """The cutoffs that were scored before one, ascending."""
    places = (config.output / "scores").glob(f"cutoff=*/{MANIFEST}")
    return sorted(day for place in places if (day := _day(place.parent)) < before)


def _day(folder: Path) -> date:
    return date.fromisoformat(folder.name.removeprefix("cutoff="))


def _look_at_data(
    found: _Found, config: Config, gathered: MonitorInputs, before: dict[str, Any] | None, tr: Language
) -> None:
    vitals = gathered.vitals
    found.data = check_log_health(vitals, config.monitor, before, tr)
    found.log = health_record(vitals)
    found.findings += data_findings(found.data, tr)
    if not gathered.features:
        message = tr(
            "The cutoff lies beyond the log, which ends on {last}: features cannot be compared.", last=vitals.last
        )
        found.notes.append(message)


def _before(config: Config, cutoff: date) -> dict[str, Any] | None:
    """What the newest earlier cutoff that was monitored says of the log; None where there is none."""
    told = []
    for path in (config.output / "monitor").glob(f"cutoff=*/{FILE}"):
        if (day := _day(path.parent)) < cutoff:
            told.append((day, path))
    for day, path in sorted(told, reverse=True):
        if log := _read_facts(path).get("log"):
            return {**log, "days": (cutoff - day).days}
    return None


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise DataError(f"{path}: is not what regulars wrote there; remove its folder, then monitor again") from None


def _facts(config: Config, scores: Scores, found: _Found, alerts: Sequence[Alert]) -> dict[str, Any]:
    """monitor.json."""
    return {
        "format": FORMAT,
        "name": config.name,
        "cutoff": str(scores.cutoff),
        "language": config.language,
        "models": {kind: model["label"] for kind, model in scores.manifest["models"].items()},
        "data": [check.to_dict() for check in found.data],
        "drift": [drift.to_dict() for drift in found.drift],
        "performance": [judged.to_dict() for judged in found.performance],
        "calibration": calibration_rows(found.performance),
        "segments": found.segments,
        "alerts": [alert.to_dict() for alert in alerts],
        "notes": found.notes,
        "log": found.log,
    }
