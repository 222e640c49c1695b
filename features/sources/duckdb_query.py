"""A user's query in DuckDB's SQL: what it may call, which files it names, and which columns it joins by.

DuckDB itself parses the query. Files named without options become tables of our own reader, so that they have the same
types as `source`; other paths become absolute, so that they do not depend on where a command is started.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import ibis

from features.errors import UsageError
from features.sources.files import data_format
from features.sources.query import QUERY_RULE, require_one_select, without_semicolon

READERS = ("read_csv", "read_csv_auto", "read_parquet", "parquet_scan")
OTHER_READERS = (
    "read_json", "read_json_auto", "read_json_objects", "read_json_objects_auto", "read_ndjson", "read_ndjson_auto",
    "read_ndjson_objects", "read_text", "read_blob", "glob", "sniff_csv", "parquet_metadata", "parquet_schema",
    "parquet_file_metadata", "parquet_kv_metadata",
)  # fmt: skip
PURE_FUNCTIONS = (
    "generate_series", "histogram", "histogram_values", "json_each", "json_tree", "range", "repeat", "repeat_row",
    "unnest",
)  # fmt: skip
WRITING_FUNCTIONS = ("write_log",)
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")
LITERAL = re.compile(rb"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
EQUALITIES = ("COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM", "COMPARE_IN")
Node = dict[str, Any]


@dataclass(frozen=True)
class QueriedFile:
    """A file that a query names.

    Attributes:
        path: The file, folder or glob, as written.
        start: Where the text that names it starts, in bytes.
        end: Where it ends.
        alias: The name by which the query calls its rows, if it gives none.
        is_table: Whether the text stands for a table; otherwise it is the path alone.
    """

    path: str
    start: int
    end: int
    alias: str
    is_table: bool


@dataclass(frozen=True)
class ParsedQuery:
    """A query that DuckDB understands.

    Attributes:
        sql: Its text, without a semicolon.
        files: The files that it names, in the order of the text.
        equal: Groups of names of columns, in lower case, that it joins or compares with each other.
        natural: Whether it joins by all common names.
    """

    sql: str
    files: tuple[QueriedFile, ...]
    equal: tuple[frozenset[str], ...]
    natural: bool

    def with_files(self, tables: Sequence[str], folder: Path) -> str:
        """Return the SQL in which each file is a table (a quoted name, by place in `files`) or an absolute path."""
        text, end = self.sql.encode(), b""
        for file, table in reversed(list(zip(self.files, tables, strict=True))):
            alias = f' AS "{file.alias}"' if file.alias else ""
            absolute = str((folder / Path(file.path).expanduser()).absolute()).replace("'", "''")
            new = f"{table}{alias}" if file.is_table else f"'{absolute}'{alias}"
            end, text = new.encode() + text[file.end :] + end, text[: file.start]
        return (text + end).decode()


def parse_query(sql: str, section: str, connection: duckdb.DuckDBPyConnection) -> ParsedQuery:
    """Parse a query and check that it only reads, and only this machine's files.

    Args:
        sql: One SELECT in DuckDB's SQL.
        section: The section of the config, for messages.
        connection: Where DuckDB runs.

    Returns:
        The parsed query.

    Raises:
        UsageError: It is not valid, not one SELECT, calls what may write, or names a file on another machine.
    """
    require_one_select(sql, section)
    text = without_semicolon(sql)
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as problem:
        raise UsageError(f"[{section}] query is not understood: {str(problem).strip().splitlines()[0]}") from None
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = [statement.type.name for statement in statements if statement.type != duckdb.StatementType.SELECT]
        raise UsageError(f"[{section}] query: {QUERY_RULE}, found {', '.join(kinds) or 'several statements'}")
    row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
    nodes = list(_nodes(json.loads(row[0]))) if row else []
    _require_reading(nodes, section)
    files = tuple(sorted(_files(nodes, text.encode(), section), key=lambda file: file.start))
    is_natural = any(node.get("ref_type") == "NATURAL" for node in nodes)
    return ParsedQuery(text, files, _merged(_compared_columns(nodes)), is_natural)


def _nodes(tree: Any) -> Iterator[Node]:
    """Every node of a parsed query."""
    if isinstance(tree, dict):
        yield tree
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(part)


def _require_reading(nodes: Sequence[Node], section: str) -> None:
    """Check that a query calls no function that may change something.

    Raises:
        UsageError: It does.
    """
    reading = {*READERS, *OTHER_READERS, *PURE_FUNCTIONS}
    for node in nodes:
        name = str(node.get("function_name", "")).lower()
        called = str(node.get("function", {}).get("function_name", "")).lower() if _is(node, "TABLE_FUNCTION") else ""
        if name in WRITING_FUNCTIONS or (called and called not in reading):
            raise UsageError(
                f"[{section}] query: {called or name}() cannot be used; {QUERY_RULE}: tables come from source, files, and "
                "functions such as read_csv, read_parquet, read_json, read_text, unnest and range"
            )


def _files(nodes: Sequence[Node], text: bytes, section: str) -> Iterator[QueriedFile]:
    """The files that a query names, by tables and by the arguments of functions."""
    for node in nodes:
        start = node.get("query_location", 0)
        if _is(node, "BASE_TABLE") and not node["schema_name"] and _is_file(node["table_name"]):
            literal, path = LITERAL.match(text, start), node["table_name"]
            if literal:
                alias = "" if node["alias"] else Path(path).name.split(".")[0]
                yield QueriedFile(_local(path, section), start, literal.end(), alias, bool(data_format(path)))
        elif _is(node, "TABLE_FUNCTION") and node["function"]["function_name"].lower() in (*READERS, *OTHER_READERS):
            yield from _arguments(node, text, section)


def _arguments(node: Node, text: bytes, section: str) -> Iterator[QueriedFile]:
    """The files that a function reads: a table if they are all that it is given, or paths."""
    function, start = node["function"], node["query_location"]
    name, given = function["function_name"], function["children"]
    constants = [n for part in given if not _is(part, "COMPARE_EQUAL") for n in _nodes(part) if _is(n, "VALUE_CONSTANT")]
    paths = [c for c in constants if isinstance(c["value"].get("value"), str)]
    call = re.compile(rb"(?i)" + name.encode() + rb"\s*\(\s*(?:" + LITERAL.pattern + rb")\s*\)").match(text, start)
    if call and len(given) == 1 and paths and name.lower() in READERS and data_format(paths[0]["value"]["value"]):
        path = _local(paths[0]["value"]["value"], section)
        yield QueriedFile(path, start, call.end(), "" if node["alias"] else name, True)
        return
    for constant in paths:
        path, place = constant["value"]["value"], constant["query_location"]
        literal = LITERAL.match(text, place)
        if literal and _local(path, section) and not URL.match(path):
            yield QueriedFile(path, place, literal.end(), "", False)


def _is_file(name: str) -> bool:
    return bool(data_format(name)) or name.lower().endswith(JSON_SUFFIXES) or bool(URL.match(name))


def _local(path: str, section: str) -> str:
    """Return a path that is on this machine.

    Raises:
        UsageError: It is the URL of another place.
    """
    if URL.match(path) and not path.lower().startswith("file://"):
        raise UsageError(
            f"[{section}] query: {path.split('://')[0]}:// cannot be read, since a query opens no network; copy the "
            "files to this machine and name them by a path relative to the config"
        )
    return path


def _compared_columns(nodes: Sequence[Node]) -> Iterator[frozenset[str]]:
    """The columns that a query joins or compares with each other, in lower case."""
    for node in nodes:
        for column in node.get("using_columns") or ():
            yield frozenset({column.casefold()})
        sides = []
        if node.get("type") in EQUALITIES:
            sides = [node.get("left"), node.get("right"), *(node.get("children") or ())]
        elif _is(node, "SUBQUERY") and node.get("subquery_type") == "ANY":
            sides = [node["child"], *node["subquery"]["node"].get("select_list", ())[:1]]
        names = [side["column_names"][-1].casefold() for side in sides if side and _is(side, "COLUMN_REF")]
        if len(names) > 1:
            yield frozenset(names)


def _merged(groups: Iterable[frozenset[str]]) -> tuple[frozenset[str], ...]:
    """Groups of which none has a member of another.

    >>> sorted(map(sorted, _merged([frozenset("ab"), frozenset("c"), frozenset("bd")])))
    [['a', 'b', 'd'], ['c']]
    """
    merged: list[frozenset[str]] = []
    for group in groups:
        touching = [other for other in merged if other & group]
        merged = [other for other in merged if not other & group] + [group.union(*touching)]
    return tuple(merged)


def align_types(tables: Sequence[ibis.Table], query: ParsedQuery) -> list[ibis.Table]:
    """Return tables in which the columns that a query compares are text in all, if they are text in one of them.

    Without it, DuckDB would turn the text into numbers and fail. Numbers become text as ids do: 1001.0 is '1001'.

    Args:
        tables: The tables of the query.
        query: Says which columns it compares.

    Returns:
        The tables, in the same order.
    """
    names = [{column.casefold(): column for column in table.columns} for table in tables]
    shared = [column for column, tables_with_it in Counter(itertools.chain(*names)).items() if tables_with_it > 1]
    groups = _merged([*query.equal, *(frozenset({column}) for column in shared if query.natural)])
    aligned = list(tables)
    for group in groups:
        members = [(i, names[i][column]) for i in range(len(tables)) for column in sorted(group & names[i].keys())]
        if not any(tables[i][column].type().is_string() for i, column in members):
            continue
        for i, column in members:
            aligned[i] = aligned[i].mutate(**{column: _as_text(aligned[i][column])})
    return aligned


def _as_text(column: ibis.Value) -> ibis.Value:
    kind = column.type()
    if kind.is_floating():
        is_whole = (column == column.floor()) & (column.abs() < 2**53)
        return is_whole.ifelse(column.try_cast("int64").cast("string"), column.cast("string"))
    return column.cast("string") if kind.is_numeric() or kind.is_boolean() else column


def _is(node: Any, kind: str) -> bool:
    return isinstance(node, dict) and node.get("type") == kind
