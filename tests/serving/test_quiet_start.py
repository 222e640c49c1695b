"""Ctrl-C while modules are imported, and threads that sleep while they wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("problem", "code"), [("KeyboardInterrupt", 130), ("ValueError('bad')", 1)])
def test_an_interruption_is_one_line_and_other_errors_stay_as_they_are(problem: str, code: int) -> None:
    command = [sys.executable, "-c", f"import serving.quiet_start; raise {problem}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert (done.stderr == "regulars: interrupted\n") == (code == 130)


def test_the_command_line_imports_it_before_anything_else() -> None:
    lines = (ROOT / "regulars.py").read_text(encoding="utf-8").splitlines()
    imports = [line for line in lines if line.startswith(("import ", "from ")) and "__future__" not in line]
    assert imports[0].startswith("import serving.quiet_start")


def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise() -> None:
    script = "import os, serving.quiet_start; print(os.environ['OMP_WAIT_POLICY'])"
    for given, expected in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        environment = {**{k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}, **given}
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == expected
