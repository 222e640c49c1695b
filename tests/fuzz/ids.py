"""Target `ids`: one customer written in several ways, in the log, the tables beside it, lists and commands.

Spellings of one number (`1001`, `1001.0`, ` 1001 `) are one customer everywhere; `00042` and `42` are two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from tests.fuzz import odd_values
from tests.fuzz.command import Failure, run_command
from tests.fuzz.target import Case, Target
from tests.fuzz.toml import toml_text
from tests.fuzz.workspace import Workspace

STORED = ("text", "int64", "float64", "csv", "dictionary")
SPELLINGS = ("{}", "{}.0", " {} ", "{} ", "\t{}")
START = "2024-01-"
PLAN = {
    "margin": 0.5,
    "holdout": 0.0,
    "budget": 100.0,
    "curve": 2,
    "actions": {"mail": {"cost": 0.5, "save_rate": 0.1}},
}


def cases(workspace: Workspace) -> st.SearchStrategy[Case]:
    """Numbers in several spellings, or ids of any text."""
    return st.one_of(_number_cases(), _text_cases())


@st.composite
def _number_cases(draw: st.DrawFn) -> Case:
    numbers = draw(st.lists(st.integers(1, 10**12), min_size=2, max_size=6, unique=True))
    spellings = draw(st.lists(st.sampled_from(SPELLINGS), min_size=1, max_size=3))
    return {
        "sort": "numbers",
        "numbers": numbers,
        "spellings": ["{}", *spellings],
        "stored": draw(st.sampled_from(STORED)),
        "people": draw(st.sampled_from(STORED)),
        "zeros": draw(st.booleans()),
        "forget": draw(st.sampled_from(SPELLINGS)),
    }


@st.composite
def _text_cases(draw: st.DrawFn) -> Case:
    ids = draw(st.lists(odd_values.texts(10), min_size=1, max_size=6, unique=True))
    return {"sort": "texts", "ids": ids, "forget": draw(st.sampled_from(ids)), "yes": draw(st.booleans())}


def run(workspace: Workspace, case: Case) -> str:
    """Checks a log with these ids, and forgets one of them."""
    with workspace.folder() as folder:
        return _run_numbers(folder, case) if case["sort"] == "numbers" else _run_texts(folder, case)


def _run_numbers(folder: Path, case: Case) -> str:
    numbers, spellings = case["numbers"], case["spellings"]
    typed = case["stored"] in ("int64", "float64")
    written = [str(n) if typed else spelling.format(n) for n in numbers for spelling in spellings]
    zeros = ["00042", "42"] if case["zeros"] and case["stored"] in ("text", "dictionary") else []
    _write(folder, [*written, *zeros], case["stored"], [str(n) for n in numbers], case["people"])
    outcome = run_command(folder, "check")
    if outcome.code not in (0, 1):
        raise Failure("ids that are numbers are refused", outcome.text, case["stored"])
    audit = json.loads((folder / "output" / "audit.json").read_text(encoding="utf-8"))
    expected = len(set(numbers) | ({42} if zeros else set())) + (1 if zeros else 0)
    if audit["customers"] != expected:
        raise Failure("one customer became several, or several one", f"expected {expected}\n{audit}", case["stored"])
    known = audit["customer_table"]
    if known is not None and known.get("unknown", 0) not in (0, len(zeros)):
        raise Failure("the customer table does not know the log's customers", str(known), case["people"])
    preview = run_command(folder, "forget", "--", case["forget"].format(numbers[0]))
    if preview.code != 1 or f"{len(spellings)} in events" not in preview.text:
        raise Failure("forget does not know a spelling of an id", preview.text, case["forget"])
    return outcome.kind


def _run_texts(folder: Path, case: Case) -> str:
    _write(folder, case["ids"], "text", case["ids"], "text")
    outcome = run_command(folder, "check")
    if "\0" in case["forget"]:  # no program can be given that argument
        return outcome.kind
    options = ["--yes"] if case["yes"] else []
    preview = run_command(folder, "forget", *options, "--", case["forget"])
    if outcome.code in (0, 1) and case["forget"].strip() and case["yes"] and preview.code == 0:
        after = run_command(folder, "check")
        if after.code == 0 and _customers(folder) >= len({text.strip() for text in case["ids"]}):
            raise Failure("a forgotten customer is back", after.text)
    return f"{outcome.kind}, forget {preview.kind}"


def _customers(folder: Path) -> int:
    return int(json.loads((folder / "output" / "audit.json").read_text(encoding="utf-8"))["customers"])


def _write(folder: Path, ids: list[str], stored: str, people: list[str], people_stored: str) -> None:
    """Writes a log, a customer table and a config; each id has events on two days."""
    keys = {"customer": "customer", "time": "time", "amount": "amount"}
    config: dict[str, Any] = {
        "config_version": 1,
        "name": "shop",
        "events": {"source": _source(stored, "log"), **keys},
        "customers": {
            "source": _source(people_stored, "people"),
            "customer": "customer",
            "attributes": ["age"],
            "constant": ["age"],
        },
        "task": {"horizon": "7d", "every": "7d", "windows": ["7d"]},
        "engine": {"threads": 1},
        "tracking": {"uri": "mlruns"},  # files, since a new database takes seconds
    }
    (folder / "regulars.toml").write_text(toml_text(config), encoding="utf-8")
    times = [f"{START}{1 + n % 28:02d}" for n in range(len(ids))]
    _write_table(folder, stored, "log", {"customer": ids, "time": times, "amount": ["5.0"] * len(ids)})
    _write_table(folder, people_stored, "people", {"customer": people, "age": ["30"] * len(people)})


def _source(stored: str, name: str) -> str:
    return f"{name}.csv" if stored == "csv" else f"{name}.parquet"


def _write_table(folder: Path, stored: str, name: str, columns: dict[str, list[str]]) -> None:
    if stored == "csv":
        rows = zip(*columns.values(), strict=True)
        (folder / f"{name}.csv").write_text("\n".join([",".join(columns), *(",".join(row) for row in rows)]) + "\n")
        return
    types = {"int64": pa.int64(), "float64": pa.float64(), "dictionary": pa.dictionary(pa.int32(), pa.string())}
    ids: list[Any] = (
        [int(text) if stored == "int64" else float(text) for text in columns["customer"]]
        if stored in ("int64", "float64")
        else columns["customer"]
    )
    numbers = {key: pa.array(map(float, values)) for key, values in columns.items() if key in ("amount", "age")}
    rest = {key: pa.array(values) for key, values in columns.items() if key == "time"}
    table = pa.table({"customer": pa.array(ids, types.get(stored, pa.string())), **rest, **numbers})
    pq.write_table(table, folder / f"{name}.parquet")


TARGET = Target("ids", cases, run, short=2)
