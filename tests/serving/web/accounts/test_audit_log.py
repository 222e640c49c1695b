"""The log of downloads is read back, also with a line that was cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.web.accounts.audit_log import AuditLog, read_audit_log


def test_lines_are_appended_and_read_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog(tmp_path / "app" / "downloads.jsonl")
    assert read_audit_log(log.path) == []
    log.record("ann", "/plan.csv", {"plan": "2024-06-01/spring", "q": "secret", "x\x1b": "1"})
    log.record("ben", "/customers.csv", {}, allowed=False)
    with log.path.open("a") as file:
        file.write('{"time": "20')
    rows = read_audit_log(log.path)
    assert [row["user"] for row in rows] == ["ann", "ben"] and rows[0]["plan"] == "2024-06-01/spring"
    assert rows[0]["also_filtered_by"] == ["q", "x\x1b"] and "secret" not in log.path.read_text()
    assert "\x1b" not in log.path.read_text() and "line 3 is not complete" in caplog.text
