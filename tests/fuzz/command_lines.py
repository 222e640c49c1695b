"""Target `command_lines`: every command with odd and wrong arguments, in folders that lack this or that."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import click
from hypothesis import strategies as st

import regulars
from tests.fuzz import odd_values
from tests.fuzz.command import Failure, leftovers, run_command
from tests.fuzz.target import Case, Target
from tests.fuzz.workspace import Workspace
from tests.scored import CUTOFF

PLACES = ("scored", "scored", "nothing", "config only", "no output", "output is a file", "broken log")
KEPT = (
    "regulars.toml",
    "log.parquet",
    "contacts.parquet",
    "people.parquet",
    "visits.csv",
    "optout.csv",
    "contracts.toml",
)
OUT = ("out.parquet", "new/out.parquet", "log.parquet", "output", "regulars.toml/x.parquet", ".", "..", "",
"/dev/null", "/dev/full",
       "a" * 300, "link.parquet", "客户.parquet", "x\ny.parquet", "people.parquet", "\x1b[31m.parquet")  # fmt: skip
PLANS = (
    f"{CUTOFF}",
    f"{CUTOFF}/retention",
    f"output/plans/cutoff={CUTOFF}/retention",
    f"{CUTOFF}/none",
    f"cutoff={CUTOFF}",
    "plans",
    "/",
    "",
)
CUSTOMERS = (
    "c004",
    "c004 ",
    "C004",
    "c001",
    "nobody",
    "4",
    "c004.0",
    "'c004'",
    "c%",
    "*",
    "\udcff",
    "c004\n",
    "\x1b[2J",
)
DATA_FILES = (
    "log.parquet",
    "visits.csv",
    "*.parquet",
    ".",
    "output",
    "regulars.toml",
    "none.csv",
    "people.parquet",
    "optout.csv",
    "/dev/null",
)
SMALL = ("-1", "0", "1", "2", "5", "1.5", "x", "", "９", "1e3", "99999999999999999999999", "nan")
MONEY = ("-1", "0", "0.1", "10", "1e300", "inf", "-inf", "nan", "x", "", "1,5", "£5")
GOOD = {"cutoff": str(CUTOFF), "cutoffs": str(CUTOFF), "customer": "c004", "plan": str(CUTOFF), "file": "log.parquet",
        "out": "out.parquet", "which": "all", "campaign": "spring", "budget": "10", "below": "0.1", "days": "30",
        "customers": "5",
        "start": "2024-01-01", "host": "127.0.0.1", "port": "0", "kept": "none", "also": "shop.local"}  # fmt: skip


def cases(workspace: Workspace) -> st.SearchStrategy[Case]:
    """A place, and the words after `regulars`."""
    return _cases()


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    """A command with good arguments but for one; now and then an odd word more."""
    name = draw(st.sampled_from(sorted(regulars.cli.commands)))
    parameters = regulars.cli.commands[name].params
    odd = draw(st.sampled_from((None, *(parameter.name for parameter in parameters))))
    words = [draw(odd_values.texts()) if draw(odd_values.rarely(30)) else name]
    for parameter in parameters:
        words += _words_of(draw, name, parameter, parameter.name == odd)
    if draw(odd_values.rarely(8)):
        files = st.sampled_from(("contracts.toml", "none.toml", "output", "log.parquet"))
        words = ["-c", draw(st.one_of(files, odd_values.texts())), *words]
    if draw(odd_values.rarely(12)):
        extra = st.one_of(odd_values.texts(), st.sampled_from(("--yes", "--help", "-h", "--version")))
        words.insert(draw(st.integers(0, len(words))), draw(extra))
    if name == "demo":
        words.append("--quick")
    return {
        "place": draw(st.sampled_from(PLACES)),
        "words": [word.replace("\0", "") for word in words],
    }  # no argument has NUL


def _words_of(draw: st.DrawFn, command: str, parameter: click.Parameter, odd: bool) -> list[str]:
    """The words for one parameter; an optional one is left out half the time."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return [parameter.opts[0]] if draw(odd_values.rarely(3)) else []
    if not parameter.required and not odd and draw(st.booleans()):
        return []
    if odd and draw(odd_values.rarely(10)):
        return [] if parameter.required else [parameter.opts[0]]
    good = GOOD.get(str(parameter.name), "1")
    value = draw(_values_of(command, str(parameter.name), parameter)) if odd else good
    return [parameter.opts[0], value] if isinstance(parameter, click.Option) else [value]


def _values_of(command: str, name: str, parameter: click.Parameter) -> st.SearchStrategy[str]:
    known = {
        "customer": st.sampled_from(CUSTOMERS),
        "plan": st.sampled_from(PLANS),
        "file": st.sampled_from(DATA_FILES),
        "out": st.sampled_from(OUT),
        "kept": st.sampled_from(("output", "output/unlogged", "none", "", "log.parquet")),
        "which": st.sampled_from(("all", "churn", "value", "uplift", "ALL", "churn ", "")),
        "campaign": st.one_of(st.sampled_from(("retention", "spring", "a/b", "..", "")), odd_values.texts(5)),
        "budget": st.sampled_from(MONEY),
        "below": st.sampled_from(MONEY),
    }
    if name in ("cutoff", "cutoffs", "start") and command != "backtest":
        return odd_values.days()
    if name in known:
        return st.one_of(known[name], known[name], known[name], odd_values.texts(5))
    if name == "customers" or isinstance(parameter.type, click.types.IntParamType | click.IntRange):
        return st.sampled_from(SMALL)
    return odd_values.texts(5)


def run(workspace: Workspace, case: Case) -> str:
    """Runs the command in its place; a refused one leaves nothing half-written, and no other file changed."""
    with workspace.copy() as folder, _bounded():
        _prepare(folder, case["place"])
        inputs = _inputs(folder)
        outcome = run_command(folder, *case["words"])
        if left := leftovers(folder):
            raise Failure("half-written files", f"{left}\n{outcome.text}", " ".join(case["words"][:1]))
        changed = [name for name, data in _inputs(folder).items() if inputs.get(name, data) != data]
        changed += [name for name in inputs if not (folder / name).exists()]
        allowed = _asked_for(case["words"]) if outcome.code == 0 else set()
        if [name for name in changed if name not in allowed]:
            raise Failure(
                "a command changed the user's files", f"{changed}\n{outcome.text}", " ".join(case["words"][:1])
            )
        return f"{case['words'][0] if case['words'][0] in regulars.cli.commands else 'other'}: {outcome.kind}"


@contextmanager
def _bounded() -> Iterator[None]:
    """Let the web page end at once, and the demo after it has written its files."""
    with mock.patch("uvicorn.Server.run"), mock.patch("serving.demo._audit_data", side_effect=SystemExit(0)):
        yield


def _prepare(folder: Path, place: str) -> None:
    if place == "nothing":
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif place == "config only":
        for path in folder.iterdir():
            if path.name not in ("regulars.toml", "contracts.toml"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif place in ("no output", "output is a file"):
        shutil.rmtree(folder / "output")
        if place == "output is a file":
            (folder / "output").write_text("mine")
    elif place == "broken log":
        (folder / "log.parquet").write_bytes((folder / "log.parquet").read_bytes()[:200])


def _inputs(folder: Path) -> dict[str, bytes]:
    """The user's own files."""
    return {name: (folder / name).read_bytes() for name in KEPT if (folder / name).is_file()}


def _asked_for(words: list[str]) -> set[str]:
    """Files that the user named as a target; replacing a regular file of that name is what was asked for."""
    return {word for before, word in zip(words, words[1:], strict=False) if before == "--out"}


TARGET = Target("command_lines", cases, run, short=7)
