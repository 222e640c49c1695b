"""Corruption changes what became known from the cutoff on, and nothing before it."""

from __future__ import annotations

from datetime import date, timedelta

import ibis
import pyarrow as pa
import pytest

from features.engines.duckdb import DuckDBEngine
from features.errors import DataError
from features.snapshots.leakage_corruption import NEW_CUSTOMER_PREFIX, corrupt_after, delete_after

CUTOFF = date(2024, 6, 1)


def rows(n: int = 60) -> pa.Table:
    """Rows on both sides of the cutoff; every third becomes known 40 days after it happened."""
    days = [CUTOFF + timedelta(number - n // 2) for number in range(n)]
    seen = [day + timedelta(40 if number % 3 == 0 else 0) for number, day in enumerate(days)]
    columns = {"customer_id": [f"c{number}" for number in range(n)], "day": days, "seen": seen}
    return pa.table({**columns, "amount": list(range(n)), "shop": ["web"] * n})


def test_only_rows_known_before_the_cutoff_are_left(engine: DuckDBEngine) -> None:
    kept = engine.to_arrow(delete_after(ibis.memtable(rows()), CUTOFF))
    assert max(kept["seen"].to_pylist()) < CUTOFF and kept.num_rows == 20


def test_known_rows_stay_and_the_others_change(engine: DuckDBEngine) -> None:
    table = ibis.memtable(rows())
    before = engine.to_arrow(delete_after(table, CUTOFF)).to_pylist()
    after = engine.to_arrow(corrupt_after(table, CUTOFF)).to_pylist()
    assert sorted((row for row in after if row["seen"] < CUTOFF), key=str) == sorted(before, key=str)
    changed = [row for row in after if row["seen"] >= CUTOFF]
    originals = [row for row in rows().to_pylist() if row["seen"] >= CUTOFF]
    assert any(row["customer_id"].startswith(NEW_CUSTOMER_PREFIX) for row in changed)
    assert len(changed) >= 2 * len(originals)
    assert {row["shop"] for row in changed} > {"web"} and {row["day"] < CUTOFF for row in changed} == {True, False}


def test_a_type_that_cannot_be_corrupted_is_named(engine: DuckDBEngine) -> None:
    table = ibis.memtable(rows().append_column("tags", pa.array([["a"]] * 60)))
    with pytest.raises(DataError, match="column 'tags' holds array<string>"):
        corrupt_after(table, CUTOFF)
