"""Temporary folders: those of killed processes are removed by the next one, those in use and others' are not."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from features.storage.private_folders import ScratchFolder, abandoned, in_use, remove_abandoned, temporary_folder

ANY = re.compile(".*")


def test_scratch_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        used = ScratchFolder(tmp_path)
        (Path(used.name) / "spill").write_text("C-1")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    (left,) = tmp_path.iterdir()
    (tmp_path / "regulars-scratch-mine").mkdir()
    own = ScratchFolder(tmp_path)
    assert not left.exists() and (tmp_path / "regulars-scratch-mine").exists()
    assert Path(own.name).stat().st_mode & 0o777 == 0o700
    other = ScratchFolder(tmp_path)
    assert Path(own.name).exists(), "in use"
    for folder in (own, other, other):
        folder.cleanup()
    assert [path.name for path in tmp_path.iterdir()] == ["regulars-scratch-mine"]


def test_only_what_nobody_uses_is_abandoned(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    with temporary_folder("work-", tmp_path) as folder:
        assert in_use(folder) and abandoned(tmp_path, ANY) == [tmp_path / "file"]
        assert remove_abandoned(tmp_path, ANY) == [tmp_path / "file"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"] and in_use(tmp_path / "none")
    assert abandoned(tmp_path / "nowhere", ANY) == []
