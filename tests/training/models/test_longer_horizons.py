"""Value over longer horizons: never lower, from nothing later than it may know, left out where it cannot be told."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.config.load import Config
from features.snapshots.build import Snapshots, build_snapshots
from features.task import Window
from training.artifact.bundle import ModelBundle
from training.data.time_split import sample_at
from training.evaluation.evaluate import OURS
from training.evaluation.longer_horizons import evaluate_longer_horizons
from training.models.ensemble import fit_ensemble
from training.models.longer_horizons import fit_longer_horizons, nonnegative_gains, with_longer_horizons

FAST = {"churn": {"n_estimators": 20}, "spend": {"n_estimators": 20}}


@pytest.fixture(scope="module")
def asked(shop: Config) -> Config:
    """The shop, asked for two longer horizons and for one that is longer than its log."""
    horizons = tuple(Window(days) for days in (60, 90, 400))
    return shop.model_copy(update={"task": shop.task.model_copy(update={"value_horizons": horizons})})


@pytest.fixture(scope="module")
def rows(asked: Config) -> Snapshots:
    """Its snapshots, with the labels of every horizon."""
    return build_snapshots(asked)


@pytest.fixture(scope="module")
def base(asked: Config, rows: Snapshots) -> ModelBundle:
    """A value model of its own horizon alone."""
    evaluations = fit_ensemble(rows, asked, rows.cutoffs, FAST).value
    assert evaluations is not None
    return evaluations


@pytest.fixture(scope="module")
def grown(asked: Config, rows: Snapshots, base: ModelBundle) -> tuple[ModelBundle, tuple[str, ...]]:
    """The same with its longer horizons, and what was left out."""
    bundle, notes = with_longer_horizons(base, rows, asked, rows.cutoffs, rows.end)
    assert bundle is not None
    return bundle, notes


def test_a_horizon_that_no_cutoff_has_behind_it_is_left_out_and_said(
    grown: tuple[ModelBundle, tuple[str, ...]],
) -> None:
    bundle, notes = grown
    assert [step.column for step in bundle.longer] == ["value_60d", "value_90d"]
    assert notes == ("value_400d is left out: no cutoff to learn from lies 400d before the end of what is known",)


def test_value_never_falls_with_the_horizon_and_lies_in_its_interval(
    rows: Snapshots, grown: tuple[ModelBundle, tuple[str, ...]]
) -> None:
    predicted = grown[0].predict(rows.rows)
    assert (predicted["value_60d"] >= predicted["value"]).all() and (
        predicted["value_90d"] >= predicted["value_60d"]
    ).all()
    for name in ("value_60d", "value_90d"):
        assert (predicted[f"{name}_low"] <= predicted[name]).all() and (
            predicted[name] <= predicted[f"{name}_high"]
        ).all()


def test_the_task_s_own_numbers_stay_as_they_were(
    rows: Snapshots, base: ModelBundle, grown: tuple[ModelBundle, tuple[str, ...]]
) -> None:
    alone, both = base.predict(rows.rows), grown[0].predict(rows.rows)
    assert all(np.array_equal(alone[name], both[name]) for name in alone)
    assert base.classifier_digest == grown[0].classifier_digest and base.digest != grown[0].digest


def test_the_total_over_a_longer_horizon_is_near_what_came(
    rows: Snapshots, grown: tuple[ModelBundle, tuple[str, ...]]
) -> None:
    known = sample_at(rows, [c for c in rows.cutoffs if c + Window(90).delta <= rows.end])
    predicted, actual = grown[0].predict(known.features), known.longer["value_90d"]
    assert abs(predicted["value_90d"].sum() / actual.sum() - 1) < 0.15
    assert abs(predicted["value"].sum() / actual.sum() - 1) > 0.4  # the value over a third of the time is far from it


def test_labels_that_were_not_known_yet_are_not_looked_at(asked: Config, rows: Snapshots, base: ModelBundle) -> None:
    known_by = date(2023, 9, 1)
    late = rows.rows["cutoff"].to_numpy() > np.datetime64(known_by - Window(60).delta)
    table, changed = rows.rows, pa.array(late)
    for name in ("value_60d", "value_90d"):
        column = pc.if_else(pc.and_(changed, table[name].is_valid()), 1e6, table[name])
        table = table.set_column(table.column_names.index(name), name, column)
    cutoffs = [c for c in rows.cutoffs if c + Window(30).delta <= known_by]
    plain = fit_longer_horizons(rows, asked, cutoffs, known_by, base.levels)
    again = fit_longer_horizons(replace(rows, rows=table), asked, cutoffs, known_by, base.levels)
    assert plain[0] and again == plain


def test_a_saved_model_says_the_same(
    rows: Snapshots, grown: tuple[ModelBundle, tuple[str, ...]], tmp_path: Path
) -> None:
    loaded = ModelBundle.load(grown[0].save(tmp_path / "bundle"))
    assert loaded == grown[0]
    first, second = grown[0].predict(rows.rows), loaded.predict(rows.rows)
    assert first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def test_longer_horizons_are_judged_at_the_last_cutoff_that_they_have(asked: Config, rows: Snapshots) -> None:
    (evaluations,), notes = evaluate_longer_horizons(rows, asked, ["value_60d", "value_90d"][:1])
    assert not notes
    figures = evaluations.metrics[
        (evaluations.metrics.model == OURS) & (evaluations.metrics.segment == "all")
    ].set_index("metric")
    assert set(figures.index) >= {"gini_60d", "deviance_60d", "total_error_60d", "coverage_60d"}
    assert set(figures.cutoff) == {max(c for c in rows.cutoffs if c + Window(60).delta <= rows.end)}
    assert (figures.low <= figures.value).all() and (figures.value <= figures.high).all()
    assert set(evaluations.metrics.model) == {
        OURS,
        "everybody alike",
        "past mean rate",
        "BG/NBD and Gamma-Gamma",
        "plain LightGBM",
    }


def test_a_log_too_short_to_judge_a_horizon_says_so(asked: Config, rows: Snapshots) -> None:
    late = pc.greater(rows.rows["cutoff"], pa.scalar(datetime(2023, 8, 1), pa.timestamp("us")))  # noqa: DTZ001 (UTC)
    few = replace(rows, rows=rows.rows.filter(late))
    assert evaluate_longer_horizons(few, asked, ["value_90d"]) == (
        [],
        ("value_90d was not evaluated: no cutoff lies 90d before the one to evaluate it on",),
    )


@given(arrays(float, 12, elements=st.floats(0, 1e4)), arrays(float, 12, elements=st.floats(0, 1e4)))
def test_gains_are_never_negative_and_keep_their_sum(before: np.ndarray, after: np.ndarray) -> None:
    evaluations = nonnegative_gains(before, after)
    assert (evaluations >= 0).all()
    assert evaluations.sum() == pytest.approx(max((after - before).sum(), 0.0), abs=1e-6)
