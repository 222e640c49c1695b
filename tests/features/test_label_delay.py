"""How long labels wait for late rows: by the log's own delays, or as the config says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.errors import UsageError
from features.intake.tables import Tables
from features.label_delay import NO_LABEL_DELAY, ArrivalCounts, LabelDelay, known_share, label_delay_note, usual_delay
from features.task import Window

START, DAYS = datetime(2023, 1, 1, tzinfo=UTC), 200
Late = Callable[[int], int]


def rows(late: Late, **more: Any) -> list[dict[str, Any]]:
    """Four rows a day for 200 days, without those that have not become known by then; `late` of 0 to 3, in days."""
    lines = []
    for n in range(4 * DAYS):
        time, days = START + timedelta(n // 4), late(n % 4)
        if n // 4 + days < DAYS:
            lines.append({"customer": f"c{n % 7}", "time": time, "known_at": time + timedelta(days), "amount": 1.0})
    return [*lines, *([{**lines[0], **more}] if more else [])]


def section(**task: Any) -> dict[str, Any]:
    return {"task": {"horizon": "28d", **task}}


def test_the_delays_of_rows_that_are_still_on_their_way_are_not_forgotten() -> None:
    """Delays from 0 to 9 days, all as frequent; of the newest rows only the quick ones are in the log."""
    day, delay = (grid.ravel() for grid in np.meshgrid(np.arange(30), np.arange(10)))
    arrived = day + delay < 30
    share = known_share(ArrivalCounts(day[arrived], delay[arrived], np.full(arrived.sum(), 7)))
    assert share == pytest.approx(np.arange(1, 11) / 10)
    plain = np.array([(delay[arrived] <= d).mean() for d in range(10)])
    assert plain[0] > 0.11  # what counting alone would say


def test_labels_wait_until_late_rows_have_usually_arrived(make_log: Callable[..., Tables]) -> None:
    """A quarter of the rows comes 12 days late: after 11 days, 1 of 112 is missing."""
    tables = make_log(rows(lambda n: 12 * (n == 0)), section())
    assert tables.label_delay == LabelDelay(days=11, wait=11)
    assert tables.labels_end == tables.end - timedelta(11)


def test_nothing_waits_where_no_row_is_late_or_nothing_says_so(make_log: Callable[..., Tables]) -> None:
    assert make_log(rows(lambda n: 0), section()).label_delay == NO_LABEL_DELAY
    assert make_log(rows(lambda n: 12 * (n == 0)), section(), known_at="").label_delay == NO_LABEL_DELAY
    assert make_log(rows(lambda n: 12 * (n == 0)), section(label_delay="none")).label_delay == NO_LABEL_DELAY


def test_rows_that_all_come_late_had_their_time(make_log: Callable[..., Tables]) -> None:
    """The log is read when a row last became known, which is five days after the last one happened."""
    tables = make_log(rows(lambda n: 5), section())
    assert (tables.label_delay.days, tables.labels_end) == (5, tables.end)


def test_a_mistyped_time_moves_nothing(make_log: Callable[..., Tables]) -> None:
    wrong = datetime(2090, 1, 1, tzinfo=UTC)
    tables = make_log(rows(lambda n: 12 * (n == 0), known_at=wrong), section())
    assert tables.label_delay == LabelDelay(days=11, wait=11)


def test_the_config_can_say_how_long(make_log: Callable[..., Tables]) -> None:
    tables = make_log(rows(lambda n: 0), section(label_delay="2w"), known_at="")
    assert tables.label_delay == LabelDelay(days=14, wait=14, given=True)
    with pytest.raises(UsageError, match=r"label_delay.*'90d' or '12w', found 'soon'; or 'usual', or 'none'"):
        make_log(rows(lambda n: 0), section(label_delay="soon"))


def test_no_label_waits_longer_than_a_horizon() -> None:
    half_late = ArrivalCounts(np.repeat(np.arange(100), 2), np.tile([0, 60], 100), np.full(200, 5))
    assert usual_delay(half_late, Window(28)) == LabelDelay(28, capped=True)


@pytest.mark.parametrize(
    ("delay", "why"),
    [
        (LabelDelay(9, wait=7), "99% of the rows of a horizon (28d) are usually known 9 days after it"),
        (LabelDelay(7, wait=7, given=True), "outcomes wait 7 days for rows that become known late"),
        (
            LabelDelay(28, wait=7, capped=True),
            "less than 99% of the rows of a horizon (28d) are usually known 28d after",
        ),
    ],
)
def test_one_sentence_says_which_cutoffs_have_no_outcome_yet(delay: LabelDelay, why: str) -> None:
    (note,) = label_delay_note(delay, date(2024, 3, 31), Window(28))
    assert note.startswith(why)
    assert note.endswith("so the newest cutoff with one is 2024-02-25 and not 2024-03-03")
    assert label_delay_note(LabelDelay(5), date(2024, 3, 31), Window(28)) == ()
