"""Plots show the groups they speak of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import roc_curve

from training.data.time_split import Sample
from training.evaluation.plots import (
    _found_and_false,
    calibration_plot,
    curve_plot,
    cutoffs_plot,
    decile_plot,
    lift_plot,
    precision_recall_plot,
    roc_plot,
)


@pytest.fixture
def truth() -> Sample:
    """A hundred customers, the first half of whom churned."""
    return _sample((np.arange(100) < 50).astype(float))


def _sample(churned: np.ndarray) -> Sample:
    ids, days = pa.chunked_array([[""] * len(churned)]), np.zeros(len(churned), int)
    return Sample(ids, days, pa.table({"x": churned}), churned, 10 * (1 - churned))


def test_calibration_is_said_against_came_in_ten_groups(truth: Sample) -> None:
    predicted, actual = calibration_plot(truth, truth.churned * 0.8 + 0.1).axes[0].lines[1].get_data()
    assert np.asarray(predicted).tolist() == pytest.approx([0.1] * 5 + [0.9] * 5)
    assert np.asarray(actual).tolist() == [0.0] * 5 + [1.0] * 5


def test_a_perfect_order_finds_all_churners_in_the_first_half(truth: Sample) -> None:
    shares, share_found = lift_plot(truth, truth.churned).axes[0].lines[1].get_data()
    assert np.interp(0.5, np.asarray(shares, dtype=float), np.asarray(share_found, dtype=float)) == pytest.approx(1.0)


def test_deciles_show_predicted_beside_actual(truth: Sample) -> None:
    bars = decile_plot(truth, truth.value + 1).axes[0].containers
    assert [bar.get_height() for bar in bars[0]][-1] == pytest.approx(11.0)  # type: ignore[attr-defined]
    assert [bar.get_height() for bar in bars[1]][-1] == pytest.approx(10.0)  # type: ignore[attr-defined]


def _lines(models: dict[str, list[float]], **beside: list[object]) -> pd.DataFrame:
    parts = [pd.DataFrame({"value": values, **beside}).assign(model=name) for name, values in models.items()]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(low=table["value"] - 0.1, high=table["value"] + 0.2)


def test_a_metric_over_cutoffs_has_a_line_a_model_and_our_interval() -> None:
    table = _lines({"ours": [0.8, 0.9], "baseline": [0.7, 0.6]}, cutoff=["2024-01-01", "2024-02-01"])
    axes = cutoffs_plot(table, "AUC", "ours").axes[0]
    assert [list(np.asarray(line.get_ydata())) for line in axes.lines] == [[0.8, 0.9], [0.7, 0.6]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2024-01-01", "2024-02-01"]
    assert len(axes.collections) == 1


def test_a_learning_curve_has_intervals_around_every_point() -> None:
    table = _lines({"ours": [0.8, 0.9], "baseline": [0.7, 0.6]}, learned_from=[300, 1000])
    axes = curve_plot(table, "AUC").axes[0]
    assert axes.get_xscale() == "log"
    bar = axes.containers[0].lines[2][0].get_segments()[0]  # type: ignore[attr-defined]
    np.testing.assert_allclose(bar, [[300, 0.7], [300, 1.0]])


def test_found_churners_and_false_alarms_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    truth, churn = _sample((rng.random(400) < 0.3).astype(float)), rng.random(400).round(2)
    found, false = _found_and_false(truth, churn)
    expected_false, expected_found, _ = roc_curve(truth.churned, churn, drop_intermediate=False)
    np.testing.assert_allclose(found / found[-1], expected_found)
    np.testing.assert_allclose(false / false[-1], expected_false)
    assert roc_plot(truth, churn).axes[0].lines and precision_recall_plot(truth, churn).axes[0].lines
