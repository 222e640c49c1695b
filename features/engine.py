"""Where expressions run: DuckDB in the process. Reads files, stores stages, returns Arrow; knows no churn."""

from __future__ import annotations

import codecs
import glob
import gzip
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.parquet as pq

from features.config import EngineConfig
from features.errors import DataError, UsageError

KINDS_OF_FILE = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv", ".tsv": "csv"}
# Times in CSV stay text until the config's layout and zone are applied: a guess at 03/01/2024 would be a silent one.
CSV_TYPES = ["BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR"]
WIDEST_WHOLE = 2**53
BATCH = 100_000  # rows that go through Python at once


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.timestamp), dt.Timestamp("UTC")))
def _localise(zone, moment):  # type: ignore[no-untyped-def]
    """A moment on the clocks of a zone as a moment in UTC (DuckDB's own function)."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=((dt.string, dt.string), dt.timestamp))
def _parse_time(text, layout):  # type: ignore[no-untyped-def]
    """Text as a moment, or null (DuckDB's own function)."""


class DuckDBEngine:
    """DuckDB in this process; stages are temporary tables that spill to `scratch`."""

    def __init__(self, config: EngineConfig, folder: Path):
        self._scratch = tempfile.TemporaryDirectory(prefix="regulars-", dir=_scratch(config, folder))
        self.connection = ibis.duckdb.connect()
        settings = {"temp_directory": self._scratch.name, "TimeZone": "UTC", "memory_limit": config.memory}
        for key, value in settings.items():
            if value:
                self._run(f"SET {key} = {_quoted(value)}", f"[engine] memory = {config.memory!r}")
        if config.threads:
            self._run(f"SET threads = {config.threads:d}", f"[engine] threads = {config.threads}")

    def read(self, source: str, folder: Path, ids: Sequence[str] = ()) -> ibis.Table:
        """The table behind a file, glob or folder.

        Args:
            source: What to read, relative to `folder`.
            folder: Where the config lies.
            ids: Columns that stay text in CSV where their digits would not fit a number.

        Raises:
            DataError: Nothing is there, it is of no known kind, or it cannot be read.
        """
        files = find_files(source, folder)
        kind = _kind_of(files, source)
        self.forget_rejected_lines()
        try:
            paths = [str(f) for f in files]
            if kind == "parquet":
                return self.connection.read_parquet(paths, union_by_name=True)
            _refuse_other_encodings(files)
            several = {"union_by_name": True} if len(paths) > 1 else {"store_rejects": True}
            options = {"sample_size": -1, "auto_type_candidates": CSV_TYPES, **several}
            table = self.connection.read_csv(paths, **options)
            wide = self._too_wide(table, ids)
            return self.connection.read_csv(paths, types=wide, **options) if wide else table
        except duckdb.Error as problem:
            raise DataError(f"{source}: cannot be read as {kind}: {_first_line(problem)}") from None

    def _too_wide(self, table: ibis.Table, ids: Sequence[str]) -> dict[str, str]:
        """Columns of ids that were read as floats and lost digits by it."""
        floats = [c for c in dict.fromkeys(ids) if c in table.columns and table[c].type().is_floating()]
        if not floats:
            return {}
        largest = table.aggregate(**{f"c{i}": table[c].abs().max() for i, c in enumerate(floats)}).to_pyarrow()
        return {c: "VARCHAR" for i, c in enumerate(floats) if (largest[f"c{i}"][0].as_py() or 0) >= WIDEST_WHOLE}

    def rejected_lines(self) -> int:
        """How many lines of the CSV that was read last had another number of columns than the header."""
        if "reject_errors" not in self.connection.list_tables():
            return 0
        row = self.connection.con.execute("SELECT count(DISTINCT (file_id, line)) FROM reject_errors").fetchone()
        return int(row[0]) if row else 0

    def forget_rejected_lines(self) -> None:
        """Throws away what is kept of lines that could not be read."""
        for table in ("reject_errors", "reject_scans"):
            self.connection.drop_table(table, force=True)

    def query(self, table: ibis.Table, sql: str, name: str, place: str = "events") -> ibis.Table:
        """A user's SQL over `table`, which it calls `source`; kept as a temporary view under `name`.

        A view is run when it is read, so each has a source of its own. `place` is the section whose query it is.

        Raises:
            UsageError: The SQL does not parse or names what is not there.
        """
        own = f"source of {name}"
        self.connection.create_view(own, table, overwrite=True)
        inner = sql.rstrip().rstrip(";")
        asked = f"WITH source AS (SELECT * FROM {_name(own)}) SELECT * FROM (\n{inner}\n)"  # noqa: S608 (quoted)
        self._run(f"CREATE OR REPLACE TEMP VIEW {_name(name)} AS {asked}", f"[{place}] query")
        return self.connection.table(name)

    def store(self, name: str, expr: ibis.Table) -> ibis.Table:
        """Runs an expression once and keeps its rows under a name; returns the stored table.

        Raises:
            DataError: The data do not allow it, or the scratch space is full.
        """
        try:
            self.connection.raw_sql(f"CREATE OR REPLACE TEMP TABLE {_name(name)} AS {self.connection.compile(expr)}")
        except duckdb.Error as problem:
            raise DataError(f"while building {name}: {_first_line(problem)}") from None
        return self.connection.table(name)

    def load(self, name: str, rows: pa.Table) -> ibis.Table:
        """Keeps a small Arrow table under a name; returns the stored table."""
        self.connection.drop_table(name, force=True)
        return self.connection.create_table(name, rows, temp=True)

    def map_rows(
        self, expr: ibis.Table, function: Callable[[pa.Table], pa.Table], schema: pa.Schema, name: str
    ) -> ibis.Table:
        """Puts an expression's rows through Python, a batch at a time, and keeps what comes out under a name.

        Args:
            expr: What goes in.
            function: From a batch of rows to any number of rows, each made of one row alone: how the rows are cut
                into batches, and in which order they come, is not told. A function of a module, its other arguments
                bound by `functools.partial`, so that another process can call it.
            schema: Of what comes out; its columns are cast and ordered to it.
            name: Of the stored table.

        Raises:
            DataError: The data do not allow it, or the scratch space is full.
        """
        with tempfile.TemporaryDirectory(prefix="mapped-", dir=self._scratch.name) as folder:
            file = Path(folder) / "rows.parquet"
            try:
                with pq.ParquetWriter(file, schema) as writer:
                    for batch in expr.to_pyarrow_batches(chunk_size=BATCH):
                        made = function(pa.Table.from_batches([batch]))
                        writer.write_table(made.select(schema.names).cast(schema))
                self.connection.raw_sql(
                    f"CREATE OR REPLACE TEMP TABLE {_name(name)} AS SELECT * FROM read_parquet({_quoted(str(file))})"  # noqa: S608 (quoted)
                )
            except (duckdb.Error, OSError) as problem:
                raise DataError(f"while building {name}: {_first_line(problem)}") from None
        return self.connection.table(name)

    def arrow(self, expr: ibis.Table) -> pa.Table:
        """Runs an expression and returns its rows."""
        try:
            return expr.to_pyarrow()
        except duckdb.Error as problem:
            raise DataError(f"while reading the data: {_first_line(problem)}") from None

    def count(self, table: ibis.Table) -> int:
        """How many rows an expression has."""
        return int(self.arrow(table.aggregate(n=table.count()))["n"][0].as_py())

    def content(self, table: ibis.Table) -> str:
        """A text that changes when any row of a stored table does and does not depend on their order."""
        name = _name(table.get_name())
        row = self.connection.con.execute(
            f"SELECT count(*), bit_xor(hash(t)), sum(hash(t) % 1000000007) FROM {name} AS t"  # noqa: S608 (quoted)
        ).fetchone()
        return str(row)

    def localise(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """A naive timestamp on the clocks of `zone` as a naive timestamp in UTC."""
        return _localise(ibis.literal(zone), moment).cast("timestamp")

    def parse_time(self, text: ibis.Value, layout: str) -> ibis.Value:
        """Text in a strftime layout as a naive timestamp; null where it does not fit."""
        return _parse_time(text, ibis.literal(layout))

    def close(self) -> None:
        """Ends the connection and removes the scratch folder."""
        self.connection.disconnect()
        self._scratch.cleanup()

    def _run(self, sql: str, what: str) -> None:
        try:
            self.connection.raw_sql(sql)
        except duckdb.Error as problem:
            raise UsageError(f"{what} is not understood: {_first_line(problem)}") from None


@contextmanager
def open_engine(config: EngineConfig, folder: Path = Path()) -> Iterator[DuckDBEngine]:
    """An engine that is closed, and its scratch removed, however the block ends."""
    engine = DuckDBEngine(config, folder)
    try:
        yield engine
    finally:
        engine.close()


def find_files(source: str, folder: Path) -> list[Path]:
    """The files behind a file, glob or folder, sorted.

    Raises:
        DataError: There are none.
    """
    path = folder / Path(source).expanduser()
    if path.is_dir():
        found = sorted(f for f in path.rglob("*") if _suffix(f) in KINDS_OF_FILE)
    elif path.exists():
        found = [path]
    else:
        found = sorted(Path(f) for f in glob.glob(str(path), recursive=True))
    if not found:
        raise DataError(
            f"{source}: no such file, folder or glob (looked in {path.parent}); "
            "set [events] source to Parquet, CSV or CSV.gz"
        )
    return found


def _kind_of(files: list[Path], source: str) -> str:
    kinds = {KINDS_OF_FILE.get(_suffix(f), f.suffix or "no extension") for f in files}
    if len(kinds) != 1 or not kinds <= set(KINDS_OF_FILE.values()):
        raise DataError(
            f"{source}: expected Parquet (.parquet) or CSV (.csv, .csv.gz, .tsv), of one kind, "
            f"found {', '.join(sorted(kinds))}"
        )
    empty = [f.name for f in files if f.stat().st_size == 0]
    if empty:
        raise DataError(f"{source}: {empty[0]} is empty (0 bytes); expected a table with a header and rows")
    return kinds.pop()


def _refuse_other_encodings(files: list[Path]) -> None:
    """Bytes that are not UTF-8 would be dropped by the line, or end DuckDB; better to say so."""
    for file in files:
        decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
        with (gzip.open if file.suffix == ".gz" else open)(file, "rb") as stream:
            while chunk := stream.read(1 << 20):
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as problem:
                    line += problem.object[: problem.start].count(b"\n")
                    raise DataError(
                        f"{file.name}: line {line:,} is not UTF-8 (byte 0x{problem.object[problem.start]:02x}); "
                        f"if it is Latin-1, convert it: iconv -f latin1 -t utf-8"
                    ) from None
                line += chunk.count(b"\n")


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def _scratch(config: EngineConfig, folder: Path) -> Path | None:
    if not config.scratch:
        return None
    scratch = folder / Path(config.scratch).expanduser()
    if not scratch.is_dir():
        raise UsageError(f"[engine] scratch: {config.scratch!r} is not a folder")
    return scratch


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _first_line(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0]
