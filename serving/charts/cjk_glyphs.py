"""Room for letters that matplotlib's own font lacks, such as Chinese: drawn as stand-ins as wide, then put back.

Charts keep text as text, so the reader's fonts draw it; matplotlib only measures it, to leave room. Its DejaVu Sans has
no Chinese, so each such letter is laid out as another one of about 1 em that no text of the chart holds.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from matplotlib import font_manager
from matplotlib.ft2font import LoadFlags

SYMBOLS = 0x2190  # arrows, and what follows them
UNKNOWN = "\ufffd"
STAY = " ，。、；：？！）》”"  # never at the beginning of a line


@dataclass(frozen=True)
class StandIns:
    """The stand-ins of one chart: `there` by letter, `back` by stand-in."""

    stand_in_by_letter: dict[int, str]
    letter_by_stand_in: dict[int, str]

    def __call__(self, text: str) -> str:
        """A text to lay out; what cannot be drawn, such as control characters, is a space."""
        return "".join(" " if _unseen(letter) else letter for letter in text).translate(self.stand_in_by_letter)

    def restore(self, drawn: str) -> str:
        """A drawing with the letters of its texts put back."""
        return drawn.translate(self.letter_by_stand_in)


def stand_ins(texts: Iterable[str]) -> StandIns:
    r"""Stand-ins for what the font lacks of some texts; where there are more than symbols, the rest is \ufffd.

    >>> chosen = stand_ins(["risk", "流失", "流量"])
    >>> len(chosen.there), chosen("risk"), chosen("流失") != chosen("流量"), chosen.restore(chosen("流失\t1"))
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
    """A text in lines of at most so many columns, of which Chinese letters take two and may be parted anywhere.

    >>> folded("orders in the last 90 days", 14), folded("最近 90 天的订单数", 10)
    ('orders in the\\nlast 90 days', '最近 90 天\\n的订单数')
    """
    lines = [""]
    for piece in _pieces(text):
        if lines[-1] and text_width(lines[-1]) + text_width(piece.rstrip()) > columns:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return "\n".join(line.rstrip() for line in lines)


def text_width(text: str) -> int:
    """Columns that a text takes: two for a Chinese letter, one for others.

    >>> wide("risk"), wide("流失")
    (4, 4)
    """
    return sum(2 if _is_wide(letter) else 1 for letter in text)


def truncate_text(text: str, columns: int) -> str:
    """A text cut off to so many columns.

    >>> shortened("gold for ever", 8), shortened("gold", 8)
    ('gold fo…', 'gold')
    """
    if text_width(text) <= columns:
        return text
    cut = text
    while text_width(cut) > columns - 1:
        cut = cut[:-1]
    return f"{cut}…"


def _pieces(text: str) -> list[str]:
    """What may not be parted: words with the space after them, and single Chinese letters."""
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
    """What the font has: widths in em of symbols, and 0 for letters, whose width nobody asks for."""
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
    """Symbols of the font, those nearest to 1 em first."""
    known = {code: width for code, width in _widths().items() if 0.8 <= width <= 1.1 and chr(code).isprintable()}
    return tuple(map(chr, sorted(known, key=lambda code: (round(abs(known[code] - 1), 3), code))))
