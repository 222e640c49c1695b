"""A shop with a customer table, from its files to reasons in words: levels, who is not in it, and what is personal."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from datetime import date
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.audit.audit import check_log
from features.config.load import Config, load_config
from features.errors import UsageError
from features.snapshots.build import build_snapshots
from serving.customer_report import explain_customer
from serving.report import page as report
from serving.scoring.run import score_customers
from serving.scoring.score_tables import Scores
from tests.shop import make_shop
from training.registry import models
from training.train import TrainingRun, train_models

CUTOFF = date(2023, 11, 20)
CANARY, RARE = "canary@example.com", "Ms Rare Level"
SECTION = """
[customers]
source = "people.parquet"
customer = "id"
attributes = ["Plan Name", "age", "city"]
constant = ["Plan Name", "age"]
since = "joined"
personal = ["email"]
"""


def _people(log: pa.Table) -> pa.Table:
    """Frequent buyers are mostly gold; some have no plan, three one of their own, and every tenth is not there."""
    counts = log.group_by("customer").aggregate([("order", "count")]).sort_by("customer")
    rng, n = np.random.default_rng(2), counts.num_rows
    often = counts["order_count"].to_numpy() > np.median(counts["order_count"].to_numpy())
    plan = np.where(rng.random(n) < 0.8, np.where(often, "gold", "basic"), "silver").astype(object)
    plan[rng.random(n) < 0.1] = None
    plan[:3] = RARE
    people = {
        "id": counts["customer"],
        "Plan Name": pa.array(plan, pa.string()),
        "age": rng.integers(18, 80, n),
        "city": ["Ulm"] * n,
        "joined": pa.array([date(2022, 12, 1)] * n),
        "email": [f"{CANARY}{i}" for i in range(n)],
    }
    return pa.table(people).filter(pa.array(np.arange(n) % 10 != 9))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A small shop with a customer table."""
    folder = tmp_path_factory.mktemp("people")
    make_shop(folder, customers=200)
    pq.write_table(_people(pq.read_table(folder / "log.parquet")), folder / "people.parquet")
    path = folder / "regulars.toml"
    quick = path.read_text().replace("trials = 2", 'trials = 0\nfairness = ["Plan Name", "age", "email"]')
    path.write_text(quick + SECTION)
    return load_config(path)


@pytest.fixture(scope="module")
def trained(shop: Config) -> TrainingRun:
    """Its champions."""
    return train_models(shop)


@pytest.fixture(scope="module")
def scored(shop: Config, trained: TrainingRun) -> Scores:
    """A scored cutoff, with contributions."""
    return score_customers(shop, CUTOFF, with_contributions=True)


def test_the_levels_of_the_table_are_in_the_model_and_rare_ones_are_not(trained: TrainingRun) -> None:
    assert trained.fitted.value is not None
    assert trained.fitted.value.levels["plan_name"] == ("gold", "basic", "silver")
    assert {"age", "signup_age_days", "signup_to_first_order_days"} < set(trained.fitted.value.features)
    assert "city" not in trained.fitted.value.features


def test_contributions_add_up_with_a_column_for_the_text(shop: Config, scored: Scores) -> None:
    table = pq.read_table(shop.output / "contributions" / "value" / f"cutoff={CUTOFF}")
    names = [name for name in table.column_names if name not in ("customer_id", "base", "total", "cutoff")]
    shares = np.column_stack([table[name].to_numpy() for name in names])
    np.testing.assert_allclose(table["base"].to_numpy() + shares.sum(axis=1), table["total"].to_numpy(), rtol=1e-9)
    np.testing.assert_array_equal(table["total"].to_numpy(), scored.table()["value"].to_numpy())
    assert np.abs(table["plan_name"].to_numpy()).max() > 0


def test_reasons_read_the_plan(scored: Scores) -> None:
    table = scored.table()
    said = [r for name in ("churn_reasons", "value_reasons") for row in table[name].to_pylist() for r in row]
    plans = {r["reading"] for r in said if r["feature"] == "plan_name"}
    assert {"plan name gold", "plan name basic"} <= plans
    assert plans <= {f"plan name {level}" for level in ("gold", "basic", "silver", RARE, "not known")}
    assert {r["phrase"] for r in said if r["feature"] == "plan_name"} == {"plan name"}
    (driver,) = [d for d in scored.manifest.drivers["value"] if d["feature"] == "plan_name"]
    assert {driver["highest"], driver["lowest"]} <= {"gold", "basic", "silver"}


def test_mlflow_and_the_score_table_say_the_same_of_text(shop: Config, scored: Scores) -> None:
    snapshots = build_snapshots(shop, [CUTOFF], with_labels=False)
    frame = snapshots.rows.select(snapshots.names).to_pandas()
    assert frame["plan_name"].isna().sum() > 5
    models.connect_to_mlflow(shop)
    said = mlflow.pyfunc.load_model("models:/shop-value@champion").predict(frame)
    np.testing.assert_array_equal(said["value"].to_numpy(), scored.table()["value"].to_numpy())


def test_one_customer_in_the_terminal_and_the_page_of_all(shop: Config, scored: Scores) -> None:
    rows = build_snapshots(shop, [CUTOFF], with_labels=False).rows
    gold = rows.filter(pc.equal(rows["plan_name"], "gold"))["customer_id"][0].as_py()
    assert f"customer {gold} at {CUTOFF}" in explain_customer(shop, gold, CUTOFF)
    page = report.write_report(shop, CUTOFF).read_text()
    assert "plan name" in page
    assert "highest for gold" in page or "lowest for gold" in page


def test_the_card_measures_by_groups_and_personal_columns_are_only_measured_by(
    shop: Config, trained: TrainingRun
) -> None:
    models.connect_to_mlflow(shop)
    text = mlflow.artifacts.load_text(f"runs:/{trained.versions[0].run_id}/evaluation/fairness.csv")
    found = pd.read_csv(io.StringIO(text)).groupby("attribute").group.unique()
    assert {"gold", "basic", "not known"} <= set(found["Plan Name"])
    assert RARE not in set(found["Plan Name"])
    assert len(found["age"]) == 4, "quarters; those whose age is not known are too few to be shown"
    assert set(found["email"]) <= {"not known", "all smaller groups"}
    assert "### Plan Name" in (shop.output / "model_card.md").read_text()
    assert "email" not in trained.fitted.churn.features
    wrong = shop.model_copy(update={"training": shop.training.model_copy(update={"fairness": ("gendr",)})})
    with pytest.raises(UsageError, match=r"^\[training\] fairness: .*no column 'gendr'"):
        train_models(wrong)


def test_a_change_in_the_order_of_the_files_or_the_threads_changes_no_bit(shop: Config, tmp_path: Path) -> None:
    for name in ("log", "people"):
        table = pq.read_table(shop.folder / f"{name}.parquet")
        turned = table.take(pa.array(range(table.num_rows - 1, -1, -1)))
        pq.write_table(turned, tmp_path / f"{name}.parquet")
    threads = shop.engine.model_copy(update={"threads": 2})
    turned_shop = shop.model_copy(update={"folder": tmp_path, "engine": threads})
    mine, theirs = build_snapshots(shop), build_snapshots(turned_shop)
    assert mine.rows.equals(theirs.rows)
    assert mine.fingerprint == theirs.fingerprint


def test_what_is_personal_or_rare_is_in_nothing_that_is_kept(
    shop: Config, trained: TrainingRun, scored: Scores
) -> None:
    with redirect_stdout(io.StringIO()):
        check_log(shop)
    report.write_report(shop, CUTOFF)
    kept = [p for p in shop.folder.rglob("*") if p.is_file() and p.suffix not in (".toml",) and p.parent != shop.folder]
    assert len(kept) > 10
    for path in kept:
        content = path.read_bytes()
        assert CANARY.encode() not in content, path
        if "output" not in path.parts:  # scores and pages read to a customer what is theirs
            assert RARE.encode() not in content, path
    database = (shop.folder / "mlflow.db").read_bytes()
    assert CANARY.encode() not in database and RARE.encode() not in database
