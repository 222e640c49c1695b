"""The text in a file of any kind, for searching: plain or compressed, an office document, a database."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from features.sql_text import quote_name


class SupportsRead(Protocol):
    """An opened file whose bytes can be read."""

    def read(self) -> bytes:
        """All bytes."""


SQLITE = b"SQLite format 3\x00"
OPENERS: dict[bytes, Callable[[Path], AbstractContextManager[SupportsRead]]] = {
    b"\x1f\x8b": lambda file: gzip.open(file, "rb"),
    b"BZh": lambda file: bz2.open(file, "rb"),
    b"\xfd7zXZ": lambda file: lzma.open(file, "rb"),
}
CLOSED = {b"%PDF": "a PDF", b"\x28\xb5\x2f\xfd": "compressed", b"7z\xbc\xaf": "compressed", b"Rar!": "compressed"}


class UnreadableFileError(Exception):
    """A file cannot be searched; the message says why."""


def texts_in(file: Path) -> Iterator[str]:
    """The texts in a file, and for a container those in all that it holds.

    Args:
        file: A regular file.

    Yields:
        Texts.

    Raises:
        UnreadableFileError: It cannot be read, is damaged, or is of a kind whose text cannot be read.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(16)
        if head.startswith(SQLITE):
            yield from _database_texts(file)
        elif zipfile.is_zipfile(file):
            yield from _archive_texts(file)
        elif opener := next((opener for mark, opener in OPENERS.items() if head.startswith(mark)), None):
            with opener(file) as stream:
                yield as_text(stream.read())
        elif mark := next((mark for mark in CLOSED if head.startswith(mark)), None):
            raise UnreadableFileError(f"is {CLOSED[mark]}, whose text cannot be searched")
        else:
            yield as_text(file.read_bytes())
    except OSError as problem:
        raise UnreadableFileError(f"cannot be read ({problem.strerror or problem})") from None
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, sqlite3.Error, RuntimeError) as problem:
        raise UnreadableFileError(f"is damaged or protected ({type(problem).__name__})") from None


def as_text(content: bytes) -> str:
    """Bytes as text: UTF-8, or UTF-16 by its BOM or by the zeros between ASCII letters."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    sample = content[:4096]
    if len(sample) > 1 and sample[1::2].count(0) > 0.8 * len(sample[1::2]):
        return content.decode("utf-16-le", "replace")
    if len(sample) > 1 and sample[::2].count(0) > 0.8 * len(sample[::2]):
        return content.decode("utf-16-be", "replace")
    return content.decode("utf-8", "surrogateescape")


def _archive_texts(file: Path) -> Iterator[str]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            yield member.filename
            yield as_text(archive.read(member))


def _database_texts(file: Path) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f"SELECT * FROM {quote_name(table)}"):  # noqa: S608 (quoted)
                for value in row:
                    if isinstance(value, str | bytes):
                        yield value if isinstance(value, str) else as_text(value)
