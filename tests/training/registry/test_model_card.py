"""The model card: its content, and that text from data cannot become markup."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from features.config.load import Config
from features.snapshots.build import Snapshots, build_snapshots
from features.task import Window
from training.artifact.bundle import LongerHorizon
from training.evaluation.evaluate import OURS
from training.evaluation.fairness import COLUMNS
from training.registry.model_card import escape_markdown, model_card_text
from training.train import TrainingRun

NASTY = "<img src=x>|[a](http://b) *c*\n# d"
CUTOFF = "2023-10-27"


@pytest.fixture(scope="module")
def rows(shop: Config, trained: TrainingRun) -> Snapshots:
    return build_snapshots(shop)


@pytest.fixture(scope="module")
def text(shop: Config, trained: TrainingRun, rows: Snapshots) -> str:
    fairness = [
        ["plan", NASTY, 40, "gap", 0.01, -0.02, 0.04, CUTOFF],
        ["plan", "gold", 60, "gap", 0.3, 0.2, 0.4, CUTOFF],
    ]
    return model_card_text(trained.fitted, rows, shop, pd.DataFrame(fairness, columns=COLUMNS))


def test_the_card_says_purpose_data_and_quality(text: str, trained: TrainingRun, rows: Snapshots) -> None:
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        "## What it predicts, and for whom",
        "## Data",
        "## How it was made",
        "## How well it does",
        "## Calibration",
        "## Where it fails",
        "## Fairness",
        "## What it must not be used for",
    ]
    learned = trained.fitted
    for part in (rows.data_fingerprint, rows.fingerprint, f"{rows.rows.num_rows:,} rows", str(learned.split.test.test)):
        assert part in text
    auc = learned.evaluation.row("auc")
    assert f"| AUC ↑ | {auc['value']:,.4g} ({auc['low']:,.4g} to {auc['high']:,.4g}) |" in text
    assert "BG/NBD and Gamma\\-Gamma" in text


def test_the_worst_cutoff_and_segment_are_named(shop: Config, trained: TrainingRun, rows: Snapshots) -> None:
    evaluation = trained.fitted.evaluation
    brier = evaluation.metrics[(evaluation.metrics.model == OURS) & (evaluation.metrics.metric == "brier")]
    worst = brier[brier.segment == "all"].sort_values("value").iloc[-1]
    extra = (
        brier[brier.cutoff == brier.cutoff.max()]
        .head(1)
        .assign(segment=NASTY, value=0.9, low=0.8, high=1.0, customers=31)
    )
    metrics = pd.concat([evaluation.metrics, extra], ignore_index=True)
    learned = replace(trained.fitted, evaluation=replace(evaluation, metrics=metrics))
    text = model_card_text(learned, rows, shop, pd.DataFrame(columns=COLUMNS))
    fails = text.split("## Where it fails")[1].split("## ")[0]
    assert f"| Brier score ↓ | cutoff {worst.cutoff} | {worst.value:,.4g} " in fails
    assert "| Brier score ↓ | &lt;img" in fails
    assert "31 customers | 0.9 (0.8 to 1) |" in fails


def test_text_of_customers_stays_text(text: str) -> None:
    assert "| &lt;img src=x&gt;\\|\\[a\\]\\(http://b\\) \\*c\\* \\# d | 40 | 0.01 (-0.02 to 0.04) |" in text
    assert "<img" not in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") >= 3
    assert escape_markdown("a_b\n\n- c") == "a\\_b \\- c"


def test_fairness_that_was_not_measured_says_so(shop: Config, trained: TrainingRun, rows: Snapshots) -> None:
    assert "Not measured" in model_card_text(trained.fitted, rows, shop, pd.DataFrame(columns=COLUMNS))


def test_longer_horizons_have_their_figures(trained: TrainingRun, rows: Snapshots, shop: Config) -> None:
    """Here the figures of the shop's own horizon stand in for those of a longer one."""
    learned, value = trained.fitted, trained.fitted.value
    assert value is not None and value.spend is not None and value.spread is not None
    evaluation = learned.evaluation
    m = evaluation.metrics[evaluation.metrics.metric.isin(["gini", "coverage"])]
    longer = replace(
        evaluation, metrics=pd.concat([evaluation.metrics, m.assign(metric=m.metric + "_60d")], ignore_index=True)
    )
    step = LongerHorizon("value_60d", value.spend, 0.0, value.spread)
    task = replace(rows.task, value_horizons=(Window(60),))
    changed = replace(
        learned, evaluation=longer, value=replace(value, longer=(step,)), notes=("value_400d is left out",)
    )
    card = model_card_text(changed, replace(rows, task=task), shop, pd.DataFrame())
    assert "and over 60d, never less than over a shorter horizon" in card
    assert "60d at " in card and "inside the value interval" in card and "Note: value_400d is left out." in card
    plain = model_card_text(learned, rows, shop, pd.DataFrame())
    assert "longer horizons" not in plain and "never less" not in plain


def test_a_contract_s_card_speaks_of_contracts(trained: TrainingRun, rows: Snapshots, shop: Config) -> None:
    contracts = replace(rows, task=replace(rows.task, churn="cancelled"))
    card = model_card_text(trained.fitted, contracts, shop, pd.DataFrame())
    assert "the contract is cancelled" in card and "with a running subscription term" in card
    assert "made a purchase" not in card.split("## Data")[0]
