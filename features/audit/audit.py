"""The audit of a log: what it holds, what was set aside and why, and every breach of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa

from features.audit.amounts import amount_notes
from features.audit.files import file_facts, file_lines, file_notes
from features.audit.id_notes import audit_ids
from features.audit.identity import identity_lines
from features.audit.side_tables import side_facts, side_lines, side_notes
from features.audit.subscriptions import (
    subscription_breaches,
    subscription_facts,
    subscription_lines,
    subscription_notes,
)
from features.catalog.families import catalog_features
from features.engines.base import Engine
from features.errors import DataError, printable
from features.intake import read_log
from features.intake.customer_table import customer_breaches, customer_facts, customer_lines, customer_notes
from features.intake.log import Business, Log, opened
from features.intake.tables import Tables
from features.intake.times import zone_notes
from features.label_delay import label_delay_note
from features.money import TICKS
from features.storage.atomic_files import write_text_atomically
from features.storage.json_files import document_text
from features.task import Task, Window

MAX_STRAY_SHARE = 0.01  # of the rows; a larger group far from the others is no mistake
LONG_GAP = Window(7)  # shorter runs without events are not reported


@dataclass(frozen=True)
class Audit:
    """What `regulars check` prints and writes: counts, spans, shares, and breaches in words.

    Attributes:
        rows_read: Rows of the source.
        rows: Usable rows.
        customers: Customers with a usable row.
        orders: Purchases.
        first, last: Days of the first and the last event.
        complete_until: First day about which nothing is known.
        net_amount: Sum of all amounts, in money; None without amounts.
        set_aside: Reason, rows and a few customers of the rows that were set aside.
        duplicate_rows: Rows that equal another in every column and are kept.
        duplicates_dropped: Such rows that were dropped.
        refund_rows_share: Share of the rows with a negative amount; None without amounts.
        refund_amount_share: Refunded share of the positive amounts; None without amounts.
        one_time_buyers_share: Share of the buyers with one purchase.
        late_rows: Rows that became known on a later day than they happened.
        gaps: The longest runs of days without any event: the first day without, and how many.
        months: Events, customers and net amount by month.
        sides: The tables beside the events (`side_tables.side_facts`).
        customer_table: The customer table (`customer_table.customer_facts`); None if there is none.
        files: The files of each section (`files.file_facts`).
        contracts: The terms (`subscriptions.subscription_facts`); None unless churn is 'cancelled'.
        breaches: What must be repaired before a model can be trusted; empty if the log keeps the contract.
        notes: What is worth knowing but stops nothing.
        fingerprint: Of the whole log.
        ids: What is odd about the ids (`id_notes.audit_ids`); None if they were not looked at.
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
    files: tuple[Mapping[str, Any], ...] = ()
    ids: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The audit as plain values, dates as ISO text."""
        return _plain(asdict(self))

    def to_pandas(self) -> Any:
        """The facts as a DataFrame with the columns `fact` and `value`; lists and tables are left out."""
        import pandas as pd

        facts = {name: value for name, value in self.to_dict().items() if not isinstance(value, list | dict)}
        return pd.DataFrame({"fact": list(facts), "value": list(facts.values())})


def audit_tables(tables: Tables, task: Task, engine: Engine) -> Audit:
    """Audits a whole log without changing it.

    Args:
        tables: The contract, read with all columns.
        task: Horizon, windows and what churn is.
        engine: Where the tables are.

    Returns:
        The audit.
    """
    tables = tables.recorded
    days = _rows_by_day(tables, engine)
    duplicates = engine.count_rows(tables.source) - engine.count_rows(tables.source.distinct())
    buyers = _buyers(tables, engine)
    customer_table, sides = customer_facts(tables, engine), side_facts(tables, engine)
    contracts = subscription_facts(tables, task, mature_cutoffs(tables, task), engine)
    return Audit(
        rows_read=tables.rows_read,
        rows=tables.rows,
        customers=tables.customers,
        orders=int(buyers["orders"] or 0),
        first=tables.first,
        last=tables.last,
        complete_until=tables.end,
        set_aside=tuple(asdict(aside) for aside in tables.set_aside),
        duplicate_rows=duplicates,
        duplicates_dropped=tables.duplicates_dropped,
        one_time_buyers_share=(buyers["once"] or 0) / max(buyers["buyers"], 1),
        gaps=tuple(_gaps(days)[:5]),
        months=tuple(_months(tables, engine)),
        customer_table=customer_table,
        contracts=contracts,
        breaches=tuple(find_breaches(tables, task, engine, days)),
        sides=sides,
        notes=(
            *_notes(tables, task, duplicates),
            *subscription_notes(contracts, tables),
            *customer_notes(customer_table),
            *side_notes(sides, tables, task),
        ),
        fingerprint=tables.fingerprint,
        **_event_totals(tables, engine),
    )


def _event_totals(tables: Tables, engine: Engine) -> dict[str, Any]:
    """The net amount and the shares of refunds (None without amounts), and how many rows became known late."""
    events = tables.events
    totals = _first_row(
        engine,
        events.aggregate(
            net=events.amount.sum().cast("float64") / TICKS,
            gross=events.amount.sum(where=events.amount > 0).cast("float64") / TICKS,
            refund_rows=(events.amount < 0).sum(),
            late=(events.seen > events.day).sum(),
        ),
    )
    has_amount, gross = tables.contract.has_amount, totals["gross"] or 0.0
    return {
        "net_amount": totals["net"] if has_amount else None,
        "refund_rows_share": totals["refund_rows"] / tables.rows if has_amount else None,
        "refund_amount_share": 1 - totals["net"] / gross if has_amount and gross else None,
        "late_rows": int(totals["late"] or 0),
    }


def _rows_by_day(tables: Tables, engine: Engine) -> pa.Table:
    """How many events each day has: day, rows; ascending."""
    events = tables.events
    return engine.to_arrow(events.group_by("day").aggregate(rows=events.count()).order_by("day"))


def check_log(business: Business) -> tuple[Audit, Path]:
    """Audits a config's log and writes the audit as JSON; returns the audit and the path of the file."""
    with opened(business) as log:
        report, target = _audit_log(log), log.config.output / "audit.json"
    write_text_atomically(target, document_text(report.to_dict(), sort_keys=False, ensure_ascii=False))
    return report, target


def _audit_log(log: Log) -> Audit:
    """Audits a log; one that comes from a database is read once more, with every column."""
    config, task, engine = log.config, log.config.task.to_task(), log.engine
    from_database = config.events.to_source("events").database
    tables = None if from_database else log.tables
    with engine.temporary_stages():
        tables = tables or read_log.read_tables(config, engine, all_columns=True)
        catalog_features(task, tables.contract)  # raises UsageError if two features have the same name
        report, ids = audit_tables(tables, task, engine), audit_ids(tables, config, engine)
        files, amounts = file_facts(config, tables, engine), amount_notes(config, tables, engine, report.duplicate_rows)
    zones = zone_notes(config.events, task.timezone, tables.contract.has_clock)
    notes = (*zones, *amounts, *report.notes, *file_notes(files), *ids.notes)
    return replace(report, files=files, ids=ids.facts, breaches=(*report.breaches, *ids.breaches), notes=notes)


def require_no_breach(tables: Tables, task: Task, engine: Engine) -> None:
    """Refuses a log that breaks the contract, at the first breach.

    Args:
        tables: The contract.
        task: Horizon, windows and what churn is.
        engine: Where the tables are.

    Raises:
        DataError: With the breach in words.
    """
    recorded = tables.recorded
    for breach in find_breaches(recorded, task, engine, _rows_by_day(recorded, engine)):
        raise DataError(breach)


def mature_cutoffs(tables: Tables, task: Task) -> list[date]:
    """Every mature cutoff that models can learn from, ascending."""
    return task.mature_cutoffs(tables.first, tables.labels_end)


def with_too_long_windows(tables: Tables, task: Task) -> Tables:
    """The tables with a contract that lists the task's windows longer than the whole log."""
    span = (tables.end - tables.first).days
    too_long = tuple(w.days for w in task.windows if w.days > span)
    return replace(tables, contract=replace(tables.contract, windows_beyond_log=too_long))


def find_breaches(tables: Tables, task: Task, engine: Engine, days: pa.Table) -> list[str]:
    """Every breach of the contract, in words.

    These are an output with ids of an earlier rule, stray dates, no purchase, a log shorter than the horizon, no
    cancellation, or several rows a customer.

    Args:
        tables: The contract.
        task: Horizon, windows and what churn is.
        engine: Where the tables are.
        days: Columns day and rows (events of the day), ascending.

    Returns:
        One sentence a breach.
    """
    breaches = [*([tables.earlier_ids] if tables.earlier_ids else []), *_stray_dates(days, task)]
    span, waits = (tables.labels_end - tables.first).days, tables.label_delay.wait
    if span <= task.horizon.days:
        late = f", without {waits} days whose rows may still arrive ([task] label_delay)," if waits else ""
        breaches.append(
            f"the log spans {span} days ({tables.first} to {tables.labels_end}){late} but [task] horizon is "
            f"{task.horizon}: no label can mature; provide a longer log or set a horizon below {span}d"
        )
    if tables.contract.has_amount and not engine.count_rows(tables.events.filter(tables.events.amount > 0)):
        breaches.append("no row has a positive amount, so there is no purchase to predict; check [events] amount")
    return [*breaches, *subscription_breaches(tables, task, engine), *customer_breaches(tables, engine)]


def _stray_dates(days: pa.Table, task: Task) -> list[str]:
    """A few rows far from all others: mostly mistyped dates, which would move the end of the log."""
    breaches, total, count_so_far = [], sum(days["rows"].to_pylist()), 0
    dates, rows = days["day"].to_pylist(), days["rows"].to_pylist()
    for before, after, count in zip(dates, dates[1:], rows, strict=False):
        count_so_far += count
        if (after - before).days <= max(task.horizon.days, 30):
            continue
        if total - count_so_far < MAX_STRAY_SHARE * total:
            breaches.append(
                f"{total - count_so_far:,} of {total:,} rows are dated {after} or later, {(after - before).days} days "
                "after all others: mistyped or future dates? To set them aside, set [events] until = "
                f'"{_day_after(before)}"'
            )
            break
        if count_so_far < MAX_STRAY_SHARE * total:
            breaches.append(
                f"{count_so_far:,} of {total:,} rows are dated {before} or earlier, {(after - before).days} days "
                "before all others: mistyped dates? Filter them in [events] query"
            )
    return breaches


def _notes(tables: Tables, task: Task, duplicates: int) -> list[str]:
    """What is worth knowing about the events."""
    notes = []
    if duplicates:
        notes.append(
            f"{duplicates:,} rows equal another row in every column; they are kept "
            '(drop them with [events] duplicates = "drop", or set [events] id)'
        )
    span = (tables.end - tables.first).days
    if too_long := [str(w) for w in task.windows if w.days > span]:
        one = len(too_long) == 1
        notes.append(
            f"the window{'' if one else 's'} {', '.join(too_long)} {'is' if one else 'are'} longer than the log "
            f"({span} days): {'its' if one else 'their'} features are null"
        )
    if not tables.contract.has_amount and not tables.contract.price_days:
        notes.append("the log has no amounts: churn can be predicted, value cannot")
    count = len(mature_cutoffs(tables, task))
    notes.append(f"{count} dates, {task.every} apart, have an outcome that is known and can be learned from")
    return [*notes, *label_delay_note(tables.label_delay, tables.end, task.horizon)]


def _buyers(tables: Tables, engine: Engine) -> dict[str, Any]:
    """How many customers bought, how many of them once, and how many purchases there are."""
    events = tables.events
    orders = events.group_by("customer_id", "order_id").aggregate(net=events.amount.sum())
    purchases = orders.filter(orders.net > 0) if tables.contract.has_amount else orders
    buyers = purchases.group_by("customer_id").aggregate(n=purchases.count())
    return _first_row(
        engine, buyers.aggregate(buyers=buyers.count(), once=(buyers.n == 1).sum(), orders=buyers.n.sum())
    )


def _months(tables: Tables, engine: Engine) -> list[dict[str, Any]]:
    """Events, customers and net amount by month."""
    events = tables.events.mutate(month=tables.events.day.truncate("M"))
    rows = events.group_by("month").aggregate(
        events=events.count(),
        customers=events.customer_id.nunique(),
        net_amount=events.amount.sum().cast("float64") / TICKS,
    )
    return [{**row, "month": f"{row['month']:%Y-%m}"} for row in engine.to_arrow(rows.order_by("month")).to_pylist()]


def _gaps(days: pa.Table) -> list[dict[str, Any]]:
    """Runs of a week or more without any event, the longest first."""
    dates = days["day"].to_pylist()
    runs = [
        {"from": _day_after(before), "days": (after - before).days - 1}
        for before, after in zip(dates, dates[1:], strict=False)
        if (after - before).days > LONG_GAP.days
    ]
    return sorted(runs, key=lambda run: -run["days"])


def _day_after(day: date) -> date:
    """The next day."""
    return Window(1).after(day)[1]


def _first_row(engine: Engine, expr: ibis.Table) -> dict[str, Any]:
    """The first row of an expression."""
    return engine.to_arrow(expr).to_pylist()[0]


def _plain(value: Any) -> Any:
    """Values as JSON can hold them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def audit_text(report: Audit) -> str:
    """The audit as text for a terminal."""
    money = report.net_amount is not None
    only_terms = report.contracts is not None and report.contracts["only_terms"]
    one_time_buyers = "" if only_terms else f", {report.one_time_buyers_share:.1%} of buyers bought once"
    lines = [
        f"rows           {report.rows:,} usable of {report.rows_read:,} read",
        f"customers      {report.customers:,}{one_time_buyers}",
        *([] if only_terms else [f"purchases      {report.orders:,} orders"]),
        f"span           {report.first} to {report.last}, complete until {report.complete_until}",
    ]
    if money:
        refunds = f"{report.refund_rows_share:.2%} of rows, {report.refund_amount_share or 0:.2%} of money"
        lines += [f"net amount     {report.net_amount:,.2f}", f"refunds        {refunds}"]
    aside = report.set_aside or ({"reason": "none", "rows": 0, "customers": []},)
    for n, row in enumerate(aside):
        named = ", ".join(printable(customer, keep="") for customer in row["customers"])
        ids = f" (customers such as {named})" if named else ""
        lines.append(f"{'set aside' if not n else '':<15}{row['reason']}: {row['rows']:,}{ids}")
    lines.append(f"duplicates     {report.duplicate_rows:,} kept, {report.duplicates_dropped:,} dropped")
    if report.late_rows:
        lines.append(f"late rows      {report.late_rows:,} became known on a later day than they happened")
    gaps = ", ".join(f"{gap['days']} days from {gap['from']}" for gap in report.gaps)
    lines += [f"gaps           {gaps or 'no week without events'}"]
    lines += subscription_lines(report.contracts)
    lines += [*customer_lines(report.customer_table), *side_lines(report.sides)]
    lines += [*identity_lines(report.ids), *file_lines(report.files)]
    lines += [
        "",
        f"{'month':<9}{'terms begun' if only_terms else 'events':>12}{'customers':>12}"
        + (f"{'net amount':>18}" if money else ""),
    ]
    most = max(month["events"] for month in report.months)
    for month in report.months:
        net = f"{month['net_amount']:>18,.2f}" if money else ""
        bar = "█" * round(20 * month["events"] / most)
        lines.append(f"{month['month']:<9}{month['events']:>12,}{month['customers']:>12,}{net}  {bar}")
    lines += ["", *(f"note: {note}" for note in report.notes), *(f"BREACH: {breach}" for breach in report.breaches)]
    return "\n".join(lines)
