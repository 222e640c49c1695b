"""The workers' code without Spark: rows in any batches are cut into complete blocks of their chunks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.engines.spark_files import zip_package
from serving.scoring import spark_worker

ROOT = Path(__file__).resolve().parents[3]


def pieces(places: Sequence[int], *lengths: int) -> list[tuple[np.ndarray, pa.Table]]:
    """Rows that say their place, in batches of these lengths."""
    ends = np.cumsum(lengths)
    assert ends[-1] == len(places)
    cut = [np.array(places[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
    return [(some, pa.table({"n": some})) for some in cut]


@pytest.mark.parametrize("lengths", [(12,), (1,) * 12, (5, 7), (4, 3, 5)])
def test_blocks_do_not_depend_on_batches(lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_worker, "BLOCK_ROWS", 3)
    places = [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 21]  # chunks 0, 2 and 4 of five
    blocks = [(chunk, rows["n"].to_pylist()) for chunk, rows in spark_worker._blocks(pieces(places, *lengths), 5)]
    assert blocks == [(0, [0, 1, 2]), (0, [3, 4]), (2, [10, 11, 12]), (2, [13, 14]), (4, [20, 21])]


@pytest.mark.slow
def test_what_is_sent_to_other_machines_is_enough(tmp_path: Path) -> None:
    sent = [str(zip_package(ROOT / room, tmp_path)) for room in ("features", "training", "serving")]
    program = (
        f"import sys; sys.path[:0] = {sent!r}\n"
        "import serving.scoring.spark_worker, training.artifact.bundle, features.feature\n"
        "for module in (serving.scoring.spark_worker, training.artifact.bundle, features.feature):\n"
        "    assert '.zip' in module.__file__, module.__file__\n"
        "assert not {'mlflow', 'pyspark', 'duckdb'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
