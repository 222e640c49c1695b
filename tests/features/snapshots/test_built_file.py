"""`regulars build --out` replaces an earlier build and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.errors import UsageError
from features.snapshots.built_file import BUILD_MARKER, built_file, require_build_target

SPARK = {"engine": {"kind": "spark"}}


def test_a_file_is_written_over_parquet_only(make_config: Callable[..., Config], tmp_path: Path) -> None:
    out = tmp_path / "built.parquet"
    for content in ("first", "PAR1 second"):
        with built_file(make_config(), out) as target:
            target.write_text(content)
        if content == "first":
            out.write_text("PAR1")
    assert out.read_text() == "PAR1 second"
    (tmp_path / "notes.txt").write_text("dear diary")
    with pytest.raises(UsageError, match="is a file that `regulars build` did not write"):
        require_build_target(make_config(), tmp_path / "notes.txt")


@pytest.mark.parametrize("kind", ["device", "folder", "link", "pipe"])
def test_other_kinds_are_refused(make_config: Callable[..., Config], tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "device":
        out = Path("/dev/null")
    elif kind == "folder":
        out.mkdir()
    elif kind == "link":
        out.symlink_to(tmp_path / "elsewhere.parquet")
    else:
        import os

        os.mkfifo(out)
    with pytest.raises(UsageError, match=f"expected a file or nothing yet, found a {kind}"):
        require_build_target(make_config(), out)
    assert Path("/dev/null").is_char_device()


def test_the_log_itself_is_never_replaced(make_config: Callable[..., Config], tmp_path: Path) -> None:
    pq.write_table(pa.table({"customer": ["a"]}), tmp_path / "log.parquet")
    for out in (tmp_path / "log.parquet", tmp_path / "x" / ".." / "log.parquet"):
        with pytest.raises(UsageError, match="lies where the config reads from"):
            require_build_target(make_config(), out)
    (tmp_path / "data").mkdir()
    with pytest.raises(UsageError, match="lies where the config reads from"):
        require_build_target(make_config(source="data"), tmp_path / "data" / "built.parquet")
    with pytest.raises(UsageError, match="lies where the config reads from"):
        require_build_target(make_config(SPARK), tmp_path)


def test_a_folder_of_parts_is_written_over_ours_only(make_config: Callable[..., Config], tmp_path: Path) -> None:
    config, out = make_config(SPARK, source="log"), tmp_path / "built"
    for _ in range(2):
        with built_file(config, out) as target:
            pq.write_table(pa.table({"customer_id": ["a"]}), target / "part-0.parquet")
    assert sorted(path.name for path in out.iterdir()) == [BUILD_MARKER, "part-0.parquet"]
    assert pq.read_table(out).num_rows == 1
    others = tmp_path / "others"
    others.mkdir()
    pq.write_table(pa.table({"customer_id": ["a"], "cutoff": [1]}), others / "part-0.parquet")
    require_build_target(config, others)  # parts that an earlier version wrote
    pq.write_table(pa.table({"customer": ["a"]}), others / "part-0.parquet")
    with pytest.raises(UsageError, match="is a folder that `regulars build` did not write"):
        require_build_target(config, others)
