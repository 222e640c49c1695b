"""Sums, extremes and distinct counts over stretches of the past, for many customers and cutoffs in one pass.

The engine sorts the rows by customer and day and hands them over as whole customers, a chunk at a time. In a chunk a
running total is taken once for each measure; a sum over any stretch of any cutoff is then the difference of two of its
entries, so more windows and cutoffs cost a look-up each and no second pass over the rows. Extremes are taken over
panes (the stretches between the edges of all spans) and meet. A distinct count needs no DISTINCT: a row stands for its
value where no younger row of the same value is visible, and the day from which one is does not depend on the cutoff.

Everything is whole numbers, so neither the order of rows, nor where chunks end, nor threads change a bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import ibis
import ibis.expr.datatypes as dt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.task import Window

Merge = Literal["count", "sum", "squares", "max", "min"]
Pane = tuple[int, int | None]
CHUNK = 100_000
NEVER = np.iinfo(np.int32).max
LIMB = 18
DAY_BITS = 24
DAY_ZERO = 1 << DAY_BITS - 1  # days since 1970 from here on are not negative
NOTHING = {"max": np.iinfo(np.int64).min, "min": np.iinfo(np.int64).max}
KINDS = {"count": pa.int32(), "sum": pa.int64(), "squares": pa.float64(), "max": pa.int64(), "min": pa.int64()}
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Span:
    """A stretch of the past: the days whose age at the cutoff is in (start, end]; yesterday's age is 1.

    Attributes:
        name: The end of the names of its columns.
        start: Days before the cutoff that it leaves out.
        end: Its last day's age; None reaches back to the first row.

    Raises:
        ValueError: It would hold no day.

    >>> Span.window(Window(30)), Span.before(Window(30))
    (Span(name='30d', start=0, end=30), Span(name='30d_before', start=30, end=60))
    """

    name: str
    start: int = 0
    end: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise ValueError(
                f"a span runs from an age of 0 days or more to a later one, found ({self.start}, {self.end}]"
            )

    @classmethod
    def window(cls, window: Window) -> Span:
        """The window that ends at the cutoff."""
        return cls(str(window), 0, window.days)

    @classmethod
    def before(cls, window: Window) -> Span:
        """The stretch of the same length before that window."""
        return cls(f"{window}_before", window.days, 2 * window.days)

    def holds(self, pane: Pane) -> bool:
        """Whether a pane lies inside; panes never cross an edge of a span."""
        newer, older = pane
        return newer >= self.start and (self.end is None or (older is not None and older <= self.end))


EVER = Span("ever")


@dataclass(frozen=True)
class Measure:
    """What one row adds to a stretch of the past, and how rows meet.

    Attributes:
        name: The start of the names of its columns.
        of: From the rows to a column of whole numbers, of booleans for a count, or of days (which become days since
            1970); a null adds nothing.
        merge: 'count' (of what is true), 'sum', 'squares' (the sum of squares, as a float), 'max' or 'min'.
    """

    name: str
    of: Callable[[ibis.Table], ibis.Value]
    merge: Merge = "sum"


@dataclass(frozen=True)
class Plan:
    """What is wanted of the rows.

    Attributes:
        cutoffs: When.
        spans: Over which stretches of the past.
        measures: What is aggregated.
        distinct: Columns whose different values are counted, by the name of the count, over spans that start at the
            cutoff: in the others a younger row may hide a value.
        fresh: Columns whose values are counted in the span of their first row, by the name of the count.
    """

    cutoffs: tuple[date, ...]
    spans: tuple[Span, ...]
    measures: tuple[Measure, ...]
    distinct: Mapping[str, str] = field(default_factory=dict)
    fresh: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> tuple[str, ...]:
        """The columns whose values are told apart."""
        return tuple(dict.fromkeys((*self.distinct.values(), *self.fresh.values())))

    @property
    def edges(self) -> list[int]:
        """The finite ages at which a span starts or ends, ascending."""
        return sorted({s.start for s in self.spans} | {s.end for s in self.spans if s.end is not None})

    @property
    def panes(self) -> list[Pane]:
        """The stretches between all edges that some span holds, youngest first, as ages in (newer, older].

        >>> Plan((), (Span("7d", 0, 7), Span("30d", 0, 30), Span("a_year_ago", 365, 372)), ()).panes
        [(0, 7), (7, 30), (365, 372)]
        >>> Plan((), (Span("7d", 0, 7), EVER), ()).panes
        [(0, 7), (7, None)]
        """
        between = zip(self.edges, [*self.edges[1:], None], strict=True)
        return [pane for pane in between if any(span.holds(pane) for span in self.spans)]

    @property
    def schema(self) -> pa.Schema:
        """customer_id, cutoff, then `<measure>_<span>`, `<distinct>_<span>` and `<fresh>_<span>`."""
        columns = [("customer_id", pa.string()), ("cutoff", pa.date32())]
        for m in self.measures:
            columns += [(f"{m.name}_{s.name}", KINDS[m.merge]) for s in self.spans]
        columns += [(f"{name}_{s.name}", pa.int32()) for name in self.distinct for s in self.spans if not s.start]
        columns += [(f"{name}_{s.name}", pa.int32()) for name in self.fresh for s in self.spans]
        return pa.schema(columns)


def by_window(rows: ibis.Table, plan: Plan, threads: int = 1) -> pa.RecordBatchReader:
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
    reached = _reached(rows, plan)
    columns = _columns(reached, plan)
    once = {value.op(): (f"c{i}", value) for i, value in enumerate(columns.values())}
    sources = {name: once[value.op()][0] for name, value in columns.items()}
    wanted = reached.select(**dict(once.values())).order_by(sources["customer_id"], sources["day"])
    chunks = whole_customers(wanted.to_pyarrow_batches(chunk_size=CHUNK), sources["customer_id"])
    named = (chunk.select(list(sources.values())).rename_columns(list(sources)) for chunk in chunks)
    made = (batch for chunk in _in_turn(named, plan, threads) for batch in chunk)
    return pa.RecordBatchReader.from_batches(plan.schema, made)


def _reached(rows: ibis.Table, plan: Plan) -> ibis.Table:
    """The rows that some cutoff sees in some span."""
    seen = rows.filter(rows.seen < ibis.literal(max(plan.cutoffs)))
    ends = [span.end for span in plan.spans]
    if None in ends or plan.fresh:  # what is new was never there before, however long ago
        return seen
    age = ibis.literal(min(plan.cutoffs)).delta(seen.day, unit="day")
    return seen.filter(age <= max(end for end in ends if end is not None))


def _columns(rows: ibis.Table, plan: Plan) -> dict[str, ibis.Value]:
    """What is read of the rows: keys, `m_<measure>` and `v_<column>`."""
    measures = {f"m_{m.name}": _whole(m.of(rows), m.name) for m in plan.measures}
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


def _in_turn(chunks: Iterable[pa.Table], plan: Plan, threads: int) -> Iterator[list[pa.RecordBatch]]:
    """Works on `threads` chunks at once, and yields in the order of what came in."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[pa.RecordBatch]]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(measure, chunk, plan))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def whole_customers(
    batches: Iterable[pa.RecordBatch], customer: str = "customer_id", size: int | None = None
) -> Iterator[pa.Table]:
    """Cuts rows sorted by a column into tables of about `size` rows (`CHUNK`) that never divide a customer."""
    least = CHUNK if size is None else size
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


@dataclass(frozen=True)
class _Chunk:
    """Whole customers: their rows by customer and day, as arrays with one entry a row where not said otherwise.

    Attributes:
        ids: Each customer once.
        key: The customer's place and the day in one ascending number.
        day: Days since 1970.
        seen: Days since 1970.
        adds: What adds up, by measure and power of the limb (0 but for squares); what is all 0 is left out.
        totals: Their running totals, one entry more than rows, where every row is visible.
        extremes: What extremes are taken of.
        last: By count of `distinct`, the day from which a younger row of the same value is visible.
        first: By count of `fresh`, the day from which an older one is.
    """

    ids: pa.Array
    key: np.ndarray
    day: np.ndarray
    seen: np.ndarray
    adds: Mapping[tuple[str, int], np.ndarray]
    totals: Mapping[tuple[str, int], np.ndarray]
    extremes: Mapping[str, np.ndarray]
    last: Mapping[str, np.ndarray]
    first: Mapping[str, np.ndarray]


def measure(table: pa.Table, plan: Plan) -> list[pa.RecordBatch]:
    """Every cutoff of a few whole customers, whose rows are sorted by customer and day."""
    chunk = _chunk(table, plan)
    return [_at(chunk, plan, cutoff) for cutoff in plan.cutoffs]


def _chunk(table: pa.Table, plan: Plan) -> _Chunk:
    ids = table["customer_id"].combine_chunks()
    starts = np.concatenate([[True], _array(pc.not_equal(ids[1:], ids[:-1]).cast(pa.int8())) != 0])
    place = np.cumsum(starts) - 1
    day, seen = (_array(table[c]).astype(np.int64) for c in ("day", "seen"))
    adds = {(m.name, i): x for m in plan.measures for i, x in _adds(table, m).items()}
    again = {column: _neighbours(place, table[f"v_{column}"], seen) for column in plan.values}
    return _Chunk(
        ids=ids.take(_arrow(np.flatnonzero(starts))),
        key=(place << DAY_BITS) + day + DAY_ZERO,
        day=day,
        seen=seen,
        adds=adds,
        totals={name: _running(x) for name, x in adds.items()},
        extremes={
            m.name: np.append(_array(table[f"m_{m.name}"], NOTHING[m.merge]), NOTHING[m.merge])
            for m in plan.measures
            if m.merge in NOTHING
        },
        last={name: again[column][0] for name, column in plan.distinct.items()},
        first={name: again[column][1] for name, column in plan.fresh.items()},
    )


def _array(column: pa.ChunkedArray | pa.Array, null: int = 0) -> np.ndarray:
    """Numbers as an array, with nulls filled in."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    whole = whole.cast(pa.int32()) if pa.types.is_date32(whole.type) else whole
    filled = whole.cast(pa.int64()).fill_null(null) if whole.null_count else whole
    kind = np.dtype(str(filled.type))  # `to_numpy` would import pandas
    return np.frombuffer(filled.buffers()[1], kind, len(filled), filled.offset * kind.itemsize)


def _arrow(values: np.ndarray, valid: np.ndarray | None = None) -> pa.Array:
    """An array of numbers without a copy, null where not valid; `pyarrow.array` would import pandas."""
    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [bits, pa.py_buffer(values)])


def _adds(table: pa.Table, m: Measure) -> dict[int, np.ndarray]:
    """What rows add to a sum, by power of the limb: squares outgrow 64 bits, so they are added up in five parts."""
    if m.merge in NOTHING:
        return {}
    x = _array(table[f"m_{m.name}"]).astype(np.int64)
    if m.merge != "squares":
        return {0: x}
    size = np.abs(x)
    low, middle, high = (size >> shift & (1 << LIMB) - 1 for shift in (0, LIMB, 2 * LIMB))
    parts = [low * low, 2 * low * middle, middle * middle + 2 * low * high, 2 * middle * high, high * high]
    return {power: part for power, part in enumerate(parts) if part.any()}


def _running(adds: np.ndarray) -> np.ndarray:
    """Totals before each row, and after the last."""
    totals = np.zeros(len(adds) + 1, np.int64)
    np.cumsum(adds, out=totals[1:], dtype=np.int64)
    return totals


def _neighbours(place: np.ndarray, values: pa.ChunkedArray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row, the days from which a younger and an older row of its customer and value are visible.

    `NEVER` where there is none; before all time for a row without a value, which is thereby never counted.
    """
    codes = pc.dictionary_encode(values.combine_chunks())
    code = _array(codes.indices, len(codes.dictionary)).astype(np.int64)
    group = place * (len(codes.dictionary) + 1) + code
    order = np.argsort(group, kind="stable")
    group, known = group[order], seen[order]
    missing = code == len(codes.dictionary)
    found = []
    for way in (slice(None, None, -1), slice(None)):  # younger rows come after, older ones before
        found.append(np.empty(len(order), np.int64))
        found[-1][order[way]] = _soonest_before(group[way], known[way])
        found[-1][missing] = -NEVER
    return found[0], found[1]


def _soonest_before(group: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The least of `known` over the entries that precede each one in its group; groups lie together."""
    changes = np.concatenate([[True], group[1:] != group[:-1]])
    later = np.cumsum(changes)[-1] - np.cumsum(changes)
    least = np.minimum.accumulate((later << DAY_BITS) + known + DAY_ZERO)
    soonest = np.full(len(group), NEVER, np.int64)
    soonest[1:] = (least[:-1] & (1 << DAY_BITS) - 1) - DAY_ZERO
    soonest[changes] = NEVER
    return soonest


def _at(chunk: _Chunk, plan: Plan, cutoff: date) -> pa.RecordBatch:
    """One row a customer with a visible row in any span at the cutoff."""
    now = (cutoff - EPOCH).days
    late = (chunk.seen >= now) & (chunk.day < now)
    visible = None if not late.any() else ~late
    before = _rows_before(chunk, plan, now)
    keep = _present(before, plan, visible)
    before = {edge: rows[keep] for edge, rows in before.items()}
    columns: dict[str, pa.Array] = {}
    for m in plan.measures:
        parts = (
            _extremes(chunk, plan, m, before, visible) if m.merge in NOTHING else _sums(chunk, plan, m, before, visible)
        )
        columns |= {f"{m.name}_{span.name}": part for span, part in zip(plan.spans, parts, strict=True)}
    nested = [span for span in plan.spans if not span.start]
    for again, spans in ((chunk.last, nested), (chunk.first, plan.spans)):
        for name, known in again.items():
            counts = _running((known >= now) if visible is None else (known >= now) & visible)
            columns |= {f"{name}_{s.name}": _arrow(_between(counts, s, before).astype(np.int32)) for s in spans}
    days = np.full(int(keep.sum()), now, np.int32)
    columns |= {"customer_id": chunk.ids.take(_arrow(np.flatnonzero(keep))), "cutoff": _arrow(days).view(pa.date32())}
    return pa.RecordBatch.from_arrays([columns[name] for name in plan.schema.names], schema=plan.schema)


def _rows_before(chunk: _Chunk, plan: Plan, now: int) -> dict[int | None, np.ndarray]:
    """For each edge, how many rows of the chunk lie before each customer's first row of that age or younger.

    Rows of an age in (start, end] are those from the entry at `end` to the one at `start`; None is the first row.
    """
    base = np.arange(len(chunk.ids), dtype=np.int64) << DAY_BITS
    days = {edge: max(now - edge + DAY_ZERO, 0) for edge in plan.edges}
    found: dict[int | None, np.ndarray] = {edge: np.searchsorted(chunk.key, base + day) for edge, day in days.items()}
    return found | {None: np.searchsorted(chunk.key, base)}


def _between(totals: np.ndarray, span: Span, before: Mapping[int | None, np.ndarray]) -> np.ndarray:
    return totals[before[span.start]] - totals[before[span.end]]


def _present(before: Mapping[int | None, np.ndarray], plan: Plan, visible: np.ndarray | None) -> np.ndarray:
    """Which customers have a visible row in any span."""
    found = np.zeros(len(before[None]), bool)
    counts = None if visible is None else _running(visible)
    for span in plan.spans:
        rows = before[span.start] - before[span.end] if counts is None else _between(counts, span, before)
        found |= rows > 0
    return found


def _sums(
    chunk: _Chunk, plan: Plan, m: Measure, before: Mapping[int | None, np.ndarray], visible: np.ndarray | None
) -> Iterator[pa.Array]:
    """A sum over each span."""
    powers = sorted((i for name, i in chunk.adds if name == m.name), reverse=True)
    totals = {i: _total(chunk, (m.name, i), visible) for i in powers}
    for span in plan.spans:
        parts = {i: _between(totals[i], span, before) for i in powers}
        if m.merge != "squares":
            yield _arrow(parts[0].astype(str(KINDS[m.merge])))
            continue
        whole = np.zeros(len(before[None]))
        for i, part in parts.items():
            whole += part * 2.0 ** (LIMB * i)
        yield _arrow(whole)


def _total(chunk: _Chunk, name: tuple[str, int], visible: np.ndarray | None) -> np.ndarray:
    return chunk.totals[name] if visible is None else _running(chunk.adds[name] * visible)


def _extremes(
    chunk: _Chunk, plan: Plan, m: Measure, before: Mapping[int | None, np.ndarray], visible: np.ndarray | None
) -> Iterator[pa.Array]:
    """A greatest or least over each span: over panes first, then over the panes of the span."""
    nothing = NOTHING[m.merge]
    meet = np.maximum if m.merge == "max" else np.minimum
    x = chunk.extremes[m.name]
    if visible is not None:
        x = np.where(np.append(visible, True), x, nothing)
    panes = {}
    for newer, older in plan.panes:
        ends = np.stack([before[older], before[newer]], axis=1).ravel()
        most = meet.reduceat(x, ends)[::2] if len(ends) else np.empty(0, np.int64)
        panes[newer, older] = np.where(before[newer] > before[older], most, nothing)
    for span in plan.spans:
        inside = [most for pane, most in panes.items() if span.holds(pane)]
        whole = meet.reduce(inside)
        yield _arrow(whole, whole != nothing)
