"""How good the models are, in the report: comparisons with simpler ones, and evaluations with gaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from features.config.load import Config
from features.errors import UsageError
from serving.report import inputs
from tests.report_samples import Tags, evaluation, read
from training.evaluation.evaluate import Evaluation


def test_the_baselines_are_worse_not_significantly_different_or_better(scored: Callable[..., Config]) -> None:
    text = Tags(read(scored())).text
    for words in ("▲ our model is better", "● no significant difference", "▼ our model is worse"):
        assert text.count(words) == 1
    assert "in 3 comparisons with simpler models, ours was better in 1" in text


@pytest.mark.parametrize("part", ["all", "metrics", "differences", "rivals", "run"])
def test_a_part_of_the_evaluation_may_be_missing(scored: Callable[..., Config], monkeypatch: Any, part: str) -> None:
    complete = evaluation()
    partial = {
        "all": Evaluation(complete.metrics.head(0), complete.differences.head(0), complete.groups.head(0)),
        "metrics": Evaluation(
            complete.metrics[complete.metrics.metric == "mae"], complete.differences, complete.groups.head(0)
        ),
        "differences": Evaluation(complete.metrics, complete.differences.head(0), complete.groups),
        "rivals": Evaluation(
            complete.metrics[complete.metrics.model == "regulars"], complete.differences.head(0), complete.groups
        ),
        "run": complete,
    }[part]
    config = scored(quality=partial)
    if part == "run":
        monkeypatch.setattr(inputs, "load_evaluation", _gone)
    text = Tags(read(config)).text
    assert ("cannot say how good" in text) == (part in ("all", "run"))
    assert ("not known" in text) == (part in ("all", "metrics", "run"))


def _gone(config: Config, run: str) -> Evaluation:
    raise UsageError("the run is gone")
