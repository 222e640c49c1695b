"""Customer ids as this project stores them: plain, or as keyed hashes; and the list of customers to forget.

With `[privacy] hash_ids` an id is replaced where it is read, in every table alike, so that nothing downstream ever has
it. The key comes from the environment or from a file of the user; it is in no SQL, no message and no file of ours.
Forgotten customers are recognised by a salted hash, and their rows are set aside where they are read. The list and the
output say by which rule for ids they were made (`identifiers.RULE_VERSION`). Those whom a list by an earlier rule names
are recognised by the id as that rule read it.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.config.load import Config
from features.errors import UsageError
from features.intake.identifiers import RULE_VERSION, earlier_number_text, identifier_text
from features.keyed_hash import hash_text
from features.storage.atomic_files import write_text_atomically
from features.storage.json_files import document_text, has_valid_checksum

if TYPE_CHECKING:  # whoever only asks for a stored id does without these, which take long to import
    import ibis

    from features.engines.base import Engine

IDS_FILE, FORGOTTEN_FILE = "ids.json", "forgotten.json"  # in the output
EARLIER_ID = "earlier_id"  # the column of customers' ids by the earlier rule, until `with_stored_ids` drops it
HASH_METHOD = "HMAC-SHA256, 128 bits"
FORGOTTEN_REASON = "forgotten"  # the reason with which rows of forgotten customers are set aside
FORGOTTEN_NAME = re.compile(r"forgotten(-[0-9]+)?\.json")
HASHED_ID = re.compile("[0-9a-f]{32}")
MIN_KEY_LENGTH = 32
KEY_CHECK_TEXT = "this text is hashed to know the key again"
KEY_ADVICE = "create one with `openssl rand -hex 32`, and store it as you store passwords"


class DamagedFileError(UsageError):
    """A file of ours about ids cannot be understood (exit code 2)."""


@dataclass(frozen=True)
class ForgottenList:
    """One list of customers to forget, as salted hashes of their stored ids.

    Attributes:
        salt: Random, in hex; created with the list.
        customers: The hashes.
        earlier: Those of them that were made by an earlier rule for ids.
    """

    salt: str
    customers: tuple[str, ...]
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForgottenCustomers:
    """The customers to forget.

    Attributes:
        lists: Usually one list; another for those who were forgotten while it was damaged.
    """

    lists: tuple[ForgottenList, ...] = ()

    def has(self, customer_id: str) -> bool:
        """Whether a customer, by their stored id, is on a list."""
        return any(hash_text(customer_id, one.salt.encode()) in one.customers for one in self.lists)


@dataclass(frozen=True)
class _IdPrivacy:
    """How ids are stored: the key of the hash (empty: ids stay plain), and the customers to forget."""

    key: bytes = field(repr=False)
    forgotten: ForgottenCustomers


def with_stored_ids(rows: ibis.Table, config: Config, engine: Engine) -> ibis.Table:
    """Rows whose `customer_id` is the stored id; those of forgotten customers have none, and are set aside.

    Each distinct id is hashed once.

    Args:
        rows: With a column `customer_id` and, where rows are set aside, `reason`; `EARLIER_ID` has the ids by the
            earlier rule.
        config: Says whether ids are hashed.
        engine: Where the rows are.

    Returns:
        The same rows, without `EARLIER_ID`.

    Raises:
        UsageError: There is no key, it is not the one that the output was made with, or the output holds ids of the
            other sort (plain or hashed).
    """
    import ibis

    privacy = _id_privacy(config)
    columns = [name for name in rows.columns if name != EARLIER_ID]
    if not (privacy.key or privacy.forgotten.lists):
        return rows.select(columns)
    keys = {"given": "customer_id"}
    if any(one.earlier for one in privacy.forgotten.lists) and EARLIER_ID in rows.columns:
        keys["earlier"] = EARLIER_ID
    distinct_ids = rows.select(**{name: rows[column] for name, column in keys.items()}).distinct()
    ids = _known_and_gone(distinct_ids.filter(distinct_ids.given.notnull()), privacy, engine)
    joined = rows.left_join(ids, [rows[column] == ids[name] for name, column in keys.items()])
    is_forgotten = joined.gone.fill_null(False)
    values = {name: joined[name] for name in columns}
    values["customer_id"] = is_forgotten.ifelse(ibis.null("string"), joined.known)
    if "reason" in values:
        values["reason"] = is_forgotten.ifelse(ibis.literal(FORGOTTEN_REASON), joined.reason)
    return joined.select(**values)


def _known_and_gone(ids: ibis.Table, privacy: _IdPrivacy, engine: Engine) -> ibis.Table:
    """Distinct ids with their stored id (`known`), and whether the customer is to be forgotten (`gone`)."""
    import ibis

    def stored(text: ibis.Value) -> ibis.Value:
        return engine.hash_texts(text, privacy.key) if privacy.key else text

    def is_listed(text: ibis.Value, salt: str, listed: tuple[str, ...]) -> ibis.Value:
        return engine.hash_texts(text, salt.encode()).isin(listed).fill_null(False)

    ids, gone = ids.mutate(known=stored(ids.given)), ibis.literal(False)
    for forgotten in privacy.forgotten.lists:
        gone = gone | is_listed(ids.known, forgotten.salt, forgotten.customers)
        if forgotten.earlier and "earlier" in ids.columns:
            for text in (ids.earlier, earlier_number_text(ids.earlier)):
                gone = gone | is_listed(stored(text), forgotten.salt, forgotten.earlier)
    return ids.mutate(gone=gone)


def rows_of_customer(rows: ibis.Table, ids: Sequence[str], config: Config, engine: Engine) -> ibis.Table:
    """The rows of one customer with their stored ids, none of those that are to be forgotten.

    Args:
        rows: As for `with_stored_ids`.
        ids: The customer's stored ids; several if ids are joined.
        config: Says whether ids are hashed.
        engine: Where the rows are.

    Returns:
        The rows, without `EARLIER_ID`.

    Raises:
        UsageError: As for `with_stored_ids`.
    """
    if not config.privacy.hash_ids:  # before the ids are looked up, so that only a few are
        rows = rows.filter(rows.customer_id.isin(ids))
    stored = with_stored_ids(rows, config, engine)
    return stored.filter(stored.customer_id.isin(ids))


def stored_id(config: Config, customer: str) -> str:
    """The stored id of a customer, from the id that the user knows, in any spelling.

    Raises:
        UsageError: The id is blank, or as for `with_stored_ids`.
    """
    return stored_ids(config, [customer])[0]


def stored_ids(config: Config, customers: Iterable[str]) -> list[str]:
    """The stored ids of many customers, in their order; errors as for `stored_id`."""
    return stored_spellings(config, [_required_id(customer) for customer in customers])


def unchecked_stored_id(config: Config, customer: str) -> str:
    """As `stored_id`, without comparing the key with `IDS_FILE`, which may be damaged."""
    text = _required_id(customer)
    return hash_text(text, _read_key(config)) if config.privacy.hash_ids else text


def stored_spellings(config: Config, texts: Iterable[str]) -> list[str]:
    """Texts as ids are stored, hashed or plain, without the rule for ids; errors as for `with_stored_ids`."""
    key = _checked_key(config)
    return [hash_text(text, key) if key else text for text in texts]


def known_names(config: Config, customer: str) -> tuple[str, ...]:
    """The ids under which outputs may know a customer: the stored id, and the given one, which may be a hash already.

    Returns:
        One or two ids, the likelier first.

    Raises:
        UsageError: As for `stored_id`.
    """
    names = stored_id(config, customer), _required_id(customer)
    return tuple(dict.fromkeys(reversed(names) if HASHED_ID.fullmatch(names[1]) else names))


def _required_id(customer: str) -> str:
    """An id by the rule for ids; raises UsageError if it is blank."""
    text = identifier_text(customer)
    if text is None:
        raise UsageError(f"{customer!r} is no customer's id: expected one as your tables have it, found only blanks")
    if any("\ud800" <= character <= "\udfff" for character in text):  # bytes of an argument that are no UTF-8
        raise UsageError(f"{customer!r} is no customer's id: expected text in UTF-8, as your tables have it")
    return text


def id_hashing_record(config: Config) -> dict[str, str] | None:
    """How ids are hashed, for manifests: the method, and a check value of the key. None if ids are plain."""
    key = _checked_key(config)
    return {"method": HASH_METHOD, "key_check": hash_text(KEY_CHECK_TEXT, key)} if key else None


def read_forgotten(config: Config) -> ForgottenCustomers:
    """The lists of forgotten customers.

    Raises:
        DamagedFileError: One is damaged, so nobody can tell who is on it.
    """
    forgotten, damaged = read_intact_lists(config)
    if damaged:
        raise _damaged_file(damaged[0])
    return forgotten


def read_intact_lists(config: Config) -> tuple[ForgottenCustomers, tuple[Path, ...]]:
    """The lists of forgotten customers that can be read, and the files that are damaged."""
    lists, damaged = [], []
    for path in _forgotten_files(config):
        try:
            lists.append(_read_list(path))
        except DamagedFileError:
            damaged.append(path)
    return ForgottenCustomers(tuple(lists)), tuple(damaged)


def forgotten_list(config: Config, *customer_ids: str) -> tuple[Path, str]:
    """The list of forgotten customers with more of them, by their stored ids; another one if the first is damaged.

    Returns:
        Its file and its text.
    """
    _, damaged = read_intact_lists(config)
    names = [FORGOTTEN_FILE, *(f"forgotten-{number}.json" for number in range(2, len(damaged) + 2))]
    path = next(config.output / name for name in names if config.output / name not in damaged)
    existing = _read_list(path) if os.path.lexists(path) else ForgottenList("", ())
    salt = existing.salt or os.urandom(16).hex()  # a secret of the file; no result depends on it
    customers = sorted({*existing.customers, *(hash_text(stored, salt.encode()) for stored in customer_ids)})
    content = {"salt": salt, "customers": customers, "rule": RULE_VERSION}
    if existing.earlier:
        content["earlier"] = sorted(existing.earlier)
    return path, document_text(content)


def is_forgotten_list(name: str) -> bool:
    """Whether a file of the output with this name is a list of forgotten customers.

    >>> is_forgotten_list("forgotten.json"), is_forgotten_list("forgotten-2.json"), is_forgotten_list("ids.json")
    (True, True, False)
    """
    return bool(FORGOTTEN_NAME.fullmatch(name))


def _forgotten_files(config: Config) -> list[Path]:
    """The lists of forgotten customers that exist."""
    try:
        return sorted(path for path in config.output.iterdir() if is_forgotten_list(path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read_list(path: Path) -> ForgottenList:
    """A list of forgotten customers; raises DamagedFileError if it is not as Regulars wrote it."""
    content = _read_json(path) or {}
    salt, customers = content.get("salt"), _hashes(content.get("customers"))
    earlier = _hashes(content.get("earlier", [])) if content.get("rule", 1) == RULE_VERSION else customers
    if not (isinstance(salt, str) and salt and has_valid_checksum(content)) or customers is None or earlier is None:
        raise _damaged_file(path)
    return ForgottenList(salt, customers, earlier)


def _hashes(values: Any) -> tuple[str, ...] | None:
    """The hashes in a list; None if it is no list of hashes."""
    is_list = isinstance(values, list) and all(
        isinstance(value, str) and HASHED_ID.fullmatch(value) for value in values
    )
    return tuple(values) if is_list else None


def output_id_rule(config: Config) -> int:
    """The version of the rule for ids by which the output was made; an output without scores is of the present one."""
    stored = _read_json(config.output / IDS_FILE) or {}
    if "rule" in stored or not any(config.outputs.scored_folders()):
        rule = stored.get("rule", RULE_VERSION)
        if not isinstance(rule, int):
            raise _damaged_file(config.output / IDS_FILE)
        return rule
    return 1


def record_id_rule(config: Config) -> None:
    """Records in the output that its ids are of the present rule."""
    ids_file = config.output / IDS_FILE
    stored = _read_json(ids_file) or {}
    if stored.get("rule") != RULE_VERSION:
        write_text_atomically(ids_file, json.dumps({**stored, "rule": RULE_VERSION}, indent=1) + "\n")


def _id_privacy(config: Config) -> _IdPrivacy:
    """The key and the forgotten customers; errors as for `with_stored_ids`."""
    return _IdPrivacy(_checked_key(config), read_forgotten(config))


def _checked_key(config: Config) -> bytes:
    """The key; stores a check value of it at first, so that another key is refused."""
    key = _read_key(config) if config.privacy.hash_ids else b""
    ids_file = config.output / IDS_FILE
    stored = _read_json(ids_file)
    is_plain = stored is not None and "key_check" not in stored
    if not key:
        if stored is not None and not is_plain:
            raise UsageError(
                f"{config.output} was made with hashed ids, and [privacy] hash_ids is off: turn it on again, or set "
                "another [serving] output"
            )
        return key
    key_check = hash_text(KEY_CHECK_TEXT, key)
    if stored is None or is_plain:
        if any(config.outputs.scored_folders()):
            raise UsageError(
                f"{config.output} was made with plain ids, and [privacy] hash_ids is on: set another [serving] output, "
                "and remove the old one"
            )
        content = {"ids": HASH_METHOD, "key_check": key_check, "rule": RULE_VERSION}
        write_text_atomically(ids_file, json.dumps(content, indent=1) + "\n")
    elif stored.get("key_check") != key_check:
        raise UsageError(
            f"{_key_source(config)} is not the key with which {config.output} was made (their check values differ): "
            "set the original key, or set another [serving] output to start over"
        )
    return key


def _read_key(config: Config) -> bytes:
    """The key with which ids are hashed.

    Raises:
        UsageError: There is none, it is too short, or others can read its file.
    """
    privacy, where = config.privacy, _key_source(config)
    text = _read_key_file(config) if privacy.key_file else os.environ.get(privacy.key_env, "").strip()
    if not text:
        raise UsageError(f"[privacy] hash_ids needs a key, but {where} holds none; {KEY_ADVICE}")
    if len(text) < MIN_KEY_LENGTH:
        raise UsageError(
            f"[privacy] hash_ids: {where} holds {len(text)} characters; expected {MIN_KEY_LENGTH} or more, since ids "
            f"could be found by trying short keys; {KEY_ADVICE}"
        )
    return text.encode()


def _read_key_file(config: Config) -> str:
    """The key in the file of [privacy] key_file, which only its owner may read."""
    path = config.path(config.privacy.key_file)
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is not text"
        raise UsageError(f"[privacy] key_file: {path} cannot be read: {why}; {KEY_ADVICE}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"[privacy] key_file: others can read {path}; run chmod 600 on it")
    return text


def _key_source(config: Config) -> str:
    """Where the key is read from, in words."""
    privacy = config.privacy
    return f"the file of key_file ({privacy.key_file})" if privacy.key_file else f"the variable {privacy.key_env}"


def _read_json(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file of ours; None if there is no file."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError):
        raise _damaged_file(path) from None


def _damaged_file(path: Path) -> DamagedFileError:
    """The error for a file of ours that cannot be understood."""
    again = ", or remove it and forget everybody on it again" if is_forgotten_list(path.name) else ""
    return DamagedFileError(f"{path} is not as regulars wrote it: restore it from a backup{again}")
