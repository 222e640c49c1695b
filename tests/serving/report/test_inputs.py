"""What the report reads, and what it says where something is missing, broken or of other data."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date

import pyarrow as pa
import pytest

from features.config.load import Config
from features.errors import UsageError
from serving.report import page as report
from serving.scoring.score_tables import MANIFEST, write_score_parts
from tests.report_samples import AUDIT, CUTOFF, Tags, manifest, read, table


def test_an_audit_of_other_data_is_told(scored: Callable[..., Config]) -> None:
    config = scored()
    assert "has not been checked yet: run regulars check" in Tags(read(config)).text
    (config.output / "audit.json").write_text(json.dumps(AUDIT), encoding="utf-8")
    text = Tags(read(config)).text
    assert "12,345 rows read" in text and "5 rows, no customer" in text and "9 days from 2023-05-05" in text
    assert "This data check is of other data" in text


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": 1}'])
def test_a_broken_audit_is_a_sentence(scored: Callable[..., Config], content: str) -> None:
    config = scored()
    (config.output / "audit.json").write_text(content, encoding="utf-8")
    assert "cannot be read, or an older version wrote it: run regulars check again" in Tags(read(config)).text


def test_scores_without_starting_points_and_intervals_make_a_page(scored: Callable[..., Config]) -> None:
    config = scored()
    folder = config.output / "scores" / f"cutoff={CUTOFF}"
    bare = {**manifest(True), "customers": 80, "bases": {}}
    rows = table(80, True)
    for name in ("value_low", "value_high"):
        at = rows.column_names.index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.nulls(80, pa.float64()))
    bare["parts"] = write_score_parts(rows, folder, 33)
    (folder / MANIFEST).write_text(json.dumps(bare), encoding="utf-8")
    assert "The starting point is" not in Tags(read(config)).text


def test_a_cutoff_that_was_not_scored_is_named(scored: Callable[..., Config]) -> None:
    with pytest.raises(UsageError, match=r"cutoff 2020-01-01 is not scored.*2024-03-01"):
        report.write_report(scored(), date(2020, 1, 1))


GAPS = {
    "segments": "Lifecycle stages, RFM groups, micro-segments and transitions are missing",
    "plans": "There is no plan for this cutoff",
    "measured": "No plan has been measured yet",
    "monitor": "This cutoff has not been monitored yet",
}


def test_what_is_missing_is_named_with_its_command(scored: Callable[..., Config]) -> None:
    text = Tags(read(scored())).text
    for gap in GAPS.values():
        assert gap in text
    for command in ("segments --cutoff 2024-03-01", "plan --cutoff 2024-03-01 --budget B", "measure PLAN", "monitor"):
        assert f"regulars {command}" in text


def test_half_written_folders_are_sentences_too(scored: Callable[..., Config]) -> None:
    config = scored()
    for place in ("segments/cutoff=2024-03-01", "plans/cutoff=2024-03-01/x", "monitor/cutoff=2024-03-01"):
        (config.output / place).mkdir(parents=True)
        for name in ("manifest.json", "monitor.json"):
            (config.output / place / name).write_text('{"models": 3, "cutoff": "2024')
    text = Tags(read(config)).text
    assert "The segments of this cutoff cannot be read" in text
    assert "The plan of this cutoff cannot be read" in text
    assert "The monitoring results cannot be read" in text
