"""An experiment in sentences: what it says of size, limits and findings, in English and in Chinese."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from serving.experiments.wording import contrast_sentences, experiment_sentences
from serving.language.formats import NumberFormat
from serving.language.messages import get_language

PAIR = {"family": "pair", "one": "mail", "other": "call", "target": 0.05, "value": {"detects": 3.0, "power": 0.4}}
EXPERIMENT: dict[str, Any] = {
    "pilot": False, "observational": 0, "order": ["mail", "call"], "eligible": 900, "needed": 500, "money": 2_500.0,
    "arms": {"call": {"customers": 300, "cost": 4.0}, "mail": {"customers": 300, "cost": 1.0}}, "limits": ["budget"],
    "target": "default", "not_tried": [], "comparisons": [{**PAIR, "return": {"detects": 0.07, "power": 0.6}}],
}  # fmt: skip
ROW = {
    "family": "pair", "action": "mail", "against": "nothing", "estimator": "adjusted", "segment": "all",
    "effect": 0.03, "low": 0.01, "high": 0.05,
}  # fmt: skip


def _sentences(language: str = "en", **changes: Any) -> list[str]:
    facts: Any = SimpleNamespace(experiment={**EXPERIMENT, **changes}, spent=1_500.0)
    return list(experiment_sentences(facts, NumberFormat(1.0), get_language(language)))


def _found(gain: tuple[float, float, float] | None, **row: Any) -> str:
    value = {**ROW, "outcome": "value", "effect": 2.0, "low": -1.0, "high": 5.0, **row}
    rows = [{**ROW, "outcome": "return", **row}, value]
    gains = {"mail vs nothing": list(gain)} if gain else {}
    measured: Any = SimpleNamespace(experiment={"gains": gains}, mature=True, effects=rows)
    (sentence,) = contrast_sentences(measured, NumberFormat(0.0), get_language("en"))
    return sentence


def test_size_budget_limits_and_what_it_can_tell() -> None:
    text = " ".join(_sentences())
    assert text.startswith("This plan is an experiment: mail vs call. Of 900 customers who may get every arm, 600 are")
    assert "mail 300, call 300" in text and "It costs 1,500. To detect 5.0 percentage points of return" in text
    assert (
        "needs 500 customers in each arm and a budget of 2,500. It is smaller than that, because of the budget." in text
    )
    assert "from 7.0 percentage points of return on, and from 3.00 of value a customer on" in text
    assert "No arm gets nothing" in text


def test_a_pilot_says_so_first_and_names_what_it_leaves_out() -> None:
    sentences = _sentences(pilot=True, observational=12, not_tried=["letter"])
    assert sentences[0].startswith("Nothing is known yet") and sentences[0].endswith("measures it: mail vs call.")
    assert "observational" in sentences[1] and "12" in sentences[1]
    assert sentences[-1] == "Customers and budget do not suffice to try these too: letter."


def test_chinese() -> None:
    assert _sentences("zh")[0] == "本计划是一次实验：mail vs call。"


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        ((1.0, 0.2, 1.8), "mail earns more after costs."),
        ((-1.0, -1.8, -0.2), "doing nothing earns more after costs."),
        ((0.1, -0.5, 0.7), "the return rate differs, but no significant difference after costs."),
        (None, "mail has the higher return rate."),
    ],
)
def test_the_verdict_is_after_costs_where_these_are_known(gain: tuple[float, float, float], verdict: str) -> None:
    sentence = _found(gain)
    assert sentence.startswith("mail against nothing: +3.0 percentage points of return (+1.0 to +5.0), +2.00 of value")
    assert sentence.endswith(verdict)


def test_too_few_customers_are_said() -> None:
    assert _found(None, effect=None) == "mail against nothing: too few customers to tell."
