"""Scores for the tests of the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from features.config.load import Config
from serving.report import inputs
from serving.scoring.score_tables import MANIFEST, write_score_parts
from tests.report_samples import CUTOFF, evaluation, manifest, table
from training.evaluation.evaluate import Evaluation


@pytest.fixture
def scored(make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Config]]:
    """Writes fake scores of so many customers, with an evaluation, and returns the config."""

    def make(n: int = 80, money: bool = True, quality: Evaluation | None = None) -> Config:
        config = make_config()
        folder = config.output / "scores" / f"cutoff={CUTOFF}"
        folder.mkdir(parents=True)
        scores_manifest = manifest(money) | {"customers": n, "parts": write_score_parts(table(n, money), folder, 33)}
        (folder / MANIFEST).write_text(json.dumps(scores_manifest), encoding="utf-8")
        monkeypatch.setattr(inputs, "load_evaluation", lambda config, run: quality or evaluation(money))
        return config

    yield make
