"""A customer forgotten: out of every output of ours, and kept out of what is read; and which models knew them.

The source data are the user's own and stay as they are. So that they do not bring the customer back, a salted hash of
the name is kept (`ids.LIST`), and rows of it are set aside wherever tables are read.
"""

from __future__ import annotations

import json
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
from features.intake.customer_ids import FORGOTTEN_FILE, forgotten_list_text, read_forgotten, stored_id
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
from serving.scoring.passes import scoring_folder
from serving.scoring.resumable_run import exclusive_lock
from serving.scoring.sinks import delete_customer_rows
from training.registry.lineage import ModelLineage, read_model_lineage

PLANS, MANIFEST = "plans", "manifest.json"
HASHED = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class ForgottenCustomer:
    """What was, or would be, removed.

    Attributes:
        customer: As the user named them.
        done: Whether it was done, and not only looked at.
        places: Files and folders, and what happens to each.
        rows: Of the database's table; None where there is none.
        source: The customer's rows in the user's own tables, by table; empty where there are none left.
        models: Those that learned from the customer, each with how sure that is.
        foreign_files: Files in the output that are not ours and name the customer.
        notes: What could not be known.
    """

    customer: str
    done: bool
    places: tuple[tuple[str, str], ...]
    rows: int | None
    source: Mapping[str, int]
    models: tuple[str, ...]
    foreign_files: tuple[Path, ...]
    notes: tuple[str, ...]


def forget_customer(config: Config, customer: str, really: bool) -> ForgottenCustomer:
    """Takes a customer out of all outputs, and keeps them out; one that died in between is gone on with.

    Args:
        config: The business.
        customer: By the id of the user's own tables.
        really: Whether to do it; otherwise only what would be done is said.

    Raises:
        DataError: Nothing of ours, and no table, knows the customer; a file cannot be read; or the database does not
            answer.
        RefusedError: A scoring run, or another removal, is at work in the output.
        UsageError: The output cannot be written to, or there is no key for hashed ids.
    """
    with _alone(config):
        before = apply_staged(config.output)
        versions, notes = _versions(config)
        name, member, more = _who(config, customer, versions)
        listed = read_forgotten(config).has(name)
        found = stage_changes(_looking(config, customer, name), lambda path, said: _correct(path, said, member))
        rows = delete_customer_rows(config, found.names, False) if config.serving.database else None
        if not (found.recognised or rows or listed or (member and member.rows)):
            discard_staged(found)
            raise _unknown(config, customer)
        if not really:
            discard_staged(found)
        else:
            if not listed:  # with the files, so that a death leaves both or neither
                found.write(
                    config.output / FORGOTTEN_FILE,
                    forgotten_list_text(config, name),
                    "the customer is on the list of the forgotten",
                )
            mark_ready(found)
            apply_staged(config.output)
            rows = delete_customer_rows(config, found.names, True) if config.serving.database else None
    models = [line for version in versions if (line := _learned(config, version, member, listed))]
    source = {} if member is None else member.rows
    places = (*before, *changes_in_words(found.changes))
    return ForgottenCustomer(
        customer, really, places, rows, source, tuple(models), tuple(found.foreign_files), (*notes, *more)
    )


def forget_text(forgot: ForgottenCustomer) -> str:
    """What was removed, what is left to do, and by whom, as text for a terminal."""
    cached = [place for place, what in forgot.places if what == REMOVED_FROM_CACHE]
    lines = [f"{place}: {what}" for place, what in forgot.places if what != REMOVED_FROM_CACHE]
    if cached:
        lines.append(f"{Path(cached[0]).parent}: {len(cached):,} files {REMOVED_FROM_CACHE}")
    lines = lines or ["no file of the output names the customer"]
    if forgot.rows is not None:
        lines.append(f"[serving] table: {forgot.rows:,} rows removed")
    lines += [f"{file}: names the customer and is not ours: look at it yourself" for file in forgot.foreign_files]
    lines += ["", "models"]
    lines += [f"  {line}" for line in forgot.models] or ["  none is known to have learned from the customer"]
    if forgot.models:
        lines.append("  they hold no row of anybody; train anew where they must not have learned from the customer")
    lines += ["", "your own data"]
    told = ", ".join(f"{rows:,} in {table}" for table, rows in forgot.source.items())
    lines.append(
        f"  rows of the customer: {told or 'none found'}" + ("; remove them there, and in backups" * bool(told))
    )
    lines.append(
        f"  until then they are set aside as 'forgotten' wherever they are read ({FORGOTTEN_FILE} of the output)"
    )
    return "\n".join([*lines, *(f"note: {note}" for note in forgot.notes)])


@contextmanager
def _alone(config: Config) -> Iterator[None]:
    """Holds off scoring runs, and another removal."""
    with ExitStack() as locks:
        what = f"forgetting a customer in {config.output}"
        locks.enter_context(exclusive_lock(config.output / f"{STAGING}.lock", what))
        for lock in sorted(scoring_folder(config).glob("*.lock")):
            locks.enter_context(exclusive_lock(lock, f"scoring into {config.output}"))
        yield


def _looking(config: Config, customer: str, name: str) -> Erasure:
    cache = open_cache(config)
    return Erasure(config.output, frozenset({customer, name}), cache.folder if cache else None, _data(config))


def _data(config: Config) -> frozenset[Path]:
    """The user's own files, should they lie in the output."""
    sections: list[TableSection | None] = [
        config.events, *config.activities.values(), config.customers, config.contacts, config.subscriptions,
    ]  # fmt: skip
    found: set[Path] = set()
    for section in (one for one in sections if one is not None and "://" not in one.source):
        try:
            found |= {file.resolve() for file in find_files(section.source, config.folder)}
        except DataError:  # the log is not there (any more): nothing to spare
            continue
    rules = config.plan.exclude if config.plan else ()
    return frozenset(found | {config.path(rule.ids) for rule in rules if rule.ids})


def _versions(config: Config) -> tuple[list[ModelLineage], list[str]]:
    """The registered models, and what is to be told where they are not known."""
    try:
        return read_model_lineage(config), []
    except UsageError as problem:
        return [], [f"which models learned from the customer is not known: {problem}"]


def _who(config: Config, customer: str, versions: list[ModelLineage]) -> tuple[str, Membership | None, list[str]]:
    """The name under which the customer is kept, and what `_member` says; the hash itself may be given, off a page."""
    name = stored_id(config, customer)
    member, notes = _member(config, name, versions)
    if config.privacy.hash_ids and HASHED.fullmatch(customer) and not (member and member.rows):
        other, also = _member(config, customer, versions)
        if other and other.rows:
            return customer, other, also
    return name, member, notes


def _member(config: Config, name: str, versions: list[ModelLineage]) -> tuple[Membership | None, list[str]]:
    """What the log holds of the customer, and what is to be told where it cannot be read."""
    cutoffs = sorted({day for version in versions if version.kind != "uplift" for day in version.days})
    try:
        return find_membership(config, name, cutoffs, _counted(config)), []
    except RegularsError as problem:
        return None, [f"the log was not looked into: {problem}"]


def _counted(config: Config) -> set[date]:
    """The days before which plans counted the log."""
    found = set()
    for path in config.output.glob(f"{PLANS}/cutoff=*/*/{MANIFEST}"):
        past = json.loads(path.read_text(encoding="utf-8")).get("past")
        found |= {date.fromisoformat(past["before"])} if past else set()
    return found


def _correct(path: Path, said: dict[str, Any], member: Membership | None) -> None:
    """A plan knows its log again by counts of it, which the customer's rows are no more a part of."""
    past = said.get("past") if path.name == MANIFEST else None
    if member is None or not isinstance(past, dict):
        return
    marks = member.marks.get(date.fromisoformat(past["before"]), {})
    past |= {key: past[key] - count for key, count in marks.items() if key in past}


def _learned(config: Config, version: ModelLineage, member: Membership | None, listed: bool) -> str:
    """Whether a model learned from the customer, in words; empty where it did not."""
    title = version.label + (f" ({', '.join(version.aliases)})" if version.aliases else "")
    if member is None or not member.rows:
        why = "the customer was forgotten before" if listed else "the log has no rows of the customer now"
        return f"{title}: may have learned from the customer ({why})"
    if version.kind == "uplift":
        days = [day for day in member.contacts if _in_round(day, version.days, config.uplift.round.days)]
        told = f"{len(days)} contacts in its rounds" if days else ""
        if not days and version.plans:
            return f"{title}: may have learned from the customer, through the plans {', '.join(version.plans)}"
    else:
        days = sorted(member.cutoffs & set(version.days))
        told = f"{len(days)} of its {len(version.days)} cutoffs had the customer" if days else ""
    if not told:
        return ""
    same = version.fingerprint == member.fingerprint
    return f"{title}: learned from the customer: {told}" + ("" if same else ", by the log of now, which has changed")


def _in_round(day: date, rounds: tuple[date, ...], length: int) -> bool:
    return any(0 <= (day - first).days < length for first in rounds)


def _unknown(config: Config, customer: str) -> DataError:
    hashed = ", by the key of now," if config.privacy.hash_ids else ""
    return DataError(
        f"customer {customer!r}{hashed} is in no file of {config.output} and in no table that the config names; check "
        "the id: it is to be written as it is in your own tables"
    )
