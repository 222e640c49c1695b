"""The data contract's audit: what a log holds, what was set aside and why, every breach that would mislead a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa

from features.atomic_files import write_whole
from features.audit.side_tables import side_facts, side_lines, side_notes
from features.audit.subscriptions import (
    subscription_breaches,
    subscription_facts,
    subscription_lines,
    subscription_notes,
)
from features.catalog.families import catalog_features
from features.config.load import Config
from features.engines.base import Engine
from features.engines.open import open_engine
from features.errors import DataError
from features.intake import read_log
from features.intake.customer_table import customer_breaches, customer_facts, customer_lines, customer_notes
from features.intake.tables import Tables
from features.money import TICKS
from features.task import Task, Window

MAX_STRAY_SHARE = 0.01
LONG_GAP = Window(7)


@dataclass(frozen=True)
class Audit:
    """What `regulars check` prints and writes: counts, spans, shares, and breaches in words.

    Attributes:
        gaps: The longest runs of days without any event: (first day without, days).
        months: Events, orders, customers and net amount by month.
        sides: The tables beside the events (`sides_audit.side_facts`).
        customer_table: What the table of customers holds (`customers.customer_facts`), or None where there is none.
        contracts: What the terms come to (`terms.contract_facts`), or None where churn is not 'cancelled'.
        breaches: What must be mended before a model can be trusted; empty if the log keeps the contract.
        notes: What is worth knowing and stops nothing.
    """

    rows_read: int
    rows: int
    customers: int
    orders: int
    first: date
    last: date
    complete_until: date
    net_amount: float | None
    set_aside: tuple[dict[str, Any], ...]
    duplicate_rows: int
    duplicates_dropped: int
    refund_rows_share: float | None
    refund_amount_share: float | None
    one_time_buyers_share: float
    late_rows: int
    gaps: tuple[dict[str, Any], ...]
    months: tuple[dict[str, Any], ...]
    sides: tuple[Mapping[str, Any], ...]
    customer_table: Mapping[str, Any] | None
    contracts: Mapping[str, Any] | None
    breaches: tuple[str, ...]
    notes: tuple[str, ...]
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """The audit as plain values, dates as ISO text."""
        return _plain(asdict(self))


def audit_tables(tables: Tables, task: Task, engine: Engine) -> Audit:
    """Looks at a whole log; reads it, changes nothing."""
    e = tables.events
    facts = _one(
        engine,
        e.aggregate(
            net=e.amount.sum().cast("float64") / TICKS,
            gross=e.amount.sum(where=e.amount > 0).cast("float64") / TICKS,
            refund_rows=(e.amount < 0).sum(),
            late=(e.seen > e.day).sum(),
        ),
    )
    days = engine.arrow(e.group_by("day").aggregate(rows=e.count()).order_by("day"))
    duplicates = tables.rows_read - tables.duplicates_dropped - engine.count(tables.source.distinct())
    money = tables.contract.has_amount
    buyers = _buyers(tables, engine)
    gross, table, beside = facts["gross"] or 0.0, customer_facts(tables, engine), side_facts(tables, engine)
    contracts = subscription_facts(tables, task, mature_cutoffs(tables, task), engine)
    return Audit(
        rows_read=tables.rows_read,
        rows=tables.rows,
        customers=tables.customers,
        orders=int(buyers["orders"] or 0),
        first=tables.first,
        last=tables.last,
        complete_until=tables.end,
        net_amount=facts["net"] if money else None,
        set_aside=tuple(asdict(aside) for aside in tables.set_aside),
        duplicate_rows=duplicates,
        duplicates_dropped=tables.duplicates_dropped,
        refund_rows_share=facts["refund_rows"] / tables.rows if money else None,
        refund_amount_share=1 - facts["net"] / gross if money and gross else None,
        one_time_buyers_share=(buyers["once"] or 0) / max(buyers["buyers"], 1),
        late_rows=int(facts["late"] or 0),
        gaps=tuple(_gaps(days)[:5]),
        months=tuple(_months(tables, engine)),
        customer_table=table,
        contracts=contracts,
        breaches=tuple(find_breaches(tables, task, engine, days)),
        sides=beside,
        notes=(
            *_notes(tables, task, duplicates),
            *subscription_notes(contracts, tables),
            *customer_notes(table),
            *side_notes(beside, tables, task),
        ),
        fingerprint=tables.fingerprint,
    )


def check_log(config: Config) -> tuple[Audit, Path]:
    """Audits the log of a config and writes the audit as JSON; returns it and where it was written."""
    task = config.task.task()
    with open_engine(config.engine, config.folder) as engine:
        tables = read_log.read_tables(config, engine, whole=True)
        catalog_features(task, tables.contract)  # refuses features of the same name
        report = audit_tables(tables, task, engine)
    target = config.output / "audit.json"
    write_whole(target, json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n")
    return report, target


def require_no_breach(tables: Tables, task: Task, engine: Engine) -> None:
    """Stops on the first breach of the contract.

    Raises:
        DataError: With the breach in words.
    """
    e = tables.events
    days = engine.arrow(e.group_by("day").aggregate(rows=e.count()).order_by("day"))
    for breach in find_breaches(tables, task, engine, days):
        raise DataError(breach)


def mature_cutoffs(tables: Tables, task: Task) -> list[date]:
    """Every mature cutoff to learn from, ascending."""
    return task.mature_cutoffs(tables.first, tables.end)


def with_too_long_windows(tables: Tables, task: Task) -> Tables:
    """The tables, their contract told which windows of a task are longer than the whole log."""
    span = (tables.end - tables.first).days
    beyond = tuple(w.days for w in task.windows if w.days > span)
    return replace(tables, contract=replace(tables.contract, beyond=beyond))


def find_breaches(tables: Tables, task: Task, engine: Engine, days: pa.Table) -> list[str]:
    """Every breach of the contract, in words: stray dates, no purchase, a short log, several rows a customer."""
    found = _stray(days, task)
    span = (tables.end - tables.first).days
    if span <= task.horizon.days:
        found.append(
            f"the log spans {span} days ({tables.first} to {tables.end}) but [task] horizon is {task.horizon}: "
            f"no label can mature; give a longer log or a horizon below {span}d"
        )
    if tables.contract.has_amount and not engine.count(tables.events.filter(tables.events.amount > 0)):
        found.append("no row has a positive amount, so there is no purchase to predict; check [events] amount")
    return [*found, *subscription_breaches(tables, task, engine), *customer_breaches(tables, engine)]


def _stray(days: pa.Table, task: Task) -> list[str]:
    """A few rows far from all others are most often mistyped dates, and would move the end of the log."""
    found, total, seen = [], sum(days["rows"].to_pylist()), 0
    dates, rows = days["day"].to_pylist(), days["rows"].to_pylist()
    for before, after, count in zip(dates, dates[1:], rows, strict=False):
        seen += count
        if (after - before).days <= max(task.horizon.days, 30):
            continue
        if total - seen < MAX_STRAY_SHARE * total:
            found.append(
                f"{total - seen:,} of {total:,} rows are dated {after} or later, {(after - before).days} days after "
                f'all others: mistyped or future dates? Set [events] until = "{_next(before)}" to set them aside'
            )
            break
        if seen < MAX_STRAY_SHARE * total:
            found.append(
                f"{seen:,} of {total:,} rows are dated {before} or earlier, {(after - before).days} days before all "
                "others: mistyped dates? Filter them in [events] query"
            )
    return found


def _notes(tables: Tables, task: Task, duplicates: int) -> list[str]:
    notes = []
    if duplicates:
        notes.append(
            f"{duplicates:,} rows equal another in every column; they are kept "
            '(drop them with [events] duplicates = "drop", or name an event id)'
        )
    span = (tables.end - tables.first).days
    if beyond := [str(w) for w in task.windows if w.days > span]:
        one = len(beyond) == 1
        notes.append(
            f"the window{'' if one else 's'} {', '.join(beyond)} {'is' if one else 'are'} longer than the log "
            f"({span} days): {'its' if one else 'their'} features are null"
        )
    if not tables.contract.has_amount and not tables.contract.price_days:
        notes.append("the log has no amounts: churn can be predicted, value cannot")
    count = len(mature_cutoffs(tables, task))
    notes.append(f"{count} dates, {task.every} apart, have an outcome that is known and can be learned from")
    return notes


def _buyers(tables: Tables, engine: Engine) -> dict[str, Any]:
    e = tables.events
    orders = e.group_by("customer_id", "order_id").aggregate(net=e.amount.sum())
    bought = orders.filter(orders.net > 0) if tables.contract.has_amount else orders
    each = bought.group_by("customer_id").aggregate(n=bought.count())
    return _one(engine, each.aggregate(buyers=each.count(), once=(each.n == 1).sum(), orders=each.n.sum()))


def _months(tables: Tables, engine: Engine) -> list[dict[str, Any]]:
    e = tables.events.mutate(month=tables.events.day.truncate("M"))
    rows = e.group_by("month").aggregate(
        events=e.count(), customers=e.customer_id.nunique(), net_amount=e.amount.sum().cast("float64") / TICKS
    )
    return [{**row, "month": f"{row['month']:%Y-%m}"} for row in engine.arrow(rows.order_by("month")).to_pylist()]


def _gaps(days: pa.Table) -> list[dict[str, Any]]:
    """Runs of a week or more without any event, longest first."""
    dates = days["day"].to_pylist()
    runs = [
        {"from": _next(before), "days": (after - before).days - 1}
        for before, after in zip(dates, dates[1:], strict=False)
        if (after - before).days > LONG_GAP.days
    ]
    return sorted(runs, key=lambda run: -run["days"])


def _next(day: date) -> date:
    return Window(1).after(day)[1]


def _one(engine: Engine, expr: ibis.Table) -> dict[str, Any]:
    return engine.arrow(expr).to_pylist()[0]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def audit_text(report: Audit) -> str:
    """The audit as text for a terminal."""
    money = report.net_amount is not None
    alone = report.contracts is not None and report.contracts["only_terms"]
    once = "" if alone else f", {report.one_time_buyers_share:.1%} of buyers bought once"
    lines = [
        f"rows           {report.rows:,} usable of {report.rows_read:,} read",
        f"customers      {report.customers:,}{once}",
        *([] if alone else [f"purchases      {report.orders:,} orders"]),
        f"span           {report.first} to {report.last}, complete until {report.complete_until}",
    ]
    if money:
        refunds = f"{report.refund_rows_share:.2%} of rows, {report.refund_amount_share or 0:.2%} of money"
        lines += [f"net amount     {report.net_amount:,.2f}", f"refunds        {refunds}"]
    aside = report.set_aside or ({"reason": "none", "rows": 0, "customers": []},)
    for n, row in enumerate(aside):
        ids = f" (customers such as {', '.join(row['customers'])})" if row["customers"] else ""
        lines.append(f"{'set aside' if not n else '':<15}{row['reason']}: {row['rows']:,}{ids}")
    lines.append(f"duplicates     {report.duplicate_rows:,} kept, {report.duplicates_dropped:,} dropped")
    if report.late_rows:
        lines.append(f"late rows      {report.late_rows:,} became known on a later day than they happened")
    gaps = ", ".join(f"{gap['days']} days from {gap['from']}" for gap in report.gaps)
    lines += [f"gaps           {gaps or 'no week without events'}"]
    lines += subscription_lines(report.contracts)
    lines += [*customer_lines(report.customer_table), *side_lines(report.sides)]
    lines += [
        "",
        f"{'month':<9}{'terms begun' if alone else 'events':>12}{'customers':>12}"
        + (f"{'net amount':>18}" if money else ""),
    ]
    most = max(month["events"] for month in report.months)
    for month in report.months:
        net = f"{month['net_amount']:>18,.2f}" if money else ""
        bar = "█" * round(20 * month["events"] / most)
        lines.append(f"{month['month']:<9}{month['events']:>12,}{month['customers']:>12,}{net}  {bar}")
    lines += ["", *(f"note: {note}" for note in report.notes), *(f"BREACH: {breach}" for breach in report.breaches)]
    return "\n".join(lines)
