"""The types of CSV columns, as Python guesses and as DuckDB confirms them."""

from __future__ import annotations

import duckdb
import pytest

from features.sources.csv_types import (
    BOOLEAN,
    FLOAT,
    INTEGER,
    TEXT,
    decide_type,
    detailed_counts,
    exceptions_test,
    guess_type,
)

CASES = [
    (["1", "2", " 3", ""], INTEGER, INTEGER),
    (["-1", "0"], INTEGER, INTEGER),
    (["1", "2.5"], FLOAT, TEXT),
    (["1001.0", "1002.00"], FLOAT, FLOAT),
    (["1e5", "-.5", "nan", "inf"], FLOAT, TEXT),
    (["0.30000000000000004", "12.345678901234567"], FLOAT, TEXT),
    (["9223372036854775807", "1"], INTEGER, INTEGER),
    (["12345678901234567.0", "1.5"], TEXT, TEXT),
    (["E5", "1.5"], TEXT, TEXT),
    (["-", "."], TEXT, TEXT),
    (["00042", "43"], TEXT, TEXT),
    (["007", "1.5"], TEXT, TEXT),
    (["+4", "5"], TEXT, TEXT),
    (["1_000"], TEXT, TEXT),
    (["99999999999999999999", "1.5"], TEXT, TEXT),
    (["9007199254740993", "2.5"], TEXT, TEXT),
    (["0x1F"], TEXT, TEXT),
    (["true", "F", "yes", "No"], BOOLEAN, TEXT),
    (["true", "1"], TEXT, TEXT),
    (["2024-01-05"], TEXT, TEXT),
    (["1", "A"], TEXT, TEXT),
]


@pytest.mark.parametrize(("values", "kind", "kind_of_id"), CASES)
def test_types(values: list[str], kind: str, kind_of_id: str) -> None:
    con = duckdb.connect()
    con.execute("CREATE TABLE t AS SELECT nullif(unnest(?), '') AS c", [values])
    counts = dict(
        zip(
            detailed_counts("c"),
            con.execute(f"SELECT {', '.join(detailed_counts('c').values())} FROM t").fetchone(),
            strict=True,
        )
    )
    assert (decide_type(counts), decide_type(counts, is_id=True)) == (kind, kind_of_id)
    guess = guess_type(values)
    flagged = con.execute(f"SELECT count_if({exceptions_test('c', guess)}) FROM t").fetchone()[0]
    assert guess == kind or guess == TEXT or flagged
    for wrong in {INTEGER, FLOAT, BOOLEAN} - {kind, *((FLOAT,) if kind == INTEGER else ())}:
        assert con.execute(f"SELECT count_if({exceptions_test('c', wrong)}) FROM t").fetchone()[0] > 0


def test_a_column_without_values_is_text() -> None:
    assert guess_type(["", " "]) == ""
    assert decide_type({"values": 0, INTEGER: 0, FLOAT: 0, BOOLEAN: 0, "ID": 0}) == TEXT
