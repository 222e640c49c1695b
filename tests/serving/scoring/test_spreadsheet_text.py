"""Text for spreadsheets: whatever starts a formula is escaped, everything else stays as it is."""

from __future__ import annotations

import pyarrow as pa
import pytest

from serving.scoring.spreadsheet_text import escape_formulas

SIGNS = "=+-@＝＋－＠"
BEFORE = ["", " ", "  \t", "\t", "\r", "\n", "\v", "\x00", "\x1b", "\x7f", "\xa0", "\u200b", "\u3000", "\ufeff"]


def escaped(*texts: str | None) -> list[str | None]:
    return list(escape_formulas(pa.chunked_array([list(texts)], pa.string())).to_pylist())


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("before", BEFORE, ids=ascii)
def test_a_formula_is_escaped_whatever_stands_before_its_sign(before: str, sign: str) -> None:
    text = f"{before}{sign}SUM(A1:A9)"
    assert escaped(text) == [f"'{text}"]


def test_a_tab_or_a_line_break_at_the_start_is_escaped() -> None:
    assert escaped("\tx", "\rx", "\nx") == ["'\tx", "'\rx", "'\nx"]


def test_numbers_and_other_text_stay_as_they_are() -> None:
    texts = ["-5", "+7", "-1.50", "0", "C-7", "a=b", "x@y.z", "'=1", "客户＝一", " a", "", None]
    assert escaped(*texts) == texts


def test_what_only_begins_like_a_number_is_escaped() -> None:
    assert escaped("-5+A1", "+49 171", " -5", "-1e5", "-5\n") == ["'-5+A1", "'+49 171", "' -5", "'-1e5", "'-5\n"]


def test_no_rows_and_several_chunks() -> None:
    assert escaped() == []
    assert escape_formulas(pa.chunked_array([["=1"], [], ["b", None]])).to_pylist() == ["'=1", "b", None]
