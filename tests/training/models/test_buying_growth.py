"""Growth beyond the horizon: that of BG/NBD, bounded by everybody going on, and how forecasts of it aged."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from features.catalog.btyd_model import BGNBD
from training.models.buying_growth import AGES, PURCHASES, BuyingCohort, age_forecasts, growth_table, slowing_room

MODEL = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426, penalised=False, time_unit_days=7)
ENDS = (180, 365, 3650)


@pytest.fixture(scope="module")
def cohort() -> BuyingCohort:
    """Customers who spend exactly what is expected, up to 365 days."""
    rng = np.random.default_rng(0)
    bought, age, expected = rng.integers(0, 9, 400).astype(float), rng.uniform(30, 300, 400), rng.gamma(2, 20, 400)
    empty = BuyingCohort(date(2024, 1, 1), 90, 365, pa.table({}), bought, age, expected, {}, MODEL)
    growth = empty.growth(growth_table(MODEL, 90, (180, 365)))
    return replace(
        empty, actual={90: expected, **{e: expected * (1 + g) for e, g in zip((180, 365), growth.T, strict=True)}}
    )


def test_the_table_is_bg_nbds_ratio_of_expected_orders() -> None:
    place, age_place = 3, 4
    bought, age = PURCHASES[place], AGES[age_place]
    orders = [MODEL.expected_orders([bought], [age], [age], day)[0] for day in (90, *ENDS)]
    table = growth_table(MODEL, 90, ENDS)[place, age_place]
    np.testing.assert_allclose(table, np.array(orders[1:]) / orders[0] - 1, rtol=1e-9)


def test_growth_never_falls_and_lies_below_going_on_for_ever() -> None:
    steady = (np.array(ENDS) - 90) / 90
    for slowing in (-0.5, 0.0, 0.4, 1.0):
        table = growth_table(MODEL, 90, ENDS, slowing)
        assert (np.diff(table, axis=2) >= 0).all()
        if slowing >= 0:
            assert (table <= steady + 1e-9).all()
    np.testing.assert_allclose(growth_table(MODEL, 90, ENDS, 1.0), np.broadcast_to(steady, table.shape))


def test_a_forecast_that_came_true_is_off_by_nothing(cohort: BuyingCohort) -> None:
    aged = age_forecasts(cohort, 0.5)
    assert [one.end for one in aged] == [180, 365]
    assert [one.log_ratio for one in aged] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert [one.slowing for one in aged] == pytest.approx(list(slowing_room(cohort, (180, 365))))


def test_a_tail_twice_as_large_is_off_by_its_logarithm(cohort: BuyingCohort) -> None:
    twice = replace(cohort, actual={90: cohort.expected, 365: 2 * cohort.actual[365] - cohort.expected})
    assert age_forecasts(twice, 0.5)[0].log_ratio == pytest.approx(np.log(2), abs=0.01)


def test_the_value_within_the_horizon_counts_by_the_anchor(cohort: BuyingCohort) -> None:
    more = replace(cohort, actual={90: 4 * cohort.expected, 365: cohort.actual[365] + 3 * cohort.expected})
    for anchor in (0.0, 0.5, 1.0):
        assert age_forecasts(more, anchor)[0].log_ratio == pytest.approx(-anchor * np.log(4), abs=0.01)


def test_nothing_spent_within_the_horizon_says_nothing(cohort: BuyingCohort) -> None:
    assert age_forecasts(replace(cohort, actual={90: 0 * cohort.expected, 365: cohort.expected}), 0.5) == []
    assert age_forecasts(replace(cohort, actual={90: cohort.expected}), 0.5) == []


def test_a_tail_that_brought_nothing_is_finite(cohort: BuyingCohort) -> None:
    (one,) = age_forecasts(replace(cohort, actual={90: cohort.expected, 365: cohort.expected}), 0.5)
    assert -10 < one.log_ratio < -1
    assert np.isfinite(one.variance)
