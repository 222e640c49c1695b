"""What an engine can do: where tables are read, expressions run and stages are kept. Knows no churn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa

from features.config.load import EngineConfig
from features.engines.window_spec import WindowSpec
from features.errors import UsageError
from features.sources.source import Source, require_personal

CONVERSION_ERRORS = ("Conversion Error", "CAST_INVALID_INPUT", "CANNOT_PARSE")
QUOTED_VALUE = r"""'[^']*'|"[^"]*\""""


class Engine(Protocol):
    """Reads tables, runs expressions over them, keeps stages under names and returns or writes rows.

    Attributes:
        writes_folders: Whether `write` makes a folder of parts, and not one file.
    """

    writes_folders: bool

    def read_source(
        self, source: Source, folder: Path, columns: Mapping[str, str] = MappingProxyType({}), ids: Sequence[str] = ()
    ) -> ibis.Table:
        """The rows that a section of the config names, its query done; of a database only `columns`, if given."""

    def read_files(self, source: str, folder: Path, ids: Sequence[str] = ()) -> ibis.Table:
        """The table behind files, relative to `folder`; `ids` are columns whose digits must not be lost."""

    def count_rejected_lines(self) -> int:
        """How many lines of what was read could not be split into columns."""

    def apply_query(self, table: ibis.Table, sql: str, section: str = "events") -> ibis.Table:
        """A user's SQL of a section, in the engine's dialect, over `table`, which it calls `source`."""

    def store(self, name: str, expr: ibis.Table) -> ibis.Table:
        """Runs an expression once and keeps its rows under a name; returns the stored table."""

    def store_arrow(self, name: str, rows: pa.Table) -> ibis.Table:
        """Keeps a small Arrow table under a name; returns the stored table."""

    def map_batches(
        self, expr: ibis.Table, function: Callable[[pa.Table], pa.Table], schema: pa.Schema, name: str
    ) -> ibis.Table:
        """Puts an expression's rows through a Python function, a batch at a time; keeps what comes out under a name."""

    def aggregate_windows(self, rows: ibis.Table, plan: WindowSpec, name: str) -> ibis.Table:
        """Measures of event-like rows over spans of the past (`panes.by_window`), kept under a name."""

    def to_arrow(self, expr: ibis.Table) -> pa.Table:
        """Runs an expression and returns its rows."""

    def write_parquet(self, expr: ibis.Table, target: Path) -> None:
        """Runs an expression and writes its rows as Parquet, to a file or into an empty folder; collects nothing."""

    def count_rows(self, table: ibis.Table) -> int:
        """How many rows an expression has."""

    def fingerprint(self, table: ibis.Table) -> str:
        """A text that changes when any row of a stored table does; engines give different ones."""

    def fingerprints_by_day(self, table: ibis.Table, column: str) -> list[tuple[date | None, str]]:
        """A text as `content` gives for the rows of each day in a column."""

    def hash_texts(self, text: ibis.Value, key: bytes) -> ibis.Value:
        """Texts as their keyed hashes (`features.keyed_hash`). The key is in no SQL, plan, log or message."""

    def to_utc(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """A naive timestamp on the clocks of `zone` as a naive timestamp in UTC."""

    def parse_time(self, text: ibis.Value, layout: str) -> ibis.Value:
        """Text in a strftime layout as a naive timestamp; null where it does not fit."""

    def close(self) -> None:
        """Gives back everything the engine took."""


def drop_columns(table: ibis.Table, names: Sequence[str]) -> ibis.Table:
    """A table without those of some columns that it has."""
    return table.drop(*(name for name in names if name in table.columns))


def read_source_files(engine: Engine, source: Source, folder: Path, ids: Sequence[str]) -> ibis.Table:
    """The rows of a section's files, its query done; what is personal is gone before the query, and after it.

    Raises:
        DataError: Nothing is there, or it cannot be read.
        UsageError: A personal column is not there, or the query is not understood.
    """
    raw = engine.read_files(source.source, folder, ids)
    table = drop_columns(raw, source.personal)
    names = set(raw.columns)
    if source.query:
        asked = engine.apply_query(table, source.query, source.section)
        table, names = drop_columns(asked, source.personal), names | set(asked.columns)
    require_personal(source, names)
    return table


def scratch_folder(config: EngineConfig, folder: Path) -> Path | None:
    """The folder for what outgrows memory, None for the system's; raises UsageError where it is not there."""
    if not config.scratch:
        return None
    scratch = folder / Path(config.scratch).expanduser()
    if not scratch.is_dir():
        raise UsageError(f"[engine] scratch: {config.scratch!r} is not a folder")
    return scratch


def builtin_text_function(name: str) -> Callable[[ibis.Value], ibis.Value]:
    """A function from text to text that an engine has under a name."""

    @ibis.udf.scalar.builtin(name=name, signature=((dt.string,), dt.string))
    def called(text):  # type: ignore[no-untyped-def]
        """Text to text."""

    return cast(Callable[[ibis.Value], ibis.Value], called)


def quote_name(text: str, mark: str = '"') -> str:
    """A name quoted for SQL."""
    return mark + text.replace(mark, mark * 2) + mark


def error_summary(problem: Exception) -> str:
    """The first line of an error's message; where a value could not be converted, without the value.

    >>> first_line(ValueError("Conversion Error: Could not convert string 'Ada' to INT64\\nLINE 1: ..."))
    'Conversion Error: Could not convert string (a value) to INT64'
    """
    line = str(problem).strip().splitlines()[0]
    return re.sub(QUOTED_VALUE, "(a value)", line) if any(sign in line for sign in CONVERSION_ERRORS) else line
