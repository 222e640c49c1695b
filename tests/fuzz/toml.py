"""Writes TOML, which the standard library only reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any


def toml_text(values: Mapping[str, Any]) -> str:
    """A TOML document: plain keys first, then one table for each section, with nested tables inline.

    >>> toml_text({"a": 1, "b": {"c": ["x", 1.5], "d": {"e": True}}})
    '"a" = 1\\n["b"]\\n"c" = ["x", 1.5]\\n"d" = {"e" = true}\\n'
    """
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = [f"{_text(key)} = {_value(value)}" for key, value in plain.items()]
    for section, keys in values.items():
        if isinstance(keys, Mapping):
            lines += [f"[{_text(section)}]", *(f"{_text(key)} = {_value(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(value) if math.isfinite(value) else f"{value}".replace("infinity", "inf")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value)


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else c for c in escaped) + '"'
