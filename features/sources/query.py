"""What a `query` of the config may be, in every dialect of SQL: one SELECT statement, which changes nothing."""

from __future__ import annotations

import re

from features.errors import UsageError

FIRST_WORDS = ("select", "with", "from", "values", "table", "pivot", "unpivot")
COMMENTS = r"--[^\n]*|/\*.*?\*/"
NAMES = r'"(?:[^"]|"")*"|`[^`]*`|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$'  # and texts in dollar quotes
TEXTS = (r"'(?:[^']|'')*'", r"'(?:[^'\\]|\\.|'')*'")  # as in standard SQL; with escapes, as in Spark
QUERY_RULE = "expected one SELECT statement, which only reads"


def query_problem(sql: str) -> str:
    """Return why a text cannot be a query, or '' if it can. Whether it is valid SQL is left to the engine.

    >>> query_problem("SELECT * FROM source -- all; of it")
    ''
    >>> query_problem("SELECT 1; DROP TABLE orders")
    'expected one SELECT statement, which only reads, found several statements'
    >>> query_problem("COPY source TO 'orders.csv'")
    'expected one SELECT statement, which only reads, found COPY'
    """
    readings = [_without_quotes(sql, texts) for texts in TEXTS]
    first = re.match(r"[\s(]*(\w*)", readings[0])
    word = first[1] if first else ""
    if not readings[0].strip("; \t\r\n"):
        return f"{QUERY_RULE}, found none"
    if word.lower() not in FIRST_WORDS:
        return f"{QUERY_RULE}, found {word.upper() or 'something else'}"
    if all(";" in reading.rstrip("; \t\r\n") for reading in readings):
        return f"{QUERY_RULE}, found several statements"
    if all(map(_closes_too_early, readings)):
        return f"{QUERY_RULE}, found a closing parenthesis too many"
    return ""


def require_one_select(sql: str, section: str) -> None:
    """Check that a query of a section is one SELECT statement.

    Raises:
        UsageError: It is not.
    """
    if problem := query_problem(sql):
        raise UsageError(f"[{section}] query: {problem}")


def without_semicolon(sql: str) -> str:
    """Return a query without the semicolon at its end, so that it can stand in parentheses.

    >>> without_semicolon("SELECT ';' FROM source; -- the end")
    "SELECT ';' FROM source"
    """
    masked = _pattern(TEXTS[0]).sub(lambda match: " " * len(match[0]) if match["comment"] else "?" * len(match[0]), sql)
    ends = masked.rstrip("; \t\r\n")
    return sql[: len(ends)] if ";" in masked[len(ends) :] else sql


def quoted_texts(sql: str) -> list[str]:
    """Return the texts and names in quotes, some of which may be paths of files.

    >>> quoted_texts("SELECT * FROM 'a.csv' JOIN 'b.csv' USING (id) -- 'c.csv'")
    ['a.csv', 'b.csv']
    """
    texts = (match[0] for match in _pattern(TEXTS[0]).finditer(sql) if not match["comment"])
    return [text[1:-1].replace(text[0] * 2, text[0]) for text in texts if text[0] in "'\""]


def _pattern(texts: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<comment>{COMMENTS})|{NAMES}|{texts}", re.DOTALL)


def _without_quotes(sql: str, texts: str) -> str:
    """SQL in which quoted texts and names are a question mark, and comments a space."""
    return _pattern(texts).sub(lambda match: " " if match["comment"] else " ? ", sql)


def _closes_too_early(sql: str) -> bool:
    """Whether more parentheses are closed than were opened, at some place."""
    depth = 0
    for character in sql:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return True
    return False
