"""`regulars users`: add, list, remove, and the log of downloads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import regulars
from serving.web.accounts import users_file
from serving.web.accounts.audit_log import AuditLog

CONFIG = """\
config_version = 1
name = "shop"
[events]
source = "log.csv"
customer = "c"
time = "t"
"""


def _run(folder: Path, *words: str, given: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(regulars.cli, ["-c", str(folder / "regulars.toml"), *words], input=given)
    return result.exit_code, result.output


def test_users_are_added_listed_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users_file, "COST", {"n": 2, "r": 8, "p": 1})
    (tmp_path / "regulars.toml").write_text(CONFIG + '[app]\nusers = "users.json"\n')
    assert "no users yet" in _run(tmp_path, "users")[1]
    code, text = _run(tmp_path, "users", "add", "ann", given="long enough\n")
    assert code == 0 and "ann may sign in and sees customers" in text and "long enough" not in text
    code, text = _run(tmp_path, "users", "add", "eve")
    assert code == 2 and "no password was given" in text
    assert _run(tmp_path, "users", "add", "ben", "--role", "groups", "--no-password")[0] == 0
    rows = [json.loads(line) for line in _run(tmp_path, "users", "list", "--json")[1].splitlines()]
    assert [(row["name"], row["role"]) for row in rows] == [("ann", "customers"), ("ben", "groups")]
    assert _run(tmp_path, "users", "remove", "ann")[0] == 0
    code, text = _run(tmp_path, "users", "remove", "ann")
    assert code == 2 and "there is no user 'ann'" in text


def test_the_log_of_downloads_is_shown_without_control_characters(tmp_path: Path) -> None:
    (tmp_path / "regulars.toml").write_text(CONFIG + '[app]\nusers = "users.json"\n')
    log = AuditLog(tmp_path / "output" / "app" / "downloads.jsonl")
    log.record("ann", "/customers.csv", {"segment": "\x1b[2J"}, allowed=False)
    code, text = _run(tmp_path, "users", "log")
    assert code == 0 and "ann  /customers.csv  refused" in text and "\x1b" not in text and "1 downloads" in text


def test_without_the_key_the_message_says_what_to_add(tmp_path: Path) -> None:
    (tmp_path / "regulars.toml").write_text(CONFIG)
    code, text = _run(tmp_path, "users", "add", "ann", "--no-password")
    assert code == 2 and "[app] users is not set" in text
