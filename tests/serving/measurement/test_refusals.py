"""Why nothing is learned from a measurement: each reason is said, and none if it is evidence."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from features.outputs.manifests import Measurement
from serving.language.messages import get_language
from serving.measurement.refusals import refusal_sentences

OVERLAP = {"plans": ["2024-03-20/b"], "treated": 0.1, "held_out": 0.7, "p": 0.0, "alarm": True}


def _measurement(**changes: Any) -> Measurement:
    facts = {"campaign": "a", "mature": True, "log": {}, "effects": [], "customers": {}}
    return Measurement.model_validate({"cutoff": "2024-03-01", "sample_ratio": {"alarm": False}, **facts, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sample_ratio": {"alarm": True}}, "sample-ratio mismatch"),
        ({"overlap": OVERLAP}, "overlap with those of 2024-03-20/b. Later actions reached 10%"),
        ({"policy_since": date(2024, 1, 1)}, "held out in each plan since 2024-01-01"),
    ],
)
def test_each_reason_is_said(changes: dict[str, Any], words: str) -> None:
    (sentence,) = refusal_sentences(_measurement(**changes), get_language("en"))
    assert sentence.startswith("Nothing is learned from it: ") and words in sentence
    (chinese,) = refusal_sentences(_measurement(**changes), get_language("zh"))
    assert chinese.startswith("不从中学习")


def test_evidence_has_no_reason_against_it() -> None:
    assert list(refusal_sentences(_measurement(overlap={**OVERLAP, "alarm": False}), get_language("en"))) == []
