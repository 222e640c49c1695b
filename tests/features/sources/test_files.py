"""Data files are found by file, folder or glob; their format and encoding are checked."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from features.errors import DataError, EmptyError
from features.sources.files import file_format, find_files, require_utf8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "logs" / "2024").mkdir(parents=True)
    for name in ("b.csv", "2024/a.CSV.GZ", "notes.txt"):
        (tmp_path / "logs" / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("logs", ["a.CSV.GZ", "b.csv"]),
        ("logs/b.csv", ["b.csv"]),
        ("logs/**/*.csv", ["b.csv"]),
        ("logs/*.txt", ["notes.txt"]),
    ],
)
def test_finding_files(folder: Path, source: str, names: list[str]) -> None:
    assert [file.name for file in find_files(source, folder)] == names


def test_no_files(folder: Path) -> None:
    with pytest.raises(DataError, match=r"logs/\*.parquet: no such file, folder or glob"):
        find_files("logs/*.parquet", folder)


def test_formats_do_not_mix(tmp_path: Path) -> None:
    csv, parquet, text, empty = (tmp_path / name for name in ("a.tsv", "a.pq", "a", "b.csv"))
    for file in (csv, parquet, text):
        file.write_bytes(b"x")
    empty.write_bytes(b"")
    assert (file_format([csv], "s"), file_format([parquet], "s")) == ("csv", "parquet")
    with pytest.raises(DataError, match="all of one format, found csv, parquet"):
        file_format([csv, parquet], "s")
    with pytest.raises(DataError, match="found no extension"):
        file_format([text], "s")
    with pytest.raises(EmptyError, match="b.csv is empty"):
        file_format([csv, empty], "s")


@pytest.mark.parametrize("zipped", [False, True])
def test_the_first_line_that_is_not_utf8_is_named(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / ("log.csv.gz" if zipped else "log.csv")
    for text, line in ((b"name\nZo\xc3\xab\n", None), (b"name\nann\nZo\xeb\n", 3)):
        file.write_bytes(gzip.compress(text) if zipped else text)
        if line is None:
            require_utf8([file])
            continue
        with pytest.raises(DataError, match=f"line {line} is not UTF-8 .byte 0xeb.; if it is Latin-1"):
            require_utf8([file])
