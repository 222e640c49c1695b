"""BG/NBD and Gamma-Gamma against simulated customers, slow scalar formulas and awkward logs."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, optimize, special

from features.catalog import btyd_model
from features.catalog.btyd_model import BGNBD, GammaGamma, fit_bgnbd, fit_gamma_gamma

Floats = NDArray[np.float64]

WEEKS = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426, penalised=False, time_unit_days=7)
MUSIC = GammaGamma(p=6.25, q=3.74, v=15.44, penalised=False)


def simulated(model: BGNBD, age: Floats, seed: int, ahead: float = 0.0) -> tuple[Floats, Floats, Floats]:
    """Repeat purchases by `age` days, the day of the last one, and purchases in the `ahead` days after it."""
    rng = np.random.default_rng(seed)
    n = len(age)
    rate = rng.gamma(model.r, 1 / model.alpha, n) / model.time_unit_days
    leaves = rng.beta(model.a, model.b, n)
    frequency, recency, later, now, alive = *np.zeros((4, n)), np.ones(n, bool)
    while (who := np.flatnonzero(alive)).size:
        now[who] += rng.exponential(1 / np.maximum(rate[who], 1e-300))
        before, after = who[now[who] <= age[who]], who[(now[who] > age[who]) & (now[who] <= age[who] + ahead)]
        frequency[before] += 1
        recency[before] = now[before]
        later[after] += 1
        alive[who] = (now[who] <= age[who] + ahead) & (rng.random(who.size) >= leaves[who])
    return frequency, recency, later


def simulated_amounts(model: GammaGamma, count: Floats, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    scale = rng.gamma(model.q, 1 / model.v, len(count))
    return rng.gamma(model.p * count) / scale / count


@pytest.fixture(scope="module")
def customers() -> tuple[Floats, Floats, Floats]:
    age = np.random.default_rng(1).integers(200, 600, 20_000).astype(float)
    frequency, recency, _ = simulated(WEEKS, age, seed=2)
    return frequency, np.floor(recency), age


def test_the_fit_recovers_simulated_customers(customers: tuple[Floats, Floats, Floats]) -> None:
    model = fit_bgnbd(*customers)
    assert not model.penalised
    assert model.r == pytest.approx(0.243, rel=0.06)
    assert model.alpha * model.time_unit_days / 7 == pytest.approx(4.414, rel=0.1)
    assert model.a / (model.a + model.b) == pytest.approx(0.793 / 3.219, rel=0.05)
    assert model.a + model.b == pytest.approx(3.219, rel=0.25)


def test_the_fit_of_amounts_recovers_simulated_customers() -> None:
    count = np.random.default_rng(3).geometric(0.4, 20_000).astype(float)
    model = fit_gamma_gamma(count, simulated_amounts(MUSIC, count, seed=4))
    assert not model.penalised
    assert (model.p, model.q, model.v) == pytest.approx((6.25, 3.74, 15.44), rel=0.1)
    assert model.p * model.v / (model.q - 1) == pytest.approx(35.22, rel=0.03)


@pytest.mark.parametrize(("x", "t_x", "t"), [(0, 0, 39), (1, 4, 4), (2, 30.43, 38.86), (25, 20, 39)])
def test_the_likelihood_is_that_of_the_paper(x: int, t_x: float, t: float) -> None:
    r, alpha, a, b = 0.243, 4.414, 0.793, 2.426
    gamma = math.gamma

    def beta(one: float, other: float) -> float:
        return gamma(one) * gamma(other) / gamma(one + other)

    stays = beta(a, b + x) / beta(a, b) * gamma(r + x) * alpha**r / (gamma(r) * (alpha + t) ** (r + x))
    left = 0.0
    if x:
        left = beta(a + 1, b + x - 1) / beta(a, b) * gamma(r + x) * alpha**r / (gamma(r) * (alpha + t_x) ** (r + x))
    rows = np.array([[x], [t_x], [t], [3.0]])
    loss, _ = btyd_model._bgnbd_loss(rows)(np.log([r, alpha, a, b]))
    assert loss == pytest.approx(-3 * math.log(stays + left), rel=1e-12)
    assert WEEKS.alive_probability([x], [7 * t_x], [7 * t]) == pytest.approx(stays / (stays + left), rel=1e-12)


@pytest.mark.parametrize(("x", "z"), [(1, 10.0), (3, 35.0), (12, 400.0)])
def test_the_likelihood_of_amounts_integrates_over_customers(x: int, z: float) -> None:
    def density(scale: float) -> float:
        own = math.exp(6.25 * x * math.log(x * scale) + (6.25 * x - 1) * math.log(z) - x * scale * z)
        return own / math.gamma(6.25 * x) * 15.44**3.74 * scale**2.74 * math.exp(-15.44 * scale) / math.gamma(3.74)

    mode = (6.25 * x + 2.74) / (x * z + 15.44)
    marginal = integrate.quad(density, 0, 20 * mode, points=[mode], epsabs=0, epsrel=1e-11, limit=200)[0]
    rows = np.array([[x], [math.log(z)], [1.0]])
    loss, _ = btyd_model._gamma_gamma_loss(rows)(np.log([6.25, 2.74, 15.44]))
    assert loss + math.log(z) == pytest.approx(-math.log(marginal), rel=1e-9)


@pytest.mark.parametrize("theta", [(0.0, 0.0, 0.0, 0.0), (-1.4, 1.5, -0.2, 0.9), (1.0, -2.0, 2.0, -3.0)])
def test_gradients_are_those_of_the_likelihoods(theta: tuple[float, ...]) -> None:
    rows = np.array([[0, 0, 1, 2, 9], [0, 0, 3, 8, 9], [5, 9, 9, 8, 9.5], [1, 2, 1, 1, 0.5]])
    loss = btyd_model._bgnbd_loss(rows)
    numeric = optimize.approx_fprime(np.array(theta), lambda at: loss(at)[0], 1e-7)
    assert loss(np.array(theta))[1] == pytest.approx(numeric, abs=1e-4)
    amounts = btyd_model._gamma_gamma_loss(rows[[3, 2, 0]])
    numeric = optimize.approx_fprime(np.array(theta[:3]), lambda at: amounts(at)[0], 1e-7)
    assert amounts(np.array(theta[:3]))[1] == pytest.approx(numeric, abs=1e-4)


def test_the_published_example_customer() -> None:
    assert WEEKS.expected_orders([2], [7 * 30.43], [7 * 38.86], 7 * 39) == pytest.approx(1.226, abs=5e-4)


def test_expected_orders_are_those_of_simulated_customers() -> None:
    frequency, recency, later = simulated(WEEKS, np.full(400_000, 200.0), seed=5, ahead=90.0)
    expected = WEEKS.expected_orders(frequency, recency, 200, 90)
    for chosen in (frequency == 0, frequency == 1, frequency == 4, (frequency > 5) & (recency > 150), recency < 60):
        error = later[chosen].std() / math.sqrt(chosen.sum())
        assert expected[chosen].mean() == pytest.approx(later[chosen].mean(), abs=4 * error)
    assert expected.sum() == pytest.approx(later.sum(), rel=0.02)


@pytest.mark.parametrize("a", [0.05, 0.793, 1 - 1e-9, 1.0, 1 + 2e-6, 1.7, 6.0, 40.0])
@pytest.mark.parametrize(("b", "x"), [(0.2, 0), (0.3, 0), (2.426, 0), (0.2, 3), (2.426, 300)])
@pytest.mark.parametrize("ahead", [1e-4, 0.5, 8.0])
def test_the_closed_form_is_the_integral_over_dropout(a: float, b: float, x: int, ahead: float) -> None:
    rate = 0.7 + x

    def orders(logit: float) -> float:
        p, weight = special.expit(logit), a * special.log_expit(logit) + (b + x) * special.log_expit(-logit)
        mean = -math.expm1(-rate * math.log1p(p * ahead)) / p if p > 1e-200 else rate * ahead
        return mean * math.exp(weight - special.betaln(a, b + x))

    middle = math.log(a / (b + x))
    ends = middle - 45 / min(a, 1), middle + 45 / min(b + x, 1)
    slow = integrate.quad(orders, *ends, points=[middle - 3, middle, middle + 3], epsabs=0, epsrel=1e-9, limit=500)[0]
    closed_form = btyd_model.expected_orders_if_alive(np.array([rate]), a, np.array([b + x]), np.array([ahead]))
    assert closed_form == pytest.approx(slow, rel=5e-6)


def test_alive_is_a_probability_and_falls_with_silence() -> None:
    frequency, age = np.full(50, 6.0), np.linspace(70, 700, 50)
    alive = WEEKS.alive_probability(frequency, 70, age)
    assert ((alive > 0) & (alive < 1)).all() and (np.diff(alive) < 0).all()
    assert (WEEKS.alive_probability([0, 0], [0, 0], [0, 900]) == 1).all()
    assert (np.diff(WEEKS.alive_probability(6, np.linspace(1, 600, 50), 600)) > 0).all()


def test_expected_orders_grow_with_the_horizon_and_a_recent_purchase() -> None:
    horizons = np.linspace(0, 2000, 80)
    orders = WEEKS.expected_orders(4, 180, 200, horizons)
    assert orders[0] == 0 and (np.diff(orders) > 0).all() and (np.diff(orders, 2) < 0).all()
    assert (np.diff(WEEKS.expected_orders(4, np.linspace(10, 200, 40), 200, 90)) > 0).all()


def test_what_is_not_finite_stays_so_and_does_not_spoil_others() -> None:
    alive = WEEKS.alive_probability([1, np.nan, 2], [10, 10, np.nan], 90)
    assert np.isfinite(alive).tolist() == [True, False, False]
    rows = [0, 1, 3, 2], [0, 20, 70, 40], [90, 80, 90, 60]
    spoilt = [*rows[0], 5], [*rows[1], np.nan], [*rows[2], 90]
    assert fit_bgnbd(*rows) == fit_bgnbd(*spoilt)


parameter = st.floats(1e-3, 1e3)
days = st.floats(0, 1e5)


@settings(max_examples=300, deadline=None)
@given(parameter, parameter, parameter, parameter, st.integers(0, 10_000), days, days, days)
def test_predictions_are_finite_for_extremes(
    r: float, alpha: float, a: float, b: float, x: int, recency: float, age: float, horizon: float
) -> None:
    model = BGNBD(r, alpha, a, b, penalised=False, time_unit_days=30)
    alive = model.alive_probability([x], [recency], [age])
    orders = model.expected_orders([x], [recency], [age], horizon)
    assert 0 <= alive[0] <= 1
    assert 0 <= orders[0] <= (r + x) / (alpha + age / 30) * (horizon / 30) * (1 + 1e-9) + 1e-300


customer = st.tuples(st.integers(0, 1000), st.floats(0, 1), st.sampled_from([0.0, 1.0, 90.0, 1e5]))


@settings(max_examples=60, deadline=None)
@given(st.lists(customer, max_size=8))
def test_fits_are_finite_for_extremes(log: list[tuple[int, float, float]]) -> None:
    x, share, age = np.array(log, float).reshape(-1, 3).T
    model = fit_bgnbd(x, share * age, age)
    assert np.isfinite(astuple(model)).all() and min(astuple(model)[:4]) > 0
    assert np.isfinite(model.expected_orders(x, share * age, age, 365)).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(-10, 1e100)), max_size=8))
def test_fits_of_amounts_are_finite_for_extremes(log: list[tuple[int, float]]) -> None:
    count, mean = np.array(log, float).reshape(-1, 2).T
    model = fit_gamma_gamma(count, mean)
    assert np.isfinite(astuple(model)).all() and model.q > 1
    spend = model.expected_spend([*count, 0], [*mean, 5.0])
    assert np.isfinite(spend).all() and (spend > 0).all()


@pytest.mark.parametrize(
    ("frequency", "recency", "age"),
    [
        ([], [], []),
        ([0], [0], [0]),
        ([0] * 500, [0] * 500, list(range(500))),
        ([4], [80], [90]),
        ([3] * 100, [60] * 100, [90] * 100),
        (list(range(1, 40)), [90] * 39, [90] * 39),
    ],
    ids=["nobody", "today", "nobody repeats", "one customer", "all the same", "nobody leaves"],
)
def test_degenerate_logs_are_penalised(frequency: list[int], recency: list[int], age: list[int]) -> None:
    model = fit_bgnbd(frequency, recency, age)
    assert model.penalised and np.isfinite(astuple(model)).all()
    if frequency and max(age):
        seen = WEEKS.expected_orders(frequency, recency, age, 0) + np.asarray(frequency, float)
        expected = model.expected_orders(frequency, recency, age, max(age))
        assert (expected <= 3 * seen.max() + 1).all()


@pytest.mark.parametrize(("count", "mean"), [([], []), ([0, 2], [0.0, -4.0]), ([1], [8.0]), ([2] * 50, [8.0] * 50)])
def test_degenerate_amounts_are_penalised(count: list[int], mean: list[float]) -> None:
    model = fit_gamma_gamma(count, mean)
    assert model.penalised and model.q > 1 and np.isfinite(astuple(model)).all()
    if 8.0 in mean:
        assert model.expected_spend(count, mean) == pytest.approx(8, rel=0.05)


def test_weights_are_repetitions(customers: tuple[Floats, Floats, Floats]) -> None:
    few = [column[:300] for column in customers]
    times = np.arange(300) % 4
    repeated = [np.repeat(column, times) for column in few]
    assert fit_bgnbd(*few, weights=times) == fit_bgnbd(*repeated)
    count = few[0] + 1
    mean = simulated_amounts(MUSIC, count, seed=6)
    assert fit_gamma_gamma(count, mean, times) == fit_gamma_gamma(np.repeat(count, times), np.repeat(mean, times))


def test_the_order_of_customers_does_not_matter(customers: tuple[Floats, Floats, Floats]) -> None:
    shuffled = np.random.default_rng(7).permutation(len(customers[0]))
    assert fit_bgnbd(*customers) == fit_bgnbd(*(column[shuffled] for column in customers))
    count = customers[0] + 1
    mean = simulated_amounts(MUSIC, count, seed=9)
    assert fit_gamma_gamma(count, mean) == fit_gamma_gamma(count[shuffled], mean[shuffled])


def test_the_currency_and_the_unit_of_time_do_not_matter(customers: tuple[Floats, Floats, Floats]) -> None:
    count = customers[0] + 1
    mean = simulated_amounts(MUSIC, count, seed=8)
    one, other = fit_gamma_gamma(count, mean), fit_gamma_gamma(count, mean * 1e4)
    assert other.expected_spend(count, mean * 1e4) == pytest.approx(1e4 * one.expected_spend(count, mean), rel=1e-4)
    x, recency, age = customers
    slow, fast = fit_bgnbd(x, recency, age), fit_bgnbd(x, 1024 * recency, 1024 * age)
    assert fast.time_unit_days == 1024 * slow.time_unit_days
    assert astuple(fast)[:5] == astuple(slow)[:5]


def test_spend_lies_between_the_customer_and_the_population() -> None:
    mean = MUSIC.expected_spend([0], [0.0])[0]
    assert mean == pytest.approx(6.25 * 15.44 / 2.74)
    spend = MUSIC.expected_spend(np.arange(1, 50), 100.0)
    assert (spend > mean).all() and (spend < 100).all() and (np.diff(spend) > 0).all()


def test_returns_is_the_share_that_buys_again_in_a_simulation() -> None:
    model = BGNBD(r=0.8, alpha=20.0, a=0.9, b=3.0, penalised=False, time_unit_days=1.0)
    x, t_x, age, horizon = 3, 40.0, 60.0, 30.0
    rng = np.random.default_rng(5)
    rate, leaves = rng.gamma(model.r, 1 / model.alpha, 400_000), rng.beta(model.a, model.b, 400_000)
    silent = np.exp(-rate * age) * rate**x * (1 - leaves) ** x
    left = np.exp(-rate * t_x) * rate**x * leaves * (1 - leaves) ** (x - 1)
    again = (silent * -np.expm1(-rate * horizon)).sum() / (silent + left).sum()
    assert model.return_probability(x, t_x, age, horizon) == pytest.approx(again, rel=0.02)


def test_returns_rises_with_the_horizon_up_to_being_alive() -> None:
    model = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426, penalised=False, time_unit_days=7.0)
    ahead = [model.return_probability(2, 100, 200, days) for days in (0, 10, 100, 1e9)]
    assert ahead[0] == 0
    assert ahead == sorted(ahead)
    assert ahead[-1] == pytest.approx(float(model.alive_probability(2, 100, 200)), rel=1e-3)


def test_one_mistyped_order_does_not_move_the_expectation_of_others() -> None:
    count = np.tile([1, 2, 3, 4, 6], 60)
    mean = simulated_amounts(MUSIC, count, seed=8)
    mistyped = np.r_[1e12, mean[1:]]
    usual, robust = fit_gamma_gamma(count, mean), fit_gamma_gamma(count, mistyped)
    assert robust.expected_spend(count, mean) == pytest.approx(usual.expected_spend(count, mean), rel=0.1)
