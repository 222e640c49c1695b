"""The result of monitoring as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serving.language.formats import format_share
from serving.language.messages import Language
from serving.monitoring.monitor import MonitoringResult


def monitoring_text(result: MonitoringResult) -> str:
    """What was checked, what could not be compared, and all open alerts."""
    facts = result.facts
    return "\n".join(
        [
            *_coverage_lines(facts),
            *_performance_lines(facts),
            *_alert_lines(result),
            *(f"note: {n}" for n in facts["notes"]),
        ]
    )


def monitoring_verdict(facts: Mapping[str, Any], tr: Language) -> str:
    """Say in one sentence what monitoring found besides alerts; empty if there are alerts and nothing else.

    Args:
        facts: What the monitor wrote of a cutoff.
        tr: The language.

    Returns:
        The sentence.
    """
    checks = facts["data"]
    odd = sum(not row.get("ok") for row in checks)
    drifted = sum(bool(row.get("moved")) for row in facts["drift"])
    if not odd and not drifted:
        return "" if facts["alerts"] else tr("● The monitor found nothing unusual.")
    parts = [tr.many("{n} unusual figure", "{n} unusual figures", odd)] if odd else []
    parts += [tr.many("{n} feature with data drift", "{n} features with data drift", drifted)] if drifted else []
    slots = {"what": tr("; ").join(parts), "n": f"{len(checks):,}"}
    if facts["alerts"]:
        return tr("The monitor found {what} among {n} checks.", **slots)
    return tr("The monitor found {what} among {n} checks; none is large enough for an alert.", **slots)


def _coverage_lines(facts: dict[str, Any]) -> Iterator[str]:
    wrong = [check for check in facts["data"] if not check["ok"]]
    data = f"{len(facts['data'])} checks, {len(wrong) or 'none'} unusual" if facts["data"] else "could not be checked"
    yield f"cutoff         {facts['cutoff']}"
    yield f"data           {data}"
    for what in ("feature", "score"):
        rows = [row for row in facts["drift"] if row["what"] == what]
        moved = sum(row["moved"] for row in rows)
        comparison = f"{len(rows)} compared, {moved or 'none'} drifted" if rows else "not compared"
        yield f"{what + 's':<15}{comparison}"


def _performance_lines(facts: dict[str, Any]) -> Iterator[str]:
    known = [row for row in facts["calibration"] if row["came"] is not None]
    if known:
        last = known[-1]
        yield (
            f"calibration    {last['cutoff']}: {format_share(last['said'])} predicted to leave, "
            f"{format_share(last['came'])} ({format_share(last['low'])} to {format_share(last['high'])}) left"
        )
    else:
        yield "calibration    no scored cutoff has an outcome yet that its model had not learned from"


def _alert_lines(result: MonitoringResult) -> Iterator[str]:
    new = {alert.id for alert in result.new}
    for alert in result.alerts:
        yield f"\n{alert.severity.upper():<9} {alert.title}{' (new)' if alert.id in new else ''}"
        yield f"{'':10}{alert.text}"
        yield f"{'':10}{alert.todo}"
    if not result.alerts:
        yield "alerts         none"
