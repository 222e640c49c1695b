"""The contenders of windows.py: the same aggregates over past windows, each with its own library."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

WINDOWS = (7, 30, 90, 180)  # days
COUNTS = ("events", "purchases", "refunds", "kinds", "products", "days")
TICKS = 10_000

Run = Callable[[Path, list[date]], pa.Table]


def ours() -> Run:
    """Our window aggregation, on rows as Ibis expressions."""
    import ibis
    import ibis.backends.duckdb  # or Ibis would import it on the clock

    from features.engines.window_aggregate import aggregate_by_window
    from features.engines.window_spec import Span, WindowMeasure, WindowSpec
    from features.task import Window

    measures = (
        WindowMeasure("events", lambda r: ibis.literal(True), "count"),
        WindowMeasure("purchases", lambda r: r.kind == "purchase", "count"),
        WindowMeasure("refunds", lambda r: r.amount < 0, "count"),
        WindowMeasure("amount", lambda r: r.amount),
        WindowMeasure("squares", lambda r: r.amount, "squares"),
        WindowMeasure("max", lambda r: r.amount, "max"),
        WindowMeasure("min", lambda r: r.amount, "min"),
        WindowMeasure("last", lambda r: r.day, "max"),
    )

    def run(log: Path, moments: list[date]) -> pa.Table:
        connection = ibis.duckdb.connect()
        events = connection.read_parquet(log)
        day = events.time.date()
        amount = (events.amount * TICKS).round().cast("int64")
        rows = events.select("customer_id", "kind", "product", day=day, seen=day, amount=amount)
        spans = tuple(Span.window(Window(w)) for w in WINDOWS)
        distinct = {"kinds": "kind", "products": "product", "days": "day"}
        plan = WindowSpec(tuple(moments), spans, measures, distinct)
        batches = aggregate_by_window(rows, plan, threads=os.cpu_count() or 1)
        return pa.Table.from_batches(_derived(batch) for batch in batches)

    return run


def _derived(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Computes means, spreads and recencies from the sums, without functions that would import pandas."""
    columns: dict[str, pa.Array] = {"customer_id": batch["customer_id"], "cutoff": batch["cutoff"]}
    now = _numbers(batch["cutoff"].view(pa.int32()))
    for w in WINDOWS:
        columns |= {f"{name}_{w}": batch[f"{name}_{w}d"] for name in COUNTS}
        n, total, squares = (_numbers(batch[f"{name}_{w}d"]) for name in ("events", "amount", "squares"))
        mean = total / np.maximum(n, 1)
        spread = np.sqrt(np.maximum(squares - total * mean, 0) / np.maximum(n - 1, 1))
        columns[f"amount_{w}"] = _column(total / TICKS)
        columns[f"mean_{w}"] = _column(mean / TICKS, n < 1)
        columns[f"spread_{w}"] = _column(spread / TICKS, n < 2)
        for name in ("max", "min"):
            columns[f"{name}_{w}"] = _column(_numbers(batch[f"{name}_{w}d"]) / TICKS, n < 1)
        columns[f"recency_{w}"] = _column((now - _numbers(batch[f"last_{w}d"])).astype(np.int16), n < 1)
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _numbers(column: pa.Array) -> np.ndarray:
    return np.frombuffer(column.buffers()[1], str(column.type).replace("double", "float64"))[: len(column)]


def _column(values: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    bits = None if missing is None else pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [bits, pa.py_buffer(values)])


def polars_(way: str) -> Callable[[], Run]:
    """Lazy Polars: 'one by one' collects one cutoff at a time, 'together' all, 'streaming' on the streaming engine."""

    def prepare() -> Run:
        import polars as pl

        def at(log: pl.LazyFrame, cutoff: date) -> pl.LazyFrame:
            now = datetime(cutoff.year, cutoff.month, cutoff.day)  # noqa: DTZ001
            inside = log.filter((pl.col("time") < now) & (pl.col("time") >= now - timedelta(WINDOWS[-1])))
            age = (pl.lit(cutoff) - pl.col("time").dt.date()).dt.total_days().cast(pl.Int16)
            wanted = [expression for w in WINDOWS for expression in _polars_window(pl, w)]
            return inside.with_columns(age=age).group_by("customer_id").agg(wanted).with_columns(cutoff=pl.lit(cutoff))

        def run(log: Path, moments: list[date]) -> pa.Table:
            events = pl.scan_parquet(log)
            if way == "categories":
                text = pl.col("customer_id", "kind", "product")
                events = events.with_columns(text.cast(pl.Categorical)).collect().lazy()
            engine = "streaming" if way == "streaming" else "in-memory"
            frames = [at(events, cutoff) for cutoff in moments]
            if way in ("together", "categories"):
                return pl.concat(pl.collect_all(frames, engine=engine)).to_arrow()
            return pl.concat([frame.collect(engine=engine) for frame in frames]).to_arrow()

        return run

    return prepare


def _polars_window(pl: Any, w: int) -> list[Any]:
    inside = pl.col("age") <= w
    amount, age = pl.col("amount").filter(inside), pl.col("age").filter(inside)
    return [
        inside.sum().alias(f"events_{w}"),
        (inside & (pl.col("kind") == "purchase")).sum().alias(f"purchases_{w}"),
        (inside & (pl.col("amount") < 0)).sum().alias(f"refunds_{w}"),
        amount.sum().alias(f"amount_{w}"),
        amount.mean().alias(f"mean_{w}"),
        amount.max().alias(f"max_{w}"),
        amount.min().alias(f"min_{w}"),
        amount.std().alias(f"spread_{w}"),
        pl.col("kind").filter(inside).n_unique().alias(f"kinds_{w}"),
        pl.col("product").filter(inside).n_unique().alias(f"products_{w}"),
        age.n_unique().alias(f"days_{w}"),
        age.min().alias(f"recency_{w}"),
    ]


def sql() -> Run:
    """DuckDB with plain SQL: filtered aggregates and COUNT(DISTINCT), one query for each cutoff."""
    import duckdb

    def run(log: Path, moments: list[date]) -> pa.Table:
        connection = duckdb.connect()
        wanted = ", ".join(_sql_window(w) for w in WINDOWS)
        tables = []
        for cutoff in moments:
            source = (
                f"SELECT *, DATE '{cutoff}' - time::DATE AS age FROM read_parquet('{log}') "
                f"WHERE time < DATE '{cutoff}' AND time >= DATE '{cutoff}' - {WINDOWS[-1]}"
            )
            query = f"SELECT customer_id, DATE '{cutoff}' AS cutoff, {wanted} FROM ({source}) GROUP BY ALL"
            tables.append(connection.execute(query).to_arrow_table())
        return pa.concat_tables(tables)

    return run


def _sql_window(w: int) -> str:
    values = {
        "events": "count(*)",
        "purchases": "count(*)",
        "refunds": "count(*)",
        "amount": "coalesce(sum(amount), 0)",
        "mean": "avg(amount)",
        "max": "max(amount)",
        "min": "min(amount)",
        "spread": "stddev_samp(amount)",
        "kinds": "count(DISTINCT kind)",
        "products": "count(DISTINCT product)",
        "days": "count(DISTINCT age)",
        "recency": "min(age)",
    }
    also = {"purchases": " AND kind = 'purchase'", "refunds": " AND amount < 0"}
    filtered = {name: f"{value} FILTER (WHERE age <= {w}{also.get(name, '')})" for name, value in values.items()}
    filtered["amount"] = f"coalesce(sum(amount) FILTER (WHERE age <= {w}), 0)"
    return ", ".join(f"{value} AS {name}_{w}" for name, value in filtered.items())


def pandas_() -> Run:
    """pandas: the rows of a cutoff and window grouped by customer."""
    import pandas as pd

    def run(log: Path, moments: list[date]) -> pa.Table:
        events = pd.read_parquet(log)
        events["day"] = events["time"].dt.normalize()
        tables = []
        for cutoff in moments:
            age = (pd.Timestamp(cutoff) - events["day"]).dt.days
            past = events[(age >= 1) & (age <= WINDOWS[-1])].assign(age=age)
            frames = [_pandas_window(past[past["age"] <= w], w) for w in WINDOWS[::-1]]
            wide = frames[0].join(frames[1:])
            counted = [f"{name}_{w}" for name in (*COUNTS, "amount") for w in WINDOWS]
            wide[counted] = wide[counted].fillna(0)
            tables.append(pa.Table.from_pandas(wide.reset_index().assign(cutoff=cutoff), preserve_index=False))
        return pa.concat_tables(tables)

    return run


def _pandas_window(past: Any, w: int) -> Any:
    flagged = past.assign(purchase=past["kind"] == "purchase", refund=past["amount"] < 0)
    return flagged.groupby("customer_id").agg(
        **{
            f"events_{w}": ("age", "size"),
            f"purchases_{w}": ("purchase", "sum"),
            f"refunds_{w}": ("refund", "sum"),
            f"amount_{w}": ("amount", "sum"),
            f"mean_{w}": ("amount", "mean"),
            f"max_{w}": ("amount", "max"),
            f"min_{w}": ("amount", "min"),
            f"spread_{w}": ("amount", "std"),
            f"kinds_{w}": ("kind", "nunique"),
            f"products_{w}": ("product", "nunique"),
            f"days_{w}": ("age", "nunique"),
            f"recency_{w}": ("age", "min"),
        }
    )


CONTENDERS: dict[str, Callable[[], Run]] = {
    "ours": ours,
    "polars one by one": polars_("one by one"),
    "polars together": polars_("together"),
    "polars categories": polars_("categories"),
    "polars streaming": polars_("streaming"),
    "pandas": pandas_,
    "naive SQL": sql,
}
