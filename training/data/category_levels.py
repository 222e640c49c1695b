"""Text columns as numbers for LightGBM: their common levels, learned from the training rows.

A level that fewer than 20 customers have is never kept: it could be a name. It counts as 'other', as does every text
that is not in the training rows.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from training.artifact.bundle import Levels, encode_levels
from training.data.time_split import Sample

MOST_LEVELS = 32
FEWEST_CUSTOMERS = 20


def learn_levels(rows: Sample) -> Levels:
    """The levels that a model may distinguish in each text column: at most 32, those with the most customers first.

    Args:
        rows: The training rows only; a customer counts once, however many cutoffs they appear at.
    """
    return {name: _common(rows.features[name], rows.customers) for name in text_columns(rows.features)}


def text_columns(features: pa.Table) -> tuple[str, ...]:
    """The columns that hold text."""
    return tuple(f.name for f in features.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type))


def encode_sample(rows: Sample, levels: Levels) -> Sample:
    """The same rows with text replaced by codes."""
    features = rows.features
    columns = {n: encode_levels(features[n], levels[n]) if n in levels else features[n] for n in features.column_names}
    return replace(rows, features=pa.table(columns))


def _common(column: pa.ChunkedArray, customers: pa.ChunkedArray) -> tuple[str, ...]:
    pairs = pa.table({"level": column.cast(pa.string()), "customer": customers}).filter(column.is_valid())
    once = pairs.group_by(["level", "customer"]).aggregate([])
    counts = once.group_by("level").aggregate([("customer", "count")])
    known = counts.filter(pc.greater_equal(counts["customer_count"], FEWEST_CUSTOMERS))
    ordered = known.sort_by([("customer_count", "descending"), ("level", "ascending")])
    return tuple(ordered["level"].to_pylist()[:MOST_LEVELS])
