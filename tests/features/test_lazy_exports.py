"""A package's names are imported when they are first used."""

from __future__ import annotations

import sys

import pytest

from features.lazy_exports import lazy_exports


def test_the_module_is_imported_at_the_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "features.money", raising=False)
    load, names = lazy_exports("features", {"money": ["TICKS", "LARGEST_AMOUNT"]})
    assert names == ["LARGEST_AMOUNT", "TICKS"] and "features.money" not in sys.modules
    assert load("TICKS") == sys.modules["features.money"].TICKS


def test_other_names_are_attribute_errors() -> None:
    load, _ = lazy_exports("features", {"money": ["TICKS"]})
    with pytest.raises(AttributeError, match="module 'features' has no attribute 'Nothing'"):
        load("Nothing")
