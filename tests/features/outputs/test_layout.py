"""Every result has one place, and what lies there under other names is left alone."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from features.outputs.layout import MEASUREMENT, PLAN_MANIFEST, SCORE_MANIFEST, OutputFolder, cutoff_of

CUTOFF = date(2024, 6, 1)


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


def test_places_are_those_of_the_docs(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    places = {
        "scores/cutoff=2024-06-01": output.scores(CUTOFF),
        "contributions/value/cutoff=2024-06-01": output.contributions("value", CUTOFF),
        "csv/cutoff=2024-06-01": output.csv(CUTOFF),
        "segments/cutoff=2024-06-01": output.segments(CUTOFF),
        "uplift/cutoff=2024-06-01": output.uplift(CUTOFF),
        "plans/cutoff=2024-06-01/spring": output.plan(CUTOFF, "spring"),
        "monitor/cutoff=2024-06-01": output.monitoring(CUTOFF),
        "reports/cutoff=2024-06-01.html": output.report(CUTOFF),
        "runs": output.runs(),
        ".scoring": output.scoring(),
    }
    assert {name: tmp_path / name for name in places} == places
    assert all(cutoff_of(place) == CUTOFF for name, place in places.items() if "cutoff=" in name.split("/")[-1])


def test_only_complete_cutoffs_count_and_other_folders_are_skipped(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    for cutoff in (CUTOFF, date(2024, 5, 1)):
        write(output.scores(cutoff) / SCORE_MANIFEST)
    output.scores(date(2024, 7, 1)).mkdir(parents=True)
    write(tmp_path / "scores" / "cutoff=soon" / SCORE_MANIFEST)
    assert output.scored_cutoffs() == [date(2024, 5, 1), CUTOFF]
    assert output.segmented_cutoffs() == output.monitored_cutoffs() == []


def test_plans_are_found_by_cutoff_and_by_file(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    spring, autumn, later = (
        output.plan(CUTOFF, "spring"),
        output.plan(CUTOFF, "autumn"),
        output.plan(date(2024, 7, 1), "a"),
    )
    for folder in (spring, autumn, later):
        write(folder / PLAN_MANIFEST)
    write(spring / MEASUREMENT)
    assert output.plans() == [autumn, spring, later]
    assert output.plans(CUTOFF) == [autumn, spring]
    assert output.plans(file=MEASUREMENT) == [spring]
