"""The table "where do I change" names files that exist."""

from __future__ import annotations

import re

from tests.package_graph import ROOT

PLACES = re.compile(r"`((?:features|training|serving|tests|docs|regulars\.py|MLproject|README\.md)[\w/.]*)`")


def rows() -> list[str]:
    """The rows of the table, without its head."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| I want to ... |")[2].partition("\n\n")[0]
    return [line for line in table.splitlines()[2:] if line.startswith("|")]


def test_ordinary_tasks_are_listed() -> None:
    tasks = [row.split("|")[1].strip() for row in rows()]
    assert len(tasks) == len(set(tasks)) >= 15


def test_every_named_file_exists() -> None:
    for row in rows():
        places = PLACES.findall(row)
        assert places, row
        assert [place for place in places if not (ROOT / place).exists()] == []
