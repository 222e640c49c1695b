"""`check` looks at amounts: rows that outweigh the others, currencies, order ids used again, rows that count twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.audit.amounts import amount_notes
from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.intake.read_log import read_tables

Notes = Callable[..., list[str]]
HEADER = "customer,time,amount,order,cur"


@pytest.fixture
def notes(tmp_path: Path, make_config: Callable[..., Config], engine: DuckDBEngine) -> Notes:
    """From the lines of files to the notes on amounts."""

    def make(*files: Sequence[str], **events: Any) -> list[str]:
        (tmp_path / "log").mkdir()
        for number, lines in enumerate(files):
            (tmp_path / "log" / f"{number}.csv").write_text("\n".join([HEADER, *lines]) + "\n")
        config = make_config(**{"source": "log", "amount": "amount", "order": "order", **events})
        tables = read_tables(config, engine)
        repeated = engine.count_rows(tables.source) - engine.count_rows(tables.source.distinct())
        return amount_notes(config, tables, engine, repeated)

    return make


def lines(days: int, start: date = date(2024, 1, 1), amount: str = "20", currency: str = "EUR") -> list[str]:
    return [f"c{n % 7},{start + timedelta(n)},{amount},{start.month}-{n},{currency}" for n in range(days)]


def test_ordinary_amounts_have_no_note(notes: Notes) -> None:
    assert notes([*lines(99), "c1,2024-02-01,1500,big,EUR"]) == []


@pytest.mark.parametrize("sign", ["", "-"])
def test_rows_that_outweigh_the_others_are_named(sign: str, notes: Notes) -> None:
    heavy = [f"c9,2024-02-01,{sign}9500000000,x,EUR", f"c8,2024-02-02,{sign}999999999999,y,EUR"]
    (note,) = notes([*lines(99), *heavy])
    assert note.startswith(
        "2 rows hold 100.0% of the money, 9,500,000,000.00 or more each (customers such as 'c8', 'c9')"
    )


def test_one_row_with_a_large_share_is_named(notes: Notes) -> None:
    (note,) = notes([*lines(99), "c9,2024-02-01,3000,x,EUR"])
    assert note.startswith("1 row holds 60.2% of the money, 3,000.00 (customer 'c9')")


@pytest.mark.parametrize("currency", ["", "EUR"])
def test_a_column_of_several_currencies_is_named_until_the_config_does(currency: str, notes: Notes) -> None:
    mixed = [*lines(8), *lines(3, date(2024, 5, 1), currency="usd")]
    (note,) = notes(mixed, currency=currency)
    assert note.startswith("column 'cur' holds codes of several currencies (rows: EUR 8, USD 3)")


def test_no_note_on_a_column_of_currencies_that_the_config_names(notes: Notes) -> None:
    mixed = [*lines(8), *lines(3, date(2024, 5, 1), currency="USD")]
    assert notes(mixed, currency="cur", rates={"EUR": 1, "USD": 0.9}) == []


def test_order_ids_that_are_used_again_are_named(notes: Notes) -> None:
    (note,) = notes(["a,2024-01-01,5,17,EUR", "a,2024-06-01,5,17,EUR", "b,2024-06-01,5,17,EUR"])
    assert note.startswith("1 order id was used again by the same customer after more than 30 days")
    assert "(such as '17')" in note


def test_files_that_share_rows_are_named(notes: Notes) -> None:
    january, more = lines(31), lines(60)
    (note,) = notes(january, more, lines(5, date(2024, 8, 1)))
    assert note.startswith(
        "31 rows are the same in two files or more (log/0.csv and log/1.csv: 31): overlapping exports?"
    )


def test_rows_that_repeat_within_a_file_are_no_overlap(notes: Notes) -> None:
    assert notes([*lines(5), *lines(5)], lines(5, date(2024, 8, 1))) == []
