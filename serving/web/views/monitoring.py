"""The pages on monitoring, on the nightly runs and on the models: what their files say, as far as they are whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Any

from serving.charts.live_svg import Line, lines
from serving.language.messages import N_
from serving.web.parts.model_card import rendered
from serving.web.parts.output_reader import NotHere, Scored, Site, cutoffs, days, manifest, scored

FILE, RUNS, PAST = "monitor.json", 14, 36
METRICS = {
    "auc": N_("AUC: how well the order by risk held (0.5 is chance, 1 is perfect)"),
    "brier": N_("Brier score: mean squared error of the risk (lower is better)"),
    "churn": N_("Share of customers that leaves"),
    "value": N_("Value of all customers together"),
}
LISTS = ("data", "drift", "performance", "calibration", "segments", "alerts")


def alerts(site: Site) -> list[dict[str, Any]]:
    """The alerts of the newest night, the gravest first; none where nothing is monitored."""
    there = days(site.config.output / "monitor", FILE)
    found = _monitored(site, there[-1]) if there else None
    return _by_gravity(found["alerts"]) if found else []


def monitoring(site: Site, asked: str) -> dict[str, Any]:
    """What a night found, and how the figures moved over the nights.

    Raises:
        NotHere: Nothing is monitored, or the night asked for is not there.
    """
    there = days(site.config.output / "monitor", FILE)
    command = (
        f"regulars monitor --cutoff {asked}" if asked in {str(day) for day in cutoffs(site)} else "regulars monitor"
    )
    if not there:
        raise NotHere(site.tr("Nothing is monitored yet."), "regulars monitor")
    day = next((day for day in there if str(day) == asked), None if asked else there[-1])
    if day is None:
        have = ", ".join(map(str, there))
        raise NotHere(site.tr("{asked} is not monitored. Monitored are: {have}.", asked=asked[:40], have=have), command)
    found = _monitored(site, day)
    if found is None:
        raise NotHere(
            site.tr("What monitoring wrote of {day} is not whole.", day=day), f"regulars monitor --cutoff {day}", 503
        )
    return {
        **found,
        "alerts": _by_gravity(found["alerts"]),
        "day": day,
        "days": there,
        "performance": [{**row, "metric": metric_name(site, row.get("metric"))} for row in found["performance"]],
        "pictures": _pictures(site, found),
    }


def metric_name(site: Site, metric: object) -> str:
    """A metric of the monitor as the page says it; one that it does not know, as it is."""
    return site.tr(METRICS[str(metric)]) if metric in METRICS else str(metric)


def tick(metric: object, number: float) -> str:
    """A number of a metric, as its axis says it.

    >>> tick("auc", 0.8512), tick("churn", 0.5), tick("value", 152522.4)
    ('0.851', '50%', '152,522')
    """
    return {"churn": f"{number:.0%}", "value": f"{number:,.0f}"}.get(str(metric), f"{number:.3g}")


def _monitored(site: Site, day: date) -> dict[str, Any] | None:
    """A night's findings with every list there; None where the file is not whole."""
    found = manifest(site, site.config.output / "monitor" / f"cutoff={day}" / FILE)
    if found is None:
        return None
    told = {name: [row for row in found[0].get(name) or [] if isinstance(row, dict)] for name in LISTS}
    return {**found[0], **told}


def _by_gravity(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    order = {"critical": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda alert: (order.get(str(alert.get("severity")), 3), str(alert.get("since"))))


def _pictures(site: Site, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each metric of the whole over cutoffs: what was estimated beforehand, and what came."""
    made = []
    rows = [row for row in found["performance"] if not row.get("segment") or row.get("segment") == "all"]
    for metric in dict.fromkeys(row.get("metric") for row in rows):
        mine = sorted((row for row in rows if row.get("metric") == metric), key=lambda row: str(row["cutoff"]))
        when = [date.fromisoformat(str(row["cutoff"])) for row in mine]
        drawn = [_line(mine, "estimated", False), _line(mine, "realised", True)]
        say, name = partial(tick, metric), metric_name(site, metric)
        told = "; ".join(
            f"{row['cutoff']}: {_said(row.get('estimated'), say)} / {_said(row.get('realised'), say)}" for row in mine
        )
        alt = site.tr("{metric} at each cutoff, estimated / realised. {told}.", metric=name, told=told)
        if any(value is not None for line in drawn for value in line.values):
            made.append({"metric": name, "svg": lines(alt, when, drawn, say)})
    return made


def _line(rows: list[dict[str, Any]], name: str, hollow: bool) -> Line:
    low, high = ([_number(row.get(f"{name}_{end}")) for row in rows] for end in ("low", "high"))
    return Line(name, [_number(row.get(name)) for row in rows], low, high, hollow)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None


def _said(value: object, say: Callable[[float], str]) -> str:
    number = _number(value)
    return "–" if number is None else say(number)


def runs(site: Site) -> list[dict[str, Any]]:
    """The newest nightly runs, newest first."""
    paths = sorted((site.config.output / "runs").glob("*.json"), reverse=True)[:RUNS]
    found = [(path.stem, manifest(site, path)) for path in paths]
    return [{"night": name, "steps": [], **told[0]} for name, told in found if told is not None]


def models(site: Site, at: Scored | None) -> dict[str, Any]:
    """The models behind each scored cutoff, those of one cutoff in full, and the card of the last training."""
    card = site.config.output / "model_card.md"
    text = ""
    if card.is_file():
        text = card.read_text(encoding="utf-8", errors="replace")
    if at is None and not text:
        raise NotHere(site.tr("No model is trained yet."), "regulars train")
    return {"used": _used(site), "card": rendered(text) if text else ""}


def _used(site: Site) -> list[dict[str, Any]]:
    """Which models scored each cutoff, the newest first."""
    found = []
    for day in reversed(cutoffs(site)[-PAST:]):
        try:
            at = scored(site, str(day))
        except NotHere:
            continue  # a cutoff that is not whole is told on its own page
        found.append({"cutoff": day, "customers": at.customers, "models": at.manifest.get("models", {})})
    return found
