"""The one rule for ids: every source, list, command, config value, page and API reads ids by it.

1. Blanks and invisible characters at both ends are not part of an id: ` 1001 ` is `1001`. These are all that Unicode
   calls white space, control characters, and characters without width such as the byte order mark. Inside an id they
   stay.
2. A whole number is its digits: `1001`, `1001.0` and `1001.00` are `1001`. Integers, decimals and text keep all their
   digits. Leading zeros stay: `00042` is not `42`.
3. An apostrophe before `=`, `+`, `-` or `@`, by which spreadsheets and our own CSV files mark text, is not part of it.
4. Nothing else changes. Upper and lower case differ, so do composed and decomposed letters. `1.001e3` stays as it is: a
   program that writes numbers so has dropped digits, and codes such as `12E4` are no numbers.
5. Text that is blank is no id, and neither is a number that is infinite or not a number.

The rule stands here twice: as an expression for columns, and for a single value in Python. Both give the same text.
Applying it again changes nothing. A change of the rule gets another RULE_VERSION.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from numbers import Integral, Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whoever only reads single ids does without it: it takes long to import
    import ibis

RULE_VERSION = 2  # 1: text stayed as it was, and in CSV columns of numbers 1e5 was 100000 and +5 was 5
# First and last code points of blanks and invisible characters: controls and spaces, and what has no width.
_BLANK_RANGES = (
    (0x0, 0x20), (0x7F, 0xA0), (0x1680, 0x1680), (0x180E, 0x180E), (0x2000, 0x200F), (0x2028, 0x202F),
    (0x205F, 0x2064), (0x2066, 0x206F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)  # fmt: skip
_BLANKS = "".join(chr(point) for first, last in _BLANK_RANGES for point in range(first, last + 1))
_BLANK = "[" + "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in _BLANK_RANGES) + "]"
_UNCHANGED = r"^[0-9A-Za-z_-]+\z"  # most ids: nothing in them that the rule could change
_MARKED_TEXT = r"^'[-=+@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]"
_MARKS = "-=+@\uff1d\uff0b\uff0d\uff20"
_WHOLE_WITH_POINT = r"^-?[0-9]+[.]0+\z"
_NUMBER = r"^ *[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)? *\z"
_WHOLE_BELOW = 1e16  # from here on floats are written in scientific notation, as Python does
SCIENTIFIC = r"^[+-]?([0-9]([.][0-9]+)?[eE][+][0-9]+|[0-9][.][0-9]+[eE][0-9]+)\z"


def as_identifier(column: ibis.Value) -> ibis.Value:
    """A column of ids as text by the rule of this module; null where there is no id."""
    kind = column.type()
    if kind.is_floating():
        return _float_text(column)
    if not (kind.is_string() or kind.is_decimal()):
        return column.cast("string")
    text = column.cast("string")
    return text.re_search(_UNCHANGED).ifelse(text, _cleaned(text))


def identifier_text(value: object) -> str | None:
    """One value as an id, by the same rule as `as_identifier`; None if it is no id.

    >>> [identifier_text(value) for value in (1001, 1001.0, " 1001 ", "1001.00", "00042", "1.001e3", " ", None)]
    ['1001', '1001', '1001', '1001', '00042', '1.001e3', None, None]
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _cleaned_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Decimal):
        return _cleaned_text(format(value, "f")) if value.is_finite() else None
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            return None
        return str(int(number)) if number.is_integer() and abs(number) < _WHOLE_BELOW else repr(number)
    return _cleaned_text(str(value))


def earlier_identifier(column: ibis.Value) -> ibis.Value:
    """A column of ids as rule 1 read it, to recognise ids in lists and outputs that were made by it."""
    import ibis

    from features.intake.columns import blank_to_null
    from features.whole_numbers import whole_number

    kind = column.type()
    if kind.is_floating():
        text = whole_number(column).cast("string").fill_null(column.cast("string"))
        return column.isnan().ifelse(ibis.null("string"), text)
    return blank_to_null(column) if kind.is_string() else column.cast("string")


def earlier_number_text(text: ibis.Value) -> ibis.Value:
    """Ids with a plus sign or an exponent as rule 1 read them from a CSV column of numbers only.

    Args:
        text: The distinct ids of one column.

    Returns:
        The numbers as ids; null for other ids, and if any id of the column is no number.
    """
    import ibis

    is_number = text.re_search(_NUMBER)
    all_numbers = (is_number | text.isnull()).all().over(ibis.window())
    number = is_number.ifelse(text, ibis.null("string")).try_cast("float64")
    is_changed = all_numbers & text.re_search("[+eE]")
    return is_changed.ifelse(earlier_identifier(number), ibis.null("string"))


def _cleaned(text: ibis.Value) -> ibis.Value:
    """Text without what the rule takes away; null if nothing is left."""
    stripped = text.re_replace(rf"^{_BLANK}+|{_BLANK}+\z", "")
    unmarked = stripped.re_search(_MARKED_TEXT).ifelse(stripped.substr(1), stripped)
    whole = unmarked.re_search(_WHOLE_WITH_POINT).ifelse(unmarked.re_replace(r"[.]0+\z", ""), unmarked)
    return whole.nullif("")


def _cleaned_text(text: str) -> str | None:
    """As `_cleaned`, for one text."""
    stripped = text.strip(_BLANKS)
    unmarked = stripped[1:] if stripped[:1] == "'" and stripped[1:2] and stripped[1:2] in _MARKS else stripped
    whole = re.sub(r"[.]0+\Z", "", unmarked) if re.fullmatch(r"-?[0-9]+[.]0+", unmarked) else unmarked
    return whole or None


def _float_text(column: ibis.Value) -> ibis.Value:
    """Floats as ids: whole numbers without a point; null where they are infinite or no number."""
    import ibis

    size = column.abs()
    shortest = column.cast("string").lower().replace(".0e", "e").replace("e+", "e")  # engines write exponents unlike
    large = (size >= _WHOLE_BELOW).ifelse(shortest.replace("e", "e+"), column.cast("string"))
    is_whole = (column % 1 == 0) & (size < _WHOLE_BELOW)
    text = is_whole.ifelse(column.try_cast("int64").cast("string"), large)
    usable = ~column.isnan() & (size < float("inf"))
    return usable.fill_null(False).ifelse(text, ibis.null("string"))
