"""Which code made a model and what it ran on: a git commit where it is a checkout, else the package's version."""

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
    """The installed version of regulars, or 'not installed' (`mlflow run` runs a checkout without installing it)."""
    try:
        return version("regulars")
    except PackageNotFoundError:
        return "not installed"


def code_version(root: Path = PROJECT_ROOT) -> str:
    """The commit of the checkout that the code lies in, 'dirty' where its code was changed since, or the version."""
    commit = _git(root, "rev-parse", "HEAD")
    top = _git(root, "rev-parse", "--show-toplevel")
    if not commit or Path(top).resolve() != root.resolve():  # installed into somebody else's checkout
        return package_version()
    changed = _git(root, "status", "--porcelain", "--", *(name for name in CODE_PATHS if (root / name).exists()))
    return f"{commit} dirty" if changed else commit


def runtime_environment() -> dict[str, Any]:
    """Python, the system, and every installed package with its version."""
    found = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "code": code_version(),
        "packages": dict(sorted(found.items(), key=lambda item: item[0].lower())),
    }


def _git(folder: Path, *words: str) -> str:
    """What git says; empty where there is no git, no repository, or no answer."""
    program = shutil.which("git")
    if program is None:
        return ""
    try:
        said = subprocess.run(  # noqa: S603 (fixed words)
            [program, "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""
