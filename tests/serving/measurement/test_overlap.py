"""Later plans within the horizon: whom their actions reach, and when nothing can be learned any more."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.outputs.layout import PLAN_MANIFEST, PLAN_TABLE
from serving.measurement.overlap import overlapping_plans
from tests.scored import CUTOFF, make_scored

N = 400
CONTROL = np.arange(N) % 4 == 0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_scored(tmp_path, {}, customers=1)


def _executed(config: Config) -> Any:
    customers = pa.table({"customer_id": pa.chunked_array([[f"c{i}" for i in range(N)]]), "known": [True] * N})
    plan = SimpleNamespace(folder=config.outputs.plan(CUTOFF, "own"), cutoff=CUTOFF)
    return SimpleNamespace(
        plan=plan, matures=CUTOFF + timedelta(30), treated=~CONTROL, control=CONTROL,
        log=SimpleNamespace(customers=customers),
    )  # fmt: skip


def _later_plan(config: Config, reached: np.ndarray, cutoff: date = CUTOFF + timedelta(20)) -> None:
    folder = config.outputs.plan(cutoff, "later")
    folder.mkdir(parents=True)
    (folder / PLAN_MANIFEST).write_text("{}")
    action = pa.array(["mail"] * N, mask=~reached)
    pq.write_table(pa.table({"customer_id": [f"c{i}" for i in range(N)], "action": action}), folder / PLAN_TABLE)


def test_without_later_plans_nothing_overlaps(config: Config) -> None:
    _later_plan(config, np.ones(N, bool), CUTOFF + timedelta(30))
    assert overlapping_plans(config, _executed(config)) == {
        "plans": [], "treated": 0.0, "held_out": 0.0, "p": 1.0, "alarm": False,
    }  # fmt: skip


def test_a_later_plan_that_reaches_both_groups_alike_is_named(config: Config) -> None:
    _later_plan(config, np.arange(N) % 3 == 0)
    overlap = overlapping_plans(config, _executed(config))
    assert overlap["plans"] == [f"{CUTOFF + timedelta(20)}/later"]
    assert overlap["treated"] == pytest.approx(1 / 3, abs=0.02) and not overlap["alarm"]


def test_a_later_plan_that_spares_the_contacted_is_an_alarm(config: Config) -> None:
    _later_plan(config, CONTROL)
    overlap = overlapping_plans(config, _executed(config))
    assert (overlap["treated"], overlap["held_out"]) == (0.0, 1.0) and overlap["alarm"]
