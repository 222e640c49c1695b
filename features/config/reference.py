"""The config as a page for people: every section and key, read off the models that check a `regulars.toml`.

python -m features.config.reference docs/config.md
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import getdoc
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from features.atomic_files import write_text_atomically
from features.config.load import Config
from features.config.plan import NAME_PATTERN
from features.config.sections import TableSection
from features.task import Window

HEAD = """\
# The config

One TOML file, `regulars.toml`, says all there is to say of a business; `regulars init FILE` writes a first one from the
columns of a file, and `regulars -c OTHER.toml COMMAND` takes another. A key or section that is unknown or misspelt is
an error that names the nearest one, and every wrong value is told at once; nothing is ignored silently.

Paths are relative to the config's folder. A *duration* is a number of days or weeks, such as `"90d"` or `"12w"`. A key
without a default must be given where its section is; a section that is not required may be left out, and its defaults
hold. This page is written by `python -m features.config.reference docs/config.md`; a test keeps it true.
"""
WORDS = {str: "text", bool: "true or false", int: "whole number", float: "number", Path: "path", Window: "duration"}
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
PATTERNS = {NAME_PATTERN: "letters, digits, `.`, `_`, `-`"}
EVERY_TABLE = "keys of every table"


@dataclass(frozen=True)
class Table:
    """A section of the file.

    Attributes:
        name: As it is written, such as '[training.promote]', or words for what is no section of its own.
        model: What checks it.
        required: Whether a config must have it.
        several: 'name' or 'place' where there may be many of it; else empty.
    """

    name: str
    model: type[BaseModel]
    required: bool = False
    several: str = ""


def markdown(root: type[BaseModel] = Config) -> str:
    """The page: a table a section, in the order of the models."""
    lines = [HEAD]
    for table in tables(root):
        lines += _section(table)
    return "\n".join(lines) + "\n"


def tables(root: type[BaseModel] = Config) -> Iterator[Table]:
    """The file's sections: its top, then every model that a field of another one holds, however deep."""
    yield Table("above all sections", root)
    found = list(_within(root, ""))
    if any(issubclass(table.model, TableSection) for table in found):
        yield Table(EVERY_TABLE, TableSection)
    yield from found


def _within(model: type[BaseModel], path: str) -> Iterator[Table]:
    for key, field in _fields(model):
        inner, several = held(field.annotation)
        if inner is None:
            continue
        place = f"{path}.{key}" if path else key
        name = {"name": f"[{place}.NAME]", "place": f"[[{place}]]"}.get(several, f"[{place}]")
        yield Table(name, inner, field.is_required(), several)
        yield from _within(inner, f"{place}.NAME" if several == "name" else place)


def held(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model that a field holds, if it holds one, and whether many: by 'name' or by 'place'.

    >>> from features.config.plan import PlanAction
    >>> held(dict[str, PlanAction])[1], held(tuple[PlanAction, ...])[1], held(PlanAction | None)[1], held(int)
    ('name', 'place', '', (None, ''))
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    several = {dict: "name", tuple: "place", list: "place"}.get(get_origin(annotation), "")
    for part in get_args(annotation):
        inner, deeper = held(part)
        if inner:
            return inner, several or deeper
    return None, ""


def kind(annotation: Any) -> str:
    """A type in words.

    >>> kind(str), kind(tuple[str, ...]), kind(dict[str, float]), kind(Window | None), kind(Literal["a", "b"])
    ('text', 'list of text', 'by name: number', 'duration', 'text')
    """
    origin, parts = get_origin(annotation), [p for p in get_args(annotation) if p not in (type(None), Ellipsis)]
    if origin is Literal:
        return " or ".join(dict.fromkeys(WORDS[type(value)] for value in parts))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(kind, parts)))
    if origin is dict:
        return f"by name: {kind(parts[1])}"
    if origin in (tuple, list) and len(set(parts)) == 1:
        any_number = origin is list or Ellipsis in get_args(annotation)
        return f"list of {kind(parts[0])}" if any_number else f"list of {len(parts)} {kind(parts[0])}s"
    if origin is not None and parts:  # Annotated: the type that it is about
        return kind(parts[0])
    return WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def allowed(field: FieldInfo) -> str:
    """The values that a key takes, where its type alone does not say.

    >>> from pydantic import Field
    >>> allowed(Field(0.8, gt=0, lt=1)), allowed(FieldInfo(annotation=Literal["duckdb", "spark"]))
    ('above 0, below 1', '`"duckdb"`, `"spark"`')
    """
    values = [value for literal in _literals(field.annotation) for value in get_args(literal)]
    found = [", ".join(f"`{_toml(value)}`" for value in dict.fromkeys(values))] if values else []
    for rule in field.metadata:
        for name, words in LIMITS.items():
            if (limit := getattr(rule, name, None)) is not None:
                found.append(f"{words} {limit:g}")
        if pattern := getattr(rule, "pattern", None):
            found.append(PATTERNS.get(pattern, f"like `{pattern}`"))
        if length := getattr(rule, "max_length", None):
            found.append(f"at most {length} {'characters' if kind(field.annotation) == 'text' else 'entries'}")
        if getattr(rule, "min_length", None):
            found.append("not empty")
    return ", ".join(found)


def _section(table: Table) -> Iterator[str]:
    """The heading, what the section is about, and its keys."""
    named = table.name.startswith("[")
    yield f"\n## {f'`{table.name}`' if named else table.name[:1].upper() + table.name[1:]}\n"
    shared = set(TableSection.model_fields) if issubclass(table.model, TableSection) and named else set()
    if named or table.name == EVERY_TABLE:
        yield f"{_about(table)}\n"
    if shared:
        yield f"The [{EVERY_TABLE}](#{EVERY_TABLE.replace(' ', '-')}), and:\n"
    yield "| key | type | default | values | meaning |"
    yield "|---|---|---|---|---|"
    for key, field in _fields(table.model):
        if key not in shared and held(field.annotation)[0] is None:
            yield f"| {' | '.join(_cell(text) for text in _cells(key, field))} |"


def _cells(key: str, field: FieldInfo) -> tuple[str, ...]:
    return f"`{key}`", kind(field.annotation), _default(field), allowed(field), _quoted(field.description or "")


def _about(table: Table) -> str:
    """The model's own words, and whether the section may be left out."""
    said = _quoted(re.sub(r"^\[+[\w.]+\]+: ", "", (getdoc(table.model) or "").strip()))
    many = {"name": " Any number of them, each with a name of your own.", "place": " Any number of them."}
    first, *rest = said.split("\n\n", 1)
    first += many.get(table.several, " Required." if table.required else "")
    return "\n\n".join([first[:1].upper() + first[1:], *rest])


def _quoted(text: str) -> str:
    """A text with what would be typed in the file as code.

    >>> print(_quoted("the customer's zone, such as 'Europe/London'"))
    the customer's zone, such as `"Europe/London"`
    """
    return re.sub(r"(?<!\w)'([^']+)'(?!\w)", r'`"\1"`', text)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, dict) and value:
        return "built in"
    text = _toml(value)
    return f"`{text}`" if text else ""


def _toml(value: Any) -> str:
    """A default as it would be written in the file; empty for none."""
    if value is None or value == "" or value == () or value == {} or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return (
        f"{value:g}" if isinstance(value, float) else str(value) if isinstance(value, int) else json.dumps(str(value))
    )


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    return ((key, field) for key, field in model.model_fields.items() if not field.exclude)


def _literals(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield annotation
    for part in get_args(annotation):
        yield from _literals(part)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write_text_atomically(Path(sys.argv[1]), markdown())
