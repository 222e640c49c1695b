"""Sums, extremes and distinct counts over spans of the past, for many customers and cutoffs in one pass.

The engine sorts the rows by customer and day. They are cut into chunks that never divide a customer, and
`window_totals` aggregates each chunk. Only a few chunks are in memory at a time, however long the log is (the sort
spills to disk). The result does not depend on the order of rows, the size of chunks or the number of threads.
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


def aggregate_by_window(rows: ibis.Table, spec: WindowSpec, threads: int = 1) -> pa.RecordBatchReader:
    """Aggregate measures over spans: one row for each customer and cutoff with a visible row in any span.

    Args:
        rows: customer_id (text), day (when it happened), seen (the day it became known, never before `day`), and the
            columns that the measures need. A row is visible at a cutoff if seen < cutoff.
        spec: The cutoffs, the spans and the measures.
        threads: The number of chunks to aggregate in parallel.

    Returns:
        Batches of `spec.schema` in the order of customer_id. A sum or count over no rows is 0, an extreme is null. Each
        batch is computed when it is read, so only a few chunks are in memory at a time.

    Raises:
        TypeError: A measure is of floats or text.
    """
    inputs, column_names = select_inputs(rows, spec)
    ordered = inputs.order_by(column_names["customer_id"], column_names["day"])
    batches = aggregate_batches(ordered.to_pyarrow_batches(chunk_size=CHUNK_ROWS), spec, column_names, threads)
    return pa.RecordBatchReader.from_batches(spec.schema, batches)


def select_inputs(rows: ibis.Table, spec: WindowSpec) -> tuple[ibis.Table, dict[str, str]]:
    """Select the columns that an aggregation needs, each distinct expression once.

    Args:
        rows: Rows as in `aggregate_by_window`.
        spec: The cutoffs, the spans and the measures.

    Returns:
        The visible rows with these columns (`c0`, `c1`, ...), and the name of the column for each input: the keys
        `customer_id`, `day` and `seen`, `m_<measure>` and `v_<counted column>`.

    Raises:
        TypeError: A measure is of floats or text.
    """
    visible = _visible_rows(rows, spec)
    columns = _input_columns(visible, spec)
    selected = {value.op(): (f"c{i}", value) for i, value in enumerate(columns.values())}
    return visible.select(**dict(selected.values())), {name: selected[value.op()][0] for name, value in columns.items()}


def aggregate_batches(
    batches: Iterable[pa.RecordBatch], spec: WindowSpec, column_names: Mapping[str, str], threads: int = 1
) -> Iterator[pa.RecordBatch]:
    """Aggregate sorted batches of the columns that `select_inputs` selects.

    Args:
        batches: Rows sorted by customer and day.
        spec: The cutoffs, the spans and the measures.
        column_names: The name of the column for each input, from `select_inputs`.
        threads: The number of chunks to aggregate in parallel.

    Yields:
        Batches of `spec.schema`, in the order of customers.
    """
    chunks = split_by_customer(batches, column_names["customer_id"])
    named = (chunk.select(list(column_names.values())).rename_columns(list(column_names)) for chunk in chunks)
    for chunk in _aggregate_in_order(named, spec, threads):
        yield from chunk


def _visible_rows(rows: ibis.Table, spec: WindowSpec) -> ibis.Table:
    """Keep the rows that are visible in some span of some cutoff."""
    seen = rows.filter(rows.seen < ibis.literal(max(spec.cutoffs)))
    ends = [span.end for span in spec.spans]
    if None in ends or spec.fresh:  # a value is new only if no earlier row has it, however old
        return seen
    age = ibis.literal(min(spec.cutoffs)).delta(seen.day, unit="day")
    return seen.filter(age <= max(end for end in ends if end is not None))


def _input_columns(rows: ibis.Table, spec: WindowSpec) -> dict[str, ibis.Value]:
    """Return the inputs as expressions: the keys, `m_<measure>` and `v_<counted column>`."""
    measures = {f"m_{m.name}": _as_integer(m.of(rows), m.name) for m in spec.measures if m.of}
    return {c: rows[c] for c in ("customer_id", "day", "seen")} | measures | {f"v_{c}": rows[c] for c in spec.values}


def _as_integer(value: ibis.Value, name: str) -> ibis.Value:
    """Cast to integers of at most 64 bits, or days; DuckDB sums integers in 128 bits, which Ibis does not know."""
    kind = value.type()
    if kind.is_boolean():
        return value.cast("int8")
    if kind.is_decimal() and kind.scale == 0:
        return value.cast("int64")
    if not kind.is_integer() and not kind.is_date():
        raise TypeError(
            f"{name} must be a whole number, a boolean or a date, found {kind}: sums of floats are not exact"
        )
    return value.cast(dt.Int64(nullable=False)) if kind.is_int64() else value


def _aggregate_in_order(chunks: Iterable[pa.Table], spec: WindowSpec, threads: int) -> Iterator[list[pa.RecordBatch]]:
    """Aggregate `threads` chunks at once and yield their batches in the order of the chunks."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[pa.RecordBatch]]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(aggregate_chunk, chunk, spec))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def split_by_customer(
    batches: Iterable[pa.RecordBatch], column: str = "customer_id", min_rows: int | None = None
) -> Iterator[pa.Table]:
    """Cut sorted rows into chunks that never divide a customer.

    Args:
        batches: Rows sorted by `column`.
        column: The column of the customer's id.
        min_rows: The approximate number of rows of a chunk; by default `CHUNK_ROWS`.

    Yields:
        One table per chunk.
    """
    limit = CHUNK_ROWS if min_rows is None else min_rows
    buffered: list[pa.Table] = []
    rows = 0
    for batch in batches:
        buffered.append(pa.Table.from_batches([batch]))
        rows += batch.num_rows
        if rows < limit:
            continue
        table = pa.concat_tables(buffered).combine_chunks()
        ids = table[column]
        last_start = pc.index(ids, ids[-1]).as_py()
        if last_start:
            yield table.slice(0, last_start)
        buffered, rows = [table.slice(last_start)], table.num_rows - last_start
    if rows:
        yield pa.concat_tables(buffered).combine_chunks()
