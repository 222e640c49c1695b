"""Findings that are worth an alert, in words: from log checks, drift and segment thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any

from features.config.monitor import ALL_CUSTOMERS, MonitorConfig
from serving.language.formats import format_money, format_share
from serving.language.messages import Language
from serving.monitoring.alerts import Finding
from serving.monitoring.behaviour import BEHAVIOUR
from serving.monitoring.log_health import LogCheck
from serving.statistics.population_drift import Drift, drifted_driver_share

CRITICAL_CHECKS = ("silent_days", "new_rows", "repeated", "rows_read")
MAX_NAMED, WARNING_SHARE, CRITICAL_SHARE = 5, 0.1, 0.5  # features named; shares of the model's importance


def data_findings(checks: Sequence[LogCheck], tr: Language) -> Iterator[Finding]:
    """Yields a finding for each unusual check; if days are missing, the counts that this lowers are left out."""
    wrong = [check for check in checks if not check.ok]
    silent = any(check.name in ("silent_days", "new_rows") for check in wrong)
    for check in wrong:
        behaviour = check.name.split(":")[0] in BEHAVIOUR
        if silent and (behaviour or check.name in ("events_day", "events_week")):
            continue
        severity = "critical" if check.name in CRITICAL_CHECKS else "warning"
        action = "recalibrate" if behaviour else "data"
        yield Finding(f"data:{check.name}", severity, _check_title(check, tr), _check_text(check, tr), action)


def _check_title(check: LogCheck, tr: Language) -> str:
    if check.name.split(":")[0] in BEHAVIOUR:
        return tr("Customers behave differently: {phrase}", phrase=check.phrase)
    if check.name == "silent_days":
        return tr("The newest days are missing from the log")
    if check.name == "new_rows":
        return tr("The same log was delivered again")
    if check.name == "repeated":
        return tr("Rows arrived twice")
    return tr("Unusual: {phrase}", phrase=check.phrase)


def _check_text(check: LogCheck, tr: Language) -> str:
    value, low, high = (_figure(x, check.share) for x in (check.value, check.low, check.high))
    if check.low is not None and check.value < check.low:
        text = tr("{phrase}: {value}, usually at least {low}.", phrase=check.phrase, value=value, low=low)
    elif check.high is not None and check.value > check.high:
        text = tr("{phrase}: {value}, usually at most {high}.", phrase=check.phrase, value=value, high=high)
    else:
        text = tr("{phrase}: {value}.", phrase=check.phrase, value=value)
    return tr("{text} ({note})", text=text, note=check.note) if check.note else text


def _figure(number: float | None, as_share: bool) -> str:
    if number is None:
        return ""
    if not as_share:
        return f"{number:,.0f}"
    return f"{number:.1%}" if number >= 0.1 else f"{number:.2%}"  # so that a small share differs from its limit


def drift_findings(drifts: Sequence[Drift], drivers: Mapping[str, float], tr: Language) -> Iterator[Finding]:
    """Finds drift that matters.

    Args:
        drifts: All comparisons.
        drivers: The importance of each feature in the churn model; features are listed in this order.
        tr: The language of the texts.

    Yields:
        One finding for all drifted features together, if they matter to the model, and one for each drifted score.
    """
    moved = sorted((d for d in drifts if d.moved), key=lambda d: (-drivers.get(d.name, 0.0), -d.psi))
    features = [d for d in moved if d.what == "feature"]
    weight = drifted_driver_share(features, drivers)
    if features and weight >= WARNING_SHARE:
        first = "; ".join(_drift_text(d, tr) for d in features[:MAX_NAMED])
        text = tr(
            "Features with {share} of the model's importance have drifted compared with {reference}, more than by "
            "chance and more than usual between cutoffs: {first}.",
            share=format_share(weight),
            reference=features[0].reference,
            first=first,
        )
        title = tr.many("{n} feature has drifted", "{n} features have drifted", len(features))
        yield Finding("drift:features", "critical" if weight > CRITICAL_SHARE else "warning", title, text, "retrain")
    for d in (d for d in moved if d.what == "score"):
        text = tr("Compared with {reference}: {drift}.", reference=d.reference, drift=_drift_text(d, tr))
        yield Finding(
            f"drift:{d.name}", "warning", tr("The scores have drifted: {phrase}", phrase=d.phrase), text, "retrain"
        )


def _drift_text(d: Drift, tr: Language) -> str:
    size = tr(
        "population stability index {psi}, expected without drift up to {noise}",
        psi=f"{d.psi:.2f}",
        noise=f"{d.noise:.2f}",
    )
    if d.change is None:
        return tr("{phrase}: the shares of its values have changed ({size})", phrase=d.phrase, size=size)
    way = tr("higher") if d.change > 0 else tr("lower")
    return tr(
        "{phrase}: {way} by {change} standard deviations ({size})",
        phrase=d.phrase, way=way, change=f"{abs(d.change):.2f}", size=size,
    )  # fmt: skip


def segment_findings(
    rows: Sequence[Mapping[str, Any]], rules: MonitorConfig, before: date | None, tr: Language
) -> Iterator[Finding]:
    """Finds segments beyond the thresholds of the config.

    Args:
        rows: Customers, mean churn and mean value of each segment.
        rules: The [monitor] section with the thresholds.
        before: The previous scored cutoff; None if there is none.
        tr: The language of the texts.

    Yields:
        One finding for each threshold that is crossed.
    """
    for row in rows:
        name = row["segment"]
        segment = tr("all customers") if name == ALL_CUSTOMERS else tr(name)
        highest, least = rules.churn.get(name), rules.value.get(name)
        if highest is not None and row["churn"] > highest:
            text = tr(
                "Mean risk of {n} customers: {churn}{earlier}; the limit is {limit}.",
                churn=format_share(row["churn"]), limit=format_share(highest), n=f"{row['customers']:,}",
                earlier=_earlier_value(row["churn_before"], format_share, before, tr),
            )  # fmt: skip
            yield Finding(
                f"churn:{name}",
                "warning",
                tr("Risk of leaving is high: {segment}", segment=segment),
                text,
                "contact",
                name,
            )
        if least is not None and row["value"] is not None and row["value"] < least:
            text = tr(
                "Mean value of {n} customers: {value}{earlier}; the lower limit is {limit}.",
                value=format_money(row["value"], tr), limit=format_money(least, tr), n=f"{row['customers']:,}",
                earlier=_earlier_value(row["value_before"], partial(format_money, tr=tr), before, tr),
            )  # fmt: skip
            yield Finding(
                f"value:{name}", "warning", tr("Value is low: {segment}", segment=segment), text, "contact", name
            )


def value_at_risk_findings(
    rows: Sequence[Mapping[str, Any]], limits: Mapping[str, float], before: date | None, tr: Language
) -> Iterator[Finding]:
    """Finds segments whose total value at risk is above its limit.

    Args:
        rows: Customers and value at risk of each segment.
        limits: The highest value at risk by segment ([monitor] value_at_risk).
        before: The previous scored cutoff; None if there is none.
        tr: The language of the texts.

    Yields:
        One finding for each limit that is crossed.
    """
    for row in rows:
        name, at_risk = row["segment"], row.get("value_at_risk")
        if name not in limits or at_risk is None or at_risk <= limits[name]:
            continue
        text = tr(
            "Value at risk of {n} customers: {value}{earlier}; the limit is {limit}.",
            value=format_money(at_risk, tr), limit=format_money(limits[name], tr), n=f"{row['customers']:,}",
            earlier=_earlier_value(row.get("value_at_risk_before"), partial(format_money, tr=tr), before, tr),
        )  # fmt: skip
        segment = tr("all customers") if name == ALL_CUSTOMERS else tr(name)
        title = tr("Much value is at risk: {segment}", segment=segment)
        yield Finding(f"value_at_risk:{name}", "warning", title, text, "contact", name)


def _earlier_value(number: float | None, form: Any, before: date | None, tr: Language) -> str:
    return "" if number is None else tr(" ({number} at {cutoff})", number=form(number), cutoff=str(before))


def advise_when_to_train(
    findings: Sequence[Finding], cutoff: date, learned_until: date | None, every: timedelta
) -> list[Finding]:
    """Replaces advice to train by advice to wait while there is nothing new to learn.

    A model that was trained on the newest outcomes would be trained on the same again: new ones are worth a training
    when another training cutoff has matured.

    Args:
        findings: Problems of the model.
        cutoff: The monitored cutoff.
        learned_until: The end of the outcomes that the model learned from; None if unknown.
        every: The time between training cutoffs.

    Returns:
        The findings, in the same order.
    """
    if learned_until is None or cutoff >= learned_until + every:
        return list(findings)
    return [replace(f, action="wait") if f.action in ("retrain", "recalibrate") else f for f in findings]


def unusable_log_finding(empty: bool, tr: Language) -> Finding:
    """The finding for a log that cannot be used."""
    if empty:
        title, text = tr("The log arrived empty"), tr("It has no rows, so nothing could be compared.")
    else:
        title = tr("The log cannot be used")
        text = tr("It cannot be read or breaks its contract, so nothing could be compared.")
    return Finding("data:log", "critical", title, text, "data")
