"""Uplift models on later rounds: effects that last, effects that reverse, and the champion."""

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
    """Two rounds of an e-mail whose effect differs between customers; with `turned`, reversed in the second."""
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


def estimated(trial: ExperimentData) -> UpliftEstimates:
    return estimate_effects(trial, seed=3, folds=2, resamples=50)


@pytest.fixture(scope="module")
def steady() -> tuple[ExperimentData, pa.Table, UpliftEstimates]:
    """Two rounds with the same effects, and the estimates from both."""
    trial, rows = rounds(turned=False)
    return trial, rows, estimated(trial)


@pytest.fixture(scope="module")
def turned() -> tuple[ExperimentData, pa.Table, UpliftEstimates]:
    """Two rounds with opposite effects, and the estimates from both."""
    trial, rows = rounds(turned=True)
    return trial, rows, estimated(trial)


def forward_comparisons(
    trial: ExperimentData, estimates: UpliftEstimates, horizon: int = DAYS
) -> list[forward_evaluation.ForwardComparison]:
    ends = CUTOFFS + np.timedelta64(horizon, "D")
    settings = {"seed": 3, "folds": 2, "money": "value"}
    return list(evaluate_forward(trial, CUTOFFS, estimates.evaluated, ends, lambda _: trial.outcomes, **settings))  # type: ignore[arg-type]


def test_an_effect_that_lasts_holds_forward_in_time(steady: tuple[ExperimentData, pa.Table, UpliftEstimates]) -> None:
    trial, _, estimates = steady
    (lead,) = forward_comparisons(trial, estimates)
    assert (lead.against, lead.since, lead.customers) == (AVERAGE_EFFECT, date(2024, 6, 1), N)
    assert lead.loss_difference.low > 0 and lead.standard_errors > 2 and clearly_worse([lead]) == []
    # what is gained by knowing the truth: the variance of the true effect, of which some is found
    truth = simulate_experiment(N, seed=2, varied=0.5, average=0.0).truth
    assert 0.3 * truth.var() < lead.loss_difference.value < 1.5 * truth.var()


def test_an_effect_that_reversed_is_a_reason_against(turned: tuple[ExperimentData, pa.Table, UpliftEstimates]) -> None:
    trial, _, estimates = turned
    (lead,) = forward_comparisons(trial, estimates)
    assert lead.worse
    (reason,) = clearly_worse([lead])
    assert (
        reason.startswith("email, return: ") and "farther than the average effect for all from the outcomes" in reason
    )


def test_outcomes_after_the_start_of_later_rounds_are_not_fitted_on(
    steady: tuple[ExperimentData, pa.Table, UpliftEstimates],
) -> None:
    trial, _, estimates = steady
    assert forward_comparisons(trial, estimates, horizon=92) != []
    assert forward_comparisons(trial, estimates, horizon=93) == []


def test_what_is_fitted_on_is_what_was_known_when_the_later_rounds_began(
    steady: tuple[ExperimentData, pa.Table, UpliftEstimates], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, _, estimates = steady
    asked, fitted = list[date](), list[ExperimentData]()

    def known_then(day: date) -> dict[str, np.ndarray]:
        asked.append(day)
        return {"return": np.where(CUTOFFS < np.datetime64(day), trial.outcomes["return"] / 2, np.nan)}

    def keep(experiment: ExperimentData, **settings: object) -> UpliftEstimates:
        fitted.append(experiment)
        return estimates

    monkeypatch.setattr(forward_evaluation, "estimate_effects", keep)
    ends = CUTOFFS + np.timedelta64(DAYS, "D")
    evaluate_forward(trial, CUTOFFS, estimates.evaluated, ends, known_then, seed=3, folds=2, money="value")
    assert asked == [date(2024, 6, 1)] and len(fitted[0]) == N
    assert (fitted[0].outcomes["return"] == trial.outcomes["return"][:N] / 2).all()


def test_a_champion_that_no_longer_holds_is_beaten(turned: tuple[ExperimentData, pa.Table, UpliftEstimates]) -> None:
    trial, rows, _ = turned
    first = np.asarray(np.datetime64(SPRING) == CUTOFFS)
    learned = estimated(trial.rows(first)).bundle
    champion = replace(learned, facts={"rounds": [SPRING]}, task={"horizon": "30d"})
    alone = estimated(trial.rows(~first))  # knows the new way
    new = replace(alone.evaluated[0], predicted=np.concatenate([np.zeros(N), alone.evaluated[0].predicted]))
    psi = np.concatenate([np.zeros(N), alone.evaluated[0].dr_scores])
    (lead,) = compare_with_champion(
        trial, rows, CUTOFFS, [replace(new, dr_scores=psi)], champion, "the champion shop-uplift/1"
    )
    assert lead.loss_difference.low > 0 and lead.since == date(2024, 6, 1) and lead.customers == N
    assert "closer than the champion shop-uplift/1 to the outcomes" in lead.summary()
    (other,) = compare_with_champion(trial, rows, CUTOFFS, [replace(new, dr_scores=-psi)], champion, "the champion")
    assert other.loss_difference.value < lead.loss_difference.value


def test_there_is_nothing_to_compare(steady: tuple[ExperimentData, pa.Table, UpliftEstimates]) -> None:
    trial, rows, estimates = steady
    known = replace(estimates.bundle, facts={"rounds": [SPRING, SUMMER]}, task={"horizon": "30d"})
    assert (
        compare_with_champion(trial, rows, CUTOFFS, estimates.evaluated, known, "the champion") == ()
    )  # it has seen all of it
    before = replace(known, facts={"rounds": [SPRING]})
    assert compare_with_champion(trial, rows.drop(["x0"]), CUTOFFS, estimates.evaluated, before, "the champion") == ()
    assert not same_prediction_target(replace(known, task={"horizon": "60d"}), replace(estimates, bundle=known))
    assert not same_prediction_target(replace(known, source="observational"), replace(estimates, bundle=known))
    few = np.concatenate([np.arange(N), N + np.arange(60)])
    made_of_few = estimated(trial.rows(few))
    ends = CUTOFFS[few] + np.timedelta64(DAYS, "D")
    few_trials, settings = trial.rows(few), {"seed": 3, "folds": 2, "money": "value"}
    assert evaluate_forward(few_trials, CUTOFFS[few], made_of_few.evaluated, ends, dict, **settings) == ()  # type: ignore[arg-type]
