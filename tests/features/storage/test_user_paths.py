"""Paths as users write them never stop a program before they are opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import regulars
from features.storage.user_paths import real_path, user_path

CONFIG = """\
config_version = 1
name = "s"
events = {{ source = "{source}", customer = "id", time = "at" }}
engine = {{ scratch = "{scratch}" }}
serving = {{ output = "{output}" }}
"""


def test_homes_are_known_or_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a", Path("b")) == tmp_path / "a"
    assert user_path("~nobody-at-all/a", Path("b")) == Path("b/~nobody-at-all/a")


def test_links_are_followed_and_circles_stay(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert real_path(tmp_path / "link") == Path(os.path.realpath(tmp_path)) / "file"
    assert real_path(tmp_path / "circle").name == "circle"


@pytest.mark.parametrize("place", ["source", "scratch", "output"])
@pytest.mark.parametrize("path", ["~nobody-at-all/a.csv", "circle"])
def test_a_path_that_leads_nowhere_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "log.csv").write_text("id,at\n" + "".join(f"c{n % 5},2024-01-{n:02d}\n" for n in range(1, 29)))
    values = {"source": "log.csv", "scratch": "", "output": "output", place: path}
    (tmp_path / "regulars.toml").write_text(CONFIG.format(**values))
    result = CliRunner().invoke(regulars.cli, ["check"])
    made = place == "output" and path.startswith("~")  # a folder of that name, as shells would make it
    assert result.exit_code in ((0, 1) if made else (2, 3)), result.output
    assert made or path in result.output
