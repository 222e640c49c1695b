"""Terms of single features, and their sum."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from training.artifact.margin import SMALLEST, SURE, Margin, Term
from training.artifact.model_files import BundleError


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        ("log1p", 30.0, math.log(2)),
        ("log1p", -30.0, 0.0),
        ("log", 60.0, math.log(2)),
        ("log", 0.0, math.log(SMALLEST)),
        ("logit", 0.5, 0.0),
        ("logit", 1.0, math.log((1 - SURE) / SURE)),
    ],
)
def test_transforms(shape: str, value: float, expected: float) -> None:
    assert Term("x", shape, 30.0, 0.0, 1.0).transform(np.array([value])) == pytest.approx([expected])


def test_a_null_value_adds_nothing() -> None:
    table = pa.table({"x": pa.array([30.0, None])})
    term = Term("x", "log1p", 30.0, 0.5, 2.0)
    assert term.contribution(table) == pytest.approx([2 * (math.log(2) - 0.5), 0.0])
    assert Margin(1.0, (term, term)).predict(table) == pytest.approx([1 + 4 * (math.log(2) - 0.5), 1.0])


def test_other_text_is_no_trees() -> None:
    with pytest.raises(BundleError, match="the trees of a model are not LightGBM's"):
        Margin(trees=("no trees",), weights=(1.0,)).boosters()
