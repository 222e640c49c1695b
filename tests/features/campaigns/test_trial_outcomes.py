"""Outcomes after contacts, final and as known at the begin of a later round, against a slow count of the same rows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.campaigns.trial_outcomes import final_outcomes, revised_outcomes
from features.campaigns.uplift_dataset import UpliftDataset
from features.config.load import Config
from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.intake.read_log import read_tables
from features.intake.tables import Tables
from features.task import Task

DAYS = 30
ROUNDS = [date(2024, 1, 1) + timedelta(28 * n) for n in range(5)]
Line = dict[str, Any]


def log_lines(late: bool) -> list[Line]:
    """Purchases and refunds; with `late`, a third of them become known up to 90 days later."""
    rng, lines = random.Random(7), list[Line]()  # noqa: S311
    for n in range(500):
        time = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=rng.randrange(24 * 180))
        known = time + timedelta(rng.choice((0, 0, rng.randrange(90))) if late else 0)
        amount = float(rng.choice((-20, 5, 10, 40)))
        lines.append(
            {"customer": f"c{n % 50}", "time": time, "amount": amount, "order": str(n // 2), "known_at": known}
        )
    return lines


@pytest.fixture
def units() -> pd.DataFrame:
    """Each customer was contacted in each round, on one of its first five days."""
    rng = random.Random(8)  # noqa: S311
    keys = [(f"c{n}", first, first + timedelta(rng.randrange(5))) for first in ROUNDS for n in range(50)]
    table = pd.DataFrame(keys, columns=["customer_id", "cutoff", "day"])
    return table.assign(cutoff=pd.to_datetime(table.cutoff))


def counted(lines: list[Line], who: str, day: date, known_by: date) -> tuple[int, float]:
    """Whether a customer returned within the horizon after a day, and the net amount, of rows known before a day."""
    orders = Counter[str]()
    for line in lines:
        inside = day <= line["time"].date() < day + timedelta(DAYS)
        if line["customer"] == who and inside and line["known_at"].date() < known_by:
            orders[line["order"]] += line["amount"]
    return int(any(net > 0 for net in orders.values())), sum(orders.values())


def read(make_config: Callable[..., Config], folder: Path, lines: list[Line], engine: Engine) -> Tables:
    """The tables of a log."""
    pq.write_table(pa.Table.from_pylist(lines), folder / "log.parquet")
    config = make_config({"task": {"label_delay": "none"}}, amount="amount", order="order", known_at="known_at")
    return read_tables(config, engine)


def test_outcomes_are_those_that_were_known_before_a_round(
    make_config: Callable[..., Config],
    make_task: Callable[..., Task],
    tmp_path: Path,
    each_engine: Engine,
    units: pd.DataFrame,
) -> None:
    lines, task = log_lines(late=True), make_task(horizon=DAYS)
    tables = read(make_config, tmp_path, lines, each_engine)
    final = units.merge(final_outcomes(units, tables, task, each_engine), on=["customer_id", "cutoff"])
    revisions = revised_outcomes(units, tables, task, ROUNDS, each_engine)
    assert revisions is not None and revisions.num_rows > 20
    rows = pa.Table.from_pandas(final, preserve_index=False)
    dataset = cast(UpliftDataset, SimpleNamespace(rows=rows, revisions=revisions, task=task))
    for known_by in (*ROUNDS[1:], date(2030, 1, 1)):
        known = UpliftDataset.outcomes_as_known(dataset, known_by)
        for place, unit in enumerate(final.itertuples()):
            if unit.day + timedelta(DAYS) > known_by:
                assert known.loc[place].isna().all()
            else:
                assert tuple(known.loc[place]) == counted(lines, unit.customer_id, unit.day, known_by)


def test_without_late_rows_there_is_nothing_to_revise(
    make_config: Callable[..., Config],
    make_task: Callable[..., Task],
    tmp_path: Path,
    engine: DuckDBEngine,
    units: pd.DataFrame,
) -> None:
    tables = read(make_config, tmp_path, log_lines(late=False), engine)
    assert revised_outcomes(units, tables, make_task(horizon=DAYS), ROUNDS, engine) is None
