"""Alerts: what changed, since when and what to do; each is raised once, and closed when what it tells of is over.

An alert's key says what it is about. It is open from the cutoff at which it is first found (`since`) until one at which
it is found no more; its id is drawn from both, so it stays the same while nothing changes, and is another one when the
same thing happens again. What is open lies in `OUTPUT/monitor/state.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from features.atomic_files import write_text_atomically
from features.errors import DataError
from serving.language.messages import N_, Language

SEVERITIES = {"info": N_("for information"), "warning": N_("warning"), "critical": N_("critical")}  # the gravest last
ADVICE = {
    "retrain": N_("Train anew: `regulars train --compare` lets a challenger take over only if it does better."),
    "recalibrate": N_("Train anew to recalibrate: `regulars train`; until then read the numbers with this error."),
    "data": N_("Look at the data before anybody acts on these scores: `regulars check` tells what arrived."),
    "contact": N_("Plan contacts for these customers: `regulars plan --cutoff {cutoff} --budget B`."),
}


@dataclass(frozen=True)
class Finding:
    """Something to be told of a cutoff.

    Attributes:
        key: What it is about; the same from night to night.
        action: 'retrain', 'recalibrate', 'data' or 'contact'.
        segment: Whom it concerns; None: everyone.
    """

    key: str
    severity: str
    title: str
    text: str
    action: str
    segment: str | None = None


@dataclass(frozen=True)
class Alert:
    """A finding that is open since a cutoff."""

    id: str
    severity: str
    title: str
    text: str
    since: str
    action: str
    todo: str
    segment: str | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class AlertState:
    """What was open at the newest cutoff that was monitored: by key its severity, and since when."""

    cutoff: str = ""
    open: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def ids(self) -> set[str]:
        """The ids of the alerts that are open."""
        return {_id(key, held["severity"], held["since"]) for key, held in self.open.items()}

    def since(self, finding: Finding, cutoff: date) -> str:
        """Since when a finding is open; one that became more or less severe is another."""
        before = self.open.get(finding.key)
        if before is None or before["severity"] != finding.severity or before["since"] > str(cutoff):
            return str(cutoff)
        return before["since"]


def raise_alerts(findings: Sequence[Finding], state: AlertState, cutoff: date, tr: Language) -> list[Alert]:
    """The findings of a cutoff as alerts, the most severe first."""
    made = []
    for finding in findings:
        since = state.since(finding, cutoff)
        made.append(
            Alert(
                id=_id(finding.key, finding.severity, since),
                severity=finding.severity,
                title=single_line(finding.title),
                text=single_line(tr("{text} Open since {since}.", text=finding.text, since=since)),
                since=since,
                action=finding.action,
                todo=tr(ADVICE[finding.action], cutoff=str(cutoff)),
                segment=finding.segment,
            )
        )
    return sorted(made, key=lambda alert: (-list(SEVERITIES).index(alert.severity), alert.title, alert.id))


def _id(key: str, severity: str, since: str) -> str:
    return hashlib.sha256(f"{key}\n{severity}\n{since}".encode()).hexdigest()[:12]


def next_state(
    findings: Sequence[Finding], state: AlertState, cutoff: date, unseen: tuple[str, ...] = ()
) -> AlertState:
    """What is open once a cutoff is told of; what could not be looked at (its key begins so) stays as it was."""
    kept = {key: held for key, held in state.open.items() if key.startswith(unseen)}
    found = {f.key: {"severity": f.severity, "since": state.since(f, cutoff)} for f in findings}
    return AlertState(str(cutoff), dict(sorted({**kept, **found}.items())))


def read_alert_state(folder: Path) -> AlertState:
    """What is open; nothing where nothing was monitored yet.

    Raises:
        DataError: The file is not one of ours.
    """
    path = folder / "state.json"
    if not path.exists():
        return AlertState()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        date.fromisoformat(found["cutoff"])
        return AlertState(
            found["cutoff"], {k: {s: str(v[s]) for s in ("severity", "since")} for k, v in found["open"].items()}
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{path}: is not what regulars wrote there; remove it (open alerts are then told once more)"
        ) from None


def write_alert_state(folder: Path, state: AlertState) -> None:
    """Keeps what is open."""
    write_text_atomically(folder / "state.json", json.dumps(asdict(state), indent=1, ensure_ascii=False) + "\n")


def append_alerts(folder: Path, alerts: Sequence[Alert], cutoff: date) -> None:
    """Adds alerts to `alerts.jsonl`, each with the cutoff that raised it; those that stand there are left out."""
    path = folder / "alerts.jsonl"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    missing = [alert for alert in alerts if f'"id": "{alert.id}"' not in before]
    if missing:
        lines = [json.dumps({**alert.to_dict(), "raised": str(cutoff)}, ensure_ascii=False) for alert in missing]
        write_text_atomically(path, before + "".join(f"{line}\n" for line in lines))


def single_line(text: str) -> str:
    """A text in one line, without control characters: levels and names come from the data.

    >>> plain("two\\r\\nlines \\x1b[31mred")
    'two lines [31mred'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
