"""The plans in the report: the one of the cutoff, and past ones with what they changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from features.config.load import Config
from features.outputs.manifests import manifest_text
from tests.report_samples import MEASURED, Tags, effect, read, write_plan


def test_the_plan_says_whom_what_for_and_where_it_is_assumed(scored: Callable[..., Config]) -> None:
    config = scored()
    write_plan(config)
    page = Tags(read(config))
    for words in (
        "30 of them get an action, for 60.00 of a budget of 60.00",
        "90.00 (80% credible interval, from the errors of the effects: 50.00 to 130.00)",
        "The probability that the plan loses money is 7%.",
        "assumed: keeps 10.0% of those who would leave", "Expected gain (assumed)",
        "<i>mail</i> (expected gain +3.00, assumed)",
        "holdout: do not contact (would have <i>mail</i>)", "left out: <u>asked</u>",
        "customers get an action in the plan 'spring': load its plan.csv into the campaign tool",
        "can be measured from 2024-05-30 on", "The plan 'spring' contacts 1 of them.",
    ):  # fmt: skip
        assert words in page.text, words
    assert any("one more unit adds" in (a["aria-label"] or "") for a in page.named("svg"))


def test_a_plan_of_other_scores_is_not_followed(scored: Callable[..., Config]) -> None:
    config = scored()
    path = write_plan(config) / "manifest.json"
    path.write_text(manifest_text(json.loads(path.read_text()) | {"scores": {"parts": []}}))
    text = Tags(read(config)).text
    assert "scored again after this plan was made" in text and "expected gain +3" not in text
    assert "load its plan.csv" not in text and "The plan 'spring' contacts" not in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {},
            (
                "▲ significant positive effect",
                "+12.00 (+5.00 to +20.00)",
                "+90.00 (assumed)",
                "2 of 9 customers in the holdout were contacted",
            ),
        ),
        ({"mature": False}, ("● not significant", "immature")),
        ({"sample_ratio": {"alarm": True}}, ("▲▲ not valid: sample-ratio mismatch",)),
        ({"effects": [effect("value", "all", -3.0, effect=-2.0, high=-1.0)]}, ("▼ significant negative effect",)),
        ({"effects": [effect("return", "all", None, effect=None)]}, ("● too few customers",)),
        (
            {
                "counted_up_to": {"value": 40.0},
                "withheld": [
                    {"family": "action", "outcome": outcome, "action": "mail", "needed": needed, "held": 3}
                    for outcome, needed in (("value", 1_234), ("return", 55))
                ],
            },
            (
                "effects on value count at most 40.00 of each customer",
                "mail is too small to tell an effect on value (3 held out; about 1,234 would do)",
                "mail is too small to tell an effect on the return rate (3 held out; about 55 would do)",
            ),
        ),
    ],
)
def test_past_plans_have_a_verdict(
    scored: Callable[..., Config], change: Mapping[str, Any], words: tuple[str, ...]
) -> None:
    config = scored()
    write_plan(config, "2023-11-01", {**MEASURED, **change})
    text = Tags(read(config)).text
    for each in ("2023-11-01 spring", "All campaigns, and what to try next", "2023-11-01/spring", *words):
        assert each in text, each
