"""Lives of kinds: noise and a growing business have no trend, planted trends are found."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from serving.segmentation.product_lifecycle import FADING, MATURE, RISING, UNKNOWN, odds_trend, product_lifecycles

PERIODS = 12


def tables(hits: dict[str, np.ndarray], everyone: np.ndarray) -> tuple[pa.Table, pa.Table]:
    """Counts by value, oldest first, as the engine gives them: by period, 0 the last, nothing where there is none."""
    rows = [
        {"value": value, "period": len(n) - 1 - place, "customers": int(n[place]), "orders": int(2 * n[place])}
        for value, n in hits.items()
        for place in range(len(n))
        if n[place]
    ]
    total = [{"period": len(everyone) - 1 - place, "customers": int(n)} for place, n in enumerate(everyone) if n]
    schema = [(name, pa.string() if name == "value" else pa.int64()) for name in ("value", "period", "customers")]
    by_value = pa.Table.from_pylist(rows, pa.schema([*schema, ("orders", pa.int64())]))
    return by_value, pa.Table.from_pylist(total, pa.schema([("period", pa.int64()), ("customers", pa.int64())]))


def states(hits: dict[str, np.ndarray], everyone: np.ndarray) -> dict[str, str]:
    rows = product_lifecycles("kind", *tables(hits, everyone), len(everyone)).to_pylist()
    return {row["value"]: row["state"] for row in rows}


def test_noise_in_a_growing_business_is_no_trend() -> None:
    rng = np.random.default_rng(4)
    everyone = np.linspace(300, 900, PERIODS).astype(int)
    jumpy = {f"v{n}": rng.binomial(everyone, np.clip(rng.normal(0.2, 0.05, PERIODS), 0.01, 1)) for n in range(200)}
    assert sum(state != MATURE for state in states(jumpy, everyone).values()) <= 4


def test_planted_trends_are_found_and_their_size() -> None:
    rng = np.random.default_rng(5)
    everyone = np.full(PERIODS, 800)
    steps = np.linspace(0, 1, PERIODS)
    hits = {
        "up": rng.binomial(everyone, 0.1 + 0.1 * steps),
        "down": rng.binomial(everyone, 0.3 - 0.2 * steps),
        **{f"flat{n}": rng.binomial(everyone, 0.2) for n in range(20)},
    }
    rows = {row["value"]: row for row in product_lifecycles("kind", *tables(hits, everyone), PERIODS).to_pylist()}
    assert (rows["up"]["state"], rows["down"]["state"]) == (RISING, FADING)
    assert sum(row["state"] != MATURE for value, row in rows.items() if value.startswith("flat")) <= 2
    odds = (0.2 / 0.8) / (0.1 / 0.9) - 1
    assert rows["up"]["change_low"] < odds < rows["up"]["change_high"]
    assert rows["up"]["by_period"] == hits["up"].tolist()
    assert rows["up"]["reach"] == pytest.approx(hits["up"][-1] / 800)
    assert (rows["up"]["customers"], rows["up"]["orders"]) == (hits["up"][-1], 2 * hits["up"][-1])


def test_the_interval_of_a_trend_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    everyone, covered = np.full(PERIODS, 400), 0
    for _ in range(400):
        _, low, high, p = odds_trend(rng.binomial(everyone, 0.2).astype(float), everyone.astype(float))
        covered += low < 0 < high
        assert (low < 0 < high) == (p > 0.05)
    assert 0.92 < covered / 400 <= 1


@pytest.mark.parametrize(("periods", "size"), [(3, 500), (PERIODS, 1)])
def test_too_little_is_said_to_be_too_early(periods: int, size: int) -> None:
    hits = {"a": np.full(periods, size)}
    (row,) = product_lifecycles("kind", *tables(hits, np.full(periods, 1000)), periods).to_pylist()
    assert (row["state"], row["change"], row["p_value"]) == (UNKNOWN, None, None)
