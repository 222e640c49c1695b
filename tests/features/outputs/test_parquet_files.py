"""A Parquet file of the output is read, or refused with one message that says what to run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import DataError
from features.outputs.parquet_files import open_parquet, read_parquet
from features.storage.json_files import file_digest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "segments" / "cutoff=2024-06-01" / "kinds.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), path)
    return path


def test_columns_are_read_as_asked(file: Path) -> None:
    assert read_parquet(file).column_names == ["a", "b"]
    assert read_parquet(file, ["b"], file_digest(file)).to_pydict() == {"b": ["x", "y"]}
    with open_parquet(file) as opened:
        assert opened.metadata.num_rows == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a complete Parquet file"),
        (b"PAR1 garbage", "is not a complete Parquet file"),
        (None, "is missing"),
    ],
)
def test_a_damaged_file_is_one_message(file: Path, content: bytes | None, words: str) -> None:
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=words) as problem:
        read_parquet(file)
    assert "run `regulars segments --cutoff 2024-06-01` again" in str(problem.value)


def test_another_version_or_another_file_is_refused(file: Path) -> None:
    with pytest.raises(DataError, match="has no column c: another version wrote it"):
        read_parquet(file, ["a", "c"])
    with pytest.raises(DataError, match="is not the file that was written: its checksum differs"):
        read_parquet(file, sha256="0" * 64)
