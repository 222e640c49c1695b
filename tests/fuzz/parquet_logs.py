"""Parquet logs to be read: every type for every role, and damaged files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.command import CANARY

TYPES = (
    *("string", "large_string", "dictionary", "int8", "int32", "int64", "uint64", "float32", "float64", "decimal"),
    *("decimal256", "bool", "date32", "date64", "timestamp[s]", "timestamp[ms]", "timestamp[us]", "timestamp[ns]"),
    *("timestamp[us, Europe/Berlin]", "time64", "duration", "binary", "fixed binary", "list", "struct", "map", "null"),
    *("string dates", "string numbers"),
)


def write_parquet(folder: Path, how: dict[str, Any]) -> tuple[str, int | None]:
    """Writes a Parquet log; returns its source, and how many rows it has if it is intact."""
    table = _table(how)
    path = folder / "log" / "a.parquet" if how["shape"].startswith("two") else folder / "log.parquet"
    path.parent.mkdir(exist_ok=True)
    if how["shape"] == "folder named like a file":
        path.mkdir()
        return "log.parquet", None
    pq.write_table(table, path)
    count = table.num_rows
    if how["shape"] == "two":
        pq.write_table(table, path.with_name("b.parquet"))
        count *= 2
    elif how["shape"] == "two types":
        pq.write_table(
            _table({**how, "columns": {**how["columns"], "amount": "string numbers"}}), path.with_name("b.parquet")
        )
        count *= 2
    path.write_bytes(_cut(path.read_bytes(), how["cut"]))
    return ("log" if how["shape"].startswith("two") else "log.parquet"), None if how["cut"] else count


def _cut(data: bytes, how: str) -> bytes:
    return {
        "": data,
        "half": data[: len(data) // 2],
        "tail": data[:-9],
        "garbage": data[:4] + bytes(reversed(data[4:-8])) + data[-8:],
        "empty": b"",
        "csv inside": b"customer,time\nc1,2024-01-01\n",
    }[how]


def _table(how: dict[str, Any]) -> pa.Table:
    rng = random.Random(how["seed"])  # noqa: S311 (made-up data)
    columns = {name: _column(kind, name, how, rng) for name, kind in how["columns"].items()}
    return pa.table({**columns, "note": pa.array([CANARY] * how["rows"], pa.string())})


def _column(kind: str, name: str, how: dict[str, Any], rng: random.Random) -> pa.Array:
    """A column of one type, with values that are as good for its role as the type allows."""
    rows = how["rows"]
    days = [date(2024, 1, 1) + timedelta(days=rng.randrange(200)) for _ in range(rows)]
    numbers = [rng.randrange(9) for _ in range(rows)]
    texts = [f"c{n}" if name != "time" else f"{day} 10:00:00" for n, day in zip(numbers, days, strict=True)]
    moments = [datetime(day.year, day.month, day.day, n) for n, day in zip(numbers, days, strict=True)]
    values: dict[str, Sequence[Any]] = {
        "string": texts, "large_string": texts, "dictionary": texts, "string dates": [str(day) for day in days],
        "string numbers": [f"{n}.50" for n in numbers], "bool": [bool(n % 2) for n in numbers], "date32": days,
        "date64": days,
        "time64": [moment.time() for moment in moments], "duration": [timedelta(days=n) for n in numbers],
        "binary": [text.encode() for text in texts], "fixed binary": [b"ab12"] * rows, "list": [[n] for n in numbers],
        "struct": [{"a": n} for n in numbers], "map": [[("a", n)] for n in numbers], "null": [None] * rows,
        "decimal": [Decimal(n) for n in numbers], "decimal256": [Decimal(n) for n in numbers],
    }  # fmt: skip
    given = values.get(kind, moments if kind.startswith("timestamp") else numbers)
    masked = [None if rng.random() < how["nulls"] else value for value in given]
    types = {
        "string dates": pa.string(), "string numbers": pa.string(), "dictionary": pa.dictionary(pa.int32(),
        pa.string()),
        "decimal": pa.decimal128(12, 2), "decimal256": pa.decimal256(50, 4), "time64": pa.time64("us"),
        "bool": pa.bool_(),
        "duration": pa.duration("us"), "fixed binary": pa.binary(4), "list": pa.list_(pa.int64()),
        "struct": pa.struct([("a", pa.int64())]), "map": pa.map_(pa.string(), pa.int64()),
        "timestamp[us, Europe/Berlin]": pa.timestamp("us", "Europe/Berlin"),
    }  # fmt: skip
    return pa.array(masked, types[kind] if kind in types else pa.type_for_alias(kind))
