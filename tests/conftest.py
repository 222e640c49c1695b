"""Fixtures for all tests: engines, small logs, and trained models."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config, EngineConfig, parse_config
from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.engines.java import find_java
from features.engines.open import open_engine
from features.errors import UsageError
from features.intake.read_log import read_tables
from features.intake.tables import Tables
from features.task import Cohort, Task, Window
from tests.experiments import make_uplift_business
from tests.postgres import Postgres, find_programs, serve
from tests.shop import make_shop
from tests.slow_tests import SlowTestRecorder, mark_slow
from training.train import TrainingRun, train_models
from training.uplift import train as uplift

pytest_plugins = ["pytester"]
Rows = Sequence[Mapping[str, Any]]
ROLES = ("amount", "order", "quantity", "discount", "known_at")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option with which `tests/everything.py --record` calls pytest."""
    parser.addoption("--record-slow", action="store_true", help="add slow tests to tests/slow_tests.txt")


def pytest_configure(config: pytest.Config) -> None:
    """Record slow tests if asked to, and leave what was imported out of garbage collection, which saves a tenth."""
    if config.getoption("--record-slow"):
        config.pluginmanager.register(SlowTestRecorder())
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests, and keep tests that share a fixture in one process.

    All Spark tests are together, so that Spark starts only once. So are the tests of a module that share a fixture
    which the module makes once.
    """
    mark_slow(items)
    for item in items:
        chosen = getattr(item, "callspec", None)
        names = [value for value in chosen.params.values() if isinstance(value, str)] if chosen else []
        if "spark" in (*getattr(item, "fixturenames", ()), *names):
            item.add_marker(pytest.mark.xdist_group("spark"))
        elif _shares_a_fixture_of_its_module(item) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def _shares_a_fixture_of_its_module(item: pytest.Item) -> bool:
    """Whether a test uses a fixture that its module defines and makes once."""
    info, module = getattr(item, "_fixtureinfo", None), item.nodeid.partition("::")[0]
    definitions = info.name2fixturedefs.values() if info else ()
    return any(each.scope == "module" and each.baseid == module for found in definitions for each in found)


@pytest.fixture(autouse=True)
def files_as_others_make_them() -> Iterator[None]:
    """Reset the umask for each test, because the command line makes files private for its whole process."""
    os.umask(0o022)
    yield
    os.umask(0o022)


@pytest.fixture(scope="session", autouse=True)
def private_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep reports of errors out of the state folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDBEngine]:
    """An engine for one test."""
    with open_engine(EngineConfig(), tmp_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def spark() -> Iterator[Engine]:
    """A Spark on two threads, started once: every engine of kind 'spark' that is opened after it shares its session."""
    pytest.importorskip("pyspark", reason="PySpark is not installed: pip install -e '.[spark]'")
    try:
        find_java()
    except UsageError as problem:
        pytest.skip(str(problem))
    spark_session = pytest.importorskip("features.engines.spark_session")
    options = {
        "spark.sql.codegen.wholeStage": "false",  # to compile a query takes longer than to run it on a small log
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.adaptive.enabled": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        for name, value in options.items():
            patch.setitem(spark_session.SQL_SETTINGS, name, value)
        with open_engine(EngineConfig(kind="spark", master="local[2]")) as opened:
            yield opened


@pytest.fixture(params=["duckdb", "spark"])
def each_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine for one test, which runs on each."""
    if request.param == "spark":
        request.getfixturevalue("spark")
    with open_engine(EngineConfig(kind=request.param), tmp_path) as opened:
        yield opened


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., Config]:
    """From [events] keys, and whole sections by name, to a config in `tmp_path`."""

    def make(sections: Mapping[str, Any] | None = None, **events: Any) -> Config:
        base = {"source": "log.parquet", "customer": "customer", "time": "time"}
        values = {"config_version": 1, "name": "test", "events": {**base, **events}, **(sections or {})}
        return parse_config(values, tmp_path / "regulars.toml")

    return make


@pytest.fixture
def make_log(tmp_path: Path, make_config: Callable[..., Config], engine: DuckDBEngine) -> Callable[..., Tables]:
    """From rows to `log.parquet` in `tmp_path` and the contract's tables.

    Roles are guessed from the names of the columns (customer, time and those of ROLES) unless given; columns that
    start with 'kind' are kinds. `sections` are further sections of the config.
    """

    def make(rows: Rows | pa.Table, sections: Mapping[str, Any] | None = None, **events: Any) -> Tables:
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist([dict(row) for row in rows])
        pq.write_table(table, tmp_path / "log.parquet")
        roles = {role: role for role in ROLES if role in table.column_names}
        kinds = [name for name in table.column_names if name.startswith("kind")]
        return read_tables(make_config(sections, **{**roles, "kinds": kinds, **events}), engine)

    return make


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """A task from whole days."""

    def make(horizon: int = 30, active: int = 365, every: int = 30, windows: Sequence[int] = (30, 90)) -> Task:
        return Task(Window(horizon), Cohort(Window(active)), Window(every), tuple(Window(days) for days in windows))

    return make


@pytest.fixture
def at() -> Callable[[str], datetime]:
    """A time of the log from ISO text, in UTC."""
    return lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def day() -> Callable[[str], date]:
    """A date from ISO text."""
    return date.fromisoformat


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server behind a password, for the whole session; `postgres.new()` makes a database."""
    programs = find_programs()
    if not programs:
        why = "no PostgreSQL: neither the wheel of the `test` extra nor initdb in PATH or /usr/lib/postgresql"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    with serve(programs) as server:
        yield server


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The config of a made-up shop, in a folder of its own."""
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def trained(shop: Config) -> TrainingRun:
    """The shop with its champions registered in MLflow."""
    return train_models(shop)


@pytest.fixture(scope="session")
def business(tmp_path_factory: pytest.TempPathFactory, shop: Config) -> Config:
    """The config of a simulated business with randomised contacts, in a folder of its own and in the shop's MLflow."""
    return make_uplift_business(tmp_path_factory.mktemp("business"), f"sqlite:///{shop.folder / 'mlflow.db'}")


@pytest.fixture(scope="session")
def learned_effects(business: Config) -> uplift.TrainedUplift:
    """The business with its uplift champion registered in MLflow."""
    return uplift.train_uplift(business)


@pytest.fixture(scope="session")
def webpages(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The config of a business whose output folder holds all that the web page shows; read-only for tests."""
    pytest.importorskip("starlette", reason="the page needs the extra: pip install -e '.[app]'")
    from tests.webpages import make_pages

    return make_pages(tmp_path_factory.mktemp("webpages"))
