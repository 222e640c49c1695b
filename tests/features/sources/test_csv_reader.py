"""CSV files are read file by file: own layouts, common types, malformed and empty lines counted by file."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from features.errors import DataError, EmptyError
from features.sources.csv_reader import CsvColumns, CsvPlace, CsvRows, read_csv_files
from features.sources.files import find_files

HEADER = "id,day,paid,what\n"
ROWS = "".join(f"{n},2024-01-{n % 28 + 1:02d},{n}.5,tea\n" for n in range(1, 41))
Read = Callable[..., tuple[list[dict[str, Any]], CsvRows]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """From the contents of files by name to the rows and what is known about the files."""

    def call(files: Mapping[str, str | bytes], **columns: Any) -> tuple[list[dict[str, Any]], CsvRows]:
        for name, content in files.items():
            (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / name).write_bytes(content.encode() if isinstance(content, str) else content)
        (tmp_path / "scratch").mkdir(exist_ok=True)
        con = duckdb.connect()
        place = CsvPlace(con, tmp_path / "scratch", tmp_path)
        rows = read_csv_files(find_files("in", tmp_path), "in", place, CsvColumns(**columns))
        return con.sql(rows.sql).arrow().read_all().to_pylist(), rows

    return call


def test_each_file_has_its_own_layout(read: Read) -> None:
    text = HEADER + ROWS
    forms = {
        "a.csv": text,
        "b.csv": text.replace(",", ";"),
        "c.tsv": "Report\n\n" + text.replace(",", "\t"),
        "d.csv.gz": gzip.compress(text.encode()),
        "e.csv": text.encode("utf-16"),
        "f.csv": b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
        "g.csv": text.replace("\n", "\r\n", 3),
        "h[1]*.csv": text,
        "i's.csv": gzip.compress(text.encode()),
    }
    rows, result = read(forms)
    assert len(rows) == 40 * len(forms)
    assert {tuple(row.values()) for row in rows} == {
        (n, f"2024-01-{n % 28 + 1:02d}", n + 0.5, "tea") for n in range(1, 41)
    }
    assert [(file.name, file.rows, file.malformed) for file in result.read.files][-1] == ("in/i's.csv", 40, 0)
    assert result.read.notes == ("1 line above the header left out: in/c.tsv",)


def test_a_malformed_line_costs_one_line_and_its_file_is_named(read: Read) -> None:
    """A file of several once vanished because of one bad line."""
    rows, result = read(
        {"a.csv": HEADER + ROWS + "41,2024-02-01,5,rice, brown\n", "b.csv": HEADER + ROWS + "42,2024-0"}
    )
    assert len(rows) == 80
    assert result.read.malformed_text == "in/a.csv (1 of 41, line 42), in/b.csv (1 of 41, line 42)"


def test_lines_that_an_open_quote_swallows_are_counted(read: Read) -> None:
    """DuckDB records one line for all that it loses."""
    more = '41,2024-02-01,"open,x\n' + ROWS + '82,"2024-02-01",5,x\n'
    rows, result = read({"a.csv": HEADER + ROWS + more + ROWS, "b.csv": HEADER + '1,2024-01-01,5,"cut off in a te'})
    assert len(rows) == 80
    assert [(file.rows, file.malformed, file.line) for file in result.read.files] == [(80, 42, 42), (0, 1, 2)]


def test_line_breaks_in_values_and_blank_lines_are_no_lost_lines(read: Read) -> None:
    rows, result = read({"a.csv": HEADER + ROWS + '41,2024-02-01,5,"two\n\nlines"\n\n\n' + ROWS + "\n\n"})
    assert len(rows) == 81 and result.read.malformed == 0


def test_types_agree_in_all_files(read: Read) -> None:
    rows, _ = read({"a.csv": "id,n,code\n1,1,7\n", "b.csv": "id,n,code\nA2,2.5,08\n", "c.csv": "id,extra\n3,yes\n"})
    assert rows == [
        {"id": "1", "n": 1.0, "code": "7", "extra": None},
        {"id": "A2", "n": 2.5, "code": "08", "extra": None},
        {"id": "3", "n": None, "code": None, "extra": True},
    ]


def test_a_value_behind_the_sample_decides(read: Read) -> None:
    first = {f"{n:03d}.csv": "id,n\n1,\n" for n in range(25)}
    rows, _ = read({**first, "z.csv": "id,n\n" + "2,5\n" * 300 + "x7,6\n"})
    assert (rows[0], rows[-1]) == ({"id": "1", "n": None}, {"id": "x7", "n": 6})


def test_ids_stay_as_they_are_written(read: Read) -> None:
    rows, _ = read({"a.csv": "id,n\n12.50,12.50\n1.0,1.0\n"}, as_written=("ID",))
    assert rows[0] == {"id": "12.50", "n": 12.5}


def test_points_that_may_separate_thousands_keep_a_column_text(read: Read) -> None:
    files = {
        "a.csv": "n,paid,price,size\n1.234,1.5,7,0.125\n12,2.250,1.999,3.125\n",
        "b.csv": "n,paid,price,size\n-999,,,\n",
    }
    rows, result = read(files)
    assert rows[0] == {"n": "1.234", "paid": 1.5, "price": "7", "size": 0.125}
    assert result.read.thousands == ("n", "price")
    behind = {"a.csv": "n\n" + "1.234\n" * 300 + "0.5\n", "b.csv": "n\n5\n"}
    assert read(behind)[0][0] == {"n": 1.234}


def test_columns_of_other_case_are_one_column(read: Read) -> None:
    rows, _ = read({"a.csv": "ID,Paid\n1,2\n", "b.csv": "id,paid\n3,4\n"}, expected=("paid",))
    assert rows == [{"ID": 1, "paid": 2}, {"ID": 3, "paid": 4}]


def test_empty_rows_and_columns_of_spreadsheets_are_left_out(read: Read) -> None:
    rows, result = read({"a.csv": "id;what;;\r\n1;a;;\r\n;;;\r\n ; ;;\r\n2;b;;\r\n;;;\r\n", "b.csv": "id;what\n3;c\n"})
    assert rows == [{"id": 1, "what": "a"}, {"id": 2, "what": "b"}, {"id": 3, "what": "c"}]
    assert (result.read.empty_rows, result.read.empty_columns, result.read.rows) == (3, 2, 3)
    assert result.read.files[0].columns == ("id", "what")


def test_an_unnamed_column_with_values_stays(read: Read) -> None:
    assert read({"a.csv": ",id,\n0,1,\n1,2,x\n"})[0][1] == {"column0": 1, "id": 2, "column2": "x"}


def test_empty_files_are_noted_and_a_folder_of_them_is_refused(read: Read, tmp_path: Path) -> None:
    with pytest.raises(EmptyError, match=r"in: in/a.csv is empty \(0 bytes\)"):
        read({"a.csv": ""})
    rows, result = read({"a.csv": "", "b.csv": "id\n1\n"})
    assert rows == [{"id": 1}] and result.read.notes == ("in/a.csv is empty and not read",)


def test_names_of_folders_are_columns(read: Read) -> None:
    rows, result = read({"y=2024/a.csv": "id\n1\n", "y=2025/b.csv": "id,n\n2,3\n"})
    assert rows == [{"id": 1, "n": None, "y": 2024}, {"id": 2, "n": 3, "y": 2025}]
    assert [file.columns for file in result.read.files] == [("id", "y"), ("id", "n", "y")]


def test_the_file_of_each_row(read: Read) -> None:
    rows, _ = read({"a.csv": "id\n1\n", "b.csv": "id\n2\n".encode("utf-16")}, file="of file")
    assert [Path(row["of file"]).name for row in rows] == ["a.csv", "b.csv"]


def test_a_damaged_file_among_others_is_named(read: Read) -> None:
    packed = gzip.compress((HEADER + ROWS * 50).encode())
    with pytest.raises(DataError, match=r"^in/b.csv.gz: the gzip data ends too early"):
        read({"a.csv": HEADER + ROWS, "b.csv.gz": packed[:-15]})


def test_files_without_a_header_are_noted(read: Read) -> None:
    rows, result = read({"a.csv": ROWS})
    assert rows[0]["column0"] == 1
    assert result.read.notes == ("no header, so the columns are column0, column1 and so on: in/a.csv",)


def test_totals_at_the_end_are_no_rows(read: Read) -> None:
    """A total once held most of the money, and its text made the ids text."""
    rows, result = read(
        {"a.csv": "id;day;paid\n1;2024-01-05;2\n2;2024-01-06;3\nTotal;;5\n;;\n", "b.csv": "id;day;paid\n3;x;4\n"}
    )
    assert [(row["id"], row["paid"]) for row in rows] == [(1, 2), (2, 3), (3, 4)]
    assert (result.read.totals, result.read.empty_rows, result.read.rows, result.read.malformed) == (1, 1, 3, 0)
    assert result.read.notes == ("totals at the end left out: in/a.csv",)


def test_a_customer_called_total_stays(read: Read) -> None:
    assert len(read({"a.csv": "id;day;paid\nTotal;2024-01-05;2\nTotal;2024-01-06;3\n"})[0]) == 2
