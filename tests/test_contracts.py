"""A business that has nothing but its contracts, through every command: the words, the numbers, and the proof."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from features.config.load import Config
from features.snapshots import leakage
from regulars import cli
from serving.scoring.score_tables import read_scores
from tests.contracts import make_contracts
from training.registry import models as registry

CUTOFF = date(2023, 12, 22)
BUYING = re.compile(r"purchas|no order|orders\b|bought|buy", re.IGNORECASE)


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The config of the made-up business, trained."""
    config = make_contracts(tmp_path_factory.mktemp("contracts"))
    done = run(config, "train")
    assert done.exit_code == 0, done.output
    return config


def run(config: Config, *command: str) -> Result:
    return CliRunner().invoke(cli, ["-c", str(config.folder / "regulars.toml"), *command])


def test_check_tells_the_contracts_and_proves_that_nothing_looks_ahead(contracts: Config) -> None:
    done = run(contracts, "check", "--leaks")
    assert done.exit_code == 0, done.output
    assert re.search(
        r"contracts +\d+ terms, \d+ ended, \d+ of them cancelled: cancelled \d+ \(churn\), death \d+", done.output
    )
    assert done.output.count("every bit the same") == 6 and not BUYING.search(done.output)


def test_build_writes_the_cohort_in_force(contracts: Config, tmp_path: Path) -> None:
    done = run(contracts, "build", "--cutoff", "2023-06-01", "--out", str(tmp_path / "rows.parquet"))
    assert done.exit_code == 0, done.output
    rows = pq.read_table(tmp_path / "rows.parquet")
    terms = pq.read_table(contracts.folder / "terms.parquet").to_pylist()
    cutoff = date(2023, 6, 1)
    running = {t["customer"] for t in terms if t["from"] < cutoff and (t["to"] is None or t["to"] >= cutoff)}
    assert set(rows["customer_id"].to_pylist()) == running
    assert {"subscription_age_days", "tenure_days", "plan", "churned", "value"} <= set(rows.column_names)
    assert not {"recency_days", "return_probability"} & set(rows.column_names)
    assert set(rows["churned"].to_pylist()) == {0, 1} and rows["value"].null_count == 0


def test_score_explain_and_report_speak_of_cancelling(contracts: Config) -> None:
    done = run(contracts, "score", "--cutoff", str(CUTOFF))
    assert done.exit_code == 0, done.output
    table = read_scores(contracts, CUTOFF).table()
    assert set(table["lifecycle"].to_pylist()) <= {"new", "active"} and table["value"].null_count == 0
    told = run(contracts, "explain", table["customer_id"][0].as_py(), "--cutoff", str(CUTOFF))
    assert "probability of cancelling in the next 60 days" in told.output and not BUYING.search(told.output)
    stranger = run(contracts, "explain", "nobody", "--cutoff", str(CUTOFF))
    assert stranger.exit_code == 2 and "is not among the 148 customers scored" in stranger.output
    assert run(contracts, "report").exit_code == 0
    page = (contracts.output / "reports" / f"cutoff={CUTOFF}.html").read_text()
    text = re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    assert "means that the contract is cancelled in those 60 days and not renewed" in text
    assert "tenure hazard" in text and not BUYING.search(text)


def test_the_ladder_is_a_tenure_hazard(contracts: Config) -> None:
    champion = registry.load_champion(contracts, "churn")
    assert champion is not None and champion.bundle.task["churn"] == "cancelled"
    models = set(registry.load_evaluation(contracts, champion.version.run_id).metrics.model)
    assert models == {"regulars", "everybody alike", "tenure hazard", "plain LightGBM"}


PLANTED = """
from features.own import KEYS, Family, Feature

def families(task):
    end = Feature("end_ahead", lambda m: m.m_end, "end", "end", "{value:number}", "count", unread="none")
    yield Family("ends", [end], _ends)

def _ends(past):
    rows = past.tables.sides["subscriptions"].rows
    ends = rows.filter(rows.part == "end")
    last = ends.group_by("customer_id").aggregate(m_end=ends.day.max().epoch_seconds())
    return last.cross_join(past.moments)
"""


def test_a_feature_that_sees_the_end_of_a_contract_is_caught(contracts: Config, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PLANTED)
    config = make_contracts(tmp_path, customers=60)
    config = config.model_copy(update={"features": config.features.model_copy(update={"own": "own.py"})})
    found = {name for trial in leakage.prove_no_leakage(config, 1) for name, _ in trial.leaks}
    assert found == {"end_ahead"}


def test_without_prices_there_is_churn_alone(tmp_path: Path) -> None:
    config = make_contracts(tmp_path, customers=300, money=False)
    refused = run(config, "train", "value")
    assert refused.exit_code == 2 and "[subscriptions] price and price_every" in refused.output
    assert run(config, "train").exit_code == 0
    assert run(config, "score", "--cutoff", str(CUTOFF)).exit_code == 0
    table = read_scores(config, CUTOFF).table()
    assert table["value"].null_count == table.num_rows and len(set(table["tier"].to_pylist())) == 3
    assert run(config, "report").exit_code == 0
