"""What Spark's workers run of `SparkEngine.map_rows`: a module of its own, so that they need not import the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa


def mapped(
    batches: Iterable[pa.RecordBatch], function: Callable[[pa.Table], pa.Table], columns: pa.Schema, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Batches through a function: `columns` is what it is given, `schema` what it is to give."""
    for batch in batches:
        made = function(pa.Table.from_batches([batch]).cast(columns))
        yield from made.select(schema.names).cast(schema).to_batches()
