"""Effects: recovered on average and by customer, and equal for all if they do not differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm, spearmanr

from features.simulation.business import Business, draw_orders, draw_population, expected_orders
from features.simulation.settings import Action, Settings
from tests.experiments import SimulatedExperiment, simulate_experiment
from training.uplift import effects
from training.uplift.effects import UpliftEstimates, effect_figures, estimate_effects, trim_tails
from training.uplift.experiment import experiment_from_columns
from training.uplift.metrics import ConfidenceInterval


@pytest.fixture(scope="module")
def simulated_experiment() -> SimulatedExperiment:
    return simulate_experiment(3_000)


@pytest.fixture(scope="module")
def estimates(simulated_experiment: SimulatedExperiment) -> UpliftEstimates:
    return estimate_effects(simulated_experiment.data(), seed=3, folds=2, resamples=60, proportional=("value",))


def test_effects_that_differ_are_found(simulated_experiment: SimulatedExperiment, estimates: UpliftEstimates) -> None:
    one = estimates.evaluated[0]
    later = simulate_experiment(2_000, seed=8)
    predicted, error = estimates.bundle.predict_effects(later.features)["return"]["email"]
    assert one.p_value < 0.001 and one.effect.differs and "rank customers by it" in one.verdict
    assert one.average.low < simulated_experiment.truth.mean() < one.average.high
    assert spearmanr(predicted, later.truth).statistic > 0.6
    assert np.std(predicted) == pytest.approx(later.truth.std(), rel=0.35)
    assert (np.abs(predicted - later.truth) < 2 * error).mean() > 0.8
    assert one.qini.low > 0 and one.area.low > 0 and one.loss_reduction > 0
    assert one.calibration.found.iloc[-1] > one.calibration.found.iloc[0]


def test_the_evaluation_uses_customers_that_were_not_fitted_on(
    simulated_experiment: SimulatedExperiment, estimates: UpliftEstimates
) -> None:
    one = estimates.evaluated[0]
    assert spearmanr(one.predicted, simulated_experiment.truth).statistic > 0.5
    together = one.learners.iloc[-1]
    alone = one.learners.iloc[:-1]
    assert together.learner == "together" and alone.weight.sum() == pytest.approx(1)
    assert together.gain > alone.gain.median()
    table = effect_figures(estimates)
    assert set(table.figure) == {"average", "gain", "qini", "doubly_robust_area"}
    assert len(table) == 8 and (table.low <= table.high).all()


def test_a_seed_repeats_every_bit() -> None:
    first, again = (estimate_effects(simulate_experiment(400).data(), seed=3, folds=2, resamples=50) for _ in range(2))
    assert again.bundle == first.bundle
    assert effect_figures(again).equals(effect_figures(first))


def test_effects_that_do_not_differ_are_the_average_for_all() -> None:
    same = simulate_experiment(1_500, seed=5, varied=0.0)
    data = same.data()
    spend = same.visit * np.exp(same.features["x2"].to_numpy())
    spend = np.where(same.action == "email", spend * 1.3, spend)
    data = replace(data, outcomes={"return": same.visit, "value": spend + np.exp(data.design[:, 2])})
    estimates = estimate_effects(data, seed=5, folds=2, resamples=50, proportional=("value",))
    of_return = estimates.evaluated[0]
    assert not of_return.effect.differs and of_return.verdict.endswith("treat all, or rank by value")
    predicted = estimates.bundle.predict_effects(same.features)
    assert np.ptp(predicted["return"]["email"][0]) == 0
    value = estimates.bundle.outcomes["value"]
    plain = replace(value, effects={"email": replace(value.effects["email"], slope=0.0)})
    effect, error = plain.predict(estimates.bundle.design_matrix(same.features))["email"]
    assert effect.mean() == pytest.approx(estimates.evaluated[1].average.value, rel=0.05)
    assert spearmanr(effect, same.features["x2"].to_numpy()).statistic > 0.8
    assert (error >= 0).all()


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.2, "treat all"), (-0.2, -0.1, "treat none"), (-0.1, 0.1, "no evidence of an effect")],
)
def test_without_evidence_the_sign_of_the_average_decides(
    estimates: UpliftEstimates, low: float, high: float, words: str
) -> None:
    one = estimates.evaluated[0]
    none = replace(one, average=ConfidenceInterval((low + high) / 2, low, high), effect=replace(one.effect, slope=0.0))
    assert words in none.verdict


def test_noise_seldom_seems_to_be_a_difference() -> None:
    rng, seen, runs = np.random.default_rng(3), 0, 200
    for _ in range(runs):
        n = 400
        folds, shared = rng.integers(5, size=n), rng.normal(size=(n, 1))
        each = effects._standardised(shared + rng.normal(size=(n, 6)), folds)
        psi = effects._centred(rng.normal(size=n), folds)
        score, _ = effects._cross_fitted_score(each, psi, np.arange(n), folds)
        gain, error = effects._gain(score, psi, np.arange(n))
        seen += norm.sf(gain / error) < effects.SIGNIFICANCE
    assert seen / runs < 0.09


def test_a_few_huge_sums_are_clipped() -> None:
    spend = np.append(np.arange(1_000.0), 1e9)
    assert trim_tails(spend).max() < 1_000
    np.testing.assert_array_equal(trim_tails(np.zeros(3)), np.zeros(3))


@pytest.fixture(scope="module")
def simulated() -> Callable[[], tuple[UpliftEstimates, dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """The simulator's customers in one randomised round of three arms: estimates, true effects, and predictions."""
    days, horizon = 360, 30
    settings = Settings(
        hazard_mean=0.0005, rate_mean=0.05,
        actions=(Action("email", 0.1, 0.3, 30, (1.5, 0.0, 0.5)), Action("voucher", 2.0, 0.3, 30, (0.0, 1.5, -0.4))),
    )  # fmt: skip
    business = Business(date(2023, 1, 1), days, settings, seed=4)
    people = draw_population(5_000, business, business.rng(0, 0))
    nobody = np.full((5_000, (days + 90) // 30 + 1), -1)
    who, moment = draw_orders(people, business, nobody, (0, days - horizon), business.rng(0, 1))
    known = np.bincount(who, minlength=5_000)
    last = np.zeros(5_000)
    np.maximum.at(last, who, moment)
    here = known > 0
    arm = business.rng(0, 2).choice([-1, 0, 1], 5_000, p=[0.4, 0.3, 0.3])
    worlds = [np.where(np.arange(nobody.shape[1]) == (days - horizon) // 30, a, nobody) for a in (-1, 0, 1)]
    given = np.where(np.arange(nobody.shape[1]) == (days - horizon) // 30, arm[:, None], nobody)
    span = (days - horizon, days)
    customers, when = draw_orders(people, business, given, span, business.rng(0, 3))
    later = people.birth[customers] < days - horizon
    orders = np.bincount(customers[later], minlength=5_000)
    features = pa.table(
        {"orders": known, "recency": days - horizon - last, "amount": people.mean_amount, "age": days - people.birth,
         "channel": pa.array(settings.channels).take(pa.array(people.channel))}
    ).filter(pa.array(here))  # fmt: skip
    expected = [expected_orders(people, business, world, span) for world in worlds]
    truth = {n: ((expected[a] - expected[0]) * people.mean_amount)[here] for a, n in ((1, "email"), (2, "voucher"))}
    outcomes = {"return": (orders > 0)[here].astype(float), "value": (orders * people.mean_amount)[here]}
    data = experiment_from_columns(
        features, np.array(["none", "email", "voucher"])[arm + 1][here], outcomes, control="none",
        propensity=np.where(arm < 0, 0.4, 0.3)[here],
    )  # fmt: skip
    estimates = estimate_effects(data, seed=6, folds=2, resamples=50, proportional=("value",))
    predicted = {name: estimates.bundle.predict_effects(features)["value"][name][0] for name in truth}
    chances = {n: np.exp(-expected[0][here]) - np.exp(-expected[a][here]) for a, n in ((1, "email"), (2, "voucher"))}
    return lambda: (estimates, truth, predicted, chances)


def test_the_simulators_effects_are_recovered(simulated: Callable) -> None:
    estimates, truth, predicted, chances = simulated()
    assert estimates.bundle.actions == ("email", "voucher")
    for one in estimates.evaluated:
        true = (truth if one.outcome == "value" else chances)[one.action]
        spread = one.average.high - one.average.low
        assert one.average.low - spread / 4 < true.mean() < one.average.high + spread / 4, (one.outcome, one.action)
    for action in truth:
        assert spearmanr(predicted[action], truth[action]).statistic > 0.4, action
    best = np.array(["email", "voucher"])[np.argmax([truth["email"], truth["voucher"]], axis=0)]
    ours = np.array(["email", "voucher"])[np.argmax([predicted["email"], predicted["voucher"]], axis=0)]
    clear = np.abs(truth["email"] - truth["voucher"]) > 5
    assert (best == ours)[clear].mean() > 0.75


@pytest.mark.slow
@pytest.mark.long
def test_an_effect_that_is_the_same_for_all_seldom_seems_to_differ() -> None:
    p_values = []
    for seed in range(24):
        data = simulate_experiment(400, seed=1_000 + seed, varied=0.0, average=0.1).data()
        visits = replace(data, outcomes={"return": data.outcomes["return"]})
        p_values.append(estimate_effects(visits, seed=seed, folds=4, resamples=2).evaluated[0].p_value)
    assert sum(p < 0.05 for p in p_values) <= 2
    assert 5 <= sum(p < 0.5 for p in p_values) <= 18
