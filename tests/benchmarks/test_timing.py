"""The benchmark of timing says of true curves that they are right, and of wrong ones that they are not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import timing
from training.artifact.return_hazard import ReturnCurves
from training.data.time_split import ReturnTimes
from training.evaluation.evaluate import OURS
from training.evaluation.return_times import BTYD


def _cutoffs(speed: float) -> list[timing.TestedCutoff]:
    """Two cutoffs of customers with constant hazards, whom our curves believe to be so many times as fast."""
    rng, days, parts = np.random.default_rng(6), np.arange(57), []
    for seen in (56, 28):
        rate = rng.gamma(2.0, 0.03, 1_500)
        came = np.floor(rng.exponential(1 / rate))
        came[came >= seen] = np.nan
        returns = ReturnTimes(came, np.zeros(1_500), np.full(1_500, seen))
        curves = {
            OURS: ReturnCurves(days, -speed * rate[:, None] * days),
            BTYD: ReturnCurves(days, -0.05 * days - 0 * rate[:, None]),
        }
        parts.append(timing.TestedCutoff(np.arange(1_500), curves, 1 / rate, returns, np.exp(-speed * rate * 28)))
    return parts


def cells(lines: list[str], start: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_true_curves_are_found_right_and_wrong_ones_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "RESAMPLES", 20)
    right, wrong = timing.tables(_cutoffs(1.0), 28), timing.tables(_cutoffs(2.5), 28)
    assert cells(right, "56")[1] == "1,500" and cells(right, "7")[1] == "3,000"
    assert 0.85 < float(cells(right, "7")[4].split()[0]) < 1.15
    for share in ("10%", "50%"):
        assert abs(float(cells(right, share)[4].split()[0])) < 3 < abs(float(cells(wrong, share)[4].split()[0]))
    assert float(cells(right, "regulars, given a return")[2]) <= float(cells(right, "BG/NBD, given a return")[2])
    assert float(right[-1].split()[-1]) < 1e-9
