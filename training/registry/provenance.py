"""Provenance of a model: code version (a git commit in a checkout, else the package's version) and environment."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

from features.code_digest import PROJECT_ROOT

CODE_PATHS = ("features", "training", "serving", "regulars.py")


def package_version() -> str:
    """Return the installed version, or 'not installed' (`mlflow run` runs a checkout without installing it)."""
    try:
        return version("regulars")
    except PackageNotFoundError:
        return "not installed"


def code_version(root: Path = PROJECT_ROOT) -> str:
    """Return the commit of the code's checkout, 'dirty' if its code was changed since, or the package's version."""
    commit = _git(root, "rev-parse", "HEAD")
    top = _git(root, "rev-parse", "--show-toplevel")
    if not commit or Path(top).resolve() != root.resolve():  # installed into somebody else's checkout
        return package_version()
    changed = _git(root, "status", "--porcelain", "--", *(name for name in CODE_PATHS if (root / name).exists()))
    return f"{commit} dirty" if changed else commit


def runtime_environment() -> dict[str, Any]:
    """Return Python, the system, and every installed package with its version."""
    packages = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "code": code_version(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def _git(folder: Path, *words: str) -> str:
    """The output of a git command; empty if there is no git, no repository, or no answer."""
    program = shutil.which("git")
    if program is None:
        return ""
    try:
        completed = subprocess.run(  # noqa: S603 (fixed words)
            [program, "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return completed.stdout.strip() if completed.returncode == 0 else ""
