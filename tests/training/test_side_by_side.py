"""Pieces of work side by side: results in order, each with its share of the threads, and none goes on in vain."""

from __future__ import annotations

import time
from collections.abc import Callable

import lightgbm as lgb
import numpy as np
import pytest

from training import side_by_side
from training.side_by_side import is_unwanted, run_side_by_side


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many threads of OpenMP."""
    monkeypatch.setattr(side_by_side, "_openmp_threads", lambda: request.param)
    return int(request.param)


def test_results_keep_the_order_of_the_pieces(threads: int) -> None:
    def piece(number: int) -> Callable[[], int]:
        return lambda: (time.sleep(0.02 * (3 - number)), number)[1]

    assert run_side_by_side([piece(number) for number in range(4)]) == [0, 1, 2, 3]


def test_trees_are_the_same_to_the_last_byte_wherever_they_are_fitted(threads: int) -> None:
    rng = np.random.default_rng(0)
    X, fixed = rng.normal(size=(3000, 6)), {"verbosity": -1, "deterministic": True, "force_row_wise": True}
    y = X[:, 0] + rng.normal(size=3000)

    def fit() -> str:
        return lgb.train(fixed, lgb.Dataset(X, label=y), 5).model_to_string()

    assert set(run_side_by_side([fit, fit, fit])) == {fit()}


def test_pieces_share_the_threads() -> None:
    alone = side_by_side._openmp_threads()
    each = run_side_by_side([side_by_side._openmp_threads] * 2)
    assert each == ([alone] * 2 if alone < 2 else [max(1, alone // 2)] * 2)
    assert side_by_side._openmp_threads() == alone


def test_a_failure_ends_the_other_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "_openmp_threads", lambda: 2)
    begun = []

    def fails() -> None:
        raise ValueError("no labels")

    def waits() -> None:
        begun.append("waits")
        ends = time.monotonic() + 20
        while not is_unwanted() and time.monotonic() < ends:
            time.sleep(0.005)
        begun.append("unwanted" if is_unwanted() else "forgotten")

    with pytest.raises(ValueError, match="no labels"):
        run_side_by_side([fails, waits, waits, waits])
    assert "forgotten" not in begun
    assert not is_unwanted()
