"""What changed between two scored cutoffs, counted over their files and said in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.outputs.manifests import ScoreManifest
from serving.language.formats import NumberFormat
from serving.language.messages import get_language
from serving.scoring.score_changes import ScoreChanges, change_sentences, compare_files
from serving.scoring.score_tables import Scores

BEFORE = [("a", 0.2, 90.0, 20.0), ("b", 0.7, 30.0, 70.0), ("c", 0.9, 1.0, 9.0), ("d", 0.1, 9.0, 1.0)]
NOW = [("a", 0.6, 40.0, 60.0), ("b", 0.4, 60.0, 40.0), ("d", 0.1, 9.0, 1.0), ("e", 0.3, 7.0, 3.0)]


def scores(folder: Path, day: date, rows: Sequence[tuple[str, float, float, float]], model: str = "m/1") -> Scores:
    names = ["customer_id", "churn_probability", "value", "value_at_risk"]
    table = pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})
    folder = folder / str(day)
    folder.mkdir()
    pq.write_table(table.append_column("segment", pa.array(["keep"] * len(rows))), folder / "part.parquet")
    parts = [{"file": "part.parquet", "rows": len(rows), "sha256": ""}]
    models = {"churn": {"label": model}}
    manifest = ScoreManifest.model_validate({"cutoff": day, "customers": len(rows), "parts": parts, "models": models})
    return Scores(folder, day, manifest)


@pytest.fixture
def changes(tmp_path: Path) -> ScoreChanges:
    return compare_files(scores(tmp_path, date(2024, 2, 1), NOW, "m/2"), scores(tmp_path, date(2024, 1, 1), BEFORE))


def test_who_came_went_and_became_at_risk(changes: ScoreChanges) -> None:
    sums = changes.sums
    assert (sums["customers"], sums["customers_before"], sums["joined"], sums["gone"]) == (4, 4, 1, 1)
    assert (sums["at_risk"], sums["at_risk_before"], sums["became_at_risk"], sums["recovered"]) == (1, 2, 1, 1)
    assert (sums["value_at_risk_before"], sums["value_at_risk"], sums["value_of_became"]) == (100.0, 104.0, 60.0)
    assert [(row["customer_id"], row["risk_before"], row["risk"]) for row in changes.became] == [("a", 0.2, 0.6)]
    assert not changes.same_models


def test_the_changes_in_sentences(changes: ScoreChanges) -> None:
    lines = list(change_sentences(changes, NumberFormat(30.0), money=True, skill=True))
    assert lines[0] == "Customers scored: 4 (4 before); new in the list 1; no longer in it 1."
    assert lines[1] == ("Customers at risk: 1 (2 before); newly at risk 1 (value at risk 60); no longer at risk 1.")
    assert lines[2] == "Value at risk: 104 (+4%). Expected value: 116 (−11%)."
    assert lines[3].startswith("Another model scored 2024-01-01")
    quiet = list(change_sentences(changes, NumberFormat(0.0, get_language("zh")), money=False, skill=False))
    assert quiet[0] == "评分客户：4（上次 4）；新进入名单 1；已不在名单中 1。"
    assert len(quiet) == 2
