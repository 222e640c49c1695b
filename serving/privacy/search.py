"""Searches every file in which a customer may be named, and stages what removes them.

Rows are removed from Parquet and CSV, and mentions from JSON and text of ours. Pages that name the customer, built
features, unfinished runs and temporary folders are removed, as they can be made again. What cannot be opened is listed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from features.errors import RefusedError
from features.intake.customer_ids import IDS_FILE, is_forgotten_list
from features.snapshots.cache import PART_NAME
from features.storage.atomic_files import leftovers_of
from features.storage.private_folders import in_use
from features.storage.user_paths import real_path
from serving.privacy.documents import CorrectManifest, update_documents
from serving.privacy.erase import STAGING, Erasure, begin_staging
from serving.privacy.file_contents import UnreadableFileError, texts_in
from serving.privacy.mentions import names_customer, text_without_customer
from serving.privacy.tables import erase_from_csv, erase_from_parquet

EARLIER_LEFTOVER = re.compile(r"\..+-[a-z0-9_]{8}")  # of a process that was killed, as earlier versions named it
SCORING_FOLDER = ".scoring"
LEFT_BEHIND = "removed: left by a run that ended early"
OWN_TEXTS = (".md", ".txt", ".log")
CHECKED = ("files.json", "bundle.json")  # files that list checksums of a model's files beside them
PICTURES = (".png", ".svg")


def stage_changes(erasure: Erasure, correct_manifest: CorrectManifest) -> Erasure:
    """Writes the new contents of all files that name a customer to the staging folder; changes nothing else.

    Args:
        erasure: The customer and the folders; the changes are added to it.
        correct_manifest: Called with the path and content of each manifest; may correct further figures in place.

    Returns:
        The same erasure.

    Raises:
        RefusedError: A command is writing into the output.
        UsageError: The output folder cannot be written.
    """
    begin_staging(erasure)
    documents = []
    for file in _files_to_search(erasure):
        try:
            _note_name(erasure, file)
            if file.suffix in (".json", ".jsonl") and not _is_checked(file):
                documents.append(file)
            else:
                _stage_file(erasure, file)
        except UnreadableFileError as problem:
            erasure.unopened[file] = str(problem)
    update_documents(erasure, documents, correct_manifest)
    return erasure


def _files_to_search(erasure: Erasure) -> Iterator[Path]:
    """Yields the files to search; what a killed process left behind is removed as a whole."""
    yield from _files_below(erasure, erasure.root)
    cache, artifacts = erasure.cache, erasure.artifacts
    if cache and not cache.is_relative_to(erasure.root) and cache.is_dir():
        yield from sorted(file for file in cache.glob("*.parquet") if PART_NAME.fullmatch(file.name))
        for path in sorted(path for path in cache.iterdir() if leftovers_of().fullmatch(path.name)):
            _remove_leftover(erasure, path)
    if artifacts and not artifacts.is_relative_to(erasure.root) and artifacts.is_dir():
        yield from _files_below(erasure, artifacts)


def _files_below(erasure: Erasure, root: Path) -> Iterator[Path]:
    def unreadable(problem: OSError) -> None:
        erasure.unopened[Path(problem.filename or root)] = f"cannot be read ({problem.strerror})"

    for folder, folders, files in os.walk(root, onerror=unreadable):
        here = Path(folder)
        for name in sorted(folders):
            _note_name(erasure, here / name)
            if _is_leftover(name) or here == erasure.root / SCORING_FOLDER:
                _remove_leftover(erasure, here / name)
            elif (here / name).is_symlink():
                erasure.unopened[here / name] = "is a link: what it leads to was not searched"
        folders[:] = sorted(f for f in folders if f != STAGING and here / f not in erasure.changes)
        for name in sorted(files):
            if _is_leftover(name):
                _remove_leftover(erasure, here / name)
            elif _is_searched(erasure, here / name):
                yield here / name


def _is_searched(erasure: Erasure, file: Path) -> bool:
    """Whether a file is to be searched; one that is no regular file is listed."""
    if real_path(file) in erasure.data:
        return False
    if file.parent == erasure.root and (is_forgotten_list(file.name) or file.name in (IDS_FILE, f"{STAGING}.lock")):
        return False
    try:
        mode = file.lstat().st_mode
    except OSError:  # removed meanwhile
        return False
    if not stat.S_ISREG(mode):
        what = "a link: what it leads to" if stat.S_ISLNK(mode) else "no regular file, and"
        erasure.unopened[file] = f"is {what} was not searched"
    return stat.S_ISREG(mode)


def _is_leftover(name: str) -> bool:
    return bool(leftovers_of().fullmatch(name) or EARLIER_LEFTOVER.fullmatch(name))


def _remove_leftover(erasure: Erasure, path: Path) -> None:
    if leftovers_of().fullmatch(path.name) and in_use(path):
        raise RefusedError(f"a command is writing {path.parent}; wait until it has ended, then run this again")
    erasure.remove(path, LEFT_BEHIND)


def _note_name(erasure: Erasure, path: Path) -> None:
    """Records a file or folder whose own name names the customer."""
    stem = path.name.split(".")[0] or path.name
    if stem in erasure.names or names_customer(path.name, erasure.names):
        erasure.note_foreign(path)


def _stage_file(erasure: Erasure, file: Path) -> None:
    """Stages the change of a file that is no document."""
    if file.suffix in (".parquet", ".pq"):
        erase_from_parquet(erasure, file)
    elif file.suffix == ".csv":
        erase_from_csv(erasure, file)
    elif any(names_customer(text, erasure.names) for text in texts_in(file)):
        _stage_named(erasure, file)


def _stage_named(erasure: Erasure, file: Path) -> None:
    """Stages the change of a file that names the customer: a page, a text of ours, a model, or another's file."""
    if _is_checked(file):
        raise UnreadableFileError(
            "is part of a model and names the customer: train again, then delete this version and its run in MLflow"
        )
    elif file.suffix == ".html" and file.is_relative_to(erasure.root):
        text = "".join(texts_in(file))
        erasure.recognised |= names_customer(text, erasure.names, quoted_only=True)
        erasure.remove(file, "removed: the page names the customer")
    elif file.suffix in OWN_TEXTS and _is_own_text(erasure, file):
        erasure.write(file, text_without_customer("".join(texts_in(file)), erasure.names), "mentions updated")
    else:
        erasure.note_foreign(file)


def _is_own_text(erasure: Erasure, file: Path) -> bool:
    in_artifacts = erasure.artifacts is not None and file.is_relative_to(erasure.artifacts)
    return in_artifacts or file.name in ("model_card.md", "winback_card.md")


def _is_checked(file: Path) -> bool:
    """Whether a file belongs to a model whose files have checksums, so that it cannot be changed."""
    return file.suffix not in PICTURES and any((file.parent / name).is_file() for name in CHECKED)
