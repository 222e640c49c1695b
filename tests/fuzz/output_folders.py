"""Target `output_folders`: files of the output removed, cut, swapped, linked or changed, and then read.

Every command that reads them, and every page, must work or say which file is wrong; reading changes nothing; forgetting
a customer works, or names what it could not open.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from features.config.load import load_config
from tests.fuzz.command import Failure, leftovers, run_command, unforeseen
from tests.fuzz.spoiled_files import changes, spoil
from tests.fuzz.target import Case, Target
from tests.fuzz.workspace import Workspace
from tests.scored import CUTOFF
from tests.webpages import app_of, fetch

DAY = str(CUTOFF)
COMMANDS = (
    ("report",), ("segments",), ("measure", DAY), ("monitor",), ("campaigns",),
    ("plan", "--cutoff", DAY), ("plan", "--cutoff", DAY, "--campaign", "b"),
    ("forget", "c004"), ("forget", "c004", "--yes"), ("forget", "c004", "--yes"), ("check",), ("run",),
    ("build", "--cutoff", DAY, "--out", "f.parquet"), ("explain", "c004", "--cutoff", DAY), ("page",), ("page",),
    ("page",),
)  # fmt: skip
PAGES = ("/", "/segments", "/customers", "/customers.csv", "/customers.xlsx", "/customer?id=c004",
"/customer/reasons?id=c004",
         "/customer/history?id=c004", "/plan", "/experiments", "/monitoring", "/models")  # fmt: skip


def cases(workspace: Workspace) -> st.SearchStrategy[Case]:
    """One or two changes of files, and what reads them."""
    return st.fixed_dictionaries({"changes": changes(_files(workspace.scored)), "command": st.sampled_from(COMMANDS)})


@cache
def _files(scored: Path) -> tuple[str, ...]:
    """The files of the output and of the cache, without the many parts of it."""
    names = sorted(path.relative_to(scored).as_posix() for path in (scored / "output").rglob("*") if path.is_file())
    return tuple(names)


def run(workspace: Workspace, case: Case) -> str:
    """Changes the files in a copy, and reads them."""
    with workspace.copy() as folder:
        for change in case["changes"]:
            spoil(folder, change, _files(workspace.scored))
        if case["command"] == ("page",):
            return _read_pages(folder)
        before = _state(folder / "output")
        outcome = run_command(folder, *case["command"])
        if left := leftovers(folder):
            raise Failure("half-written files", f"{left}\n{outcome.text}", case["command"][0])
        if case["command"][0] == "explain" or case["command"] == ("forget", "c004"):
            changed = sorted(name for name, data in _state(folder / "output").items() if before.get(name) != data)
            if changed:
                raise Failure("reading changed files", f"{changed}\n{outcome.text}", case["command"][0])
        if case["command"] == ("forget", "c004", "--yes") and outcome.code not in (0, 1):
            raise Failure("a damaged file blocks forget", outcome.text, _changed_kind(case))
        return f"{case['command'][0]}: {outcome.kind}"


def _changed_kind(case: Case) -> str:
    return ", ".join(sorted({Path(change["file"]).name for change in case["changes"]}))


def _read_pages(folder: Path) -> str:
    """Every page answers, and none with an error of the server."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        app = app_of(load_config("regulars.toml"))
        worst = 0
        for address in PAGES:
            try:
                answer = fetch(app, address)
            except Exception as problem:
                raise unforeseen(problem) from problem
            if answer.status >= 500 and "regulars" not in answer.text:
                raise Failure("a page is broken", answer.text[-3000:], address)
            worst = max(worst, answer.status)
        return f"page: {worst}"
    finally:
        os.chdir(before)


def _state(folder: Path) -> dict[str, bytes | str]:
    """The content of each file, and the target of each link; locks and caches are left out."""
    if not folder.is_dir():
        return {}
    state: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            state[name] = os.readlink(path)
        elif path.is_file() and not name.endswith(".lock") and not name.startswith("snapshots/"):
            state[name] = path.read_bytes()
    return state


TARGET = Target("output_folders", cases, run, short=4)
