"""The guess of [task]: paces from short to long, each with windows that fit."""

from __future__ import annotations

import tomllib

from features.config.sections import TaskConfig
from features.config_guess.task import TASKS_BY_GAP, TASKS_BY_TERM, default_task_lines, task_lines
from features.config_guess.wording import in_english


def test_every_pace_is_a_task_that_loads() -> None:
    for _, horizon, active, every, windows in TASKS_BY_GAP:
        lines = task_lines(horizon, "why", active, every, list(windows), in_english)
        task = TaskConfig.model_validate(tomllib.loads("\n".join(lines)))
        assert task.active_within.days >= task.horizon.days >= task.every.days
        assert [window.days for window in task.windows] == sorted(windows)


def test_slower_customers_get_longer_horizons() -> None:
    for paces, place in ((TASKS_BY_GAP, 1), (TASKS_BY_TERM, 1)):
        limits, horizons = [pace[0] for pace in paces], [int(str(pace[place])[:-1]) for pace in paces]
        assert limits == sorted(limits) and horizons == sorted(horizons)


def test_without_a_log_the_usual_quarter_is_asked_about() -> None:
    lines = default_task_lines(in_english)
    assert tomllib.loads("\n".join(lines))["horizon"] == "90d" and "how far ahead" in lines[0]
