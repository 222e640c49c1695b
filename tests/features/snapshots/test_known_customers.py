"""Whether a log knows a customer, from the columns of ids alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features.config.load import Config
from features.errors import UsageError
from features.intake.customer_ids import stored_id
from features.intake.log import Log
from features.snapshots.known_customers import require_known_customer

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def log(tmp_path: Path, make_config: Callable[..., Config]) -> Callable[..., Log]:
    """A log of two customers, and a table of terms that names a third."""
    (tmp_path / "log.csv").write_text("customer,time,amount\n1001.0,2024-01-05,3\n2002,not a time,x\n,2024-01-05,4\n")
    (tmp_path / "terms.csv").write_text("customer,from\n3003,2024-01-01\n")
    terms = {"source": "terms.csv", "customer": "customer", "start": "from"}

    def open_log(sections: dict[str, Any] | None = None) -> Log:
        return Log(make_config({"subscriptions": terms, **(sections or {})}, source="log.csv", amount="amount"))

    return open_log


@pytest.mark.parametrize("customer", ["1001", "2002", "3003"])
def test_whoever_a_row_names_is_known_even_if_the_row_cannot_be_used(customer: str, log: Callable[..., Log]) -> None:
    with log() as opened:
        require_known_customer(opened, customer)


def test_nobody_else_is_and_similar_ids_are_named(log: Callable[..., Log]) -> None:
    with log() as opened, pytest.raises(UsageError) as refused:
        require_known_customer(opened, "1002")
    message = str(refused.value)
    assert "customer '1002' is in no row of [events] (log.csv, column 'customer') and [subscriptions]" in message
    assert message.endswith("close to it: 1001, 2002")


def test_hashed_ids_are_compared_as_they_are_stored(log: Callable[..., Log], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_ID_KEY", KEY)
    with log({"privacy": {"hash_ids": True}}) as opened:
        require_known_customer(opened, "2002")
        require_known_customer(opened, stored_id(opened.config, "2002"))
        with pytest.raises(UsageError, match="check the id$"):
            require_known_customer(opened, "2003")
