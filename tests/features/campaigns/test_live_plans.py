"""The newest plan of a cutoff is live; missing, damaged or circular marks never leave a cutoff without a live plan."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from features.campaigns.live_plans import (
    SUPERSEDED,
    live_plan,
    mark_superseded,
    newest_plans_first,
    plans_of_cutoff,
    plans_superseded_by,
)
from features.config.load import Config, parse_config

DAY, NEXT = date(2024, 3, 1), date(2024, 4, 1)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    events = {"source": "log.parquet", "customer": "c", "time": "t", "amount": "a"}
    plan = {"margin": 0.5, "actions": {"mail": {"cost": 1.0, "save_rate": 0.1}}}
    return parse_config({"config_version": 1, "name": "shop", "events": events, "plan": plan}, tmp_path / "r.toml")


def _add(config: Config, campaign: str, day: date = DAY, mark: bool = True) -> Path:
    folder = config.outputs.plan(day, campaign)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text("{}")
    (folder / SUPERSEDED).unlink(missing_ok=True)  # a plan replaces its whole folder
    if mark:
        mark_superseded(config, day, campaign)
    return folder


def _names(config: Config, day: date = DAY) -> list[tuple[str, str]]:
    return [(plan.campaign, plan.superseded_by) for plan in plans_of_cutoff(config, day)]


def test_the_newest_plan_is_live_and_all_others_are_marked(config: Config) -> None:
    assert live_plan(config, DAY) is None and plans_of_cutoff(config, DAY) == []
    for campaign in ("retention", "autumn", "winter"):
        folder = _add(config, campaign)
        assert live_plan(config, DAY).campaign == campaign  # type: ignore[union-attr]
    assert _names(config) == [("winter", ""), ("retention", "winter"), ("autumn", "winter")]
    assert plans_superseded_by(folder) == ["autumn", "retention"]
    before = {path: path.read_bytes() for path in folder.parent.glob(f"*/{SUPERSEDED}")}
    _add(config, "winter")
    assert {path: path.read_bytes() for path in folder.parent.glob(f"*/{SUPERSEDED}")} == before
    _add(config, "retention")
    assert _names(config) == [("retention", ""), ("autumn", "retention"), ("winter", "retention")]


def test_without_marks_the_campaign_of_the_config_comes_first(config: Config) -> None:
    for campaign in ("autumn", f"retention-{DAY}", "zoo"):
        _add(config, campaign, mark=False)
    assert [name for name, _ in _names(config)] == [f"retention-{DAY}", "autumn", "zoo"]
    _add(config, "retention", mark=False)
    assert _names(config)[0] == ("retention", "") and all(not by for _, by in _names(config))
    _add(config, ".being-written", mark=False)
    _add(config, "spring", NEXT)
    names = [plan.name for plan in newest_plans_first(config)]
    assert names[:2] == [f"{NEXT}/spring", f"{DAY}/retention"] and len(names) == 5


def test_a_mark_of_a_plan_that_is_gone_or_of_a_circle_does_not_count(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = _add(config, "retention"), _add(config, "autumn")
    (second / "manifest.json").rename(second / "kept")
    assert _names(config) == [("retention", "")]
    (second / "kept").rename(second / "manifest.json")
    kept = (first / SUPERSEDED).read_bytes()
    mark_superseded(config, DAY, "retention")
    (first / SUPERSEDED).write_bytes(kept)
    assert _names(config) == [("retention", ""), ("autumn", "")]  # each names the other
    (second / SUPERSEDED).unlink()
    (first / SUPERSEDED).write_text("{half")
    assert _names(config) == [("autumn", ""), ("retention", "?")]
    assert "superseded.json" in caplog.text
