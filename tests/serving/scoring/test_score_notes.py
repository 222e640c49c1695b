"""Notes on scores of a quick look, or made for another time zone or language."""

from __future__ import annotations

from datetime import date

from features.outputs.manifests import ScoreManifest
from serving.language.messages import get_language
from serving.scoring.score_notes import notes_on_scores

CUTOFF = date(2024, 3, 1)


def notes_of(own_zone: str, zone: str | None, written: str, reader: str) -> list[str]:
    task = {} if zone is None else {"timezone": zone}
    model = {"label": "shop-churn/1", "run_id": "r", "digest": "d", "task": task}
    manifest = ScoreManifest(customers=0, parts=[], models={"churn": model}, language=written, cutoff=str(CUTOFF))
    return notes_on_scores(own_zone, manifest, CUTOFF, get_language(reader))


def test_scores_of_this_config_have_none() -> None:
    assert notes_of("UTC", None, "en", "en") == notes_of("UTC", "UTC", "en", "en") == []


def test_another_zone_is_named_with_what_to_do() -> None:
    (note,) = notes_of("Europe/Berlin", None, "en", "en")
    assert "begin in the time zone UTC, and the config now says Europe/Berlin" in note
    assert "`regulars score --cutoff 2024-03-01`" in note


def test_reasons_in_another_language_are_explained_in_the_readers() -> None:
    (note,) = notes_of("UTC", "UTC", "en", "zh")
    assert "（en）" in note and "`regulars score --cutoff 2024-03-01`" in note


def test_scores_of_a_quick_look_say_so_in_the_readers_language() -> None:
    model = {"label": "shop-churn/1", "task": {}, "quick": True}
    manifest = ScoreManifest(customers=0, parts=[], models={"churn": model}, language="zh", cutoff=str(CUTOFF))
    notes = notes_on_scores("UTC", manifest, CUTOFF, get_language("zh"))
    assert len(notes) == 1 and "`regulars train --quick`" in notes[0] and "quick look" not in notes[0]
