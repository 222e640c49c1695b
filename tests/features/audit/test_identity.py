"""Joins of ids that look wrong are named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.audit.audit import audit_text, check_log
from features.audit.identity import identity_lines, identity_notes
from features.config.load import Config, parse_config

AT = datetime(2024, 3, 15)


def business(folder: Path, joins: Sequence[Mapping[str, Any]]) -> Config:
    """Three customers who come back, and joins of ids."""
    log = [
        {"id": who, "at": datetime(2024, 1, 1) + timedelta(days=d)} for who in ("guest", "ann", "bob") for d in (1, 90)
    ]
    for name, rows in (("log", log), ("who", joins)):
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), folder / f"{name}.parquet")
    events = {"source": "log.parquet", "customer": "id", "time": "at"}
    identity = {"source": "who.parquet", "customer": "id", "person": "person", "joined_at": "at"}
    values = {"config_version": 1, "name": "t", "events": events, "identity": identity, "task": {"horizon": "30d"}}
    return parse_config(values, folder / "regulars.toml")


def test_odd_joins_are_noted(tmp_path: Path) -> None:
    strangers = [{"id": f"x{number}", "person": "shop", "at": AT} for number in range(30)]
    joins = [
        {"id": "guest", "person": "ann", "at": AT},
        {"id": "guest", "person": "bob", "at": AT},
        {"id": "ann", "person": "ann", "at": AT},
        {"id": "bob", "person": "ann", "at": None},
        *strangers,
    ]
    report, target = check_log(business(tmp_path, joins))
    text = "\n".join(report.notes)
    assert "[identity] 1 ids are joined to several persons (such as 'guest'), who are taken for one" in text
    assert "[identity] 1 ids are joined in a circle, or to themselves (such as 'ann')" in text
    assert "[identity] one person has 31 ids ('shop'): is it one person" in text
    assert json.loads(target.read_text())["ids"]["identity"]["persons"] == 2
    assert "set aside, missing joined_at: 1 (ids such as bob)" in audit_text(report)
    report, _ = check_log(business(tmp_path, strangers))
    assert any("[identity] matches almost nobody: 0 of its 30 customers" in note for note in report.notes)


def test_without_joins_there_is_nothing_to_say() -> None:
    assert identity_lines(None) == identity_notes(None) == []
