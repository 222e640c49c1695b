"""The benchmark of A/A tests at a tiny size: its peers are what they are called, and effects have the promised size."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import aa
from serving.measurement.effect_estimates import ADJUSTED, ALL, measured_effects


@pytest.fixture(scope="module")
def customers() -> aa.Population:
    """Simulated customers with a heavy tail."""
    return aa.heavy_tail(Path())


@pytest.fixture(scope="module")
def experiment(customers: aa.Population) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes without and with an effect, who is treated, and what was known before."""
    rng = np.random.default_rng(5)
    rows, treated = rng.choice(len(customers.outcome), 500, replace=False), rng.random(500) >= 0.1
    outcome = customers.outcome[rows]
    more = aa.add_effect(outcome, treated, "buyers", 0.2, rng)
    return np.column_stack([outcome, more]), treated, customers.covariates[rows]


def test_ours_is_what_a_measured_plan_says(experiment: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    outcomes, treated, covariates = experiment
    p, sign = aa.ours(outcomes, treated, covariates, 7)
    for place, outcome in enumerate(outcomes.T):
        rows = measured_effects(aa.synthetic_plan(outcome, treated, covariates, 7), draws=aa.DRAWS).rows
        row = next(row for row in rows if (row["family"], row["estimator"]) == (ALL, ADJUSTED))
        assert (p[place], sign[place]) == (row["p"], np.sign(row["effect"]))


def test_statsmodels_says_the_same(experiment: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    sm = pytest.importorskip("statsmodels.api")
    outcomes, treated, covariates = experiment
    tests = aa.statsmodels_tests(outcomes, treated, covariates)
    centred = (covariates - covariates.mean(axis=0)) / covariates.std(axis=0)
    design = np.column_stack([np.ones(len(outcomes)), treated, centred])
    fitted = sm.OLS(outcomes[:, 1], design).fit()
    assert tests["statsmodels, regression"][0][1] == pytest.approx(fitted.pvalues[1])
    robust = fitted.get_robustcov_results("HC3", use_t=True)
    assert tests["statsmodels, regression, HC3"][0][1] == pytest.approx(robust.pvalues[1])


@pytest.mark.parametrize("name", ["Welch's t", "pooled t"])
def test_t_tests_are_those_of_the_textbook(experiment: tuple[np.ndarray, np.ndarray, np.ndarray], name: str) -> None:
    outcomes, treated, covariates = experiment
    p, _ = aa.statsmodels_tests(outcomes, treated, covariates)[f"statsmodels, {name}"]
    assert p == pytest.approx(
        stats.ttest_ind(outcomes[treated], outcomes[~treated], equal_var=name == "pooled t").pvalue
    )


def test_settings_that_are_done_are_not_run_again(
    customers: aa.Population, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(aa, "SIZES", (500,))
    first = aa.print_false_effects([customers], 2, tmp_path / "results.jsonl")
    monkeypatch.setattr(aa, "rejections", None)
    again = aa.print_false_effects([customers], 2, tmp_path / "results.jsonl")
    aa.print_power([customers], again, 2)
    assert all((first[key][name] == again[key][name]).all() for key in first for name in first[key])
    assert len(first) == 2 and "Ours minus the best valid test" in capsys.readouterr().out


def test_the_permuted_t_is_welch_s() -> None:
    rng = np.random.default_rng(1)
    outcome, treated = rng.gamma(1.0, 10.0, 12), np.arange(12) > 3
    observed = stats.ttest_ind(outcome[treated], outcome[~treated], equal_var=False).statistic
    places = np.array(list(combinations(range(12), 4)))
    rest = np.array([np.setdiff1d(np.arange(12), held) for held in places])
    every = stats.ttest_ind(outcome[rest], outcome[places], axis=1, equal_var=False).statistic
    exact = min(1.0, 2 * min(np.mean(every >= observed - 1e-9), np.mean(every <= observed + 1e-9)))
    p, sign = aa.permutation_tests(outcome[:, None], treated, np.empty((12, 0)), 2)["permutation, Welch's t"]
    assert p[0] == pytest.approx(exact, abs=0.08) and sign[0] == np.sign(observed)


@pytest.mark.parametrize("kind", ["baskets", "buyers"])
def test_an_effect_raises_the_mean_of_the_treated_alone(customers: aa.Population, kind: str) -> None:
    rng, outcome = np.random.default_rng(2), np.minimum(customers.outcome, 100)
    treated = rng.random(len(outcome)) < 0.9
    changed = aa.add_effect(outcome, treated, kind, 0.2, rng)
    assert (changed[~treated] == outcome[~treated]).all()
    assert changed[treated].mean() == pytest.approx(1.2 * outcome[treated].mean(), rel=0.03)


def test_only_tests_that_hold_their_level_in_both_directions_compete() -> None:
    assert aa.holds_level(np.array([0.025, 0.025]), 1_000)
    assert not aa.holds_level(np.array([0.05, 0.0]), 1_000)
    assert not aa.holds_level(np.array([0.036, 0.036]), 1_000)


def test_outcomes_of_a_log_come_after_the_cutoff_and_predictions_from_before() -> None:
    rng = np.random.default_rng(3)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(400, size=800), "D")
    log = pd.DataFrame({"who": rng.integers(60, size=800), "day": days, "amount": rng.gamma(2.0, 10.0, 800)})
    cutoff = pd.Timestamp("2024-09-01")
    customers = aa.from_log("shop", log, cutoff)
    assert customers.daily is not None and customers.daily.sum(axis=1) == pytest.approx(customers.outcome)
    changed = log.assign(amount=log.amount * np.where(log.day >= cutoff, 3, 1))
    later = aa.from_log("shop", changed, cutoff)
    assert later.outcome == pytest.approx(3 * customers.outcome)
    assert np.allclose(later.covariates, customers.covariates)


def test_tables_of_segments_and_looks_are_printed(customers: aa.Population, capsys: pytest.CaptureFixture[str]) -> None:
    aa.print_cells([customers], 1)
    assert "| heavy tail 4,000 | 8 | 50 |" in capsys.readouterr().out
    assert aa.main(["cdnow", "--part", "looks", "--data", "nowhere"]) == 0
    assert "cdnow is left out" in capsys.readouterr().err
