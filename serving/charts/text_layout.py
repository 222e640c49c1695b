"""Lay out text in charts: its width in columns, line breaks, and cuts; a Chinese letter takes two columns."""

from __future__ import annotations

import unicodedata

STAY = " ，。、；：？！）》”"  # never at the start of a line


def wrap_text(text: str, columns: int) -> list[str]:
    """Wrap a text into lines of at most so many columns; a Chinese letter may start a new line.

    A word longer than a line is cut off.

    >>> wrap_text("orders in the last 90 days", 14), wrap_text("最近 90 天的订单数", 10)
    (['orders in the', 'last 90 days'], ['最近 90 天', '的订单数'])
    """
    lines = [""]
    for piece in _pieces(text):
        if lines[-1] and text_width(lines[-1]) + text_width(piece.rstrip()) > columns:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return [truncate_text(line.rstrip(), columns) for line in lines]


def text_width(text: str) -> int:
    """Count the columns of a text: two for a Chinese letter, one for any other.

    >>> text_width("risk"), text_width("流失")
    (4, 4)
    """
    return sum(2 if _is_wide(letter) else 1 for letter in text)


def truncate_text(text: str, columns: int) -> str:
    """Cut a text off at so many columns.

    >>> truncate_text("gold for ever", 8), truncate_text("gold", 8)
    ('gold fo…', 'gold')
    """
    if text_width(text) <= columns:
        return text
    cut = text
    while text_width(cut) > columns - 1:
        cut = cut[:-1]
    return f"{cut}…"


def _pieces(text: str) -> list[str]:
    """Split a text into pieces that stay on one line: words with the space after them, and single Chinese letters."""
    pieces: list[str] = []
    for letter in text:
        ended = not pieces or pieces[-1].endswith(" ") or _is_wide(pieces[-1][-1]) or _is_wide(letter)
        if ended and letter not in STAY:
            pieces.append(letter)
        else:
            pieces[-1:] = [pieces[-1] + letter] if pieces else [letter]
    return pieces


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"
