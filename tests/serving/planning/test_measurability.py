"""An action that customers get and that cannot be measured is named, with how many customers would do."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from serving.planning.measurability import LEAST_HELD_OUT, unmeasurable_actions
from serving.planning.plan import make_plan
from serving.planning.text import plan_text
from tests.scored import CUTOFF, make_scored


def _table(effect: float | None = 0.1, **groups: tuple[int, int]) -> pa.Table:
    rows = [
        {"would_have": name, "holdout": place < held, "churn_probability": 0.5, "effect_return": effect}
        for name, (treated, held) in groups.items()
        for place in range(treated + held)
    ]
    types = [("would_have", pa.string()), ("holdout", pa.bool_())]
    types += [("churn_probability", pa.float64()), ("effect_return", pa.float64())]
    return pa.Table.from_pylist(rows, schema=pa.schema(types))


def test_only_actions_that_somebody_gets_without_enough_held_out_are_named() -> None:
    table = _table(mail=(900, 100), voucher=(26, 0), call=(60, LEAST_HELD_OUT - 1), visit=(0, 3))
    found = unmeasurable_actions(table, ["mail", "voucher", "call", "visit", "none"], 0.1)
    assert list(found) == ["voucher", "call"]
    assert {key: found["voucher"][key] for key in ("with_action", "held_out")} == {"with_action": 26, "held_out": 0}
    # (2.576 + 0.842)^2 * 0.25 / 0.1^2 * (10 + 1 / 0.9), five actions: a two-sided level of 1%
    assert abs(found["voucher"]["needed"] - 3244) <= 2


def test_without_an_expected_effect_a_least_holdout_counts_and_without_a_holdout_nothing_does() -> None:
    for effect in (None, 0.0):
        found = unmeasurable_actions(_table(effect, voucher=(26, 0)), ["voucher"], 0.1)
        assert found["voucher"]["needed"] == LEAST_HELD_OUT / 0.1
    assert unmeasurable_actions(_table(voucher=(26, 0)), ["voucher"], 0.0)["voucher"]["needed"] is None


def test_the_plan_says_so_loudly(tmp_path: Path) -> None:
    actions = {"mail": {"cost": 0.2, "save_rate": 0.1}, "voucher": {"cost": 4.0, "save_rate": 0.9, "capacity": 5}}
    rules = {"margin": 0.5, "holdout": 0.2, "actions": actions, "curve": 2, "budget": 60.0}
    plan = make_plan(make_scored(tmp_path, {"plan": rules}), CUTOFF)
    facts = plan.manifest.unmeasurable
    assert list(facts) == ["voucher"] and facts["voucher"]["with_action"] == 5
    line = next(line for line in plan_text(plan).splitlines() if "CANNOT BE MEASURED" in line)
    assert "voucher: 5 customers get it" in line and f"about {facts['voucher']['needed']:,} customers" in line
