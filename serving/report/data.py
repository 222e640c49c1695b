"""The section on data: the results of the data check and of monitoring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from serving.charts import Column, columns, drift_charts
from serving.language.messages import N_
from serving.monitoring.text import monitoring_verdict
from serving.report.inputs import ReportInputs
from serving.report.text import ReportWording

MONTHS, MOVED, DRAWN = 12, 8, 4
REASONS = (  # why a row is set aside, as `features.intake.read_log` writes it
    N_("missing customer"),
    N_("missing time"),
    N_("unreadable time"),
    N_("unreadable known_at"),
    N_("on or after until"),
    N_("missing amount"),
    N_("unreadable amount"),
    N_("infinite amount"),
    N_("amount beyond 1e12"),
    N_("repeated event id"),
)
Facts = Mapping[str, Any]


def data_section(wording: ReportWording, inputs: ReportInputs) -> dict[str, Any]:
    """Prepare the results of the data check and of monitoring, or what is missing."""
    audit, monitored = inputs.audit.content, inputs.monitor.content
    other_data = bool(audit) and audit["fingerprint"] != inputs.scores.manifest.data_fingerprint
    return {
        "gap": inputs.audit.gap,
        "other_data": other_data,
        "breaches": list(audit["breaches"]) if audit else [],
        "rows": _rows(wording, audit) if audit else "",
        "lines": list(_lines(wording, audit)) if audit else [],
        "notes": list(audit["notes"]) if audit else [],
        "months": _months(wording, audit["months"]) if audit else "",
        "monitor_gap": inputs.monitor.gap,
        "alerts": [_alert(wording, alert) for alert in monitored["alerts"]] if monitored else [],
        "checks": [_watched(wording, row) for row in monitored["data"]] if monitored else [],
        "verdict": monitoring_verdict(monitored, wording.tr) if monitored else "",
        "drift": list(_moved(wording, monitored["drift"])) if monitored else [],
        "distributions": drift_charts(monitored["drift"], wording.tr, DRAWN) if monitored else [],
        "remarks": list(monitored.get("notes", [])) if monitored else [],
    }


def _lines(wording: ReportWording, audit: Facts) -> Iterator[str]:
    """Put the data check into sentences."""
    tr, form = wording.tr, wording.form
    for row in audit["set_aside"]:
        text = tr("Set aside: {rows} rows, {reason}", rows=f"{row['rows']:,}", reason=wording.name(row["reason"]))
        ids = ", ".join(row["customers"])
        yield tr("{text} (customers such as {ids}).", text=text, ids=ids) if ids else f"{text}."
    if audit["duplicate_rows"] or audit["duplicates_dropped"]:
        yield tr(
            "Rows identical to another row: {kept} kept, {dropped} dropped.",
            kept=f"{audit['duplicate_rows']:,}", dropped=f"{audit['duplicates_dropped']:,}",
        )  # fmt: skip
    if audit["refund_rows_share"]:
        rows, money = form.share(audit["refund_rows_share"]), audit["refund_amount_share"]
        if money is None:
            yield tr("Refunds: {rows} of rows.", rows=rows)
        else:
            yield tr("Refunds: {rows} of rows, {money} of money.", rows=rows, money=form.share(money))
    if not _only_terms(audit):
        yield tr("{share} of the buyers bought only once.", share=form.share(audit["one_time_buyers_share"]))
    if audit["late_rows"]:
        yield tr("{n} rows became known only on a later day.", n=f"{audit['late_rows']:,}")
    yield from _outcomes(wording, audit)
    for gap in audit["gaps"]:
        yield tr("No events for {days} days from {day}.", days=gap["days"], day=gap["from"])


def _rows(wording: ReportWording, audit: Facts) -> str:
    tr, contracts = wording.tr, audit["contracts"]
    slots = {name: f"{audit[name]:,}" for name in ("rows_read", "rows", "customers", "orders")}
    slots |= {"first": audit["first"], "last": audit["last"]}
    if not contracts:
        return tr(
            "{rows_read} rows read, {rows} used: {customers} customers, {orders} orders, from {first} to {last}.",
            **slots,
        )
    slots["terms"] = f"{contracts['terms']:,}"
    if _only_terms(audit):
        return tr(
            "{rows_read} rows read, {rows} used: {customers} customers, {terms} contract terms, from {first} to "
            "{last}.",
            **slots,
        )
    return tr(
        "{rows_read} rows read, {rows} used: {customers} customers, {terms} contract terms, {orders} orders, "
        "from {first} to {last}.",
        **slots,
    )


def _only_terms(audit: Facts) -> bool:
    return bool(audit["contracts"] and audit["contracts"]["only_terms"])


def _outcomes(wording: ReportWording, audit: Facts) -> Iterator[str]:
    for row in audit["contracts"]["outcomes"] if audit["contracts"] else ():
        yield wording.tr(
            "At {cutoff}: {customers} customers with a running contract; {cancelled} cancelled within {days} "
            "days; {competing} ended in another way, which is not churn.",
            cutoff=row["cutoff"], customers=f"{row['customers']:,}", cancelled=f"{row['cancelled']:,}",
            competing=f"{row['competing']:,}", days=wording.days,
        )  # fmt: skip


def _months(wording: ReportWording, months: Sequence[Facts]) -> Markup | str:
    """Draw the rows of the log by month, the newest months only."""
    newest = months[-MONTHS:]
    if len(newest) < 2:
        return ""
    details = ", ".join(f"{row['month']}: {row['events']:,}" for row in newest)
    bars = [
        Column(str(row["month"])[2:], int(row["events"]), wording.tr(
            "{month}: {n} rows", month=row["month"], n=f"{row['events']:,}"
        ))
        for row in newest
    ]  # fmt: skip
    alt = wording.tr("Rows of the log by month. {details}.", details=details)
    return columns(alt, bars, wording.tr("rows of the log by month (year-month)"))


def _alert(wording: ReportWording, alert: Facts) -> dict[str, str]:
    return {
        "severity": wording.severity(str(alert.get("severity", "info"))),
        "grave": str(alert.get("severity", "")),
        "title": str(alert.get("title", "")),
        "text": str(alert.get("text", "")),
        "since": str(alert.get("since") or ""),
        "todo": str(alert.get("todo", "")),
    }


def _watched(wording: ReportWording, row: Facts) -> dict[str, Any]:
    ends = [row.get("low"), row.get("high")]
    known = all(isinstance(end, int | float) for end in ends)
    write = _share if row.get("share") else _number
    return {
        "name": str(row.get("phrase") or wording.name(str(row["name"]))),
        "value": write(row.get("value")),
        "usual": wording.tr("{low} to {high}", low=write(ends[0]), high=write(ends[1])) if known else "–",
        "ok": bool(row.get("ok")),
        "word": wording.tr("● as usual") if row.get("ok") else wording.tr("▲ unusual"),
        "note": str(row.get("note") or ""),
    }


def _number(value: Any) -> str:
    """Format a number; other values become text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "–" if value is None else str(value)


def _share(value: Any) -> str:
    """Format a share in per cent."""
    return f"{value:.1%}" if isinstance(value, int | float) else _number(value)


def _moved(wording: ReportWording, drift: Sequence[Facts]) -> Iterator[str]:
    """Name the features with data drift beyond random variation, the strongest drift first."""
    moved = [row for row in drift if row.get("moved")]
    for row in sorted(moved, key=lambda row: (-float(row.get("psi") or 0.0), str(row.get("name"))))[:MOVED]:
        name = str(row.get("phrase") or row.get("name"))
        yield wording.tr(
            "{name}: data drift (population stability index {psi}; random variation alone reaches {noise})",
            name=name, psi=_number(row.get("psi")), noise=_number(row.get("noise")),
        )  # fmt: skip
