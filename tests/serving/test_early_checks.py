"""What cannot succeed is refused before a heavy library is imported or the log is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import regulars
from serving.early_checks import CHECKS

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
config_version = 1
name = "shop"
[events]
source = "there is no such file.parquet"
customer = "customer"
time = "time"
"""
PLAN = "[plan]\ncampaign = 'spring'\n[plan.actions.mail]\ncost = 2\nsave_rate = 0.1\n"
HEAVY = ("mlflow", "lightgbm", "sklearn", "scipy.stats", "matplotlib", "optuna", "numba")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "regulars.toml").write_text(CONFIG)
    return tmp_path


def _scored(folder: Path, cutoff: str = "2024-06-01") -> None:
    scores = folder / "output" / "scores" / f"cutoff={cutoff}"
    scores.mkdir(parents=True)
    (scores / "_manifest.json").write_text("{}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("score --cutoff 2024-06-01", "no model shop-churn is registered"),
        ("promote", "no model shop-churn is registered"),
        ("rollback uplift", "run `regulars train` first"),
        ("uplift --cutoff 2024-06-01", "no model shop-uplift is registered"),
        ("explain C-1 --cutoff 2024-06-01 --below 2", "--below is a probability"),
        ("explain C-1 --cutoff 2024-06-01", "no model shop-churn is registered"),
        ("segments", "no scores found"),
        ("monitor --cutoff 2024-06-01", "cutoff 2024-06-01 is not scored"),
        ("report", "no scores found"),
        ("plan --cutoff 2024-06-01 --budget 5", "the config has no [plan]"),
        ("measure spring", "'spring' names no plan"),
        ("measure 2024-06-01/spring", "there is no plan 'spring' at cutoff 2024-06-01"),
        ("train value", "[events] amount is not set"),
        ("train uplift", "there is no [contacts]"),
        ("train uplift --compare", "`train uplift` has no options"),
        ("train --log nowhere", "--log: nowhere is not a folder"),
    ],
)
def test_it_is_refused_without_reading_anything(folder: Path, arguments: str, words: str) -> None:
    result = CliRunner().invoke(regulars.cli, arguments.split())
    assert result.exit_code == 2 and words in result.output, result.output
    assert [path.name for path in folder.iterdir()] == ["regulars.toml"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--budget -3", "--budget must be 0 or more (found -3.0)"),
        ("--budget nan", "--budget must be 0 or more (found nan)"),
        ("--budget 1", "below the cheapest action"),
        ("--budget 5 --campaign a/b", "found 'a/b'"),
        ("", "no budget"),
        ("--budget 5 --detect 2", "--detect 2: expected"),
        ("--test mail", "nothing to compare"),
        ("--budget 5", "cutoff 2024-07-01 is not scored"),
    ],
)
def test_a_plan_that_cannot_be(folder: Path, option: str, words: str) -> None:
    (folder / "regulars.toml").write_text(CONFIG + PLAN)
    _scored(folder)
    result = CliRunner().invoke(regulars.cli, ["plan", "--cutoff", "2024-07-01", *option.split()])
    assert result.exit_code == 2 and words in result.output, result.output


def test_a_plan_without_contacts_cannot_be_measured(folder: Path) -> None:
    plan = folder / "output" / "plans" / "cutoff=2024-06-01" / "spring"
    plan.mkdir(parents=True)
    (plan / "manifest.json").write_text("{}")
    result = CliRunner().invoke(regulars.cli, ["measure", "2024-06-01/spring"])
    assert result.exit_code == 2 and "the config has no [contacts]" in result.output


def test_no_heavy_library_is_imported_for_it(folder: Path) -> None:
    (folder / "regulars.toml").write_text(CONFIG + PLAN)
    script = f"""
import sys, pytest
from pathlib import Path
from features.errors import RegularsError
from serving.early_checks import CHECKS, refuse_early
from datetime import date
options = dict(cutoff=date(2024, 6, 1), budget=5.0, campaign=None, plan="2024-06-01/x", below=None)
options |= dict(test=None, detect=0.05, share=False)
options |= dict(which="uplift", kept=None, compare=False, resume=False, out="regulars.toml")
for command in CHECKS:
    with pytest.raises(RegularsError):
        refuse_early(command, "regulars.toml", options)
print([name for name in {HEAVY} if name in sys.modules])
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""}
    )
    assert done.stdout.strip() == "[]"


def test_every_checked_command_exists_with_the_options_that_are_looked_at() -> None:
    for name in CHECKS:
        assert name in regulars.cli.commands
