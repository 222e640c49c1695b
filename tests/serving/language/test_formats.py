"""Money, shares and metrics as text, and the terms for churn of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from features.config.load import Config
from serving.language.formats import NumberFormat, churn_terms, format_money, format_share
from serving.language.messages import get_language


@pytest.mark.parametrize(
    ("mean", "arguments", "text"),
    [
        (150.0, (1234.56,), "1,235"),
        (3.0, (3.456, "+"), "+3.46"),
        (3.0, (1234.56,), "1,235"),
        (150.0, (3.456, "", True), "3.46"),
        (3000.0, (3.456, "", True), "3"),
        (150.0, (-0.2,), "0"),
    ],
)
def test_money_has_digits_that_suit_the_mean(mean: float, arguments: tuple[Any, ...], text: str) -> None:
    assert NumberFormat(mean).money(*arguments) == text


@pytest.mark.parametrize(
    ("number", "form", "text"),
    [
        (0.8781, "share", "87.8%"),
        (-0.0207, "signed", "−2.1%"),
        (0.1021, "plain", "0.102"),
        (float("nan"), "share", "not measured"),
        (12.3, "money", "12"),
    ],
)
def test_metrics(number: float, form: str, text: str) -> None:
    assert NumberFormat(150.0).of(number, form) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0%"), (0.0004, "under 1%"), (0.005, "0%"), (0.256, "26%"), (0.9996, "over 99%"), (1.0, "100%")],
)
def test_only_none_and_all_are_0_and_100_per_cent(number: float, text: str) -> None:
    assert format_share(number) == text


def test_intervals() -> None:
    assert NumberFormat(150.0).span(-0.1, 0.2, "signed") == "−10.0% to +20.0%"


def test_terms_follow_the_task_and_the_language() -> None:
    assert churn_terms("inactive", 90, 365).member == "bought in the 365 days before"
    assert churn_terms("cancelled", 30, 365).chance == "cancelling"
    for churn in ("inactive", "cancelled"):
        english, chinese = churn_terms(churn, 90, 365), churn_terms(churn, 90, 365, get_language("zh"))
        assert "{" not in repr(english) + repr(chinese) and english.leaving != chinese.leaving


def test_money_is_written_with_the_currency_of_the_config(make_config: Callable[..., Config]) -> None:
    euro, yuan, yen = (get_language(code, currency) for code, currency in (("en", "EUR"), ("zh", "CNY"), ("en", "JPY")))
    assert NumberFormat(150.0, euro).money(-1234.5, "+") == "-€1,234"
    assert format_money(3.456, yuan, "+") == "+¥3.46"
    assert format_money(1234.5, yen) == "¥1,234", "a yen has no decimals"
    assert format_money(5.0, get_language("en", "CHF")) == "CHF\xa05.00"
    assert make_config().currency == ""
    assert make_config(currency="EUR").currency == "EUR"
    assert make_config(amount="a", currency="cur", rates={"GBP": 1, "USD": 0.8}).currency == "GBP"
