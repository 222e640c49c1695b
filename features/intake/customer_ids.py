"""Customer ids as this project stores them: plain, or as keyed hashes; and the list of customers to forget.

With `[privacy] hash_ids` an id is replaced where it is read, in every table alike, so that nothing downstream ever has
it. The key comes from the environment or from a file of the user; it is in no SQL, no message and no file of ours.
Forgotten customers are recognised by a salted hash, and their rows are set aside where they are read.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ibis

from features.atomic_files import write_text_atomically
from features.config.load import Config
from features.engines.base import Engine
from features.errors import UsageError
from features.keyed_hash import hash_text

IDS_FILE, FORGOTTEN_FILE = "ids.json", "forgotten.json"  # in the output
HASH_METHOD = "HMAC-SHA256, 128 bits"
FORGOTTEN_REASON = "forgotten"  # the reason with which rows of forgotten customers are set aside
MIN_KEY_LENGTH = 32
KEY_CHECK_TEXT = "this text is hashed to know the key again"
KEY_ADVICE = "create one with `openssl rand -hex 32`, and store it as you store passwords"


@dataclass(frozen=True)
class ForgottenCustomers:
    """The customers to forget, as salted hashes of their stored ids.

    Attributes:
        salt: Random, in hex; created with the list.
        customers: The hashes.
    """

    salt: str = ""
    customers: tuple[str, ...] = ()

    def has(self, customer_id: str) -> bool:
        """Whether a customer, by their stored id, is on the list."""
        return bool(self.customers) and hash_text(customer_id, self.salt.encode()) in self.customers


@dataclass(frozen=True)
class _IdPrivacy:
    """How ids are stored: the key of the hash (empty: ids stay plain), and the customers to forget."""

    key: bytes = field(repr=False)
    forgotten: ForgottenCustomers


def with_stored_ids(rows: ibis.Table, config: Config, engine: Engine) -> ibis.Table:
    """Rows whose `customer_id` is the stored id; those of forgotten customers have none, and are set aside.

    Each distinct id is hashed once.

    Args:
        rows: With a column `customer_id` and, where rows are set aside, `reason`.
        config: Says whether ids are hashed.
        engine: Where the rows are.

    Returns:
        The same rows and columns.

    Raises:
        UsageError: There is no key, it is not the one that the output was made with, or the output holds ids of the
            other sort (plain or hashed).
    """
    privacy = _id_privacy(config)
    if not (privacy.key or privacy.forgotten.customers):
        return rows
    distinct_ids = rows.select(given=rows.customer_id).distinct()
    ids = distinct_ids.filter(distinct_ids.given.notnull())
    ids = ids.mutate(known=engine.hash_texts(ids.given, privacy.key) if privacy.key else ids.given)
    if privacy.forgotten.customers:
        forgotten_hash = engine.hash_texts(ids.known, privacy.forgotten.salt.encode())
        ids = ids.mutate(gone=forgotten_hash.isin(privacy.forgotten.customers))
    else:
        ids = ids.mutate(gone=ibis.literal(False))
    joined = rows.left_join(ids, rows.customer_id == ids.given)
    is_forgotten = joined.gone.fill_null(False)
    columns = {name: joined[name] for name in rows.columns}
    columns["customer_id"] = is_forgotten.ifelse(ibis.null("string"), joined.known)
    if "reason" in columns:
        columns["reason"] = is_forgotten.ifelse(ibis.literal(FORGOTTEN_REASON), joined.reason)
    return joined.select(**columns)


def stored_id(config: Config, customer: str) -> str:
    """The stored id of a customer, from the id that the user knows.

    Raises:
        UsageError: As for `with_stored_ids`.
    """
    return stored_ids(config, [customer])[0]


def stored_ids(config: Config, customers: Iterable[str]) -> list[str]:
    """The stored ids of many customers, in their order; errors as for `with_stored_ids`."""
    key = _id_privacy(config).key
    return [hash_text(customer, key) if key else customer for customer in customers]


def id_hashing_record(config: Config) -> dict[str, str] | None:
    """How ids are hashed, for manifests: the method, and a check value of the key. None if ids are plain."""
    key = _id_privacy(config).key
    return {"method": HASH_METHOD, "key_check": hash_text(KEY_CHECK_TEXT, key)} if key else None


def read_forgotten(config: Config) -> ForgottenCustomers:
    """The list of forgotten customers.

    Raises:
        UsageError: The file is damaged, so nobody can tell who is on the list.
    """
    content = _read_json(config.output / FORGOTTEN_FILE)
    if content is None:
        return ForgottenCustomers()
    try:
        return ForgottenCustomers(str(content["salt"]), tuple(map(str, content["customers"])))
    except (KeyError, TypeError):
        raise _damaged_file(config.output / FORGOTTEN_FILE) from None


def forgotten_list_text(config: Config, customer_id: str) -> str:
    """The text of the list of forgotten customers (`FORGOTTEN_FILE`) with one more, by their stored id."""
    existing = read_forgotten(config)
    salt = existing.salt or os.urandom(16).hex()  # a secret of the file; no result depends on it
    customers = sorted({*existing.customers, hash_text(customer_id, salt.encode())})
    return json.dumps({"salt": salt, "customers": customers}, indent=1) + "\n"


def _id_privacy(config: Config) -> _IdPrivacy:
    """The key and the forgotten customers; stores a check value of the key at first, so that another key is refused."""
    key = _read_key(config) if config.privacy.hash_ids else b""
    ids_file = config.output / IDS_FILE
    stored = _read_json(ids_file)
    if not key:
        if stored is not None:
            raise UsageError(
                f"{config.output} was made with hashed ids, and [privacy] hash_ids is off: turn it on again, or set "
                "another [serving] output"
            )
        return _IdPrivacy(key, read_forgotten(config))
    key_check = hash_text(KEY_CHECK_TEXT, key)
    if stored is None:
        if any(config.outputs.scored_folders()):
            raise UsageError(
                f"{config.output} was made with plain ids, and [privacy] hash_ids is on: set another [serving] output, "
                "and remove the old one"
            )
        write_text_atomically(ids_file, json.dumps({"ids": HASH_METHOD, "key_check": key_check}, indent=1) + "\n")
    elif stored.get("key_check") != key_check:
        raise UsageError(
            f"{_key_source(config)} is not the key with which {config.output} was made (their check values differ): "
            "set the original key, or set another [serving] output to start over"
        )
    return _IdPrivacy(key, read_forgotten(config))


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


def _damaged_file(path: Path) -> UsageError:
    """The error for a file of ours that cannot be understood."""
    return UsageError(f"{path} is not as regulars wrote it: restore it from a backup")
