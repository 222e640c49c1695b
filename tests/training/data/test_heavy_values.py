"""A mistyped order does not decide what the value model learns; ordinary values are left as they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pyarrow as pa

from features.snapshots.build import Snapshots
from features.task import Cohort, Task, Window
from training.data.heavy_values import heavy_value_note, value_limits

FIRST, LAST = date(2024, 1, 1), date(2024, 10, 1)
TASK = Task(Window(90), Cohort(Window(365)), Window(30), (Window(90),), value_horizons=(Window(180),))


def snapshots(values: np.ndarray, cutoff: date = FIRST) -> Snapshots:
    n = len(values)
    moments = pa.array([datetime(cutoff.year, cutoff.month, cutoff.day)] * n, pa.timestamp("us"))  # noqa: DTZ001
    labels = {"churned": pa.array(np.zeros(n), pa.int8()), "value": values, "value_180d": values}
    rows = pa.table({"customer_id": pa.array([f"c{i}" for i in range(n)], pa.string()), "cutoff": moments, **labels})
    return Snapshots(rows, (), TASK, "", "", date(2025, 6, 1))


def test_ordinary_values_have_no_limit_and_no_note() -> None:
    ordinary = snapshots(np.linspace(-5.0, 400.0, 200))
    assert value_limits(ordinary) == {"value": np.inf, "value_180d": np.inf}
    assert heavy_value_note(ordinary) == ()
    assert heavy_value_note(snapshots(np.array([]))) == ()


def test_heavy_values_are_taken_for_the_largest_of_the_others() -> None:
    heavy = snapshots(np.r_[np.linspace(-5.0, 400.0, 200), 1e12, 9.5e9])
    assert value_limits(heavy) == {"value": 400.0, "value_180d": 400.0}
    (note,) = heavy_value_note(heavy)
    assert note.startswith("2 values of customers outweigh all others, up to 1,000,000,000,000")
    assert "400.00, the largest of the others, stands for each" in note


def test_values_that_were_not_known_then_decide_nothing() -> None:
    heavy = np.r_[np.linspace(-5.0, 400.0, 200), 1e12]
    early, late = snapshots(heavy), snapshots(heavy * 2, LAST)
    both = replace(early, rows=pa.concat_tables([early.rows, late.rows]))
    assert value_limits(both)["value"] == 800.0
    assert value_limits(both.as_known(LAST)) == {"value": 400.0, "value_180d": 400.0}
    assert value_limits(both.as_known(date(2024, 4, 15))) == {"value": 400.0, "value_180d": np.inf}
