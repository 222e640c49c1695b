"""Lifetime value never falls with the horizon, and its parts add up to the whole."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest

from training.artifact.lifetime import Lifetime, LifetimeHorizon, growth_at, history, read_lifetime
from training.artifact.spread import Spread

SPREAD = Spread(0.8, 0.8, (0.0, 0.5, 1.0), (1.0, 4.0), ((0.0, 1.0, 3.0), (0.5, 1.0, 2.0)), (1.5, 1.1), 0.1)
GROWTH = (((0.5, 1.0, 1.5), (1.0, 2.0, 4.0)), ((0.8, 1.6, 3.0), (1.2, 3.0, 9.0)))
LIFETIME = Lifetime(
    horizon=90,
    window=365,
    days=(180, 365, 3650),
    purchases=(0.0, 10.0),
    ages=(30.0, 400.0),
    growth=GROWTH,
    anchor=0.5,
    horizons=(LifetimeHorizon("value_12m", 365, SPREAD), LifetimeHorizon("lifetime_value", 3650, SPREAD)),
    discount=0.0,
    reach=365,
)
CUSTOMERS = pa.table(
    {
        "recency_days": [5.0, 80.0, 300.0, None],
        "tenure_days": [90.0, 800.0, 900.0, None],
        "gap_mean_days": [17.0, 70.0, None, None],
        "active_days_365d": [5.0, 2.0, 1.0, None],
        "amount_expected": [40.0, 10.0, 1e9, None],
    }
)
VALUE = np.array([60.0, 5.0, 1.0, 2.0])


def test_the_parts_are_the_whole_and_labelled_horizons_keep_their_values() -> None:
    labelled = VALUE + np.array([7.0, 0.0, 3.0, 1.0])
    for values in ({90: VALUE}, {90: VALUE, 180: labelled}, {90: VALUE, 365: labelled}):
        gains = LIFETIME.gains(CUSTOMERS, values)
        assert (gains >= 0).all()
        worth = LIFETIME.values_by_day(CUSTOMERS, values)
        np.testing.assert_allclose(worth[3650], VALUE + gains.sum(axis=1))
        for day, value in values.items():
            np.testing.assert_allclose(worth[day], value)


def test_value_never_falls_with_the_horizon_and_neither_do_its_intervals() -> None:
    columns = replace(LIFETIME, discount=0.3).predict(CUSTOMERS, {90: VALUE})
    for name in ("", "_low", "_high"):
        assert (columns[f"lifetime_value{name}"] >= columns[f"value_12m{name}"]).all()
    assert (columns["value_12m"] >= VALUE).all()
    assert (columns["value_12m_low"] <= columns["value_12m"]).all()
    assert (columns["value_12m"] <= columns["value_12m_high"]).all()


def test_a_discount_takes_from_what_comes_later_alone() -> None:
    plain = LIFETIME.predict(CUSTOMERS, {90: VALUE})["lifetime_value"]
    for discount in (0.05, 0.1, 0.9):
        less = replace(LIFETIME, discount=discount).predict(CUSTOMERS, {90: VALUE})["lifetime_value"]
        assert (less < plain).all()
        assert (less >= VALUE).all()


def test_profit_is_the_margin_of_value() -> None:
    columns = replace(LIFETIME, margin=0.4).predict(CUSTOMERS, {90: VALUE})
    np.testing.assert_allclose(columns["lifetime_profit_high"], 0.4 * columns["lifetime_value_high"])
    np.testing.assert_allclose(columns["profit_12m"], 0.4 * columns["value_12m"])
    assert not any("profit" in name for name in LIFETIME.predict(CUSTOMERS, {90: VALUE}))


def test_nothing_extrapolates_without_bound() -> None:
    gains = LIFETIME.gains(CUSTOMERS, {90: VALUE}).sum(axis=1)
    assert gains[2] <= 10**0.5 * 9.0 * VALUE[2] + 1e-9  # BG/NBD expects a thousand million of this customer
    bought, age = np.array([0.0, 1e9]), np.array([1e-9, 1e9])
    assert growth_at(np.array(GROWTH), (0.0, 10.0), (30.0, 400.0), bought, age)[:, -1].tolist() == [1.5, 9.0]


def test_a_customer_without_a_known_history_counts_as_new() -> None:
    bought, age = history(CUSTOMERS, 365)
    assert (bought[3], age[3]) == (0.0, 0.0)


def test_it_comes_back_from_json() -> None:
    assert read_lifetime(asdict(LIFETIME)) == LIFETIME
    assert read_lifetime(None) is None
    broken = asdict(LIFETIME)
    broken["horizons"][0]["spread"] = None
    with pytest.raises(ValueError, match="value_12m has no spread"):
        read_lifetime(broken)
