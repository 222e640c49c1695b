"""Names of businesses and campaigns: of any script, and fit for files, addresses and MLflow."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from features.config.load import Config, parse_config
from features.config.names import MOST_BYTES, check_name
from features.errors import UsageError
from serving.planning.rules import plan_rules

GOOD = ["online-retail", "2024.q1_a", "小店", "пекарня-1", "متجر", "दुकान", "Müller"]
BAD = ["", "-a", ".a", "_a", "a b", "a/b", "a:b", "a?b", "..", "小 店", "a\nb", "a%2Fb", "小店/春"]


@pytest.mark.parametrize("name", GOOD)
def test_letters_and_digits_of_any_script_are_names(name: str, make_config: Callable[..., Config]) -> None:
    actions = {"短信": {"cost": 1}, "e-mail & call": {"cost": 2}}
    config = make_config({"name": name, "plan": {"actions": actions, "campaign": name, "budget": 9}})
    assert config.name == name and config.plan is not None and list(config.plan.actions) == list(actions)
    assert plan_rules(config, None, name).campaign == name


@pytest.mark.parametrize("name", BAD)
def test_everything_else_is_refused_with_what_is_allowed(name: str, tmp_path: Path) -> None:
    events = {"source": "x.csv", "customer": "c", "time": "t"}
    values = {"config_version": 1, "name": name, "events": events}
    with pytest.raises(UsageError, match=r"name: expected letters and digits \(of any script\)"):
        parse_config(values, tmp_path / "regulars.toml")


def test_both_forms_of_an_accent_are_one_name() -> None:
    assert check_name(unicodedata.normalize("NFD", "Café")) == "Café"


def test_a_name_that_is_too_long_for_files_is_refused() -> None:
    assert check_name("a" * MOST_BYTES)
    with pytest.raises(ValueError, match="at most 200 bytes in UTF-8, found 201"):
        check_name("店" * 67)
