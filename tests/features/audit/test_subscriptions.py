"""Subscriptions in the audit: how far the log goes, why terms ended, and what is odd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.audit import audit
from features.audit.audit import Audit
from features.config.load import Config, parse_config
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, UsageError
from features.intake.read_log import read_tables
from features.intake.tables import Tables

START = date(2023, 1, 1)
TERMS = {
    "source": "terms.parquet",
    "customer": "who",
    "start": "start",
    "end": "end",
    "reason": "why",
    "cancelled": ["left"],
    "until": "2023-12-27",
}
TASK = {"churn": "cancelled", "horizon": "60d", "every": "60d"}
Term = tuple[int, int | None, str | None]


@pytest.fixture
def audited(tmp_path: Path, engine: DuckDBEngine) -> Callable[..., tuple[Tables, Audit]]:
    """From terms (start and end in days since START, reason), one a customer, to the tables and the audit."""

    def make(terms: Sequence[Term], customers: Sequence[str] = (), **keys: Any) -> tuple[Tables, Audit]:
        config = configured(tmp_path, terms, customers, **keys)
        tables, task = read_tables(config, engine), config.task.to_task()
        return tables, audit.audit_tables(tables, task, engine)

    return make


def configured(folder: Path, terms: Sequence[Term], customers: Sequence[str] = (), **keys: Any) -> Config:
    names = customers or [f"c{n}" for n in range(len(terms))]
    columns = zip(
        *((START + timedelta(s), None if e is None else START + timedelta(e), w) for s, e, w in terms), strict=True
    )
    kinds = (pa.date32(), pa.date32(), pa.string())
    arrays = {n: pa.array(c, k) for n, c, k in zip(("start", "end", "why"), columns, kinds, strict=True)}
    pq.write_table(pa.table({"who": names, **arrays}), folder / "terms.parquet")
    given = {key: value for key, value in {**TERMS, **keys}.items() if value is not None}
    return parse_config(
        {"config_version": 1, "name": "t", "subscriptions": given, "task": TASK}, folder / "regulars.toml"
    )


MANY: list[Term] = [
    *[(n % 5, None, None) for n in range(40)],
    *[(n % 5, 310 + n, "left") for n in range(30)],
    *[(n % 5, 320, "death") for n in range(25)],
    *[(0, 320, "eaten by a bear")] * 3,
    *[(200, 299, "left")] * 2,
]


def test_the_audit_counts_ends_by_reason_and_outcomes_of_the_last_cutoffs(audited: Callable[..., Any]) -> None:
    tables, report = audited(MANY)
    assert report.contracts is not None
    assert {name: report.contracts[name] for name in ("terms", "ended", "cancelled", "later")} == {
        "terms": 100, "ended": 60, "cancelled": 32, "later": 0,
    }  # fmt: skip
    assert report.contracts["reasons"] == (
        {"reason": "left", "terms": 32, "churn": True},
        {"reason": "death", "terms": 25, "churn": False},
        {"reason": "other reasons", "terms": 3, "churn": False},
    )
    last = report.contracts["outcomes"][-1]
    assert last == {"cutoff": START + timedelta(300), "customers": 98, "cancelled": 30, "competing": 28}
    text = audit.audit_text(report)
    assert "100 terms, 60 ended, 32 of them cancelled: left 32 (churn), death 25, other reasons 3" in text
    assert "at 2023-10-28 98 customers in force; within 60d 30 cancelled, 28 ended for other reasons (no churn)" in text
    assert "bear" not in text and "bought once" not in text and "is it complete" not in text
    assert (tables.first, tables.last, tables.end) == (START, START + timedelta(339), date(2023, 12, 27))


def test_without_until_the_log_ends_with_the_last_start(audited: Callable[..., Any]) -> None:
    tables, report = audited(MANY, until=None)
    assert (tables.last, tables.end) == (START + timedelta(200), START + timedelta(201))
    (note,) = (note for note in report.notes if "taken for plans" in note)
    assert note.startswith("60 terms end on or after 2023-07-21") and "(the last on 2023-12-06)" in note
    assert "[subscriptions] until" in note


def test_a_reason_that_no_end_has_is_noted(audited: Callable[..., Any]) -> None:
    _, report = audited(MANY, cancelled=["left", "deaths"])
    assert "[subscriptions] cancelled names 'deaths', but no term ended so: did you mean 'death'?" in report.notes
    assert report.breaches == ()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cancelled": ["lft"]}, "no term of [subscriptions] ended by 'lft': did you mean 'left'?"),
        ({"cancelled": ["x", "y"]}, "ended by 'x', 'y': they ended by 'left', 'death', 'other reasons'"),
    ],
)
def test_nothing_to_predict_stops(keys: Mapping[str, Any], message: str, tmp_path: Path, engine: DuckDBEngine) -> None:
    config = configured(tmp_path, MANY, **keys)
    tables, task = read_tables(config, engine), config.task.to_task()
    assert message in audit.audit_tables(tables, task, engine).breaches[0]
    with pytest.raises(DataError) as problem:
        audit.require_no_breach(tables, task, engine)
    assert message in str(problem.value)


def test_no_end_at_all_stops(tmp_path: Path, engine: DuckDBEngine) -> None:
    config = configured(tmp_path, [(0, None, None)] * 3, reason=None, cancelled=None)
    with pytest.raises(DataError, match="no term of .subscriptions. has ended"):
        audit.require_no_breach(read_tables(config, engine), config.task.to_task(), engine)


def test_ends_that_name_the_last_day_of_cover_are_noticed(audited: Callable[..., Any]) -> None:
    monthly: list[Term] = [(0, 30, "left"), (31, 60, "left"), (61, None, None), (0, 30, "left"), (30, 300, "left")]
    _, report = audited(monthly, ["a", "a", "a", "b", "b"])
    (note,) = (note for note in report.notes if "the day after" in note)
    assert note.startswith("2 terms begin the day after the previous end, and 1 on that day")
    _, fine = audited([*monthly[:1], (30, 60, "left"), (60, None, None), *monthly[3:]], ["a", "a", "a", "b", "b"])
    assert not [note for note in fine.notes if "the day after" in note]


def test_without_subscriptions_the_audit_has_no_contracts(
    make_log: Callable[..., Tables], make_task: Callable[..., Any], engine: DuckDBEngine
) -> None:
    log = make_log([{"customer": "a", "time": START}, {"customer": "a", "time": START + timedelta(200)}])
    assert audit.audit_tables(log, make_task(), engine).contracts is None


def without(values: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


EVENTS = {"source": "log.csv", "customer": "who", "time": "at"}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"events": EVENTS}, "churn = 'cancelled' needs [subscriptions]: add it"),
        ({}, "churn = 'cancelled' needs [subscriptions]: add it"),
        (
            {"subscriptions": without(TERMS, "end", "reason", "cancelled")},
            "needs [subscriptions]: set its end to the column",
        ),
        (
            {"subscriptions": without(TERMS, "reason")},
            "regulars.toml: [subscriptions]: cancelled lists values of reason",
        ),
        ({"subscriptions": without(TERMS, "cancelled")}, "list the values of 'why' that count as churn"),
        ({"subscriptions": without(TERMS, "end")}, "reason is set, but end is not"),
        ({"subscriptions": TERMS | {"price_every": "30d"}}, "price_every is set, but price is not"),
        ({"subscriptions": TERMS | {"price_every": "month", "price": "p"}}, "'90d' or '12w'"),
        ({"subscriptions": TERMS | {"canceled": ["x"]}}, "did you mean 'cancelled'?"),
        ({"subscriptions": TERMS, "events": EVENTS}, "set [events] until"),
    ],
)
def test_a_config_that_cannot_be_read_says_what_to_do(sections: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as problem:
        parse_config({"config_version": 1, "name": "t", "task": TASK, **sections})
    assert message in str(problem.value)
    assert len(str(problem.value).splitlines()) == 1


def test_only_terms_stand_for_events() -> None:
    shared = {"config_version": 1, "name": "t", "task": TASK}
    config = parse_config(shared | {"subscriptions": TERMS})
    assert config.only_subscriptions and not config.has_value
    assert (config.events.source, config.events.time, config.events.until) == ("terms.parquet", "start", "2023-12-27")
    written_out = {"source": "terms.parquet", "customer": "who", "time": "start", "until": "2023-12-27"}
    same = parse_config(shared | {"subscriptions": without(TERMS, "until"), "events": written_out})
    assert same.only_subscriptions and same.events == config.events
    other = parse_config(shared | {"subscriptions": without(TERMS, "until"), "events": EVENTS})
    assert not other.only_subscriptions
    priced = parse_config(shared | {"subscriptions": TERMS | {"price": "p", "price_every": "4w"}})
    assert priced.has_value and not parse_config(shared | {"subscriptions": TERMS | {"price": "p"}}).has_value
    silent = {"subscriptions": without(TERMS | {"price": "p", "price_every": "4w"}, "until"), "events": EVENTS}
    assert not parse_config({"config_version": 1, "name": "t"} | silent).has_value
