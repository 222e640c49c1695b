"""A short form of every target, always with the same inputs; `python -m tests.fuzz --minutes 30` is the long form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.long_run import Tally, load_failure, save_failures, tally_text
from tests.fuzz.targets import TARGETS
from tests.fuzz.workspace import Workspace, make_workspace

OPTIONS: dict[str, Any] = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny business that all targets share."""
    home = os.environ.get("HOME", "")
    made = make_workspace(tmp_path_factory.mktemp("fuzz"))
    os.environ["HOME"] = home
    return made


@pytest.mark.parametrize("name", list(TARGETS))
def test_odd_inputs_are_read_or_refused(name: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(workspace.root / "home"))
    target = TARGETS[name]

    @settings(max_examples=target.short, derandomize=True, phases=[Phase.generate], **OPTIONS)
    @given(target.cases(workspace))
    def run(case: object) -> None:
        target.run(workspace, case)

    run()


def test_a_failure_is_saved_and_read_back(tmp_path: Path) -> None:
    tally, case = Tally(), {"config": b"\xff\0", "command": ("check",), "value": "\udcff\x1b"}
    tally.add("accepted", {})
    tally.add("FAILED traceback: KeyError at x.py:f", {"longer": "x" * 200}, "Traceback\nKeyError")
    tally.add("FAILED traceback: KeyError at x.py:f", case, "Traceback\nKeyError")
    (file,) = save_failures({"configs": tally}, tmp_path)
    assert load_failure(file) == ("configs", case)
    assert "configs" in tally_text(
        {"configs": tally}
    ) and "       3         1        0       2           2" in tally_text({"configs": tally})
