"""Whole numbers in columns of floats."""

from __future__ import annotations

from typing import Any

import ibis

EXACT_BELOW = 2**53  # below it, a float holds every whole number


def whole_number(column: ibis.Value) -> Any:
    """A column of floats as int64, with null where a float is no whole number or 2**53 or more.

    It fails for no float: Ibis rounds floats by a cast to int64, which stops a query at 1e20, also in a branch that
    is not used.
    """
    is_whole = (column % 1 == 0) & (column.abs() < EXACT_BELOW)
    return is_whole.ifelse(column.try_cast("int64"), ibis.null("int64"))
