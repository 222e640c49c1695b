"""A run that can be killed and resumed: a folder for the files of its steps, and a journal of finished steps.

A step is finished when its line is in the journal, which is written after its files have reached the disk. The line
holds their checksums, so a truncated or changed file is noticed and its step is repeated. Nobody reads the files before
the run publishes them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.storage.atomic_files import report_write_errors
from features.storage.json_files import file_digest, has_digest

JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class ResumableRun:
    """The folder of a run, and its finished steps.

    Attributes:
        folder: The run's folder, which only its user can read.
        steps: The journal's lines by the names of the steps.
        damaged: Files of finished steps that must be written again; filled when they are noticed.
    """

    folder: Path
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    def finished_step(self, step: str) -> dict[str, Any] | None:
        """Return the journal's line of a step whose files are all intact; None if the step must be run."""
        line = self.steps.get(step)
        if line is None:
            return None
        damaged = [part["file"] for part in line["files"] if not has_digest(self.folder, part)]
        if not damaged:
            return line
        self.damaged.extend(damaged)
        return None

    def record_step(self, step: str, files: Sequence[str], **facts: Any) -> dict[str, Any]:
        """Record a finished step once its files are on the disk.

        Args:
            step: The name of the step.
            files: Its files, relative to the run's folder.
            facts: Further values of the journal's line.

        Returns:
            The journal's line.
        """
        line = {"step": step, "files": [_file_entry(self.folder, file) for file in files], **facts}
        _append_line(self.folder / JOURNAL, line)
        self.steps[step] = line
        return line


def open_run(folder: Path, identity: Mapping[str, Any], resume: bool) -> tuple[ResumableRun, Mapping[str, Any] | None]:
    """Open a run: resume it if `resume` is set and its identity matches, otherwise start over.

    Args:
        folder: The run's folder; files of another run in it are removed.
        identity: Everything that the files of the run depend on, as values of JSON.
        resume: Whether to resume an earlier run.

    Returns:
        The run, and the identity of the run that was in the folder before, if any.

    Raises:
        UsageError: The folder cannot be written to.
    """
    lines = _read_journal(folder / JOURNAL)
    previous = lines[0] if lines else None
    if resume and previous == identity:
        return ResumableRun(folder, {line["step"]: line for line in lines[1:] if _is_step(line)}), previous
    with report_write_errors(folder):
        remove_folder(folder)
        folder.mkdir(mode=0o700, parents=True)
        _append_line(folder / JOURNAL, identity)
    return ResumableRun(folder), previous


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that it holds, if it exists."""
    if folder.exists():
        shutil.rmtree(folder)


def _file_entry(folder: Path, name: str) -> dict[str, Any]:
    """Return a file's name and checksum, once its bytes are on the disk."""
    with (folder / name).open("rb") as stream:
        os.fsync(stream.fileno())
    return {"file": name, "sha256": file_digest(folder / name)}


def _append_line(journal: Path, line: Mapping[str, Any]) -> None:
    """Append a line to the journal; a truncated last line is ended first, so that the new one can be read."""
    with journal.open("ab+") as stream:
        if stream.tell() and not _ends_with_newline(journal):
            stream.write(b"\n")
        stream.write(json.dumps(line).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _ends_with_newline(journal: Path) -> bool:
    with journal.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read() == b"\n"


def _is_step(line: Mapping[str, Any]) -> bool:
    """Whether a line of a journal is a finished step as `record_step` writes it."""
    files = line.get("files")
    whole = isinstance(line.get("step"), str) and isinstance(files, list)
    return whole and all(isinstance(file, dict) and isinstance(file.get("file"), str) for file in files or ())


def _read_journal(journal: Path) -> list[dict[str, Any]]:
    """Return the complete lines of a journal; none if there is no journal."""
    if not journal.is_file():
        return []
    lines = []
    for line in journal.read_bytes().splitlines():
        try:
            lines.append(dict(json.loads(line)))
        except (ValueError, TypeError):  # truncated when its run was killed
            continue
    return lines
