"""Plans of earlier versions held out the same customers at each cutoff: measured as one policy, from its first draw."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.outputs.manifests import Measurement, manifest_text
from features.storage.json_files import file_digest
from serving.language.messages import ENGLISH
from serving.measurement.measure import measure_plan
from serving.measurement.shared_draw import first_scores
from serving.measurement.text import measurement_text
from serving.planning.plan import read_plan
from serving.web.views.experiments import _checks
from tests.campaigns import ExecutedPlanCase, make_executed_plan
from tests.scored import CUTOFF

FIRST = date(2024, 2, 1)
NAME = f"{CUTOFF}/retention"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> ExecutedPlanCase:
    return make_executed_plan(tmp_path_factory.mktemp("shared"), customers=150)


def _rewrite(folder: Path, table: pa.Table, holdout: dict[str, Any], **changes: Any) -> None:
    """Writes a plan as an earlier version left it."""
    facts = json.loads((folder / "manifest.json").read_text()) | changes
    pq.write_table(table, folder / "plan.parquet")
    files = {**facts["files"], "plan.parquet": file_digest(folder / "plan.parquet")}
    (folder / "manifest.json").write_text(manifest_text({**facts, "files": files, "holdout": holdout}))


def test_a_plan_with_its_own_draw_uses_what_was_known_at_its_cutoff(executed: ExecutedPlanCase) -> None:
    plan = read_plan(executed.config, CUTOFF)
    draw = first_scores(executed.config, plan)
    assert draw.since is None and draw.scores["value"].equals(plan.table()["value"])
    facts = measure_plan(executed.config, NAME).facts
    assert facts["policy_since"] is None and facts["superseded_by"] is None
    assert facts["adjusted_for"] == ["before", "churn_probability", "value"]


def test_a_sequence_is_adjusted_only_for_what_was_known_before_its_first_contact(executed: ExecutedPlanCase) -> None:
    config, folder = executed.config, executed.plan.folder
    table = pq.read_table(folder / "plan.parquet")
    old = {"share": 0.3, "seed": 7}
    _rewrite(folder, table, old)
    assert first_scores(config, read_plan(config, CUTOFF)).since is None  # no earlier plan yet
    for day, factor, seed in ((FIRST, 2.0, 7), (date(2024, 2, 10), 3.0, 7), (date(2024, 1, 1), 9.0, 8)):
        place = config.outputs.plan(day, "retention")
        place.mkdir(parents=True)
        for file in ("manifest.json", "plan.csv", "curve.parquet", "curve.json"):
            (place / file).write_bytes((folder / file).read_bytes())
        some = table.slice(0, 100) if day == FIRST else table.slice(0, 120)
        column = some.schema.get_field_index("value")
        changed = some.set_column(column, "value", pc.multiply(some["value"], factor))
        _rewrite(place, changed, {**old, "seed": seed}, cutoff=str(day))
    draw = first_scores(config, read_plan(config, CUTOFF))
    own = table["value"].to_numpy()
    assert draw.since == FIRST
    expected = [*(2 * own[:100]), *(3 * own[100:120]), *own[120:]]
    assert draw.scores["value"].to_pylist() == pytest.approx(expected)
    measured = measure_plan(config, NAME)
    assert measured.facts["adjusted_for"] == ["churn_probability", "value"]
    assert measured.facts["policy_since"] == str(FIRST)
    assert f"since {FIRST}. The effect is that of all these plans" in measurement_text(measured).replace("\n", " ")
    stored = Measurement.model_validate(measured.facts)
    assert any(not well and f"since {FIRST}" in text for well, text in _checks(stored, ENGLISH))
