"""A mistyped order does not decide what the value model learns; ordinary values are left as they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from training.data.heavy_values import heavy_value_note, value_limits


def snapshots(values: np.ndarray) -> Any:
    rows = pa.table({"value": pa.array([None, *values]), "value_180d": pa.array([*values, None])})
    return SimpleNamespace(rows=rows, task=SimpleNamespace(longer={"value_180d": None}))


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
