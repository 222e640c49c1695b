"""Weights follow the evidence of later cutoffs, are equal without any, and make one margin of many."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from training.artifact.margin import Margin, Term
from training.models.linear_prior import churn_loss
from training.models.stacking import stacking_weights, weighted_sum


def _cutoffs(count: int, seed: int = 0, rows: int = 4_000) -> tuple[list, list]:
    """Three members: the truth, noise, and the truth in part."""
    rng = np.random.default_rng(seed)
    margins, labels = [], []
    for _ in range(count):
        truth = rng.normal(0, 1.5, rows)
        margins.append(np.column_stack([truth, rng.normal(0, 1.5, rows), truth / 2 + rng.normal(0, 1, rows)]))
        labels.append((rng.random(rows) < expit(truth)).astype(float))
    return margins, labels


def test_the_member_that_knows_gets_the_weight() -> None:
    weights = stacking_weights(*_cutoffs(3), churn_loss)
    assert weights[0] > 0.8
    assert weights[0] > weights[2] >= weights[1]


def test_more_cutoffs_say_more() -> None:
    assert stacking_weights(*_cutoffs(6), churn_loss)[0] > stacking_weights(*_cutoffs(1), churn_loss)[0] > 0.4


def test_members_that_are_alike_share_equally() -> None:
    margins, labels = _cutoffs(2)
    alike = [np.repeat(m[:, :1], 3, axis=1) for m in margins]
    np.testing.assert_allclose(stacking_weights(alike, labels, churn_loss), 1 / 3, atol=1e-4)


def test_a_wrong_level_does_not_cost_a_member_its_weight() -> None:
    margins, labels = _cutoffs(3)
    shifted = [m + np.array([1.0, 1.0, 1.0]) for m in margins]
    np.testing.assert_allclose(
        stacking_weights(shifted, labels, churn_loss), stacking_weights(margins, labels, churn_loss), atol=1e-3
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), count=st.integers(1, 3))
def test_weights_are_shares(seed: int, count: int) -> None:
    weights = stacking_weights(*_cutoffs(count, seed, 200), churn_loss)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()


def test_the_combined_margin_is_the_weighted_sum() -> None:
    X = pa.table({"a": [1.0, 2.0, 3.0], "b": [0.1, 0.5, 0.9]})
    one = Margin(0.5, (Term("a", "log1p", 1.0, 0.2, 2.0),))
    two = Margin(-1.0, (Term("b", "logit", 1.0, 0.0, 1.0), Term("a", "log", 2.0, 0.0, -1.0)))
    both = weighted_sum([one, two, Margin(99.0)], [0.3, 0.7, 0.0])
    np.testing.assert_allclose(both.predict(X), 0.3 * one.predict(X) + 0.7 * two.predict(X))
