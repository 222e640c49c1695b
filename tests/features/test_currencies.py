"""Signs and codes of currencies."""

from __future__ import annotations

import pytest

from features.currencies import CURRENCY_CODES, CURRENCY_SIGNS, SHARED_SIGNS, are_one_currency, can_mean, currency_code


def test_signs_mean_codes_or_are_shared() -> None:
    assert {code for code in CURRENCY_SIGNS.values() if code not in CURRENCY_CODES} == set(SHARED_SIGNS)
    assert all(codes <= CURRENCY_CODES for codes in SHARED_SIGNS.values())


@pytest.mark.parametrize(
    ("text", "code"), [("kr", "KR"), ("zł", "PLN"), ("US$", "USD"), ("usd", "USD"), ("top", ""), ("pcs", ""), ("", "")]
)
def test_codes(text: str, code: str) -> None:
    assert currency_code(text) == code


def test_shared_signs_fit_any_currency_that_uses_them() -> None:
    assert can_mean("KR", "NOK") and not can_mean("KR", "EUR")
    assert are_one_currency(["$", "AUD"]) and not are_one_currency(["$", "£"]) and are_one_currency(["$"])
