"""The file of the users who may open the pages: names, roles and hashed passwords; only its owner can read it.

Passwords are hashed with scrypt and a salt of their own. The cost is what OWASP recommends for it: n = 2^15, r = 8,
p = 3 (OWASP Password Storage Cheat Sheet, 2024), 32 MB and a few tenths of a second for each attempt.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.errors import DataError, UsageError, printable
from features.storage.atomic_files import write_text_atomically
from features.storage.json_files import read_json

ROLES = ("customers", "groups")  # sees customers; sees only groups of them
MIN_PASSWORD = 10
MAX_PASSWORD = 1024  # longer ones are refused before they are hashed
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,79}")
COST = {"n": 2**15, "r": 8, "p": 3}
MEMORY = 64 * 1024 * 1024
ADVICE = "remove it and add the users again with `regulars users add NAME`"


@dataclass(frozen=True)
class User:
    """A user of the pages.

    Attributes:
        name: The name to sign in with.
        role: One of ROLES: 'customers' sees everything, 'groups' no single customer.
        salt: Of the password, in hexadecimal; empty: this user cannot sign in with a password.
        hashed: The hashed password, in hexadecimal.
    """

    name: str
    role: str
    salt: str = ""
    hashed: str = ""

    @property
    def sees_customers(self) -> bool:
        """Whether this user may see single customers and download lists of them."""
        return self.role == "customers"


class UsersFile:
    """The file; it is read at each use, so that a change counts at once.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def users(self) -> dict[str, User]:
        """Read the users by name; none if there is no file.

        Raises:
            DataError: The file is damaged.
        """
        try:
            content = read_json(self.path, ADVICE)
        except FileNotFoundError:
            return {}
        try:
            users = [User(**row) for row in content["users"]]
        except (KeyError, TypeError):
            raise DataError(f"{self.path}: is no file of users; {ADVICE}") from None
        if any(not all(isinstance(each, str) for each in asdict(user).values()) for user in users):
            raise DataError(f"{self.path}: expected only texts in the entries of users; {ADVICE}")
        if wrong := [user for user in users if user.role not in ROLES]:
            raise DataError(
                f"{self.path}: the user {printable(wrong[0].name)!r} has the role {printable(wrong[0].role)!r}; "
                f"expected {' or '.join(ROLES)}"
            )
        return {user.name: user for user in users}

    def add(self, name: str, role: str, password: str) -> None:
        """Add a user, or change their role and password.

        Args:
            name: The name to sign in with.
            role: One of ROLES.
            password: The password; empty for a user whom a proxy signs in.

        Raises:
            UsageError: The name or the password cannot be used.
            DataError: The file is damaged.
        """
        if not NAME.fullmatch(name):
            raise UsageError(
                f"user {printable(name)!r}: expected letters, digits and . _ @ + - (at most 80), beginning with a "
                "letter or digit"
            )
        if password and not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise UsageError(
                f"the password has {len(password):,} characters; expected {MIN_PASSWORD} to {MAX_PASSWORD:,}"
            )
        salt = secrets.token_hex(16) if password else ""
        user = User(name, role, salt, hash_password(password, salt) if password else "")
        self._write({**self.users(), name: user})

    def remove(self, name: str) -> None:
        """Remove a user.

        Raises:
            UsageError: There is no such user.
        """
        users = self.users()
        if name not in users:
            known = ", ".join(sorted(users)) or "none"
            raise UsageError(f"{self.path}: there is no user {printable(name)!r}; the users are: {known}")
        self._write({key: user for key, user in users.items() if key != name})

    def sign_in(self, name: str, password: str) -> User | None:
        """Return the user whose password this is; None for a wrong one, which takes as long for an unknown name."""
        user = self.users().get(name)
        salt = user.salt if user and user.salt else "00" * 16
        found = hash_password(password[: MAX_PASSWORD + 1], salt)
        known = user.hashed if user and user.hashed else "0" * len(found)
        return user if hmac.compare_digest(found, known) and user and user.hashed else None

    def _write(self, users: dict[str, User]) -> None:
        rows: list[dict[str, Any]] = [asdict(users[name]) for name in sorted(users)]
        write_text_atomically(self.path, json.dumps({"format": 1, "users": rows}, indent=1) + "\n")


def hash_password(password: str, salt: str) -> str:
    """Hash a password with scrypt.

    Args:
        password: The password.
        salt: In hexadecimal.

    Returns:
        The hash in hexadecimal (64 characters).
    """
    return hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), maxmem=MEMORY, dklen=32, **COST).hex()
