"""Alerts: a problem, since when it exists and what to do; each is raised once and closed when the problem is gone.

An alert's key names the problem. The alert is open from the cutoff at which the problem is first found (`since`) until
a cutoff at which it is not found any more. Its id is a hash of key, severity and `since`: it stays the same while the
alert is open, and a problem that comes back gets a new id. Open alerts are kept in `OUTPUT/monitor/state.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from features.errors import DataError
from features.storage.atomic_files import write_text_atomically
from features.storage.json_files import document_text, read_object
from serving.language.messages import N_, Language

SEVERITIES = {"info": N_("for information"), "warning": N_("warning"), "critical": N_("critical")}  # most severe last
ADVICE = {
    "retrain": N_("Retrain: `regulars train --compare` promotes the new model only if it performs better."),
    "recalibrate": N_("Retrain to recalibrate: `regulars train`; until then, allow for this error in the scores."),
    "data": N_("Check the data before anybody acts on these scores: `regulars check` shows what arrived."),
    "wait": N_(
        "Wait: the model has just learned from the newest outcomes, so training again would change nothing yet."
    ),
    "contact": N_("Plan contacts for these customers: `regulars plan --cutoff {cutoff} --budget B`."),
}


@dataclass(frozen=True)
class Finding:
    """A problem found at a cutoff.

    Attributes:
        key: Names the problem; the same from night to night.
        severity: 'info', 'warning' or 'critical'.
        title: The problem in a few words.
        text: Its figures in a sentence or two.
        action: 'retrain', 'recalibrate', 'wait', 'data' or 'contact'.
        segment: The customers that it concerns; None: all.
    """

    key: str
    severity: str
    title: str
    text: str
    action: str
    segment: str | None = None


@dataclass(frozen=True)
class Alert:
    """An open finding, with its id, the cutoff since which it is open, and advice (`todo`)."""

    id: str
    severity: str
    title: str
    text: str
    since: str
    action: str
    todo: str
    segment: str | None

    def to_dict(self) -> dict[str, Any]:
        """The alert as in JSON."""
        return asdict(self)


@dataclass(frozen=True)
class AlertState:
    """The alerts open at the newest monitored cutoff: severity and `since` by key."""

    cutoff: str = ""
    open: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def ids(self) -> set[str]:
        """The ids of the open alerts."""
        return {_alert_id(key, alert["severity"], alert["since"]) for key, alert in self.open.items()}

    def since(self, finding: Finding, cutoff: date) -> str:
        """The cutoff since which a finding is open; with a changed severity it counts as a new one."""
        earlier = self.open.get(finding.key)
        if earlier is None or earlier["severity"] != finding.severity or earlier["since"] > str(cutoff):
            return str(cutoff)
        return earlier["since"]


def raise_alerts(findings: Sequence[Finding], state: AlertState, cutoff: date, tr: Language) -> list[Alert]:
    """Turns the findings of a cutoff into alerts.

    Args:
        findings: The problems found.
        state: The alerts open before.
        cutoff: The monitored cutoff.
        tr: The language of the texts.

    Returns:
        One alert for each finding, the most severe first.
    """
    alerts = []
    for finding in findings:
        since = state.since(finding, cutoff)
        alerts.append(
            Alert(
                id=_alert_id(finding.key, finding.severity, since),
                severity=finding.severity,
                title=single_line(finding.title),
                text=single_line(tr("{text} Open since {since}.", text=finding.text, since=since)),
                since=since,
                action=finding.action,
                todo=tr(ADVICE[finding.action], cutoff=str(cutoff)),
                segment=finding.segment,
            )
        )
    return sorted(alerts, key=lambda alert: (-list(SEVERITIES).index(alert.severity), alert.title, alert.id))


def _alert_id(key: str, severity: str, since: str) -> str:
    return hashlib.sha256(f"{key}\n{severity}\n{since}".encode()).hexdigest()[:12]


def next_state(
    findings: Sequence[Finding], state: AlertState, cutoff: date, unchecked: tuple[str, ...] = ()
) -> AlertState:
    """Updates the open alerts after a cutoff was monitored.

    Args:
        findings: The problems found at the cutoff.
        state: The alerts open before.
        cutoff: The monitored cutoff.
        unchecked: Key prefixes of what could not be checked; their alerts stay open.

    Returns:
        The alerts open now.
    """
    unchanged = {key: alert for key, alert in state.open.items() if key.startswith(unchecked)}
    current = {f.key: {"severity": f.severity, "since": state.since(f, cutoff)} for f in findings}
    return AlertState(str(cutoff), dict(sorted({**unchanged, **current}.items())))


def read_alert_state(folder: Path) -> AlertState:
    """Reads the open alerts; there are none before the first monitored cutoff.

    Raises:
        DataError: The file was not written by regulars.
    """
    path = folder / "state.json"
    if not path.exists():
        return AlertState()
    advice = "remove it (open alerts are then raised again)"
    content = read_object(path, advice)
    try:
        date.fromisoformat(content["cutoff"])
        return AlertState(
            content["cutoff"], {k: {s: str(v[s]) for s in ("severity", "since")} for k, v in content["open"].items()}
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path}: expected a state that regulars wrote, found something else; {advice}") from None


def write_alert_state(folder: Path, state: AlertState) -> None:
    """Writes the open alerts."""
    write_text_atomically(folder / "state.json", document_text(asdict(state), sort_keys=False, ensure_ascii=False))


def append_alerts(folder: Path, alerts: Sequence[Alert], cutoff: date) -> None:
    """Appends alerts to `alerts.jsonl`, each with the cutoff that raised it; alerts already in the file are skipped.

    Args:
        folder: The monitor's output folder.
        alerts: New alerts.
        cutoff: The cutoff that raised them.
    """
    path = folder / "alerts.jsonl"
    existing = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
    missing = [alert for alert in alerts if f'"id": "{alert.id}"' not in existing]
    if missing:
        lines = [json.dumps({**alert.to_dict(), "raised": str(cutoff)}, ensure_ascii=False) for alert in missing]
        write_text_atomically(path, existing + "".join(f"{line}\n" for line in lines))


def single_line(text: str) -> str:
    r"""A text in one line without control characters, as category values and names come from the data.

    >>> single_line("two\r\nlines \x1b[31mred")
    'two lines [31mred'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
