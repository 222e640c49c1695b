"""The rule of the lifecycle at its edges."""

from __future__ import annotations

import ibis
import pyarrow as pa

from features.lifecycle import lifecycle
from features.task import Window


def test_lifecycle_at_its_edges() -> None:
    cases = [
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
    recency, tenure, gap, expected = (list(column) for column in zip(*cases, strict=True))
    places = list(range(len(cases)))
    rows = ibis.memtable(pa.table({"place": places, "recency": recency, "tenure": tenure, "gap_mean": gap}))
    told = rows.select("place", lifecycle=lifecycle(rows, Window(30))).order_by("place").to_pyarrow()
    assert told["lifecycle"].to_pylist() == expected
