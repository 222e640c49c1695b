"""Lifetime value of a trained model: from the value on, from nothing later than it may know, and as far as said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.config.load import Config
from features.config.sections import LifetimeConfig
from features.intake.log import opened
from features.snapshots.build import RowChoice, Snapshots, build_snapshots, choose_training_rows
from training.artifact.bundle import ModelBundle
from training.artifact.lifetime import Lifetime
from training.data.time_split import sample_at
from training.models.ensemble import fit_ensemble
from training.models.everybody_alike import fit_everybody_alike
from training.models.lifetime import label_spans, with_lifetime

FAST = {"churn": {"n_estimators": 10}, "spend": {"n_estimators": 10}}
SETTINGS = LifetimeConfig(margin=0.5)


@pytest.fixture(scope="module")
def rows(shop: Config) -> Snapshots:
    """The shop's snapshots with labels over spans."""
    with opened(shop) as log:
        choice: RowChoice = choose_training_rows(log)
        spans = label_spans(shop.task.horizon, SETTINGS, choice.cutoffs)
        return build_snapshots(log, choice=replace(choice, spans=spans))


@pytest.fixture(scope="module")
def base(shop: Config, rows: Snapshots) -> ModelBundle:
    """A value model without lifetime value."""
    value = fit_ensemble(rows, shop, rows.cutoffs, FAST).value
    assert value is not None
    return value


@pytest.fixture(scope="module")
def model(base: ModelBundle, rows: Snapshots) -> ModelBundle:
    """The same with lifetime value."""
    bundle, (note,) = with_lifetime(base, rows, SETTINGS, rows.cutoffs, rows.labels_end)
    assert bundle is not None
    assert bundle.lifetime is not None
    assert f"labels reach {bundle.lifetime.reach} days" in note
    return bundle


def lifetime_of(bundle: ModelBundle | None) -> Lifetime:
    """The lifetime of a bundle that has one."""
    assert bundle is not None
    assert bundle.lifetime is not None
    return bundle.lifetime


def test_all_else_is_as_before_and_value_never_falls(base: ModelBundle, model: ModelBundle, rows: Snapshots) -> None:
    X = sample_at(rows, rows.cutoffs[-1:]).features
    before, after = base.predict(X), model.predict(X)
    for name, column in before.items():
        np.testing.assert_array_equal(after[name], column)
    order = ("value", "value_12m", "value_24m", "value_36m", "lifetime_value")
    for shorter, longer in zip(order, order[1:], strict=False):
        assert (after[longer] >= after[shorter]).all()
    np.testing.assert_allclose(after["profit_24m"], 0.5 * after["value_24m"])
    assert set(after) - set(before) >= {"lifetime_value_low", "lifetime_value_high", "lifetime_profit"}


def test_it_travels_as_text(model: ModelBundle, tmp_path: Path) -> None:
    assert ModelBundle.load(model.save(tmp_path / "model")) == model


def test_models_of_earlier_versions_keep_their_digest(base: ModelBundle, model: ModelBundle, tmp_path: Path) -> None:
    text = (base.save(tmp_path / "model") / "bundle.json").read_text()
    assert "lifetime" not in text
    assert model.digest != base.digest


def test_what_became_known_later_changes_nothing(base: ModelBundle, rows: Snapshots) -> None:
    day = rows.cutoffs[-2]
    known = [c for c in rows.cutoffs if c + rows.task.horizon.delta <= day]
    then = rows.as_known(day)
    ours = lifetime_of(with_lifetime(base, then, SETTINGS, known, day)[0])
    blind = replace(rows, rows=then.labelled(rows.rows))
    assert ours == lifetime_of(with_lifetime(base, blind, SETTINGS, known, day)[0])
    assert ours.reach <= (day - known[0]).days


def test_everybody_alike_has_one_lifetime_value(model: ModelBundle, rows: Snapshots) -> None:
    sample = sample_at(rows, rows.cutoffs[-1:])
    alike = fit_everybody_alike(model, rows, 0.8).predict(sample.features)
    for name in ("value_12m", "lifetime_value", "lifetime_value_high"):
        assert np.ptp(alike[name]) < 1e-9 * alike[name][0]
    ours = model.predict(sample.features)
    growth = [p["lifetime_value"].sum() / p["value"].sum() for p in (alike, ours)]
    assert growth[0] == pytest.approx(growth[1], rel=0.05)


def test_it_is_left_out_where_nobody_wants_it_or_nothing_can_be_said(base: ModelBundle, rows: Snapshots) -> None:
    assert with_lifetime(base, rows, LifetimeConfig(months=()), rows.cutoffs, rows.labels_end) == (base, ())
    assert with_lifetime(None, rows, SETTINGS, rows.cutoffs, rows.labels_end) == (None, ())
    few = replace(rows, rows=rows.rows.slice(0, 5))
    bundle, (note,) = with_lifetime(base, few, SETTINGS, rows.cutoffs[:1], rows.labels_end)
    assert bundle == base
    assert "left out" in note


def test_months_must_ascend() -> None:
    with pytest.raises(ValueError, match="distinct and ascending"):
        LifetimeConfig(months=(24, 12))


def test_labels_over_spans_are_those_of_value_horizons(shop: Config, rows: Snapshots) -> None:
    task = shop.task.model_copy(update={"value_horizons": rows.spans})
    asked = build_snapshots(shop.model_copy(update={"task": task}), rows.cutoffs)
    names = list(asked.task.longer)
    assert names == list(rows.task.value_labels(rows.spans)) != []
    assert rows.rows.select(names).equals(asked.rows.select(names))
    day = rows.cutoffs[-2]
    then = [s.as_known(day).labelled(s.rows).select(names) for s in (rows, asked)]
    assert then[0].equals(then[1])
    assert rows.task == shop.task.to_task()


def test_the_forecast_starts_from_the_newest_customers(shop: Config, base: ModelBundle, rows: Snapshots) -> None:
    latest = build_snapshots(shop, [rows.end], with_labels=False)
    arguments = (base, rows, SETTINGS, rows.cutoffs, rows.labels_end)
    ours, before = (with_lifetime(*arguments, newest)[0] for newest in (latest, None))
    assert lifetime_of(ours).growth != lifetime_of(before).growth
    assert lifetime_of(ours).reach == lifetime_of(before).reach
    nobody = replace(latest, rows=latest.rows.slice(0, 0))
    assert with_lifetime(*arguments, nobody)[0] == before
