"""Figures of customers' behaviour by period of four weeks, counted back from the cutoff."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.audit.behaviour_profile import profile_behaviour, ratio_rates
from features.engines.duckdb import DuckDBEngine
from features.intake.tables import Tables
from features.task import Task

CUTOFF = date(2024, 5, 1)


def rows(*ages: int, customer: str, amount: float = 10.0, channel: str = "web") -> list[dict[str, Any]]:
    start = datetime(2024, 5, 1, 12)
    return [
        {"customer": customer, "time": start - timedelta(age), "amount": amount, "channel": channel} for age in ages
    ]


def test_who_stays_away_what_they_spend_and_what_they_buy(
    make_log: Callable[..., Tables], engine: DuckDBEngine, make_task: Callable[..., Task]
) -> None:
    log = [
        *rows(1, 28, 29, 60, 90, 112, customer="a", amount=20.0),  # in every period
        *rows(40, 70, customer="b", channel="shop"),
        *rows(-3, 5, customer="c", amount=90.0),  # new, and an order after the cutoff that nobody knows yet
    ]
    tables = make_log(log, kinds=["channel"])
    profile = profile_behaviour(tables, make_task(active=28), CUTOFF, engine)
    assert profile.away.values.tolist() == [0.5, 0.0, 0.0]  # of a and b, b stayed away; the log has four periods
    assert profile.amount is not None
    assert profile.amount.values == pytest.approx([(20 + 20 + 90) / 3, 15.0, 15.0, 20.0])
    shares = {value: rates.values.round(3).tolist() for (_, value), rates in profile.shares.items()}
    assert shares == {"web": [1.0, 0.5, 0.5, 1.0], "shop": [0.0, 0.5, 0.5, 0.0]}


def test_errors_are_those_of_repetitions() -> None:
    rng = np.random.default_rng(3)
    tastes, counts = rng.beta(2, 3, (400, 500)), rng.poisson(4, (400, 500))  # repetitions, customers
    repeated = ratio_rates(rng.binomial(counts, tastes).T.astype(float), counts.T.astype(float))
    assert np.std(np.log(repeated.values)) == pytest.approx(np.mean(repeated.errors), rel=0.1)
