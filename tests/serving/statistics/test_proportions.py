"""Intervals of shares against Newcombe's published figures, and at their ends."""

from __future__ import annotations

import numpy as np
import pytest

from serving.statistics.proportions import wilson_interval


def test_known_intervals() -> None:
    # Newcombe (1998), 'Two-sided confidence intervals for the single proportion', table I, method 3.
    low, high = wilson_interval(np.array([81, 15, 0, 1]), np.array([263, 148, 20, 29]))
    assert low == pytest.approx([0.2553, 0.0624, 0.0, 0.0061], abs=1e-4)
    assert high == pytest.approx([0.3662, 0.1605, 0.1611, 0.1718], abs=1e-4)


def test_all_none_and_nobody() -> None:
    low, high = wilson_interval(np.array([0, 7, 0]), np.array([7, 7, 0]))
    assert (low[0], high[1]) == (0.0, 1.0)
    assert 0 < high[0] < 1 and 0 < low[1] < 1
    assert (low[2], high[2]) == (0.0, 1.0)
