"""The pages of monitoring, nightly runs and models, from the files in the output folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Any

from features.outputs.manifests import MonitoringRecord, NightRecord
from serving.charts.drift import drift_charts
from serving.charts.lines import TimeSeries, line_chart
from serving.language.messages import N_
from serving.markdown import render_card
from serving.monitoring.text import monitoring_verdict
from serving.web.parts.output_reader import (
    MissingOutput,
    ScoredCutoff,
    Site,
    read_scored_cutoff,
    read_stored_manifest,
    scored_cutoffs,
)

FILE, RUNS, PAST = "monitor.json", 14, 36
METRICS = {
    "auc": N_("AUC: how good the ranking by risk was (0.5 is random, 1 is perfect)"),
    "brier": N_("Brier score: mean squared error of the risk (lower is better)"),
    "churn": N_("Share of customers who leave"),
    "value": N_("Total value of all customers"),
}


def newest_alerts(site: Site) -> list[dict[str, Any]] | None:
    """Read the alerts of the newest monitored cutoff, most severe first; None if nothing is monitored."""
    monitored_days = site.config.outputs.monitored_cutoffs()
    findings = _monitored(site, monitored_days[-1]) if monitored_days else None
    return None if findings is None else _by_gravity(findings["alerts"])


def monitoring_page(site: Site, requested: str) -> dict[str, Any]:
    """Read the monitoring results of a cutoff, by default the newest, with charts over all cutoffs in it.

    Raises:
        MissingOutput: Nothing is monitored, or not the requested cutoff.
    """
    monitored_days = site.config.outputs.monitored_cutoffs()
    command = (
        f"regulars monitor --cutoff {requested}"
        if requested in {str(day) for day in scored_cutoffs(site)}
        else "regulars monitor"
    )
    if not monitored_days:
        raise MissingOutput(site.tr("Nothing has been monitored yet."), "regulars monitor")
    day = next((day for day in monitored_days if str(day) == requested), None if requested else monitored_days[-1])
    if day is None:
        have = ", ".join(map(str, monitored_days))
        raise MissingOutput(
            site.tr(
                "Cutoff {asked} has not been monitored. Monitored cutoffs: {have}.", asked=requested[:40], have=have
            ),
            command,
        )
    findings = _monitored(site, day)
    if findings is None:
        raise MissingOutput(
            site.tr("The monitoring results of {day} are incomplete.", day=day), f"regulars monitor --cutoff {day}", 503
        )
    return {
        **findings,
        "alerts": _by_gravity(findings["alerts"]),
        "verdict": monitoring_verdict(findings, site.tr),
        "drift": sorted(findings["drift"], key=lambda row: not row.get("moved")),
        "data": sorted(findings["data"], key=lambda row: bool(row.get("ok"))),
        "day": day,
        "days": monitored_days,
        "performance": [
            {"learned": False, **row, "metric": metric_name(site, row.get("metric"))} for row in findings["performance"]
        ],
        "pictures": _pictures(site, findings),
        "distributions": drift_charts(findings["drift"], site.tr),
    }


def metric_name(site: Site, metric: object) -> str:
    """Translate a metric of the monitor; an unknown one stays as it is."""
    return site.tr(METRICS[str(metric)]) if metric in METRICS else str(metric)


def format_metric(metric: object, number: float) -> str:
    """Format a number of a metric for its axis.

    >>> format_metric("auc", 0.8512), format_metric("churn", 0.5), format_metric("value", 152522.4)
    ('0.851', '50%', '152,522')
    """
    return {"churn": f"{number:.0%}", "value": f"{number:,.0f}"}.get(str(metric), f"{number:.3g}")


def _monitored(site: Site, day: date) -> dict[str, Any] | None:
    """Read the monitoring results of a cutoff; None if the file is damaged."""
    stored = read_stored_manifest(site, site.config.outputs.monitoring(day) / FILE, MonitoringRecord)
    return None if stored is None else stored[0].model_dump(mode="json")


def _by_gravity(alert_list: list[dict[str, Any]]) -> list[dict[str, Any]]:
    order = {"critical": 0, "warning": 1, "info": 2}
    return sorted(alert_list, key=lambda alert: (order.get(str(alert.get("severity")), 3), str(alert.get("since"))))


def _pictures(site: Site, findings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Draw each metric of all customers over cutoffs: estimated before outcomes were known, and realised."""
    charts: list[dict[str, Any]] = []
    rows = [row for row in findings["performance"] if not row.get("segment") or row.get("segment") == "all"]
    estimated, realised = site.tr("estimated"), site.tr("realised")
    for metric in dict.fromkeys(row.get("metric") for row in rows):
        metric_rows = sorted((row for row in rows if row.get("metric") == metric), key=lambda row: str(row["cutoff"]))
        when = [date.fromisoformat(str(row["cutoff"])) for row in metric_rows]
        foresight = [{**row, "realised": None} if row.get("learned") else row for row in metric_rows]
        drawn = [_line(metric_rows, "estimated", estimated, False), _line(foresight, "realised", realised, True)]
        format_number, name = partial(format_metric, metric), metric_name(site, metric)
        details = "; ".join(
            f"{row['cutoff']}: {_format_or_dash(row.get('estimated'), format_number)} / "
            f"{_format_or_dash(row.get('realised'), format_number)}"
            for row in foresight
        )
        alt = site.tr("{metric} at each cutoff, estimated / realised. {details}.", metric=name, details=details)
        if any(value is not None for line in drawn for value in line.values):
            svg = line_chart(alt, when, drawn, format_number)
            charts.append({"metric": name, "svg": svg})
    return charts


def _line(rows: list[dict[str, Any]], column: str, name: str, hollow: bool) -> TimeSeries:
    low, high = ([_number(row.get(f"{column}_{end}")) for row in rows] for end in ("low", "high"))
    return TimeSeries(name, [_number(row.get(column)) for row in rows], low, high, hollow)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None


def _format_or_dash(value: object, format_number: Callable[[float], str]) -> str:
    number = _number(value)
    return "–" if number is None else format_number(number)


def nightly_runs(site: Site) -> list[dict[str, Any]]:
    """Read the newest nightly runs, newest first."""
    paths = sorted(site.config.outputs.runs().glob("*.json"), reverse=True)[:RUNS]
    records = [(path.stem, read_stored_manifest(site, path, NightRecord)) for path in paths]
    return [{"night": name, **stored[0].model_dump(mode="json")} for name, stored in records if stored is not None]


def models_page(site: Site, at: ScoredCutoff | None) -> dict[str, Any]:
    """Read the models behind each scored cutoff, and the card of the last training."""
    card = site.config.output / "model_card.md"
    text = ""
    if card.is_file():
        text = card.read_text(encoding="utf-8", errors="replace")
    if at is None and not text:
        raise MissingOutput(site.tr("No model has been trained yet."), "regulars train")
    return {"used": _used(site), "card": render_card(text) if text else ""}


def _used(site: Site) -> list[dict[str, Any]]:
    """List the models that scored each cutoff, newest first."""
    used = []
    for day in reversed(scored_cutoffs(site)[-PAST:]):
        try:
            at = read_scored_cutoff(site, str(day))
        except MissingOutput:
            continue  # an incomplete cutoff is reported on its own page
        used.append({"cutoff": day, "customers": at.customers, "models": at.manifest.models})
    return used
