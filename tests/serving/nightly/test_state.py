"""Summaries of nights are read back; digests follow the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

from features.config.load import Config
from serving.nightly.state import (
    FORMAT,
    Night,
    content_digest,
    inputs_digest,
    last_trusted_log,
    read_summaries,
    summary_path,
    without_quotes,
    write_summary,
)

DAY = date(2024, 6, 1)


def test_summaries_are_read_back_and_damaged_ones_named(make_config: Callable[..., Config]) -> None:
    config = make_config()
    assert read_summaries(config.output) == ([], [])
    content = {"format": FORMAT, "cutoff": str(DAY), "steps": []}
    path = write_summary(config, content)
    assert path == summary_path(config.output, DAY) and read_summaries(config.output) == ([content], [])
    write_summary(config, {**content, "format": FORMAT + 1, "cutoff": "2024-06-02"})  # of another version
    damaged = path.with_name("2024-06-03.json")
    damaged.write_text("{")
    assert read_summaries(config.output) == ([content], [damaged])


def test_no_summary_no_trusted_log() -> None:
    assert last_trusted_log([]) is None and last_trusted_log([{"log": None}]) is None


def test_digests_follow_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "scores"
    missing = content_digest(folder)
    folder.mkdir()
    (folder / "a").write_text("1")
    first = content_digest(folder)
    (folder / "a").rename(folder / "b")
    renamed = content_digest(folder)
    (folder / "b").write_text("2")
    assert len({missing, first, renamed, content_digest(folder), content_digest(folder / "b")}) == 5


def test_a_step_is_up_to_date_while_inputs_and_files_are_unchanged(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    place = tmp_path / "report.html"
    place.write_text("old")
    steps = [{"name": "report", "inputs": "abc", "files": content_digest(place)}]
    night = Night(make_config(), DAY, None, {"steps": steps}, [])
    assert night.is_up_to_date("report", "abc", place)
    assert not night.is_up_to_date("report", "other", place) and not night.is_up_to_date("score", "abc", place)
    place.write_text("new")
    assert not night.is_up_to_date("report", "abc", place) and not night.newest


def test_the_digest_of_inputs_ignores_sections_that_change_no_file(make_config: Callable[..., Config]) -> None:
    plain = inputs_digest(make_config(), 1)
    assert plain == inputs_digest(make_config({"engine": {"threads": 1}}), 1)
    assert len({plain, inputs_digest(make_config(), 2), inputs_digest(make_config(amount="paid"), 1)}) == 3


def test_values_in_quotes_are_hidden() -> None:
    message = "2 rows ('C-1', 'C-2'): missing time (customers such as C-1, C-2)"
    assert without_quotes(message) == "2 rows ('…', '…'): missing time (customers such as …)"
    assert json.dumps(without_quotes("nothing quoted")) == '"nothing quoted"'
