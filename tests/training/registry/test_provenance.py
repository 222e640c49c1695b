"""Code version of a model: a commit and whether code was changed since, or the package's version."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from training.registry.provenance import code_version, package_version, runtime_environment


def _git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_says_its_commit_and_whether_its_code_changed(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "a.py").write_text("x = 1\n")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "first")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "orders.csv").write_text("a user's data is no code\n")
    assert code_version(tmp_path) == commit
    (tmp_path / "training" / "b.py").write_text("x = 2\n")
    assert code_version(tmp_path) == f"{commit} dirty"
    inside = tmp_path / "venv" / "site-packages"
    inside.mkdir(parents=True)
    assert code_version(inside) == package_version(), "installed into somebody else's checkout"


def test_without_git_or_a_checkout_it_is_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_version(tmp_path) == package_version()
    monkeypatch.setattr("training.registry.provenance.shutil.which", lambda name: None)
    assert code_version() == package_version()


def test_the_environment_names_python_and_every_package() -> None:
    environment = runtime_environment()
    assert environment["python"].startswith("3.")
    assert {"lightgbm", "mlflow", "pytest"} <= set(environment["packages"])
