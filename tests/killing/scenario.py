"""What is killed: a command in a folder, what it publishes, and which of its files the docs leave open."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import regulars
from tests.killing.forks import Phase, Work

UNITS = re.compile(  # what a command publishes as one: it is there as before or as after, never a mixture
    r"output/((scores|segments|uplift|csv|monitor)/cutoff=[^/]+|contributions/[^/]+/cutoff=[^/]+"
    r"|plans/cutoff=[^/]+/[^/]+(?=/(?!measured)))"
)
UNPUBLISHED = re.compile(r"(^|/)\.|^output/(snapshots|tuning|unlogged)/|^mlflow\.db|^mlartifacts/")
LOCKS = re.compile(r"\.lock$|^mlflow\.db-(journal|wal|shm)$")


@dataclass(frozen=True)
class Scenario:
    """A command that is killed.

    Attributes:
        folder: All that it reads and writes is below.
        work: Runs it; returns its exit code.
        again: Runs it after a kill; None: the same.
        codes: The exit codes that are right.
        phase: The part of it in which it is killed; None: all of it.
        publishing: Besides, it is killed before each change from the first call of this function on.
        chained: Whether kills follow each other, so that only a run that is missed by its kill ends.
        by_file: Whether files are published one by one and not as folders.
        may_vanish: Published files that may be missing for a moment.
        open_files: Files whose bytes the docs leave open (run ids, times, random salts), and what is compared instead:
            a function of the file; None: nothing.
        facts: More that must be equal at the end, such as what is registered; None: nothing.
        readers: What else readers see,
        such as the champions: after a kill it is that of before or after; None: nothing.
    """

    folder: Path
    work: Work
    again: Work | None = None
    codes: tuple[int, ...] = (0,)
    phase: Phase | None = None
    publishing: str = ""
    chained: bool = False
    by_file: bool = False
    may_vanish: str = ""
    open_files: Mapping[str, Callable[[Path], str] | None] = field(default_factory=dict)
    facts: Callable[[], str] | None = None
    readers: Callable[[], str] | None = None

    def published(self) -> dict[str, str]:
        """A digest of everything that readers may see, by what is published as one."""
        digests: dict[str, list[str]] = {}
        for name, digest in _digests(self.folder).items():
            if UNPUBLISHED.search(name) or self._is_open(name):
                continue
            unit = UNITS.match(name)
            digests.setdefault(name if self.by_file or unit is None else unit[0], []).append(f"{name} {digest}")
        seen = {unit: hashlib.sha256("\n".join(lines).encode()).hexdigest() for unit, lines in digests.items()}
        return seen | ({"readers": self.readers()} if self.readers else {})

    def final(self) -> dict[str, str]:
        """A digest of every file at the end, hidden ones too; of those that the docs leave open what they define."""
        digests = {}
        for name, digest in _digests(self.folder).items():
            pattern = next((pattern for pattern in self.open_files if re.search(pattern, name)), None)
            compared = self.open_files[pattern] if pattern is not None else None
            if LOCKS.search(name) or (pattern is not None and compared is None):
                continue
            digests[name] = digest if compared is None else compared(self.folder / name)
        return digests | ({"facts": self.facts()} if self.facts else {})

    def _is_open(self, name: str) -> bool:
        return any(re.search(pattern, name) for pattern in self.open_files)


def command(folder: Path, *arguments: str) -> Work:
    """A command of the real command line in a folder; its text goes into a file beside the folder."""

    def work() -> int:
        os.chdir(folder)
        text = os.open(printed(folder), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(text, stream.fileno())
        try:
            regulars.cli.main(list(arguments), prog_name="regulars")
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return 0

    return work


def printed(folder: Path) -> Path:
    """Where the text of the last command is kept, which was run in a folder."""
    return folder.with_name(f"{folder.name}-printed.txt")


def save(folder: Path, place: Path) -> None:
    """Copy a folder, with the times of its files."""
    shutil.copytree(folder, place, symlinks=True)


def restore(folder: Path, place: Path) -> None:
    """Put a folder back as it was saved."""
    shutil.rmtree(folder)
    shutil.copytree(place, folder, symlinks=True)


def _digests(folder: Path) -> dict[str, str]:
    """The digest of every file by its name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
