"""Every span of every cutoff of a few customers, from rows sorted by customer and day, in whole numbers.

A running total is taken once for each measure; a sum over any span of any cutoff is then the difference of two of its
entries, so more windows and cutoffs cost a look-up each and no second pass over the rows. Extremes are taken over
panes (the stretches between the edges of all spans) and meet. A distinct count needs no DISTINCT: a row stands for its
value where no younger row of the same value is visible, and the day from which one is does not depend on the cutoff.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.engines.window_spec import ARROW_TYPES, Span, WindowMeasure, WindowSpec

NEVER = np.iinfo(np.int32).max
LIMB = 18
DAY_BITS = 24
DAY_ZERO = 1 << DAY_BITS - 1  # days since 1970 from here on are not negative
NOTHING = {"max": np.iinfo(np.int64).min, "min": np.iinfo(np.int64).max}
EPOCH = date(1970, 1, 1)


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


def aggregate_chunk(table: pa.Table, plan: WindowSpec) -> list[pa.RecordBatch]:
    """Every cutoff of a few whole customers, whose rows are sorted by customer and day."""
    chunk = _chunk(table, plan)
    return [_at(chunk, plan, cutoff) for cutoff in plan.cutoffs]


def _chunk(table: pa.Table, plan: WindowSpec) -> _Chunk:
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


def _adds(table: pa.Table, m: WindowMeasure) -> dict[int, np.ndarray]:
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


def _at(chunk: _Chunk, plan: WindowSpec, cutoff: date) -> pa.RecordBatch:
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


def _rows_before(chunk: _Chunk, plan: WindowSpec, now: int) -> dict[int | None, np.ndarray]:
    """For each edge, how many rows of the chunk lie before each customer's first row of that age or younger.

    Rows of an age in (start, end] are those from the entry at `end` to the one at `start`; None is the first row.
    """
    base = np.arange(len(chunk.ids), dtype=np.int64) << DAY_BITS
    days = {edge: max(now - edge + DAY_ZERO, 0) for edge in plan.edges}
    found: dict[int | None, np.ndarray] = {edge: np.searchsorted(chunk.key, base + day) for edge, day in days.items()}
    return found | {None: np.searchsorted(chunk.key, base)}


def _between(totals: np.ndarray, span: Span, before: Mapping[int | None, np.ndarray]) -> np.ndarray:
    return totals[before[span.start]] - totals[before[span.end]]


def _present(before: Mapping[int | None, np.ndarray], plan: WindowSpec, visible: np.ndarray | None) -> np.ndarray:
    """Which customers have a visible row in any span."""
    found = np.zeros(len(before[None]), bool)
    counts = None if visible is None else _running(visible)
    for span in plan.spans:
        rows = before[span.start] - before[span.end] if counts is None else _between(counts, span, before)
        found |= rows > 0
    return found


def _sums(
    chunk: _Chunk,
    plan: WindowSpec,
    m: WindowMeasure,
    before: Mapping[int | None, np.ndarray],
    visible: np.ndarray | None,
) -> Iterator[pa.Array]:
    """A sum over each span."""
    powers = sorted((i for name, i in chunk.adds if name == m.name), reverse=True)
    totals = {i: _total(chunk, (m.name, i), visible) for i in powers}
    for span in plan.spans:
        parts = {i: _between(totals[i], span, before) for i in powers}
        if m.merge != "squares":
            yield _arrow(parts[0].astype(str(ARROW_TYPES[m.merge])))
            continue
        whole = np.zeros(len(before[None]))
        for i, part in parts.items():
            whole += part * 2.0 ** (LIMB * i)
        yield _arrow(whole)


def _total(chunk: _Chunk, name: tuple[str, int], visible: np.ndarray | None) -> np.ndarray:
    return chunk.totals[name] if visible is None else _running(chunk.adds[name] * visible)


def _extremes(
    chunk: _Chunk,
    plan: WindowSpec,
    m: WindowMeasure,
    before: Mapping[int | None, np.ndarray],
    visible: np.ndarray | None,
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
