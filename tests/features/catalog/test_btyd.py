"""What is expected of customers: the oracle's bits, finite on any log, whatever the threads, batches and samples."""

from __future__ import annotations

import hashlib
import math
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.catalog import btyd
from features.catalog.btyd_model import fit_bgnbd, fit_gamma_gamma
from features.config.load import Config, EngineConfig
from features.engines import duckdb
from features.engines.duckdb import DuckDBEngine
from features.engines.open import open_engine
from features.intake.read_log import read_tables
from features.intake.tables import Tables
from features.snapshots.build import build_snapshots, snapshots_from_tables
from features.task import Task, Window
from tests.features import oracle_expected

CUTOFF = date(2024, 5, 1)
NAMES = [feature.name for feature in btyd.btyd_features(Window(30), True)]
THREADS = """
import numpy as np
from features.catalog.btyd_model import fit_bgnbd, fit_gamma_gamma
rng = np.random.default_rng(1)
age, bought = rng.integers(1, 5000, 40_000), rng.integers(1, 9, 40_000)
print(fit_bgnbd(bought - 1, age // bought * (bought - 1), age), fit_gamma_gamma(bought, rng.lognormal(3, 1, 40_000)))
"""


def days_before(*days: int, amount: Any = 10.0, customer: str = "a") -> list[dict[str, Any]]:
    start = datetime(2024, 5, 1, 12)
    return [{"customer": customer, "time": start - timedelta(day), "amount": amount} for day in days]


AWKWARD = {
    "single purchases only": [row for i in range(1, 40) for row in days_before(i, customer=f"c{i}", amount=float(i))],
    "one customer": days_before(3, 40, 77),
    "one purchase": days_before(3),
    "all on one day": [row for i in range(9) for row in days_before(5, 5, customer=f"c{i}", amount=2.5)],
    "all the same": [row for i in range(30) for row in days_before(10, 20, 30, customer=f"c{i}")],
    "refunds and gifts": [
        *days_before(50, amount=20.0),
        *days_before(20, amount=-30.0),
        *days_before(9, amount=0.0, customer="gift"),
        *days_before(9, 30, amount=0.01, customer="c"),
        *days_before(8, amount=-5.0, customer="c"),
    ],
    "a whale among the small": [*days_before(3, 9, amount=1e12, customer="w"), *days_before(4, 8, 9, amount=0.0001)],
    "every day": days_before(*range(1, 400)),
}


@pytest.mark.parametrize("log", AWKWARD)
@pytest.mark.parametrize("money", [True, pytest.param(False, marks=pytest.mark.long)])
def test_every_customer_of_every_log_has_finite_expectations(
    log: str, money: bool, make_log: Callable[..., Tables], engine: DuckDBEngine, make_task: Callable[..., Task]
) -> None:
    tables = make_log([*AWKWARD[log], *days_before(-3, customer="later")], amount="amount" if money else "")
    rows = snapshots_from_tables(tables, make_task(active=1000), [CUTOFF], engine, with_labels=False).rows
    names = NAMES if money else NAMES[: len(btyd.ORDER_COLUMNS)]
    assert rows.num_rows >= 1
    assert [name for name in rows.column_names if name in NAMES] == names
    for row in rows.select(names).to_pylist():
        assert all(value is not None and math.isfinite(value) and value >= 0 for value in row.values()), row
        assert row["return_probability"] <= row["alive_probability"] <= 1
        assert row["orders_expected"] <= 30 or log == "every day"
    if money:
        total = np.multiply(rows["orders_expected"].to_numpy(), rows["order_amount_expected"].to_numpy())
        assert (rows["amount_expected"].to_numpy() == total).all()


def test_the_numbers_are_those_of_the_models_asked_of_each_customer_alone(
    shop: Config, make_task: Callable[..., Task]
) -> None:
    """On a real rhythm, where the plain fit holds; the oracle of the snapshots covers the awkward logs."""
    cutoffs = [date(2023, 4, 1), date(2023, 8, 1)]
    with open_engine(EngineConfig(), shop.folder) as opened:
        tables = read_tables(shop, opened)
        rows = snapshots_from_tables(tables, make_task(active=1000), cutoffs, opened, with_labels=False).rows
        spent = opened.to_arrow(
            tables.events.group_by("customer_id", "order_id").aggregate(
                day=tables.events.day.min(), net=tables.events.amount.sum().cast("int64")
            )
        ).to_pylist()
    for cutoff in cutoffs:
        days: dict[str, dict[date, Any]] = {}
        for order in spent:
            if order["day"] < cutoff and order["net"] > 0:
                own = days.setdefault(order["customer_id"], {})
                own[order["day"]] = own.get(order["day"], 0) + order["net"]
        money = {who: {day: net / 10_000 for day, net in own.items()} for who, own in days.items()}
        expected = oracle_expected.expectations(money, cutoff, 30, True, 90, 1000)
        mine = [row for row in rows.to_pylist() if row["cutoff"].date() == cutoff]
        assert len(mine) == len(expected) > 50
        for row in mine:
            assert {name: row[name] for name in NAMES} == pytest.approx(expected[row["customer_id"]], rel=1e-6)


def test_the_features_know_their_columns(shop: Config) -> None:
    rows = build_snapshots(shop, [date(2023, 8, 1)], with_labels=False).rows
    assert pa.compute.max(rows["alive_probability"]).as_py() == 1
    assert pa.compute.mean(rows["orders_expected"]).as_py() > pa.compute.mean(rows["return_probability"]).as_py()


def test_batches_change_no_bit(
    make_log: Callable[..., Tables],
    engine: DuckDBEngine,
    make_task: Callable[..., Task],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(5)  # noqa: S311
    rows = [
        row
        for i in range(300)
        for row in days_before(
            *rng.choices(range(1, 300), k=rng.randint(1, 9)), customer=f"c{i}", amount=rng.lognormvariate(2, 1)
        )
    ]
    tables, task = make_log([*rows, *days_before(-3)]), make_task(active=1000)
    cutoffs = [CUTOFF, CUTOFF - timedelta(60)]
    single_batch = snapshots_from_tables(tables, task, cutoffs, engine, with_labels=False).rows
    for size in (1, 7, 64):
        monkeypatch.setattr(duckdb, "BATCH_ROWS", size)
        assert snapshots_from_tables(tables, task, cutoffs, engine, with_labels=False).rows.equals(single_batch)


def test_threads_change_no_bit() -> None:
    """Sums of BLAS are added in an order of its threads; a fit that used them would end elsewhere."""
    history = {
        subprocess.run(
            [sys.executable, "-c", THREADS],
            env={"OPENBLAS_NUM_THREADS": n, "OMP_NUM_THREADS": n, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for n in ("1", "2")
    }
    assert len(history) == 1 and "BGNBD(" in history.pop()


def test_a_large_cutoff_is_fitted_on_customers_drawn_by_their_id(engine: DuckDBEngine) -> None:
    names = [f"customer-{i}" for i in range(4000)]
    rows = engine.store_arrow("told", pa.table({"customer_id": names}))
    drawn = engine.to_arrow(btyd.sample_customers(rows, 4000, limit=1000))["customer_id"].to_pylist()
    share = [name for name in names if int(hashlib.md5(name.encode()).hexdigest()[:8], 16) < 2**30]  # noqa: S324
    assert sorted(drawn) == sorted(share)
    assert 900 < len(drawn) < 1100
    assert engine.count_rows(btyd.sample_customers(rows, 4000, limit=4000)) == 4000


def test_above_the_most_a_cutoff_is_fitted_on_its_sample(
    make_log: Callable[..., Tables],
    engine: DuckDBEngine,
    make_task: Callable[..., Task],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [row for i in range(200) for row in days_before(1 + i, 2 + i * 2, customer=f"c{i}", amount=1.0 + i)]
    tables, task, fitted = make_log([*rows, *days_before(-3)]), make_task(active=1000, windows=(30, 500)), []
    monkeypatch.setattr(
        btyd,
        "fit_one_cutoff",
        lambda rows, money, honest=btyd.fit_one_cutoff: (fitted.append(rows.num_rows), honest(rows, money))[1],
    )
    unsampled = snapshots_from_tables(tables, task, [CUTOFF], engine, with_labels=False).rows
    monkeypatch.setattr(btyd, "sample_customers", partial(btyd.sample_customers, limit=100))
    part = snapshots_from_tables(tables, task, [CUTOFF], engine, with_labels=False).rows
    assert fitted[0] == unsampled.num_rows == part.num_rows and 60 < fitted[1] < 140
    assert part["orders_expected"].to_pylist() != unsampled["orders_expected"].to_pylist()
    assert part["orders_expected"].null_count == 0


def test_fitted_parameters_can_be_had(engine: DuckDBEngine) -> None:
    summaries = pa.table(
        {"bought": [1, 2, 5], "spend": [10_0000, 30_0000, 80_0000], "first": [90, 50, 80], "last": [90, 9, 3]}
    )
    models = btyd.fit_one_cutoff(summaries, True)
    assert astuple(models.rhythm) == astuple(fit_bgnbd([0, 1, 4], [0, 41, 77], [90, 50, 80]))
    assert models.spend == fit_gamma_gamma([1, 2, 5], [10.0, 15.0, 16.0])
    assert btyd.fit_one_cutoff(summaries, False).spend is None
