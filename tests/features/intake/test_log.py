"""A log is opened from a config, its path, or a table in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from features.config.load import Config
from features.errors import UsageError
from features.intake.log import LOG_FILE, arrow_table, as_date, config_of, open_log

ROWS = pa.table({"who": ["ann", "bob"], "day": [date(2024, 1, 5), date(2024, 2, 9)], "paid": [10.0, 5.0]})


def test_a_table_in_memory_is_a_log(tmp_path: Path) -> None:
    with open_log(ROWS, folder=tmp_path, name="shop", customer="who", time="day", amount="paid") as log:
        assert log.config.name == "shop" and (tmp_path / LOG_FILE).exists()
        assert log.to_pandas()[["customer_id", "amount"]].values.tolist() == [["ann", 100_000], ["bob", 50_000]]
    assert log.tables.rows == 2  # opened again
    log.close()


def test_a_config_and_an_opened_log_are_taken_unchanged(make_config: Callable[..., Config]) -> None:
    config = make_config()
    log = open_log(config)
    assert open_log(log) is log and config_of(log) is config and config_of(config) is config


@pytest.mark.parametrize("source", [ROWS, ROWS.to_pandas()])
def test_tables_of_other_libraries(source: Any) -> None:
    assert arrow_table(source)["who"].to_pylist() == ["ann", "bob"]
    assert isinstance(source, pa.Table | pd.DataFrame)


def test_what_is_no_table_or_no_date_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a config, its path, or a pandas, .* table; found int"):
        arrow_table(7)
    assert as_date("2024-06-01") == as_date(date(2024, 6, 1)) == date(2024, 6, 1)
    with pytest.raises(UsageError, match="'June' is no date: expected one such as 2024-06-01"):
        as_date("June")
