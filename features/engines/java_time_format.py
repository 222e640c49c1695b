"""Layouts of times: strftime's, as a config writes them, in the pattern language of Java, which Spark reads."""

from __future__ import annotations

import re

from features.errors import UsageError

# By directive: the pattern that takes one digit or more, and the one of a fixed width for digits that follow digits.
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
    """A strftime layout as a Java pattern.

    Raises:
        UsageError: A directive has no counterpart.

    >>> java_pattern("%d/%m/%Y %H:%M"), java_pattern("%Y%m%dT%H"), java_pattern("%d de %b %y")
    ('d/M/yyyy H:m', "yyyyMMdd'T'H", "d' de 'MMM yy")
    """
    parts = PART.findall(layout)
    if "".join(f"%{dash}{letter}" if letter else text for dash, letter, text in parts) != layout:
        raise UsageError(f"[events] time_format: {layout!r} ends in the middle of a directive")
    return "".join(_part(parts, place, layout) for place in range(len(parts)))


def _part(parts: list[tuple[str, str, str]], place: int, layout: str) -> str:
    _, letter, text = parts[place]
    if not letter or letter == "%":
        return _literal(text or "%")
    if letter not in DIRECTIVES:
        known = " ".join(f"%{known}" for known in DIRECTIVES)
        raise UsageError(
            f"[events] time_format: Spark cannot read %{letter} (in {layout!r}); it can read {known}; "
            "or write the times as timestamps or ISO 8601"
        )
    around = (parts[at][1] for at in (place - 1, place + 1) if 0 <= at < len(parts))
    return DIRECTIVES[letter][any(near in DIGITS for near in around)]


def _literal(text: str) -> str:
    """Text as it stands; letters and what Java's patterns give a meaning are quoted."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'" if re.search(r"[A-Za-z\[\]{}#]", text) else quoted
