"""A real MLflow tracking server on a free port of this machine: SQLite behind it, artefacts through its proxy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MOST_SECONDS = 120


@dataclass(frozen=True)
class Server:
    """A running server, and how to end it as a crash would."""

    uri: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """Ends the server and its workers at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """A server whose store and artefacts lie in `folder`, until the block ends."""
    port, environment = free_port(), {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # it starts processes that nothing here needs
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/store.db", "--artifacts-destination", str(folder / "files")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        _await(server, folder / "server.log")
        yield server
    finally:
        server.kill()


def _await(server: Server, log: Path) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.uri}/health", timeout=5) as answer:  # noqa: S310 (our own server)
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        if server.process.poll() is not None:
            break
    raise RuntimeError(f"the MLflow server did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")
