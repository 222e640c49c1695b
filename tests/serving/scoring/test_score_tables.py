"""Score tables on disk: parts with checksums, gaps, totals, and cutoffs of another zone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.config.load import Config
from features.errors import DataError, UsageError
from serving.scoring.score_tables import read_scores, refuse_other_zone, total_value_interval, write_score_parts
from tests.scored import make_scored


def test_parts_hold_all_rows_in_order(tmp_path: Path) -> None:
    parts = write_score_parts(pa.table({"customer_id": [f"c{n}" for n in range(7)]}), tmp_path, 3)
    assert [part["rows"] for part in parts] == [3, 3, 1]
    assert len({part["sha256"] for part in parts}) == 3
    (empty,) = write_score_parts(pa.table({"customer_id": pa.array([], pa.string())}), tmp_path, 3)
    assert empty["rows"] == 0


def test_a_part_that_was_changed_is_refused(tmp_path: Path) -> None:
    config = make_scored(tmp_path, {})
    scores = read_scores(config)
    part = scores.folder / scores.manifest.parts[0]["file"]
    part.write_bytes(part.read_bytes() + b"x")
    with pytest.raises(DataError, match="regulars score"):
        scores.table()


def test_without_money_a_total_has_no_interval() -> None:
    assert total_value_interval(np.array([0.5]), None, None, None) == (None, None)


def test_scores_of_another_zone_are_refused_with_both(tmp_path: Path, make_config: Callable[..., Config]) -> None:
    config = make_scored(tmp_path, {})
    scores = read_scores(config)
    refuse_other_zone(config, scores)
    moved = config.model_copy(update={"task": config.task.model_copy(update={"timezone": "Asia/Tokyo"})})
    with pytest.raises(
        UsageError, match="was scored with days that begin in 'UTC'.*'Asia/Tokyo'; run `regulars train`"
    ):
        refuse_other_zone(moved, scores)
