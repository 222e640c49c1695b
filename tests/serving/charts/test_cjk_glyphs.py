"""Letters that the font lacks are laid out by stand-ins and come back unchanged; text is wrapped by its width."""

from __future__ import annotations

import pytest

from serving.charts.cjk_glyphs import UNKNOWN, stand_ins, text_width, truncate_text, wrap_text


def test_letters_come_back() -> None:
    chosen = stand_ins(["risk →", "流失", "流量"])
    drawn = chosen("流失 →")
    assert "流" not in drawn and len(drawn) == 4 and drawn.endswith(" →") and chosen.restore(drawn) == "流失 →"
    assert chosen("risk\x00\n") == "risk \n"


def test_letters_beyond_the_symbols_are_unknown() -> None:
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 6000)))
    assert UNKNOWN in stand_ins([many])(many)


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("orders in the last 90 days", 14, ["orders in the", "last 90 days"]),
        ("最近 90 天的订单数", 10, ["最近 90 天", "的订单数"]),
        ("最近，订单", 6, ["最近，", "订单"]),
        ("averyverylongword", 5, ["averyverylongword"]),
    ],
)
def test_wrapping(text: str, columns: int, lines: list[str]) -> None:
    assert wrap_text(text, columns).split("\n") == lines


def test_widths_and_cuts() -> None:
    assert (text_width("risk"), text_width("流失")) == (4, 4)
    assert (truncate_text("gold for ever", 8), truncate_text("gold", 8), truncate_text("流失客户", 5)) == (
        "gold fo…", "gold", "流失…",
    )  # fmt: skip
