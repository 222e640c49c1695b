"""Code that cannot be kept is compiled all the same, with one warning."""

from __future__ import annotations

from typing import Any

import pytest

from serving import machine_code


def test_code_that_cannot_be_kept_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def njit(cache: bool = False, **_: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(machine_code.numba, "njit", njit)
    machine_code._warn.cache_clear()
    assert [machine_code.compiled(len)([1, 2]), machine_code.compiled(max)([1, 2])] == [2, 2]
    assert [record.message for record in caplog.records if "NUMBA_CACHE_DIR" in record.message] == [
        caplog.records[0].message
    ]
