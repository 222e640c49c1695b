"""A monitored cutoff as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from serving.language.formats import format_share
from serving.monitoring.monitor import MonitoringResult


def monitoring_text(found: MonitoringResult) -> str:
    """What was looked at, what could not be compared, and every alert that is open."""
    facts = found.facts
    return "\n".join([*_looked(facts), *_performance(facts), *_alerts(found), *(f"note: {n}" for n in facts["notes"])])


def _looked(facts: dict[str, Any]) -> Iterator[str]:
    wrong = [check for check in facts["data"] if not check["ok"]]
    data = f"{len(facts['data'])} checks, {len(wrong) or 'none'} unusual" if facts["data"] else "could not be looked at"
    yield f"cutoff         {facts['cutoff']}"
    yield f"data           {data}"
    for what in ("feature", "score"):
        rows = [row for row in facts["drift"] if row["what"] == what]
        moved = sum(row["moved"] for row in rows)
        told = f"{len(rows)} compared, {moved or 'none'} moved" if rows else "not compared"
        yield f"{what + 's':<15}{told}"


def _performance(facts: dict[str, Any]) -> Iterator[str]:
    known = [row for row in facts["calibration"] if row["came"] is not None]
    if known:
        last = known[-1]
        yield (
            f"came true      {last['cutoff']}: {format_share(last['said'])} said to leave, "
            f"{format_share(last['came'])} ({format_share(last['low'])} to {format_share(last['high'])}) left"
        )
    else:
        yield "came true      no scored cutoff has an outcome yet"


def _alerts(found: MonitoringResult) -> Iterator[str]:
    new = {alert.id for alert in found.new}
    for alert in found.alerts:
        yield f"\n{alert.severity.upper():<9} {alert.title}{' (new)' if alert.id in new else ''}"
        yield f"{'':10}{alert.text}"
        yield f"{'':10}{alert.todo}"
    if not found.alerts:
        yield "alerts         none"
