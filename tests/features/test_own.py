"""The names that users' feature files import stay importable."""

from __future__ import annotations

import features
from features import own


def test_all_names_are_there_and_are_those_of_the_package() -> None:
    assert set(own.__all__) == {
        "KEYS", "TICKS", "Family", "Feature", "Measure", "Past", "Task", "Window", "add_up", "money", "spread",
    }  # fmt: skip
    assert all(hasattr(own, name) for name in own.__all__)
    assert all(getattr(features, name) is getattr(own, name) for name in own.__all__ if name in features.__all__)
