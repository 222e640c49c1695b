"""Amounts in several currencies are converted by a table of rates, or only those of one currency are used."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pytest

from features.engines.duckdb import DuckDBEngine
from features.parsing.exchange_rates import decide_exchange_rates

TEXTS = ["EUR", "eur ", "€", "USD", "$", "Euro", "bitcoin", None]


@pytest.mark.parametrize(
    ("rates", "expected", "without"),
    [
        ({}, [1.0, 1.0, 1.0, None, None, 1.0, None, None], {"USD", "$", "bitcoin"}),
        ({"EUR": 1.0, "USD": 0.9}, [1.0, 1.0, 1.0, 0.9, 0.9, 1.0, None, None], {"bitcoin"}),
        ({"USD": 1.0, "AUD": 0.7}, [None, None, None, 1.0, None, None, None, None], {"EUR", "$", "bitcoin"}),
    ],
)
def test_rates(
    rates: Mapping[str, float], expected: list[float | None], without: set[str], engine: DuckDBEngine
) -> None:
    rows = engine.store_arrow("money", pa.table({"place": range(len(TEXTS)), "currency": TEXTS}))
    decided = decide_exchange_rates(rows.currency, engine, rates)
    values = engine.to_arrow(rows.select("place", rate=decided.rate(rows.currency)).order_by("place"))
    assert values["rate"].to_pylist() == expected
    assert set(decided.without_rate) == without
    assert decided.rows == {"EUR": 4, "USD": 1, "$": 1, "bitcoin": 1}
