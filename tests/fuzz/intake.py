"""Target `intake`: files of a log in odd dialects, encodings, shapes and types, read by `check` and `init`.

Where a case gives a plain table, every line given must be counted: as a usable row, or as one that was set aside. The
order of the lines, and how they are spread over files, must not change the fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz import odd_values
from tests.fuzz.command import Failure, leftovers, run_command
from tests.fuzz.csv_logs import (
    AMOUNT_STYLES,
    DELIMITERS,
    ENCODINGS,
    FLAWS,
    HEADER,
    HEADERS,
    IDS,
    LINE_ENDS,
    SHAPES,
    TIME_STYLES,
    write_csv,
)
from tests.fuzz.parquet_logs import TYPES, write_parquet
from tests.fuzz.target import Case, Target
from tests.fuzz.toml import toml_text
from tests.fuzz.workspace import Workspace


def cases(workspace: Workspace) -> st.SearchStrategy[Case]:
    """A CSV log two times in three, else Parquet."""
    return st.one_of(_csv_cases(), _csv_cases(), _parquet_cases())


@st.composite
def _csv_cases(draw: st.DrawFn) -> Case:
    """A plain log with up to three things odd."""
    plain = {
        "rows": draw(st.sampled_from((12, 40))), "seed": draw(st.integers(0, 999)), "ids": ["c1", "c2", "c3"],
        "time": TIME_STYLES[1],
        "amount": "plain", "odd": 0.0, "delimiter": ",", "quote all": False, "encoding": "utf-8", "line end": "\n",
        "header": "plain",
        "flaws": [], "shape": "one",
    }  # fmt: skip
    odd = {
        "rows": st.sampled_from((0, 1, 2)),
        "ids": st.lists(st.one_of(st.sampled_from(IDS), odd_values.texts(8)), min_size=1, max_size=6),
        "time": st.sampled_from(TIME_STYLES),
        "amount": st.sampled_from(tuple(AMOUNT_STYLES)),
        "odd": st.sampled_from((0.02, 0.3)),
        "delimiter": st.sampled_from(DELIMITERS[1:]),
        "quote all": st.just(True),
        "encoding": st.sampled_from(ENCODINGS[2:]),
        "line end": st.sampled_from(LINE_ENDS[2:]),
        "header": st.sampled_from(HEADERS[3:]),
        "flaws": st.lists(st.sampled_from(FLAWS), min_size=1, max_size=2),
        "shape": st.sampled_from(SHAPES[2:]),
    }
    chosen = draw(st.lists(st.sampled_from((*odd, "flaws", "shape")), max_size=3, unique=True))
    return {
        "csv": plain | {key: draw(odd[key]) for key in chosen},
        "events": draw(_event_keys(("customer", "time"), ("amount", "order"))),
        "command": draw(st.sampled_from(("check", "check", "init", "again"))),
    }


@st.composite
def _parquet_cases(draw: st.DrawFn) -> Case:
    """A plain table with the types of one or two columns odd, or the file."""
    types = dict(zip(HEADER, ("string", "timestamp[us]", "float64", "int64", "string"), strict=False))
    for name in draw(st.lists(st.sampled_from(HEADER[:5]), max_size=2)):
        types[name] = draw(st.sampled_from(TYPES))
    return {
        "parquet": {
            "rows": draw(st.sampled_from((0, 1, 12, 40))),
            "columns": types,
            "nulls": draw(st.sampled_from((0.0, 0.0, 0.1, 1.0))),
            "seed": draw(st.integers(0, 999)),
            "cut": draw(st.sampled_from((*[""] * 8, "half", "tail", "garbage", "empty", "csv inside"))),
            "shape": draw(st.sampled_from(("one", "one", "one", "two", "two types", "folder named like a file"))),
        },
        "events": draw(_event_keys(("customer", "time"), ("amount", "order"))),
        "command": draw(st.sampled_from(("check", "check", "init", "again"))),
    }


@st.composite
def _event_keys(draw: st.DrawFn, needed: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    """The keys of [events] beside the source."""
    keys: dict[str, Any] = {name: name for name in (*needed, *draw(st.lists(st.sampled_from(optional), unique=True)))}
    if draw(st.booleans()):
        keys["kinds"] = ["channel"]
    extra = draw(st.sampled_from((*[None] * 6, "timezone", "time_format", "known_at", "duplicates", "until", "id")))
    values = {
        "timezone": draw(st.sampled_from(odd_values.ZONES)),
        "time_format": draw(st.sampled_from(TIME_STYLES)),
        "known_at": "time",
        "duplicates": "drop",
        "until": "2024-06-01",
        "id": "order",
    }
    return keys | ({extra: values[extra]} if extra else {})


def run(workspace: Workspace, case: Case) -> str:
    """Writes the files, runs the command, and counts the lines."""
    with workspace.folder() as folder:
        source, given = write_csv(folder, case["csv"]) if "csv" in case else write_parquet(folder, case["parquet"])
        if case["command"] == "init":
            return _init(folder, source)
        config = {
            "config_version": 1,
            "name": "shop",
            "events": {"source": source, **case["events"]},
            "engine": {"threads": 1},
        }
        (folder / "regulars.toml").write_text(toml_text(config), encoding="utf-8")
        outcome = run_command(folder, "check")
        if left := leftovers(folder):
            raise Failure("half-written files", f"{left}\n{outcome.text}")
        if outcome.code in (0, 1):
            audit = _audit(folder)
            _assert_counted(audit, given, outcome.text)
            if case["command"] == "again":
                _assert_same_again(folder, case, audit, given)
        return outcome.kind


def _init(folder: Path, source: str) -> str:
    outcome = run_command(folder, "init", source)
    written = (folder / "regulars.toml").exists()
    if written != (outcome.code == 0):
        raise Failure("init wrote a config and refused, or neither", outcome.text)
    return run_command(folder, "check").kind if written else outcome.kind


def _audit(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "output" / "audit.json").read_text(encoding="utf-8"))


def _assert_counted(audit: dict[str, Any], given: int | None, text: str) -> None:
    """Every line that was given is a usable row, or was set aside, or is a duplicate that was dropped."""
    aside = sum(entry["rows"] for entry in audit["set_aside"])
    counted = audit["rows"] + aside + audit["duplicates_dropped"]
    if given is not None and counted != given:
        raise Failure(
            "lines that are counted nowhere", f"{given} lines given, {counted} counted\n{audit}\n{text}", "check"
        )


def _assert_same_again(folder: Path, case: Case, audit: dict[str, Any], given: int | None) -> None:
    """The same log read twice, and with its lines in another order, has the same fingerprint."""
    run_command(folder, "check")
    if _audit(folder)["fingerprint"] != audit["fingerprint"]:
        raise Failure("read twice, the log has two fingerprints", str(audit), "check")
    plain = case.get("csv", {})
    if given is None or not plain or plain["flaws"] or plain["shape"] != "one" or case["events"].get("id"):
        return
    write_csv(folder, {**plain, "shuffle": True})
    outcome = run_command(folder, "check")
    if outcome.code not in (0, 1) or _audit(folder)["fingerprint"] != audit["fingerprint"]:
        raise Failure("the order of lines changes the fingerprint", f"{audit}\n{outcome.text}", "check")


TARGET = Target("intake", cases, run, short=2)
