"""Rates of a second order: pooled, with intervals, in words and as CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from features.audit.second_orders import EVERYBODY, SecondOrders
from features.config.load import Config
from serving.activation import Activation, activation_text, measure_activation, pool_rates


def _group(by: str, group: str, customers: int, again: int, year: float = 0.0, years: int = 0) -> SecondOrders:
    return SecondOrders(by, group, customers, again, 10.0 * again, years, year * years, 2 * year**2 * years)


def test_small_groups_borrow_from_large_ones() -> None:
    counts = [_group(EVERYBODY, EVERYBODY, 2010, 410), _group("k", "a", 1000, 200), _group("k", "b", 1000, 200)]
    rates = {rate.group: rate for rate in pool_rates([*counts, _group("k", "tiny", 10, 10)])}
    assert rates["a"].rate == pytest.approx(0.2, abs=0.02)
    assert 0.5 < rates["tiny"].rate < 0.99
    assert rates["tiny"].rate_high - rates["tiny"].rate_low > rates["a"].rate_high - rates["a"].rate_low
    assert rates[EVERYBODY].p_value is None and rates["a"].days == 10


def test_hardly_anybody_who_comes_again_still_gives_rates() -> None:
    """A log in which 0.4% order again: rates with intervals, and what they depend on."""
    counts = [_group(EVERYBODY, EVERYBODY, 10_000, 40)]
    counts += [_group("channel", "web", 5_000, 35), _group("channel", "shop", 5_000, 5)]
    counts += [_group("weekday", day, 1_428, 6) for day in ("Monday", "Tuesday", "Friday")]
    rates = pool_rates(counts)
    assert [rate.by for rate in rates[:3]] == [EVERYBODY, "channel", "channel"]
    text = activation_text(Activation(rates, 90, Path("activation.csv")))
    assert "40 of 10,000 first-time buyers" in text and "by channel: differs (p = " in text
    assert "by weekday: no evidence that it differs" in text


def test_first_years_are_pooled_where_they_are_known() -> None:
    rates = {r.group: r for r in pool_rates([_group("k", "a", 90, 9, 50.0, 80), _group("k", "b", 90, 9)])}
    assert rates["a"].year_value == pytest.approx(50.0) and rates["b"].year_value is None


def test_the_shop_is_measured_and_written(shop: Config) -> None:
    result = measure_activation(shop)
    with result.file.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(result.rates) and rows[0]["group"] == EVERYBODY
    assert {"channel", "weekday", "first amount"} <= {rate.by for rate in result.rates}
    assert "second orders within 30 days: " in activation_text(result)
    assert "nothing is known yet" in activation_text(Activation((), 30, result.file))
