"""Drivers from pieces: exact sums, the same however customers were cut, and a direction from a fixed sample."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from features.feature import Feature
from serving.explanation import drivers as room
from serving.explanation.contributions import Contributions
from serving.explanation.drivers import (
    Tally,
    drivers_from_tally,
    merge_tallies,
    sample_for_directions,
    tally_contributions,
)
from tests.drivers import rank_drivers

N = 500
CATALOG = [
    *(Feature(f"x{i}", lambda m: m, f"family {i}", f"phrase {i}", "{value:days}", "days") for i in range(3)),
    Feature("plan", lambda m: m, "plan", "the plan", "{value}", "level"),
]
LEVELS = {"plan": ["basic", "gold", "rare"]}


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    rng = np.random.default_rng(1)
    plans = rng.choice(["basic", "gold", "unknown"], N).astype(object)
    plans[:5], plans[5:9] = "rare", None
    numbers = {f"x{i}": rng.normal(size=N) for i in range(3)}
    return pa.table({"customer_id": [f"c{i:04d}" for i in range(N)], **numbers, "plan": pa.array(plans, pa.string())})


def part(rows: pa.Table, unit: str = "money") -> Contributions:
    """The first feature raises, the second lowers, the third does nothing, and gold is worth more than basic."""
    plan = np.array([{"gold": 1.5, "basic": -0.5, "rare": 99.0}.get(p, 0.1) for p in rows["plan"].to_pylist()])
    raised, lowered = rows["x0"].to_numpy() ** 3, -3.0 * rows["x1"].to_numpy()
    values = np.column_stack([raised, lowered, np.zeros(len(raised)), plan])
    return Contributions(unit, 1.0, values, 1.0 + values.sum(axis=1))


def in_pieces(rows: pa.Table, length: int, unit: str = "money") -> Tally:
    contributions, places = part(rows, unit), sample_for_directions(rows["customer_id"])
    tallies = []
    for start in range(0, rows.num_rows, length):
        some = rows.slice(start, length)
        piece = Contributions(
            unit, 1.0, contributions.values[start : start + length], contributions.total[start : start + length]
        )
        inside = places[(places >= start) & (places < start + length)] - start
        tallies.append(tally_contributions(piece, some, CATALOG, LEVELS, inside))
    return merge_tallies(tallies)


def test_drivers_equal_plain_means(rows: pa.Table) -> None:
    drivers = {d["feature"]: d for d in rank_drivers(part(rows), rows, CATALOG)}
    values = part(rows).values
    assert list(drivers) == sorted(drivers, key=lambda name: -drivers[name]["strength"]) and "x2" not in drivers
    assert drivers["x0"]["strength"] == pytest.approx(np.abs(values[:, 0]).mean(), rel=1e-6)
    assert (drivers["x0"]["direction"], drivers["x1"]["direction"]) == (pytest.approx(1.0), pytest.approx(-1.0))
    assert (drivers["plan"]["highest"], drivers["plan"]["lowest"], drivers["plan"]["direction"]) == (
        "gold",
        "basic",
        0.0,
    )


@pytest.mark.parametrize("unit", ["money", "probability"])
@pytest.mark.parametrize("length", [1, 7, 499])
def test_they_do_not_depend_on_the_pieces(rows: pa.Table, length: int, unit: str) -> None:
    once, cut = in_pieces(rows, N, unit), in_pieces(rows, length, unit)
    assert all(np.array_equal(once[name], cut[name]) for name in once)
    sample = rows.take(pa.array(sample_for_directions(rows["customer_id"])))
    assert drivers_from_tally(once, unit, sample, CATALOG, LEVELS) == drivers_from_tally(
        cut, unit, sample, CATALOG, LEVELS
    )


def test_sums_of_great_and_negative_amounts_are_exact(rows: pa.Table) -> None:
    great = np.array([[2.0**40, -1.0], [2.0**40, 2.0**-20], [1.0, -(2.0**40)]])
    tally = tally_contributions(
        Contributions("money", 0.0, great, great.sum(axis=1)), rows, CATALOG[:2], {}, np.arange(3)
    )
    assert room._joined_halves(tally["strength"]) == [2**61 + 2**20, 2**60 + 2**20 + 1]
    assert room._joined_halves(room._halves(np.array([-(2**50) - 3]))) == [-(2**50) - 3]


def test_a_sample_stands_for_many_customers_and_is_the_same_in_any_order(
    rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = rows["customer_id"]
    chosen = set(customers.take(pa.array(sample_for_directions(customers, 100))).to_pylist())
    backwards = pa.chunked_array([customers.to_pylist()[::-1]])
    assert len(chosen) == 100 and chosen == set(
        backwards.take(pa.array(sample_for_directions(backwards, 100))).to_pylist()
    )
    monkeypatch.setattr(room.sample_for_directions, "__defaults__", (100,))
    directions = {d["feature"]: d["direction"] for d in rank_drivers(part(rows), rows, CATALOG)}
    assert (directions["x0"], directions["x1"]) == (pytest.approx(1.0), pytest.approx(-1.0))
