"""Parts of scores: linear forms, trees with a column for each arm, and which arm they predict for."""

from __future__ import annotations

import numpy as np

from training.artifact.score_parts import LinearForm, ScorePart, with_arm_columns
from training.uplift.meta_learners import fit_trees


def test_a_linear_part_predicts_its_form() -> None:
    form = LinearForm(1.0, (1.0,), (0.0,), (2.0,))
    design = np.array([[0.0], [np.nan], [np.sinh(1.0)]])
    np.testing.assert_allclose(ScorePart(linear=form).predict(design), [1, 1, 3])


def test_trees_predict_for_their_arm() -> None:
    design, arm = np.zeros((400, 1)), np.arange(400) % 2
    text = fit_trees(with_arm_columns(design, 1, arm), arm.astype(float), 50, seed=1)
    control, treated = (ScorePart(text, 1, each).predict(design[:1])[0] for each in (0, 1))
    assert control < 0.2 < 0.8 < treated
