"""The learning curve: nested samples of customers with all their cutoffs, everyone judged, few told apart from many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.config.load import Config
from features.errors import DataError
from features.snapshots.build import Snapshots, build_snapshots
from training.backtesting import learning_curve as room
from training.backtesting.backtest import backtest_folds, predict_rolling
from training.backtesting.learning_curve import (
    LearningCurve,
    evaluate_sizes,
    learning_curve_text,
    measure_learning_curve,
)
from training.data.time_split import sample_at
from training.evaluation.evaluate import OURS


@pytest.fixture(scope="module")
def rows(shop: Config) -> Snapshots:
    """Snapshots of the shop's mature cutoffs."""
    return build_snapshots(shop)


@pytest.fixture(scope="module")
def curve(shop: Config) -> LearningCurve:
    """A curve from 20 customers to all of the shop's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "SMALLEST_SIZE", 20)
        return measure_learning_curve(shop)


def test_samples_are_nested_and_keep_all_cutoffs_of_a_customer(rows: Snapshots) -> None:
    ranked = room._sorted_hashes(sample_at(rows, backtest_folds(rows)[-1].train), 5)
    few, more = (room._rows_up_to(rows.rows, ranked[n - 1], 5).to_pandas() for n in (30, 90))
    learned = set(
        rows.rows.filter(rows.rows["cutoff"].to_numpy() < np.datetime64(backtest_folds(rows)[-1].test))
        .to_pandas()
        .customer_id
    )
    assert len(set(few.customer_id) & learned) == 30
    assert set(few.customer_id) < set(more.customer_id)
    all_hashes = rows.rows.to_pandas().groupby("customer_id").size()
    assert (few.groupby("customer_id").size() == all_hashes[sorted(set(few.customer_id))]).all()
    other = room._rows_up_to(
        rows.rows, room._sorted_hashes(sample_at(rows, backtest_folds(rows)[-1].train), 6)[29], 6
    ).to_pandas()
    assert set(other.customer_id) != set(few.customer_id)


def test_the_same_customers_whoever_else_is_there(rows: Snapshots) -> None:
    ranked = room._sorted_hashes(sample_at(rows, backtest_folds(rows)[-1].train), 5)
    half = rows.rows.slice(0, rows.rows.num_rows // 2)
    chosen = set(room._rows_up_to(rows.rows, ranked[29], 5).to_pandas().customer_id)
    assert set(room._rows_up_to(half, ranked[29], 5).to_pandas().customer_id) == chosen & set(
        half["customer_id"].to_pylist()
    )


def test_every_size_is_judged_on_everyone(curve: LearningCurve) -> None:
    table = pd.read_csv(curve.folder / "curve.csv")
    learned = sorted(table.learned_from.unique())
    assert len(learned) >= 2 and learned[-1] > 100
    assert table.customers.nunique() == 1
    brier = table[table.metric == "brier"]
    assert set(brier.model) == {OURS, "plain LightGBM", "BG/NBD and Gamma-Gamma"}
    assert (brier.low <= brier.value).all() and (brier.value <= brier.high).all()
    ours = brier[brier.model == OURS].set_index("learned_from").value
    plain = brier[brier.model == "plain LightGBM"].set_index("learned_from")
    np.testing.assert_allclose(plain.difference, ours - plain.value)
    assert ours[learned[-1]] < ours[learned[0]]  # more customers teach more


def test_sizes_that_cannot_be_learned_from_are_told(curve: LearningCurve) -> None:
    assert all(" customers: " in why and "at least 10 of each" in why for why in curve.left_out)
    assert len(curve.left_out) + curve.table.learned_from.nunique() == len(_sizes(curve))


def _sizes(curve: LearningCurve) -> list[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "SMALLEST_SIZE", 20)
        return room.sample_sizes(int(curve.table.learned_from.max()))


def test_the_terminal_shows_models_beside_each_other(curve: LearningCurve) -> None:
    text = learning_curve_text(curve)
    assert f"at {curve.cutoff}, after training on" in text
    assert "Brier score (nearer 0 is better)" in text
    assert "BG/NBD and Gamma-Gamma" in text


def test_the_whole_log_gives_what_a_backtest_gives(curve: LearningCurve, shop: Config, rows: Snapshots) -> None:
    (last,), _ = predict_rolling(rows, shop, 1)
    brier = float(np.mean((last.predictions[OURS].churn - last.truth.churned) ** 2))
    t = curve.table
    on_all = t[(t.model == OURS) & (t.metric == "brier") & (t.learned_from == t.learned_from.max())].value.iloc[0]
    assert on_all == pytest.approx(brier, rel=1e-9)


def test_too_few_customers_are_refused(shop: Config, rows: Snapshots) -> None:
    few = rows.rows.filter(np.isin(rows.rows["customer_id"].to_numpy(), rows.rows["customer_id"].to_numpy()[:8]))
    with pytest.raises(DataError, match="no number of customers is large enough"):
        evaluate_sizes(replace(rows, rows=few), shop)
