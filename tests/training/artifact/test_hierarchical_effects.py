"""Effects from the text of a posterior: in proportion to the forecast, with errors of the right size in few parts."""

from __future__ import annotations

import numpy as np
import pytest

from training.artifact.effect_modifiers import NUMBER, ONE, Modifier
from training.artifact.hierarchical_effects import PARTS, HierarchicalEffects, effect_shape, forecast_of

COLUMNS = {"amount_expected": np.array([10.0, 20.0, np.nan]), **{f"x{i}": np.array([0.0, 1.0, -1.0]) for i in range(5)}}


def _model(forecast: str = "amount_expected") -> HierarchicalEffects:
    modifiers = (Modifier(ONE), *(Modifier(NUMBER, f"x{i}") for i in range(5)))
    factor = tuple(map(tuple, np.tril(np.full((6, 6), 0.1)).tolist()))
    return HierarchicalEffects(modifiers, forecast, False, {"mail": (0.5, 0.1, 0.0, 0.0, 0.0, 0.0)}, {"mail": factor})


def test_an_effect_is_a_share_of_the_forecast_and_its_errors_keep_their_size() -> None:
    mean, parts = _model().predict("mail", COLUMNS, None)
    assert mean[0] == pytest.approx(5.0) and mean[1] == pytest.approx(20 * (0.5 + 0.1 * np.arcsinh(1)))
    assert parts.shape == (3, PARTS)
    x = np.concatenate([[1.0], np.full(5, np.arcsinh(1))])
    whole = 20 * np.linalg.norm(x @ np.array(_model().factors["mail"]))
    assert np.linalg.norm(parts[1]) == pytest.approx(whole)


def test_an_unknown_forecast_counts_as_the_mean_and_the_model_s_own_is_taken_without_one() -> None:
    assert forecast_of(COLUMNS, "amount_expected", None).tolist() == [10.0, 20.0, 15.0]
    mean, _ = _model("").predict("mail", COLUMNS, np.array([1.0, 1.0, 1.0]))
    assert mean[0] == pytest.approx(0.5)


def test_a_probability_changes_little_where_it_is_near_0_or_1() -> None:
    shape = effect_shape(np.array([0.0, 0.5, 1.0]), True)
    assert shape[1] > 5 * max(shape[0], shape[2]) and (shape > 0).all()
