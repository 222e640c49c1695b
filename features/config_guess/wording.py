"""How a guess is written: TOML values with a reason behind each, in the language of the reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from features.config_guess.column_profile import ColumnProfile

Translate = Callable[..., str]  # from an English message, with slots in braces, to the reader's language


def N_(text: str) -> str:  # noqa: N802 (gettext's name for it)
    """Mark a message that is translated later, from a table of messages: `tr(TABLE[key])`."""
    return text


def in_english(message: str, **slots: object) -> str:
    """Fill the slots of a message, untranslated.

    >>> in_english("{n} rows", n=3)
    '3 rows'
    """
    return message.format(**slots) if slots else message


@dataclass
class SectionDraft:
    """A section of a config while it is being guessed.

    Attributes:
        tr: Translates the comments.
        values: The values of its keys.
        lines: The same as lines of TOML, each with a comment that says why.
    """

    tr: Translate
    values: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def add(self, key: str, value: Any, why: str = "") -> None:
        """Add a key.

        Args:
            key: Its name.
            value: Its value.
            why: The reason, for the comment.
        """
        self.values[key] = value
        self.lines.append(f"{key} = {toml_value(value)}{f'  # {why}' if why else ''}")

    def ask(self, key: str, question: str, example: Any = "") -> None:
        """Add a key as a comment.

        Args:
            key: Its name.
            question: What to ask, for the comment.
            example: The value to show.
        """
        self.lines.append(f"# {key} = {toml_value(example)}  # {question}")

    def choose(self, key: str, columns: Sequence[ColumnProfile], why: str, question: str = "") -> None:
        """Add a column for a role, and say which others are possible.

        Args:
            key: The role.
            columns: The chosen column, then the others; none: the question is asked instead.
            why: Why it was chosen.
            question: What to ask if no column was found.
        """
        if not columns:
            self.ask(key, question)
            return
        others = self.tr("; could be: {columns}", columns=quoted_names(columns[1:])) if columns[1:] else ""
        self.add(key, columns[0].name, f"{why}{others}")


def toml_value(value: Any) -> str:
    r"""A value as TOML.

    >>> toml_value('say "hi"'), toml_value(["a", "b"]), toml_value({"EUR": 1})
    ('\'say "hi"\'', '["a", "b"]', '{ EUR = 1 }')
    """
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {toml_value(entry)}' for key, entry in value.items())} }}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value)


def quoted(text: str) -> str:
    """A TOML string: literal where that saves escapes, else basic."""
    if text.isprintable() and "'" not in text and ('"' in text or "\\" in text):
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def quoted_names(columns: Sequence[ColumnProfile]) -> str:
    """Names of columns as TOML strings."""
    return ", ".join(quoted(column.name) for column in columns)
