"""A few kills of one command; `python -m tests.killing COMMAND --kills 20` is the long form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.killing.kills import Killed, kill_repeatedly
from tests.killing.scenario import Scenario

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
def test_a_plan_survives_kills() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.killing", "plan", "--kills", "2", "--seed", "3"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    counts = json.loads(done.stdout)
    assert counts["command"] == "plan" and counts["killed"] == 2


def _writes(folder: Path, *names: str, safely: bool = True) -> Callable[[], int]:
    """Work that writes files, each beside its place first or in its place at once."""

    def work() -> int:
        for name in names:
            place = folder / name
            target = place.with_name(f".{name}-new") if safely else place
            with target.open("w") as stream:
                stream.write("half ")
                stream.flush()
                os.fsync(stream)
                stream.write("new")
            if safely:
                target.rename(place)
        return 0

    return work


def test_safe_work_survives_and_unsafe_work_is_caught(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "a").write_text("old")
    counts = kill_repeatedly(Scenario(folder, _writes(folder, "a", "b")), kills=4, seed=1)
    assert counts["killed"] == 4 and counts["changes"] == 6
    with pytest.raises(Killed, match="a is neither that of before nor that of after"):
        kill_repeatedly(Scenario(folder, _writes(folder, "a", safely=False)), kills=6, seed=1)


def test_a_rerun_that_leaves_other_files_is_caught(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    again = _writes(folder, "a", "left over")
    with pytest.raises(Killed, match="left over: should not be there"):
        kill_repeatedly(Scenario(folder, _writes(folder, "a"), again), kills=1, seed=1)
