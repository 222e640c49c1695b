"""Features and mature labels for many cutoffs, or features alone for scoring; the only module with a time predicate.

A row is visible at a cutoff when it happened and became known before it. Both clocks are read in whole UTC days
and a cutoff is a midnight, so `seen < cutoff` says it all. The build goes in stored stages: orders, orders visible
at each cutoff, sums a pane (the smallest window that holds the order), and panes added up to windows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.dataset as ds
from tqdm import tqdm

from features.catalog import catalog
from features.config import Config
from features.engine import Engine, open_engine
from features.errors import UsageError
from features.feature import Feature, root
from features.files import file_in_place, folder_in_place
from features.intake import Tables, load
from features.labels import label_columns, labels
from features.measures import DAY_MEASURES, Measure, order_measures
from features.schema import mature_cutoffs, require
from features.task import Task, Window
from features.windowed import YEAR

KEYS = ("customer_id", "cutoff")
GRACE = Window(7)


@dataclass(frozen=True)
class Snapshots:
    """One row a customer and cutoff: customer_id, cutoff, the features, then churned and value where asked for.

    Attributes:
        rows: Sorted by cutoff and customer_id; features are float64; labels are null where immature.
        features: The features, in the order of their columns.
        task: The task they belong to.
        fingerprint: Of the data, the task and the catalog.
        data_fingerprint: Of the data alone.
        end: First day about which the log says nothing: the newest cutoff that can be scored.
    """

    rows: pa.Table
    features: tuple[Feature, ...]
    task: Task
    fingerprint: str
    data_fingerprint: str
    end: date

    @property
    def names(self) -> list[str]:
        """The feature columns."""
        return [feature.name for feature in self.features]


def build(
    tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine, *, with_labels: bool = True
) -> Snapshots:
    """Features, and labels where asked for, of every cohort.

    Args:
        tables: The contract.
        task: Horizon, cohort and windows.
        cutoffs: When; need not be sorted.
        engine: Where it runs.
        with_labels: Whether churned and value are wanted; they are null where they are not mature.

    Raises:
        UsageError: A cutoff lies outside the log.
    """
    features, rows = plan(tables, task, cutoffs, engine, with_labels=with_labels)
    return Snapshots(
        rows=engine.arrow(rows),
        features=features,
        task=task,
        fingerprint=_fingerprint(tables, task, features),
        data_fingerprint=tables.fingerprint,
        end=tables.end,
    )


def plan(
    tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine, *, with_labels: bool = True
) -> tuple[tuple[Feature, ...], ibis.Table]:
    """The features of `build`, and the expression of its rows: stages are run and stored, the rows not yet."""
    _refuse_outside(tables, cutoffs)
    features = catalog(task, tables.kinds, tables.has_amount, tables.has_quantity, tables.has_clock)
    moments = engine.load("cutoffs", pa.table({"cutoff": pa.array(sorted(set(cutoffs)), pa.date32())}))
    steps = tqdm(total=5 + len(tables.kinds), desc="features", leave=False, disable=None)

    def stage(name: str, expr: ibis.Table) -> ibis.Table:
        stored = engine.store(name, expr)
        steps.update()
        return stored

    orders = stage("orders", _orders(tables))
    visible = stage("visible", _visible(orders, moments, task, tables.has_amount))
    days = stage("days", _purchase_days(visible))
    measures = order_measures(tables.has_amount, tables.has_quantity)
    sums = stage("sums", _by_window(visible, measures, task.windows))
    wide = _join(_rhythm(days), sums)
    wide = _join(wide, _by_window(days, DAY_MEASURES, task.windows))
    wide = _join(wide, _year_ago(visible, task))
    for kind in tables.kinds:
        wide = _join(wide, stage(f"kind_{kind}", _kinds(tables, kind, moments, task)))
    cohort = wide.filter(wide.recency <= task.cohort.active_within.days)
    return features, _final(cohort, features, orders, moments, task, tables, with_labels)


def from_config(config: Config, cutoffs: Sequence[date] | None = None, *, with_labels: bool = True) -> Snapshots:
    """Reads a config's log and builds its snapshots, in one call.

    Args:
        config: The business.
        cutoffs: When; by default every mature cutoff that can be learned from.
        with_labels: Whether churned and value are wanted.

    Raises:
        DataError: The log breaks its contract.
        UsageError: A cutoff lies outside the log.
    """
    with _opened(config, cutoffs) as (engine, tables, wanted):
        return build(tables, config.task.task(), wanted, engine, with_labels=with_labels)


def build_file(config: Config, cutoffs: Sequence[date], out: Path) -> tuple[int, int]:
    """Builds snapshots of a config's log into Parquet, without collecting them; returns their rows and columns.

    DuckDB writes one file, Spark a folder of parts. It is there whole or not at all.

    Raises:
        DataError: The log breaks its contract.
        UsageError: A cutoff lies outside the log, or the place cannot be written to.
    """
    with _opened(config, cutoffs) as (engine, tables, wanted):
        _, rows = plan(tables, config.task.task(), wanted, engine)
        with (folder_in_place if engine.writes_folders else file_in_place)(out) as beside:
            engine.write(rows, beside)
    written = ds.dataset(out, format="parquet")
    return written.count_rows(), len(written.schema)


@contextmanager
def _opened(config: Config, cutoffs: Sequence[date] | None) -> Iterator[tuple[Engine, Tables, Sequence[date]]]:
    """An engine, a config's log in it, and the cutoffs: by default every mature one that can be learned from."""
    task = config.task.task()
    with open_engine(config.engine, config.folder) as engine:
        tables = load(config, engine)
        require(tables, task, engine)
        yield engine, tables, mature_cutoffs(tables, task) if cutoffs is None else cutoffs


def _orders(tables: Tables) -> ibis.Table:
    """The part of an order that happened, and became known, on one day: it never straddles a cutoff."""
    e = tables.events
    return e.group_by("customer_id", "order_id", "day", "seen").aggregate(
        amount=e.amount.sum().fill_null(0).cast("int64"),
        refund=(-ibis.least(e.amount, 0)).sum().fill_null(0).cast("int64"),
        quantity=e.quantity.sum().fill_null(0).cast("int64"),
        lines=e.count(),
        time=e.time.min(),
    )


def _visible(orders: ibis.Table, moments: ibis.Table, task: Task, has_amount: bool) -> ibis.Table:
    """Orders as they stood at each cutoff, with age in days, pane, and whether they are purchases."""
    past = orders.join(moments, orders.seen < moments.cutoff)
    whole = past.group_by("customer_id", "cutoff", "order_id").aggregate(
        day=past.day.min(),
        hour=past.time.min().hour().cast("int64"),
        **{name: past[name].sum().cast("int64") for name in ("amount", "refund", "quantity", "lines")},
    )
    return _aged(whole, task).mutate(purchase=(whole.amount > 0) if has_amount else ibis.literal(True))


def _aged(rows: ibis.Table, task: Task) -> ibis.Table:
    """Adds age (days before the cutoff, from 1) and pane (the first window, counted from 0, that holds it)."""
    age = rows.cutoff.delta(rows.day, unit="day").cast("int64")
    return rows.mutate(age=age, pane=_pane(age, task))


def _pane(age: ibis.Value, task: Task) -> ibis.Value:
    tests = [(age <= w.days, ibis.literal(place, "int8")) for place, w in enumerate(task.windows)]
    return ibis.cases(*tests, else_=ibis.literal(len(task.windows), "int8"))


def _purchase_days(visible: ibis.Table) -> ibis.Table:
    """One row a day with a purchase: its spend, and the gap to the one before (null for the first)."""
    bought = visible.filter(visible.purchase)
    days = bought.group_by("customer_id", "cutoff", "day", "age", "pane").aggregate(spend=bought.amount.sum())
    order = ibis.window(group_by=KEYS, order_by=days.day)
    return days.mutate(
        spend=days.spend.cast("int64"),
        gap=(days.age.lag().over(order) - days.age).cast("int64"),
        place=ibis.row_number().over(ibis.window(group_by=KEYS, order_by=days.day.desc())),
    )


def _rhythm(days: ibis.Table) -> ibis.Table:
    """Recency, tenure and the gaps between days with a purchase; one row a customer with any purchase."""
    last = days.place == 0
    sums = days.group_by(KEYS).aggregate(
        recency=days.age.min(),
        tenure=days.age.max(),
        last_spend=days.spend.max(where=last),
        gaps=days.gap.count(),
        gap_sum=days.gap.sum().cast("int64"),
        gap_squares=(days.gap * days.gap).sum().cast("int64"),
        gap_median=days.gap.median().cast("float64"),
        gap_last=days.gap.max(where=last),
        gap_max=days.gap.max(),
    )
    mean = sums.gap_sum / sums.gaps.nullif(0)
    variance = (sums.gap_squares - sums.gap_sum * mean) / (sums.gaps - 1).nullif(0)
    return sums.mutate(gap_mean=mean, gap_std=root(variance))


def _by_window(rows: ibis.Table, measures: Sequence[Measure], windows: Sequence[Window]) -> ibis.Table:
    """Measures over every window and the whole past: once a pane, then panes added up."""
    panes = rows.group_by(*KEYS, "pane").aggregate(**{m.name: m.aggregate(rows) for m in measures})
    merged: dict[str, ibis.Value] = {}
    for m in measures:
        column = panes[m.name]
        for place, w in enumerate(windows):
            merged[f"{m.name}_{w}"] = _merge(column, m, panes.pane <= place)
        merged[f"{m.name}_ever"] = _merge(column, m, None)
    return panes.group_by(KEYS).aggregate(**merged)


def _merge(column: ibis.Value, measure: Measure, where: ibis.Value | None) -> ibis.Value:
    if measure.merge != "sum":
        return getattr(column, measure.merge)(where=where)
    kind = "decimal(38, 0)" if column.type().is_decimal() else "int64"
    return column.sum(where=where).fill_null(0).cast(kind)


def _year_ago(visible: ibis.Table, task: Task) -> ibis.Table:
    """Orders and net amount in [cutoff - 365 days, + horizon); null where no log was known that far back."""
    oldest = visible.group_by("cutoff").aggregate(oldest=visible.age.max())
    inside = (visible.age <= YEAR) & (visible.age > YEAR - task.horizon.days)
    sums = visible.group_by(KEYS).aggregate(
        season_orders=(visible.purchase & inside).sum().cast("int64"),
        season_amount=inside.ifelse(visible.amount, 0).sum().cast("int64"),
    )
    sums = sums.join(oldest, "cutoff")
    reaches = sums.oldest >= YEAR
    season = {c: reaches.ifelse(sums[c], ibis.null("int64")) for c in ("season_orders", "season_amount")}
    return sums.select(*KEYS, **season)


def _kinds(tables: Tables, kind: str, moments: ibis.Table, task: Task) -> ibis.Table:
    """Variety, novelty and the favourite's share of a kind: one row a (customer, cutoff, value), then counts.

    A value counts as different in a window when its youngest line is inside, and as new when its oldest is.
    """
    e = tables.events
    bought = e.filter(e[f"kind_{kind}"].notnull() & (e.amount > 0 if tables.has_amount else True))
    lines = bought.group_by("customer_id", "day", "seen", value=bought[f"kind_{kind}"]).aggregate(lines=bought.count())
    past = lines.join(moments, lines.seen < moments.cutoff)
    aged = past.mutate(age=past.cutoff.delta(past.day, unit="day").cast("int64"))
    values = aged.group_by(*KEYS, "value").aggregate(
        youngest=_pane(aged.age.min(), task), oldest=_pane(aged.age.max(), task), lines=aged.lines.sum().cast("int64")
    )
    counts = {f"{kind}_distinct_{w}": (values.youngest <= i).sum().cast("int64") for i, w in enumerate(task.windows)}
    news = {f"{kind}_new_{w}": (values.oldest <= i).sum().cast("int64") for i, w in enumerate(task.windows)}
    return values.group_by(KEYS).aggregate(
        **counts,
        **news,
        **{f"{kind}_distinct_ever": values.count(), f"{kind}_top_share": values.lines.max() / values.lines.sum()},
    )


def _final(
    cohort: ibis.Table,
    features: Sequence[Feature],
    orders: ibis.Table,
    moments: ibis.Table,
    task: Task,
    tables: Tables,
    with_labels: bool,
) -> ibis.Table:
    """Keys, features and labels, sorted."""
    columns = {f.name: f.compute(cohort).cast("float64") for f in features}
    if not with_labels:
        return cohort.select(**_keys(cohort), **columns).order_by("cutoff", "customer_id")
    inside = (orders.day >= moments.cutoff) & (orders.day < moments.cutoff + ibis.interval(days=task.horizon.days))
    happened = labels(orders.join(moments, inside), tables.has_amount)
    joined = _join(cohort, happened)
    mature = joined.cutoff <= ibis.literal(tables.end - task.horizon.delta)
    columns = {f.name: f.compute(joined).cast("float64") for f in features}
    return joined.select(**_keys(joined), **columns, **label_columns(joined, mature, tables.has_amount)).order_by(
        "cutoff", "customer_id"
    )


def _keys(table: ibis.Table) -> dict[str, ibis.Value]:
    return {"customer_id": table.customer_id, "cutoff": table.cutoff.cast("timestamp")}


def _join(left: ibis.Table, right: ibis.Table) -> ibis.Table:
    """A left join on customer and cutoff."""
    joined = left.left_join(right, KEYS)
    return joined.drop(*(c for c in joined.columns if c.endswith("_right") and c.removesuffix("_right") in KEYS))


def _refuse_outside(tables: Tables, cutoffs: Sequence[date]) -> None:
    """A cutoff must have a past, and one that the log still reaches."""
    latest = tables.last + GRACE.delta
    wrong = [c for c in cutoffs if not tables.first < c <= latest]
    if not cutoffs:
        raise UsageError("no cutoff given; expected one or more dates")
    if wrong:
        raise UsageError(
            f"cutoff {wrong[0]} is outside the log, which runs from {tables.first} to {tables.last}; "
            f"give one from {tables.first + Window(1).delta} to {latest}"
        )


def _fingerprint(tables: Tables, task: Task, features: Sequence[Feature]) -> str:
    identity = {"data": tables.fingerprint, "task": repr(task), "features": [f.name for f in features]}
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
