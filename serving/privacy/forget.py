"""Forgets a customer: removes them from all outputs, keeps them out of later reads, and lists models trained on them.

The user's own source data are not changed. A salted hash of the customer's id is kept in the output
(`customer_ids.FORGOTTEN_FILE`), and rows with this id are set aside whenever tables are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from features.config.load import Config
from features.config.table_sections import TableSection
from features.errors import DataError, RegularsError, UsageError
from features.file_locks import exclusive_lock
from features.intake.customer_ids import FORGOTTEN_FILE, forgotten_list_text, read_forgotten, stored_id
from features.intake.earlier_ids import earlier_names
from features.intake.identifiers import identifier_text
from features.intake.identity import persons_of
from features.json_files import read_object
from features.snapshots.cache import open_cache
from features.snapshots.membership import Membership, find_membership
from features.sources.files import find_files
from serving.privacy.erase import (
    REMOVED_FROM_CACHE,
    STAGING,
    Erasure,
    apply_staged,
    changes_in_words,
    discard_staged,
    mark_ready,
    stage_changes,
)
from serving.privacy.error_reports import remove_error_reports
from serving.scoring.sinks import delete_customer_rows
from training.registry.lineage import ModelLineage, read_model_lineage

PLANS, MANIFEST = "plans", "manifest.json"
HASHED = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class ForgottenCustomer:
    """What was, or would be, removed.

    Attributes:
        customer: The id that the user gave.
        done: Whether it was done, not only previewed.
        places: Files and folders, each with its change in words.
        rows: Rows removed from the database's table; None if there is no database.
        source: The customer's rows in the user's own tables, by table; empty if none are left.
        models: Models that were, or may have been, trained on the customer, in words.
        foreign_files: Files in the output that regulars did not write and that name the customer.
        notes: What could not be determined.
    """

    customer: str
    done: bool
    places: tuple[tuple[str, str], ...]
    rows: int | None
    source: Mapping[str, int]
    models: tuple[str, ...]
    foreign_files: tuple[Path, ...]
    notes: tuple[str, ...]


def forget_customer(config: Config, customer: str, confirmed: bool) -> ForgottenCustomer:
    """Removes a customer from all outputs and keeps them out; finishes a removal that was interrupted before.

    Args:
        config: The business.
        customer: The id as in the user's own tables.
        confirmed: Whether to do it; otherwise nothing is changed.

    Returns:
        What was, or would be, removed.

    Raises:
        DataError: No output and no table has the customer; a file cannot be read; or the database does not answer.
        RefusedError: A scoring run, or another removal, is using the output.
        UsageError: The output cannot be written to, or there is no key for hashed ids.
    """
    with _exclusive(config):
        finished_before = apply_staged(config.output)
        versions, notes = _registered_models(config)
        name, member, log_notes = _identify(config, customer, versions)
        ids, person_notes = _ids_of_person(config, name)
        listed = read_forgotten(config)
        already_listed = all(listed.has(one) for one in ids)
        erasure = stage_changes(
            _new_erasure(config, {*ids, *_given_names(config, customer)}),
            lambda path, manifest: _correct_log_marks(path, manifest, member),
        )
        rows = delete_customer_rows(config, erasure.names, False) if config.serving.database else None
        if not (erasure.recognised or rows or already_listed or (member and member.rows)):
            discard_staged(erasure)
            raise _unknown_customer(config, customer)
        if not confirmed:
            discard_staged(erasure)
        else:
            if not already_listed:  # staged with the files, so that a crash leaves both or neither
                erasure.write(
                    config.output / FORGOTTEN_FILE,
                    forgotten_list_text(config, *ids),
                    "the customer is on the list of the forgotten",
                )
            mark_ready(erasure)
            apply_staged(config.output)
            rows = delete_customer_rows(config, erasure.names, True) if config.serving.database else None
    models = [line for version in versions if (line := _model_text(config, version, member, already_listed))]
    source = {} if member is None else member.rows
    reports = remove_error_reports(erasure.names, confirmed)
    places = (*finished_before, *changes_in_words(erasure.changes), *reports)
    all_notes = (*notes, *log_notes, *person_notes)
    return ForgottenCustomer(
        customer, confirmed, places, rows, source, tuple(models), tuple(erasure.foreign_files), all_notes
    )


def forget_text(result: ForgottenCustomer) -> str:
    """What was removed and what the user still has to do, as text for a terminal."""
    cached = [place for place, what in result.places if what == REMOVED_FROM_CACHE]
    lines = [f"{place}: {what}" for place, what in result.places if what != REMOVED_FROM_CACHE]
    if cached:
        lines.append(f"{Path(cached[0]).parent}: {len(cached):,} files {REMOVED_FROM_CACHE}")
    lines = lines or ["no file of the output names the customer"]
    if result.rows is not None:
        lines.append(f"[serving] table: {result.rows:,} rows removed")
    lines += [
        f"{file}: names the customer, but was not written by regulars: check it yourself"
        for file in result.foreign_files
    ]
    lines += ["", "models"]
    lines += [f"  {line}" for line in result.models] or ["  no model is known to be trained on the customer"]
    if result.models:
        lines.append("  models contain no customer rows; retrain if they must not be trained on the customer")
    lines += ["", "your own data"]
    tables = ", ".join(f"{rows:,} in {table}" for table, rows in result.source.items())
    lines.append(
        f"  rows of the customer: {tables or 'none found'}" + ("; remove them there, and in backups" * bool(tables))
    )
    lines.append(
        f"  until then they are set aside as 'forgotten' whenever tables are read ({FORGOTTEN_FILE} of the output)"
    )
    return "\n".join([*lines, *(f"note: {note}" for note in result.notes)])


@contextmanager
def _exclusive(config: Config) -> Iterator[None]:
    """Locks out scoring runs and other removals."""
    with ExitStack() as locks:
        what = f"forgetting a customer in {config.output}"
        locks.enter_context(exclusive_lock(config.output / f"{STAGING}.lock", what))
        for lock in sorted(config.outputs.scoring().glob("*.lock")):
            locks.enter_context(exclusive_lock(lock, f"scoring into {config.output}"))
        yield


def _ids_of_person(config: Config, name: str) -> tuple[tuple[str, ...], list[str]]:
    """All stored ids of the customer's person by [identity], and a note if they are several or cannot be read."""
    try:
        ids = persons_of(config).ids_of(name)
    except RegularsError as problem:
        return (name,), [f"other ids of the person are not forgotten, as [identity] cannot be read: {problem}"]
    others = len(ids) - 1
    return ids, [f"by [identity] the person has {others:,} more ids, which are forgotten too"] if others else []


def _given_names(config: Config, customer: str) -> set[str]:
    """The id that the user gave, by the rule for ids, and those by which an earlier rule knew the customer."""
    given = identifier_text(customer)
    names = {given} if given else set()
    try:
        return names | earlier_names(config, customer)
    except RegularsError:  # the log cannot be read, which `_find_member` notes
        return names


def _new_erasure(config: Config, names: set[str]) -> Erasure:
    cache = open_cache(config)
    return Erasure(config.output, frozenset(names), cache.folder if cache else None, _user_files(config))


def _user_files(config: Config) -> frozenset[Path]:
    """The user's own files, which may be in the output folder."""
    sections: list[TableSection | None] = [
        config.events, *config.activities.values(), config.customers, config.contacts, config.subscriptions,
        config.identity,
    ]  # fmt: skip
    files: set[Path] = set()
    for section in (known for known in sections if known is not None and "://" not in known.source):
        try:
            files |= {file.resolve() for file in find_files(section.source, config.folder)}
        except DataError:  # the source does not exist (any more): nothing to protect
            continue
    rules = config.plan.exclude if config.plan else ()
    return frozenset(files | {config.path(rule.ids) for rule in rules if rule.ids})


def _registered_models(config: Config) -> tuple[list[ModelLineage], list[str]]:
    """The registered models, and a note if they are unknown."""
    try:
        return read_model_lineage(config), []
    except UsageError as problem:
        return [], [f"it is unknown which models were trained on the customer: {problem}"]


def _identify(config: Config, customer: str, versions: list[ModelLineage]) -> tuple[str, Membership | None, list[str]]:
    """The customer's stored id, and the result of `_find_member`; the user may also give the hash, as pages show it."""
    name = stored_id(config, customer)
    member, notes = _find_member(config, name, versions)
    if config.privacy.hash_ids and HASHED.fullmatch(customer) and not (member and member.rows):
        other, also = _find_member(config, customer, versions)
        if other and other.rows:
            return customer, other, also
    return name, member, notes


def _find_member(config: Config, name: str, versions: list[ModelLineage]) -> tuple[Membership | None, list[str]]:
    """The customer's rows in the log, and a note if the log cannot be read."""
    cutoffs = sorted({day for version in versions if version.kind != "uplift" for day in version.days})
    try:
        return find_membership(config, name, cutoffs, _plan_dates(config)), []
    except RegularsError as problem:
        return None, [f"the log was not searched: {problem}"]


def _plan_dates(config: Config) -> set[date]:
    """The days up to which plans recorded counts of the log."""
    dates = set()
    for path in (folder / MANIFEST for folder in config.outputs.plans()):
        past = read_object(path, "restore it from a backup, or remove the plan's folder").get("past")
        dates |= {date.fromisoformat(past["before"])} if past else set()
    return dates


def _correct_log_marks(path: Path, manifest: dict[str, Any], member: Membership | None) -> None:
    """Subtracts the customer's rows from the counts by which a plan recognises its log."""
    past = manifest.get("past") if path.name == MANIFEST else None
    if member is None or not isinstance(past, dict):
        return
    marks = member.marks.get(date.fromisoformat(past["before"]), {})
    past |= {key: past[key] - count for key, count in marks.items() if key in past}


def _model_text(config: Config, version: ModelLineage, member: Membership | None, already_listed: bool) -> str:
    """Whether a model was trained on the customer, in words; empty if it was not."""
    title = version.label + (f" ({', '.join(version.aliases)})" if version.aliases else "")
    if member is None or not member.rows:
        why = "the customer was already forgotten" if already_listed else "the log has no rows of the customer now"
        return f"{title}: may have been trained on the customer ({why})"
    if version.kind == "uplift":
        days = [day for day in member.contacts if _in_round(day, version.days, config.uplift.round.days)]
        evidence = f"{len(days)} contacts in its rounds" if days else ""
        if not days and version.plans:
            return f"{title}: may have been trained on the customer, through the plans {', '.join(version.plans)}"
    else:
        days = sorted(member.cutoffs & set(version.days))
        evidence = f"{len(days)} of its {len(version.days)} cutoffs had the customer" if days else ""
    if not evidence:
        return ""
    same = version.fingerprint == member.fingerprint
    return f"{title}: trained on the customer: {evidence}" + (
        "" if same else ", according to the current log, which has changed"
    )


def _in_round(day: date, rounds: tuple[date, ...], length: int) -> bool:
    return any(0 <= (day - first).days < length for first in rounds)


def _unknown_customer(config: Config, customer: str) -> DataError:
    hashed = " (hashed with the current key)" if config.privacy.hash_ids else ""
    return DataError(
        f"customer {customer!r}{hashed} is in no file of {config.output} and in no table that the config names; check "
        "the id: write it as in your own tables"
    )
