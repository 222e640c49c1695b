"""Lay out letters that matplotlib's font lacks, such as Chinese, by stand-ins of the same width.

Charts keep text as text, so the reader's fonts draw it; matplotlib only measures it, to leave room. Its font, DejaVu
Sans, has no Chinese, so each such letter is laid out as another symbol, about 1 em wide, that the chart does not use.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from matplotlib import font_manager
from matplotlib.ft2font import LoadFlags

SYMBOLS = 0x2190  # the first symbol (arrows)
UNKNOWN = "\ufffd"
STAY = " ，。、；：？！）》”"  # never at the start of a line


@dataclass(frozen=True)
class StandIns:
    """The stand-ins of one chart, in both directions, by code point."""

    stand_in_by_letter: dict[int, str]
    letter_by_stand_in: dict[int, str]

    def __call__(self, text: str) -> str:
        """Replace letters by their stand-ins; what cannot be drawn, such as control characters, becomes a space."""
        return "".join(" " if _unseen(letter) else letter for letter in text).translate(self.stand_in_by_letter)

    def restore(self, drawn: str) -> str:
        """Put the original letters back into a drawing."""
        return drawn.translate(self.letter_by_stand_in)


def stand_ins(texts: Iterable[str]) -> StandIns:
    r"""Choose stand-ins for the letters that the font lacks; if there are too many, the rest become U+FFFD.

    >>> chosen = stand_ins(["risk", "流失", "流量"])
    >>> letters, restored = chosen.stand_in_by_letter, chosen.restore(chosen("流失\t1"))
    >>> len(letters), chosen("risk"), chosen("流失") != chosen("流量"), restored
    (3, 'risk', True, '流失 1')
    """
    letters = dict.fromkeys("".join(texts))
    missing = [letter for letter in letters if not _unseen(letter) and ord(letter) not in _widths()]
    free = (symbol for symbol in _symbols() if symbol not in letters)
    stand_in_by_letter = {ord(letter): next(free, UNKNOWN) for letter in missing}
    return StandIns(
        stand_in_by_letter, {ord(symbol): chr(code) for code, symbol in stand_in_by_letter.items() if symbol != UNKNOWN}
    )


def wrap_text(text: str, columns: int) -> str:
    r"""Wrap a text into lines of at most so many columns; a Chinese letter takes two and may start a new line.

    >>> wrap_text("orders in the last 90 days", 14), wrap_text("最近 90 天的订单数", 10)
    ('orders in the\nlast 90 days', '最近 90 天\n的订单数')
    """
    lines = [""]
    for piece in _pieces(text):
        if lines[-1] and text_width(lines[-1]) + text_width(piece.rstrip()) > columns:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return "\n".join(line.rstrip() for line in lines)


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


def _unseen(letter: str) -> bool:
    return letter != "\n" and unicodedata.category(letter) in ("Cc", "Cs")


@lru_cache
def _widths() -> dict[int, float]:
    """Read the widths in em of the font's symbols; letters have 0, because their width is not needed."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    font.set_size(10, 72)
    codes = font.get_charmap()
    load = font.load_char
    return {
        code: load(code, flags=LoadFlags.NO_HINTING).linearHoriAdvance / 65536 / 10 if code >= SYMBOLS else 0.0
        for code in codes
    }


@lru_cache
def _symbols() -> tuple[str, ...]:
    """List the symbols of the font, those closest to 1 em wide first."""
    known = {code: width for code, width in _widths().items() if 0.8 <= width <= 1.1 and chr(code).isprintable()}
    return tuple(map(chr, sorted(known, key=lambda code: (round(abs(known[code] - 1), 3), code))))
