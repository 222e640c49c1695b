"""Removes a customer from the files of an output: new contents are staged first, then put in place one by one.

Rows are removed from Parquet and CSV, and mentions from JSON. Pages that name the customer, built features and
unfinished runs are deleted, as they can be made again. Checksums and counts in manifests are updated, so that all files
can still be read. A removal that was interrupted is finished by the next one.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.atomic_files import report_write_errors
from features.errors import DataError
from features.intake.customer_ids import FORGOTTEN_FILE, IDS_FILE
from features.json_files import CHECKSUM, file_digest, with_checksum
from serving.privacy.mentions import ID, line_without_customer, names_customer, without_customer

STAGING, READY = ".forgetting", "ready.json"
MANIFESTS = ("_manifest.json", "manifest.json")
LEFT_OVER = re.compile(r"\..+-[a-z0-9_]{8}")  # left by a killed process (features.atomic_files)
SCORING_FOLDER = ".scoring"
REMOVED_FROM_CACHE = "removed: built again when needed"
Row = dict[str, Any]


@dataclass(frozen=True)
class FileChange:
    """The change of a file or folder.

    Attributes:
        place: The file or folder.
        description: The change in words.
        staged: The file with its new content, in the staging folder; None if it is removed.
    """

    place: Path
    description: str
    staged: Path | None


@dataclass
class Erasure:
    """The removal of one customer, with the changes collected so far.

    Attributes:
        root: The output folder.
        names: The customer's ids as files may have them.
        cache: The folder of built features, wherever it is.
        data: The user's own files, which are not changed.
        changes: The changes by place.
        digests: For files that change: the new checksum and the number of rows left, by the old checksum.
        removed_rows: The customer's rows in the tables of each folder.
        foreign_files: Files not written by regulars that name the customer.
        recognised: Whether a table has rows of the customer, or a page or document has the id as a complete value.
    """

    root: Path
    names: frozenset[str]
    cache: Path | None = None
    data: frozenset[Path] = frozenset()
    changes: dict[Path, FileChange] = field(default_factory=dict)
    digests: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    removed_rows: dict[Path, list[Row]] = field(default_factory=dict)
    foreign_files: list[Path] = field(default_factory=list)
    recognised: bool = False

    @property
    def staging(self) -> Path:
        """The folder of new contents that wait to be put in place."""
        return self.root / STAGING

    def staged_path(self, place: Path) -> Path:
        """The path in the staging folder for a file's new content."""
        return self.staging / hashlib.sha256(str(place).encode()).hexdigest()[:24]

    def remove(self, place: Path, what: str) -> None:
        """Records that a file or folder is to be removed."""
        self.changes[place] = FileChange(place, what, None)

    def write(self, place: Path, text: str, what: str) -> None:
        """Stages a text as the new content of a file.

        Args:
            place: The file.
            text: Its new content.
            what: The change in words.
        """
        self.staged_path(place).write_text(text, encoding="utf-8")
        self.changes[place] = FileChange(place, what, self.staged_path(place))

    def replace(self, place: Path, what: str, rows: int | None = None) -> None:
        """Records that the new content of a file is in the staging folder.

        Args:
            place: The file.
            what: The change in words.
            rows: The number of rows left; None if the file is not a table.
        """
        staged = self.staged_path(place)
        shutil.copymode(place, staged)
        self.digests[file_digest(place)] = (file_digest(staged), rows)
        self.changes[place] = FileChange(place, what, staged)


def stage_changes(erasure: Erasure, correct_manifest: Callable[[Path, Row], None]) -> Erasure:
    """Writes the new contents of all files that name a customer to the staging folder; changes nothing else.

    Args:
        erasure: The customer and the folders; the changes are added to it.
        correct_manifest: Called with the path and content of each manifest; may correct further figures in place.

    Returns:
        The same erasure.

    Raises:
        DataError: A file cannot be read.
    """
    with report_write_errors(erasure.root):
        erasure.root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(erasure.staging, ignore_errors=True)
        erasure.staging.mkdir(mode=0o700)
    documents = [file for file in _files_to_search(erasure) if not _handled(erasure, file)]
    while _update_documents(erasure, documents, correct_manifest):
        pass
    return erasure


def mark_ready(erasure: Erasure) -> None:
    """Records that all new contents are complete: from now on `apply_staged` is enough, even after a crash."""
    listed = [[str(c.place), c.staged.name if c.staged else "", c.description] for c in erasure.changes.values()]
    part_file = erasure.staging / f"{READY}.part"
    part_file.write_text(json.dumps(listed), encoding="utf-8")
    for file in erasure.staging.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    part_file.rename(erasure.staging / READY)


def apply_staged(root: Path) -> list[tuple[str, str]]:
    """Puts staged contents in place if they are complete, otherwise discards them.

    This also finishes a removal that was interrupted before.

    Returns:
        The changed places, each with its change in words.
    """
    staging = root / STAGING
    listed = json.loads((staging / READY).read_text("utf-8")) if (staging / READY).exists() else []
    with report_write_errors(root):
        for place, staged, _ in listed:
            if not staged:
                _remove_path(Path(place))
            elif (staging / staged).exists():
                (staging / staged).replace(place)
        shutil.rmtree(staging, ignore_errors=True)
    return [(place, what) for place, _, what in listed]


def discard_staged(erasure: Erasure) -> None:
    """Discards the staged contents; the output stays unchanged."""
    shutil.rmtree(erasure.staging, ignore_errors=True)


def _files_to_search(erasure: Erasure) -> Iterator[Path]:
    """Yields the files to search; what a killed process left behind is removed as a whole."""
    for folder, folders, files in os.walk(erasure.root):
        here = Path(folder)
        for name in sorted(folders):
            if LEFT_OVER.fullmatch(name) or here == erasure.root / SCORING_FOLDER:
                erasure.remove(here / name, "removed: left by a run that ended early")
        folders[:] = sorted(f for f in folders if f != STAGING and here / f not in erasure.changes)
        for name in sorted(files):
            if LEFT_OVER.fullmatch(name):
                erasure.remove(here / name, "removed: left by a run that ended early")
            elif (here / name).resolve() not in erasure.data and (
                here != erasure.root or name not in (IDS_FILE, FORGOTTEN_FILE)
            ):
                yield here / name
    if erasure.cache and not erasure.cache.is_relative_to(erasure.root) and erasure.cache.is_dir():
        yield from sorted(erasure.cache.glob("*.parquet"))


def _handled(erasure: Erasure, file: Path) -> bool:
    """Handles a file that is not JSON; false for JSON documents, which wait as they have other files' checksums."""
    if file.suffix in (".json", ".jsonl"):
        return False
    if file.suffix == ".parquet":
        _erase_from_parquet(erasure, file)
    elif file.suffix == ".csv":
        _erase_from_csv(erasure, file)
    elif names_customer(text := file.read_text(encoding="utf-8", errors="replace"), erasure.names):
        if file.suffix == ".html":
            erasure.recognised |= names_customer(text, erasure.names, quoted_only=True)
            erasure.remove(file, "removed: the page names the customer")
        else:
            erasure.foreign_files.append(file)
    return True


def _erase_from_parquet(erasure: Erasure, file: Path) -> None:
    try:
        with pq.ParquetFile(file) as parts:
            if ID not in parts.schema_arrow.names:
                return
            groups = range(parts.num_row_groups)
            masks = [_customer_mask(parts.read_row_group(g, [ID])[ID], erasure.names) for g in groups]
            removed = [pc.sum(mask).as_py() or 0 for mask in masks]
            if not sum(removed):
                return
            if file.parent in (erasure.cache, erasure.root / "snapshots"):
                erasure.remove(file, REMOVED_FROM_CACHE)
                return
            theirs = [row for g in groups if removed[g] for row in parts.read_row_group(g).filter(masks[g]).to_pylist()]
            codec = parts.metadata.row_group(0).column(0).compression.lower()
            with pq.ParquetWriter(erasure.staged_path(file), parts.schema_arrow, compression=codec) as writer:
                for g in groups:
                    writer.write_table(_without_rows(parts.read_row_group(g), masks[g]))
            rows = parts.metadata.num_rows
    except (pa.ArrowException, OSError) as problem:
        raise DataError(f"{file} cannot be read ({problem}); remove it, and create it again") from None
    erasure.recognised = True
    erasure.removed_rows.setdefault(file.parent, []).extend(theirs)
    erasure.replace(file, _rows_removed(sum(removed), rows), rows - sum(removed))


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


def _erase_from_csv(erasure: Erasure, file: Path) -> None:
    """Removes the customer's records and leaves the others byte by byte; an id may have an apostrophe before it."""
    names = erasure.names | {f"'{name}" for name in erasure.names}
    rows = removed = 0
    with (
        file.open(encoding="utf-8", newline="") as stream,
        erasure.staged_path(file).open("w", encoding="utf-8") as out,
    ):
        records = _records(stream)
        header = next(records, "")
        columns = next(csv.reader([header]), [])
        out.write(header)
        if ID in columns:
            for record in records:
                rows += 1
                fields = next(csv.reader([record], strict=False), [])
                theirs = len(fields) > columns.index(ID) and fields[columns.index(ID)] in names
                removed += theirs
                if not theirs:
                    out.write(record)
    if removed:
        erasure.recognised = True
        erasure.replace(file, _rows_removed(removed, rows), rows - removed)
    else:
        erasure.staged_path(file).unlink()


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


def _update_documents(erasure: Erasure, documents: list[Path], correct_manifest: Callable[[Path, Row], None]) -> bool:
    """Updates the JSON documents; returns whether checksums changed, so that documents must be updated again."""
    before = dict(erasure.digests)
    for file in documents:
        old = file.read_text(encoding="utf-8")
        new = _document_text(erasure, file, old, correct_manifest)
        if new != old:
            erasure.staged_path(file).write_text(new, encoding="utf-8")
            erasure.recognised |= names_customer(old, erasure.names, quoted_only=True)
            mentions = "mentions of the customer" if names_customer(old, erasure.names) else "checksums and counts"
            erasure.replace(file, f"{mentions} updated")
    return erasure.digests != before


def _document_text(erasure: Erasure, file: Path, text: str, correct_manifest: Callable[[Path, Row], None]) -> str:
    """The updated text of a document; the same text if nothing changes."""
    if file.suffix == ".jsonl":
        lines = text.splitlines(keepends=True)
        return "".join(line_without_customer(line, erasure.names, erasure.digests) for line in lines)
    try:
        value = json.loads(text)
    except ValueError:
        raise DataError(f"{file}: expected JSON that regulars wrote; remove it, and create it again") from None
    new = without_customer(value, erasure.names, erasure.digests)
    if file.name in MANIFESTS and file.parent in erasure.removed_rows and isinstance(new, dict):
        _decrement_counts(new, erasure.removed_rows[file.parent])
    if isinstance(new, dict):
        correct_manifest(file, new)
    if new == json.loads(text):
        return text
    if isinstance(new, dict) and CHECKSUM in new:
        new = with_checksum(new)
    return json.dumps(new, indent=1, ensure_ascii=text.isascii()) + "\n"


def _decrement_counts(manifest: dict[str, Any], rows: list[Row]) -> None:
    """Subtracts the customer, with all ids of the person, from the counts of a manifest."""
    customers = manifest.get("customers")
    if isinstance(customers, int):
        manifest["customers"] = customers - len({row[ID] for row in rows})
    elif isinstance(customers, dict):
        for row in (row for row in rows if "would_have" in row):
            _decrement_plan(manifest, customers, row)


def _decrement_plan(manifest: dict[str, Any], customers: dict[str, int], row: Row) -> None:
    """Subtracts one row of a plan from its counts, also by segment and action."""
    counted_as = {
        "scored": True,
        "eligible": row["eligible"],
        "held_out": row["holdout"],
        "with_action": bool(row["action"]),
    }
    for counts in (customers, manifest.get("segments", {}).get(row["segment"], {})):
        counts |= {name: counts[name] - counted for name, counted in counted_as.items() if name in counts}
    kind = "customers" if row["action"] else "held_out"
    if action := manifest.get("actions", {}).get(row["would_have"]):
        action[kind] -= 1


def _rows_removed(removed: int, rows: int) -> str:
    return f"{removed:,} of {rows:,} rows removed"


def _remove_path(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def changes_in_words(changes: Mapping[Path, FileChange]) -> list[tuple[str, str]]:
    """The changed places, each with its change in words, as `apply_staged` returns them."""
    return [(str(change.place), change.description) for change in changes.values()]
