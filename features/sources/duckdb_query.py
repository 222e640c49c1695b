"""A user's query in DuckDB's SQL: what it may call, which files it names, and which columns it joins by.

DuckDB itself parses the query. CSV and Parquet named without options are read by our own reader, so that they have the
same types as `source`. Other paths become absolute, so that they do not depend on where a command is started.
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
from features.sql_text import quote_text
from features.storage.user_paths import user_path
from features.whole_numbers import whole_number

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
QUOTES_AND_PARENTHESES = re.compile(LITERAL.pattern + rb"|--[^\n]*|[()]")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
EQUALITIES = ("COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM", "COMPARE_IN")
Node = dict[str, Any]


@dataclass(frozen=True)
class QueriedTable:
    """A table of files in a query.

    Attributes:
        start: Where the text that stands for it starts, in bytes.
        end: Where it ends.
        alias: The name by which the query calls its rows, if it gives none.
        path: The file, folder or glob, if our own reader reads it; otherwise empty.
        call: The SQL of a function that reads it, if DuckDB does, with absolute paths.
    """

    start: int
    end: int
    alias: str
    path: str = ""
    call: str = ""


@dataclass(frozen=True)
class ParsedQuery:
    """A query that DuckDB understands.

    Attributes:
        sql: Its text, without a semicolon.
        tables: The tables of files in it, in the order of the text.
        equal: Groups of names of columns, in lower case, that it joins or compares with each other.
        natural: Whether it joins by all common names.
    """

    sql: str
    tables: tuple[QueriedTable, ...]
    equal: tuple[frozenset[str], ...]
    natural: bool

    def with_views(self, names: Sequence[str]) -> str:
        """Return the SQL in which each of `tables` is a view, by its quoted name."""
        text, place, parts = self.sql.encode(), 0, list[bytes]()
        for table, name in zip(self.tables, names, strict=True):
            alias = f' AS "{table.alias}"' if table.alias else ""
            parts += [text[place : table.start], f"{name}{alias}".encode()]
            place = table.end
        return b"".join([*parts, text[place:]]).decode()


def parse_query(sql: str, section: str, folder: Path, connection: duckdb.DuckDBPyConnection) -> ParsedQuery:
    """Parse a query and check that it only reads, and only this machine's files.

    Args:
        sql: One SELECT in DuckDB's SQL.
        section: The section of the config, for messages.
        folder: The folder of the config; paths are relative to it.
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
    tables = tuple(sorted(_tables(nodes, text.encode(), section, folder), key=lambda table: table.start))
    is_natural = any(node.get("ref_type") == "NATURAL" for node in nodes)
    return ParsedQuery(text, tables, _merged(_compared_columns(nodes)), is_natural)


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
                f"[{section}] query: {called or name}() cannot be used; {QUERY_RULE}: tables come from source, files "
                "and functions such as read_csv, read_parquet, read_json, read_text, unnest and range"
            )


def _tables(nodes: Sequence[Node], text: bytes, section: str, folder: Path) -> Iterator[QueriedTable]:
    """The tables of files in a query: paths in quotes, and functions that read files."""
    for node in nodes:
        start = node.get("query_location", 0)
        if _is(node, "BASE_TABLE") and not node["schema_name"] and _is_file(node["table_name"]):
            path, literal = node["table_name"], LITERAL.match(text, start)
            if literal:
                alias = "" if node["alias"] else Path(path).name.split(".")[0]
                local = _absolute(path, section, folder)
                own = path if data_format(path) else ""
                yield QueriedTable(start, literal.end(), alias, own, f"read_json({quote_text(local)})")
        elif _is(node, "TABLE_FUNCTION") and node["function"]["function_name"].lower() in (*READERS, *OTHER_READERS):
            yield _called(node, text, section, folder)


def _called(node: Node, text: bytes, section: str, folder: Path) -> QueriedTable:
    """The table that a function reads: by our own reader if it is given nothing but a path."""
    function, start = node["function"], node["query_location"]
    name, arguments = function["function_name"], function["children"]
    alias, end = "" if node["alias"] else name, _end_of_call(text, start)
    positional = (part for argument in arguments if not _is(argument, "COMPARE_EQUAL") for part in _nodes(argument))
    constants = [part for part in positional if _is(part, "VALUE_CONSTANT")]
    paths = {c["query_location"]: c["value"]["value"] for c in constants if isinstance(c["value"].get("value"), str)}
    if len(arguments) == 1 and _is(arguments[0], "VALUE_CONSTANT") and name.lower() in READERS:
        path = next(iter(paths.values()), "")
        if data_format(_local(path, section)):
            return QueriedTable(start, end, alias, path)
    call, place = b"", start
    for location, path in sorted(paths.items()):
        literal = LITERAL.match(text, location)
        if literal:
            call += text[place:location] + quote_text(_absolute(path, section, folder)).encode()
            place = literal.end()
    return QueriedTable(start, end, alias, "", (call + text[place:end]).decode())


def _end_of_call(text: bytes, start: int) -> int:
    """Where the call of a function ends: after the parenthesis that closes its first one."""
    depth = 0
    for match in QUOTES_AND_PARENTHESES.finditer(text, start):
        depth += (match[0] == b"(") - (match[0] == b")")
        if match[0] == b")" and not depth:
            return match.end()
    return len(text)


def _is_file(name: str) -> bool:
    return bool(data_format(name)) or name.lower().endswith(JSON_SUFFIXES) or bool(URL.match(name))


def _absolute(path: str, section: str, folder: Path) -> str:
    """A path on this machine that does not depend on where the command was started."""
    local = _local(path, section)
    return local if URL.match(local) else str(user_path(local, folder).absolute())


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
        return whole_number(column).cast("string").fill_null(column.cast("string"))
    return column.cast("string") if kind.is_numeric() or kind.is_boolean() else column


def _is(node: Any, kind: str) -> bool:
    return isinstance(node, dict) and node.get("type") == kind
