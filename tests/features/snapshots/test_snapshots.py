"""Snapshots: their labels as known at an earlier cutoff."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from features.label_delay import LabelDelay
from features.snapshots.snapshots import Snapshots
from features.task import Task

FIRST, SECOND, THIRD = date(2024, 1, 1), date(2024, 1, 31), date(2024, 3, 1)


@pytest.fixture
def snapshots(make_task: Callable[..., Task]) -> Snapshots:
    """Two customers at three cutoffs; the first purchase of b became known between the second cutoff and the third."""
    keys: dict[str, Any] = {
        "customer_id": ["a", "b"] * 3,
        "cutoff": [datetime(c.year, c.month, c.day) for c in (FIRST, SECOND, THIRD) for _ in range(2)],  # noqa: DTZ001
    }
    labels = {"churned": pa.array([1, 0, 1, 0, None, None], pa.int8()), "value": [0.0, 5.0, 0.0, 7.0, None, None]}
    revised = {"customer_id": ["b"], "cutoff": [datetime(2024, 1, 1)], "known_by": pa.array([SECOND], pa.date32())}  # noqa: DTZ001
    revision = pa.table({**revised, "value": [0.0], "churned": pa.array([1], pa.int8())})
    x: Any = SimpleNamespace(name="x")
    return Snapshots(
        pa.table({**keys, "x": [1.0] * 6, **labels}), (x,), make_task(), "", "", date(2024, 3, 5), revisions=(revision,)
    )


def labels(snapshots: Snapshots) -> list[int | None]:
    return list(snapshots.labelled(snapshots.rows)["churned"].to_pylist())


def test_a_label_is_as_it_was_known_and_null_until_its_horizon_had_passed(snapshots: Snapshots) -> None:
    assert labels(snapshots) == [1, 0, 1, 0, None, None]
    assert labels(snapshots.as_known(SECOND)) == [1, 1, None, None, None, None]
    assert labels(snapshots.as_known(THIRD)) == [1, 0, 1, 0, None, None]
    assert snapshots.as_known(SECOND).labelled(snapshots.rows)["value"].to_pylist()[:3] == [0.0, 0.0, None]


def test_what_was_known_earlier_stays_so(snapshots: Snapshots) -> None:
    assert snapshots.as_known(SECOND).as_known(THIRD).known_by == SECOND
    assert snapshots.as_known(THIRD).as_known(SECOND).known_by == SECOND


def test_only_what_was_known_at_cutoffs_was_kept(snapshots: Snapshots) -> None:
    with pytest.raises(ValueError, match="2024-02-15 is none of the cutoffs"):
        labels(snapshots.as_known(date(2024, 2, 15)))


def test_labels_end_before_the_log_where_rows_may_still_arrive(snapshots: Snapshots) -> None:
    assert snapshots.labels_end == snapshots.end
    assert replace(snapshots, label_delay=LabelDelay(9, wait=4)).labels_end == date(2024, 3, 1)
