"""The public API, used as docs/api.md shows it: from a table in memory to a measured plan, without a file or a TOML."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shap

from features import Config, Log, build_snapshots, check_log, load_config, open_log
from features.errors import UsageError
from serving import (
    explain_changes,
    explain_customers,
    make_plan,
    measure_plan,
    monitor_scores,
    score_customers,
    segment_customers,
    write_report,
)
from training import backtest_models, evaluate_predictions, load_champion, time_splits, train_models

START, CUTOFF = date(2023, 1, 1), "2023-12-20"
COLUMNS = {"customer": "who", "time": "day", "amount": "paid"}
SECTIONS = {
    "task": {"horizon": "30d", "every": "30d", "windows": ["30d", "90d"], "active_within": "180d"},
    "training": {"trials": 0, "seed": 3, "bootstrap": 50},
    "plan": {"margin": 0.5, "budget": 40, "holdout": 0.3, "actions": {"mail": {"cost": 0.5, "save_rate": 0.2}}},
}


def orders(customers: int = 250, days: int = 360, seed: int = 5) -> pd.DataFrame:
    """The orders of a made-up shop whose customers order at rates of their own, and may leave."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(customers):
        gap, leaves = rng.gamma(4, 8), rng.exponential(300)
        day = born = float(rng.integers(0, 200))
        while day < min(days, born + leaves):
            rows.append(
                {"who": f"c{number:03d}", "day": START + timedelta(int(day)), "paid": round(rng.gamma(3, 9), 2)}
            )
            day += rng.exponential(gap) + 1
    return pd.DataFrame(rows).sort_values(["day", "who"]).assign(day=lambda frame: pd.to_datetime(frame.day))


class Stream:
    """A table of another library, such as Polars, that speaks Arrow's C stream interface."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """An opened log with trained champions and one scored cutoff."""
    business = open_log(orders(), folder=tmp_path_factory.mktemp("api"), name="api", **COLUMNS, **SECTIONS)
    run = train_models(business)
    assert not run.to_pandas().empty
    if not run.decision.promoted:
        from training.registry.aliases import promote_challengers

        promote_challengers(business.config, "all")
    score_customers(business, CUTOFF)
    return business


def test_a_table_is_the_same_log_in_every_form(tmp_path: Path) -> None:
    frame = orders(customers=20)
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    forms = {"pandas": frame, "arrow": arrow, "ibis": ibis.memtable(frame), "stream": Stream(arrow)}
    fingerprints = set()
    for name, table in forms.items():
        with open_log(table, folder=tmp_path / name, **COLUMNS) as opened:
            fingerprints.add(opened.tables.fingerprint)
    assert len(fingerprints) == 1


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(UsageError, match="found int"):
        open_log(3, **COLUMNS)
    with pytest.raises(UsageError, match="customr"):
        open_log(orders(5), customr="who", time="day")


def test_a_path_a_config_and_a_log_are_the_same_business(tmp_path: Path) -> None:
    orders(30).to_parquet(tmp_path / "orders.parquet")
    path = tmp_path / "regulars.toml"
    path.write_text(
        'config_version = 1\nname = "t"\n[events]\nsource = "orders.parquet"\ncustomer = "who"\ntime = "day"\n'
        'amount = "paid"\n'
        '[task]\nhorizon = "30d"\n'
    )
    config = load_config(path)
    assert isinstance(config, Config)
    built = [build_snapshots(business, [CUTOFF]).to_pandas() for business in (path, config, open_log(config))]
    assert len(built[0]) > 5 and built[0].equals(built[1]) and built[0].equals(built[2])


def test_check_and_snapshots(log: Log) -> None:
    audit, file = check_log(log)
    assert file.exists() and "customers" in audit.to_pandas()["fact"].tolist()
    rows = build_snapshots(log, ["2023-10-01", date(2023, 11, 1)])
    frame = rows.to_pandas()
    assert set(frame["churned"]) <= {0, 1} and list(frame.columns[:2]) == ["customer_id", "cutoff"]
    assert time_splits([*rows.cutoffs, date(2023, 8, 1)], rows.task.horizon).test.test == date(2023, 11, 1)


def test_scores_and_exact_explanations(log: Log) -> None:
    scores = score_customers(log, CUTOFF)
    assert not scores.new
    frame = scores.to_pandas().set_index("customer_id")
    some = frame.index[:5].tolist()
    for target, column in (("churn", "churn_probability"), ("value", "value"), ("returns_within_8d",) * 2):
        explanation = explain_customers(log, CUTOFF, some, target)
        assert isinstance(explanation, shap.Explanation)
        totals = explanation.base_values + explanation.values.sum(axis=1)
        np.testing.assert_allclose(totals, frame.loc[some, column], atol=1e-6)
    with pytest.raises(UsageError, match="'nobody'"):
        explain_customers(log, CUTOFF, ["nobody"])
    with pytest.raises(UsageError, match="expected one of churn, value"):
        explain_customers(log, CUTOFF, some, "luck")


def test_totals_and_drivers_of_scores(log: Log) -> None:
    scores = score_customers(log, CUTOFF)
    frame = scores.to_pandas()
    expected, low, high = scores.total_value()
    assert low < expected < high and expected == pytest.approx(frame["value"].sum())
    few, low, high = scores.total_value(frame.customer_id[:3].tolist())
    assert low <= few < high and few == pytest.approx(frame["value"][:3].sum())
    drivers, explanation = scores.drivers("value"), explain_customers(log, CUTOFF, target="value")
    assert drivers.strength[0] == pytest.approx(np.abs(explanation.values).mean(axis=0).max(), rel=1e-6)
    with pytest.raises(UsageError, match="'nobody'"):
        scores.total_value(["nobody"])
    with pytest.raises(UsageError, match="expected one of churn, value"):
        scores.drivers("luck")


def test_changes_lower_the_risk(log: Log) -> None:
    frame = score_customers(log, CUTOFF).to_pandas()
    risky = frame.sort_values("churn_probability").customer_id.iloc[-1]
    answer = explain_changes(log, risky, CUTOFF)
    changes = answer.to_pandas()
    assert answer.tried > 0 and len(changes) > 0
    assert (changes.risk[changes.enough] < answer.below).all()


def test_segments_plan_monitoring_and_report(log: Log) -> None:
    assert len(segment_customers(log, CUTOFF).to_pandas()) == len(score_customers(log, CUTOFF).to_pandas())
    plan = make_plan(log, CUTOFF)
    assert 0 < plan.spent <= 40 and plan.gain <= plan.bound + 1e-9
    assert plan.to_pandas()["action"].notna().sum() > 0
    with pytest.raises(UsageError, match=r"\[contacts\]"):
        measure_plan(log, CUTOFF)
    assert monitor_scores(log, CUTOFF).to_pandas() is not None
    assert "<html" in write_report(log, CUTOFF).read_text(encoding="utf-8")


def test_models_and_evaluation(log: Log) -> None:
    champion = load_champion(log, "value")
    assert champion is not None
    assert not backtest_models(log, 1).to_pandas().empty
    assert callable(evaluate_predictions)


def test_importing_the_packages_is_quick() -> None:
    """Names are imported when they are used: the command line must not wait for what a command does not need."""
    import subprocess
    import sys

    code = (
        "import sys, features, training, serving; print([m for m in ('ibis', 'mlflow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
