"""Plots show the groups they speak of."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from training.plots import calibration_plot, decile_plot, lift_plot
from training.split import Sample


@pytest.fixture
def truth() -> Sample:
    """A hundred customers, the first half of whom churned."""
    churned = (np.arange(100) < 50).astype(float)
    return Sample(pa.chunked_array([[""] * 100]), pa.table({"x": churned}), churned, 10 * (1 - churned))


def test_calibration_is_said_against_came_in_ten_groups(truth: Sample) -> None:
    said, came = calibration_plot(truth, truth.churned * 0.8 + 0.1).axes[0].lines[1].get_data()
    assert np.asarray(said).tolist() == pytest.approx([0.1] * 5 + [0.9] * 5)
    assert np.asarray(came).tolist() == [0.0] * 5 + [1.0] * 5


def test_a_perfect_order_finds_all_churners_in_the_first_half(truth: Sample) -> None:
    shares, found = lift_plot(truth, truth.churned).axes[0].lines[1].get_data()
    assert np.interp(0.5, np.asarray(shares, dtype=float), np.asarray(found, dtype=float)) == pytest.approx(1.0)


def test_deciles_show_predicted_beside_actual(truth: Sample) -> None:
    bars = decile_plot(truth, truth.value + 1).axes[0].containers
    assert [bar.get_height() for bar in bars[0]][-1] == pytest.approx(11.0)  # type: ignore[attr-defined]
    assert [bar.get_height() for bar in bars[1]][-1] == pytest.approx(10.0)  # type: ignore[attr-defined]
