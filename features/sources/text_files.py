"""Text files as the CSV reader needs them: uncompressed or gzip, UTF-8, and with line ends of one kind."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from features.errors import DataError

HEAD_BYTES, TAIL_BYTES, CHUNK_BYTES = 1 << 16, 1 << 12, 1 << 20
GZIP_MAGIC, PARQUET_MAGIC = b"\x1f\x8b", b"PAR1"
BYTE_ORDER_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
                    codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip
CHINESE = re.compile(rb"([\xb0-\xf7][\xa1-\xfe]){2}")  # two characters of GB 2312, which GB 18030 contains
DAMAGED_MARKS = ("\xff\xfe".encode(), "\xfe\xff".encode())  # what iconv -f latin1 makes of those of UTF-16
MANY_ZEROS, FEW_ZEROS = 0.4, 0.1  # shares of every second byte, in text whose characters have two bytes
SAVE_AS_CSV = "save the sheet as CSV (UTF-8)"
NOT_TEXT = {
    b"PK\x03\x04": ("an Excel workbook or a zip archive", f"{SAVE_AS_CSV}, or unpack it"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", SAVE_AS_CSV),
    b"BZh9": ("bzip2 data", "unpack it with bunzip2"),
    b"\xfd7zXZ": ("xz data", "unpack it with unxz"),
    b"\x28\xb5\x2f\xfd": ("Zstandard data", "unpack it with unzstd"),
    b"SQLite format 3": ("an SQLite database", "set source to its URL, such as 'sqlite:///shop.db'"),
    b"%PDF": ("a PDF", "export the table as CSV"),
    b"<!doctype html": ("a web page", "download it again: was it saved without signing in?"),
    b"<html": ("a web page", "download it again: was it saved without signing in?"),
}


@dataclass(frozen=True)
class TextFile:
    """A text file that was read once to its end, and can be read by DuckDB.

    Attributes:
        name: The file in messages.
        origin: The file.
        path: The file, or a UTF-8 copy of it.
        compression: 'gzip' or 'none'.
        head: The first lines.
        tail: The last lines, the first of which may be cut off.
        complete: Whether the head is all of the text.
        lines: The number of lines, blank ones included.
    """

    name: str
    origin: Path
    path: Path
    compression: str
    head: str
    tail: str
    complete: bool
    lines: int

    def read(self) -> str:
        """Return all of the text."""
        with _open(self.path, self.compression) as stream:
            return stream.read().decode("utf-8-sig")


@dataclass(frozen=True)
class _LineEnds:
    """How many line ends of each kind a text has, and whether it ends in the middle of a line."""

    feeds: int = 0
    returns: int = 0
    pairs: int = 0
    last: bytes = b""

    def and_those_of(self, chunk: bytes) -> _LineEnds:
        """Return the counts after one more chunk."""
        split_pair = self.last == b"\r" and chunk[:1] == b"\n"
        returns, pairs = (chunk.count(b"\r"), chunk.count(b"\r\n")) if b"\r" in chunk else (0, 0)
        feeds = chunk.count(b"\n")
        return _LineEnds(self.feeds + feeds, self.returns + returns, self.pairs + pairs + split_pair, chunk[-1:])

    @property
    def mixed(self) -> bool:
        """Whether there are line ends of several kinds, which DuckDB cannot read."""
        return bool(self.returns and self.feeds and not self.returns == self.feeds == self.pairs)

    @property
    def lines(self) -> int:
        """The number of lines of a text whose line ends are of one kind."""
        return max(self.feeds, self.returns) + (self.last not in (b"", b"\n", b"\r"))


def read_text_file(path: Path, name: str, copy: Path) -> TextFile | None:
    """Read a text file to its end, and check that it can be read.

    UTF-16 and UTF-32 are known by their byte-order mark. They, and files with line ends of several kinds, are copied as
    UTF-8.

    Args:
        path: The file.
        name: The file in messages.
        copy: Where a copy is written if one is needed.

    Returns:
        What is known about it; None if it is empty.

    Raises:
        DataError: The file is not text in UTF-8 or with a byte-order mark, or it cannot be read to its end.
    """
    with _explain_errors(name):
        beginning = _beginning(path)
        compression = "gzip" if beginning.startswith(GZIP_MAGIC) else "none"
        with _open(path, compression) as stream:
            first = stream.read(HEAD_BYTES)
        _refuse_other_data(first, path, name)
        encoding = next((codec for mark, codec in BYTE_ORDER_MARKS.items() if first.startswith(mark)), "utf-8")
        if encoding == "utf-8":
            text, mixed = _scan(path, compression, name)
            if not mixed:
                return text if text.head.strip() or not text.complete else None
        _copy_as_utf8(path, compression, encoding, copy)
        text, _ = _scan(copy, "none", name)
        return replace(text, origin=path) if text.head.strip() or not text.complete else None


def _beginning(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(16)


def _open(path: Path, compression: str) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if compression == "gzip" else path.open("rb")


@contextmanager
def _explain_errors(name: str) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise DataError(f"{name}: the gzip data ends too early: copy or download the file again") from None
    except (gzip.BadGzipFile, zlib.error) as problem:
        raise DataError(f"{name}: the gzip data is damaged ({problem}): copy or download the file again") from None
    except UnicodeDecodeError as problem:
        raise DataError(
            f"{name}: is not complete {problem.encoding} text, although its byte-order mark says so: export it again"
        ) from None
    except OSError as problem:
        raise DataError(f"{name}: cannot be read: {problem.strerror or problem}") from None


def _refuse_other_data(first: bytes, path: Path, name: str) -> None:
    """Refuse a file whose first bytes say that it is no text.

    Raises:
        DataError: It is not; the message says what it is, and what to do.
    """
    beginning = first[:256].lstrip().lower()
    for magic, (what, advice) in NOT_TEXT.items():
        if first.startswith(magic) or beginning.startswith(magic.lower()):
            raise DataError(f"{name}: is {what}, not CSV; {advice}")
    if first.startswith(PARQUET_MAGIC) and path.read_bytes()[-4:] == PARQUET_MAGIC:
        raise DataError(f"{name}: is Parquet, not CSV; rename it to {Path(name).stem}.parquet")
    if first.startswith(DAMAGED_MARKS):
        raise DataError(
            f"{name}: is UTF-16 that was converted as if it were Latin-1; use the original file, which can be read"
        )
    even, odd = (half.count(0) / max(len(half), 1) for half in (first[::2], first[1::2]))
    if not any(map(first.startswith, BYTE_ORDER_MARKS)) and max(even, odd) > MANY_ZEROS > FEW_ZEROS > min(even, odd):
        codec = "utf-16le" if odd > even else "utf-16be"
        raise DataError(
            f"{name}: is UTF-16 without a byte-order mark; convert it: iconv -f {codec} -t utf-8 {name} > text.csv"
        )


def _scan(path: Path, compression: str, name: str) -> tuple[TextFile, bool]:
    """Read a file to its end; return what is known about it, and whether its line ends are mixed."""
    decoder, ends, size = codecs.getincrementaldecoder("utf-8")(), _LineEnds(), 0
    head = tail = b""
    with _open(path, compression) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            _require_utf8(decoder, chunk, name, ends)
            ends, size = ends.and_those_of(chunk), size + len(chunk)
            head += chunk[: HEAD_BYTES - len(head)]
            tail = (tail + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
    _require_utf8(decoder, b"", name, ends, final=True)
    first, last = (part.decode("utf-8", errors="ignore").removeprefix("\ufeff") for part in (head, tail))
    return TextFile(name, path, path, compression, first, last, size == len(head), ends.lines), ends.mixed


def _require_utf8(
    decoder: codecs.IncrementalDecoder, chunk: bytes, name: str, before: _LineEnds, final: bool = False
) -> None:
    """Decode one more chunk of a file.

    Args:
        decoder: The decoder of the file.
        chunk: Its next bytes.
        name: The file, for messages.
        before: The line ends before the chunk.
        final: Whether the file ends here.

    Raises:
        DataError: The chunk is not UTF-8; the message names the line.
    """
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as problem:
        before_it = before.and_those_of(problem.object[: problem.start])
        line = 1 + max(before_it.feeds, before_it.returns)
        raise DataError(
            f"{name}: line {line:,} is not UTF-8 (byte 0x{problem.object[problem.start]:02x}); "
            f"{_encoding_advice(problem.object[problem.start :])}"
        ) from None


def _encoding_advice(rest: bytes) -> str:
    """What to do about bytes that are not UTF-8: two pairs of high bytes are Chinese rather than Latin-1.

    >>> _encoding_advice("客户编号".encode("gb18030"))
    'if it is Chinese, convert it: iconv -f gb18030 -t utf-8'
    >>> _encoding_advice("éphémère".encode("latin-1"))
    'if it is Latin-1, convert it: iconv -f latin1 -t utf-8'
    """
    if CHINESE.match(rest):
        return "if it is Chinese, convert it: iconv -f gb18030 -t utf-8"
    return "if it is Latin-1, convert it: iconv -f latin1 -t utf-8"


def _copy_as_utf8(path: Path, compression: str, encoding: str, target: Path) -> None:
    """Write a copy in UTF-8 with line feeds as line ends."""
    with (
        _open(path, compression) as stream,
        io.TextIOWrapper(stream, encoding=encoding, newline=None) as text,
        target.open("w", encoding="utf-8", newline="\n") as copy,
    ):
        shutil.copyfileobj(text, copy, CHUNK_BYTES)


def count_blank_lines(text: TextFile, first: int) -> int:
    """Return how many lines of a text are blank, after its first lines."""
    with _open(text.path, text.compression) as stream, io.TextIOWrapper(stream, encoding="utf-8") as lines:
        return sum(not line.strip() for line in itertools.islice(lines, first, None))
