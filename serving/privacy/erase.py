"""A customer out of the files of an output: made beside them first, then put in place one by one, resumable.

Rows go out of Parquet and CSV, mentions out of JSON; pages that name the customer, built features and half-written runs
are removed, as they can be made again. Checksums and counts in manifests follow, so that all still reads.
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
from serving.privacy.mentions import ID, line_without_customer, names_customer, without_customer
from serving.scoring.resumable_run import file_checksum

STAGING, READY = ".forgetting", "ready.json"
MANIFESTS = ("_manifest.json", "manifest.json")
LEFT_OVER = re.compile(r"\..+-[a-z0-9_]{8}")  # of a process that was killed (features.atomic_files)
SCORING_FOLDER = ".scoring"
REMOVED_FROM_CACHE = "removed: built again when needed"
Row = dict[str, Any]


@dataclass(frozen=True)
class FileChange:
    """What happens to a file or folder.

    Attributes:
        place: Which.
        description: In words.
        staged: Its new content, in the staging folder; None where it is removed.
    """

    place: Path
    description: str
    staged: Path | None


@dataclass
class Erasure:
    """The changes of one customer's removal while they are found.

    Attributes:
        root: The output.
        names: Of the customer, as files may have them.
        cache: The folder of built features, wherever it is.
        data: Files of the user's own, which are left alone.
        changes: By place.
        digests: Of files that change: the new checksum and the rows left, by the old one.
        removed_rows: By folder, the customer's row of each table that was there.
        foreign_files: Files that are not ours and name the customer.
        recognised: Whether a table has rows of the customer, or a page or document the very name and no text around it.
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
        """Where new contents wait."""
        return self.root / STAGING

    def staged_path(self, place: Path) -> Path:
        """A path in the staging folder for a file's new content."""
        return self.staging / hashlib.sha256(str(place).encode()).hexdigest()[:24]

    def remove(self, place: Path, what: str) -> None:
        """Notes that a file or folder goes."""
        self.changes[place] = FileChange(place, what, None)

    def write(self, place: Path, text: str, what: str) -> None:
        """Notes that a file is to hold a text."""
        self.staged_path(place).write_text(text, encoding="utf-8")
        self.changes[place] = FileChange(place, what, self.staged_path(place))

    def replace(self, place: Path, what: str, rows: int | None = None) -> None:
        """Notes that a file's new content lies in staging."""
        made = self.staged_path(place)
        shutil.copymode(place, made)
        self.digests[file_checksum(place)] = (file_checksum(made), rows)
        self.changes[place] = FileChange(place, what, made)


def stage_changes(found: Erasure, correct: Callable[[Path, Row], None]) -> Erasure:
    """Makes the new contents of all files that name a customer, in the staging folder; nothing else is changed.

    Args:
        found: Where to look for whom; the changes are added to it.
        correct: May mend further figures of a manifest, in place, given its path.

    Raises:
        DataError: A file cannot be read.
    """
    with report_write_errors(found.root):
        found.root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(found.staging, ignore_errors=True)
        found.staging.mkdir(mode=0o700)
    documents = [file for file in _files(found) if not _took(found, file)]
    while _followed(found, documents, correct):
        pass
    return found


def mark_ready(found: Erasure) -> None:
    """Writes down that all new contents are there: from now on `finish` alone is needed, after a death too."""
    listed = [[str(c.place), c.staged.name if c.staged else "", c.description] for c in found.changes.values()]
    beside = found.staging / f"{READY}.part"
    beside.write_text(json.dumps(listed), encoding="utf-8")
    for file in found.staging.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    beside.rename(found.staging / READY)


def apply_staged(root: Path) -> list[tuple[str, str]]:
    """Puts in place what waits, if all of it is there; returns the places and what happened to each.

    What an earlier death left half done is done here; what was not ready then is discarded.
    """
    staging = root / STAGING
    listed = json.loads((staging / READY).read_text("utf-8")) if (staging / READY).exists() else []
    with report_write_errors(root):
        for place, made, _ in listed:
            if not made:
                _remove(Path(place))
            elif (staging / made).exists():
                (staging / made).replace(place)
        shutil.rmtree(staging, ignore_errors=True)
    return [(place, what) for place, _, what in listed]


def discard_staged(found: Erasure) -> None:
    """Forgets the new contents; nothing was changed."""
    shutil.rmtree(found.staging, ignore_errors=True)


def _files(found: Erasure) -> Iterator[Path]:
    """The files to look into; folders and files that a killed process left go whole."""
    for folder, folders, files in os.walk(found.root):
        here = Path(folder)
        for name in sorted(folders):
            if LEFT_OVER.fullmatch(name) or here == found.root / SCORING_FOLDER:
                found.remove(here / name, "removed: left by a run that ended early")
        folders[:] = sorted(f for f in folders if f != STAGING and here / f not in found.changes)
        for name in sorted(files):
            if LEFT_OVER.fullmatch(name):
                found.remove(here / name, "removed: left by a run that ended early")
            elif (here / name).resolve() not in found.data and (
                here != found.root or name not in (IDS_FILE, FORGOTTEN_FILE)
            ):
                yield here / name
    if found.cache and not found.cache.is_relative_to(found.root) and found.cache.is_dir():
        yield from sorted(found.cache.glob("*.parquet"))


def _took(found: Erasure, file: Path) -> bool:
    """Whether a file needs no second look; documents of JSON do, as they name other files' checksums."""
    if file.suffix in (".json", ".jsonl"):
        return False
    if file.suffix == ".parquet":
        _parquet(found, file)
    elif file.suffix == ".csv":
        _csv(found, file)
    elif names_customer(text := file.read_text(encoding="utf-8", errors="replace"), found.names):
        if file.suffix == ".html":
            found.recognised |= names_customer(text, found.names, alone=True)
            found.remove(file, "removed: the page names the customer")
        else:
            found.foreign_files.append(file)
    return True


def _parquet(found: Erasure, file: Path) -> None:
    try:
        with pq.ParquetFile(file) as parts:
            if ID not in parts.schema_arrow.names:
                return
            groups = range(parts.num_row_groups)
            theirs = [_is_theirs(parts.read_row_group(g, [ID])[ID], found.names) for g in groups]
            gone = [pc.sum(mask).as_py() or 0 for mask in theirs]
            if not sum(gone):
                return
            if file.parent in (found.cache, found.root / "snapshots"):
                found.remove(file, REMOVED_FROM_CACHE)
                return
            hit = next(g for g in groups if gone[g])
            row = parts.read_row_group(hit).filter(theirs[hit]).slice(0, 1).to_pylist()[0]
            codec = parts.metadata.row_group(hit).column(0).compression.lower()
            with pq.ParquetWriter(found.staged_path(file), parts.schema_arrow, compression=codec) as writer:
                for g in groups:
                    writer.write_table(_without(parts.read_row_group(g), theirs[g]))
            rows = parts.metadata.num_rows
    except (pa.ArrowException, OSError) as problem:
        raise DataError(f"{file} cannot be read ({problem}); remove it, and make it again") from None
    found.recognised = True
    found.removed_rows.setdefault(file.parent, []).append(row)
    found.replace(file, _told(sum(gone), rows), rows - sum(gone))


def _is_theirs(ids: pa.ChunkedArray, names: frozenset[str]) -> pa.ChunkedArray:
    return pc.fill_null(pc.is_in(ids.cast(pa.string()), value_set=pa.array(sorted(names), pa.string())), False)


def _without(table: pa.Table, theirs: pa.ChunkedArray) -> pa.Table:
    """The other rows; columns of levels are coded anew, as their lists of levels may hold the customer's."""
    kept = table.filter(pc.invert(theirs))
    for place, level in enumerate(kept.schema):
        if pa.types.is_dictionary(level.type):
            coded = kept[level.name].cast(level.type.value_type).dictionary_encode().cast(level.type)
            kept = kept.set_column(place, level, coded)
    return kept


def _csv(found: Erasure, file: Path) -> None:
    """Keeps the text of the other rows as it is; an id that a spreadsheet would run has an apostrophe before it."""
    names = found.names | {f"'{name}" for name in found.names}
    rows = gone = 0
    with file.open(encoding="utf-8", newline="") as stream, found.staged_path(file).open("w", encoding="utf-8") as out:
        records = _records(stream)
        header = next(records, "")
        columns = next(csv.reader([header]), [])
        out.write(header)
        if ID in columns:
            for record in records:
                rows += 1
                fields = next(csv.reader([record], strict=False), [])
                theirs = len(fields) > columns.index(ID) and fields[columns.index(ID)] in names
                gone += theirs
                if not theirs:
                    out.write(record)
    if gone:
        found.recognised = True
        found.replace(file, _told(gone, rows), rows - gone)
    else:
        found.staged_path(file).unlink()


def _records(lines: Iterator[str]) -> Iterator[str]:
    """The records of a CSV as they are written: a quoted field may go over several lines."""
    record, quotes = "", 0
    for line in lines:
        record, quotes = record + line, quotes + line.count('"')
        if quotes % 2 == 0:
            yield record
            record, quotes = "", 0
    if record:
        yield record


def _followed(found: Erasure, documents: list[Path], correct: Callable[[Path, Row], None]) -> bool:
    """Makes the new documents as far as is known; whether any came out otherwise than before, so that others follow."""
    before = dict(found.digests)
    for file in documents:
        old = file.read_text(encoding="utf-8")
        new = _document(found, file, old, correct)
        if new != old:
            found.staged_path(file).write_text(new, encoding="utf-8")
            found.recognised |= names_customer(old, found.names, alone=True)
            mentions = "mentions of the customer" if names_customer(old, found.names) else "checksums and counts"
            found.replace(file, f"{mentions} mended")
    return found.digests != before


def _document(found: Erasure, file: Path, text: str, correct: Callable[[Path, Row], None]) -> str:
    """A document, or the lines of one, with what is to be changed in it; the very text where nothing is."""
    if file.suffix == ".jsonl":
        lines = text.splitlines(keepends=True)
        return "".join(line_without_customer(line, found.names, found.digests) for line in lines)
    try:
        value = json.loads(text)
    except ValueError:
        raise DataError(f"{file} is not JSON as regulars wrote it; remove it, and make it again") from None
    new = without_customer(value, found.names, found.digests)
    if file.name in MANIFESTS and file.parent in found.removed_rows and isinstance(new, dict):
        _count(new, found.removed_rows[file.parent])
    if isinstance(new, dict):
        correct(file, new)
    if new == json.loads(text):
        return text
    return json.dumps(new, indent=1, ensure_ascii=text.isascii()) + "\n"


def _count(manifest: dict[str, Any], rows: list[Row]) -> None:
    """Takes the customer off the numbers of customers of a manifest: of a plan, by what it meant for them."""
    told = manifest.get("customers")
    if isinstance(told, int):
        manifest["customers"] = told - 1
    row = next((row for row in rows if "would_have" in row), None)
    if row is None or not isinstance(told, dict):
        return
    was = {"scored": True, "eligible": row["eligible"], "held_out": row["holdout"], "with_action": bool(row["action"])}
    for counts in (told, manifest.get("segments", {}).get(row["segment"], {})):
        counts |= {name: counts[name] - held for name, held in was.items() if name in counts}
    kind = "customers" if row["action"] else "held_out"
    if action := manifest.get("actions", {}).get(row["would_have"]):
        action[kind] -= 1


def _told(gone: int, rows: int) -> str:
    return f"{gone:,} of {rows:,} rows removed"


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def changes_in_words(changes: Mapping[Path, FileChange]) -> list[tuple[str, str]]:
    """Places and what happens to each, as `finish` returns them."""
    return [(str(change.place), change.description) for change in changes.values()]
