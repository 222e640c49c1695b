"""Lists are read by the rules of tables, but strictly: whoever is on them must not be missed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import DataError, UsageError
from features.sources.listed_values import read_listed_values

TEXT = "customer_id;why\n00042;moved\n1001.0;\n;\nx y;a\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        ("Opt-outs of May;\n\n" + TEXT).encode("utf-16"),
        gzip.compress(TEXT.replace(";", ",").replace("\n", "\r\n").encode(), mtime=0),
        b"\xef\xbb\xbf" + TEXT.encode(),
    ],
    ids=["semicolons", "title line in UTF-16", "gzip", "byte order mark"],
)
def test_a_list_in_many_forms(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_bytes(content)
    assert read_listed_values(tmp_path / "out.csv", "ids", "customer_id") == ["00042", "1001.0", "x y"]


def test_a_single_column_and_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("customer_id\nA\n\nB\n")
    assert read_listed_values(tmp_path / "out.txt", "ids", "customer_id") == ["A", "B"]
    (tmp_path / "out.txt").write_text("")
    assert read_listed_values(tmp_path / "out.txt", "ids", "customer_id") == []


def test_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"customer_id": [1.0, None]}), tmp_path / "out.parquet")
    assert read_listed_values(tmp_path / "out.parquet", "ids", "customer_id") == [1.0, None]
    (tmp_path / "out.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="ids: cannot be read as parquet"):
        read_listed_values(tmp_path / "out.parquet", "ids", "customer_id")


def test_a_malformed_line_is_refused_with_its_number(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("customer_id,why\nA,x\nB,x,y\n")
    with pytest.raises(DataError, match="ids: line 3 has 3 columns, and the header 2 .*would be missed"):
        read_listed_values(tmp_path / "out.csv", "ids", "customer_id")


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_without_the_column_nothing_of_the_file_is_repeated(name: str, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("ann@shop,x\nbob@shop,y\n")
    pq.write_table(pa.table({"ann@shop": [1]}), tmp_path / "out.parquet")
    with pytest.raises(
        UsageError, match="^ids: no column customer_id can be read; expected CSV with a header, or Parquet$"
    ):
        read_listed_values(tmp_path / name, "ids", "customer_id")
