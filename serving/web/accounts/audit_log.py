"""The log of downloads: who downloaded which list when; one line of JSON each, in a file only its owner can read.

It holds no customer: of a filter it keeps the names of its fields and the chosen groups, never a searched id.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.storage.atomic_files import report_write_errors
from features.storage.json_files import json_line

CHOSEN = ("cutoff", "plan", "list", "segment", "tier", "lifecycle", "group", "budget", "sort")
LONGEST = 80  # characters of a value


def audit_log_path(output: Path) -> Path:
    """The file of the log in an output folder."""
    return output / "app" / "downloads.jsonl"


class AuditLog:
    """The log.

    Args:
        path: The file; its folder is made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, user: str, what: str, params: Mapping[str, str], allowed: bool = True) -> None:
        """Add a line.

        Args:
            user: Who.
            what: The address of the list, without its parameters.
            params: The parameters of the address.
            allowed: Whether the list was given.

        Raises:
            UsageError: The line cannot be written.
        """
        line: dict[str, Any] = {
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "user": user,
            "what": what[:LONGEST],
            "allowed": allowed,
            **{name: params[name][:LONGEST] for name in CHOSEN if params.get(name)},
        }
        if others := sorted(name[:LONGEST] for name in params if name not in CHOSEN and params[name]):
            line["also_filtered_by"] = others[:20]
        with report_write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, f"{json_line(line)}\n".encode())
            finally:
                os.close(descriptor)


def read_audit_log(path: Path) -> list[dict[str, Any]]:
    """Read the lines, oldest first; none if there is no file. A line that is no JSON is left out with a warning."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            logging.getLogger(__name__).warning("%s: line %d is not complete and is left out", path, number)
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
