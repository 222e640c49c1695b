"""Files of any kind are searched, and those that cannot be are named."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from serving.privacy.file_contents import UnreadableFileError, texts_in
from serving.privacy.mentions import names_customer

WHO = "O'Hara & <7> é"


def workbook(file: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["customer_id", WHO])
    book.save(file)


def database(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute('CREATE TABLE "a ""b" (x TEXT, y BLOB)')
        connection.execute('INSERT INTO "a ""b" VALUES (?, ?)', ("x" * 9000, f"for {WHO}.".encode()))


def archive(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.json", '{"customer": "O\'Hara & <7> \\u00e9"}')


KINDS: dict[str, Callable[[Path], object]] = {
    "notes.txt": lambda file: file.write_text(f"about {WHO}", encoding="utf-8"),
    "notes.utf16": lambda file: file.write_text(f"about {WHO}", encoding="utf-16"),
    "plain.utf16": lambda file: file.write_bytes(f"about {WHO}".encode("utf-16-be")),
    "old.log.gz": lambda file: file.write_bytes(gzip.compress(WHO.encode())),
    "old.log.bz2": lambda file: file.write_bytes(bz2.compress(WHO.encode())),
    "old.log.xz": lambda file: file.write_bytes(lzma.compress(WHO.encode())),
    "list.xlsx": workbook,
    "copy.db": database,
    "all.zip": archive,
    "binary": lambda file: file.write_bytes(b"\xff\x00\xfe" + WHO.encode() + b"\x80"),
}


@pytest.mark.parametrize("name", KINDS)
def test_it_is_found_in_every_kind(tmp_path: Path, name: str) -> None:
    KINDS[name](tmp_path / name)
    texts = list(texts_in(tmp_path / name))
    assert any(names_customer(text, frozenset({WHO})) for text in texts), texts
    assert not any(names_customer(text, frozenset({"O'Hara & <8> é"})) for text in texts)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7 ...", "is a PDF"),
        (b"\x1f\x8b\x08 cut off", "is damaged"),
        (b"SQLite format 3\x00 cut off", "is damaged"),
        (b"Rar!\x1a", "compressed"),
    ],
)
def test_what_cannot_be_searched_says_why(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UnreadableFileError, match=words):
        list(texts_in(tmp_path / "file"))
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        list(texts_in(tmp_path / "gone"))
