"""What `regulars check` looks at beside the audit."""

from __future__ import annotations

from features.config.load import Config
from serving.further_checks import further_checks


def test_only_what_is_asked_for_is_checked(shop: Config) -> None:
    assert list(further_checks(shop, False, False)) == []
    (text,) = further_checks(shop, False, True)
    assert text.startswith("second orders within 30 days: ")
