"""Digests of files and JSON, and JSON files that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from features.errors import DataError
from features.storage.json_files import document_text, file_digest, has_digest, json_digest, read_json, read_object


def test_digests(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, example B.1
    assert file_digest(file) == digest and file_digest(file, 8) == digest[:8]
    assert has_digest(tmp_path, {"file": "a.bin", "sha256": digest})
    assert not has_digest(tmp_path, {"file": "a.bin", "sha256": "0"}) and not has_digest(
        tmp_path, {"file": "b", "sha256": digest}
    )
    assert json_digest({"a": 1, "b": 2}) == json_digest(json.loads('{"b": 2, "a": 1}')) != json_digest({"a": 2})


def test_json_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"cannot be read .*; do so"):
        read_json(tmp_path / "folder", "do so")
    (tmp_path / "text").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="half-written"):
        read_object(tmp_path / "text", "do so")


def test_a_changed_document_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text(document_text({"a": [1, 2.5, None], "ü": {"1": "x"}}), encoding="utf-8")
    assert read_object(path, "do so") == {"a": [1, 2.5, None], "ü": {"1": "x"}}
    path.write_text(path.read_text(encoding="utf-8").replace("2.5", "2.6"), encoding="utf-8")
    with pytest.raises(DataError, match="was changed since it was written .*; do so"):
        read_object(path, "do so")
