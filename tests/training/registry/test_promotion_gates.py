"""Promotion gates: which challengers become champions, and the texts that explain it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.config.load import Config
from training.artifact.model_files import BundleError
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.baselines import EVERYBODY_ALIKE
from training.evaluation.evaluate import OURS, Evaluation, evaluate_predictions
from training.registry import promotion_gates
from training.registry.champion_challenger import CurrentChampions
from training.registry.models import Champion, RegisteredVersion
from training.registry.promotion_gates import AlikeChallengers, PromotionDecision, PromotionGate

CUTOFF, N = date(2024, 6, 1), 600
TASK = {"horizon": "30d", "churn": "inactive"}
Config_ = Callable[..., Config]


@dataclass(frozen=True)
class StubBundle:
    """A stand-in for a bundle: it knows the risk up to noise, and was fitted on some cutoffs."""

    blur: float
    cutoffs: tuple[str, ...] = ("2024-04-01",)
    task: dict[str, str] = field(default_factory=lambda: dict(TASK))
    own: str = ""
    classifier_digest: str = "one"
    needs: str = "risk"
    skill: bool = True

    @property
    def facts(self) -> dict[str, Any]:
        return {"cutoffs": self.cutoffs, "own_features": self.own}

    def predict(self, features: pa.Table) -> dict[str, np.ndarray]:
        if self.needs not in features.column_names:
            raise BundleError("1 are missing: " + self.needs)
        risk = features[self.needs].to_numpy()
        noise = np.random.default_rng(1).normal(0, 1, len(risk))
        churn = 1 / (1 + np.exp(-(risk + self.blur * noise)))
        return {"churn_probability": churn, "value": 100 * (1 - churn)}


class StubAlike(StubBundle):
    """A stand-in for the model that treats everybody alike."""

    def predict(self, features: pa.Table) -> dict[str, np.ndarray]:
        half = np.full(features.num_rows, 0.5)
        return {"churn_probability": half, "value": 100 * half}


EVERYBODY: Any = StubAlike(0.0, skill=False)


@pytest.fixture(scope="module")
def truth() -> Sample:
    rng = np.random.default_rng(0)
    risk = rng.normal(0, 1.5, N)
    churned = (rng.random(N) < 1 / (1 + np.exp(-risk))).astype(float)
    value = np.where(churned == 1, 0.0, rng.gamma(4, 25, N))
    ids = pa.chunked_array([[f"c{i}" for i in range(N)]])
    return Sample(ids, np.zeros(N), pa.table({"risk": risk}), churned, value)


@pytest.fixture
def decide(truth: Sample, make_config: Config_) -> Callable[..., PromotionDecision]:
    """Decide on a challenger with some noise, given champions and the keys of [training.promote]."""

    def call(
        blur: float, *champions: Champion, rule: float = 3.0, kinds: tuple[str, ...] = ("churn", "value"),
        logged: Evaluation | None = None, own: str = "", problem: str = "", gate: str = "one", **keys: Any
    ) -> PromotionDecision:  # fmt: skip
        config = make_config({"training": {"bootstrap": 100, "promote": keys}})
        judge: Any = StubBundle(blur, classifier_digest=gate)
        current = CurrentChampions({c.version.kind: c for c in champions}, problem, lambda: logged)
        evaluation = _evaluation(blur, rule, truth)
        alike = AlikeChallengers(dict.fromkeys(kinds, judge), EVERYBODY)
        return promotion_gates.decide_promotion(
            evaluation, dict.fromkeys(kinds, judge), judge, truth, CUTOFF, current, config, own, alike
        )

    return call


def _evaluation(blur: float, rule: float, truth: Sample) -> Evaluation:
    parts = {name: StubBundle(size).predict(truth.features) for name, size in ((OURS, blur), ("rule", rule))}
    parts[EVERYBODY_ALIKE] = EVERYBODY.predict(truth.features)
    predictions = {name: Prediction(part["churn_probability"], part["value"]) for name, part in parts.items()}
    return evaluate_predictions(predictions, truth, CUTOFF, seed=7, resamples=100)


def _champion(kind: str, blur: float, judge: Any = None, **more: Any) -> Champion:
    bundle: Any = StubBundle(blur, **more)
    return Champion(bundle, RegisteredVersion(f"shop-{kind}", "1", "run", new=False, champion=True), judge)


def _pair(blur: float, judge: Any = None, **more: Any) -> tuple[Champion, Champion]:
    return _champion("churn", blur, judge, **more), _champion("value", blur, judge, **more)


def test_a_better_challenger_is_promoted_and_a_worse_one_refused_with_figures(
    decide: Callable[..., PromotionDecision],
) -> None:
    better = decide(0.1, *_pair(2.0), rule=0.5)
    assert better.promoted
    assert not better.reasons
    assert {gate.against for gate in better.gates} == {"champion", "rule"}
    assert all(gate.standing == "better" for gate in better.gates)
    worse = decide(0.8, *_pair(0.1))
    assert not worse.promoted
    assert len(worse.reasons) == 2
    for reason, title in zip(worse.reasons, ("churn, Brier score", "value, Tweedie deviance"), strict=True):
        assert reason.startswith(title)
        assert " to +" in reason
        assert "found 'behind'" in reason


def test_one_model_that_is_worse_keeps_both_back(decide: Callable[..., PromotionDecision]) -> None:
    good, bad = _champion("churn", 2.0), _champion("value", 0.0)
    decision = decide(0.3, good, bad)
    assert not decision.promoted
    assert [reason.split(",")[0] for reason in decision.reasons] == ["value"]


@pytest.mark.parametrize(
    ("low", "middle", "high", "standing", "passes"),
    [
        (0.01, 0.02, 0.03, "better", {"better", "ahead", "level", "any"}),
        (-0.01, 0.02, 0.03, "ahead", {"ahead", "level", "any"}),
        (-0.02, 0.0, 0.03, "ahead", {"ahead", "level", "any"}),
        (-0.03, -0.02, 0.01, "level", {"level", "any"}),
        (-0.03, -0.02, -0.01, "behind", {"any"}),
        (float("nan"), float("nan"), float("nan"), "behind", {"any"}),
    ],
)
def test_what_a_standing_passes(low: float, middle: float, high: float, standing: str, passes: set[str]) -> None:
    for metric, sign in (("auc", 1), ("brier", -1)):
        ends = sorted((sign * low, sign * high))
        for required in ("better", "ahead", "level", "any"):
            gate = PromotionGate("churn", metric, "champion", required, 0.0, 0.5, 0.5, sign * middle, *ends)
            assert gate.standing == standing
            assert gate.passed == (required in passes)


def test_the_least_gain_is_a_share_of_the_champion_s_figure(decide: Callable[..., PromotionDecision]) -> None:
    (free, *_), (dear, *_) = (decide(0.1, *_pair(0.6), gain=gain).gates for gain in (0.0, 0.5))
    assert free.passed
    assert dear.min_gain == pytest.approx(0.5 * dear.reference)
    assert not dear.passed
    assert "by 0." in str(dear)


def test_the_best_baseline_must_be_beaten_too(decide: Callable[..., PromotionDecision]) -> None:
    decision = decide(0.5, *_pair(2.0), rule=0.0)
    assert not decision.promoted
    assert all("of the baseline 'rule'" in reason for reason in decision.reasons)
    assert decide(0.5, *_pair(2.0), rule=0.0, ladder="any").promoted


def test_the_first_model_is_promoted_with_a_warning_unless_the_gates_refuse(
    decide: Callable[..., PromotionDecision],
) -> None:
    good, poor = decide(0.1), decide(1.5, rule=0.0)
    assert good.promoted and not good.note
    assert poor.promoted
    assert "a simple baseline does as well or better" in poor.note
    refused = decide(1.5, rule=0.0, first="ahead")
    assert not refused.promoted and not refused.note
    assert "of the baseline 'rule'" in refused.reasons[0]


def test_the_champion_predicts_with_a_model_not_fitted_on_the_cutoff(decide: Callable[..., PromotionDecision]) -> None:
    seen = ("2024-04-01", "2024-05-15")
    judge: Any = StubBundle(2.0)
    shipped = decide(0.3, *_pair(2.0)).comparison
    assert shipped is not None and "the model that scores" in shipped.how
    judged = decide(0.3, *_pair(0.0, judge, cutoffs=seen))
    assert judged.comparison is not None and "its evaluation model, fitted on earlier cutoffs" in judged.comparison.how
    assert judged.promoted, "the champion's own figures, 0.0 of blur, are of a cutoff that it has seen"
    neither = decide(0.3, *_pair(0.0, StubBundle(0.0, cutoffs=seen), cutoffs=seen))
    assert not neither.promoted
    assert "were fitted on outcomes after the cutoff" in neither.reasons[0]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"needs": "gone"}, "missing: gone; the config changed"),
        ({"task": {**TASK, "horizon": "60d"}}, "was trained for [task] horizon = '60d', now it is '30d'"),
        ({"own": "abc"}, "was trained with other features of your own"),
    ],
)
def test_the_config_decides_on_a_champion_that_cannot_predict(
    decide: Callable[..., PromotionDecision], more: dict[str, Any], why: str
) -> None:
    decision = decide(0.1, *_pair(2.0, **more))
    assert not decision.promoted
    assert why in decision.reasons[0]
    assert why in promotion_gates.gates_text(decision)
    assert decide(0.1, *_pair(2.0, **more), champion="any").promoted


def test_a_champion_that_cannot_be_read_is_one_more_reason(decide: Callable[..., PromotionDecision]) -> None:
    decision = decide(0.1, problem="shop-churn version 1: made by another version")
    assert not decision.promoted
    assert "made by another version" in decision.reasons[0]


def test_logged_figures_stand_in_where_the_columns_are_gone(
    decide: Callable[..., PromotionDecision], truth: Sample
) -> None:
    paired = decide(0.1, *_pair(2.0)).gates[0]
    decision = decide(0.1, *_pair(2.0, needs="gone"), logged=_evaluation(2.0, 3.0, truth))
    assert decision.promoted
    assert decision.comparison is not None and "unpaired" in decision.comparison.how
    assert decision.gates[0].difference == pytest.approx(paired.difference)
    assert decision.gates[0].high - decision.gates[0].low > paired.high - paired.low


def test_one_kind_alone_must_use_the_other_s_classifier(decide: Callable[..., PromotionDecision]) -> None:
    stays = _champion("value", 2.0)
    assert decide(0.1, stays, kinds=("churn",)).promoted
    decision = decide(0.1, stays, kinds=("churn",), gate="another")
    assert not decision.promoted
    assert "shop-value/1 would stay champion beside it with another classifier of returning" in decision.reasons[0]


def test_the_table_has_champion_challenger_difference_and_verdicts(decide: Callable[..., PromotionDecision]) -> None:
    text = promotion_gates.gates_text(decide(0.1, *_pair(2.0)))
    assert (
        "600 customers at 2024-06-01 (the champion: shop-churn/1: the model that scores; "
        "shop-value/1: the model that scores)" in text
    )
    brier = next(line for line in text.splitlines() if line.startswith("Brier"))
    assert re.fullmatch(r"Brier score +0\.\d+ +0\.\d+ +-0\.\d+ \(-0\.\d+ to -0\.\d+\) +closer to 0 is better", brier)
    assert text.count("passed  ") == 4
    assert "FAILED" in promotion_gates.gates_text(decide(1.5, *_pair(0.1)))
    assert "no champion" in promotion_gates.gates_text(decide(0.1))
    assert "identical to the champion" in promotion_gates.gates_text(decide(0.1, kinds=()))


NOISE = 200.0  # of blur: nothing of the risk is left


def test_without_skill_everybody_alike_is_the_first_champion_whatever_the_gates_say(
    decide: Callable[..., PromotionDecision],
) -> None:
    decision = decide(NOISE, first="any", ladder="any")
    assert decision.alike and not decision.promoted
    assert decision.reasons[0].startswith("it is no better than treating everybody alike: AUC 0.")
    assert "`regulars promote` makes the new models champions by hand" in decision.note


def test_a_champion_with_skill_stays(decide: Callable[..., PromotionDecision]) -> None:
    decision = decide(NOISE, *_pair(0.5), champion="any", ladder="any")
    assert not decision.alike and not decision.promoted and not decision.note
    assert "the champion shop-churn/1 and shop-value/1 stays: at 2024-06-01 it still tells" in decision.reasons[1]


def test_a_champion_without_skill_does_not(decide: Callable[..., PromotionDecision]) -> None:
    decision = decide(NOISE, *_pair(2 * NOISE))
    assert decision.alike
    assert "The champion before, shop-churn/1 and shop-value/1, was no better at 2024-06-01 either" in decision.note
    alike = _champion("churn", 0.0, skill=False), _champion("value", 0.0, skill=False)
    assert decide(NOISE, *alike).alike, "a newer share and mean take the place of older ones"


def test_a_champion_that_cannot_be_evaluated_stays(decide: Callable[..., PromotionDecision]) -> None:
    for champions, problem in ((_pair(0.5, needs="other"), ""), (_pair(0.5), "version 3 is damaged")):
        decision = decide(NOISE, *champions, problem=problem)
        assert not decision.alike
        assert decision.reasons[1].startswith("the champion ")
        assert "stays: " in decision.reasons[1]


def test_skill_replaces_everybody_alike(decide: Callable[..., PromotionDecision]) -> None:
    alike = [Champion(EVERYBODY, champion.version) for champion in _pair(0.0)]
    assert decide(0.3, *alike).promoted
