"""Remarks on what drifted and what could not be compared."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from serving.language.messages import get_language
from serving.monitoring.feature_drift import drift_notes
from serving.statistics.population_drift import Drift

TR = get_language("en")
DAY = date(2024, 1, 1)


def drift(what: str, moved: bool) -> Drift:
    return Drift(what, "name", "phrase", 0.5, 0.1, 1.0, 1.5, 0.0, False, None, "then", moved)


def inputs(newest: list[date], season: date | None) -> Any:
    return SimpleNamespace(features=["orders"], references=SimpleNamespace(newest=newest, season=season))


@pytest.mark.parametrize(
    ("newest", "season", "drifts", "words"),
    [
        ([], None, [], ["Features cannot be compared yet", "Scores cannot be compared yet"]),
        ([DAY], None, [drift("score", False)], ["There is no cutoff of a year earlier"]),
        ([DAY], DAY, [drift("score", True)], []),
        (
            [DAY],
            DAY,
            [drift("score", False), drift("feature", True), drift("feature", False)],
            ["1 feature has drifted."],
        ),
        ([DAY], DAY, [drift("score", False)] + [drift("feature", True)] * 2, ["2 features have drifted."]),
    ],
)
def test_notes(newest: list[date], season: date | None, drifts: list[Drift], words: list[str]) -> None:
    notes = drift_notes(inputs(newest, season), drifts, TR)
    assert len(notes) == len(words) and all(note.startswith(start) for note, start in zip(notes, words, strict=True))
