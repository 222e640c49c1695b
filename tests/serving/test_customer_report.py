"""One customer in the terminal."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.errors import UsageError
from serving.customer_report import explain_customer
from serving.customer_report_text import next_purchase_lines
from serving.scoring.run import score_customers
from training.train import TrainingRun


def test_it_shows_the_numbers_of_the_score_table(shop: Config, trained: TrainingRun) -> None:
    rows = score_customers(shop, trained.newest).table().to_pandas()
    row = rows.iloc[0]
    text = explain_customer(shop, row.customer_id, trained.newest)
    assert f"{row.churn_probability:.1%}" in text
    assert f"{row.value:,.2f}" in text
    assert row.churn_reasons[0]["reading"] in text
    assert "everything else together" in text and "why sooner or later (a purchase within" in text
    assert f"expected orders over 30 days   {row.expected_orders:.2f}" in text
    assert row.next_purchase is None or f"expected around {row.next_purchase:%A} {row.next_purchase}" in text
    assert "what if: for the risk to fall below" in text and f"(the mean of the {len(rows):,} customers" in text
    short = explain_customer(shop, row.customer_id, trained.newest, with_what_if=False)
    assert text.startswith(short) and "what if" not in short


def test_who_is_not_there_is_named_with_who_is_close(shop: Config, trained: TrainingRun) -> None:
    score_customers(shop, trained.newest)
    with pytest.raises(
        UsageError, match="customer 'customer-9000' is not among the .* scored at .*close to it: customer-00"
    ):
        explain_customer(shop, "customer-9000", trained.newest)
    earlier = trained.newest - timedelta(30)  # not scored: the log is asked
    with pytest.raises(UsageError, match="customer 'customer-9000' is in no row of .*close to it: customer-00"):
        explain_customer(shop, "customer-9000", earlier)
    first = pq.read_table(shop.folder / "log.parquet").to_pandas().groupby("customer").time.min()
    with pytest.raises(UsageError, match=f"customer '{first.idxmax()}' is not in the cohort.*Close to it: customer-0"):
        explain_customer(shop, first.idxmax(), first.min().date() + timedelta(20))


@pytest.mark.parametrize("below", [0.0, 1.0, 30.0])
def test_a_level_that_is_no_probability_is_refused(shop: Config, trained: TrainingRun, below: float) -> None:
    with pytest.raises(UsageError, match=f"--below is a probability: .* found {below:g}"):
        explain_customer(shop, "customer-0001", trained.newest, below)


def test_who_is_not_scored_is_refused_without_an_engine(
    shop: Config, trained: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing an engine and reading the log would take most of the time of the answer."""
    score_customers(shop, trained.newest)
    monkeypatch.setattr("features.intake.log.opened", None)
    with pytest.raises(UsageError, match="is not among the .* customers scored"):
        explain_customer(shop, "nobody", trained.newest)


def test_importing_the_report_imports_no_engine() -> None:
    code = "import sys, serving.customer_report; sys.exit(bool({'ibis', 'duckdb', 'pandas'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_next_purchase_in_words() -> None:
    columns = {
        "cutoff": datetime(2024, 3, 1),  # noqa: DTZ001
        "next_purchase": date(2024, 3, 8),
        "next_purchase_low": date(2024, 3, 2),
        "next_purchase_high": date(2024, 4, 9),
        "expected_orders": 1.234,
        "overdue_days": 12.2,
    }
    assert next_purchase_lines(columns, 28, 0.8) == [
        "next purchase expected around Friday 2024-03-08 (80% between 2024-03-02 and 2024-04-09)",
        "expected orders over 28 days   1.23",
        "12 days overdue: silent for longer than usual between orders",
    ]
    unlikely = {**columns, "next_purchase": None, "next_purchase_high": None, "overdue_days": -7.0}
    assert next_purchase_lines(unlikely, 28, 0.8)[::2] == [
        "next purchase less likely than not within 56 days (10% by 2024-03-02)",
        "due on Friday 2024-03-08 by the usual days between orders",
    ]
    assert next_purchase_lines({"cutoff": 1}, 28, 0.8) == []
