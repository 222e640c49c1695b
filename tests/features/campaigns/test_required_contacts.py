"""Commands that need contacts say so before anything is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from features.campaigns.required_contacts import require_contacts
from features.config.load import Config
from features.errors import UsageError


def test_a_config_without_contacts_is_refused(make_config: Callable[..., Config]) -> None:
    with pytest.raises(UsageError, match=r"no \[contacts\]: a plan is measured by the contacts"):
        require_contacts(make_config())


def test_the_section_is_returned(make_config: Callable[..., Config]) -> None:
    section = {"source": "c.parquet", "customer": "who", "time": "at", "action": "what"}
    assert require_contacts(make_config({"contacts": section})).action == "what"
