"""Effects: found where they are, on average and by customer; and where they do not differ, said so."""

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
def made() -> SimulatedExperiment:
    return simulate_experiment(3_000)


@pytest.fixture(scope="module")
def found(made: SimulatedExperiment) -> UpliftEstimates:
    return estimate_effects(made.data(), seed=3, folds=2, resamples=60, proportional=("value",))


def test_effects_that_differ_are_found(made: SimulatedExperiment, found: UpliftEstimates) -> None:
    one = found.evaluated[0]
    later = simulate_experiment(2_000, seed=8)
    said, error = found.bundle.predict_effects(later.features)["return"]["email"]
    assert one.p_value < 0.001 and one.effect.differs and "rank by it" in one.verdict
    assert one.average.low < made.truth.mean() < one.average.high
    assert spearmanr(said, later.truth).statistic > 0.6
    assert np.std(said) == pytest.approx(later.truth.std(), rel=0.35)
    assert (np.abs(said - later.truth) < 2 * error).mean() > 0.8
    assert one.qini.low > 0 and one.area.low > 0 and one.loss_reduction > 0
    assert one.calibration.found.iloc[-1] > one.calibration.found.iloc[0]


def test_what_decides_is_what_was_said_of_customers_not_seen(made: SimulatedExperiment, found: UpliftEstimates) -> None:
    one = found.evaluated[0]
    assert spearmanr(one.said, made.truth).statistic > 0.5
    together = one.learners.iloc[-1]
    alone = one.learners.iloc[:-1]
    assert together.learner == "together" and alone.weight.sum() == pytest.approx(1)
    assert together.gain > alone.gain.median()
    table = effect_figures(found)
    assert set(table.figure) == {"average", "gain", "qini", "doubly_robust_area"}
    assert len(table) == 8 and (table.low <= table.high).all()


def test_a_seed_repeats_every_bit() -> None:
    first, again = (estimate_effects(simulate_experiment(400).data(), seed=3, folds=2, resamples=50) for _ in range(2))
    assert again.bundle == first.bundle
    assert effect_figures(again).equals(effect_figures(first))


def test_effects_that_do_not_differ_are_the_average_for_all() -> None:
    same = simulate_experiment(1_500, seed=5, varied=0.0)
    trial = same.data()
    spend = same.visit * np.exp(same.features["x2"].to_numpy())
    spend = np.where(same.action == "email", spend * 1.3, spend)
    trial = replace(trial, outcomes={"return": same.visit, "value": spend + np.exp(trial.design[:, 2])})
    made = estimate_effects(trial, seed=5, folds=2, resamples=50, proportional=("value",))
    back = made.evaluated[0]
    assert not back.effect.differs and back.verdict.endswith("treat all, or rank by value")
    said = made.bundle.predict_effects(same.features)
    assert np.ptp(said["return"]["email"][0]) == 0
    value = made.bundle.outcomes["value"]
    plain = replace(value, effects={"email": replace(value.effects["email"], slope=0.0)})
    effect, error = plain.predict(made.bundle.design_matrix(same.features))["email"]
    assert effect.mean() == pytest.approx(made.evaluated[1].average.value, rel=0.05)
    assert spearmanr(effect, same.features["x2"].to_numpy()).statistic > 0.8
    assert (error >= 0).all()


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.2, "treat all"), (-0.2, -0.1, "treat none"), (-0.1, 0.1, "no evidence of an effect")],
)
def test_without_evidence_the_sign_of_the_average_decides(
    found: UpliftEstimates, low: float, high: float, words: str
) -> None:
    one = found.evaluated[0]
    none = replace(one, average=ConfidenceInterval((low + high) / 2, low, high), effect=replace(one.effect, slope=0.0))
    assert words in none.verdict


def test_noise_is_seldom_taken_for_a_difference() -> None:
    rng, seen, runs = np.random.default_rng(3), 0, 200
    for _ in range(runs):
        n = 400
        folds, shared = rng.integers(5, size=n), rng.normal(size=(n, 1))
        each = effects._comparable(shared + rng.normal(size=(n, 6)), folds)
        psi = effects._centred(rng.normal(size=n), folds)
        score, _ = effects._crosswise(each, psi, np.arange(n), folds)
        gain, error = effects._gain(score, psi, np.arange(n))
        seen += norm.sf(gain / error) < effects.SIGNIFICANCE
    assert seen / runs < 0.09


def test_a_few_huge_sums_do_not_drown_the_others() -> None:
    spend = np.append(np.arange(1_000.0), 1e9)
    assert trim_tails(spend).max() < 1_000
    np.testing.assert_array_equal(trim_tails(np.zeros(3)), np.zeros(3))


@pytest.fixture(scope="module")
def simulated() -> Callable[[], tuple[UpliftEstimates, dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """The simulator's customers in one randomised round of three arms: estimates, true effects, and those said."""
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
    came, when = draw_orders(people, business, given, span, business.rng(0, 3))
    later = people.birth[came] < days - horizon
    orders = np.bincount(came[later], minlength=5_000)
    features = pa.table(
        {"orders": known, "recency": days - horizon - last, "amount": people.mean_amount, "age": days - people.birth,
         "channel": pa.array(settings.channels).take(pa.array(people.channel))}
    ).filter(pa.array(here))  # fmt: skip
    expected = [expected_orders(people, business, world, span) for world in worlds]
    truth = {n: ((expected[a] - expected[0]) * people.mean_amount)[here] for a, n in ((1, "email"), (2, "voucher"))}
    outcomes = {"return": (orders > 0)[here].astype(float), "value": (orders * people.mean_amount)[here]}
    trial = experiment_from_columns(
        features, np.array(["none", "email", "voucher"])[arm + 1][here], outcomes, control="none",
        propensity=np.where(arm < 0, 0.4, 0.3)[here],
    )  # fmt: skip
    made = estimate_effects(trial, seed=6, folds=2, resamples=50, proportional=("value",))
    said = {name: made.bundle.predict_effects(features)["value"][name][0] for name in truth}
    chances = {n: np.exp(-expected[0][here]) - np.exp(-expected[a][here]) for a, n in ((1, "email"), (2, "voucher"))}
    return lambda: (made, truth, said, chances)


def test_the_simulators_effects_are_recovered(simulated: Callable) -> None:
    made, truth, said, chances = simulated()
    assert made.bundle.actions == ("email", "voucher")
    for one in made.evaluated:
        true = (truth if one.outcome == "value" else chances)[one.action]
        spread = one.average.high - one.average.low
        assert one.average.low - spread / 4 < true.mean() < one.average.high + spread / 4, (one.outcome, one.action)
    for action in truth:
        assert spearmanr(said[action], truth[action]).statistic > 0.4, action
    best = np.array(["email", "voucher"])[np.argmax([truth["email"], truth["voucher"]], axis=0)]
    ours = np.array(["email", "voucher"])[np.argmax([said["email"], said["voucher"]], axis=0)]
    clear = np.abs(truth["email"] - truth["voucher"]) > 5
    assert (best == ours)[clear].mean() > 0.75


@pytest.mark.slow
def test_an_effect_that_is_the_same_for_all_seldom_seems_to_differ() -> None:
    found = []
    for seed in range(24):
        made = simulate_experiment(400, seed=1_000 + seed, varied=0.0, average=0.1).data()
        visits = replace(made, outcomes={"return": made.outcomes["return"]})
        found.append(estimate_effects(visits, seed=seed, folds=4, resamples=2).evaluated[0].p_value)
    assert sum(p < 0.05 for p in found) <= 2
    assert 5 <= sum(p < 0.5 for p in found) <= 18
