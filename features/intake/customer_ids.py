"""How customers are named in what is ours: by their ids, or by a keyed hash of these; and who is to be forgotten.

With `[privacy] hash_ids` an id is replaced where it is read, in every table alike, so that nothing downstream ever has
it. The key comes from the environment or a file of the user's own; it stands in no SQL, no message and no file of ours.
Customers who were forgotten are known again by a salted hash, and their rows are set aside where they are read.
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

from features.atomic_files import write_whole
from features.config.load import Config
from features.engines.base import Engine
from features.errors import UsageError
from features.keyed_hash import hashed

IDS_FILE, FORGOTTEN_FILE = "ids.json", "forgotten.json"  # in the output
HASH_METHOD = "HMAC-SHA256, 128 bits"
FORGOTTEN_REASON = "forgotten"  # the reason why rows of forgotten customers are set aside
MIN_KEY_LENGTH = 32
KEY_CHECK_TEXT = "this text is hashed to know the key again"
KEY_ADVICE = "make one with `openssl rand -hex 32`, and keep it as you keep passwords"


@dataclass(frozen=True)
class ForgottenCustomers:
    """Who is to be forgotten, as salted hashes of the names they had here.

    Attributes:
        salt: Random, in hex; made with the list.
        customers: The hashes.
    """

    salt: str = ""
    customers: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        """Whether a customer, by the name that is kept here, is on the list."""
        return bool(self.customers) and hashed(name, self.salt.encode()) in self.customers


@dataclass(frozen=True)
class _Names:
    """What is done with ids: the key (empty: they stay), and who is to be forgotten."""

    key: bytes = field(repr=False)
    forgotten: ForgottenCustomers


def with_stored_ids(rows: ibis.Table, config: Config, engine: Engine) -> ibis.Table:
    """Rows with their `customer_id` as it is kept here; those of the forgotten have none, and are set aside.

    Each id is hashed once, however many rows it has.

    Args:
        rows: With a column `customer_id` and, where rows are set aside, `reason`.
        config: Says whether ids are hashed.
        engine: Where the rows are.

    Raises:
        UsageError: There is no key, it is not the one of before, or the output has ids of the other sort.
    """
    names = _names(config)
    if not (names.key or names.forgotten.customers):
        return rows
    raw = rows.select(given=rows.customer_id).distinct()
    ids = raw.filter(raw.given.notnull())
    ids = ids.mutate(known=engine.keyed(ids.given, names.key) if names.key else ids.given)
    if names.forgotten.customers:
        mark = engine.keyed(ids.known, names.forgotten.salt.encode())
        ids = ids.mutate(gone=mark.isin(names.forgotten.customers))
    else:
        ids = ids.mutate(gone=ibis.literal(False))
    joined = rows.left_join(ids, rows.customer_id == ids.given)
    gone = joined.gone.fill_null(False)
    columns = {name: joined[name] for name in rows.columns}
    columns["customer_id"] = gone.ifelse(ibis.null("string"), joined.known)
    if "reason" in columns:
        columns["reason"] = gone.ifelse(ibis.literal(FORGOTTEN_REASON), joined.reason)
    return joined.select(**columns)


def stored_id(config: Config, customer: str) -> str:
    """The name under which a customer is kept here, from the id that the user knows.

    Raises:
        UsageError: As `named`.
    """
    return stored_ids(config, [customer])[0]


def stored_ids(config: Config, customers: Iterable[str]) -> list[str]:
    """The same of many."""
    key = _names(config).key
    return [hashed(customer, key) if key else customer for customer in customers]


def id_hashing_record(config: Config) -> dict[str, str] | None:
    """How ids are hashed, for manifests: the method, and a check by which the key is known again; None where not."""
    key = _names(config).key
    return {"method": HASH_METHOD, "key_check": hashed(KEY_CHECK_TEXT, key)} if key else None


def read_forgotten(config: Config) -> ForgottenCustomers:
    """The list of the forgotten.

    Raises:
        UsageError: The file is not one of ours: then nobody can say who is on it.
    """
    found = _read(config.output / FORGOTTEN_FILE)
    if found is None:
        return ForgottenCustomers()
    try:
        return ForgottenCustomers(str(found["salt"]), tuple(map(str, found["customers"])))
    except (KeyError, TypeError):
        raise _unreadable(config.output / FORGOTTEN_FILE) from None


def forgotten_list_text(config: Config, name: str) -> str:
    """The list of the forgotten (`LIST`) with one customer more, by the name that is kept here, as text."""
    before = read_forgotten(config)
    salt = before.salt or os.urandom(16).hex()  # a secret of the file, not a draw: it decides no result
    customers = sorted({*before.customers, hashed(name, salt.encode())})
    return json.dumps({"salt": salt, "customers": customers}, indent=1) + "\n"


def _names(config: Config) -> _Names:
    """What is done with ids; the first time it is written down, so that another key is refused."""
    key = _key(config) if config.privacy.hash_ids else b""
    place = config.output / IDS_FILE
    kept = _read(place)
    if not key:
        if kept is not None:
            raise UsageError(
                f"{config.output} was made with hashed ids, and [privacy] hash_ids is off: set it again, or name "
                "another [serving] output"
            )
        return _Names(key, read_forgotten(config))
    check = hashed(KEY_CHECK_TEXT, key)
    if kept is None:
        if any(config.output.glob("scores/cutoff=*")):
            raise UsageError(
                f"{config.output} was made with ids as they are, and [privacy] hash_ids is on: name another [serving] "
                "output, and remove the old one"
            )
        write_whole(place, json.dumps({"ids": HASH_METHOD, "key_check": check}, indent=1) + "\n")
    elif kept.get("key_check") != check:
        raise UsageError(
            f"{_where(config)} is not the key with which {config.output} was made (their check values differ): set the "
            "key of then, or name another [serving] output to begin anew"
        )
    return _Names(key, read_forgotten(config))


def _key(config: Config) -> bytes:
    """The key of the ids.

    Raises:
        UsageError: There is none, it is too short, or others can read its file.
    """
    privacy, where = config.privacy, _where(config)
    text = _key_of_file(config) if privacy.key_file else os.environ.get(privacy.key_env, "").strip()
    if not text:
        raise UsageError(f"[privacy] hash_ids needs a key, and {where} holds none; {KEY_ADVICE}")
    if len(text) < MIN_KEY_LENGTH:
        raise UsageError(
            f"[privacy] hash_ids: {where} holds {len(text)} characters; expected {MIN_KEY_LENGTH} or more, since ids "
            f"could be found by trying short keys; {KEY_ADVICE}"
        )
    return text.encode()


def _key_of_file(config: Config) -> str:
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


def _where(config: Config) -> str:
    """Where the key is looked for."""
    privacy = config.privacy
    return f"the file of key_file ({privacy.key_file})" if privacy.key_file else f"the variable {privacy.key_env}"


def _read(path: Path) -> dict[str, Any] | None:
    """A file of ours in JSON, None where there is none."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError):
        raise _unreadable(path) from None


def _unreadable(path: Path) -> UsageError:
    return UsageError(f"{path} is not as regulars wrote it: bring it back from a backup")
