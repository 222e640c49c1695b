"""Whether effects last: values of later horizons against raw orders, and effects of known kinds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from features.campaigns.plan_outcomes import read_later_values
from features.intake.log import opened
from features.task import Window
from serving.measurement.executed_plan import ExecutedPlan
from serving.measurement.later_horizons import FADING, LASTING, OPEN, PULLED_FORWARD, later_effects
from serving.measurement.measure import measure_plan
from serving.measurement.text import measurement_text
from tests.campaigns import HORIZON, in_horizon, make_executed_plan
from tests.scored import CUTOFF

N = 2_000


def _executed(first: np.ndarray, held_out: np.ndarray) -> Any:
    unused: dict[str, Any] = dict.fromkeys(ExecutedPlan.__dataclass_fields__)
    manifest = SimpleNamespace(holdout={"seed": 3}, margin=0.5, experiment=None)
    known = {
        "plan": SimpleNamespace(manifest=manifest), "actions": ("mail",), "segment": np.full(N, "s"),
        "held_out": held_out, "assigned": np.zeros(N, int), "outcomes": {"value": first},
        "covariates": np.linspace(0, 1, N)[:, None],
        "covariate_names": ("churn_probability",), "log": SimpleNamespace(days=30), "horizon": Window(30),
    }  # fmt: skip
    return ExecutedPlan(**{**unused, **known})


@pytest.mark.parametrize(
    ("at_once", "afterwards", "kind"),
    [(4.0, -4.0, PULLED_FORWARD), (4.0, 4.0, LASTING), (4.0, 0.0, FADING), (0.0, 0.0, OPEN)],
)
def test_known_effects_are_told_apart(at_once: float, afterwards: float, kind: str) -> None:
    rng = np.random.default_rng(1)
    held_out = rng.random(N) < 0.4
    first = rng.normal(20, 6, N) + at_once * ~held_out
    whole = first + rng.normal(20, 6, N) + afterwards * ~held_out
    (row,) = later_effects(_executed(first, held_out), {2: whole}, draws=400)
    assert (row["kind"], row["horizons"], row["action"]) == (kind, 2, "all")
    assert row["later"][1] < afterwards < row["later"][2]
    assert row["whole"][0] == pytest.approx(at_once + afterwards, abs=1.5)


def test_a_plan_is_measured_again_at_two_and_four_horizons(tmp_path: Path) -> None:
    case = make_executed_plan(tmp_path, days=130)
    customers = case.plan.table()["customer_id"]
    with opened(case.config) as log:
        values = read_later_values(log, customers, CUTOFF, Window(HORIZON), (2, 4, 5))
    assert sorted(values) == [2, 4], "the log does not reach five"
    for number, value in values.items():
        sums = dict.fromkeys(customers.to_pylist(), 0.0)
        for row in case.orders:
            if row["customer"] in sums and in_horizon(row["time"], number * HORIZON):
                sums[row["customer"]] += row["amount"]
        np.testing.assert_allclose(value, list(sums.values()), atol=1e-6)
    measured = measure_plan(case.config, str(CUTOFF))
    assert {row["horizons"] for row in measured.facts["later"]} == {2, 4}
    text = measurement_text(measured)
    assert "after the horizon (95% confidence intervals)" in text and "until day 120, in all" in text
