"""The guess of [events]: what is said of amounts."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config_guess import guess_config
from features.config_guess.events import money_by_values

START = datetime(2024, 1, 1)  # noqa: DTZ001 (as shops write it)


@pytest.mark.parametrize(("name", "asks"), [("amount_cents", True), ("amount", False), ("percent_total", False)])
def test_amounts_in_cents_are_asked_about(name: str, asks: bool, tmp_path: Path) -> None:
    rows = range(120)
    columns = {
        "customer_id": [f"c{n % 30}" for n in rows],
        "created": [START + timedelta(days=n) for n in rows],
        name: [1250 + n for n in rows],
    }
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    assert ("divide it by 100" in guess_config("log.parquet", tmp_path).text) == asks


def test_without_numbers_no_column_is_money() -> None:
    assert money_by_values([]) == []
