"""RFM rules: complete sets are accepted, all others are refused with a message that says what to write."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from features.config.load import Config, parse_config
from features.config.rfm_rules import RULES, fm_score, groups_by_scores, groups_using
from features.errors import UsageError

EVENTS = {"source": "log.csv", "customer": "customer", "time": "time", "kinds": ["channel"]}
OWN = {"best": "r 3-5, fm 3-5", "rest": ["r 1-2", "r 3-5, fm 1-2"]}


def parsed(events: dict[str, Any] | None = None, **keys: Any) -> Config:
    values = {"config_version": 1, "name": "shop", "events": {**EVENTS, **(events or {})}, "segments": keys}
    return parse_config(values)


def refused(**keys: Any) -> str:
    with pytest.raises(UsageError) as problem:
        parsed(**keys)
    message = str(problem.value)
    assert "\n" not in message
    return message


def test_the_built_in_rules_are_the_well_known_grid() -> None:
    grid = {
        5: ["recent buyers", "potential loyalists", "potential loyalists", "champions", "champions"],
        4: ["promising", "potential loyalists", "potential loyalists", "loyal", "loyal"],
        3: ["occasional buyers", "occasional buyers", "average customers", "loyal", "loyal"],
        2: [
            "quiet occasional buyers",
            "quiet occasional buyers",
            "quiet regulars",
            "quiet regulars",
            "quiet champions",
        ],
        1: ["long quiet", "quiet occasional buyers", "quiet regulars", "quiet regulars", "quiet champions"],
    }
    groups = groups_by_scores(RULES)
    for r, f, m in product(range(1, 6), repeat=3):
        assert groups[r, f, m] == grid[r][fm_score(f, m) - 1]


def test_own_rules_are_read_with_a_version_of_their_own() -> None:
    config = parsed(version="spring", rfm=OWN, treatments={"best": "thank them", "dormant": "wake them"})
    assert config.segments.rfm == {"best": ("r 3-5, fm 3-5",), "rest": ("r 1-2", "r 3-5, fm 1-2")}
    assert config.segments.treatments["best"] == "thank them"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"version": "b", "rfm": {**OWN, "best": "r 2-5, fm 3-5"}}, ["'best'", "'rest'", "r 2 f 1 m 4"]),
        ({"version": "b", "rfm": {"best": "r 3-5"}}, ["r 1 f 1 m 1 and 49 more"]),
        ({"version": "b", "rfm": {**OWN, "best": "x 3-5"}}, ["'x'", "r, f, m, fm"]),
        ({"version": "b", "rfm": {**OWN, "best": "r 3-6"}}, ["r 3-6", "r 4-5, fm 2-3"]),
        ({"version": "b", "rfm": {**OWN, "best": "r 5-3"}}, ["backwards"]),
        ({"version": "b", "rfm": {**OWN, "best": "r 3, r 4"}}, ["names r twice"]),
        ({"rfm": OWN}, ["give your own rules another version"]),
        ({"version": "b"}, ["built-in", "remove version"]),
        ({"treatments": {"champoins": "x"}}, ["did you mean 'champions'?"]),
        ({"clusters": [5, 3]}, ["between 2 and 20", "[5, 3]"]),
        ({"window": "10d"}, ["10d", "30d, 90d, 180d, 365d"]),
        ({"kinds": ["chanel"]}, ["'chanel'", "channel"]),
        ({"histroy": 3}, ["did you mean 'history'?"]),
        ({"version": "b", "rfm": {"rich": "m 3-5", "poor": "m 1-2"}}, ["'rich'", "no amounts"]),
    ],
)
def test_incomplete_or_overlapping_rules_are_refused(keys: dict[str, Any], words: list[str]) -> None:
    message = refused(**keys)
    assert all(word in message for word in words), message


def test_rules_use_money_only_if_there_are_amounts() -> None:
    rules = {"rich": "m 3-5", "poor": "m 1-2"}
    assert groups_using(parsed({"amount": "amount"}, version="b", rfm=rules).segments.rfm, "m") == ["rich", "poor"]
