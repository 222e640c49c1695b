"""What the audit says of data files: how many there are, what was left out of them, and which have much set aside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from features.config.data_contract import feature_slug
from features.config.load import Config
from features.config.table_sections import TableSection
from features.engines.base import Engine
from features.errors import UsageError
from features.intake.set_aside import UNUSABLE, unusable_reason
from features.intake.tables import SetAsideRows, Tables
from features.sources.files import FilesRead, display_name, name_files

Facts = Mapping[str, Any]
FILE = "regulars file of the row"
MOST_REASONS = 2  # of a file, in a note


def file_facts(config: Config, tables: Tables, engine: Engine) -> tuple[Facts, ...]:
    """Facts on the files of each section, in the order in which they were read; none on databases.

    Args:
        config: Names the sections.
        tables: What was read.
        engine: Where it was read. If rows of several files cannot be used, they are read once more, to count by file.

    Returns:
        section, source, files (how many), rows, malformed (lines), malformed_in (words), empty_rows, empty_columns,
        notes, and named: the files with more set aside than [section] max_unreadable_per_file (file, rows, set_aside
        and reasons with their rows).
    """
    facts = []
    for place, section, several, aside in _sections(config, tables):
        for number, files in enumerate(several):
            named = _named(
                files, {} if number else _reasons_by_file(config, place, section, files, aside, engine), section
            )
            facts.append(
                {
                    "section": place,
                    "source": files.source,
                    "files": len(files.files),
                    "rows": files.rows,
                    "malformed": files.malformed,
                    "malformed_in": files.malformed_text,
                    "empty_rows": files.empty_rows,
                    "empty_columns": files.empty_columns,
                    "notes": files.notes,
                    "named": named,
                    "limit": section.max_unreadable_per_file,
                }
            )
    return tuple(facts)


def _sections(
    config: Config, tables: Tables
) -> Iterator[tuple[str, TableSection, tuple[FilesRead, ...], tuple[SetAsideRows, ...]]]:
    """Each section with its name in the config, its files, and what was set aside of it."""
    yield "events", config.events, tables.files, tables.set_aside
    if config.identity and tables.identity:
        yield "identity", config.identity, tables.identity.files, tables.identity.set_aside
    keys = {
        f"activities.{feature_slug(name)}": (f"activities.{name}", each) for name, each in config.activities.items()
    }
    keys |= {key: (key, getattr(config, key)) for key in ("contacts", "subscriptions", "customers")}
    for key, side in tables.sides.items():
        place, section = keys[key]
        yield place, section, side.files, side.set_aside


def _named(files: FilesRead, reasons: Mapping[str, Mapping[str, int]], section: TableSection) -> list[Facts]:
    """The files of which more is set aside than the section notes, the worst first."""
    named = []
    for file in files.files:
        each = {**reasons.get(file.name, {}), **({"malformed line": file.malformed} if file.malformed else {})}
        rows = file.rows + file.malformed
        if sum(each.values()) > section.max_unreadable_per_file * rows:
            named.append({"file": file.name, "rows": rows, "set_aside": sum(each.values()), "reasons": each})
    return sorted(named, key=lambda one: -one["set_aside"] / one["rows"])


def _reasons_by_file(
    config: Config, place: str, section: TableSection, files: FilesRead, aside: Sequence[SetAsideRows], engine: Engine
) -> dict[str, dict[str, int]]:
    """How many rows of each file cannot be used, by reason.

    Args:
        config: The business.
        place: The section's name in the config.
        section: The section.
        files: Its files.
        aside: What was set aside of it.
        engine: Where rows are read once more; they are not if nothing was set aside, or there is one file only.

    Returns:
        Rows by reason, by the name of the file. Empty if the section's query does not keep the file of a row.
    """
    unusable = {each.reason: each.rows for each in aside if each.reason.split(" ")[0] in UNUSABLE}
    if len(files.files) < 2 or not unusable:
        return {file.name: unusable for file in files.files}
    try:
        source = engine.read_source(
            section.to_source(place), config.folder, section.columns_by_role(), section.id_columns(), file_column=FILE
        )
    except UsageError:  # a query that counts columns, such as UNION, takes no further one
        return {}
    if FILE not in source.columns:
        return {}
    reason = unusable_reason(place, section, source, engine, config.task.timezone)
    rows = source.select(file=source[FILE], reason=reason)
    rows = rows.filter(rows.reason.notnull())
    by_file: dict[str, dict[str, int]] = {}
    for row in engine.to_arrow(rows.group_by("file", "reason").aggregate(rows=rows.count())).to_pylist():
        by_file.setdefault(file_name(row["file"], config.folder), {})[row["reason"]] = row["rows"]
    return by_file


def file_name(file: str, folder: Path) -> str:
    """The name of a file for messages, from its path, or from its URL as Spark writes it."""
    path = unquote(file.removeprefix("file:")) if file.startswith("file:") else file
    return display_name(Path("/" + path.lstrip("/")) if path.startswith("/") else Path(path), folder.absolute())


def file_lines(facts: Sequence[Facts]) -> list[str]:
    """The lines on files in the printed audit: one for each folder, and for each file with something left out."""
    lines: list[str] = []
    for table in facts:
        parts = [f"{table['files']:,} file{'s' if table['files'] > 1 else ''}, {table['rows']:,} rows"]
        if table["malformed"]:
            parts.append(f"malformed: {table['malformed_in']}")
        if table["empty_rows"] or table["empty_columns"]:
            parts.append(f"{table['empty_rows']:,} empty rows and {table['empty_columns']:,} empty columns ignored")
        if len(parts) > 1 or table["files"] > 1:
            lines.append(
                f"{'files' if not lines else '':<15}[{table['section']}] {table['source']}: {'; '.join(parts)}"
            )
    return lines


def file_notes(facts: Sequence[Facts]) -> list[str]:
    """Notes on what was ignored, and on files with much set aside."""
    notes = [f"[{table['section']}] {note}" for table in facts for note in table["notes"]]
    for table in facts:
        if table["named"]:
            files = name_files([_words(one) for one in table["named"]])
            notes.append(f"[{table['section']}] more than {table['limit']:.0%} of the rows were set aside from {files}")
    return notes


def _words(named: Facts) -> str:
    """A file with its most frequent reasons.

    >>> _words({"file": "in/feb.csv", "rows": 400, "set_aside": 120, "reasons": {"unreadable time": 120}})
    'in/feb.csv (120 of 400: unreadable time 120)'
    """
    most = sorted(named["reasons"].items(), key=lambda item: (-item[1], item[0]))[:MOST_REASONS]
    reasons = ", ".join(f"{reason} {rows:,}" for reason, rows in most)
    return f"{named['file']} ({named['set_aside']:,} of {named['rows']:,}: {reasons})"
