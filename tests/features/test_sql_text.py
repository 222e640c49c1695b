"""Names and texts are quoted for SQL so that a database reads them back as they are."""

from __future__ import annotations

import duckdb
import pytest

from features.sql_text import quote_name, quote_text


@pytest.mark.parametrize("text", ["a", "", "d'Arc", '"a" "b"', "`x`", "'; DROP TABLE t; --", "客户", "a\\'b"])
def test_a_database_reads_a_quoted_text_as_it_is(text: str) -> None:
    row = duckdb.sql(f"SELECT {quote_text(text)} AS {quote_name(text or 'empty')}")
    assert row.columns == [text or "empty"] and row.fetchall() == [(text,)]


def test_a_name_is_quoted_by_the_mark_of_the_database() -> None:
    assert quote_name("a`b", "`") == "`a``b`"
