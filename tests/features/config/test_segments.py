"""[segments]: rules of one's own need a version of their own, and names that exist."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from features.config.rfm_rules import RULES
from features.config.segments import SegmentsConfig


def test_the_built_in_rules_are_the_default() -> None:
    assert SegmentsConfig().rfm == RULES
    assert SegmentsConfig(clusters=(0, 0)).clusters == (0, 0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rfm": {"all": "r 1-5, fm 1-5"}}, "give your own rules another version"),
        ({"version": "mine"}, "the rules are the built-in ones: remove version"),
        ({"rfm": {" ": "r 1-5, fm 1-5"}, "version": "mine"}, "the name of a group has 1 to 40 characters"),
        ({"treatments": {"champion": "thank them"}}, "treatments names 'champion', which is not a group.*champions"),
        ({"clusters": (5, 3)}, r"expected \[fewest, most\] between 2 and 20, found \[5, 3\]"),
        ({"confidence": 0.5}, "greater than 0.5"),
    ],
)
def test_what_contradicts_itself_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SegmentsConfig(**keys)


def test_one_rule_may_be_a_text() -> None:
    assert SegmentsConfig(rfm={"everybody": "r 1-5, fm 1-5"}, version="mine").rfm == {"everybody": ("r 1-5, fm 1-5",)}


def test_names_and_version_of_earlier_built_in_rules_are_read() -> None:
    config = SegmentsConfig.model_validate({"version": "1", "treatments": {"at risk": "call them", "lost": "wait"}})
    assert config.version == SegmentsConfig().version
    assert config.treatments == {"quiet regulars": "call them", "lost": "wait"}
