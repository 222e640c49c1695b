"""What is read of a model is what was written, or it is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from training.artifact.model_files import (
    INDEX,
    BundleError,
    as_bundle_errors,
    check_types,
    checksum,
    digest_of,
    feature_table,
    plain_column,
    read_model,
    write_model,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    index: dict[str, Any] = {"slope": 1.0}
    index = {**index, "format": 3, "checksums": {"trees.txt": checksum("trees")}}
    index["digest"] = digest_of(index)
    return write_model(tmp_path / "model", index, {"trees.txt": "trees"})


def read(folder: Path, file_format: int = 3) -> tuple[dict[str, Any], dict[str, str]]:
    return read_model(folder, file_format, model="a model", needs_digest=True)


def test_it_is_read_back(model: Path) -> None:
    assert read(model) == ({"slope": 1.0}, {"trees.txt": "trees"})


def test_a_changed_file_is_refused(model: Path) -> None:
    (model / "trees.txt").write_text("other")
    with pytest.raises(BundleError, match="trees.txt is not the file that was written: its checksum differs"):
        read(model)


def test_a_changed_index_is_refused(model: Path) -> None:
    index = json.loads((model / INDEX).read_text())
    (model / INDEX).write_text(json.dumps({**index, "slope": 2.0}))
    with pytest.raises(BundleError, match="its digest differs"):
        read(model)


def test_another_format_or_no_model_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected format 4"):
        read(model, 4)
    with pytest.raises(BundleError, match="is not a model of regulars"):
        read(tmp_path)


def test_missing_columns_are_counted() -> None:
    table = pa.table({"a": [1.0]})
    assert feature_table(table.to_pandas(), ["a"], "churn model 'shop'").column_names == ["a"]
    with pytest.raises(BundleError, match="the churn model 'shop' needs 3 feature columns; 2 are missing: b, c"):
        feature_table(table, ["a", "b", "c"], "churn model 'shop'")


def test_columns_without_dictionary_encoding() -> None:
    column = pa.chunked_array([["a", "b", "a"]])
    assert plain_column(column.dictionary_encode()).equals(column) and plain_column(column) is column


@dataclass(frozen=True)
class Inner:
    scales: tuple[float, ...]


@dataclass(frozen=True)
class Outer:
    name: str
    weight: float
    inner: Inner | None
    named: dict[str, tuple[str, ...]]


GOOD = {"name": "a", "weight": 1, "inner": Inner((0.5, 2)), "named": {"x": ("y",)}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": None}, {"weight": "1"}, {"weight": True}, {"inner": {}}, {"inner": Inner((0.5, "2"))},
        {"inner": Inner([0.5])},
        {"named": {"x": ["y"]}}, {"named": {1: ("y",)}}, {"named": []},
    ],
)  # fmt: skip
def test_a_field_of_another_type_is_refused(wrong: dict, tmp_path: Path) -> None:
    check_types(Outer(**GOOD))
    with pytest.raises(BundleError, match="does not describe a model .*TypeError"), as_bundle_errors(tmp_path):
        check_types(Outer(**{**GOOD, **wrong}))
