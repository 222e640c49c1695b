"""Shares of predictions: they add up, follow the model along a path walked in small steps, and jump nowhere."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalog import btyd_shares
from features.catalog.btyd_model import BGNBD, GammaGamma
from features.catalog.btyd_shares import MADE_OF, TypicalInputs, prediction_shares, share_columns

WEEKS = BGNBD(0.243, 4.414, 0.793, 2.426, False, 7)
MODELS = [WEEKS, BGNBD(1.0, 0.5, 0.1, 3.0, False, 20), BGNBD(1.5, 1.0, 0.05, 2.0, False, 7)]
AMOUNTS = GammaGamma(6.25, 3.74, 15.44, False)
TYPICAL = TypicalInputs(60.0, 200.0, 3.0)
HORIZON = 30


def customers(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Days since the last and the first purchase, and days with one, (3, n), and spend (n,)."""
    rng = np.random.default_rng(seed)
    first = rng.integers(1, 700, count)
    bought = np.minimum(1 + rng.poisson(rng.gamma(0.7, 6, count)), first)
    last = np.where(bought == 1, first, rng.integers(1, first - bought + 2))
    return np.stack([last, first, bought]).astype(float), bought * rng.lognormal(3, 1, count)


def shares_of(history: np.ndarray, spend: np.ndarray, model: BGNBD, typical: TypicalInputs) -> dict[str, np.ndarray]:
    """The shares by column, with amounts."""
    shares = prediction_shares(history, spend, model, AMOUNTS, typical, HORIZON)
    return dict(zip(share_columns(tuple(MADE_OF), "ever"), shares, strict=True))


def predictions(model: BGNBD, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """What the features predict, in the logarithm or log-odds that shares are computed in; for whole numbers."""
    last, first, bought = inputs
    history = bought - 1, first - last, first
    chance = model.return_probability(*history, horizon=HORIZON)
    return {
        "orders_expected": np.log(model.expected_orders(*history, horizon=HORIZON)),
        "alive_probability": np.log(model.alive_probability(*history)),
        "return_probability": np.log(chance / (1 - chance)),
    }


@pytest.mark.parametrize("model", MODELS)
def test_the_parts_are_the_whole_change_of_each_prediction(model: BGNBD) -> None:
    history, _ = customers(400, 1)
    start = np.array([[60.0], [200.0], [3.0]])
    parts = btyd_shares._rhythm_changes(history, model, TYPICAL, HORIZON)
    begin, ends = predictions(model, start), predictions(model, history)
    for name, part in zip(ends, parts, strict=True):
        change = ends[name] - begin[name]
        usual = ends["return_probability"] < 5  # beyond it, chances near 1 count as certain
        error = np.abs(part.sum(axis=0) - change)[usual] / (1 + np.abs(change[usual]))
        assert np.median(error) < 1e-3 and np.quantile(error, 0.95) < 0.05 and error.max() < 0.1, name


@pytest.mark.parametrize("model", MODELS)
def test_shares_agree_with_a_path_walked_in_small_steps(model: BGNBD) -> None:
    """Each step's change of P(alive) is shared out by averaging over all orders in which the inputs can move."""
    history, spend = customers(60, 2)
    history = history[:, history[2] > 1]
    steps, begin = 400, np.log([[60.0], [200.0], [3.0]])
    path = [np.exp(begin + k / steps * (np.log(history) - begin)) for k in range(steps + 1)]
    walked = np.zeros((3, history.shape[1]))
    for here, there in zip(path, path[1:], strict=False):
        for order in permutations(range(3)):
            now = here.copy()
            for place in order:
                moved = now.copy()
                moved[place] = there[place]
                walked[place] += (_log_alive(model, moved) - _log_alive(model, now)) / 6
                now = moved
    agreement = np.abs(walked.sum(axis=0)) / np.abs(walked).sum(axis=0)
    shares = list(prediction_shares(history, np.ones(history.shape[1]), model, None, TYPICAL, HORIZON))
    mine = np.stack(shares[3:6])  # of P(alive)
    clear = agreement > btyd_shares.SMALLEST_AGREEMENT
    assert clear.sum() > 10
    np.testing.assert_allclose(mine[:, clear], (walked / walked.sum(axis=0))[:, clear], atol=0.02)


def _log_alive(model: BGNBD, inputs: np.ndarray) -> np.ndarray:
    """Log P(alive) by its formula, which needs no whole numbers: for more than one purchase."""
    last, first, bought = inputs
    age, recency, again = first / model.time_unit_days, (first - last) / model.time_unit_days, bought - 1
    ratio = (model.alpha + age) / (model.alpha + recency)
    return -np.log1p(model.a / (model.b + again - 1) * ratio ** (model.r + again))


@settings(max_examples=40, deadline=None)
@given(
    last=st.integers(1, 3000),
    more=st.integers(0, 3000),
    bought=st.integers(1, 400),
    spend=st.floats(1e-4, 1e12),
    start=st.tuples(st.floats(1, 900), st.floats(0, 2000), st.floats(1, 60)),
    model=st.sampled_from(MODELS),
)
def test_shares_of_any_customer_add_up_to_one_and_stay_small(
    last: int, more: int, bought: int, spend: float, start: tuple[float, float, float], model: BGNBD
) -> None:
    typical = TypicalInputs(start[0], start[0] + start[1], start[2])
    history = np.array([[last], [last + more], [bought]], float)
    shares = shares_of(history, np.array([spend]), model, typical)
    for name, sources in MADE_OF.items():
        own = np.array([share[0] for column, share in shares.items() if column.startswith(f"{name}:")])
        assert len(own) == len(sources)
        assert own.sum() == pytest.approx(1, abs=1e-9)
        assert np.abs(own).sum() <= 1 / btyd_shares.SMALLEST_AGREEMENT + 1e-9


def test_a_customer_depends_on_nobody_else() -> None:
    history, spend = customers(50, 3)
    together = shares_of(history, spend, WEEKS, TYPICAL)
    for place in (0, 17, 49):
        alone = shares_of(history[:, [place]], spend[[place]], WEEKS, TYPICAL)
        assert {name: share[place] for name, share in together.items()} == {n: s[0] for n, s in alone.items()}


def test_a_long_silence_speaks_by_recency_and_many_orders_by_their_number() -> None:
    history = np.array([[300.0, 60.0], [400.0, 200.0], [3.0, 40.0]])
    shares = shares_of(history, np.array([60.0, 9e3]), WEEKS, TYPICAL)
    silence, number = (shares[f"alive_probability:{source}"] for source in ("recency_days", "orders_count_ever"))
    assert silence[0] > number[0] and number[1] > silence[1]
    assert shares["order_amount_expected:order_amount_mean_ever"][1] > 0.9
