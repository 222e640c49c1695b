"""Text files: encodings, compression and line ends are recognised, damage is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from features.errors import DataError
from features.sources.text_files import TextFile, count_blank_lines, read_text_file

TEXT = "id,name\n1,Zoë\n2,Ann\n"


def read(content: bytes, folder: Path, name: str = "log.csv") -> TextFile | None:
    """Write a file and read it."""
    (folder / name).write_bytes(content)
    return read_text_file(folder / name, f"in/{name}", folder / "copy.csv")


@pytest.mark.parametrize(
    ("content", "compression"),
    [
        (TEXT.encode(), "none"),
        (b"\xef\xbb\xbf" + TEXT.encode(), "none"),
        (gzip.compress(TEXT.encode()[:9], mtime=0) + gzip.compress(TEXT.encode()[9:], mtime=0), "gzip"),
        (TEXT.encode("utf-16"), "none"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "none"),
        (TEXT.encode("utf-32"), "none"),
        (gzip.compress(TEXT.encode("utf-16"), mtime=0), "none"),
        (TEXT.replace("\n", "\r\n", 1).encode(), "none"),  # line ends of two kinds
        (TEXT.replace("\n", "\r\r\n").replace("\r\r\n", "\n", 1).encode(), "none"),
    ],
)
def test_one_text_in_many_forms(content: bytes, compression: str, tmp_path: Path) -> None:
    text = read(content, tmp_path)
    assert text and text.head.replace("\n\n", "\n") == TEXT and text.complete
    assert (text.name, text.compression) == ("in/log.csv", compression)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_of_one_kind_are_read_in_place(ends: str, last: bool, tmp_path: Path) -> None:
    content = TEXT.replace("\n", ends)
    text = read((content if last else content.removesuffix(ends)).encode(), tmp_path)
    assert text and text.path.name == "log.csv" and text.lines == 3


def test_a_line_end_between_two_chunks_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.sources.text_files.CHUNK_BYTES", 8)
    text = read(b"id,name\r\n1,Zo\xc3\xab\r\n", tmp_path)
    assert text and text.lines == 2 and text.path.name == "log.csv"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"  \r\n"])
def test_empty_files(content: bytes, tmp_path: Path) -> None:
    assert read(content, tmp_path) is None


@pytest.mark.parametrize("zipped", [False, True])
def test_the_first_line_that_is_not_utf8_is_named(tmp_path: Path, zipped: bool) -> None:
    content = b"name\nann\nZo\xeb\n"
    with pytest.raises(DataError, match=r"in/log.csv: line 3 is not UTF-8 \(byte 0xeb\); if it is Latin-1, convert it"):
        read(gzip.compress(content) if zipped else content, tmp_path)


LONG = gzip.compress("".join(f"{n},{n * n}\n" for n in range(5000)).encode(), mtime=0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (LONG[:-30], "the gzip data ends too early: copy or download the file again"),
        (LONG[:200] + bytes(8) + LONG[208:], "the gzip data is damaged"),
        (b"PK\x03\x04....", "an Excel workbook or a zip archive, not CSV; save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0....", "an old Excel workbook"),
        (b"PAR1....PAR1", "is Parquet, not CSV; rename it to log.parquet"),
        (b"\n<!DOCTYPE HTML>\n<html>", "is a web page"),
        (TEXT.encode("utf-16-le"), "UTF-16 without a byte-order mark; convert it: iconv -f utf-16le"),
        (TEXT.encode("utf-16").decode("latin-1").encode(), "UTF-16 that was converted as if it were Latin-1"),
        (TEXT.encode("utf-16")[:-1], "is not complete utf-16-le text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_data_is_refused_with_what_it_is(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^in/log.csv: .*{says}"):
        read(content, tmp_path)


def test_a_file_without_rights_or_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in/no.csv: cannot be read: No such file"):
        read_text_file(tmp_path / "no.csv", "in/no.csv", tmp_path / "copy.csv")


def test_blank_lines_after_the_first_lines(tmp_path: Path) -> None:
    text = read(b"title\n\nid\n1\n\n  \n2\n", tmp_path)
    assert text and count_blank_lines(text, 3) == 2
