"""The one rule for ids: reads columns of ids as text, alike on every engine."""

from __future__ import annotations

import ibis

from features.intake.columns import blank_to_null


def as_identifier(column: ibis.Value) -> ibis.Value:
    """An id as text: 17850 and 17850.0 are both '17850'; blank text is null."""
    kind = column.type()
    if kind.is_floating():
        is_integer = (column == column.floor()) & (column.abs() < 2**53)
        text = is_integer.ifelse(column.try_cast("int64").cast("string"), column.cast("string"))
        return column.isnan().ifelse(ibis.null("string"), text)
    return blank_to_null(column) if kind.is_string() else column.cast("string")
