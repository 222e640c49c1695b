"""Figures over cutoffs: customers resampled with all their cutoffs, paired differences, grades counted by hand."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from features.task import Window
from training.backtesting.rolling import POOLED, CutoffPredictions, evaluate_rolling
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.evaluate import OURS, bootstrap_weights

START = date(2024, 1, 1)


def _judged(
    at: int, seed: int, first: int = 0, rows: int = 150, noise: float = 0.3, segment: bool = False
) -> CutoffPredictions:
    """A cutoff of customers `first` and on, with ours and a baseline that knows less."""
    rng = np.random.default_rng(seed)
    risk, worth = rng.uniform(0.05, 0.95, rows), rng.gamma(2, 50, rows)
    churned = (rng.random(rows) < risk).astype(float)
    value = np.where(churned == 0, worth, 0.0)
    ids = pa.chunked_array([pa.array([f"c{first + n}" for n in range(rows)])])
    blurred = np.clip(risk + rng.normal(0, noise, rows), 0.02, 0.98)
    baseline = Prediction(blurred, (1 - blurred) * worth.mean() * 1.5)
    masks = {"odd": np.arange(rows) % 2 == 1} if segment else {}
    by_model = {OURS: Prediction(risk, (1 - risk) * worth), "baseline": baseline}
    truth = Sample(ids, np.zeros(len(ids), int), pa.table({"x": risk}), churned, value)
    return CutoffPredictions(START + timedelta(days=30 * at), truth, by_model, masks)


@pytest.fixture(scope="module")
def three() -> list[CutoffPredictions]:
    """Three cutoffs whose customers come and go."""
    return [_judged(0, 1), _judged(1, 2, first=40, segment=True), _judged(2, 3, first=90)]


def _drawn_out(
    judged: list[CutoffPredictions], model: str, metric: str, seed: int, resamples: int
) -> list[list[float]]:
    """The metric of each resample (rows) at each cutoff, by repeating customers' rows instead of weighing them."""
    names = sorted({name for j in judged for name in j.truth.customers.to_pylist()})
    rows = []
    for weights in np.concatenate(list(bootstrap_weights(len(names), seed, resamples))):
        times = dict(zip(names, weights.astype(int), strict=True))
        row = []
        for j in judged:
            again = np.repeat(np.arange(len(j.truth)), [times[name] for name in j.truth.customers.to_pylist()])
            score = roc_auc_score if metric == "auc" else brier_score_loss
            row.append(float(score(j.truth.churned[again], j.predictions[model].churn[again])))
        rows.append(row)
    return rows


@pytest.mark.parametrize("metric", ["auc", "brier"])
def test_intervals_are_those_of_customers_drawn_out_with_all_their_cutoffs(
    three: list[CutoffPredictions], metric: str
) -> None:
    rolled = evaluate_rolling(three, Window(30), seed=4, resamples=60)
    ours, baseline = (np.array(_drawn_out(three, model, metric, 4, 60)) for model in (OURS, "baseline"))
    pooled = rolled.row(metric)
    assert pooled is not None
    assert [pooled["low"], pooled["high"]] == pytest.approx(np.percentile(ours.mean(axis=1), [2.5, 97.5]))
    first = rolled.row(metric, cutoff=str(three[0].cutoff))
    assert first is not None
    assert [first["low"], first["high"]] == pytest.approx(np.percentile(ours[:, 0], [2.5, 97.5]))
    d = rolled.differences[(rolled.differences.metric == metric) & (rolled.differences.cutoff == POOLED)].iloc[0]
    assert [d.low, d.high] == pytest.approx(np.percentile((ours - baseline).mean(axis=1), [2.5, 97.5]))


def test_a_pooled_figure_is_the_mean_over_the_cutoffs(three: list[CutoffPredictions]) -> None:
    m = evaluate_rolling(three, Window(30), seed=4, resamples=50).metrics
    rows = m[(m.metric == "total_error") & (m.model == "baseline")]
    assert rows.iloc[-1].cutoff == POOLED and rows.iloc[-1].customers == 240
    assert rows.iloc[-1].value == pytest.approx(rows.value[:-1].mean())
    off = m[(m.metric == "total_error_distance") & (m.model == "baseline")]
    assert off.value.tolist() == pytest.approx([rows.value[:-1].abs().mean()])


def test_the_same_rows_again_and_again_add_no_certainty() -> None:
    one = _judged(0, 1)
    many = [CutoffPredictions(START + timedelta(days=n), one.truth, one.predictions, {}) for n in range(8)]
    alone, repeated = (evaluate_rolling(j, Window(30), seed=4, resamples=60) for j in ([one], many))
    for metric in ("auc", "gini"):
        a, b = alone.row(metric), repeated.row(metric)
        assert a is not None and b is not None
        assert (a["low"], a["high"]) == pytest.approx((b["low"], b["high"]))


def test_other_customers_at_each_cutoff_do_add_certainty() -> None:
    different = [_judged(n, n, first=1000 * n) for n in range(8)]
    few, many = (evaluate_rolling(j, Window(30), seed=4, resamples=60).row("brier") for j in (different[:1], different))
    assert few is not None and many is not None
    assert many["high"] - many["low"] < 0.6 * (few["high"] - few["low"])


def test_grades_count_cutoffs_and_ties() -> None:
    worse, level = _judged(1, 6), _judged(2, 7)
    worse = CutoffPredictions(
        worse.cutoff, worse.truth, {OURS: worse.predictions["baseline"], "baseline": worse.predictions[OURS]}, {}
    )
    level = CutoffPredictions(
        level.cutoff, level.truth, {OURS: level.predictions[OURS], "baseline": level.predictions[OURS]}, {}
    )
    judged = [_judged(0, 5), worse, level, _judged(3, 8)]
    rolled = evaluate_rolling(judged, Window(45), seed=1, resamples=50).grades.set_index("metric")
    counted = rolled.loc[["auc", "brier"], ["better", "level", "cutoffs", "better_apart", "cutoffs_apart"]]
    assert counted.to_numpy().tolist() == [[2, 1, 4, 1, 2]] * 2
    assert rolled.loc["auc", "grade"] == "better than baseline in 2 of 4 cutoffs, level in 1"


def test_a_total_that_is_off_either_way_is_graded_by_its_size() -> None:
    j = _judged(0, 5)
    spent = j.truth.spend
    predictions = {
        OURS: Prediction(j.predictions[OURS].churn, spent * 0.9),
        "baseline": Prediction(spent * 0, spent * 1.3),
    }
    rolled = evaluate_rolling([CutoffPredictions(j.cutoff, j.truth, predictions, {})], Window(30), seed=1, resamples=50)
    gap = rolled.differences[rolled.differences.metric == "total_error"].iloc[0]
    assert gap.difference == pytest.approx(0.1 - 0.3)
    assert rolled.grades.set_index("metric").loc["total_error", "better"] == 1


def test_segments_are_measured_where_they_are(three: list[CutoffPredictions]) -> None:
    rolled = evaluate_rolling(three, Window(30), seed=4, resamples=50)
    odd = rolled.metrics[rolled.metrics.segment == "odd"]
    assert set(odd.cutoff) == {str(three[1].cutoff), POOLED}
    assert set(odd.customers) == {75}
    assert set(odd.model) == {OURS}
    assert set(rolled.groups.segment) == {"all", "odd"}
    assert set(rolled.differences.against) == {"baseline"}


def test_one_fate_at_a_cutoff_is_left_out_of_what_needs_both(three: list[CutoffPredictions]) -> None:
    j = three[0]
    gone = Sample(j.truth.customers, j.truth.dates, j.truth.features, np.ones(len(j.truth)), np.zeros(len(j.truth)))
    rolled = evaluate_rolling(
        [CutoffPredictions(j.cutoff, gone, j.predictions, {}), *three[1:]], Window(30), seed=4, resamples=50
    )
    assert rolled.row("auc", cutoff=str(j.cutoff)) is None
    assert rolled.grades.set_index("metric").loc[["auc", "brier"], "cutoffs"].tolist() == [2, 3]


def test_the_same_seed_gives_the_same_tables(three: list[CutoffPredictions]) -> None:
    one, other = (evaluate_rolling(three, Window(30), seed=4, resamples=50) for _ in range(2))
    assert one.metrics.equals(other.metrics)
    assert one.differences.equals(other.differences)
