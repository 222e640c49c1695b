"""Names and texts as parts of SQL: every statement that this project builds quotes them here."""

from __future__ import annotations


def quote_name(text: str, quote: str = '"') -> str:
    """Quote a name for SQL.

    >>> quote_name("first name"), quote_name("a`b", "`")
    ('"first name"', '`a``b`')
    """
    return quote + text.replace(quote, quote * 2) + quote


def quote_text(text: str) -> str:
    """Write a text as a value of SQL.

    >>> quote_text("d'Arc")
    "'d''Arc'"
    """
    return "'" + text.replace("'", "''") + "'"
