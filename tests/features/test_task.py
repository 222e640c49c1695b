"""Windows, cutoffs and maturity: half-open intervals of whole days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.task import Cohort, Task, Window

DAY = timedelta(days=1)
days = st.dates(date(2000, 1, 1), date(2030, 1, 1))
windows = st.integers(1, 800).map(Window)


def task_of(horizon: Window, every: Window) -> Task:
    return Task(horizon, Cohort(Window(365)), every, (Window(30),))


@given(cutoff=days, window=windows)
def test_a_window_ends_where_the_label_begins_and_both_are_half_open(cutoff: date, window: Window) -> None:
    start, stop = window.before(cutoff)
    label_start, label_stop = window.after(cutoff)
    assert stop == label_start == cutoff
    inside = [cutoff - window.delta, cutoff - DAY]
    assert all(start <= day < stop for day in inside)
    assert not any(start <= day < stop for day in (cutoff, cutoff - window.delta - DAY))
    assert (stop - start).days == (label_stop - label_start).days == window.days


@given(number=st.integers(1, 9999))
def test_durations_are_days_or_weeks_and_survive_their_text(number: int) -> None:
    assert Window.parse(f"{number}d") == Window(number)
    assert Window.parse(f"{number}w") == Window(7 * number)
    assert Window.parse(str(Window(number))) == Window(number)


@pytest.mark.parametrize("text", ["", "90", "d", "-3d", "1.5d", "3m", "0d", "90d 5", 90])
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        Window.parse(text)


@given(first=days, span=st.integers(0, 1500), horizon=windows, every=windows)
def test_mature_cutoffs_have_a_whole_label_and_some_past(
    first: date, span: int, horizon: Window, every: Window
) -> None:
    task, end = task_of(horizon, every), first + timedelta(days=span)
    cutoffs = task.mature_cutoffs(first, end)
    assert all(task.is_mature(c, end) for c in cutoffs)
    assert all(c - first >= min(every, horizon).delta for c in cutoffs)
    assert all(later - earlier == every.delta for earlier, later in zip(cutoffs, cutoffs[1:], strict=False))


@given(first=days, span=st.integers(0, 1500), horizon=windows, every=windows)
def test_no_mature_cutoff_is_left_out(first: date, span: int, horizon: Window, every: Window) -> None:
    task, end = task_of(horizon, every), first + timedelta(days=span)
    cutoffs = task.mature_cutoffs(first, end)
    latest = end - horizon.delta
    if latest - first >= min(every, horizon).delta:
        assert cutoffs[-1] == latest
        assert cutoffs[0] - every.delta < first + min(every, horizon).delta
    else:
        assert cutoffs == []


@given(cutoff=days, horizon=windows)
def test_a_label_matures_on_the_day_its_horizon_ends(cutoff: date, horizon: Window) -> None:
    task, stop = task_of(horizon, Window(1)), horizon.after(cutoff)[1]
    assert task.is_mature(cutoff, stop)
    assert not task.is_mature(cutoff, stop - DAY)


@pytest.mark.parametrize("windows", [(), (30, 30), (90, 30)])
def test_windows_must_be_distinct_and_ascending(windows: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="distinct and ascending"):
        Task(Window(30), Cohort(Window(365)), Window(30), tuple(Window(days) for days in windows))
