"""The last day to try, and the columns of the table of lapsed customers."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from serving.winback.table import WINBACK_SCHEMA, last_tries, winback_rows_table

CUTOFF, SHARE, FADE, LIMIT = date(2024, 6, 1), 0.05, 1.5, 10_000


@pytest.mark.parametrize(("chance", "silence"), [(0.3, 120), (0.06, 400), (0.02, 700)])
def test_the_chance_is_still_the_share_on_the_last_day_and_not_on_the_next(chance: float, silence: int) -> None:
    (day,) = last_tries(np.array([chance]), np.array([silence]), CUTOFF, SHARE, FADE, LIMIT)
    assert day is not None

    def chance_on(when: date) -> float:
        odds = chance / (1 - chance) * ((silence + (when - CUTOFF).days) / silence) ** -FADE
        return odds / (1 + odds)

    assert chance_on(day) >= SHARE > chance_on(day + timedelta(days=1))
    assert (day >= CUTOFF) == (chance >= SHARE)


def test_there_is_no_last_day_where_the_chance_does_not_fall_so_far() -> None:
    chance, silence = np.array([0.3, 1.0]), np.array([120, 120])
    assert last_tries(chance, silence, CUTOFF, SHARE, 0.0, LIMIT) == [None, None]
    assert last_tries(chance, silence, CUTOFF, SHARE, FADE, 130) == [None, None]


def test_columns_without_a_prediction_are_null() -> None:
    table = winback_rows_table({"customer_id": ["a"], "return_probability": [0.5]}, 1)
    assert table.schema == WINBACK_SCHEMA
    assert table["value"].to_pylist() == [None] and table["last_try"].to_pylist() == [None]
