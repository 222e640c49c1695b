"""The types of CSV columns: whole numbers, floats, yes or no, or text; never times, whose layout the config says.

A column gets the narrowest type that reads all its values in all files without loss. A number with a leading zero or
plus sign, or with more digits than a float holds, is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

BOOLEAN, INTEGER, FLOAT, TEXT = "BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR"
ID = "ID"  # a whole number that a float keeps
BOOLEANS = ("true", "false", "t", "f", "yes", "no")
MOST_DIGITS = 16  # of a number that is a float without loss
MAYBE_THOUSANDS = re.compile(r"^-?[1-9][0-9]{0,2}[.][0-9]{3}$")  # 1.234
WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,18})")  # which may be too large: the counts decide
NUMBER = re.compile(r"-?(?=[.]?[0-9])(0|[1-9][0-9]*)?([.][0-9]*)?(e[-+]?[0-9]+)?|-?(inf|infinity|nan)", re.IGNORECASE)
MANY_DIGITS = re.compile(rf"-?[0-9]{{{MOST_DIGITS},}}([.]0*)?")


def guess_type(values: Iterable[str]) -> str:
    """Return the type that some values of a column suggest; '' if they are all blank.

    >>> guess_type(["1", " 2"]), guess_type(["1", "2.5"]), guess_type(["00042"]), guess_type(["Yes"]), guess_type([""])
    ('BIGINT', 'DOUBLE', 'VARCHAR', 'BOOLEAN', '')
    """
    kind = ""
    for value in values:
        if text := value.strip():
            kind = common_type(kind, _type_of(text))
            if kind == TEXT:
                break
    return kind


def common_type(one: str, other: str) -> str:
    """Return the type that holds the values of two types; '' is a column without values.

    >>> common_type("BIGINT", "DOUBLE"), common_type("", "BOOLEAN"), common_type("BOOLEAN", "BIGINT")
    ('DOUBLE', 'BOOLEAN', 'VARCHAR')
    """
    if one == other or not other:
        return one
    if not one:
        return other
    return FLOAT if {one, other} == {INTEGER, FLOAT} else TEXT


def _type_of(text: str) -> str:
    if WHOLE_NUMBER.fullmatch(text):
        return INTEGER
    if NUMBER.fullmatch(text):
        return TEXT if MANY_DIGITS.fullmatch(text) else FLOAT
    return BOOLEAN if text.lower() in BOOLEANS else TEXT


def exceptions_test(column: str, kind: str, is_id: bool = False) -> str:
    """Return SQL that is true where a quoted text column may not be of a type; rarely also where it is.

    It is fast, and exact enough to confirm the type of a column. `detailed_counts` decides where it finds anything.

    Args:
        column: The column.
        kind: Its guessed type.
        is_id: Whether it must keep how its values are written.

    Returns:
        The SQL.
    """
    if kind == INTEGER:
        return f"try_cast({column} AS BIGINT)::VARCHAR IS DISTINCT FROM {column}"
    if kind == FLOAT and not is_id:
        return f"{column} IS NOT NULL AND (try_cast({column} AS DOUBLE) IS NULL OR {_odd_number(column)})"
    if kind == BOOLEAN and not is_id:
        return f"lower({column}) NOT IN {BOOLEANS!r}"
    return f"{column} IS NOT NULL"


def _odd_number(text: str) -> str:
    """SQL that is true where a number is long, or is written in a way that a float does not keep."""
    return (
        f"(length({text}) >= {MOST_DIGITS} AND (NOT contains({text}, '.') OR suffix({text}, '.0'))) "
        f"OR contains({text}, '_') OR {text} ^@ '+' "
        f"OR ({text} >= '00' AND {text} < '0:') OR ({text} >= '-00' AND {text} < '-0:')"
    )


def detailed_counts(column: str) -> dict[str, str]:
    """Return SQL that counts, in a quoted text column, the values in all and those of each type."""
    text = f"nullif(trim({column}), '')"
    digits = f"regexp_matches({text}, '^-?[0-9]{{{MOST_DIGITS},}}([.]0*)?$')"
    odd = f"contains({text}, '_') OR {text} ^@ '+' OR regexp_matches({text}, '^-?0[0-9]+$') OR {digits}"
    return {
        "values": f"count({text})",
        INTEGER: f"count_if(try_cast({text} AS BIGINT)::VARCHAR = {text})",
        FLOAT: f"count_if(try_cast({text} AS DOUBLE) IS NOT NULL AND NOT ({odd}))",
        BOOLEAN: f"count_if(lower({text}) IN {BOOLEANS!r})",
        ID: f"count_if(regexp_matches({text}, '^(0|-?[1-9][0-9]{{0,14}})([.]0+)?$'))",
    }


def decide_type(counts: Mapping[str, int], is_id: bool = False) -> str:
    """Return the type of a column from its counts, as `detailed_counts` names them.

    >>> decide_type({"values": 2, "BIGINT": 1, "DOUBLE": 2, "BOOLEAN": 0, "ID": 1})
    'DOUBLE'
    >>> decide_type({"values": 2, "BIGINT": 1, "DOUBLE": 2, "BOOLEAN": 0, "ID": 1}, is_id=True)
    'VARCHAR'
    """
    values = counts["values"]
    if is_id and counts[INTEGER] != values:
        return FLOAT if values and counts[ID] == values else TEXT
    return next((kind for kind in (INTEGER, FLOAT, BOOLEAN) if values and counts[kind] == values), TEXT)


def counts_of_points(column: str) -> tuple[str, str]:
    """Return SQL that counts, in a quoted text column, numbers such as 1.234, and other numbers with a point.

    The point of the former may separate thousands.
    """
    text = f"nullif(trim({column}), '')"
    return (
        f"count_if(regexp_matches({text}, '{MAYBE_THOUSANDS.pattern}'))",
        f"count_if(contains({text}, '.') AND NOT regexp_matches({text}, '{MAYBE_THOUSANDS.pattern}'))",
    )


def as_type(column: str, kind: str) -> str:
    """Return SQL that reads a quoted text column as a type; blank text of another type than text is null."""
    return column if kind == TEXT else f"try_cast({column} AS {kind})"
