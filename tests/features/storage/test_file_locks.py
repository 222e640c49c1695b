"""One process at a time, and no lock stays."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from features.errors import RefusedError, UsageError
from features.storage.file_locks import exclusive_lock


def test_one_writes_at_a_time_and_no_lock_stays(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "x.lock"
    with exclusive_lock(lock, "writing"):
        with pytest.raises(RefusedError, match="writing is being done by another run"), exclusive_lock(lock, "writing"):
            pytest.fail("two at once")
        with exclusive_lock(lock.with_name("y.lock"), "other"):
            pass
        assert lock.exists()
    assert not lock.parent.exists()
    with exclusive_lock(lock, "writing"):
        pass


def test_a_patient_process_waits_for_another(tmp_path: Path) -> None:
    lock, ready = tmp_path / "x.lock", os.pipe()
    pid = os.fork()
    if pid == 0:
        with exclusive_lock(lock, "writing"):
            os.write(ready[1], b"x")
            threading.Event().wait(0.2)
        os._exit(0)
    os.read(ready[0], 1)
    with exclusive_lock(lock, "writing", patience=10):
        assert os.waitpid(pid, 0)[1] == 0


def test_a_lock_that_cannot_be_made_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"), exclusive_lock(tmp_path / "file" / "x.lock", "writing"):
        pytest.fail("no lock")
