"""Models of effects on later rounds: what held forward in time, what turned round, and the champion before."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from tests.experiments import simulate_experiment
from training.uplift import forward_evaluation
from training.uplift.effects import UpliftEstimates, estimate_effects
from training.uplift.experiment import ExperimentData, experiment_from_columns
from training.uplift.forward_evaluation import (
    AVERAGE_EFFECT,
    compare_with_champion,
    evaluate_forward,
    same_prediction_target,
)
from training.uplift.train import clearly_worse

N, SPRING, SUMMER, DAYS = 1_600, "2024-03-01", "2024-06-01", 30
CUTOFFS = np.repeat(np.array([SPRING, SUMMER], "datetime64[D]"), N)


def rounds(turned: bool) -> tuple[ExperimentData, pa.Table]:
    """Two rounds of an e-mail whose effect differs between customers; with `turned`, the other way in the second."""
    first = simulate_experiment(N, seed=1, varied=0.5, average=0.0)
    second = simulate_experiment(N, seed=2, varied=-0.5 if turned else 0.5, average=0.0)
    rows = pa.concat_tables([first.features, second.features])
    both = [
        np.concatenate([getattr(one, name) for one in (first, second)]) for name in ("action", "propensity", "visit")
    ]
    trial = experiment_from_columns(
        rows, both[0], {"return": both[2]}, control="none", propensity=both[1], rounds=CUTOFFS
    )
    return trial, rows


def judged(trial: ExperimentData) -> UpliftEstimates:
    return estimate_effects(trial, seed=3, folds=2, resamples=50)


@pytest.fixture(scope="module")
def steady() -> tuple[ExperimentData, pa.Table, UpliftEstimates]:
    """Two rounds alike, and what was learned from both."""
    trial, rows = rounds(turned=False)
    return trial, rows, judged(trial)


@pytest.fixture(scope="module")
def turned() -> tuple[ExperimentData, pa.Table, UpliftEstimates]:
    """Two rounds that contradict each other, and what was learned from both."""
    trial, rows = rounds(turned=True)
    return trial, rows, judged(trial)


def ahead(
    trial: ExperimentData, made: UpliftEstimates, horizon: int = DAYS
) -> list[forward_evaluation.ForwardComparison]:
    return list(evaluate_forward(trial, CUTOFFS, made.evaluated, horizon, seed=3, folds=2, money="value"))


def test_an_effect_that_lasts_holds_forward_in_time(steady: tuple[ExperimentData, pa.Table, UpliftEstimates]) -> None:
    trial, _, made = steady
    (lead,) = ahead(trial, made)
    assert (lead.against, lead.since, lead.customers) == (AVERAGE_EFFECT, date(2024, 6, 1), N)
    assert lead.loss_difference.low > 0 and lead.errors > 2 and clearly_worse([lead]) == []
    # what is gained by knowing the truth: the variance of the true effect, of which some is found
    truth = simulate_experiment(N, seed=2, varied=0.5, average=0.0).truth
    assert 0.3 * truth.var() < lead.loss_difference.value < 1.5 * truth.var()


def test_an_effect_that_turned_round_is_a_reason_against(
    turned: tuple[ExperimentData, pa.Table, UpliftEstimates],
) -> None:
    trial, _, made = turned
    (lead,) = ahead(trial, made)
    assert lead.worse
    (reason,) = clearly_worse([lead])
    assert reason.startswith("email, return: ") and "farther than the average effect for all to what came" in reason


def test_what_came_after_the_later_rounds_began_teaches_nothing(
    steady: tuple[ExperimentData, pa.Table, UpliftEstimates],
) -> None:
    trial, _, made = steady
    assert ahead(trial, made, horizon=92) != []
    assert ahead(trial, made, horizon=93) == []


def test_a_champion_that_no_longer_holds_is_beaten(turned: tuple[ExperimentData, pa.Table, UpliftEstimates]) -> None:
    trial, rows, _ = turned
    first = np.asarray(np.datetime64(SPRING) == CUTOFFS)
    learned = judged(trial.rows(first)).bundle
    champion = replace(learned, facts={"rounds": [SPRING]}, task={"horizon": "30d"})
    alone = judged(trial.rows(~first))  # knows the new way
    new = replace(alone.evaluated[0], predicted=np.concatenate([np.zeros(N), alone.evaluated[0].predicted]))
    psi = np.concatenate([np.zeros(N), alone.evaluated[0].dr_scores])
    (lead,) = compare_with_champion(
        trial, rows, CUTOFFS, [replace(new, dr_scores=psi)], champion, "the champion shop-uplift/1"
    )
    assert lead.loss_difference.low > 0 and lead.since == date(2024, 6, 1) and lead.customers == N
    assert "nearer than the champion shop-uplift/1" in lead.summary()
    (other,) = compare_with_champion(trial, rows, CUTOFFS, [replace(new, dr_scores=-psi)], champion, "the champion")
    assert other.loss_difference.value < lead.loss_difference.value


def test_there_is_nothing_to_compare(steady: tuple[ExperimentData, pa.Table, UpliftEstimates]) -> None:
    trial, rows, made = steady
    known = replace(made.bundle, facts={"rounds": [SPRING, SUMMER]}, task={"horizon": "30d"})
    assert (
        compare_with_champion(trial, rows, CUTOFFS, made.evaluated, known, "the champion") == ()
    )  # it has seen all of it
    before = replace(known, facts={"rounds": [SPRING]})
    assert compare_with_champion(trial, rows.drop(["x0"]), CUTOFFS, made.evaluated, before, "the champion") == ()
    assert not same_prediction_target(replace(known, task={"horizon": "60d"}), replace(made, bundle=known))
    assert not same_prediction_target(replace(known, source="observational"), replace(made, bundle=known))
    few = np.concatenate([np.arange(N), N + np.arange(60)])
    made_of_few = judged(trial.rows(few))
    assert (
        evaluate_forward(trial.rows(few), CUTOFFS[few], made_of_few.evaluated, DAYS, seed=3, folds=2, money="value")
        == ()
    )
