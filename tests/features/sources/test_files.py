"""Data files are found by file, folder or glob; their formats and columns are checked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from features.errors import DataError
from features.sources.files import (
    FileRead,
    FilesRead,
    all_empty,
    display_name,
    distinct_files,
    file_format,
    files_not_read,
    find_files,
    missing_column_notes,
    partition_keys,
    require_columns_of_files,
)
from features.sources.source import Source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.csv",
        "2024/a.CSV.GZ",
        "named.csv/c.tsv",
        "notes.txt",
        ".hidden.csv",
        ".git/d.tsv",
        "_temporary/e.tsv",
    ):
        (tmp_path / "logs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "logs" / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("logs", ["a.CSV.GZ", "b.csv", "c.tsv"]),
        ("logs/b.csv", ["b.csv"]),
        ("logs/**/*.csv", ["b.csv", "c.tsv"]),
        ("logs/*.csv", ["b.csv", "c.tsv"]),
        ("logs/named.csv", ["c.tsv"]),
        ("logs/*.txt", ["notes.txt"]),
    ],
)
def test_finding_files(folder: Path, source: str, names: list[str]) -> None:
    assert [file.name for file in find_files(source, folder)] == names


def test_no_files(folder: Path) -> None:
    with pytest.raises(DataError, match=r"logs/\*.parquet: no such file, folder or glob"):
        find_files("logs/*.parquet", folder)


def test_files_of_other_formats_in_a_folder_are_named(folder: Path) -> None:
    (folder / "logs" / "2025.xlsx").write_bytes(b"PK")
    (folder / "logs" / "_SUCCESS").write_bytes(b"")
    assert files_not_read("logs", folder) == ["2025.xlsx", "notes.txt"]
    assert files_not_read("logs/*.csv", folder) == []


def test_linked_folders_are_read_once_and_links_to_files_too(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "z.csv").write_bytes(b"x")
    (folder / "logs" / "linked").symlink_to(folder / "more")
    (folder / "logs" / "round").symlink_to(folder / "logs")
    (folder / "logs" / "latest.csv").symlink_to(folder / "logs" / "b.csv")
    files, notes = distinct_files(find_files("logs", folder))
    assert [file.name for file in files] == ["a.CSV.GZ", "b.csv", "z.csv", "c.tsv"]
    assert notes == ["latest.csv is a link to b.csv, which is read once"]


def test_formats_do_not_mix(tmp_path: Path) -> None:
    csv, parquet, text = (tmp_path / name for name in ("a.tsv", "a.pq", "a"))
    for file in (csv, parquet, text):
        file.write_bytes(b"x")
    assert (file_format([csv], "s"), file_format([parquet], "s")) == ("csv", "parquet")
    with pytest.raises(DataError, match=r"all of one format, found csv, parquet \(a.tsv, a.pq\)"):
        file_format([csv, parquet], "s")
    with pytest.raises(DataError, match="found no extension"):
        file_format([text], "s")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("orders.xlsx", "save the sheet as CSV"),
        ("orders.zip", "unpack it first"),
        ("report.txt", "rename it to .csv"),
        ("orders.jsonl", "read_json_auto"),
    ],
)
def test_files_of_other_programs_say_what_to_do(name: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=advice):
        file_format([tmp_path / name], "s")


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere" / "x.csv")
    with pytest.raises(
        DataError, match=r"logs: gone.csv is a link to .*x.csv, which is not there; restore it or remove"
    ):
        file_format([tmp_path / "gone.csv"], "logs")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="pipe.csv is not a regular file"):
        file_format([tmp_path / "pipe.csv"], "logs")
    with pytest.raises(DataError, match="moved.csv is not there any more"):
        file_format([tmp_path / "moved.csv"], "logs")


def test_names_in_messages_are_relative_to_the_config(tmp_path: Path) -> None:
    assert display_name(tmp_path / "in" / "a.csv", tmp_path) == "in/a.csv"
    assert display_name(Path("/srv/a.csv"), tmp_path) == "/srv/a.csv"
    assert str(all_empty("in", ["in/a.csv"])).startswith("in: in/a.csv is empty (0 bytes)")
    assert str(all_empty("in", ["in/a.csv", "in/b.csv"])).startswith("in: all 2 files are empty")


def test_partitions_are_columns_only_if_all_files_have_them() -> None:
    assert partition_keys([Path("a/y=1/m=2/x.csv"), Path("a/y=2/m=3/x.csv")]) == ("y", "m")
    assert partition_keys([Path("a/y=1/x.csv"), Path("a/x.csv")]) == ()


READ = FilesRead(
    "in",
    (
        FileRead("in/a.csv", ("id", "Day", "paid"), 10, 1, 4),
        FileRead("in/b.csv", ("id", "day"), 10, 3, 2),
        FileRead("in/c.csv", ("id", "day"), 10),
    ),
)


def test_a_file_without_a_column_that_others_have_is_refused_by_name() -> None:
    section, roles = Source("events", "in"), {"time": "day", "amount": "paid", "order": "order_id"}
    with pytest.raises(DataError) as problem:
        require_columns_of_files(section, roles, READ)
    for part in ("in: in/b.csv and 1 more files of 3 files: no column 'paid'", "in/a.csv has", "it has id, day"):
        assert part in str(problem.value)
    assert missing_column_notes(roles, READ) == [
        "'in/b.csv', 'in/c.csv' of 3 files: no column 'paid', so it is null in their rows"
    ]
    require_columns_of_files(section, {"time": "day", "order": "order_id"}, READ)  # what no file has is for others
    bare = FilesRead("in", (READ.files[0], FileRead("in/z.csv", ("column0", "column1"), 9)))
    with pytest.raises(DataError, match="in/z.csv of 2 files: no column 'day' .*; it seems to have no header. Add it"):
        require_columns_of_files(section, roles, bare)


def test_malformed_lines_in_words() -> None:
    assert (READ.rows, READ.malformed) == (30, 4)
    assert READ.malformed_text == "in/b.csv (3 of 13, the first is line 2), in/a.csv (1 of 11, line 4)"
