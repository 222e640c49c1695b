"""Ids are read as text by one rule."""

from __future__ import annotations

from typing import Any

import pytest

from features.engines.duckdb import DuckDBEngine
from features.intake.identifiers import as_identifier
from tests.features.intake.column_values import compute_values


@pytest.mark.parametrize(
    ("values", "ids"),
    [([17850.0, 2.5, None], ["17850", "2.5", None]), ([17850], ["17850"]), (["C-1", " "], ["C-1", None])],
)
def test_ids(engine: DuckDBEngine, values: list[Any], ids: list[Any]) -> None:
    assert compute_values(engine, values, as_identifier) == ids
