"""The specification of a window aggregation: cutoffs, spans of the past, measures, and the resulting columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import ibis
import pyarrow as pa

from features.task import Window

Merge = Literal["count", "sum", "squares", "max", "min"]
Pane = tuple[int, int | None]
ARROW_TYPES = {"count": pa.int32(), "sum": pa.int64(), "squares": pa.float64(), "max": pa.int64(), "min": pa.int64()}


@dataclass(frozen=True)
class Span:
    """A span of the past: the days whose age at the cutoff is in (start, end]; yesterday's age is 1.

    Attributes:
        name: The suffix of the names of its columns.
        start: The number of days just before the cutoff that it leaves out.
        end: The age of its first day; None: it reaches back to the first row.

    Raises:
        ValueError: The span contains no day.

    >>> Span.window(Window(30)), Span.before(Window(30))
    (Span(name='30d', start=0, end=30), Span(name='30d_before', start=30, end=60))
    """

    name: str
    start: int = 0
    end: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise ValueError(
                f"a span runs from an age of 0 days or more to a greater age, found ({self.start}, {self.end}]"
            )

    @classmethod
    def window(cls, window: Window) -> Span:
        """Return the span of a window that ends at the cutoff."""
        return cls(str(window), 0, window.days)

    @classmethod
    def before(cls, window: Window) -> Span:
        """Return the span of the same length just before that window."""
        return cls(f"{window}_before", window.days, 2 * window.days)

    def holds(self, pane: Pane) -> bool:
        """Return whether a pane lies inside the span; panes never cross an edge of a span."""
        newer, older = pane
        return newer >= self.start and (self.end is None or (older is not None and older <= self.end))


EVER = Span("ever")


@dataclass(frozen=True)
class WindowMeasure:
    """A measure: the value of one row, and how the values of a span are merged.

    Attributes:
        name: The prefix of the names of its columns.
        of: From the rows to a column of integers, of booleans for a count, or of days (which become days since 1970);
            nulls are ignored. None if the column was already computed.
        merge: 'count' (of true values), 'sum', 'squares' (the sum of squares, as a float), 'max' or 'min'.
    """

    name: str
    of: Callable[[ibis.Table], ibis.Value] | None
    merge: Merge = "sum"


@dataclass(frozen=True)
class WindowSpec:
    """Everything that one window aggregation computes.

    Attributes:
        cutoffs: The cutoffs.
        spans: The spans of the past.
        measures: The measures to aggregate over each span.
        distinct: Columns whose distinct values are counted, by the name of the count; only over spans that start at the
            cutoff, because in other spans a later row of the same value would hide it.
        fresh: Columns whose new values are counted, by the name of the count: a value counts in the span of its first
            row.
    """

    cutoffs: tuple[date, ...]
    spans: tuple[Span, ...]
    measures: tuple[WindowMeasure, ...]
    distinct: Mapping[str, str] = field(default_factory=dict)
    fresh: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> tuple[str, ...]:
        """The columns whose distinct or new values are counted."""
        return tuple(dict.fromkeys((*self.distinct.values(), *self.fresh.values())))

    @property
    def edges(self) -> list[int]:
        """The finite ages at which a span starts or ends, ascending."""
        return sorted({s.start for s in self.spans} | {s.end for s in self.spans if s.end is not None})

    @property
    def panes(self) -> list[Pane]:
        """The intervals between neighbouring edges that lie in a span, latest first, as ages in (newer, older].

        >>> WindowSpec((), (Span("7d", 0, 7), Span("30d", 0, 30), Span("a_year_ago", 365, 372)), ()).panes
        [(0, 7), (7, 30), (365, 372)]
        >>> WindowSpec((), (Span("7d", 0, 7), EVER), ()).panes
        [(0, 7), (7, None)]
        """
        candidates = zip(self.edges, [*self.edges[1:], None], strict=True)
        return [pane for pane in candidates if any(span.holds(pane) for span in self.spans)]

    @property
    def schema(self) -> pa.Schema:
        """customer_id, cutoff, then `<measure>_<span>`, `<distinct>_<span>` and `<fresh>_<span>`."""
        columns = [("customer_id", pa.string()), ("cutoff", pa.date32())]
        for m in self.measures:
            columns += [(f"{m.name}_{s.name}", ARROW_TYPES[m.merge]) for s in self.spans]
        columns += [(f"{name}_{s.name}", pa.int32()) for name in self.distinct for s in self.spans if not s.start]
        columns += [(f"{name}_{s.name}", pa.int32()) for name in self.fresh for s in self.spans]
        return pa.schema(columns)
