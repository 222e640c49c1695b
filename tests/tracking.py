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
class TrackingServer:
    """A running server, which can be ended like in a crash."""

    uri: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End the server and its workers at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def run_tracking_server(folder: Path) -> Iterator[TrackingServer]:
    """Run a server with its store and artefacts in `folder` until the block ends."""
    port, environment = free_port(), {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # it starts processes that nothing here needs
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/store.db", "--artifacts-destination", str(folder / "files")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    server = TrackingServer(f"http://127.0.0.1:{port}", process)
    try:
        _wait_for_server(server, folder / "server.log")
        yield server
    finally:
        server.kill()


def _wait_for_server(server: TrackingServer, log: Path) -> None:
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
