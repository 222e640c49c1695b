"""What Spark's workers run of `SparkEngine`: a module of its own, so that they need not import the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import pyarrow as pa

from features.engines.window_aggregate import aggregate_batches
from features.engines.window_spec import WindowSpec


def map_batches(
    batches: Iterable[pa.RecordBatch], function: Callable[[pa.Table], pa.Table], columns: pa.Schema, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Batches through a function: `columns` is what it is given, `schema` what it is to give."""
    for batch in batches:
        made = function(pa.Table.from_batches([batch]).cast(columns))
        yield from made.select(schema.names).cast(schema).to_batches()


def aggregate_windows(
    batches: Iterable[pa.RecordBatch], plan: WindowSpec, columns: pa.Schema, sources: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """The sorted rows of some whole customers to their measures; `columns` has the rows' types."""
    tables = (pa.Table.from_batches([batch]).cast(columns) for batch in batches)
    yield from aggregate_batches((batch for table in tables for batch in table.to_batches()), plan, sources)
