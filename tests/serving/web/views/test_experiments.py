"""The page of experiments: every measured plan with its verdict, and what is missing where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.config.load import Config
from features.outputs.manifests import Measurement
from serving.language.messages import get_language
from serving.web.parts.output_reader import MissingOutput, open_site
from serving.web.views import experiments
from tests.scored import make_scored


def test_a_measured_plan_has_its_effects_and_checks(webpages: Config) -> None:
    (result,) = experiments.experiment_results(open_site(webpages))
    assert result["name"].endswith("/retention") and result["checks"]
    assert [outcome["rows"][0]["name"] for outcome in result["outcomes"]] == ["all", "all"]


def test_without_a_plan_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(MissingOutput, match="There is no plan yet") as missing:
        experiments.campaigns_page(open_site(make_scored(tmp_path, {})))
    assert missing.value.command.startswith("regulars plan")


@pytest.mark.parametrize(("low", "high", "verdict"), [(1.0, 3.0, 1), (-3.0, -1.0, -1), (-1.0, 3.0, 0)])
def test_the_verdict_is_that_of_the_interval(low: float, high: float, verdict: int) -> None:
    row = {"estimator": "adjusted", "outcome": "value", "family": "all", "action": "all", "segment": "all"}
    row |= {"effect": (low + high) / 2, "low": low, "high": high, "treated": 90, "held": 10}
    facts = Measurement.model_construct(effects=[row], mature=True, withheld=[], counted_up_to={})
    outcome = experiments._outcome("value", [row], facts, get_language("en"))
    assert outcome and outcome["verdict"] == experiments.VERDICTS[verdict]
