"""A manifest is read or refused with one message: half-written, changed, or of another version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from features.errors import DataError
from features.json_files import file_digest, has_digest, json_digest, read_json, read_object
from features.outputs.manifests import PlanManifest, ScoreManifest, manifest_text, read_manifest

SCORES: dict[str, Any] = {
    "format": 1, "name": "shop", "cutoff": "2024-06-01", "customers": 2, "code": "abc", "interval": 0.8,
    "parts": [{"file": "part-00000.parquet", "rows": 2, "sha256": "0" * 64}],
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "cutoff=2024-06-01" / "_manifest.json"
    place.parent.mkdir()
    return place


def test_it_is_read_as_a_frozen_model(path: Path) -> None:
    path.write_text(manifest_text(SCORES))
    manifest = read_manifest(path, ScoreManifest)
    assert (str(manifest.cutoff), manifest.customers, manifest.parts[0]["rows"]) == ("2024-06-01", 2, 2)
    with pytest.raises(ValidationError, match="frozen"):
        manifest.customers = 3  # type: ignore[misc]


def test_what_is_not_there_is_not_there(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_manifest(path, ScoreManifest)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (manifest_text(SCORES)[:40], "half-written or was changed"),
        ("", "half-written or was changed"),
        ("[1]", "expected a JSON object, found list"),
        (manifest_text({**SCORES, "customers": "many"}), "missing or wrong: customers"),
        (manifest_text({k: v for k, v in SCORES.items() if k != "parts"}), "missing or wrong: parts"),
        (manifest_text({**SCORES, "format": 2}), "a newer version of Regulars (format 2; this version reads format 1)"),
        (manifest_text({**SCORES, "format": 0}), "an older version of Regulars"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_run(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(DataError) as problem:
        read_manifest(path, ScoreManifest)
    assert words in str(problem.value) and "run `regulars score --cutoff 2024-06-01` again" in str(problem.value)


def test_the_advice_names_the_campaign(tmp_path: Path) -> None:
    path = tmp_path / "cutoff=2024-06-01" / "spring" / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(DataError, match="regulars plan --cutoff 2024-06-01 --campaign spring"):
        read_manifest(path, PlanManifest)


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
