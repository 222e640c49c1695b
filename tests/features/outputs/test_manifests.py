"""A manifest is read or refused with one message: half-written, changed, or of another version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from features.errors import DataError
from features.outputs.manifests import PlanManifest, ScoreManifest, manifest_text, read_manifest, read_required_manifest

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
    with pytest.raises(DataError, match="is missing; run `regulars score --cutoff 2024-06-01` again"):
        read_required_manifest(path, ScoreManifest)


def test_a_manifest_of_an_earlier_version_has_no_checksum(path: Path) -> None:
    path.write_text(json.dumps({**SCORES, "customers": 3}))
    assert read_manifest(path, ScoreManifest).customers == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (manifest_text(SCORES)[:40], "half-written or was changed"),
        ("", "half-written or was changed"),
        ("[1]", "expected a JSON object, found list"),
        (manifest_text({**SCORES, "customers": "many"}), "missing or wrong: customers"),
        (manifest_text({k: v for k, v in SCORES.items() if k != "parts"}), "missing or wrong: parts"),
        (manifest_text(SCORES).replace('"customers": 2', '"customers": 3'), "was changed since it was written"),
        (manifest_text({**SCORES, "parts": [{"file": "../x", "rows": 1, "sha256": ""}]}), "missing or wrong: parts.0"),
        (manifest_text({**SCORES, "models": {"churn": {}}}), "missing or wrong: models.churn"),
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
