"""Target `configs`: valid configs with a few things wrong, read and used by commands."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

from hypothesis import strategies as st
from pydantic import BaseModel

from features.config.load import Config, load_config, parse_config
from features.errors import RegularsError
from tests.fuzz import odd_values
from tests.fuzz.command import Failure, leftovers, refusal_kind, run_command, unforeseen
from tests.fuzz.target import Case, Target
from tests.fuzz.toml import toml_text
from tests.fuzz.workspace import CONFIG, CONTRACTS, Workspace
from tests.scored import CUTOFF

Keys = tuple[str | int, ...]
DAY = str(CUTOFF)
COMMANDS = (
    ("check",), ("check",), ("check",), ("report",), ("segments",), ("monitor",), ("measure", DAY), ("plan",
    "--cutoff", DAY),
    ("plan", "--cutoff", DAY, "--campaign", "other"), ("forget", "c004"), ("forget", "c004", "--yes"), ("run",),
    ("build", "--cutoff", DAY, "--out", "features.parquet"), ("explain", "c004", "--cutoff", DAY),
)  # fmt: skip
COLUMNS = (
    "customer",
    "time",
    "amount",
    "id",
    "at",
    "what",
    "cost",
    "age",
    "plan",
    "email",
    "who",
    "minutes",
    "from",
    "to",
    "why",
)
QUERIES = (
    "SELECT", "SELECT * FROM source", "SELECT 1", "SELECT * FROM source; SELECT 1", "DROP TABLE source",
    "SELECT * FROM nowhere",
    "COPY (SELECT 1) TO 'escaped.csv'", "ATTACH 'escaped.csv' AS x", "INSTALL spatial", "CREATE TABLE t AS SELECT 1",
    "SELECT * FROM source WHERE customer = 'c001", "SELECT *, 1 AS customer FROM source",
    "WITH s AS (SELECT * FROM source) FROM s",
    "PRAGMA version", "SET threads = 3", "SELECT * FROM source LIMIT 0",
    "SELECT NULL AS customer, NULL AS time, NULL AS amount",
)  # fmt: skip
TEXT_CHANGES = ("truncate", "insert", "repeat", "bom", "utf-16", "latin-1", "crlf", "nul", "swap")
ESCAPED = "escaped.csv"  # what no query may write


def cases(workspace: Workspace) -> st.SearchStrategy[Case]:
    """A config as bytes, and a command."""
    return _cases()


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    values = copy.deepcopy(dict(draw(st.sampled_from((CONFIG, CONFIG, CONTRACTS)))))
    known = [*(place for place, _ in _known_fields() if _fits(place, values)), *reversed(list(_places(values)))]
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        changed = copy.deepcopy(values)
        _change(draw, changed, draw(st.sampled_from(known)))
        if _loads(changed) or draw(odd_values.rarely(4)):  # most configs load, since the others go no further
            values = changed
    text = toml_text(values).encode("utf-8", "surrogatepass")
    if draw(odd_values.rarely(16)):
        text = _spoil(draw, text)
    return {"config": text, "command": draw(st.sampled_from(COMMANDS))}


def run(workspace: Workspace, case: Case) -> str:
    """Loads the config; if it is accepted, runs the command with it in a copy of the business."""
    with workspace.copy() as folder:
        (folder / "fuzz.toml").write_bytes(case["config"])
        config = _load(folder / "fuzz.toml")
        if isinstance(config, str):
            outcome = run_command(folder, "-c", "fuzz.toml", *case["command"])
            if outcome.code != 2:
                raise Failure("a command accepts a config that cannot be loaded", outcome.text)
            return config
        if config.engine.kind != "duckdb" or config.engine.threads > 64:
            return "accepted, not run"
        outcome = run_command(folder, "-c", "fuzz.toml", *case["command"])
        if (folder / ESCAPED).exists():
            raise Failure("a query wrote a file", outcome.text)
        if left := leftovers(folder):
            raise Failure("half-written files", f"{left}\n{outcome.text}", f"{case['command'][0]}")
        return outcome.kind


def _loads(values: dict[str, Any]) -> bool:
    try:
        parse_config(copy.deepcopy(values))
    except Exception:
        return False
    return True


def _load(path: Path) -> Config | str:
    """The config, or the kind of its refusal."""
    try:
        return load_config(path)
    except RegularsError as problem:
        return f"{refusal_kind(problem)} when loaded"
    except Exception as problem:
        raise unforeseen(problem) from problem


def _change(draw: st.DrawFn, values: dict[str, Any], place: Keys) -> None:
    """Sets, removes or renames one key, or adds one beside it."""
    section = _parent(values, place[:-1])
    key, how = place[-1], draw(st.sampled_from(("set", "set", "set", "set", "set", "set", "remove", "rename", "add")))
    if isinstance(section, list):
        section[int(key)] = draw(odd_values.toml_values())
    elif how == "remove":
        section.pop(key, None)
    elif how == "rename" and key in section:
        section[draw(st.sampled_from((f"{key}s", str(key)[1:], str(key).upper(), f" {key}")))] = section.pop(key)
    elif how == "add":
        section[draw(odd_values.texts(8))] = draw(odd_values.toml_values())
    else:
        section[key] = draw(_values_of(str(key)))


def _fits(place: Keys, values: Mapping[str, Any]) -> bool:
    """Whether a key belongs to a section that the config has, or that needs no other key."""
    return (
        len(place) == 1
        or place[0] in values
        or place[0] not in ("subscriptions", "activities", "contacts", "plan", "events")
    )


def _values_of(key: str) -> st.SearchStrategy:
    """Values for a key: four times in five such as its type allows, else anything."""
    likely: Any = {
        "query": st.sampled_from(QUERIES),
        "timezone": st.sampled_from(odd_values.ZONES),
        "until": odd_values.days(),
        "kind": st.just("duckdb"),
        "language": st.sampled_from(("en", "zh")),
        "threads": st.integers(0, 3),
    }.get(key)
    likely = _values_of_type(_types().get(key, "str")) if likely is None else likely
    return st.one_of(*[likely] * 7, odd_values.toml_values())


def _values_of_type(kind: str) -> st.SearchStrategy:
    """Values of a key's type, as the section models declare it."""
    names = st.one_of(st.sampled_from(COLUMNS), odd_values.texts())
    numbers = st.one_of(st.integers(-1, 40), st.floats(0, 1), st.sampled_from(odd_values.NASTY_NUMBERS))
    if "Literal" in kind:
        return st.sampled_from(re.findall(r"'([^']*)'", kind) or [""])
    if "tuple" in kind:
        inner = numbers if "int" in kind else st.sampled_from(odd_values.DURATIONS) if "Window" in kind else names
        return st.lists(inner, max_size=3)
    strategies = {
        "bool": st.booleans(),
        "Window": st.sampled_from(odd_values.DURATIONS),
        "int": st.integers(-1, 40),
        "float": numbers,
    }
    return next((strategy for name, strategy in strategies.items() if name in kind), names)


@cache
def _types() -> dict[str, str]:
    """The declared type of every key, as text; of keys with one name the last."""
    return {str(place[-1]): str(kind) for place, kind in _known_fields()}


def _spoil(draw: st.DrawFn, text: bytes) -> bytes:
    """Changes the text of a config without knowing TOML."""
    how, at = draw(st.sampled_from(TEXT_CHANGES)), draw(st.integers(0, len(text)))
    line = draw(st.sampled_from(text.splitlines(keepends=True)))
    return {
        "truncate": text[:at],
        "insert": text[:at] + draw(st.binary(min_size=1, max_size=6)) + text[at:],
        "repeat": text + line,
        "bom": b"\xef\xbb\xbf" + text,
        "utf-16": text.decode("utf-8", "replace").encode("utf-16"),
        "latin-1": text + "# caf\xe9\n".encode("latin-1"),
        "crlf": text.replace(b"\n", b"\r\n"),
        "nul": text[:at] + b"\0" + text[at:],
        "swap": text.replace(b'"', b"'"),
    }[how]


def _parent(values: dict[str, Any], keys: Keys) -> Any:
    """The table at a place; it is made where there is none, or where there is something else."""
    inner: Any = values
    for key in keys:
        if isinstance(inner, list):
            inner = inner[int(key)] if int(key) < len(inner) else {}
            continue
        if not isinstance(inner.get(key), dict | list):
            inner[key] = {}
        inner = inner[key]
    return inner


def _places(values: Mapping[str, Any], before: Keys = ()) -> Iterator[Keys]:
    """The place of every key of a config, of tables too."""
    for key, value in values.items():
        yield (*before, key)
        if isinstance(value, Mapping):
            yield from _places(value, (*before, key))


def _known_fields(model: type[BaseModel] = Config, before: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """The place and the type of every key that a config may have."""
    for key, field in model.model_fields.items():
        if key == "folder" and model is Config:
            continue
        inner = list(_models(field.annotation))
        if not inner and key != "config_version":
            yield (*before, key), field.annotation
        named = {"activities": ("visits",), "actions": ("mail",)}.get(key, ())
        for one in inner if key not in ("exclude", "mail") else ():
            yield from _known_fields(one, (*before, key, *named))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections in a key's type."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            yield one


TARGET = Target("configs", cases, run, short=4)
