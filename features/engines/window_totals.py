"""Aggregates one chunk of customers over every span of every cutoff, in integers, from rows sorted by customer and day.

Each measure gets one running total. A sum over a span is the difference of two of its entries, so another window or
cutoff costs one look-up and no second pass over the rows. Extremes are computed per pane (the interval between
neighbouring edges of the spans) and then merged. A distinct count needs no DISTINCT: a row counts for its value if no
later row of the same value is visible, and the day from which a later one is visible does not depend on the cutoff.
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
LIMB_BITS = 18
DAY_BITS = 24
DAY_ZERO = 1 << DAY_BITS - 1  # added to days since 1970, so that none is negative
EMPTY_EXTREME = {"max": np.iinfo(np.int64).min, "min": np.iinfo(np.int64).max}
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class _Chunk:
    """All rows of some customers, sorted by customer and day; arrays have one entry per row unless noted.

    Attributes:
        ids: The id of each customer, one entry per customer.
        sort_key: The customer's position and the day in one ascending number.
        day: Days since 1970 on which it happened.
        seen: Days since 1970 on which it became known.
        summands: The values to sum, by measure and power of the limb (0 except for squares); all-zero arrays of squares
            are left out.
        totals: Running totals of the summands over all rows, one entry more than rows.
        extremes: The values to take extremes of, one entry more than rows.
        younger_visible_from: By count of `distinct`, the day from which a later row of the same value is visible.
        older_visible_from: By count of `fresh`, the day from which an earlier row of the same value is visible.
    """

    ids: pa.Array
    sort_key: np.ndarray
    day: np.ndarray
    seen: np.ndarray
    summands: Mapping[tuple[str, int], np.ndarray]
    totals: Mapping[tuple[str, int], np.ndarray]
    extremes: Mapping[str, np.ndarray]
    younger_visible_from: Mapping[str, np.ndarray]
    older_visible_from: Mapping[str, np.ndarray]


def aggregate_chunk(table: pa.Table, spec: WindowSpec) -> list[pa.RecordBatch]:
    """Aggregate a chunk of customers, sorted by customer and day: one batch for each cutoff."""
    chunk = _prepare_chunk(table, spec)
    return [_aggregate_at(chunk, spec, cutoff) for cutoff in spec.cutoffs]


def _prepare_chunk(table: pa.Table, spec: WindowSpec) -> _Chunk:
    ids = table["customer_id"].combine_chunks()
    starts = np.concatenate([[True], _numpy_array(pc.not_equal(ids[1:], ids[:-1]).cast(pa.int8())) != 0])
    customer = np.cumsum(starts) - 1
    day, seen = (_numpy_array(table[c]).astype(np.int64) for c in ("day", "seen"))
    summands = {(m.name, i): x for m in spec.measures for i, x in _summands(table, m).items()}
    neighbour_days = {column: _neighbour_days(customer, table[f"v_{column}"], seen) for column in spec.values}
    return _Chunk(
        ids=ids.take(_arrow_array(np.flatnonzero(starts))),
        sort_key=(customer << DAY_BITS) + day + DAY_ZERO,
        day=day,
        seen=seen,
        summands=summands,
        totals={name: _running_total(x) for name, x in summands.items()},
        extremes={
            m.name: np.append(_numpy_array(table[f"m_{m.name}"], EMPTY_EXTREME[m.merge]), EMPTY_EXTREME[m.merge])
            for m in spec.measures
            if m.merge in EMPTY_EXTREME
        },
        younger_visible_from={name: neighbour_days[column][0] for name, column in spec.distinct.items()},
        older_visible_from={name: neighbour_days[column][1] for name, column in spec.fresh.items()},
    )


def _numpy_array(column: pa.ChunkedArray | pa.Array, null: int = 0) -> np.ndarray:
    """Return numbers as a NumPy array without a copy, with nulls filled in."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values = values.cast(pa.int32()) if pa.types.is_date32(values.type) else values
    filled = values.cast(pa.int64()).fill_null(null) if values.null_count else values
    dtype = np.dtype(str(filled.type))  # `to_numpy` would import pandas
    return np.frombuffer(filled.buffers()[1], dtype, len(filled), filled.offset * dtype.itemsize)


def _arrow_array(values: np.ndarray, valid: np.ndarray | None = None) -> pa.Array:
    """Return numbers as an Arrow array without a copy, null if not valid; `pyarrow.array` would import pandas."""
    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [bits, pa.py_buffer(values)])


def _summands(table: pa.Table, measure: WindowMeasure) -> dict[int, np.ndarray]:
    """Return each row's summand, by power of the limb; squares exceed 64 bits, so they are summed in five parts."""
    if measure.merge in EMPTY_EXTREME:
        return {}
    x = _numpy_array(table[f"m_{measure.name}"]).astype(np.int64)
    if measure.merge != "squares":
        return {0: x}
    size = np.abs(x)
    low, middle, high = (size >> shift & (1 << LIMB_BITS) - 1 for shift in (0, LIMB_BITS, 2 * LIMB_BITS))
    parts = [low * low, 2 * low * middle, middle * middle + 2 * low * high, 2 * middle * high, high * high]
    return {power: part for power, part in enumerate(parts) if part.any()}


def _running_total(summands: np.ndarray) -> np.ndarray:
    """Return the totals before each row and after the last one."""
    totals = np.zeros(len(summands) + 1, np.int64)
    np.cumsum(summands, out=totals[1:], dtype=np.int64)
    return totals


def _neighbour_days(customer: np.ndarray, values: pa.ChunkedArray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each row, the days from which a later and an earlier row of its customer and value are visible.

    `NEVER` if there is no such row; the earliest possible day for a row without a value, which is then never counted.
    """
    codes = pc.dictionary_encode(values.combine_chunks())
    code = _numpy_array(codes.indices, len(codes.dictionary)).astype(np.int64)
    group = customer * (len(codes.dictionary) + 1) + code
    order = np.argsort(group, kind="stable")
    group, known = group[order], seen[order]
    missing = code == len(codes.dictionary)
    visible_from = []
    for direction in (slice(None, None, -1), slice(None)):  # later rows first, then earlier ones
        visible_from.append(np.empty(len(order), np.int64))
        visible_from[-1][order[direction]] = _soonest_before(group[direction], known[direction])
        visible_from[-1][missing] = -NEVER
    return visible_from[0], visible_from[1]


def _soonest_before(group: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the minimum of `known` over the entries before each one in its group; groups are contiguous."""
    changes = np.concatenate([[True], group[1:] != group[:-1]])
    later = np.cumsum(changes)[-1] - np.cumsum(changes)
    least = np.minimum.accumulate((later << DAY_BITS) + known + DAY_ZERO)
    soonest = np.full(len(group), NEVER, np.int64)
    soonest[1:] = (least[:-1] & (1 << DAY_BITS) - 1) - DAY_ZERO
    soonest[changes] = NEVER
    return soonest


def _aggregate_at(chunk: _Chunk, spec: WindowSpec, cutoff: date) -> pa.RecordBatch:
    """Aggregate at one cutoff: one row for each customer with a visible row in any span."""
    now = (cutoff - EPOCH).days
    late = (chunk.seen >= now) & (chunk.day < now)
    visible = None if not late.any() else ~late
    positions = _row_positions(chunk, spec, now)
    keep = _customers_present(positions, spec, visible)
    positions = {edge: rows[keep] for edge, rows in positions.items()}
    columns: dict[str, pa.Array] = {}
    for measure in spec.measures:
        parts = (
            _extremes(chunk, spec, measure, positions, visible)
            if measure.merge in EMPTY_EXTREME
            else _sums(chunk, spec, measure, positions, visible)
        )
        columns |= {f"{measure.name}_{span.name}": part for span, part in zip(spec.spans, parts, strict=True)}
    nested = [span for span in spec.spans if not span.start]
    for first_days, spans in ((chunk.younger_visible_from, nested), (chunk.older_visible_from, spec.spans)):
        for name, known in first_days.items():
            counts = _running_total((known >= now) if visible is None else (known >= now) & visible)
            columns |= {
                f"{name}_{s.name}": _arrow_array(_span_total(counts, s, positions).astype(np.int32)) for s in spans
            }
    days = np.full(int(keep.sum()), now, np.int32)
    columns |= {
        "customer_id": chunk.ids.take(_arrow_array(np.flatnonzero(keep))),
        "cutoff": _arrow_array(days).view(pa.date32()),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in spec.schema.names], schema=spec.schema)


def _row_positions(chunk: _Chunk, spec: WindowSpec, now: int) -> dict[int | None, np.ndarray]:
    """Return, for each edge, the position in the chunk of each customer's first row of that age or younger.

    Rows of an age in (start, end] are those from the position of `end` to the position of `start`; None is the
    customer's first row.
    """
    customer_start = np.arange(len(chunk.ids), dtype=np.int64) << DAY_BITS
    days = {edge: max(now - edge + DAY_ZERO, 0) for edge in spec.edges}
    positions: dict[int | None, np.ndarray] = {
        edge: np.searchsorted(chunk.sort_key, customer_start + day) for edge, day in days.items()
    }
    return positions | {None: np.searchsorted(chunk.sort_key, customer_start)}


def _span_total(totals: np.ndarray, span: Span, positions: Mapping[int | None, np.ndarray]) -> np.ndarray:
    return totals[positions[span.start]] - totals[positions[span.end]]


def _customers_present(
    positions: Mapping[int | None, np.ndarray], spec: WindowSpec, visible: np.ndarray | None
) -> np.ndarray:
    """Return which customers have a visible row in any span."""
    present = np.zeros(len(positions[None]), bool)
    counts = None if visible is None else _running_total(visible)
    for span in spec.spans:
        rows = positions[span.start] - positions[span.end] if counts is None else _span_total(counts, span, positions)
        present |= rows > 0
    return present


def _sums(
    chunk: _Chunk,
    spec: WindowSpec,
    measure: WindowMeasure,
    positions: Mapping[int | None, np.ndarray],
    visible: np.ndarray | None,
) -> Iterator[pa.Array]:
    """Yield the sum over each span."""
    powers = sorted((i for name, i in chunk.summands if name == measure.name), reverse=True)
    totals = {i: _visible_total(chunk, (measure.name, i), visible) for i in powers}
    for span in spec.spans:
        parts = {i: _span_total(totals[i], span, positions) for i in powers}
        if measure.merge != "squares":
            yield _arrow_array(parts[0].astype(str(ARROW_TYPES[measure.merge])))
            continue
        total = np.zeros(len(positions[None]))
        for i, part in parts.items():
            total += part * 2.0 ** (LIMB_BITS * i)
        yield _arrow_array(total)


def _visible_total(chunk: _Chunk, name: tuple[str, int], visible: np.ndarray | None) -> np.ndarray:
    return chunk.totals[name] if visible is None else _running_total(chunk.summands[name] * visible)


def _extremes(
    chunk: _Chunk,
    spec: WindowSpec,
    measure: WindowMeasure,
    positions: Mapping[int | None, np.ndarray],
    visible: np.ndarray | None,
) -> Iterator[pa.Array]:
    """Yield the maximum or minimum over each span: over panes first, then over the panes of the span."""
    empty = EMPTY_EXTREME[measure.merge]
    combine = np.maximum if measure.merge == "max" else np.minimum
    x = chunk.extremes[measure.name]
    if visible is not None:
        x = np.where(np.append(visible, True), x, empty)
    panes = {}
    for newer, older in spec.panes:
        ends = np.stack([positions[older], positions[newer]], axis=1).ravel()
        extremes = combine.reduceat(x, ends)[::2] if len(ends) else np.empty(0, np.int64)
        panes[newer, older] = np.where(positions[newer] > positions[older], extremes, empty)
    for span in spec.spans:
        inside = [extremes for pane, extremes in panes.items() if span.holds(pane)]
        extreme = combine.reduce(inside)
        yield _arrow_array(extreme, extreme != empty)
