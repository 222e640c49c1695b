"""Reads columns of numbers, alike on every engine."""

from __future__ import annotations

import ibis

from features.intake.columns import BLANK_CHARACTERS
from features.money import LARGEST_AMOUNT, TICKS

DIGITS = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
INFINITE = r"[+-]?[iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN]"
NUMBER = rf"^{BLANK_CHARACTERS}({DIGITS}|{INFINITE}){BLANK_CHARACTERS}$"


def as_number(column: ibis.Value) -> ibis.Value:
    """A column as floats; null where it is not a number."""
    if column.type().is_string():
        column = column.re_search(NUMBER).ifelse(column, ibis.null("string"))
    return column.try_cast("float64")


def as_ticks(number: ibis.Value, reason: ibis.Value) -> ibis.Value:
    """Numbers as whole ten-thousandths (ticks); null where a number is unusable or its row is set aside."""
    usable = reason.isnull() & number.notnull() & ~number.isnan() & (number.abs() <= LARGEST_AMOUNT)
    return usable.ifelse((number * TICKS).round(), ibis.null("float64")).cast("int64")
