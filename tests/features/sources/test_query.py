"""What a query may be, in every dialect: one SELECT statement."""

from __future__ import annotations

import pytest

from features.errors import UsageError
from features.sources.query import query_problem, require_one_select, without_semicolon


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM source",
        "  -- a comment;\n /* and; another */ FROM source SELECT n",
        "(SELECT 1) UNION ALL (SELECT 2);",
        "WITH a AS (SELECT ')' AS x) SELECT * FROM a ; -- the end",
        "VALUES (1), (2)",
        "SELECT ';', $$ ; $$, $x$ ;) $x$ FROM source",
        "SELECT regexp_replace(a, '\\', '') FROM source;",
        r"SELECT 'it\'s; here' FROM source",  # as Spark reads it
    ],
)
def test_one_select_is_a_query(sql: str) -> None:
    assert query_problem(sql) == ""


@pytest.mark.parametrize(
    ("sql", "found_text"),
    [
        ("", "none"),
        (" ;-- nothing\n", "none"),
        ("COPY (SELECT 1) TO 'x.csv'", "COPY"),
        ("attach 'other.db'", "ATTACH"),
        ("INSTALL httpfs", "INSTALL"),
        ("LOAD httpfs", "LOAD"),
        ("SET threads = 1", "SET"),
        ("PRAGMA version", "PRAGMA"),
        ("INSERT INTO source VALUES (1)", "INSERT"),
        ("SELECT 1; DROP TABLE source", "several statements"),
        ("SELECT 1) ; DROP TABLE source; SELECT (1", "several statements"),
        ("SELECT 1) UNION (SELECT 2", "a closing parenthesis too many"),
    ],
)
def test_anything_else_is_named(sql: str, found_text: str) -> None:
    with pytest.raises(UsageError) as problem:
        require_one_select(sql, "activities.visits")
    rule = "expected one SELECT statement, which only reads"
    assert str(problem.value) == f"[activities.visits] query: {rule}, found {found_text}"


def test_the_semicolon_at_the_end() -> None:
    assert without_semicolon("SELECT 1 ; -- done;") == "SELECT 1"
    assert without_semicolon("SELECT ';' -- done") == "SELECT ';' -- done"
