"""What tests of databases share: a config, reading a source, and what a refusal looks like."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from click.testing import Result

from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.sources import databases
from features.sources.source import Source

CONFIG = """\
config_version = 1
name = "shop"
[events]
source = "{source}"
{more}
customer = "customer"
time = "time"
[task]
horizon = "30d"
windows = ["30d"]
"""


CUTOFFS = [date(2023, 6, 1), date(2023, 8, 1)]


TASK = {"task": {"horizon": "30d", "every": "30d", "windows": ["30d", "90d"]}}


def database_source(url: str, **keys: str) -> Source:
    return Source("events", url, **keys)


def read_rows(source: Source, folder: Path, engine: DuckDBEngine, *columns: str) -> list[dict[str, Any]]:
    named = {name: name for name in columns}
    batches = list(databases.read_database(source, folder, named, (), engine.connection.con))
    return pa.Table.from_batches(batches).to_pylist()


def refused_message(result: Result, code: int, folder: Path) -> str:
    """One message and the right exit code; nothing at --out or beside it, but what an earlier build kept."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and isinstance(result.exception, SystemExit)
    assert {f.name for f in folder.iterdir()} <= {"regulars.toml", "x.db", "shop.db", "shop.duckdb", "bad.db", "output"}
    (line,) = result.output.strip().splitlines()
    return line


def assert_secret_is_nowhere(secret: str, result: Result, log: str, folder: Path) -> None:
    """The password, plain or as in a URL, is in nothing that was said, raised, logged or written."""
    texts = [result.output, log]
    problem = result.exc_info[1] if result.exc_info else None
    while problem is not None:
        texts += [str(problem), repr(problem), *map(str, getattr(problem, "__notes__", ()))]
        problem = problem.__context__
    texts += [f.read_bytes().decode("latin-1") for f in folder.rglob("*") if f.is_file()]
    for form in (secret, quote(secret, safe=""), secret.encode().decode("latin-1")):
        assert not [text for text in texts if form in text]


Make = Callable[..., Config]


Run = Callable[..., Result]
