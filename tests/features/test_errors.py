"""Exit codes of errors, and samples of values in messages."""

from __future__ import annotations

import pytest

from features.errors import DataError, EmptyError, RefusedError, RegularsError, UsageError, sample


@pytest.mark.parametrize(
    ("error", "code"), [(RegularsError, 2), (RefusedError, 1), (UsageError, 2), (DataError, 3), (EmptyError, 3)]
)
def test_exit_codes(error: type[RegularsError], code: int) -> None:
    assert error("why").exit_code == code and issubclass(error, RegularsError)


def test_a_sample_says_how_many_more_there_are() -> None:
    assert sample(["a", "b"]) == "'a', 'b'" and sample([]) == ""
    assert sample(list(range(2_000)), limit=2) == "0, 1 and 1,998 more"
