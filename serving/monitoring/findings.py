"""What is worth an alert, in words: of the log's checks, of drift, of performance and of segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from features.config.monitor import ALL_CUSTOMERS, MonitorConfig
from serving.language.formats import format_share
from serving.language.messages import Language
from serving.monitoring.alerts import Finding
from serving.monitoring.log_health import LogCheck
from serving.statistics.population_drift import Drift, drifted_driver_share

CRITICAL_CHECKS = ("silent_days", "new_rows", "repeated", "rows_read")
MAX_NAMED, WARNING_SHARE, CRITICAL_SHARE = 5, 0.1, 0.5  # features named; shares of what drives the model


def data_findings(checks: Sequence[LogCheck], tr: Language) -> Iterator[Finding]:
    """One finding for each check that is not as usual; a silence speaks for the counts that it empties."""
    wrong = [check for check in checks if not check.ok]
    silent = any(check.name in ("silent_days", "new_rows") for check in wrong)
    for check in wrong:
        if silent and check.name in ("events_day", "events_week"):
            continue
        severity = "critical" if check.name in CRITICAL_CHECKS else "warning"
        yield Finding(f"data:{check.name}", severity, _title(check, tr), _told(check, tr), "data")


def _title(check: LogCheck, tr: Language) -> str:
    if check.name == "silent_days":
        return tr("The newest days are missing from the log")
    if check.name == "new_rows":
        return tr("The same log was delivered again")
    if check.name == "repeated":
        return tr("Rows arrived twice")
    return tr("Unusual: {phrase}", phrase=check.phrase)


def _told(check: LogCheck, tr: Language) -> str:
    value, low, high = (_figure(x, check.share) for x in (check.value, check.low, check.high))
    if check.low is not None and check.value < check.low:
        said = tr("{phrase}: {value}, usually at least {low}.", phrase=check.phrase, value=value, low=low)
    elif check.high is not None and check.value > check.high:
        said = tr("{phrase}: {value}, usually at most {high}.", phrase=check.phrase, value=value, high=high)
    else:
        said = tr("{phrase}: {value}.", phrase=check.phrase, value=value)
    return f"{said} {check.note}" if check.note else said


def _figure(number: float | None, as_share: bool) -> str:
    if number is None:
        return ""
    return f"{number:.1%}" if as_share else f"{number:,.0f}"


def drift_findings(drifts: Sequence[Drift], drivers: Mapping[str, float], tr: Language) -> Iterator[Finding]:
    """One finding for all features that moved, if they matter to the model, and one for each score.

    Args:
        drifts: All that were compared.
        drivers: The strength of each feature in the model's risk; features are told in its order.
        tr: The language.
    """
    moved = sorted((d for d in drifts if d.moved), key=lambda d: (-drivers.get(d.name, 0.0), -d.psi))
    features = [d for d in moved if d.what == "feature"]
    weight = drifted_driver_share(features, drivers)
    if features and weight >= WARNING_SHARE:
        first = "; ".join(_moved(d, tr) for d in features[:MAX_NAMED])
        told = tr(
            "{share} of what drives the model moved beyond what chance and the time between cutoffs make, against "
            "{reference}: {first}.",
            share=format_share(weight),
            reference=features[0].reference,
            first=first,
        )
        title = tr.many("{n} feature has moved", "{n} features have moved", len(features))
        yield Finding("drift:features", "critical" if weight > CRITICAL_SHARE else "warning", title, told, "retrain")
    for d in (d for d in moved if d.what == "score"):
        told = tr("Against {reference}: {moved}.", reference=d.reference, moved=_moved(d, tr))
        yield Finding(
            f"drift:{d.name}", "warning", tr("The scores have moved: {phrase}", phrase=d.phrase), told, "retrain"
        )


def _moved(d: Drift, tr: Language) -> str:
    size = tr("stability index {psi}, chance makes {noise}", psi=f"{d.psi:.2f}", noise=f"{d.noise:.2f}")
    if d.change is None:
        return tr("{phrase}: levels are held by others ({size})", phrase=d.phrase, size=size)
    way = tr("higher") if d.change > 0 else tr("lower")
    return tr(
        "{phrase}: {way} by {change} standard deviations ({size})",
        phrase=d.phrase, way=way, change=f"{abs(d.change):.2f}", size=size,
    )  # fmt: skip


def segment_findings(
    rows: Sequence[Mapping[str, Any]], rules: MonitorConfig, before: date | None, tr: Language
) -> Iterator[Finding]:
    """Groups of customers beyond the thresholds of the config."""
    for row in rows:
        name = row["segment"]
        said = tr("all customers") if name == ALL_CUSTOMERS else tr(name)
        highest, least = rules.churn.get(name), rules.value.get(name)
        if highest is not None and row["churn"] > highest:
            told = tr(
                "Mean risk {churn}, allowed {limit}, of {n} customers{earlier}.",
                churn=format_share(row["churn"]), limit=format_share(highest), n=f"{row['customers']:,}",
                earlier=_earlier(row["churn_before"], format_share, before, tr),
            )  # fmt: skip
            yield Finding(
                f"churn:{name}",
                "warning",
                tr("Risk of leaving is high: {segment}", segment=said),
                told,
                "contact",
                name,
            )
        if least is not None and row["value"] is not None and row["value"] < least:
            told = tr(
                "Mean value {value}, wanted {limit}, of {n} customers{earlier}.",
                value=_money(row["value"]), limit=_money(least), n=f"{row['customers']:,}",
                earlier=_earlier(row["value_before"], _money, before, tr),
            )  # fmt: skip
            yield Finding(
                f"value:{name}", "warning", tr("Value is low: {segment}", segment=said), told, "contact", name
            )


def _earlier(number: float | None, form: Any, before: date | None, tr: Language) -> str:
    return "" if number is None else tr(" ({number} at {cutoff})", number=form(number), cutoff=str(before))


def _money(number: float) -> str:
    return f"{number:,.2f}"


def unusable_log_finding(empty: bool, tr: Language) -> Finding:
    """The finding of a log that cannot be used."""
    if empty:
        title, told = tr("The log arrived empty"), tr("There is no row to read, so nothing could be compared.")
    else:
        title = tr("The log cannot be used")
        told = tr("It cannot be read or breaks its contract, so nothing could be compared.")
    return Finding("data:log", "critical", title, told, "data")
