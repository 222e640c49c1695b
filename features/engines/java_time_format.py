"""Translates strftime layouts of times, which a config uses, to Java patterns, which Spark uses."""

from __future__ import annotations

import re

from features.errors import UsageError

# By directive: the pattern for one digit or more, and the fixed-width pattern for digits next to other digits.
DIRECTIVES = {
    "Y": ("yyyy", "yyyy"),
    "y": ("yy", "yy"),
    "m": ("M", "MM"),
    "d": ("d", "dd"),
    "H": ("H", "HH"),
    "I": ("h", "hh"),
    "M": ("m", "mm"),
    "S": ("s", "ss"),
    "f": ("SSSSSS", "SSSSSS"),
    "b": ("MMM", "MMM"),
    "B": ("MMMM", "MMMM"),
    "p": ("a", "a"),
}
DIGITS = tuple("YymdHIMSf")
PART = re.compile(r"%(-?)(.)|([^%]+)", re.DOTALL)


def java_pattern(layout: str) -> str:
    """Return a strftime layout as a Java pattern.

    Raises:
        UsageError: A directive has no counterpart in Java.

    >>> java_pattern("%d/%m/%Y %H:%M"), java_pattern("%Y%m%dT%H"), java_pattern("%d de %b %y")
    ('d/M/yyyy H:m', "yyyyMMdd'T'H", "d' de 'MMM yy")
    """
    parts = PART.findall(layout)
    if "".join(f"%{dash}{letter}" if letter else text for dash, letter, text in parts) != layout:
        raise UsageError(f"[events] time_format: {layout!r} ends in the middle of a directive")
    return "".join(_part(parts, index, layout) for index in range(len(parts)))


def _part(parts: list[tuple[str, str, str]], index: int, layout: str) -> str:
    _, letter, text = parts[index]
    if not letter or letter == "%":
        return _literal(text or "%")
    if letter not in DIRECTIVES:
        known = " ".join(f"%{known}" for known in DIRECTIVES)
        raise UsageError(
            f"[events] time_format: Spark cannot read %{letter} (in {layout!r}); it can read {known}; "
            "or write the times as timestamps or ISO 8601"
        )
    neighbours = (parts[position][1] for position in (index - 1, index + 1) if 0 <= position < len(parts))
    return DIRECTIVES[letter][any(near in DIGITS for near in neighbours)]


def _literal(text: str) -> str:
    """Return literal text for a pattern; letters and special characters are quoted."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'" if re.search(r"[A-Za-z\[\]{}#]", text) else quoted
