"""Sums, extremes and distinct counts over spans of the past, for many customers and cutoffs in one pass.

The engine sorts the rows by customer and day and hands them over as whole customers, a chunk at a time; `totals`
works a chunk out. Memory is that of a few chunks, however long the log (an engine's sort spills to disk), and neither
the order of rows, nor where chunks end, nor threads change a bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.compute as pc

from features.engines.window_spec import WindowSpec
from features.engines.window_totals import aggregate_chunk

CHUNK_ROWS = 100_000


def aggregate_by_window(rows: ibis.Table, plan: WindowSpec, threads: int = 1) -> pa.RecordBatchReader:
    """Measures over spans: one row a customer and cutoff that has a visible row in any span.

    Args:
        rows: customer_id (text), day (when it happened), seen (the day it became known, never before `day`), and what
            the measures read. A row is visible at a cutoff when seen < cutoff.
        plan: What is wanted.
        threads: How many chunks are worked on at once.

    Returns:
        Batches of `plan.schema`, in the order of customer_id: 0 for a sum or count of nothing, null for an extreme of
        nothing. They are made as they are read, so only a few chunks are in memory at a time.

    Raises:
        TypeError: A measure reads floats or text.
    """
    read, sources = select_inputs(rows, plan)
    ordered = read.order_by(sources["customer_id"], sources["day"])
    batches = aggregate_batches(ordered.to_pyarrow_batches(chunk_size=CHUNK_ROWS), plan, sources, threads)
    return pa.RecordBatchReader.from_batches(plan.schema, batches)


def select_inputs(rows: ibis.Table, plan: WindowSpec) -> tuple[ibis.Table, dict[str, str]]:
    """What is read of the rows, each expression once, and by the name of what it is for the column that holds it."""
    reached = _reached(rows, plan)
    columns = _columns(reached, plan)
    once = {value.op(): (f"c{i}", value) for i, value in enumerate(columns.values())}
    return reached.select(**dict(once.values())), {name: once[value.op()][0] for name, value in columns.items()}


def aggregate_batches(
    batches: Iterable[pa.RecordBatch], plan: WindowSpec, sources: Mapping[str, str], threads: int = 1
) -> Iterator[pa.RecordBatch]:
    """Works out batches of what `wanted` reads, each customer's rows together and by day."""
    chunks = split_by_customer(batches, sources["customer_id"])
    named = (chunk.select(list(sources.values())).rename_columns(list(sources)) for chunk in chunks)
    for chunk in _in_turn(named, plan, threads):
        yield from chunk


def _reached(rows: ibis.Table, plan: WindowSpec) -> ibis.Table:
    """The rows that some cutoff sees in some span."""
    seen = rows.filter(rows.seen < ibis.literal(max(plan.cutoffs)))
    ends = [span.end for span in plan.spans]
    if None in ends or plan.fresh:  # what is new was never there before, however long ago
        return seen
    age = ibis.literal(min(plan.cutoffs)).delta(seen.day, unit="day")
    return seen.filter(age <= max(end for end in ends if end is not None))


def _columns(rows: ibis.Table, plan: WindowSpec) -> dict[str, ibis.Value]:
    """What is read of the rows: keys, `m_<measure>` and `v_<column>`."""
    measures = {f"m_{m.name}": _whole(m.of(rows), m.name) for m in plan.measures if m.of}
    return {c: rows[c] for c in ("customer_id", "day", "seen")} | measures | {f"v_{c}": rows[c] for c in plan.values}


def _whole(value: ibis.Value, name: str) -> ibis.Value:
    """Whole numbers of 64 bits or less, or days; DuckDB adds integers up in 128 bits, which Ibis does not know."""
    kind = value.type()
    if kind.is_boolean():
        return value.cast("int8")
    if kind.is_decimal() and kind.scale == 0:
        return value.cast("int64")
    if not kind.is_integer() and not kind.is_date():
        raise TypeError(
            f"{name} is to be a whole number, a boolean or a date, found {kind}: floats do not add up exactly"
        )
    return value.cast(dt.Int64(nullable=False)) if kind.is_int64() else value


def _in_turn(chunks: Iterable[pa.Table], plan: WindowSpec, threads: int) -> Iterator[list[pa.RecordBatch]]:
    """Works on `threads` chunks at once, and yields in the order of what came in."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[pa.RecordBatch]]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(aggregate_chunk, chunk, plan))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def split_by_customer(
    batches: Iterable[pa.RecordBatch], customer: str = "customer_id", size: int | None = None
) -> Iterator[pa.Table]:
    """Cuts rows sorted by a column into tables of about `size` rows (`CHUNK`) that never divide a customer."""
    least = CHUNK_ROWS if size is None else size
    held: list[pa.Table] = []
    rows = 0
    for batch in batches:
        held.append(pa.Table.from_batches([batch]))
        rows += batch.num_rows
        if rows < least:
            continue
        table = pa.concat_tables(held).combine_chunks()
        ids = table[customer]
        last = pc.index(ids, ids[-1]).as_py()
        if last:
            yield table.slice(0, last)
        held, rows = [table.slice(last)], table.num_rows - last
    if rows:
        yield pa.concat_tables(held).combine_chunks()
