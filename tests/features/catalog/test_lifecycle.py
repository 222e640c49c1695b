"""The rule of the lifecycle at its edges."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import pyarrow as pa

from features.catalog.lifecycle import lifecycle_stage
from features.task import Window

Case = tuple[int, int, float | None, str]


def test_lifecycle_at_its_edges() -> None:
    cases: list[Case] = [
        (1, 30, 1.0, "new"),
        (30, 30, None, "new"),
        (15, 31, 10.0, "active"),
        (16, 99, 10.0, "slipping"),
        (30, 99, 10.0, "slipping"),
        (31, 99, 10.0, "dormant"),
        (7, 99, 1.0, "active"),
        (8, 99, 1.0, "slipping"),
        (30, 99, 1.0, "slipping"),
        (45, 99, None, "active"),
        (46, 99, None, "slipping"),
        (90, 99, None, "slipping"),
        (91, 99, None, "dormant"),
    ]
    assert stages(cases, horizon=30) == [expected for *_, expected in cases]


def test_a_quarter_of_a_horizon_is_still_active() -> None:
    cases = [(7, 99, 1.0, "active"), (8, 99, 1.0, "slipping"), (28, 99, 1.0, "slipping"), (29, 99, 1.0, "dormant")]
    assert stages(cases, horizon=28) == [expected for *_, expected in cases]


def stages(cases: Sequence[Case], horizon: int) -> list[str]:
    recency, tenure, gap, _ = (list(column) for column in zip(*cases, strict=True))
    places = list(range(len(cases)))
    rows = ibis.memtable(pa.table({"place": places, "recency": recency, "tenure": tenure, "gap_mean": gap}))
    table = rows.select("place", lifecycle=lifecycle_stage(rows, Window(horizon))).order_by("place").to_pyarrow()
    return list(table["lifecycle"].to_pylist())
