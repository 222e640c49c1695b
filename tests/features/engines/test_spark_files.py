"""Which paths Spark reads, and how they are written for it; none of this needs Spark."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.engines.spark_files import escaped_path, is_remote_path, local_parquet, zip_package
from features.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("path", "remote"),
    [("s3a://bucket/log", True), ("dbfs:/tmp/log", True), ("postgresql://host/db", False), ("log.parquet", False)],
)
def test_schemes_that_are_read_remotely(path: str, remote: bool) -> None:
    assert is_remote_path(path) is remote


def test_paths_of_a_source(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1]}), tmp_path / "log [1].parquet")
    (tmp_path / "log.csv").write_bytes(b"x")
    assert local_parquet("s3a://bucket/log", tmp_path) is None
    files = local_parquet("log [[]1].parquet", tmp_path)
    assert files and files.paths == (tmp_path / "log [1].parquet",)
    assert escaped_path(Path("/a/log [1].parquet")) == "file:///a/log \\[1\\].parquet"
    with pytest.raises(UsageError, match="postgresql:// is not read"):
        local_parquet("postgresql://host/db", tmp_path)
    with pytest.raises(DataError, match="reads Parquet only, found log.csv"):
        local_parquet("log.csv", tmp_path)


def test_a_zipped_package_can_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "zipped_shop"
    (package / "inner").mkdir(parents=True)
    for folder in (package, package / "inner"):
        (folder / "__init__.py").write_text("")
    (package / "inner" / "sums.py").write_text("TOTAL = 7")
    (tmp_path / "out").mkdir()
    archive = zip_package(package, tmp_path / "out")
    monkeypatch.syspath_prepend(str(archive))
    from zipped_shop.inner.sums import TOTAL  # type: ignore[import-not-found]

    assert TOTAL == 7
    for name in [name for name in sys.modules if name.startswith("zipped_shop")]:
        del sys.modules[name]
