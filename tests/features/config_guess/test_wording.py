"""Guessed sections as lines of TOML that load as they were meant."""

from __future__ import annotations

import tomllib

import pytest

from features.config_guess.wording import SectionDraft, in_english, quoted, toml_value


@pytest.mark.parametrize(
    "text", ["plain", 'say "hi"', "it's", "C:\\data", "a\nb", "\x7f", "客户", "'both' \"quotes\"", ""]
)
def test_any_text_comes_back_from_toml(text: str) -> None:
    assert tomllib.loads(f"x = {quoted(text)}") == {"x": text}


def test_values_of_all_kinds_come_back_from_toml() -> None:
    value = {"list": ["a", 1], "number": 0.5, "yes": True, "rates": {"EUR": 1, "USD": 0.92}}
    assert tomllib.loads("\n".join(f"{key} = {toml_value(each)}" for key, each in value.items())) == value


def test_a_key_has_its_reason_and_a_question_is_a_comment() -> None:
    draft = SectionDraft(in_english)
    draft.add("customer", "id", "named so")
    draft.choose("order", [], "never said", "which one?")
    assert draft.lines == ['customer = "id"  # named so', '# order = ""  # which one?']
    assert tomllib.loads("\n".join(draft.lines)) == draft.values == {"customer": "id"}
