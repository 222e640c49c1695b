"""What is offered next, from a small log in which stores go together as much as categories do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.intake.log import opened
from serving.segmentation.history import gather_history

CUTOFF = date(2024, 2, 9)
SECTIONS = {"segments": {"history": 0}, "task": {"horizon": "7d", "windows": ["30d"]}}


@pytest.fixture
def log(tmp_path: Path) -> None:
    """Sixty customers, half of tea and half of coffee; every third does not have the second value yet."""
    rows = []
    for n in range(60):
        category, store = (("tea", "milk"), ("east", "north")) if n % 2 else (("coffee", "cake"), ("west", "south"))
        for place in range(1 if n % 3 == 0 else 2):
            when = datetime(2024, 1, 1) + timedelta(days=n % 40, hours=9)
            rows.append({"customer": f"c{n:02}", "time": when, "order": f"o{n}", "category": category[place]})
            rows[-1] |= {"store": store[place], "amount": 5.0}
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")


@pytest.mark.parametrize(
    ("offers", "expected"),
    [(None, {"category"}), (["store"], {"store"}), ([], set()), (["category", "store"], {"category", "store"})],
)
def test_only_kinds_that_can_be_offered_are(
    log: None, make_config: Callable[..., Config], offers: list[str] | None, expected: set[str]
) -> None:
    roles = {"amount": "amount", "order": "order", "kinds": ["category", "store"]}
    config = make_config(SECTIONS, **roles, **({} if offers is None else {"offers": offers}))
    with opened(config) as log_:
        views = gather_history(log_, CUTOFF).views
    assert set(views.next_kind["kind"].to_pylist()) == expected
    assert set(views.pairs["kind"].to_pylist()) == {"category", "store"}
    if "category" in expected:
        rows = {row["customer_id"]: row for row in views.next_kind.to_pylist() if row["kind"] == "category"}
        assert (rows["c18"]["because"], rows["c18"]["next"]) == ("coffee", "cake") and "c01" not in rows
