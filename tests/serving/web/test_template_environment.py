"""Addresses and numbers in templates."""

from __future__ import annotations

import pytest

from serving.web.template_environment import MENU, format_number, page_url


def test_an_address_leaves_out_empty_parameters_and_escapes_the_others() -> None:
    assert page_url("/customer", id="<&>", cutoff="", plan=None) == "/customer?id=%3C%26%3E"
    assert page_url("/plan") == "/plan" and {path for path, _ in MENU} >= {"/", "/plan", "/customers"}


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "–"), (0, "0"), (1234.5, "1,234"), (0.0001234, "0.000123"), (12345, "12,345"), (True, "True")],
)
def test_a_number_has_three_digits(number: object, text: str) -> None:
    assert format_number(number) == text
