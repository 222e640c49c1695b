"""The win-back model: the exponent of fading, and plain words where there is no model."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from features.config.load import Config
from features.errors import UsageError
from features.intake.log import opened
from features.snapshots.lapsed import build_lapsed_snapshots
from training.data.time_split import Sample
from training.models.base_models import btyd_margins
from training.winback import QUICK_ROWS, fit_fade, fit_winback, unregistered_note, winback_rows


def _lapsed(fade: float, rows: int = 6000) -> Sample:
    rng = np.random.default_rng(1)
    silence, orders, span = (
        rng.uniform(100, 900, rows),
        rng.integers(1, 9, rows).astype(float),
        rng.uniform(0, 400, rows),
    )
    log_odds = -1 - fade * np.log(silence / 300) + 0.5 * np.log(orders)
    churned = (rng.random(rows) > 1 / (1 + np.exp(-log_odds))).astype(float)
    columns = {"recency_days": silence, "orders_count_ever": orders, "tenure_days": silence + span}
    ids = pa.chunked_array([[str(n) for n in range(rows)]])
    return Sample(ids, np.zeros(rows), pa.table(columns), churned, np.zeros(rows))


@pytest.mark.parametrize("fade", [0.8, 1.6])
def test_the_exponent_of_fading_is_recovered(fade: float) -> None:
    assert fit_fade(_lapsed(fade)) == pytest.approx(fade, abs=0.2)


def test_a_chance_that_grows_with_silence_does_not_fade() -> None:
    assert fit_fade(_lapsed(-1.0)) == 0


def test_it_is_said_why_there_is_no_model(shop: Config) -> None:
    assert fit_winback(None, shop).note.startswith("no win-back model: nobody had lapsed so far")
    task = shop.task.model_copy(update={"lapsed_within": "off"})
    assert fit_winback(None, shop.model_copy(update={"task": task})).note == ""
    assert "could not be registered (no answer)" in unregistered_note(UsageError("no answer"))


def test_too_few_lapsed_customers_give_a_sentence_and_no_error(shop: Config) -> None:
    short = {"active_within": "130d", "lapsed_within": "140d"}
    task = type(shop.task).model_validate({**shop.task.model_dump(), **short})
    config = shop.model_copy(update={"task": task})
    with opened(config) as log:
        snapshots = build_lapsed_snapshots(log)
    assert snapshots is not None and max(snapshots.cutoffs) < date(2024, 1, 1)
    result = fit_winback(snapshots, config)
    assert result.fitted is None
    assert result.note.startswith("no win-back model: ") and "lapsed_within = 'off'" in result.note


def test_a_quick_look_learns_from_fewer_rows(shop: Config) -> None:
    quick = shop.training.as_quick()
    assert winback_rows(shop.model_copy(update={"training": quick})) == QUICK_ROWS < winback_rows(shop)


def test_bgnbd_alone_is_a_base_model_of_lapsed_customers_only(shop: Config) -> None:
    task = shop.task.to_lapsed_task()
    assert task is not None and btyd_margins(shop.task.to_task()) == ()
    (margin,) = btyd_margins(task)
    chance = pa.table({"return_probability": [0.02, 0.5, 0.9]})
    assert 1 / (1 + np.exp(margin.predict(chance))) == pytest.approx([0.02, 0.5, 0.9])
