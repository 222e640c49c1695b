"""The tenure hazard table on contracts small enough to count."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from features.task import Cohort, Task, Window
from training.data.time_split import Sample
from training.evaluation.baselines import BASELINES
from training.evaluation.tenure_hazard import AGE, SHRINK, baselines_for, tenure_hazard_baseline

HORIZON = Window(100)


def sample(ages: list[float], churned: list[float], value: list[float]) -> Sample:
    """Customers of some ages, and what became of them."""
    n = len(ages)
    fields = {
        "customers": pa.chunked_array([[f"c{i}" for i in range(n)]]),
        "features": pa.table({AGE: pa.array(ages, pa.float64())}),
        "churned": np.array(churned),
        "value": np.array(value),
        "dates": np.zeros(n),
    }
    return Sample(**fields)


def test_an_age_has_the_share_of_its_step_drawn_towards_that_of_all() -> None:
    train = sample([99.0] * 100 + [100.0] * 100, [1.0] * 40 + [0.0] * 160, [0.0] * 200)
    asked = sample([1.0, 199.0, 5000.0], [0.0] * 3, [0.0] * 3)
    predicted = tenure_hazard_baseline(train, asked, HORIZON)
    young, old = (40 + SHRINK * 0.2) / (100 + SHRINK), SHRINK * 0.2 / (100 + SHRINK)
    assert predicted.churn == pytest.approx([young, old, 0.2]) and predicted.value is None


def test_value_is_what_those_who_stayed_brought_times_the_chance_of_staying() -> None:
    train = sample([10.0] * 4, [1.0, 0.0, 0.0, 0.0], [500.0, 10.0, 20.0, 30.0])
    predicted = tenure_hazard_baseline(train, train, HORIZON)
    assert predicted.churn == pytest.approx([0.25] * 4)
    assert predicted.value == pytest.approx([0.75 * 20] * 4)


def test_only_contracts_have_this_baseline() -> None:
    silent = Task(HORIZON, Cohort(HORIZON), HORIZON, (HORIZON,))
    assert baselines_for(silent) is BASELINES
    contract = Task(HORIZON, Cohort(HORIZON), HORIZON, (HORIZON,), "cancelled")
    assert set(baselines_for(contract)) == {"everybody alike", "tenure hazard", "plain LightGBM"}
