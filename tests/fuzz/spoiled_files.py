"""Spoils files as disks, people and other programs do: cut, emptied, exchanged, linked, or with values changed."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from tests.fuzz import odd_values

HOW = ("remove", "cut", "empty", "garbage", "folder", "broken link", "link to itself", "link elsewhere", "swap",
"json", "json",
       "json", "json text", "parquet columns", "parquet rows", "parquet types", "not utf-8", "odd name",
       "version")  # fmt: skip
JSON_VALUES: tuple[Any, ...] = (
    None,
    "",
    "x",
    -1,
    0,
    1.5,
    True,
    [],
    {},
    [None],
    {"a": 1},
    "9999-99-99",
    10**30,
    "../../x",
)


def changes(files: Sequence[str], most: int = 2, how: Sequence[str] = HOW) -> st.SearchStrategy[list[dict[str, Any]]]:
    """One or more changes of these files, named relative to a folder."""
    value = st.one_of(st.sampled_from(JSON_VALUES), odd_values.texts(6))
    change = {"file": st.sampled_from(files), "how": st.sampled_from(how), "at": st.integers(0, 1000), "value": value}
    return st.lists(st.fixed_dictionaries(change), min_size=1, max_size=most)


def spoil(folder: Path, change: dict[str, Any], files: Sequence[str]) -> None:
    """Makes one change of `changes` in a folder; a change that does not fit the file removes it."""
    path = folder / change["file"]
    if path.is_symlink() or not path.is_file():
        return
    data = path.read_bytes()
    at = change["at"] * len(data) // 1001
    other = folder / files[change["at"] % len(files)]
    ways: dict[str, Callable[[], object]] = {
        "cut": lambda: path.write_bytes(data[:at]),
        "empty": lambda: path.write_bytes(b""),
        "garbage": lambda: path.write_bytes(data[:at] + _garbage(change["value"]) + data[at + 3 :]),
        "folder": lambda: (path.unlink(), path.mkdir()),
        "broken link": lambda: (path.unlink(), path.symlink_to(folder / "nowhere")),
        "link to itself": lambda: (path.unlink(), path.symlink_to(path)),
        "link elsewhere": lambda: _link(path, other),
        "swap": lambda: _swap(path, other),
        "json": lambda: path.write_text(_changed_json(data, change)),
        "json text": lambda: path.write_text(json.dumps(change["value"])),
        "parquet columns": lambda: _change_table(path,
        lambda table: table.drop_columns(table.column_names[change["at"] % table.num_columns])),
        "parquet rows": lambda: _change_table(path, lambda table: table.slice(0, change["at"] % 3)),
        "parquet types": lambda: _change_table(path, lambda table: _as_text(table, change["at"])),
        "not utf-8": lambda: path.write_bytes(data[:at] + b"\xff\xfe" + data[at:]),
        "odd name": lambda: path.rename(path.with_name("\udcff" + path.name)),
        "version": lambda: path.write_text(_with_version(data, change["at"])),
    }  # fmt: skip
    try:
        ways.get(change["how"], path.unlink)()
    except (ValueError, KeyError, pa.ArrowException, UnicodeError):  # does not fit this file
        path.unlink(missing_ok=True)


def _garbage(value: Any) -> bytes:
    return os.fsencode(value) if isinstance(value, str) else b"\0\xff"


def _link(path: Path, other: Path) -> None:
    """Replaces a file by a link to another."""
    path.unlink()
    if other != path:
        path.symlink_to(other)


def _swap(path: Path, other: Path) -> None:
    """Exchanges the content of two files."""
    if not other.is_file() or other == path:
        path.unlink()
        return
    data = path.read_bytes()
    shutil.copyfile(other, path)
    other.write_bytes(data)


def _changed_json(data: bytes, change: dict[str, Any]) -> str:
    """JSON with one value replaced or removed, somewhere."""
    content = json.loads(data)
    holders = list(_holders(content))
    holder, key = holders[change["at"] % len(holders)] if holders else (None, None)
    if holder is None:
        return json.dumps(change["value"])
    if change["at"] % 5 == 0:
        del holder[key]
    else:
        holder[key] = copy.deepcopy(change["value"])
    return json.dumps(content)


def _holders(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in JSON as (its holder, its key)."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(items):
        yield content, key
        yield from _holders(value)


def _with_version(data: bytes, at: int) -> str:
    content = json.loads(data)
    if isinstance(content, dict):
        content["format"] = (0, 2, 99, "1", None)[at % 5]
    return json.dumps(content)


def _change_table(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = change(pq.ParquetFile(path).read())
    pq.write_table(table, path)


def _as_text(table: pa.Table, at: int) -> pa.Table:
    """One column as text of numbers, or as numbers."""
    place = at % table.num_columns
    name = table.column_names[place]
    new = (
        pa.array(["7"] * table.num_rows)
        if not pa.types.is_string(table.column(place).type)
        else pa.array([7.5] * table.num_rows)
    )
    return table.set_column(place, name, new)
