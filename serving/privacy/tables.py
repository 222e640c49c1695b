"""Removes a customer's rows from Parquet and CSV files, and finds them in other columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.snapshots.cache import PART_NAME
from serving.privacy.erase import REMOVED_FROM_CACHE, Erasure
from serving.privacy.file_contents import UnreadableFileError
from serving.privacy.mentions import ID, names_customer

BOM = "\ufeff"


def erase_from_parquet(erasure: Erasure, file: Path) -> None:
    """Stages a Parquet file without the customer's rows; built features are removed as a whole.

    Statistics and dictionaries are written anew with the rows that are left.

    Raises:
        UnreadableFileError: The file is damaged.
    """
    own_cache = file.parent == erasure.root / "snapshots"
    is_built = own_cache or (file.parent == erasure.cache and PART_NAME.fullmatch(file.name) is not None)
    try:
        with file.open("rb") as stream, pq.ParquetFile(stream) as parts:  # a stream has no name that Arrow could refuse
            groups = range(parts.num_row_groups)
            has_ids = ID in parts.schema_arrow.names
            masks = [_customer_mask(parts.read_row_group(g, [ID])[ID], erasure.names) for g in groups if has_ids]
            removed = [int(pc.sum(mask).as_py() or 0) for mask in masks]
            if is_built:
                if sum(removed):
                    erasure.remove(file, REMOVED_FROM_CACHE)
                return
            if not sum(removed):
                _note_other_columns(erasure, file, parts)
                return
            theirs = [row for g in groups if removed[g] for row in parts.read_row_group(g).filter(masks[g]).to_pylist()]
            codec = parts.metadata.row_group(0).column(0).compression.lower()
            with pq.ParquetWriter(erasure.staged_path(file), parts.schema_arrow, compression=codec) as writer:
                for g in groups:
                    writer.write_table(_without_rows(parts.read_row_group(g), masks[g]))
            rows = parts.metadata.num_rows
    except (pa.ArrowException, OSError, UnicodeEncodeError) as problem:
        if not is_built:
            raise UnreadableFileError(f"is not a complete Parquet file ({_short(problem)})") from None
        erasure.remove(file, REMOVED_FROM_CACHE)
        return
    erasure.recognised = True
    erasure.removed_rows.setdefault(file.parent, []).extend(theirs)
    erasure.replace(file, rows_removed(sum(removed), rows), rows - sum(removed))
    with pq.ParquetFile(erasure.staged_path(file)) as left:
        _note_other_columns(erasure, file, left)


def erase_from_csv(erasure: Erasure, file: Path) -> None:
    """Stages a CSV without the customer's records and leaves the others byte by byte.

    An id may have an apostrophe before it (`spreadsheet_text`). A file without a column of ids is searched only.

    Raises:
        UnreadableFileError: The file cannot be read.
    """
    names = erasure.names | {f"'{name}" for name in erasure.names}
    rows = removed = 0
    is_named = False
    try:
        with (
            file.open(encoding="utf-8", errors="surrogateescape", newline="") as stream,
            erasure.staged_path(file).open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
        ):
            records = _records(stream)
            header = next(records, "")
            columns = [name.removeprefix(BOM) for name in _cells(header)]
            out.write(header)
            place = columns.index(ID) if ID in columns else -1
            for record in records:
                cells, rows = _cells(record), rows + 1
                if 0 <= place < len(cells) and cells[place] in names:
                    removed += 1
                    continue
                is_named |= not names.isdisjoint(cells) or names_customer(record, erasure.names)
                out.write(record)
    except OSError as problem:
        raise UnreadableFileError(f"cannot be read ({problem.strerror})") from None
    if is_named:
        erasure.note_foreign(file)
    if removed:
        erasure.recognised = True
        erasure.replace(file, rows_removed(removed, rows), rows - removed)
    else:
        erasure.staged_path(file).unlink()


def rows_removed(removed: int, rows: int) -> str:
    """The change of a table in words."""
    return f"{removed:,} of {rows:,} rows removed"


def _short(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0][:120]


def _customer_mask(ids: pa.ChunkedArray, names: frozenset[str]) -> pa.ChunkedArray:
    return pc.fill_null(pc.is_in(ids.cast(pa.string()), value_set=pa.array(sorted(names), pa.string())), False)


def _without_rows(table: pa.Table, mask: pa.ChunkedArray) -> pa.Table:
    """The other rows; categorical columns are encoded again, as their categories may include the customer's id."""
    kept = table.filter(pc.invert(mask))
    for place, level in enumerate(kept.schema):
        if pa.types.is_dictionary(level.type):
            coded = kept[level.name].cast(level.type.value_type).dictionary_encode().cast(level.type)
            kept = kept.set_column(place, level, coded)
    return kept


def _note_other_columns(erasure: Erasure, file: Path, parts: pq.ParquetFile) -> None:
    """Records a file in which another column than that of ids names the customer."""
    for group in range(parts.num_row_groups):
        for name, texts in _text_columns(parts.read_row_group(group)):
            if name != ID and _names_in(texts, erasure.names, "customer" in name.lower()):
                erasure.note_foreign(file)
                return


def _text_columns(table: pa.Table) -> Iterator[tuple[str, pa.Array]]:
    """Every column of text with its name, those inside lists and structures too."""
    for field in table.schema:
        for chunk in table[field.name].chunks:
            yield from ((field.name, texts) for texts in _texts_inside(chunk))


def _texts_inside(values: pa.Array) -> Iterator[pa.Array]:
    if pa.types.is_dictionary(values.type):
        yield from _texts_inside(values.dictionary)
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        yield values
    elif pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        yield from _texts_inside(values.flatten())
    elif pa.types.is_struct(values.type):
        for place in range(values.type.num_fields):
            yield from _texts_inside(values.field(place))


def _names_in(texts: pa.Array, names: frozenset[str], holds_ids: bool) -> bool:
    """Whether any text names the customer."""
    if holds_ids and pc.any(pc.is_in(texts, value_set=pa.array(sorted(names), texts.type))).as_py():
        return True
    for name in names:
        near = texts.filter(pc.fill_null(pc.match_substring(texts, name), False))
        if any(names_customer(text, names) for text in pc.unique(near).to_pylist()):
            return True
    return False


def _records(lines: Iterator[str]) -> Iterator[str]:
    """Yields the records of a CSV as written; a quoted field may span several lines."""
    record, quotes = "", 0
    for line in lines:
        record, quotes = record + line, quotes + line.count('"')
        if quotes % 2 == 0:
            yield record
            record, quotes = "", 0
    if record:
        yield record


def _cells(record: str) -> list[str]:
    """The cells of a record; one cell if it is no CSV."""
    try:
        return next(csv.reader([record], strict=False), [])
    except csv.Error:
        return [record]
