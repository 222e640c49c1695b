"""Outputs of an earlier rule for ids are taken over if no id differs; otherwise they are refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.audit.audit import check_log
from features.config.load import Config, parse_config
from features.errors import DataError
from features.intake.customer_ids import IDS_FILE, output_id_rule, record_id_rule
from features.intake.earlier_ids import earlier_names
from features.intake.identifiers import RULE_VERSION
from features.intake.log import open_log
from features.keyed_hash import hash_text
from features.snapshots.build import checked_log

KEY = "0123456789abcdef0123456789abcdef"


def business(folder: Path, *ids: str, **sections: Any) -> Config:
    """A log with these ids, and an output that an earlier version began to write."""
    days = ("2024-01-05", "2024-02-09", "2024-06-11")
    (folder / "log.csv").write_text("id,at\n" + "".join(f"{text},{day}\n" for text in ids for day in days))
    events = {"source": "log.csv", "customer": "id", "time": "at"}
    values = {"config_version": 1, "name": "t", "events": events, "task": {"horizon": "30d"}, **sections}
    config = parse_config(values, folder / "regulars.toml")
    config.outputs.scores(open_log(config).tables.last).mkdir(parents=True)
    return config


def use(config: Config) -> None:
    """As every command that reads the log."""
    with open_log(config) as log, checked_log(log):
        pass


def test_an_output_whose_ids_are_the_same_is_taken_over(tmp_path: Path) -> None:
    config = business(tmp_path, "1001", "00042", "1002")
    assert output_id_rule(config) == 1
    use(config)
    assert output_id_rule(config) == RULE_VERSION
    assert json.loads((config.output / IDS_FILE).read_text()) == {"rule": RULE_VERSION}


@pytest.mark.parametrize("ids", [("1001.0", "C-5"), (" 7", "C-5"), ("1e5", "43")])
def test_an_output_whose_ids_differ_is_refused_with_what_to_do(tmp_path: Path, ids: tuple[str, ...]) -> None:
    config = business(tmp_path, *ids)
    with pytest.raises(DataError, match="made when ids were read by another rule, .*keep forgotten.json and ids.json"):
        use(config)
    report, _ = check_log(config)
    assert "run `regulars score` again" in report.breaches[0]
    config.outputs.scored_folders()[0].rmdir()
    use(config)
    record_id_rule(config)
    config.outputs.scores(report.last).mkdir(parents=True)
    use(config)


def test_hashed_outputs_are_recognised_too_and_name_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_ID_KEY", KEY)
    config = business(tmp_path, "1001.0", "C-5", privacy={"hash_ids": True})
    stored = json.loads((config.output / IDS_FILE).read_text())
    (config.output / IDS_FILE).write_text(json.dumps({name: stored[name] for name in ("ids", "key_check")}))
    with pytest.raises(DataError, match="such as '9999'"):
        use(config)
    assert earlier_names(config, " 1001 ") == {hash_text("1001.0", KEY.encode())}


def test_the_earlier_names_of_a_customer_are_those_that_the_log_has(tmp_path: Path) -> None:
    config = business(tmp_path, "1001.0", "1001", "C-5")
    assert earlier_names(config, "1001") == {"1001.0", "1001"}
    record_id_rule(config)
    assert earlier_names(config, "1001") == frozenset()
