"""Text is wrapped and cut by its width."""

from __future__ import annotations

import pytest

from serving.charts.text_layout import text_width, truncate_text, wrap_text


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("orders in the last 90 days", 14, ["orders in the", "last 90 days"]),
        ("最近 90 天的订单数", 10, ["最近 90 天", "的订单数"]),
        ("最近，订单", 6, ["最近，", "订单"]),
        ("averyverylongword", 5, ["aver…"]),
    ],
)
def test_wrapping(text: str, columns: int, lines: list[str]) -> None:
    assert wrap_text(text, columns) == lines


def test_widths_and_cuts() -> None:
    assert (text_width("risk"), text_width("流失")) == (4, 4)
    assert (truncate_text("gold for ever", 8), truncate_text("gold", 8), truncate_text("流失客户", 5)) == (
        "gold fo…", "gold", "流失…",
    )  # fmt: skip
