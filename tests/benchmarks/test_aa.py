"""The benchmark of A/A tests at a tiny size: its peers are what they are called, and effects have the promised size."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import aa


@pytest.fixture(scope="module")
def customers() -> aa.Population:
    """Simulated customers with a heavy tail."""
    return aa.heavy_tail(Path())


def test_ours_stands_beside_permutation_tests(customers: aa.Population) -> None:
    shares = aa.rejections(customers, (500, 0.1), 3, ("buyers", 0.2), {"permutation, adjusted"})
    assert set(shares) == {aa.OURS, "permutation, adjusted"}
    assert all(0 <= share.sum() <= 1 for share in shares.values())
    assert set(aa.rejections(customers, (500, 0.05), 1)) >= {aa.OURS, "permutation, Welch's t"}
    assert aa.settings(customers)[-1] == (10_000, 0.1)


def test_the_permuted_t_is_welch_s() -> None:
    rng = np.random.default_rng(1)
    outcome, treated = rng.gamma(1.0, 10.0, 12), np.arange(12) > 3
    observed = stats.ttest_ind(outcome[treated], outcome[~treated], equal_var=False).statistic
    places = np.array(list(combinations(range(12), 4)))
    rest = np.array([np.setdiff1d(np.arange(12), held) for held in places])
    every = stats.ttest_ind(outcome[rest], outcome[places], axis=1, equal_var=False).statistic
    exact = min(1.0, 2 * min(np.mean(every >= observed - 1e-9), np.mean(every <= observed + 1e-9)))
    p, sign = aa._permuted_welch(outcome, treated, 2)
    assert p == pytest.approx(exact, abs=0.08) and sign == np.sign(observed)


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
