"""Layouts become Java patterns of the same meaning; layouts that Java cannot read are refused."""

from __future__ import annotations

import pytest

from features.engines.java_time_format import java_pattern
from features.errors import UsageError


@pytest.mark.parametrize(
    ("layout", "pattern"),
    [
        ("%Y-%m-%d", "yyyy-M-d"),
        ("%Y%m%d %H%M", "yyyyMMdd HHmm"),
        ("%d%b%Y", "dMMMyyyy"),
        ("%-d.%-m.%y", "d.M.yy"),
        ("%H o'clock", "H' o''clock'"),
        ("%d%%%m", "d%M"),
        ("%m/%d/%Y %I:%M:%S.%f %p", "M/d/yyyy h:m:s.SSSSSS a"),
    ],
)
def test_layouts_become_patterns(layout: str, pattern: str) -> None:
    assert java_pattern(layout) == pattern


@pytest.mark.parametrize(
    ("layout", "says"), [("%d %Z", "cannot read %Z"), ("%s", "%s"), ("%d %", "middle of a directive")]
)
def test_directives_without_a_counterpart_are_refused(layout: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        java_pattern(layout)
