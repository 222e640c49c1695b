"""Removes mentions of a customer from JSON documents, and updates the checksums and counts of files that change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from features.storage.json_files import CHECKSUM, with_checksum
from serving.privacy.erase import Erasure, Row
from serving.privacy.file_contents import UnreadableFileError, as_text
from serving.privacy.mentions import ID, line_without_customer, names_customer, without_customer

MANIFESTS = ("_manifest.json", "manifest.json")
CorrectManifest = Callable[[Path, Row], None]


def update_documents(erasure: Erasure, documents: list[Path], correct_manifest: CorrectManifest) -> None:
    """Stages the JSON documents without the customer, until all checksums in them are those of the new files.

    Args:
        erasure: The customer; the changes are added to it.
        documents: The files.
        correct_manifest: Called with the path and content of each manifest; may correct further figures in place.
    """
    while True:
        before = dict(erasure.digests)
        for file in documents:
            try:
                _update_document(erasure, file, correct_manifest)
            except (UnreadableFileError, OSError) as problem:
                erasure.unopened[file] = str(problem)
            except RecursionError:
                erasure.unopened[file] = "is nested too deeply to be searched"
        if erasure.digests == before:
            return


def _update_document(erasure: Erasure, file: Path, correct_manifest: CorrectManifest) -> None:
    old = as_text(file.read_bytes())
    named = names_customer(old, erasure.names)
    try:
        new = _document_text(erasure, file, old, correct_manifest)
    except ValueError:  # half-written or damaged: no command can use it
        if named:
            erasure.remove(file, "removed: it is damaged, and names the customer")
        return
    if new != old:
        erasure.staged_path(file).write_text(new, encoding="utf-8", errors="surrogateescape")
        erasure.recognised |= names_customer(old, erasure.names, quoted_only=True)
        erasure.replace(file, f"{'mentions of the customer' if named else 'checksums and counts'} updated")


def _document_text(erasure: Erasure, file: Path, text: str, correct_manifest: CorrectManifest) -> str:
    """The updated text of a document; the same text if nothing changes."""
    if file.suffix == ".jsonl":
        lines = [f"{line}\n" for line in text.split("\n")]  # no other character ends a line of JSON
        lines[-1] = lines[-1].removesuffix("\n")
        return "".join(line_without_customer(line, erasure.names, erasure.digests) for line in lines)
    value = json.loads(text)
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
