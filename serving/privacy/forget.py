"""Forgets a customer: removes them from all outputs, keeps them out of later reads, and lists models trained on them.

The user's own source data are not changed. A salted hash of the customer's id is kept in the output
(`customer_ids.FORGOTTEN_FILE`), and rows with this id are set aside whenever tables are read.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from features.config.load import Config
from features.errors import DataError, RegularsError
from features.intake.customer_ids import (
    IDS_FILE,
    DamagedFileError,
    forgotten_list,
    read_intact_lists,
    stored_id,
    stored_ids,
    unchecked_stored_id,
)
from features.intake.earlier_ids import earlier_names
from features.intake.identifiers import identifier_text
from features.intake.identity import persons_of
from features.intake.source_files import files_of_sources
from features.outputs.layout import PLAN_MANIFEST as MANIFEST
from features.outputs.manifests import PlanManifest, read_manifest
from features.outputs.ownership import require_output_folder
from features.snapshots.cache import open_cache
from features.snapshots.membership import Membership, find_membership
from features.storage.file_locks import exclusive_lock
from features.storage.private_folders import SCRATCH_NAME, abandoned, remove_abandoned
from features.storage.user_paths import user_path
from serving.privacy.erase import STAGING, Erasure, apply_staged, changes_in_words, discard_staged, mark_ready
from serving.privacy.error_reports import remove_error_reports
from serving.privacy.file_contents import UnreadableFileError
from serving.privacy.model_store import count_mentions, erase_mentions
from serving.privacy.search import LEFT_BEHIND, stage_changes
from serving.privacy.spellings import same_names
from serving.scoring.sinks import delete_customer_rows
from training.registry.lineage import ModelLineage, read_model_lineage
from training.registry.mlflow_tracking import without_credentials
from training.registry.tracking_store import ARTIFACTS, store_file, tracking_uri

MOST_LISTED = 5
LIST_DAMAGED = (
    "is damaged: who was forgotten before is unknown, so no command reads the log. Restore it from a backup, or remove "
    "it and forget everybody on it again"
)
NOWHERE = (
    "no file of the output names the customer, and the log could not be searched. The customer is put on the list of "
    "the forgotten all the same, so that no later command reads their rows: check that the id is the right one"
)
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
        foreign_files: Files that regulars did not write and that name the customer.
        notes: What could not be determined.
        unopened: What could not be searched or changed, with the reason; the removal is incomplete.
    """

    customer: str
    done: bool
    places: tuple[tuple[str, str], ...]
    rows: int | None
    source: Mapping[str, int]
    models: tuple[str, ...]
    foreign_files: tuple[Path, ...]
    notes: tuple[str, ...]
    unopened: tuple[tuple[str, str], ...] = ()


@dataclass
class _Search:
    """What was found of a customer, before anything is changed.

    Attributes:
        ids: The customer's stored ids.
        listed: Whether all of them are on the list of the forgotten.
        member: The customer's rows in the log; None if it cannot be read.
        versions: The registered models.
        erasure: The staged changes.
        rows: Rows in the database's table; None if there is no database.
        notes: What could not be determined.
        unopened: What could not be searched, with the reason.
    """

    ids: tuple[str, ...]
    listed: bool
    member: Membership | None
    versions: list[ModelLineage]
    erasure: Erasure
    rows: int | None
    notes: list[str]
    unopened: list[tuple[str, str]]

    @property
    def recognised(self) -> bool:
        """Whether the customer is known anywhere."""
        in_log = bool(self.member and self.member.rows)
        return bool(self.erasure.recognised or self.rows or self.listed or in_log)


def forget_customer(config: Config, customer: str, confirmed: bool) -> ForgottenCustomer:
    """Removes a customer from all outputs and keeps them out; finishes a removal that was interrupted before.

    Args:
        config: The business.
        customer: The id as in the user's own tables.
        confirmed: Whether to do it; otherwise nothing is changed.

    Returns:
        What was, or would be, removed.

    Raises:
        DataError: No output and no table has the customer, though the log could be searched; or the database does not
            answer.
        RefusedError: A scoring run, another removal, or another command is using the output.
        UsageError: The output cannot be written to, or there is no key for hashed ids.
    """
    require_output_folder(config.output)
    with _exclusive(config):
        places = apply_staged(config.output, _new_erasure(config, set()).folders)
        search = _search(config, customer)
        if not search.recognised:
            if search.member is not None:
                discard_staged(search.erasure)
                raise _unknown_customer(config, customer, search)
            search.notes.append(NOWHERE)
        places += changes_in_words(search.erasure.changes)
        if confirmed:
            _erase(config, search)
        else:
            discard_staged(search.erasure)
        places += _model_store_changes(config, search, confirmed)
        places += _scratch_changes(config, confirmed)
        places += remove_error_reports(search.erasure.names, confirmed)
    models = [line for version in search.versions if (line := _model_text(config, version, search))]
    return ForgottenCustomer(
        customer=customer,
        done=confirmed,
        places=tuple(places),
        rows=search.rows,
        source={} if search.member is None else search.member.rows,
        models=tuple(models),
        foreign_files=tuple(search.erasure.foreign_files),
        notes=tuple(search.notes),
        unopened=(*search.unopened, *((str(path), why) for path, why in sorted(search.erasure.unopened.items()))),
    )


def _search(config: Config, customer: str) -> _Search:
    """Searches everything for a customer and stages the changes."""
    notes: list[str] = []
    unopened: list[tuple[str, str]] = []
    versions = _registered_models(config, unopened)
    name, member = _identify(config, customer, versions, unopened)
    ids = _ids_of_person(config, customer, name, notes, unopened)
    listed, damaged = read_intact_lists(config)
    unopened += [(str(path), LIST_DAMAGED) for path in damaged]
    erasure = stage_changes(
        _new_erasure(config, {*ids, *_given_names(config, customer)}),
        lambda path, manifest: _correct_log_marks(path, manifest, member),
    )
    rows = delete_customer_rows(config, erasure.names, False) if config.serving.database else None
    return _Search(ids, all(map(listed.has, ids)), member, versions, erasure, rows, notes, unopened)


def _erase(config: Config, search: _Search) -> None:
    """Puts the staged changes in place, and deletes the rows of the database; can be repeated."""
    if not search.listed:  # staged with the files, so that a crash leaves both or neither
        place, text = forgotten_list(config, *search.ids)
        search.erasure.write(place, text, "the customer is on the list of the forgotten")
    mark_ready(search.erasure)
    apply_staged(config.output, search.erasure.folders)
    if config.serving.database:
        search.rows = delete_customer_rows(config, search.erasure.names, True)


def _model_store_changes(config: Config, search: _Search, confirmed: bool) -> list[tuple[str, str]]:
    """Removes mentions from MLflow's local database, or only counts them; the change in words, if any."""
    uri = tracking_uri(config)
    database = store_file(uri)
    if database is None:
        search.notes.append(
            f"MLflow's store at {without_credentials(uri)} was not searched: Regulars logs no customer there"
        )
        return []
    if not database.is_file():
        return []
    try:
        found = (erase_mentions if confirmed else count_mentions)(database, search.erasure.names)
    except UnreadableFileError as problem:
        search.unopened.append((str(database), str(problem)))
        return []
    return [(str(database), f"mentions updated in {found:,} values")] if found else []


def _scratch_changes(config: Config, confirmed: bool) -> list[tuple[str, str]]:
    """Removes temporary folders that killed commands left, or only lists them; the changes in words."""
    scratch = user_path(config.engine.scratch, config.folder)  # the config's folder if there is none
    parents = {Path(tempfile.gettempdir()), *([scratch] if config.engine.scratch and scratch.is_dir() else [])}
    list_them = remove_abandoned if confirmed else abandoned
    return [(str(path), LEFT_BEHIND) for parent in sorted(parents) for path in list_them(parent, SCRATCH_NAME)]


@contextmanager
def _exclusive(config: Config) -> Iterator[None]:
    """Locks out scoring runs and other removals."""
    with ExitStack() as locks:
        what = f"forgetting a customer in {config.output}"
        locks.enter_context(exclusive_lock(config.output / f"{STAGING}.lock", what))
        for lock in sorted(config.outputs.scoring().glob("*.lock")):
            locks.enter_context(exclusive_lock(lock, f"scoring into {config.output}"))
        yield


def _ids_of_person(
    config: Config, customer: str, name: str, notes: list[str], unopened: list[tuple[str, str]]
) -> tuple[str, ...]:
    """All stored ids of the customer's person by [identity], and the customer's in every form of Unicode."""
    try:
        ids = persons_of(config).ids_of(name)
    except RegularsError as problem:
        unopened.append(("[identity]", f"other ids of the person are not forgotten: {problem}"))
        ids = (name,)
    if len(ids) > 1:
        notes.append(f"by [identity] the person has {len(ids) - 1:,} more ids, which are forgotten too")
    forms = same_names({customer})
    with suppress(DamagedFileError):  # `_identify` lists it
        ids = (*ids, *(stored_ids(config, sorted(forms)) if len(forms) > 1 else ()))
    return tuple(dict.fromkeys(ids))


def _given_names(config: Config, customer: str) -> set[str]:
    """The id that the user gave, by the rule for ids, and those by which an earlier rule knew the customer."""
    given = identifier_text(customer)
    names = {given} if given else set()
    with suppress(RegularsError):  # the log cannot be read, which `_find_member` lists
        names |= earlier_names(config, customer)
    return names


def _new_erasure(config: Config, names: set[str]) -> Erasure:
    cache, artifacts = open_cache(config), config.path(ARTIFACTS)
    return Erasure(
        root=config.output,
        names=frozenset(names),
        cache=cache.folder if cache else None,
        artifacts=artifacts if artifacts.is_dir() else None,
        data=files_of_sources(config),
    )


def _registered_models(config: Config, unopened: list[tuple[str, str]]) -> list[ModelLineage]:
    """The registered models; none if they are unknown, which is listed."""
    try:
        return read_model_lineage(config)
    except RegularsError as problem:
        unopened.append(("MLflow", f"it is unknown which models were trained on the customer: {problem}"))
        return []


def _identify(
    config: Config, customer: str, versions: list[ModelLineage], unopened: list[tuple[str, str]]
) -> tuple[str, Membership | None]:
    """The customer's stored id, and the result of `_find_member`; the user may also give the hash, as pages show it."""
    try:
        name = stored_id(config, customer)
    except DamagedFileError as problem:
        unopened.append((IDS_FILE, f"the key of hashed ids was not checked: {problem}"))
        name = unchecked_stored_id(config, customer)
    member = _find_member(config, name, versions, unopened)
    if config.privacy.hash_ids and HASHED.fullmatch(customer) and not (member and member.rows):
        other = _find_member(config, customer, versions, [])
        if other and other.rows:
            return customer, other
    return name, member


def _find_member(
    config: Config, name: str, versions: list[ModelLineage], unopened: list[tuple[str, str]]
) -> Membership | None:
    """The customer's rows in the log; None if the log cannot be read, which is listed."""
    cutoffs = sorted({day for version in versions if version.kind != "uplift" for day in version.days})
    try:
        return find_membership(config, name, cutoffs, _plan_dates(config))
    except RegularsError as problem:
        unopened.append(("the log", f"was not searched: {problem}"))
        return None


def _plan_dates(config: Config) -> set[date]:
    """The days up to which plans recorded counts of the log; plans that cannot be read have none."""
    dates = set()
    for path in (folder / MANIFEST for folder in config.outputs.plans()):
        with suppress(DataError, FileNotFoundError, KeyError, TypeError, ValueError):
            past = read_manifest(path, PlanManifest).past
            dates |= {date.fromisoformat(past["before"])} if past else set()
    return dates


def _correct_log_marks(path: Path, manifest: dict[str, Any], member: Membership | None) -> None:
    """Subtracts the customer's rows from the counts by which a plan recognises its log."""
    past = manifest.get("past") if path.name == MANIFEST else None
    if member is None or not isinstance(past, dict):
        return
    with suppress(KeyError, TypeError, ValueError):  # changed by something else: no command reads it any more
        marks = member.marks.get(date.fromisoformat(past["before"]), {})
        past |= {key: past[key] - count for key, count in marks.items() if key in past}


def _model_text(config: Config, version: ModelLineage, search: _Search) -> str:
    """Whether a model was trained on the customer, in words; empty if it was not."""
    title, member = version.label + (f" ({', '.join(version.aliases)})" if version.aliases else ""), search.member
    if not version.readable:
        return f"{title}: may have been trained on the customer (the files of the model cannot be read)"
    if member is None or not member.rows:
        why = "the customer was already forgotten" if search.listed else "the log has no rows of the customer now"
        return f"{title}: may have been trained on the customer ({why})"
    if version.kind == "uplift":
        days = [day for day in member.contacts if _in_round(day, version.days, config.uplift.round.days)]
        evidence = f"{len(days)} contacts in its rounds" if days else ""
        if not days and version.plans:
            return f"{title}: may have been trained on the customer, through the plans {', '.join(version.plans)}"
    else:
        days = sorted((member.lapsed if version.kind == "winback" else member.cutoffs) & set(version.days))
        evidence = f"{len(days)} of its {len(version.days)} cutoffs had the customer" if days else ""
    if not evidence:
        return ""
    same = version.fingerprint == member.fingerprint
    return f"{title}: trained on the customer: {evidence}" + (
        "" if same else ", according to the current log, which has changed"
    )


def _in_round(day: date, rounds: tuple[date, ...], length: int) -> bool:
    return any(0 <= (day - first).days < length for first in rounds)


def _unknown_customer(config: Config, customer: str, search: _Search) -> DataError:
    hashed = " (hashed with the current key)" if config.privacy.hash_ids else ""
    closed = [*search.unopened, *((str(path), why) for path, why in sorted(search.erasure.unopened.items()))]
    aside = "; not searched: " + "; ".join(f"{what} ({why})" for what, why in closed[:MOST_LISTED]) if closed else ""
    return DataError(
        f"customer {customer!r}{hashed} is in no file of {config.output} and in no table that the config names; check "
        f"the id: write it as in your own tables{aside}"
    )
