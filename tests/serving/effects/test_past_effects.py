"""Measured campaigns as evidence: complete ones, as randomised, and none that the uplift model learned from."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from features.config.load import parse_config
from features.outputs.manifests import manifest_text
from serving.effects.believed_effects import PastEffect
from serving.effects.past_effects import past_effects

CUTOFF = date(2024, 6, 1)


def _row(
    outcome: str, estimator: str, effect: float | None, family: str = "action", mean: float = 50.0
) -> dict[str, Any]:
    return {"family": family, "outcome": outcome, "estimator": estimator, "action": "mail", "segment": "all",
            "effect": effect, "error": 2.0, "mean_held": mean}  # fmt: skip


def test_which_measurements_count(tmp_path: Path) -> None:
    config = parse_config(
        {"config_version": 1, "name": "shop", "events": {"source": "e.csv", "customer": "c", "time": "t"}},
        tmp_path / "regulars.toml",
    )
    rows = [
        _row("value", "plain", 5.0), _row("value", "adjusted", 9.0), _row("return", "adjusted", 0.5),
        _row("value", "plain", 7.0, "all"), _row("value", "plain", None), _row("value", "plain", 1.0, mean=0.0),
    ]  # fmt: skip
    base = {"format": 1, "cutoff": "2024-01-01", "horizon_days": 30, "mature": True, "log": {}, "effects": rows,
            "sample_ratio": {"alarm": False}, "customers": {}}  # fmt: skip
    changes: dict[str, dict[str, Any]] = {
        "good": {}, "early": {"mature": False}, "mismatch": {"sample_ratio": {"alarm": True}}, "learned": {},
        "late": {"cutoff": "2024-05-15"},
    }  # fmt: skip
    for campaign, change in changes.items():
        folder = config.outputs.plan(date(2024, 1, 1), campaign)
        folder.mkdir(parents=True)
        text = manifest_text({**base, "campaign": campaign, **change})
        (folder / "measured.json").write_text(text, encoding="utf-8")
    learned = ["2024-01-01/learned"]
    assert past_effects(config, CUTOFF, "value", learned) == (PastEffect("mail", 0.1, 0.04),)
    assert past_effects(config, CUTOFF, "return", learned) == (PastEffect("mail", 0.01, 0.04),)
    assert len(past_effects(config, date(2024, 7, 1), "value", ())) == 3
