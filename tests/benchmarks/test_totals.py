"""The benchmark of totals counts what its intervals held, and its contracts are cancelled at a level that moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import rolling, totals
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.evaluate import OURS


def test_a_row_counts_totals_and_leavers_by_business() -> None:
    ids = pa.chunked_array([["a", "b"]])
    truth = Sample(ids, np.zeros(2), pa.table({"x": np.zeros(2)}), np.array([1.0, 0.0]), np.array([0.0, 10.0]))
    ours = {OURS: Prediction(np.array([0.5, 0.5]), np.array([4.0, 8.0]))}
    coverage = rolling.CustomerCoverage(1.0, 0.8, 1.0)
    held = rolling.TestCutoff(totals.START, truth, ours, (0.0, 2.0), (8.0, 16.0), coverage)
    missed = replace(held, leavers_interval=(1.5, 2.0), total_interval=(11.0, 16.0))
    row = totals.summary_row("shops", [[held, held], [held, missed]])
    assert row.count("| 3 of 4: 75.0% (50.0% to 100.0%) ") == 2
    assert "| 2, 4 |" in row and "| 20.0%, 20.0%, +20% | 0.0%, 0.0%, +0% |" in row


def test_contracts_run_until_they_are_cancelled(tmp_path: Path) -> None:
    config = totals.simulate_contracts(tmp_path / "contracts", 3, customers=400)
    rows = pq.read_table(tmp_path / "contracts" / "contracts.parquet").to_pandas()
    ended = rows[rows.end.notna()]
    assert (ended.end > ended.start).all()
    assert 0.3 < len(ended) / len(rows) < 0.99
    assert config.task.churn == "cancelled"
