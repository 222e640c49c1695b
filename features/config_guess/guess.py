"""Guesses a first `regulars.toml` from a data file or a table of a database; every line says why, or asks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis

from features.audit.id_notes import odd_ids
from features.config.load import EngineConfig, parse_config
from features.config.names import check_name
from features.config_guess.column_profile import ColumnProfile, profile_columns
from features.config_guess.contracts import ContractRoles, find_contracts, guess_subscriptions
from features.config_guess.events import LogRoles, choose_roles, guess_events, source_lines
from features.config_guess.skeleton import column_table, log_to_fill_in, skeleton_events, snapshot_as_customers
from features.config_guess.source_tables import choose_table
from features.config_guess.static_table import find_static_table, snapshot_note, written_in_chinese
from features.config_guess.task import contract_task_lines, default_task_lines, guess_task
from features.config_guess.wording import SectionDraft, Translate, in_english, quoted
from features.engines.base import Engine
from features.engines.open import open_engine
from features.errors import RegularsError, UsageError
from features.intake.read_log import read_tables
from features.sources.source import Source
from features.storage.atomic_files import write_new_text
from features.storage.user_paths import real_path, user_path

CHINESE = "zh"
Languages = Callable[[str], Translate]  # from 'en' or 'zh'


@dataclass(frozen=True)
class GuessedConfig:
    """A guessed config.

    Attributes:
        text: The content of a `regulars.toml`.
        notes: What the user must know, a sentence or more each.
        complete: Whether `regulars check` can run with it; otherwise there is something to fill in.
    """

    text: str
    notes: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True)
class _Data:
    """The data to guess from.

    Attributes:
        source: File, glob, folder, or the URL of a database.
        table: The table of a database; empty for files.
        folder: The folder of the config.
        rows: The rows, stored in the engine.
        columns: Their columns.
        engine: Where they are.
        tr: Translates comments.
    """

    source: str
    table: str
    folder: Path
    rows: ibis.Table
    columns: list[ColumnProfile]
    engine: Engine
    tr: Translate

    @property
    def name(self) -> str:
        """The name of the business: that of the file or of the table."""
        stem = self.table.rpartition(".")[2] or Path(self.source).name.split(".")[0]
        try:
            return check_name(re.sub(r"[^\w.-]+", "-", stem).strip("-_."))
        except ValueError:
            return "customers"

    def draft(self) -> SectionDraft:
        """A section that reads these data."""
        draft = SectionDraft(self.tr)
        source_lines(draft, self.source, self.table)
        return draft


def write_guessed_config(
    source: str, target: Path, table: str = "", languages: Languages = lambda code: in_english
) -> GuessedConfig:
    """Writes a config guessed from data; it is written completely or not at all, and never over another one.

    Args:
        source: File, glob or folder, relative to the config's folder or to the current one; or the URL of a database.
        target: The config file.
        table: The table of the database; empty: the only one.
        languages: Gives the function that translates comments into a language.

    Returns:
        The config.

    Raises:
        UsageError: The config exists already or cannot be written, or the table of the database is not known.
        DataError: The data cannot be read.
    """
    _check_source(source, table)
    taken = UsageError(f"{target} already exists; remove it, or choose another name with `regulars -c OTHER.toml init`")
    if os.path.lexists(target):
        raise taken
    folder = real_path(target).parent
    if not folder.is_dir():
        raise UsageError(f"{target}: there is no folder {folder}; create it, or give another path with -c")
    guess = guess_config(_from_folder(source, folder), folder, table, languages)
    try:
        write_new_text(target, guess.text)
    except FileExistsError:
        raise taken from None
    return guess


def guess_config(
    source: str, folder: Path, table: str = "", languages: Languages = lambda code: in_english
) -> GuessedConfig:
    """Guesses a config from data.

    Args:
        source: File, glob or folder, relative to `folder`; or the URL of a database.
        folder: Where the config will be saved.
        table: The table of the database; empty: the only one.
        languages: Gives the function that translates comments into a language.

    Returns:
        The config. If the roles of the columns cannot be guessed, it lists all columns and says what to fill in.

    Raises:
        UsageError: The table of the database is not known.
        DataError: The data cannot be read, or have no rows.
    """
    with open_engine(EngineConfig(), folder) as engine:
        table = choose_table(source, folder, table)
        rows = engine.read_source(Source("events", source, table), folder)
        stored = engine.store("draft", rows)
        columns = profile_columns(stored, engine)
        language = CHINESE if written_in_chinese(columns) else "en"
        data = _Data(source, table, folder, stored, columns, engine, languages(language))
        body, notes, complete = _guess_sections(data)
    tr = data.tr
    title = tr("Guessed by `regulars init`: read every line, then run `regulars check`.")
    origin = tr("from the name of the file or table; it names the registered models")
    head = [f"# {title}", "config_version = 1", f"name = {quoted(data.name)}  # {origin}"]
    if language == CHINESE:
        why = tr("the columns are in Chinese; remove the line for English reports")
        head.append(f"language = {quoted(CHINESE)}  # {why}")
    end = tr("[training], [tracking] and [serving] may follow.")
    text = "\n".join([*head, "", *body, "", f"# {end}", ""])
    return GuessedConfig(text, tuple(notes), complete)


def _guess_sections(data: _Data) -> tuple[list[str], list[str], bool]:
    """The lines of the sections, the notes, and whether nothing must be filled in."""
    contracts = find_contracts(data.rows, data.columns, data.engine)
    if contracts is not None:
        return _contract_sections(data, contracts)
    roles = choose_roles(data.rows, data.columns, data.engine)
    static = find_static_table(data.columns, roles)
    title = data.tr("The columns of the data, with their values masked:")
    listed = [f"# {title}", *column_table(data.columns, data.tr), ""]
    if static is not None:
        note = snapshot_note(data.source, static, data.columns[0].rows)
        customers = data.draft()
        snapshot_as_customers(customers, data.columns, static)
        sections = ["[events]", *log_to_fill_in(data.tr).lines, "", "[customers]", *customers.lines]
        return [*listed, *sections, "", "[task]", *default_task_lines(data.tr)], [note], False
    if roles.customers.column is None or roles.times.column is None:
        return [*listed, *_skeleton(data, roles)], [_unknown_note(data, roles)], False
    draft = data.draft()
    guess_events(draft, data.columns, roles)
    task, notes = _task(data, {"events": draft.values})
    return ["[events]", *draft.lines, "", "[task]", *task], notes, True


def _contract_sections(data: _Data, roles: ContractRoles) -> tuple[list[str], list[str], bool]:
    draft = data.draft()
    guess_subscriptions(draft, data.rows, data.columns, roles, data.engine)
    span = ((roles.until or roles.last) - roles.first).days
    task = contract_task_lines(roles.length, span, roles.start.has_clock, data.tr)
    what = data.tr(
        "One row is the term of a contract, with its start and its end; churn is then the end of a contract."
    )
    notes = _problems(data, {"subscriptions": draft.values, "task": {"churn": "cancelled"}})
    return [f"# {what}", "[subscriptions]", *draft.lines, "", "[task]", *task], notes, True


def _skeleton(data: _Data, roles: LogRoles) -> list[str]:
    draft = data.draft()
    skeleton_events(draft, roles)
    return ["[events]", *draft.lines, "", "[task]", *default_task_lines(data.tr)]


def _task(data: _Data, sections: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The lines of [task], and notes on odd ids, or on why the guessed config cannot read the data."""
    try:
        config = parse_config({"config_version": 1, "name": data.name, **sections}, data.folder / "regulars.toml")
        tables = read_tables(config, data.engine)
        return guess_task(tables, data.engine, data.tr), odd_ids(tables, config, data.engine)
    except RegularsError as problem:
        return default_task_lines(data.tr), [_problem_note(problem)]


def _problems(data: _Data, sections: dict[str, Any]) -> list[str]:
    """A note if the guessed config cannot read the data."""
    try:
        config = parse_config({"config_version": 1, "name": data.name, **sections}, data.folder / "regulars.toml")
        read_tables(config, data.engine)
    except RegularsError as problem:
        return [_problem_note(problem)]
    return []


def _problem_note(problem: RegularsError) -> str:
    return f"with this config, `regulars check` will say: {problem}"


def _unknown_note(data: _Data, roles: LogRoles) -> str:
    """Which roles no column looks like."""
    missing = [role for role, choice in (("customer", roles.customers), ("time", roles.times)) if not choice.columns]
    return (
        f"{data.source}: no column looks like the {' or the '.join(missing)}, so the config lists all "
        f"{len(data.columns)} columns: fill in {' and '.join(missing)}"
    )


def _check_source(source: str, table: str) -> None:
    """Refuses a URL with a password or of another database, and a table without a database; the URL is not repeated."""
    is_database = bool(Source("events", source).database)
    if table and not is_database and "://" not in source:
        raise UsageError("--table is only for the URL of a database, such as postgresql://user@host:5432/dbname")
    try:
        Source("events", source, (table or "any") if is_database else "").check()
    except ValueError as problem:
        raise UsageError(str(problem).replace("source", "the URL", 1)) from None


def _from_folder(source: str, folder: Path) -> str:
    """A path as the config writes it: relative to its folder, also if it was given relative to the current folder."""
    if "://" in source or user_path(source, Path()).is_absolute():
        return source
    if not _exists(folder / source) and _exists(Path(source)):
        return Path(os.path.relpath(real_path(Path(source)), folder)).as_posix()
    return source


def _exists(path: Path) -> bool:
    return path.exists() or any(True for _ in path.parent.glob(path.name) if path.name)
