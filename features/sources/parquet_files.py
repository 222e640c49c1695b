"""The footers of Parquet files: whether each file is complete, its columns, and where the types of files differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import DataError, EmptyError
from features.sources.files import (
    DAMAGE_ADVICE,
    FileRead,
    FilesRead,
    display_name,
    distinct_files,
    escape_glob,
    partition_keys,
)
from features.sql_text import quote_name, quote_text

FIRST_INEXACT_INTEGER = 2**53  # as a float

DUCKDB_TYPES = {
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
}


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files whose footers were read.

    Attributes:
        paths: The files; one that is a link to another of them is left out.
        read: What is known about them.
        schemas: Their schemas.
        common: For columns (in lower case) that do not have one type in all files, the type that holds all values.
        names: For columns (in lower case) that are not spelled alike in all files, how the first file spells them.
    """

    paths: tuple[Path, ...]
    read: FilesRead
    schemas: tuple[pa.Schema, ...]
    common: Mapping[str, pa.DataType]
    names: Mapping[str, str]


def read_footers(paths: Sequence[Path], source: str, folder: Path) -> ParquetFiles:
    """Read the footers of Parquet files.

    Args:
        paths: The files.
        source: What the config calls them.
        folder: The folder of the config, for names in messages.

    Returns:
        What is known about the files.

    Raises:
        DataError: A file is damaged or no Parquet, or two files have types that do not go together.
        EmptyError: A file is empty.
    """
    distinct, notes = distinct_files([path.absolute() for path in paths])
    names = [display_name(path, folder.absolute()) for path in distinct]
    footers = [_footer(path, name, source) for path, name in zip(distinct, names, strict=True)]
    keys = partition_keys(distinct)
    columns: dict[tuple[str, ...], tuple[str, ...]] = {}  # thousands of files share them
    files = []
    for name, (schema, rows) in zip(names, footers, strict=True):
        named = (*schema.names, *(key for key in keys if key not in schema.names))
        files.append(FileRead(name, columns.setdefault(named, named), rows))
    schemas = tuple(schema for schema, _ in footers)
    common = dict(_common_types(names, schemas))
    read = FilesRead(source, tuple(files), notes=tuple(notes))
    return ParquetFiles(tuple(distinct), read, schemas, common, _respelled(columns))


def _footer(path: Path, name: str, source: str) -> tuple[pa.Schema, int]:
    """The schema of a file and the number of its rows."""
    try:
        if not path.stat().st_size:
            raise EmptyError(f"{source}: {name} is empty (0 bytes); {DAMAGE_ADVICE}, or remove it")
        with pq.ParquetFile(path) as file:
            return file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as problem:
        reason = (str(problem) or type(problem).__name__).strip().splitlines()[0]
        raise DataError(f"{name}: cannot be read as parquet: {reason.rstrip('.')}; {DAMAGE_ADVICE}") from None


def _respelled(columns: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """The columns, in lower case, that are not spelled alike in all files, as the first file spells them."""
    spellings: dict[str, list[str]] = {}
    for name in itertools.chain(*columns):
        spellings.setdefault(name.casefold(), []).append(name)
    return {key: names[0] for key, names in spellings.items() if len(set(names)) > 1}


def _common_types(names: Sequence[str], schemas: Sequence[pa.Schema]) -> Iterator[tuple[str, pa.DataType]]:
    """The columns whose types differ between files, with the type that holds the values of all."""
    kinds: dict[str, dict[pa.DataType, str]] = {}
    first_of = dict(zip(reversed(schemas), reversed(names), strict=True))  # thousands of files share a schema
    for schema, name in first_of.items():
        for field in schema:
            kinds.setdefault(field.name.casefold(), {}).setdefault(field.type, name)
    for column, types in kinds.items():
        if len(types) > 1:
            typed = {kind: name for kind, name in types.items() if not pa.types.is_null(kind)}
            yield column, _common_type(column, typed) if len(typed) > 1 else next(iter(typed))


def _common_type(column: str, types: Mapping[pa.DataType, str]) -> pa.DataType:
    """The type that holds the values of several types, each with the name of a file that has it.

    Raises:
        DataError: There is none: one type has a time zone and another does not, or one is nested.
    """
    kinds = {_kind(kind) for kind in types}
    if kinds == {"whole"}:
        return pa.int64()
    if kinds <= {"whole", "number"}:
        return pa.float64()
    if kinds == {"date"}:
        return pa.date32()
    if kinds <= {"date", "time"}:
        return pa.timestamp("us")
    if kinds == {"zoned"}:
        return pa.timestamp("us", "UTC")
    if kinds <= {"whole", "number", "text", "flag", "date", "time"}:
        return pa.string()
    (one, first), (other, second) = sorted(types.items(), key=lambda item: item[1])[:2]
    raise DataError(
        f"{first} and {second}: column {column!r} holds {one} in one and {other} in the other; write both alike"
    )


def _kind(kind: pa.DataType) -> str:
    """What a type holds: whole numbers, numbers, text, yes or no, dates, times with or without a zone, or else."""
    if pa.types.is_dictionary(kind):
        return _kind(kind.value_type)
    if pa.types.is_timestamp(kind):
        return "zoned" if kind.tz else "time"
    tests = {
        "whole": pa.types.is_integer,
        "number": lambda k: pa.types.is_floating(k) or pa.types.is_decimal(k),
        "text": lambda k: pa.types.is_string(k) or pa.types.is_large_string(k),
        "flag": pa.types.is_boolean,
        "date": pa.types.is_date,
    }
    return next((name for name, test in tests.items() if test(kind)), str(kind))


def by_schema(files: ParquetFiles) -> list[tuple[pa.Schema, list[Path]]]:
    """Return the files by schema; all of them as one, if no column has several types or spellings."""
    if not (files.common or files.names):
        return [(files.schemas[0], list(files.paths))]
    groups: dict[pa.Schema, list[Path]] = {}
    for schema, path in zip(files.schemas, files.paths, strict=True):
        groups.setdefault(schema.remove_metadata(), []).append(path)
    return list(groups.items())


def fields_to_cast(schema: pa.Schema, files: ParquetFiles) -> list[tuple[pa.Field, pa.DataType]]:
    """Return the columns of some of the files that have another type than all files in common, with that type."""
    wanted = ((field, files.common.get(field.name.casefold(), field.type)) for field in schema)
    return [(field, kind) for field, kind in wanted if field.type != kind and not pa.types.is_null(field.type)]


def fields_to_drop(schema: pa.Schema, files: ParquetFiles) -> list[pa.Field]:
    """Return the columns of some of the files that hold nothing but nulls, where other files give them a type."""
    return [field for field in schema if pa.types.is_null(field.type) and field.name.casefold() in files.common]


def parquet_sql(files: ParquetFiles, file_column: str = "") -> str:
    """Return DuckDB's SQL that reads the files, their columns united by name.

    Args:
        files: The files.
        file_column: Add a column of this name with the file of each row.

    Returns:
        The SQL.
    """
    filename = f", filename={quote_text(file_column)}" if file_column else ""
    parts = []
    for schema, group in by_schema(files):
        paths = ", ".join(quote_text(escape_glob(path)) for path in group)
        casts = [_cast(field, target) for field, target in fields_to_cast(schema, files)]
        empty = [quote_name(field.name) for field in fields_to_drop(schema, files)]
        replaced = f" EXCLUDE ({', '.join(empty)})" if empty else ""
        replaced += f" REPLACE ({', '.join(casts)})" if casts else ""
        parts.append(f"SELECT *{replaced} FROM read_parquet([{paths}], union_by_name=true{filename})")  # noqa: S608 (quoted)
    return "\nUNION ALL BY NAME\n".join(parts)


def _cast(field: pa.Field, target: pa.DataType) -> str:
    """SQL that casts a column; whole numbers become text without a decimal point."""
    column = quote_name(field.name)
    cast = f"CAST({column} AS {DUCKDB_TYPES[target]})"
    if pa.types.is_string(target) and _kind(field.type) == "number":
        whole = f"{column} = floor({column}) AND abs({column}) < {FIRST_INEXACT_INTEGER}"
        cast = f"CASE WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE {cast} END"
    return f"{cast} AS {column}"


def damaged_file(files: ParquetFiles, connection: duckdb.DuckDBPyConnection) -> str:
    """Return the name of the first file whose values cannot be read, although its footer can; '' if there is none."""
    for path, file in zip(files.paths, files.read.files, strict=True):
        try:
            connection.execute(
                f"SELECT max(hash(t)) FROM read_parquet({quote_text(escape_glob(path))}) AS t"  # noqa: S608 (quoted)
            ).fetchall()
        except duckdb.Error:
            return file.name
    return ""
