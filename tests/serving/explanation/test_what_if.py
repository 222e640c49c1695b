"""What would have to change: the smallest changes that are enough, or none."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from features.config.load import Config
from features.intake.log import opened
from features.snapshots import counterfactual
from features.snapshots.build import Snapshots, build_snapshots
from serving.explanation.what_if import WhatIf, find_what_if, keep_cohort_values, what_if_lines
from serving.explanation.what_if_changes import UsualValues, hypothetical_changes
from training.train import TrainingRun


@pytest.fixture(scope="module")
def cohort(shop: Config, trained: TrainingRun) -> Snapshots:
    """The cohort of the newest cutoff."""
    return build_snapshots(shop, [trained.newest], with_labels=False)


@pytest.fixture(scope="module")
def row(cohort: Snapshots, trained: TrainingRun) -> pa.Table:
    """The customer of the cohort with the highest risk."""
    risks = trained.fitted.churn.predict(cohort.rows)["churn_probability"]
    return cohort.rows.slice(int(np.argmax(risks)), 1)


def what_if(shop: Config, trained: TrainingRun, cohort: Snapshots, row: pa.Table, below: float) -> WhatIf:
    """The question."""
    with opened(shop) as log:
        return find_what_if(log, trained.fitted.churn, cohort.features, row, trained.newest, below)


def test_answers_are_the_smallest_changes_of_their_kinds_and_what_the_model_says_of_them(
    shop: Config, trained: TrainingRun, cohort: Snapshots, row: pa.Table
) -> None:
    answers, customer = what_if(shop, trained, cohort, row, 0.8), row["customer_id"][0].as_py()
    assert answers.risk > 0.8 and answers.enough and answers.unchanged == ()
    with counterfactual.open_at_cutoff(shop, trained.newest) as at:
        every = hypothetical_changes(
            counterfactual.known_customer_rows(at, customer), at.tables.contract, at.task, at.cutoff, UsualValues()
        )
        features = counterfactual.counterfactual_features(at, customer, [change.rows for change in every])
    risks = {
        c.words: r for c, r in zip(every, trained.fitted.churn.predict(features)["churn_probability"], strict=True)
    }
    assert answers.tried == len(risks)
    answered = {answer.change.kind: answer for answer in answers.enough}
    assert len(answered) == len(answers.enough)
    for answer in answers.enough:
        assert answer.risk == risks[answer.change.words] < 0.8
    for change in every:
        smaller = change.kind not in answered or change.step < answered[change.kind].change.step
        assert risks[change.words] >= 0.8 or not smaller
    assert [a.change.step for a in answers.enough] == sorted(a.change.step for a in answers.enough)
    actionable = {feature.name for feature in cohort.features if feature.actionable}
    moved = [moved for answer in answers.enough for moved in answer.moved]
    assert moved and {m.feature for m in moved} <= actionable
    assert all(m.before != m.after and m.effect < 0 for m in moved)
    assert "silence" in {f.family for f in cohort.features if f.name in {m.feature for m in moved}}
    for answer in answers.enough:
        parts = sum(moved.effect for moved in answer.moved) + answer.rest
        assert parts == pytest.approx(answer.risk - answers.risk, abs=1e-6)
    assert "everything else together" in "\n".join(what_if_lines(answers))
    again = what_if(shop, trained, cohort, row, 0.8)
    assert what_if_lines(again) == what_if_lines(answers)


def test_where_nothing_is_enough_it_says_so_and_what_comes_nearest(
    shop: Config, trained: TrainingRun, cohort: Snapshots, row: pa.Table
) -> None:
    answers = what_if(shop, trained, cohort, row, 0.0001)
    assert answers.enough == () and answers.nearest is not None
    assert 0.0001 < answers.nearest.risk < answers.risk
    text = "\n".join(what_if_lines(answers))
    assert f"none of the {answers.tried} changes on the list would be enough" in text
    assert f"{answers.nearest.risk:.1%}  nearest: {answers.nearest.change.words}" in text
    assert "It is no promise" in text


def test_who_is_below_already_is_told_so(shop: Config, trained: TrainingRun, cohort: Snapshots, row: pa.Table) -> None:
    answers = what_if(shop, trained, cohort, row, 0.99999)
    assert (answers.tried, answers.enough, answers.nearest) == (0, (), None)
    assert what_if_lines(answers, 250) == [
        "what if: for the risk to fall below 100.0% (the mean of the 250 customers of this cutoff)",
        f"  it is below already: {answers.risk:.1%}; set a lower level with --below",
    ]


def test_what_cannot_be_made_anew_for_one_customer_stays_and_is_named() -> None:
    row = pa.table(
        {"customer_id": ["c"], "a": [1.0], "rank": [0.4], "plan": ["x"], "none": pa.array([None], pa.float64())}
    )
    versions = pa.table(
        {"a": [1.0, 2.0], "rank": [0.5, 0.9], "plan": ["x", "y"], "none": pa.array([None, 1.0], pa.float64())}
    )
    kept, unchanged = keep_cohort_values(versions, row)
    assert unchanged == ("rank",)
    assert kept["rank"].to_pylist() == [0.4, 0.4]
    assert kept.drop_columns("rank").equals(versions.drop_columns("rank"))
    assert "not changed, because they compare customers: rank" in "\n".join(
        what_if_lines(WhatIf(0.5, 0.4, 3, unchanged=unchanged))
    )
