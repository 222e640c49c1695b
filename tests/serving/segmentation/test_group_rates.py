"""Mean churn and value, and value at risk, of everybody and of each group, beside the cutoff before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from serving.segmentation.group_rates import segment_rates


def scores(folder: Path, churn: list[float], value: list[float | None], rules: int = 2) -> Any:
    """Scores of two customers, with segments by a version of the rules."""
    groups = {"segment": ["save first", "keep"], "tier": ["high", "high"], "lifecycle": ["new", "active"]}
    at_risk = [None if v is None else c * v for c, v in zip(churn, value, strict=True)]
    numbers = {"value": pa.array(value, pa.float64()), "value_at_risk": pa.array(at_risk, pa.float64())}
    table = pa.table({"churn_probability": churn, **numbers, **groups})
    return SimpleNamespace(read_columns=table.select, manifest=SimpleNamespace(segment_rules=rules))


def test_means_by_group(tmp_path: Path) -> None:
    now, before = (
        scores(tmp_path / "now", [0.2, 0.4], [10.0, 30.0]),
        scores(tmp_path / "before", [0.1, 0.1], [None, None]),
    )
    rows = {row["segment"]: row for row in segment_rates(now, before)}
    assert list(rows) == ["all", "save first", "keep", "high", "new", "active"]
    everybody = rows["all"]
    assert (everybody["customers"], everybody["churn"], everybody["value"]) == (2, pytest.approx(0.3), 20.0)
    assert (everybody["value_at_risk"], everybody["value_at_risk_before"]) == (pytest.approx(14.0), None)
    assert (everybody["churn_before"], everybody["value_before"]) == (pytest.approx(0.1), None)
    assert (rows["high"]["by"], rows["high"]["customers"], rows["keep"]["churn"]) == ("tier", 2, 0.4)


def test_without_an_earlier_cutoff_there_is_nothing_to_compare(tmp_path: Path) -> None:
    (everybody, *_) = segment_rates(scores(tmp_path / "now", [0.2, 0.4], [10.0, 30.0]), None)
    assert everybody["customers_before"] is None and everybody["churn_before"] is None


def test_segments_by_other_rules_are_not_compared(tmp_path: Path) -> None:
    now, before = (scores(tmp_path, [0.2, 0.4], [10.0, 30.0], rules) for rules in (2, 1))
    rows = {row["segment"]: row["churn_before"] for row in segment_rates(now, before)}
    assert rows["save first"] is None and rows["keep"] is None
    assert rows["all"] == pytest.approx(0.3) and rows["high"] == pytest.approx(0.3) and rows["new"] == 0.2
