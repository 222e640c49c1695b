"""Folds go forward in time, and no label that is learned from reaches beyond the cutoff that judges it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import DataError
from features.snapshots.build import Snapshots
from features.task import Cohort, Task, Window
from training.data.time_split import Fold, sample_at, time_splits, training_sample

FIRST = date(2024, 1, 1)


@given(steps=st.lists(st.integers(1, 60), min_size=1, max_size=20), horizon=st.integers(1, 120), most=st.integers(1, 4))
def test_every_training_label_ends_by_the_cutoff_that_judges_it(steps: list[int], horizon: int, most: int) -> None:
    cutoffs = [FIRST + timedelta(days=int(n)) for n in np.cumsum(steps)]
    if (cutoffs[-1] - cutoffs[0]).days < horizon:
        with pytest.raises(DataError, match="two cutoffs at least a horizon"):
            time_splits(cutoffs, Window(horizon))
        return
    plan = time_splits(cutoffs, Window(horizon), most)
    assert plan.test.test == cutoffs[-1]
    assert list(plan.all_cutoffs) == cutoffs
    assert len(plan.folds) <= most
    chain = [fold for fold in (plan.test, plan.calibration, *plan.folds) if fold]
    for fold in chain:
        assert fold.train
        assert max(fold.train) + timedelta(days=horizon) <= fold.test
    for later, earlier in zip(chain, chain[1:], strict=False):
        assert earlier.test + timedelta(days=horizon) <= later.test


def test_a_short_log_says_what_it_leaves_out() -> None:
    def cutoffs(n: int) -> list[date]:
        return [FIRST + timedelta(days=30 * i) for i in range(n)]

    assert "uncalibrated" in time_splits(cutoffs(2), Window(30)).shortfall
    assert "default parameters" in time_splits(cutoffs(3), Window(30)).shortfall
    assert time_splits(cutoffs(4), Window(30)).shortfall == ""


def test_no_cutoff_at_all() -> None:
    with pytest.raises(DataError, match="found none"):
        time_splits([], Window(30))


def _snapshots(churned: list[int | None]) -> Snapshots:
    moments = [datetime(2024, 1, 1), datetime(2024, 1, 1), datetime(2024, 2, 1)]
    rows = {
        "customer_id": ["a", "b", "a"],
        "cutoff": pa.array(moments, pa.timestamp("us")),
        "x": [1.0, None, 3.0],
        "churned": pa.array(churned, pa.int8()),
        "value": [5.0, -2.0, 0.0],
    }
    task = Task(Window(30), Cohort(Window(365)), Window(30), (Window(30),))

    class _X:
        name = "x"

    return Snapshots(pa.table(rows), (_X(),), task, "", "", date(2024, 3, 1))  # type: ignore[arg-type]


def test_take_gives_the_rows_of_its_cutoffs() -> None:
    sample = sample_at(_snapshots([0, 1, 0]), [date(2024, 1, 1)])
    assert sample.customers.to_pylist() == ["a", "b"]
    assert sample.churned.tolist() == [0.0, 1.0]
    assert sample.spend.tolist() == [5.0, 0.0]
    assert np.isnan(sample.column("x")[1])
    assert len(sample.take(sample.churned == 0)) == 1


def test_take_refuses_labels_that_are_not_mature() -> None:
    with pytest.raises(ValueError, match="not mature"):
        sample_at(_snapshots([0, 1, None]), [date(2024, 2, 1)])


def test_a_fold_learns_from_labels_as_known_at_its_test_cutoff() -> None:
    revised = {"customer_id": ["b"], "cutoff": [datetime(2024, 1, 1)], "value": [0.0], "churned": [1]}
    revision = pa.table({**revised, "known_by": pa.array([date(2024, 2, 1)], pa.date32())})
    snapshots = replace(_snapshots([0, 0, 0]), revisions=(revision,))
    fold = Fold((date(2024, 1, 1),), date(2024, 2, 1))
    assert training_sample(snapshots, fold).churned.tolist() == [0.0, 1.0]
    assert sample_at(snapshots, fold.train).churned.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="not mature"):  # its own label had not come by then
        sample_at(snapshots.as_known(fold.test), [fold.test])


def test_a_first_purchase_is_seen_as_long_as_labels_are_known() -> None:
    times = {"return_days": [4.0, 55.0, 12.0], "return_orders": [2.0, 0.0, 1.0]}
    snapshots = _snapshots([0, 1, 0])
    for name, values in times.items():
        snapshots = replace(snapshots, rows=snapshots.rows.append_column(name, pa.array(values)))
    returns = sample_at(snapshots, [date(2024, 1, 1)]).returns
    assert returns is not None
    assert (returns.days.tolist(), returns.orders.tolist()) == ([4.0, 55.0], [2.0, 0.0])
    assert returns.seen.tolist() == [60, 60]
    early = sample_at(snapshots.as_known(date(2024, 2, 10)), [date(2024, 1, 1)]).returns
    assert early is not None
    assert (early.days[0], np.isnan(early.days[1]), early.seen.tolist()) == (4.0, True, [40, 40])
