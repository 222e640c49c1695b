"""Functions that Spark's workers run; in a separate module, so that workers need not import the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import pyarrow as pa

from features.engines.window_aggregate import aggregate_batches
from features.engines.window_spec import WindowSpec


def map_batches(
    batches: Iterable[pa.RecordBatch], function: Callable[[pa.Table], pa.Table], columns: pa.Schema, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Apply a function to batches of rows.

    Args:
        batches: The input rows.
        function: From a table of rows to a table of any number of rows.
        columns: The schema of the function's input.
        schema: The schema of the output; columns are cast and ordered to it.

    Yields:
        Batches of `schema`.
    """
    for batch in batches:
        output = function(pa.Table.from_batches([batch]).cast(columns))
        yield from output.select(schema.names).cast(schema).to_batches()


def aggregate_windows(
    batches: Iterable[pa.RecordBatch], spec: WindowSpec, columns: pa.Schema, column_names: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """Aggregate one partition: all rows of some customers, sorted by customer and day.

    Args:
        batches: The rows, with the columns that `window_aggregate.select_inputs` selects.
        spec: The cutoffs, the spans and the measures.
        columns: The schema of the rows.
        column_names: The name of the column for each input.

    Yields:
        Batches of `spec.schema`.
    """
    tables = (pa.Table.from_batches([batch]).cast(columns) for batch in batches)
    yield from aggregate_batches((batch for table in tables for batch in table.to_batches()), spec, column_names)
