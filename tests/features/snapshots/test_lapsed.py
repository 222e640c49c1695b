"""Lapsed customers: the cohort against the oracle on both engines, its leakage proof, and the rows to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from features.audit.audit import with_too_long_windows
from features.catalog.custom import NO_CUSTOM_FEATURES
from features.config.load import Config
from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.intake.log import opened
from features.intake.tables import Tables
from features.snapshots.build import checked_log, snapshots_from_tables
from features.snapshots.lapsed import build_lapsed_snapshots, choose_lapsed_rows, lapsed_cutoffs
from features.snapshots.leakage import leaks_text, prove_at_cutoffs, prove_no_leakage
from features.task import RETURN_LABELS, Task, Window
from tests.features import oracle
from tests.features.snapshots.test_build import ALL, CUTOFFS, HORIZON, SHAPES, close, only, random_lines, table

ACTIVE, LIMIT = 60, 300


@pytest.fixture
def lapsed(make_task: Callable[..., Task]) -> Task:
    """The task of customers who bought last in [cutoff - 300 days, cutoff - 60 days)."""
    return make_task(horizon=HORIZON, active=ACTIVE, windows=(30, 400)).lapsed_until(Window(LIMIT))


def _assert_agrees(tables: Tables, task: Task, engine: Engine, shape: str, seed: int) -> None:
    columns, has_clock = SHAPES[shape]
    kinds = tuple(c for c in columns if c.startswith("kind_"))
    has = ["amount" in columns, "quantity" in columns, has_clock, "discount" in columns]
    asked = oracle.Setting((LIMIT,), HORIZON, LIMIT, kinds, *has, silent_for=ACTIVE)
    lines = only(random_lines(seed, 80, has_clock), columns)
    expected = oracle.snapshots(lines, CUTOFFS, asked, tables.labels_end)
    snapshots = snapshots_from_tables(with_too_long_windows(tables, task), task, CUTOFFS, engine)
    rows = {(row["customer_id"], row["cutoff"].date()): row for row in snapshots.rows.to_pylist()}
    assert rows.keys() == expected.keys() and len(rows) > 40
    for key, values in expected.items():
        assert set(values) == set(snapshots.names) | {"churned", "value", *RETURN_LABELS}
        assert {name: rows[key][name] for name in values} == {name: close(value) for name, value in values.items()}
    returned = snapshots.rows["churned"].drop_null().to_pylist()
    assert 0 < sum(returned) < len(returned)


@pytest.mark.parametrize("shape", ["everything", pytest.param("only who and when", marks=pytest.mark.long)])
def test_every_feature_and_label_agrees_with_the_oracle(
    shape: str, make_log: Callable[..., Tables], engine: DuckDBEngine, lapsed: Task
) -> None:
    columns, has_clock = SHAPES[shape]
    tables = make_log(table(random_lines(31, 80, has_clock), columns))
    _assert_agrees(tables, lapsed, engine, shape, 31)


def test_a_day_decides_who_is_lapsed(
    make_log: Callable[..., Tables], engine: DuckDBEngine, lapsed: Task, make_task: Callable[..., Task]
) -> None:
    cutoff, silences = CUTOFFS[2], {"active": 60, "just lapsed": 61, "still lapsed": 300, "gone": 301}
    rows = [{"customer": "anchor", "time": oracle.midnight(CUTOFFS[-1]), "amount": 1.0}]
    for name, days in silences.items():
        rows.append({"customer": name, "time": oracle.midnight(cutoff) - timedelta(days), "amount": 1.0})
        rows.append({"customer": name, "time": oracle.midnight(cutoff) - timedelta(500), "amount": 1.0})
    tables = make_log(rows)
    lapsed_rows = snapshots_from_tables(tables, lapsed, [cutoff], engine, with_labels=False).rows
    active = make_task(horizon=HORIZON, active=ACTIVE, windows=(30, 90))
    active_rows = snapshots_from_tables(tables, active, [cutoff], engine, with_labels=False).rows
    assert lapsed_rows["customer_id"].to_pylist() == ["just lapsed", "still lapsed"]
    assert active_rows["customer_id"].to_pylist() == ["active"]


def test_nothing_leaks(make_log: Callable[..., Tables], engine: DuckDBEngine, lapsed: Task) -> None:
    tables = with_too_long_windows(make_log(table(random_lines(32, 60, True), ALL)), lapsed)
    trials = prove_at_cutoffs(tables, lapsed, NO_CUSTOM_FEATURES, CUTOFFS[1:3], engine)
    assert [trial.leaks for trial in trials] == [()] * 4
    assert all(trial.customers > 10 for trial in trials)


@pytest.fixture
def quiet_shop(shop: Config) -> Config:
    """The shop, whose customers lapse after two weeks without an order."""
    task = shop.task.model_copy(update={"active_within": Window(14), "lapsed_within": "84d"})
    features = shop.features.model_copy(update={"cache": "off"})
    return shop.model_copy(update={"task": task, "features": features})


@pytest.fixture
def stages(quiet_shop: Config) -> Iterator[tuple[Engine, Tables, Task]]:
    task = quiet_shop.task.to_lapsed_task()
    assert task is not None
    with opened(quiet_shop) as log, checked_log(log) as (engine, tables, _):
        yield engine, tables, task


def test_the_proof_of_a_log_tries_lapsed_customers_too(quiet_shop: Config) -> None:
    trials = prove_no_leakage(quiet_shop, 1)
    assert [(trial.cohort, trial.leaks) for trial in trials] == [("active", ())] * 2 + [("lapsed", ())] * 2
    assert " lapsed customers x" in leaks_text(trials)


def test_rows_to_learn_from_are_mature_and_labelled(quiet_shop: Config) -> None:
    with opened(quiet_shop) as log:
        snapshots = build_lapsed_snapshots(log)
        few = build_lapsed_snapshots(log, 200)
    assert snapshots is not None and few is not None
    assert snapshots.rows["churned"].null_count == 0
    recency = snapshots.rows["recency_days"].to_numpy()
    assert recency.min() == 15 and recency.max() <= 84
    assert {14, 28} & {f.window.days for f in snapshots.features if f.window} == set()
    assert few.rows.num_rows < snapshots.rows.num_rows


def test_cutoffs_without_lapsed_customers_are_left_out(stages: tuple[Engine, Tables, Task]) -> None:
    engine, tables, task = stages
    chosen = choose_lapsed_rows(tables, task, 0, engine)
    everything = lapsed_cutoffs(tables, task, engine)
    assert set(chosen.cutoffs) <= set(everything) and chosen.share == 1
    early = replace(task, every=Window(7), cohort=replace(task.cohort, active_within=Window(10_000)))
    assert min(lapsed_cutoffs(tables, early, engine)) > tables.first


def test_nobody_is_scored_for_win_back_where_that_is_off(shop: Config) -> None:
    off = shop.task.model_copy(update={"lapsed_within": "off"})
    with opened(shop.model_copy(update={"task": off})) as log:
        assert build_lapsed_snapshots(log) is None
