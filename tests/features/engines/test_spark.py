"""The Spark engine behaves like the DuckDB engine; if it cannot start or read, the error says what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.config.load import EngineConfig
from features.engines.base import Engine
from features.engines.open import open_engine
from features.errors import DataError, UsageError
from features.sources.source import Source

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("spark")]  # so that Spark starts once
moment = datetime.fromisoformat


def doubled(rows: pa.Table, by: int) -> pa.Table:
    """What `map_rows` calls in these tests, in Spark's workers."""
    return pa.table({"twice": pc.multiply(rows["n"], by), "day": rows["day"]})


def test_a_stage_is_stored_once_and_never_replaced(each_engine: Engine) -> None:
    source = each_engine.store_arrow("numbers", pa.table({"n": [1, 2, 3]}))
    stored = each_engine.store("stage", source.mutate(n=source.n * 10))
    again = each_engine.store("stage", stored.filter(stored.n > 10))
    assert sorted(each_engine.to_arrow(again)["n"].to_pylist()) == [20, 30]
    assert each_engine.count_rows(again) == 2 and each_engine.count_rows(stored) == 3
    lazy = source.mutate(n=source.n + 1)
    each_engine.store_arrow("Numbers", pa.table({"n": [7]}))
    assert sorted(each_engine.to_arrow(lazy)["n"].to_pylist()) == [2, 3, 4]


def test_temporary_stages_are_dropped(each_engine: Engine) -> None:
    kept = each_engine.store_arrow("numbers", pa.table({"n": [1]}))
    with each_engine.temporary_stages():
        dropped = each_engine.store('a "b" `c`', kept)
        assert each_engine.count_rows(dropped) == 1
    with pytest.raises(Exception, match="(?i)not exist|not found|cannot be found"):
        each_engine.count_rows(dropped)
    assert each_engine.count_rows(each_engine.store('a "b" `c`', kept)) == 1


def test_the_same_query_over_other_rows_leaves_the_first_alone(each_engine: Engine) -> None:
    tables = [each_engine.store_arrow("rows", pa.table({"n": [n]})) for n in (1, 2)]
    source = Source("events", "", query="SELECT n * 10 AS n FROM source")
    queried = [each_engine.apply_query(table, source, Path()) for table in tables]
    assert [each_engine.to_arrow(rows)["n"].to_pylist() for rows in queried] == [[10], [20]]


def test_names_of_stages_and_columns_are_quoted(each_engine: Engine) -> None:
    table = each_engine.store_arrow("odd", pa.table({"a b": [1], 'q"u': [2], "t`k": [3], "é.商": [4]}))
    stored = each_engine.store('kind_é "x" `y`.z', table)
    assert each_engine.to_arrow(stored).to_pylist() == [{"a b": 1, 'q"u': 2, "t`k": 3, "é.商": 4}]
    assert each_engine.fingerprint(stored)


def test_names_that_differ_in_case_alone_are_two(spark: Engine) -> None:
    stored = spark.store("cases", spark.store_arrow("both", pa.table({"A": [1], "a": [2]})))
    assert spark.to_arrow(stored.select("a", "A")).to_pylist() == [{"a": 2, "A": 1}]


def test_a_stage_that_fails_is_bad_data_in_one_line(each_engine: Engine) -> None:
    table = each_engine.store_arrow("texts", pa.table({"t": ["x"]}))
    with pytest.raises(DataError, match="while building numbers: ") as problem:
        each_engine.store("numbers", table.select(n=table.t.cast("int64")))
    assert "\n" not in str(problem.value)
    with pytest.raises(DataError, match="while reading the data: "):
        each_engine.to_arrow(table.select(n=table.t.cast("int64")))


def test_fingerprint_depends_on_rows_not_on_their_order(each_engine: Engine) -> None:
    def content(rows: pa.Table) -> str:
        return each_engine.fingerprint(each_engine.store("stored", each_engine.store_arrow("rows", rows)))

    numbers = [pa.table({"n": n}) for n in ([1, 2, 3], [1, 2, 4], [1, 2], [1, 2, 3, 3], [1, 2, 3, 4, 4])]
    assert content(numbers[0]) == content(numbers[0].take([2, 0, 1]))
    assert len({content(rows) for rows in numbers}) == 5
    swapped = [
        pa.table({"a": pa.array([a], pa.int64()), "b": pa.array([b], pa.int64())}) for a, b in ((1, None), (None, 1))
    ]
    assert content(swapped[0]) != content(swapped[1])


def test_timestamps_keep_microseconds_and_zone(each_engine: Engine, tmp_path: Path) -> None:
    naive = pa.array([moment("1969-12-31T23:59:59.999999"), None], pa.timestamp("us"))
    rows = pa.table({"naive": naive, "zoned": naive.cast(pa.timestamp("us", "Europe/London"))})
    pq.write_table(rows, tmp_path / "log.parquet")
    read = each_engine.read_files("log.parquet", tmp_path)
    assert (read.schema()["naive"].timezone, bool(read.schema()["zoned"].timezone)) == (None, True)
    stored = each_engine.to_arrow(each_engine.store("kept", read))
    assert stored["naive"].to_pylist() == naive.to_pylist()
    assert stored["zoned"].cast(pa.timestamp("us", "UTC")).equals(rows["zoned"].cast(pa.timestamp("us", "UTC")))


@pytest.mark.parametrize(
    ("zone", "clock", "utc"),
    [
        ("Europe/London", "2024-07-01T00:30", "2024-06-30T23:30"),
        ("Europe/London", "2024-10-27T01:30", "2024-10-27T01:30"),  # shown twice: the second
        ("Europe/London", "2024-03-31T01:30", "2024-03-31T01:30"),  # never shown
        ("Australia/Lord_Howe", "2024-04-07T01:45", "2024-04-06T15:15"),
        ("America/Sao_Paulo", "2018-02-17T23:30", "2018-02-18T02:30"),
        ("Asia/Kolkata", "1969-01-01T00:00", "1968-12-31T18:30"),
    ],
)
def test_local_time_is_converted_to_utc(zone: str, clock: str, utc: str, each_engine: Engine) -> None:
    table = each_engine.store_arrow("clocks", pa.table({"t": pa.array([moment(clock)], pa.timestamp("us"))}))
    assert each_engine.to_arrow(table.select(t=each_engine.to_utc(table.t, zone)))["t"].to_pylist() == [moment(utc)]


@pytest.mark.parametrize(
    ("layout", "text", "read"),
    [
        ("%d/%m/%Y", " 31/12/2024 ", "2024-12-31"),
        ("%d/%m/%Y", "12/31/2024", None),
        ("%d/%m/%Y %H:%M", "1/2/2024 3:04", "2024-02-01T03:04"),
        ("%Y%m%d%H%M", "202402290505", "2024-02-29T05:05"),
        ("%d-%b-%y %I:%M %p", "3-JAN-69 12:05 am", "1969-01-03T00:05"),
        ("%d-%b-%y", "3-Jan-68", "2068-01-03"),
        ("%d de %B %Y", "3 de January 2024", "2024-01-03"),
        ("%Y-%m-%d %H:%M:%S.%f", "2024-01-01 10:00:00.5", "2024-01-01T10:00:00.5"),
    ],
)
def test_engines_parse_layouts_alike(layout: str, text: str, read: str | None, each_engine: Engine) -> None:
    table = each_engine.store_arrow("texts", pa.table({"t": [text]}))
    parsed = each_engine.to_arrow(table.select(t=each_engine.parse_time(table.t, layout)))["t"].to_pylist()
    assert parsed == [read and moment(read)]


def test_map_batches_applies_a_python_function(each_engine: Engine) -> None:
    table = each_engine.store_arrow("numbers", pa.table({"n": [1, 2, 3], "day": [date(2024, 2, 29)] * 3}))
    schema = pa.schema([("day", pa.date32()), ("twice", pa.int64())])
    output = each_engine.to_arrow(each_engine.map_batches(table, partial(doubled, by=2), schema, "made"))
    assert output.column_names == ["day", "twice"]
    assert sorted(output["twice"].to_pylist()) == [2, 4, 6]
    assert set(output["day"].to_pylist()) == {date(2024, 2, 29)}


def test_a_query_is_in_the_engine_s_own_sql(each_engine: Engine, tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1, 2], "Total": [3, 4]}), tmp_path / "log.parquet")
    read = each_engine.read_files("log.parquet", tmp_path)
    query = Source("queried", "", query="SELECT n * Total AS m FROM source WHERE n > 1;")
    rows = each_engine.apply_query(read, query, tmp_path)
    assert each_engine.to_arrow(rows).to_pylist() == [{"m": 8}]
    with pytest.raises(UsageError, match="query is not understood") as problem:
        each_engine.apply_query(read, replace(query, query="SELECT nothing FROM source"), tmp_path)
    assert "\n" not in str(problem.value)


def test_folders_globs_and_odd_names_are_read_with_their_columns_united(each_engine: Engine, tmp_path: Path) -> None:
    for name, columns in (("a [1] {é}.parquet", {"n": [1]}), ("deep/b c.parquet", {"n": [2], "m": ["x"]})):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), tmp_path / name)
    for source in (".", "**/*.parquet"):
        rows = each_engine.to_arrow(each_engine.read_files(source, tmp_path)).sort_by("n")
        assert rows.to_pylist() == [{"n": 1, "m": None}, {"n": 2, "m": "x"}]


def test_days_in_the_names_of_folders_are_a_column(each_engine: Engine, tmp_path: Path) -> None:
    for n, day in enumerate(("2024-02-28", "2024-02-29")):
        (tmp_path / "log" / f"day={day}").mkdir(parents=True)
        pq.write_table(pa.table({"n": [n]}), tmp_path / "log" / f"day={day}" / "part.parquet")
    read = each_engine.read_files("log", tmp_path)
    rows = each_engine.to_arrow(read.select("n", day=read.day.cast("string"))).sort_by("n")
    assert rows.to_pylist() == [{"n": 0, "day": "2024-02-28"}, {"n": 1, "day": "2024-02-29"}]


def test_sources_that_spark_cannot_read_are_refused_with_advice(spark: Engine, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("n\n1\n")
    (tmp_path / "log.parquet").write_bytes(b"PAR1 no more")
    nanos = pa.table({"t": pa.array([0], pa.timestamp("ns"))})
    pq.write_table(nanos, tmp_path / "nanos.parquet", version="2.6")
    for source, kind, says in (
        ("log.csv", DataError, "reads Parquet only, found log.csv; convert it once"),
        ("postgresql://me:secret@host/db", UsageError, "postgresql:// is not read; expected Parquet"),
        ("log.parquet", DataError, "log.parquet: cannot be read as parquet"),
        ("nanos.parquet", DataError, "write its times as microseconds"),
        ("nowhere.parquet", DataError, "no such file"),
    ):
        with pytest.raises(kind, match=says) as problem:
            spark.read_files(source, tmp_path)
        assert "secret" not in str(problem.value) and "\n" not in str(problem.value)


def test_rows_are_written_in_parts_and_nothing_else(spark: Engine, tmp_path: Path) -> None:
    table = spark.store_arrow("numbers", pa.table({"n": [1, 2], "t": pa.array([0, 1], pa.timestamp("us"))}))
    (tmp_path / "out").mkdir()
    spark.write_parquet(table, tmp_path / "out")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".parquet"}
    assert pq.read_table(tmp_path / "out").schema.field("t").type == pa.timestamp("us")


def test_a_session_that_runs_already_is_shared_and_left_running(spark: Engine, tmp_path: Path) -> None:
    table = spark.store_arrow("mine", pa.table({"n": [1]}))
    with open_engine(EngineConfig(kind="spark", scratch="."), tmp_path) as other:
        assert other.to_arrow(other.store("mine", other.store_arrow("it", pa.table({"n": [2]}))))["n"].to_pylist() == [
            2
        ]
        assert [path.name.startswith("regulars-") for path in tmp_path.iterdir()] == [True]
    assert list(tmp_path.iterdir()) == []
    assert spark.to_arrow(table)["n"].to_pylist() == [1]


def test_files_whose_columns_differ_in_type_or_case_are_one_table(each_engine: Engine, tmp_path: Path) -> None:
    day = datetime(2024, 1, 5)
    tables = {
        "a": {"ID": [1001], "n": pa.array([1], pa.int32()), "day": [date(2024, 1, 5)], "x": [7]},
        "b": {"id": ["A2"], "n": [2.5], "day": [day], "x": [None]},
        "c": {"id": [1003.0], "n": [3], "day": [day]},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    read = each_engine.read_files("*.parquet", tmp_path, file_column="file")
    rows = each_engine.to_arrow(read).sort_by("ID").to_pylist()
    assert [(row["ID"], row["n"], row["day"], row["x"]) for row in rows] == [
        ("1001", 1.0, day, 7), ("1003", 3.0, day, None), ("A2", 2.5, day, None),
    ]  # fmt: skip
    assert [row["file"].rpartition("/")[2] for row in rows] == ["a.parquet", "c.parquet", "b.parquet"]
    assert [file.rows for file in each_engine.files_read[0].files] == [1, 1, 1]


@pytest.mark.parametrize("sql", ["DROP TABLE source", "SELECT 1; SELECT 2", "SELECT 1) UNION (SELECT 2", "SET x = 1"])
def test_a_query_is_one_select(sql: str, each_engine: Engine) -> None:
    rows = each_engine.store_arrow("numbers", pa.table({"n": [1]}))
    with pytest.raises(UsageError, match=r"\[contacts\] query: expected one SELECT statement"):
        each_engine.apply_query(rows, Source("contacts", "", query=sql), Path())


def test_a_query_that_fails_later_is_named(each_engine: Engine) -> None:
    rows = each_engine.store_arrow("texts", pa.table({"t": ["x"]}))
    queried = each_engine.apply_query(
        rows, Source("contacts", "", query="SELECT CAST(t AS INT) AS n FROM source;"), Path()
    )
    with pytest.raises(DataError, match=r"^\[contacts\] query: while building numbers: "):
        each_engine.store("numbers", queried)


def test_a_file_without_a_named_column_is_refused_on_each_engine(each_engine: Engine, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "paid": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": ["b"]}), tmp_path / "b.parquet")
    source = Source("events", "*.parquet")
    with pytest.raises(DataError, match="b.parquet of 2 files: no column 'paid'"):
        each_engine.read_source(source, tmp_path, {"amount": "paid"})
    queried = each_engine.read_source(replace(source, query="SELECT * FROM source"), tmp_path, {"amount": "paid"})
    assert each_engine.count_rows(queried) == 2
    assert each_engine.files_read[0].notes == ("'b.parquet' of 2 files: no column 'paid', so it is null in their rows",)
