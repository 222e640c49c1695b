"""The engine reads, stores and cleans up; its errors are one line."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import EngineConfig
from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.engines.open import open_engine
from features.errors import DataError, UsageError
from features.sources.files import find_files
from features.sources.source import Source

moment = datetime.fromisoformat


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (EngineConfig(scratch="nowhere"), r"\[engine\] scratch: 'nowhere' is not a folder; create it"),
        (EngineConfig(memory="plenty"), r"\[engine\] memory = 'plenty' is not understood"),
    ],
)
def test_impossible_settings_are_usage_errors(config: EngineConfig, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says), open_engine(config, tmp_path):
        pass


def test_settings_reach_the_engine(tmp_path: Path) -> None:
    with open_engine(EngineConfig(threads=1, memory="512MB"), tmp_path) as engine:
        threads, memory, zone = engine.connection.con.execute(
            "SELECT current_setting('threads'), current_setting('memory_limit'), current_setting('TimeZone')"
        ).fetchone()
    assert (threads, zone) == (1, "UTC")
    assert memory.startswith("488")  # 512 MB in MiB


def test_a_stage_is_stored_once_and_never_replaced(engine: DuckDBEngine) -> None:
    source = engine.store_arrow("numbers", pa.table({"n": [1, 2, 3]}))
    stored = engine.store("stage", source.mutate(n=source.n * 10))
    lazy = source.mutate(n=source.n + 1)
    again = engine.store("Stage", engine.store_arrow("numbers", pa.table({"n": [7]})))
    assert sorted(engine.to_arrow(stored)["n"].to_pylist()) == [10, 20, 30]
    assert sorted(engine.to_arrow(lazy)["n"].to_pylist()) == [2, 3, 4]
    assert engine.to_arrow(again)["n"].to_pylist() == [7]
    assert sorted(engine.connection.list_tables()) == ["Stage 2", "numbers", "numbers 2", "stage"]


def test_temporary_stages_are_dropped_and_their_names_stay_used(engine: DuckDBEngine) -> None:
    kept = engine.store_arrow("numbers", pa.table({"n": [1]}))
    with pytest.raises(RuntimeError), engine.temporary_stages():
        engine.store("stage", kept.union(engine.store_arrow("numbers", pa.table({"n": [2]}))))
        with engine.temporary_stages():
            engine.store("inner", kept)
        assert "inner" not in engine.connection.list_tables()
        raise RuntimeError
    assert engine.connection.list_tables() == ["numbers"]
    assert engine.store("stage", kept).get_name() == "stage 2"


def test_the_same_query_over_other_rows_leaves_the_first_alone(engine: DuckDBEngine) -> None:
    tables = [engine.store_arrow("rows", pa.table({"n": [n]})) for n in (1, 2)]
    source = Source("events", "", query="SELECT n * 10 AS n FROM source")
    queried = [engine.apply_query(table, source, Path()) for table in tables]
    assert [engine.to_arrow(rows)["n"].to_pylist() for rows in queried] == [[10], [20]]


def test_names_of_stages_are_quoted(engine: DuckDBEngine) -> None:
    stored = engine.store('kind_é "x"', engine.store_arrow("one", pa.table({"n": [1]})))
    assert engine.to_arrow(stored)["n"].to_pylist() == [1]


def test_a_stage_that_fails_is_bad_data_in_one_line(engine: DuckDBEngine) -> None:
    table = engine.store_arrow("texts", pa.table({"t": ["x"]}))
    with pytest.raises(DataError, match="while building numbers: ") as problem:
        engine.store("numbers", table.select(n=table.t.cast("int64")))
    assert "\n" not in str(problem.value)
    with pytest.raises(DataError, match="while reading the data: "):
        engine.to_arrow(table.select(n=table.t.cast("int64")))


def test_fingerprint_depends_on_rows_not_on_their_order(engine: DuckDBEngine) -> None:
    def content(numbers: list[int]) -> str:
        return engine.fingerprint(engine.store("stored", engine.store_arrow("numbers", pa.table({"n": numbers}))))

    assert content([1, 2, 3]) == content([3, 1, 2])
    assert len({content(numbers) for numbers in ([1, 2, 3], [1, 2, 4], [1, 2], [1, 2, 3, 3], [1, 2, 3, 4, 4])}) == 5


def test_local_time_is_converted_to_utc(engine: DuckDBEngine) -> None:
    table = engine.store_arrow("clocks", pa.table({"t": [moment("2024-07-01T00:30"), moment("2024-01-01T00:30")]}))
    utc_times = engine.to_arrow(table.select(t=engine.to_utc(table.t, "Europe/London")))["t"].to_pylist()
    assert sorted(utc_times) == [moment("2024-01-01T00:30"), moment("2024-06-30T23:30")]


def test_text_that_does_not_match_a_layout_is_null(engine: DuckDBEngine) -> None:
    table = engine.store_arrow("texts", pa.table({"t": ["31/12/2024", "12/31/2024", None]}))
    parsed = engine.to_arrow(table.select(t=engine.parse_time(table.t, "%d/%m/%Y")))["t"].to_pylist()
    assert [moment and moment.date() for moment in parsed] == [date(2024, 12, 31), None, None]


def test_files_are_found_sorted_in_folders_and_globs(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "deep/c.csv", "readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("n\n1\n")
    names = lambda source: [path.name for path in find_files(source, tmp_path)]  # noqa: E731
    assert names(".") == ["a.csv", "b.csv", "c.csv"]
    assert names("*.csv") == ["a.csv", "b.csv"]
    assert names("b.csv") == ["b.csv"]


def test_files_of_two_formats_are_refused(engine: DuckDBEngine, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n\n1\n")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"all of one format, found csv, parquet \(a.csv, b.parquet\)"):
        engine.read_files(".", tmp_path)


def test_times_in_csv_stay_text(engine: DuckDBEngine, tmp_path: Path) -> None:
    """A guess between 3 January and 1 March would be silent; the config says which."""
    (tmp_path / "a.csv").write_text("day,moment,n\n03/01/2024,2024-01-01T10:00:00+02:00,20240101\n")
    types = engine.read_files("a.csv", tmp_path).schema()
    assert [types["day"].is_string(), types["moment"].is_string(), types["n"].is_integer()] == [True] * 3


def test_a_full_scratch_folder_is_reported_with_advice(tmp_path: Path) -> None:
    with open_engine(EngineConfig(memory="50MB", threads=1), tmp_path) as engine:
        engine.connection.con.execute("SET max_temp_directory_size = '1MB'")
        numbers = ibis.range(3_000_000).unnest().name("n").as_table()
        with pytest.raises(
            DataError, match=r"while building big: .*is full: raise \[engine\] memory, or set \[engine\] scratch"
        ):
            engine.store("big", numbers.mutate(text=numbers.n.cast("string") + "-of-some-length").order_by("text"))
        assert "big" not in engine.connection.list_tables()
        assert engine.count_rows(engine.store_arrow("small", pa.table({"n": [1]}))) == 1


PERSONAL = ("email", "shouted")


@pytest.mark.slow
@pytest.mark.xdist_group("spark")
def test_personal_columns_are_dropped_before_and_after_the_query(each_engine: Engine, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "email": ["canary"], "n": [1]}), tmp_path / "log.parquet")
    source = Source("events", "log.parquet", query="SELECT *, upper(id) AS shouted FROM source", personal=PERSONAL)
    assert each_engine.read_source(source, tmp_path).columns == ("id", "n")
    assert each_engine.read_source(replace(source, query="", personal=("email",)), tmp_path).columns == ("id", "n")
    with pytest.raises(UsageError, match=r"\[events\] query is not understood"):
        each_engine.read_source(replace(source, query="SELECT email AS x FROM source"), tmp_path)
    missing = r"\[events\] personal: the source has no column 'mail'; did you mean 'email'"
    with pytest.raises(UsageError, match=missing):
        each_engine.read_source(replace(source, query="", personal=("mail",)), tmp_path)


@pytest.mark.slow
@pytest.mark.xdist_group("spark")
def test_a_value_that_cannot_be_converted_is_not_repeated(
    each_engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    table = each_engine.store_arrow("texts", pa.table({"t": ["canary"]}))
    with pytest.raises(DataError, match=r"while building numbers: .*\(a value\)") as problem:
        each_engine.store("numbers", table.select(n=table.t.cast("int64")))
    assert "canary" not in str(problem.value) + "".join(capfd.readouterr())


def test_personal_columns_of_a_database_are_never_read(engine: Engine, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as base:
        base.execute("CREATE TABLE log AS SELECT 1 AS id, 'canary' AS email")
    source = Source("events", "duckdb:///shop.duckdb", "log", personal=("email",))
    assert engine.read_source(source, tmp_path).columns == ("id",)
    with pytest.raises(UsageError, match="personal: the source has no column 'mail'; did you mean 'email'"):
        engine.read_source(replace(source, personal=("mail",)), tmp_path)
