"""Numbers, categories and whole readings as a marketer reads them."""

from __future__ import annotations

import pytest

from features.phrases import fill_template, format_level, format_number, format_reading, plural


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (1234.5, "money", "1,234.50"),
        (0.256, "share", "26%"),
        (2.345, "number", "2.3"),
        (1234567.25, "plain", "1,234,567.25"),
        (1999.6, "count", "2,000"),
        (1.0, "days", "1 day"),
        (1.2, "#order", "1 order"),
        (2.0, "#category", "2 categories"),
        (3.0, "more|fewer|#order", "3 orders more"),
        (-2.0, "up by *|down by *|#order", "down by 2 orders"),
        (-0.5, "above|below|number", "0.5 below"),
    ],
)
def test_numbers_by_unit(number: float, unit: str, text: str) -> None:
    assert format_number(number, unit) == text


@pytest.mark.parametrize(
    ("noun", "many"), [("order", "orders"), ("category", "categories"), ("day", "days"), ("box", "boxes")]
)
def test_plurals(noun: str, many: str) -> None:
    assert plural(noun) == many


def test_levels_may_have_a_name() -> None:
    assert format_level("new", "new=first orders|active=regular") == "first orders"
    assert format_level("gold", "new=first orders") == "gold"


@pytest.mark.parametrize("gap", [None, float("nan")])
def test_a_template_with_a_null_slot_gives_the_text_for_null(gap: float | None) -> None:
    template = "{value:#order}, usually every {gap:days}"
    assert fill_template(template, 1.0, {"gap": 12.3}) == "1 order, usually every 12 days"
    assert fill_template(template, 1.0, {"gap": gap}) == ""
    assert format_reading(1.0, {"gap": gap}, template, unread="only one order") == "only one order"


def test_zero_may_have_a_text_of_its_own() -> None:
    assert format_reading(0.0, {}, "{value:#order}", at_zero="no order") == "no order"
    assert format_reading(0.0, {}, "{value:#order}") == "0 orders"
