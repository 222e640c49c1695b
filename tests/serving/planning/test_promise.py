"""A plan's promise in words: gain, interval, risk and missing evidence, also of plans of earlier versions."""

from __future__ import annotations

from datetime import date
from typing import Any

from features.outputs.manifests import PlanManifest
from serving.language.formats import NumberFormat
from serving.language.messages import get_language
from serving.planning.promise import evidence_sentences, gain_sentences

FORM, ENGLISH = NumberFormat(1.0), get_language("en")


def _facts(**changes: Any) -> PlanManifest:
    facts = {"cutoff": date(2024, 3, 1), "campaign": "c", "gain": 12.0, "objective": "margin", "horizon_days": 30,
             "customers": {"with_action": 9}, "gain_low": -2.0, "gain_high": 26.0, "interval": 0.8,
             "loss_probability": 0.135}  # fmt: skip
    return PlanManifest.model_validate({**facts, **changes})


def test_gain_and_risk() -> None:
    gain, risk = gain_sentences(_facts(), FORM, ENGLISH)
    assert "12.00 (80% credible interval, from the errors of the effects: -2.00 to 26.00)" in gain
    assert risk == "The probability that the plan loses money is 14%."
    assert len(list(gain_sentences(_facts(loss_probability=None), FORM, ENGLISH))) == 1
    (kept,) = gain_sentences(_facts(objective="customers kept"), FORM, ENGLISH)
    assert kept.startswith("It is expected to keep 12.00 customers (80% credible interval")


def test_what_is_unknown_is_said() -> None:
    unknown = {"gain_low": None, "gain_high": None, "interval": None, "loss_probability": None}
    (assumed,) = gain_sentences(_facts(**unknown), FORM, ENGLISH)
    assert "assumed, so neither an interval nor the probability of a loss" in assumed
    (nobody,) = gain_sentences(_facts(**unknown, customers={"with_action": 0}), FORM, ENGLISH)
    assert nobody == "Nobody gets an action, so nothing is gained or lost."


def test_actions_without_evidence() -> None:
    known = {"outcome": "value", "estimate": 2.8, "error": 3.4, "believed": 1.1, "enough": False}
    actions = {
        "mail": {"evidence": known, "unproven": False},
        "sms": {"evidence": {**known, "outcome": "return", "estimate": 0.01, "error": 0.01}, "unproven": True},
        "call": {"evidence": {**known, "enough": True}, "unproven": False},
        "visit": {"evidence": None},
        "old": {},
    }
    mail, sms = evidence_sentences(_facts(actions=actions), FORM, ENGLISH)
    assert "effect of mail: +2.80 of value a customer on average (95% confidence interval -3.86 to +9.46)" in mail
    assert "counts it as 0 and spends nothing on it" in mail
    assert "sms: +1.00 percentage points of return" in sms and "unproven = true), so its posterior mean counts" in sms
    chinese = list(evidence_sentences(_facts(actions=actions), FORM, get_language("zh")))
    assert len(chinese) == 2 and all("没有证据" in each for each in chinese)


def test_observational_effects_are_said_to_be_no_measurement() -> None:
    actions = {"mail": {"source": "observational", "evidence": None}, "sms": {"source": "measured", "evidence": None}}
    (sentence,) = evidence_sentences(_facts(actions=actions), FORM, ENGLISH)
    assert sentence.startswith("Observational, not measured: the contacts from which the effects of mail were")
