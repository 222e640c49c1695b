"""Lists of excluded customers: read by the rule for ids, and compared with the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.audit.audit import check_log
from features.audit.exclusion_lists import id_form, match_list, read_excluded, read_id_list
from features.config.load import Config, parse_config
from features.errors import UsageError
from features.intake.customer_ids import stored_ids
from features.intake.log import open_log

AT = datetime(2024, 1, 5)


def business(folder: Path, listed: Sequence[Any], column: str = "customer_id", **sections: Any) -> Config:
    """A log of the customers 1000 to 1039, and a list of excluded ones."""
    rows = {"who": [1000 + place % 40 for place in range(200)], "at": [AT + timedelta(days=p) for p in range(200)]}
    pq.write_table(pa.table(rows), folder / "log.parquet")
    (folder / "out.csv").write_text("\n".join([column, *map(str, listed)]) + "\n")
    values = {
        "config_version": 1,
        "name": "t",
        "events": {"source": "log.parquet", "customer": "who", "time": "at"},
        "task": {"horizon": "30d"},
        "plan": {"actions": {"mail": {"cost": 1}}, "exclude": [{"why": "opted out", "ids": "out.csv"}]},
        **sections,
    }
    return parse_config(values, folder / "regulars.toml")


def known(config: Config) -> int:
    """How many ids of the list the log has."""
    assert config.plan is not None
    with open_log(config) as log, log.stages() as (engine, tables):
        return match_list(read_excluded(config, config.plan.exclude[0]), tables, config, engine).known


def test_a_list_from_a_spreadsheet_matches(tmp_path: Path) -> None:
    assert known(business(tmp_path, [f"{1000 + place}.0" for place in range(30)])) == 30
    assert known(business(tmp_path, [f" {1000 + place} " for place in range(30)])) == 30
    assert known(business(tmp_path, [f"00{1000 + place}" for place in range(5)])) == 0


def test_with_hashed_ids_it_matches_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_ID_KEY", "0123456789abcdef0123456789abcdef")
    config = business(tmp_path, [f"{1000 + place}.0" for place in range(30)], privacy={"hash_ids": True})
    assert known(config) == 30 and check_log(config)[0].breaches == ()
    hashes = stored_ids(config, [str(1000 + place) for place in range(30)])
    assert known(business(tmp_path, hashes, privacy={"hash_ids": True})) == 30
    strangers = business(tmp_path, [f"K-{place}" for place in range(20)], privacy={"hash_ids": True})
    assert "0 of 20 ids are customers of the log; they are written like 'a-9'" in check_log(strangers)[0].breaches[0]


def test_a_long_list_of_strangers_written_unlike_the_log_is_a_breach(tmp_path: Path) -> None:
    (breach,) = check_log(business(tmp_path, [f"K-{place}" for place in range(20)]))[0].breaches
    assert breach.startswith("[[plan.exclude]] ids: out.csv: 0 of 20 ids are customers of the log; they are written")
    assert "like 'a-9', those of the log like '9'" in breach


@pytest.mark.parametrize("listed", [[f"K-{place}" for place in range(19)], range(5000, 5040)])
def test_a_short_list_or_one_written_alike_is_a_note(tmp_path: Path, listed: Sequence[Any]) -> None:
    report, _ = check_log(business(tmp_path, listed))
    assert report.breaches == ()
    assert f"out.csv: only 0 of {len(listed)} ids are customers of the log" in report.notes[-1]


def test_a_missing_list_is_a_breach_and_a_good_one_is_silent(tmp_path: Path) -> None:
    report, _ = check_log(business(tmp_path, range(1000, 1010)))
    assert report.breaches == () and not any("exclude" in note for note in report.notes)
    config = business(tmp_path, [])
    (tmp_path / "out.csv").unlink()
    assert "out.csv: there is no such file" in check_log(config)[0].breaches[0]


def test_lists_are_read_as_text_from_csv_and_by_type_from_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,customer_id\nx,00042\ny,\nz,12345678901234567890\n")
    assert read_id_list(tmp_path / "a.csv", "here") == ["00042", "12345678901234567890"]
    pq.write_table(pa.table({"customer_id": [1001.0, None, 7.5]}), tmp_path / "a.parquet")
    assert read_id_list(tmp_path / "a.parquet", "here") == ["1001", "7.5"]
    (tmp_path / "b.csv").write_text("name\nx\n")
    with pytest.raises(UsageError, match="here: no column customer_id can be read"):
        read_id_list(tmp_path / "b.csv", "here")


def test_forms_tell_ids_apart() -> None:
    assert [id_form(text) for text in ("1001", "0", "0001", "a1b0", "未-1")] == ["9", "9", "09", "a9a9", "a-9"]
