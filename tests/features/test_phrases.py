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
        (0.92, "more than * of customers|only * of customers have less|share?0.5", "more than 92% of customers"),
        (0.08, "more than * of customers|only * of customers have less|share?0.5", "only 8% of customers have less"),
        (0.7, "irregular|regular|?0.5", "irregular"),
        (0.5, "irregular|regular|?0.5", "irregular"),
        (0.2, "irregular|regular|?0.5", "regular"),
        (1.04, "more|less|as much|?1", "as much"),
        (1.06, "more|less|as much|?1", "more"),
        (-0.001, "* up|* down|unchanged|money", "unchanged"),
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
    assert format_reading(0.0, {"usual": 2.0}, "{value:#order}", at_zero="none, usually {usual:count}") == (
        "none, usually 2"
    )


def test_a_part_in_brackets_is_left_out_with_its_null() -> None:
    template = "last order {value:days} ago[[, usually every {gap:days}]][[; {orders:#order}]]"
    assert fill_template(template, 9.0, {"gap": 3.0, "orders": None}) == "last order 9 days ago, usually every 3 days"
    assert fill_template(template, 9.0, {"gap": None, "orders": 1.0}) == "last order 9 days ago; 1 order"
    assert fill_template("[a] and {value:count}", 1.0, {}) == "[a] and 1"


def test_a_null_reads_as_such_if_its_reading_quotes_only_others() -> None:
    assert format_reading(None, {"orders": 2.0}, "{orders:#order} so far", unread="not known") == "not known"
    assert format_reading(float("nan"), {"orders": 2.0}, "{orders:#order} so far") == ""
