"""Monitoring of a scored cutoff: data quality, feature and score drift, performance, and segment thresholds.

`OUTPUT/monitor/cutoff=D/monitor.json` has the results of all checks; `alerts.jsonl` has each alert once, as it was
first raised. The same log, scores and state give the same bytes. A cutoff older than the newest monitored one is
checked, but neither raises nor closes alerts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from features.config.load import Config
from features.errors import DataError, EmptyError
from features.intake.log import Business, Log, as_date, opened
from features.outputs.manifests import MonitoringRecord, read_required_manifest
from features.storage.atomic_files import atomic_folder, report_write_errors
from features.storage.file_locks import exclusive_lock
from features.storage.json_files import document_text
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
from serving.monitoring.behaviour import behaviour_checks
from serving.monitoring.delivery import queue_alerts, send_queued
from serving.monitoring.feature_drift import compare_with_references, drift_notes
from serving.monitoring.findings import (
    advise_when_to_train,
    data_findings,
    drift_findings,
    segment_findings,
    unusable_log_finding,
    value_at_risk_findings,
)
from serving.monitoring.inputs import MonitorInputs, read_monitored_log
from serving.monitoring.log_health import LogCheck, check_log_health, health_record
from serving.monitoring.performance import (
    PerformanceFigure,
    calibration_rows,
    evaluate_cutoffs,
    performance_notes,
    recorded_learning,
    waiting_notes,
)
from serving.monitoring.performance import performance_findings as of_performance
from serving.scoring.score_tables import Scores, read_scores, refuse_other_zone
from serving.segmentation.group_rates import segment_rates
from serving.statistics.population_drift import Drift

FORMAT, FILE = 1, "monitor.json"


@dataclass(frozen=True)
class MonitoringResult:
    """The result of monitoring a cutoff.

    Attributes:
        cutoff: The monitored cutoff.
        alerts: All open alerts, the most severe first.
        new: The alerts that this run raised.
        facts: The content of monitor.json.
        folder: The folder of monitor.json.
        undelivered: Messages that could not be delivered and are kept for the next run, in words.
    """

    cutoff: date
    alerts: tuple[Alert, ...]
    new: tuple[Alert, ...]
    facts: dict[str, Any]
    folder: Path
    undelivered: tuple[str, ...] = ()

    def to_pandas(self) -> Any:
        """The open alerts as a DataFrame, one row each."""
        import pandas as pd

        return pd.DataFrame([alert.to_dict() for alert in self.alerts])


@dataclass
class _Observations:
    """The results collected so far, in the form of monitor.json."""

    data: list[LogCheck] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    performance: list[PerformanceFigure] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    log: dict[str, Any] | None = None

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Key prefixes of findings that could not be checked; their alerts stay open."""
        if self.log is None:
            return ("data:", "drift:", "performance:", "estimate:")
        return () if self.drift else ("drift:",)


def monitor_scores(
    business: Business, cutoff: date | str | None = None, known: Sequence[Finding] = ()
) -> MonitoringResult:
    """Monitors a scored cutoff, writes the results, and delivers new alerts.

    Args:
        business: An opened log, a config, or the path of a config.
        cutoff: A scored cutoff; by default the newest.
        known: Findings made before, such as a faulty delivery of the log; reported with the others.

    Returns:
        All results and alerts.

    Raises:
        UsageError: The cutoff was not scored, or the output cannot be written to.
        DataError: A file in the output was changed by something else.
        RefusedError: Another run is monitoring into the same output.
    """
    with opened(business) as log:
        scores = read_scores(log.config, None if cutoff is None else as_date(cutoff))
        refuse_other_zone(log.config, scores)
        return _monitor_log(log, scores, known)


def _monitor_log(log: Log, scores: Scores, known: Sequence[Finding]) -> MonitoringResult:
    """As `monitor_scores`, for an opened log and the scores of the cutoff."""
    config, folder = log.config, log.config.output / "monitor"
    with exclusive_lock(folder / ".lock", f"monitoring {config.output}"):
        tr, state = get_language(config.language, config.currency), read_alert_state(folder)
        observations = _observe(log, scores, tr)
        observations.findings += known
        alerts = raise_alerts(observations.findings, state, scores.cutoff, tr)
        newest = str(scores.cutoff) >= state.cutoff
        new = tuple(alert for alert in alerts if newest and alert.id not in state.ids)
        facts = _facts(config, scores, observations, alerts)
        target = config.outputs.monitoring(scores.cutoff)
        with atomic_folder(target) as staging, report_write_errors(target):
            text = document_text(facts, sort_keys=False, ensure_ascii=False, allow_nan=False)
            (staging / FILE).write_text(text, encoding="utf-8")
        if newest:
            append_alerts(folder, new, scores.cutoff)
            queue_alerts(config, folder, new, scores.cutoff)
            write_alert_state(folder, next_state(observations.findings, state, scores.cutoff, observations.unchecked))
        undelivered = send_queued(config, folder, tr)
    return MonitoringResult(scores.cutoff, tuple(alerts), new, facts, target, tuple(undelivered))


def _observe(log: Log, scores: Scores, tr: Language) -> _Observations:
    """Runs all checks; if the log cannot be used, that is the finding."""
    config = log.config
    earlier = scored_cutoffs_before(config, scores.cutoff)
    before = read_scores(config, earlier[-1]) if earlier else None
    observations = _Observations(segments=segment_rates(scores, before))
    observations.findings += value_at_risk_findings(
        observations.segments, config.monitor.value_at_risk, before.cutoff if before else None, tr
    )
    observations.findings += segment_findings(
        observations.segments, config.monitor, before.cutoff if before else None, tr
    )
    learned = recorded_learning(scores)
    record_before = _previous_record(config, scores.cutoff)
    with ExitStack() as stack:
        try:
            monitored = stack.enter_context(read_monitored_log(log, scores, earlier))
        except DataError as problem:
            logging.getLogger(__name__).warning("the log cannot be monitored: %s", problem)
            observations.findings.append(unusable_log_finding(isinstance(problem, EmptyError), tr))
            return observations
        _observe_log(observations, config, monitored.inputs, record_before, learned, tr)
        observations.drift = compare_with_references(config, monitored.inputs, scores, earlier, tr)
        observations.notes += drift_notes(monitored.inputs, observations.drift, tr)
        observations.performance = evaluate_cutoffs(config, monitored, scores, earlier)
        observations.notes += performance_notes(observations.performance, tr)
        observations.notes += waiting_notes(config, monitored.inputs, [*earlier, scores.cutoff], tr)
    drivers = {row["feature"]: row["strength"] for row in scores.manifest.drivers.get("churn", [])}
    about_the_model = [
        *drift_findings(observations.drift, drivers, tr),
        *of_performance(observations.performance, config.monitor, tr),
    ]
    observations.findings += advise_when_to_train(about_the_model, scores.cutoff, learned, config.task.every.delta)
    return observations


def scored_cutoffs_before(config: Config, before: date) -> list[date]:
    """The scored cutoffs before a date, ascending."""
    return [cutoff for cutoff in config.outputs.scored_cutoffs() if cutoff < before]


def _observe_log(
    observations: _Observations,
    config: Config,
    inputs: MonitorInputs,
    before: dict[str, Any] | None,
    learned: date | None,
    tr: Language,
) -> None:
    vitals = inputs.vitals
    observations.data = check_log_health(vitals, config.monitor, before, tr)
    if inputs.behaviour:
        observations.data += behaviour_checks(inputs.behaviour, config.monitor, tr)
    observations.log = health_record(vitals)
    observations.findings += advise_when_to_train(
        list(data_findings(observations.data, tr)), vitals.cutoff, learned, config.task.every.delta
    )
    if not inputs.features:
        message = tr(
            "The cutoff is after the end of the log ({last}), so features cannot be compared.", last=vitals.last
        )
        observations.notes.append(message)


def _previous_record(config: Config, cutoff: date) -> dict[str, Any] | None:
    """The log's record at the newest earlier monitored cutoff; None if there is none."""
    for day in reversed(config.outputs.monitored_cutoffs()):
        if day >= cutoff:
            continue
        record = read_required_manifest(config.outputs.monitoring(day) / FILE, MonitoringRecord)
        if record.log:
            return {**record.log, "days": (cutoff - day).days}
    return None


def _facts(config: Config, scores: Scores, observations: _Observations, alerts: Sequence[Alert]) -> dict[str, Any]:
    """The content of monitor.json."""
    return {
        "format": FORMAT,
        "name": config.name,
        "cutoff": str(scores.cutoff),
        "language": config.language,
        "models": {kind: model["label"] for kind, model in scores.manifest.models.items()},
        "data": [check.to_dict() for check in observations.data],
        "drift": [drift.to_dict() for drift in observations.drift],
        "performance": [figure.to_dict() for figure in observations.performance],
        "calibration": calibration_rows(observations.performance),
        "segments": observations.segments,
        "alerts": [alert.to_dict() for alert in alerts],
        "notes": observations.notes,
        "log": observations.log,
    }
