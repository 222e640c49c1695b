"""The rows that models learn from: thinned cutoffs first, then the same sample of customers at every cutoff."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from features.config.load import Config
from features.intake.log import opened
from features.snapshots.build import Snapshots, build_snapshots, checked_log
from features.snapshots.training_rows import choose_rows, estimate_cohorts, thin_cutoffs
from features.task import Window


@pytest.fixture(scope="module")
def everything(shop: Config) -> Snapshots:
    """Every row of the shop."""
    return build_snapshots(shop)


def _limited(shop: Config, rows: int) -> Snapshots:
    training = shop.training.model_copy(update={"rows": rows})
    features = shop.features.model_copy(update={"cache": "off"})
    return build_snapshots(shop.model_copy(update={"training": training, "features": features}))


def test_a_small_log_is_used_whole_and_nothing_is_said(everything: Snapshots) -> None:
    assert everything.choice is not None
    assert everything.choice.note == ""
    assert everything.choice.cutoffs == tuple(everything.cutoffs)


def test_cutoffs_are_thinned_before_customers_are_left_out(shop: Config) -> None:
    with opened(shop) as log, checked_log(log) as (engine, tables, _):
        task = replace(shop.task.to_task(), every=Window(4))
        cutoffs = task.mature_cutoffs(tables.first, tables.labels_end)
        total = sum(estimate_cohorts(tables, task, cutoffs, engine).values())
        few = choose_rows(tables, task, cutoffs, total * 3 // 4, engine)
        fewer = choose_rows(tables, task, cutoffs, total // 9, engine)
    assert set(fewer.cutoffs) < set(cutoffs) and set(few.cutoffs) < set(cutoffs)
    assert len(fewer.cutoffs) < len(few.cutoffs)
    assert max(fewer.cutoffs) == max(cutoffs)
    assert few.share == 1 and few.all_rows == total and few.rows <= total * 3 // 4
    assert f"{len(few.cutoffs)} of {len(cutoffs)} cutoffs" in few.note
    assert fewer.share < 1 and fewer.rows <= total // 9


def test_the_same_customers_are_sampled_at_every_cutoff(shop: Config, everything: Snapshots) -> None:
    few = _limited(shop, 300)
    assert few.choice is not None and 0 < few.choice.share < 1
    assert few.fingerprint != everything.fingerprint
    assert f"{few.choice.share:.1%} of the customers" in few.choice.note
    sampled, rows = set(few.rows["customer_id"].to_pylist()), everything.to_pandas()
    kept = rows[rows.customer_id.isin(sampled) & rows.cutoff.isin(few.to_pandas().cutoff)].reset_index(drop=True)
    own = few.to_pandas()
    assert list(kept.customer_id) == list(own.customer_id)
    names = ["recency_days", "orders_count_ever", "amount_sum_ever", "churned", "value"]
    assert kept[names].equals(own[names])


def test_sizes_are_estimated_from_a_sample(
    shop: Config, everything: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(shop) as log, checked_log(log) as (engine, tables, _):
        task = shop.task.to_task()
        exact = estimate_cohorts(tables, task, everything.cutoffs, engine)
        assert sum(exact.values()) == everything.rows.num_rows
        monkeypatch.setattr("features.snapshots.training_rows.PROBED_EVENTS", tables.rows // 2)
        rough = estimate_cohorts(tables, task, everything.cutoffs, engine)
        assert rough != exact
        assert sum(rough.values()) == pytest.approx(sum(exact.values()), rel=0.25)
        unlimited = choose_rows(tables, task, everything.cutoffs, 0, engine)
    assert (unlimited.cutoffs, unlimited.share, unlimited.note) == (tuple(everything.cutoffs), 1.0, "")


@pytest.mark.parametrize(("every", "horizon"), [(30, 90), (30, 365), (28, 28), (7, 90)])
def test_cutoffs_a_horizon_apart_and_of_the_same_season_stay(every: int, horizon: int) -> None:
    last = date(2024, 6, 1)
    cutoffs = [last - timedelta(days=every * n) for n in range(1500 // every)]
    steps = -(-horizon // every)
    before = len(cutoffs)
    for per_horizon in range(steps, 0, -1):
        kept = thin_cutoffs(cutoffs, Window(horizon), per_horizon)
        assert set(cutoffs[::steps]) <= set(kept)
        assert any(abs((last + timedelta(days=horizon - 365) - c).days) <= every for c in kept)
        assert len(kept) <= before
        before = len(kept)
    assert set(thin_cutoffs(cutoffs, Window(horizon), steps)) == set(cutoffs)
