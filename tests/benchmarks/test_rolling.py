"""The rolling benchmark finds the better model, and its simulated shops grow and shrink as they say."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import rolling
from features.simulation.settings import Settings
from features.task import Window
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.evaluate import OURS


def _cutoffs(noise: float) -> list[rolling.TestCutoff]:
    """Six cutoffs of 400 customers; ours knows the truth up to noise, the peers know less."""
    rng, done = np.random.default_rng(3), []
    for number in range(6):
        p, mean = rng.uniform(0.1, 0.9, 400), rng.gamma(2, 30, 400)
        churned = (rng.random(400) < p).astype(float)
        value = (1 - churned) * mean * rng.gamma(4, 0.25, 400)
        ids = pa.chunked_array([[f"c{i}" for i in range(400)]])
        truth = Sample(ids, np.zeros(400), pa.table({"x": np.zeros(400)}), churned, value)

        def model(error: float, p: np.ndarray = p, mean: np.ndarray = mean) -> Prediction:
            blurred = np.clip(p + error * rng.normal(size=400), 0.01, 0.99)
            return Prediction(blurred, (1 - blurred) * mean * np.exp(error * rng.normal(size=400)))

        predictions = {OURS: model(noise), "near": model(0.2), "far": model(0.5)}
        day = date(2024, 1, 1) + timedelta(days=30 * number)
        covered = rolling.CustomerCoverage(0.86, 0.85, 0.8)
        done.append(rolling.TestCutoff(day, truth, predictions, (0.0, 400.0), (0.0, 1e9), covered))
    return done


def test_who_knows_more_is_better_than_the_best_peer_by_every_metric() -> None:
    compared = rolling.compare(_cutoffs(0.0), Window(90))
    assert compared.keys() == rolling.METRICS.keys()
    for metric in ("brier", "deviance"):
        assert compared[metric].best == "near"
        assert compared[metric].high < 0 < compared[metric].ratio < 1
    text = rolling.table("shop", _cutoffs(0.0), compared)
    assert "6 test cutoffs" in text and "held 6 of 6 numbers of leavers, 6 of 6 totals" in text and "✓" in text
    assert "86.0% of the customers' values (zeros allow no less than 85.0%)" in text
    assert "| Brier score |" in rolling.summary({"shop": compared})


def test_who_knows_as_much_is_not_called_worse() -> None:
    compared = rolling.compare(_cutoffs(0.2), Window(90))
    assert compared["brier"].low < 0 < compared["brier"].high
    assert "none" in rolling.summary({"shop": compared})


@pytest.mark.parametrize(("growth", "later"), [(1.0, True), (-0.6, False)])
def test_a_simulated_shop_gains_or_loses_customers(tmp_path: Path, growth: float, later: bool) -> None:
    shop = rolling.Shop(Settings(actions=()), days=700, customers_growth=growth, one_time=0.5)
    rolling.simulate_shop(shop, tmp_path / "shop", 1_000, 1)
    (file,) = (tmp_path / "shop" / "events").glob("*.parquet")
    events = pq.read_table(file).to_pandas()
    first = events.groupby("customer_id").time.min()
    middle = first.min() + timedelta(days=350)
    assert ((first > middle).mean() > 0.55) == later
    assert ((first > middle).mean() < 0.45) != later
    assert (events.groupby("customer_id").order_id.nunique() == 1).mean() > 0.5


def test_without_money_only_brier_is_compared() -> None:
    without = []
    for cutoff in _cutoffs(0.1):
        bare = {name: Prediction(p.churn, None) for name, p in cutoff.predictions.items()}
        without.append(replace(cutoff, predictions=bare, total_interval=None, covered=None))
    compared = rolling.compare(without, Window(90))
    assert list(compared) == ["brier"]
    assert "totals" not in rolling.table("policies", without, compared)


def test_what_zeros_allow_is_told_apart_from_what_intervals_hold() -> None:
    """Of four customers, one surely brings nothing: her interval holds it, whatever it is."""
    churn, spend = np.array([0.95, 0.5, 0.1, 0.1]), np.array([0.0, 0.0, 10.0, 90.0])
    ids = pa.chunked_array([list("abcd")])
    truth = Sample(ids, np.zeros(4), pa.table({"x": np.zeros(4)}), (spend == 0).astype(float), spend)
    covered = rolling.customer_coverage(np.zeros(4), np.array([0.0, 20.0, 50.0, 50.0]), churn, truth, 0.8)
    assert covered.share == pytest.approx(0.75)
    assert covered.least == pytest.approx((0.95 + 3 * 0.8) / 4)
    assert covered.of_open == pytest.approx(2 / 3)
