"""Joined ids are one customer at cutoffs after the join was known, in every table; nothing leaks into earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.audit.audit import audit_text, check_log
from features.config.load import Config, parse_config
from features.errors import DataError, UsageError
from features.intake.customer_ids import forgotten_list, stored_id
from features.intake.identity import customer_names, persons_of
from features.intake.log import open_log
from features.persons import Persons
from features.snapshots.build import build_snapshots
from features.snapshots.counterfactual import counterfactual_features, known_customer_rows, open_at_cutoff
from features.snapshots.leakage import prove_no_leakage
from features.snapshots.membership import find_membership
from features.snapshots.one_customer import read_customer_history

Rows = Sequence[Mapping[str, Any]]
FIRST = datetime(2024, 1, 1)
CUTOFFS = [date(2024, 4, 1), date(2024, 5, 20), date(2024, 7, 1)]
DAYS = 240
IDS = [f"i{number}" for number in range(14)]
KEY = "0123456789abcdef0123456789abcdef"
SECTIONS: dict[str, Any] = {
    "activities": {"visits": {"source": "visits.parquet", "customer": "id", "time": "at", "kinds": ["what"]}},
    "contacts": {"source": "contacts.parquet", "customer": "id", "time": "at", "action": "what", "control": "b"},
    "subscriptions": {"source": "terms.parquet", "customer": "id", "start": "at", "end": "end", "price": "paid"},
    "customers": {"source": "people.parquet", "customer": "id", "attributes": ["what"], "known_at": "at"},
}


def rows_of(draw: np.random.Generator, count: int, ids: Sequence[str] = IDS) -> list[dict[str, Any]]:
    """Made-up rows of any table."""
    days = draw.integers(DAYS, size=count)
    return [
        {
            "id": str(draw.choice(ids)),
            "at": FIRST + timedelta(days=int(day), hours=int(draw.integers(24))),
            "known": FIRST + timedelta(days=int(day + draw.choice([0, 0, 3]))),
            "paid": float(draw.integers(-3, 50)),
            "order": f"o{day // 5}-{draw.integers(4)}",  # no id is used again after a pause
            "what": str(draw.choice(["a", "b", "c"])),
            "end": FIRST + timedelta(days=int(day) + 20) if draw.random() < 0.7 else None,
        }
        for day in days
    ]


def write(folder: Path, tables: Mapping[str, Rows], **sections: Any) -> Config:
    """Writes tables as Parquet, and returns their config."""
    folder.mkdir(exist_ok=True)
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), folder / f"{name}.parquet")
    events = {"source": "log.parquet", "customer": "id", "time": "at", "amount": "paid", "order": "order"}
    events |= {"known_at": "known", "kinds": ["what"]} if "known" in tables["log"][0] else {}
    task = {"horizon": "30d", "windows": ["60d"], "active_within": "120d", "every": "30d"}
    values = {"config_version": 1, "name": "t", "events": events, "task": task, **sections}
    return parse_config(values, folder / "regulars.toml")


def joined(**columns: str) -> dict[str, Any]:
    """The section [identity]."""
    return {"identity": {"source": "who.parquet", "customer": "id", "person": "person", **columns}}


def shop(seed: int) -> dict[str, list[dict[str, Any]]]:
    """A business with rows of several ids in every table, and joins among them."""
    draw = np.random.default_rng(seed)
    log = rows_of(draw, 260)
    log += [{**log[0], "id": "anchor", "at": FIRST + timedelta(days=day), "known": FIRST} for day in range(0, DAYS, 20)]
    joins = [
        {
            "id": str(draw.choice(IDS)),
            "person": str(draw.choice([*IDS, "person-1"])),
            "at": FIRST + timedelta(days=int(d)),
        }
        for d in draw.integers(DAYS, size=9)
    ]
    return {
        "log": log,
        "visits": rows_of(draw, 80),
        "contacts": rows_of(draw, 60),
        "terms": rows_of(draw, 40),
        "people": rows_of(draw, 30),
        "who": joins,
    }


def renamed(tables: Mapping[str, Rows], name: Callable[[str, str], str]) -> dict[str, Rows]:
    """The tables with other ids: `name` gives the id for a table and an id."""
    return {
        table: [{**row, "id": name(table, row["id"])} for row in rows]
        for table, rows in tables.items()
        if table != "who"
    }


def at_cutoff(persons: Persons, tables: Mapping[str, Rows], cutoff: date) -> Callable[[str, str], str]:
    """Whose each id is at a cutoff; one without a row before it belongs to the customer of the person's oldest id."""
    first_days: dict[str, date] = {}
    for row in (row for table in ("log", "contacts", "terms") for row in tables[table]):
        first_days[row["id"]] = min(first_days.get(row["id"], date.max), row["at"].date())

    def name(table: str, own_id: str) -> str:
        if table in ("log", "contacts", "terms") and cutoff <= first_days[own_id]:
            others = [x for x in persons.ids_of(own_id) if x in first_days]
            return persons.name_at(min(others, key=lambda x: (first_days[x], x)), cutoff)
        return persons.name_at(own_id, cutoff)

    return name


@pytest.mark.parametrize(
    ("sections", "task", "cutoffs"),
    [
        (("activities", "contacts", "customers"), {}, CUTOFFS[:2]),
        (("subscriptions",), {"churn": "cancelled", "value_horizons": ["60d"]}, CUTOFFS[2:]),
    ],
)
def test_each_cutoff_is_that_of_a_log_with_the_names_known_then(
    tmp_path: Path, sections: Sequence[str], task: dict[str, Any], cutoffs: Sequence[date]
) -> None:
    tables, beside = shop(1), {name: SECTIONS[name] for name in sections}
    config = write(tmp_path, tables, **beside, **joined(joined_at="at"), features={"cache": "off"})
    config = config.model_copy(update={"task": config.task.model_copy(update=dict(parsed_task(config, task)))})
    persons, snapshots = persons_of(config), build_snapshots(config, CUTOFFS).rows
    for cutoff in cutoffs:
        names = renamed(tables, at_cutoff(persons, tables, cutoff))
        other = write(tmp_path / str(cutoff), names, **beside, features={"cache": "off"})
        expected = build_snapshots(other.model_copy(update={"task": config.task}), [cutoff]).rows
        rows = snapshots.filter(pa.compute.equal(snapshots["cutoff"], expected["cutoff"][0]))
        assert rows.column_names == expected.column_names and rows.num_rows == expected.num_rows > 3
        assert [name for name in rows.column_names if rows[name].to_pylist() != expected[name].to_pylist()] == []


def parsed_task(config: Config, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values of [task] by their types."""
    values = {**config.task.model_dump(mode="json"), **changes}
    return {name: getattr(type(config.task).model_validate(values), name) for name in changes}


def test_nothing_leaks_into_earlier_cutoffs(tmp_path: Path) -> None:
    customers = {"customers": SECTIONS["customers"]}
    config = write(tmp_path, shop(5), **customers, **joined(joined_at="at"), features={"cache": "off"})
    trials = prove_no_leakage(config, 1)
    assert trials and all(not trial.leaks for trial in trials)


def small(folder: Path, joins: Rows, **sections: Any) -> Config:
    """A guest who became Ann, and Bob; with joins of their ids."""
    days = {"guest": (4, 35), "ann": (80, 125), "bob": (14, 40, 160)}
    log = [
        {"id": who, "at": FIRST + timedelta(days=day), "paid": 10.0, "order": f"{who}{day}"}
        for who, when in days.items()
        for day in when
    ]
    return write(folder, {"log": log, "who": joins}, **sections)


JOINS = [{"id": "guest", "person": "ann", "at": datetime(2024, 3, 15)}]


def test_joins_without_days_hold_at_every_cutoff_and_are_noted(tmp_path: Path) -> None:
    config = small(tmp_path, JOINS, **joined())
    rows = build_snapshots(config, [date(2024, 2, 10), date(2024, 5, 1)]).rows
    assert rows["customer_id"].to_pylist() == ["ann", "bob"] * 2
    assert rows["orders_count_ever"].to_pylist() == [2.0, 1.0, 3.0, 2.0]
    report, _ = check_log(config)
    assert report.customers == 2 and "[identity] has no joined_at" in report.notes[-1]
    assert "identity       1 joins usable of 1 read: 1 ids, 0 of them without events, of 1 persons" in audit_text(
        report
    )


def test_before_a_join_is_known_both_are_customers_and_labels_follow_the_person(tmp_path: Path) -> None:
    config = small(tmp_path, JOINS, **joined(joined_at="at"))
    rows = build_snapshots(config, [date(2024, 3, 1), date(2024, 3, 15), date(2024, 3, 16)]).rows.to_pylist()
    read = {(r["cutoff"].day, r["customer_id"]): (r["orders_count_ever"], r["churned"]) for r in rows}
    assert read == {(1, "guest"): (2, 0), (1, "bob"): (2, 1), (15, "guest"): (2, 0), (15, "bob"): (2, 1)} | {
        (16, "ann"): (2, 0),
        (16, "bob"): (2, 1),
    }
    report, _ = check_log(config)
    assert (report.rows, report.customers, report.late_rows) == (7, 2, 0)
    assert not any("[identity]" in note for note in report.notes)


def test_hashed_ids_are_joined_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_ID_KEY", KEY)
    joins = [{**JOINS[0], "id": " guest "}, {"id": "bob", "person": "rob", "at": None}]
    config = small(tmp_path, joins, **joined(joined_at="at", max_unreadable=0.5), privacy={"hash_ids": True})
    names = {who: stored_id(config, who) for who in ("guest", "ann", "bob")}
    rows = build_snapshots(config, [date(2024, 3, 1), date(2024, 5, 1)]).rows.to_pylist()
    assert {(r["cutoff"].month, r["customer_id"]) for r in rows} == {
        (3, names["guest"]), (3, names["bob"]), (5, names["ann"]), (5, names["bob"])
    }  # fmt: skip
    report, target = check_log(config)
    assert report.ids["identity"]["set_aside"][0]["reason"] == "missing joined_at"
    assert not any(f'"{who}"' in target.read_text() for who in ("guest", "ann", "bob", "rob"))


def test_joins_change_the_fingerprint_and_leave_the_features_of_earlier_cutoffs_in_the_cache(tmp_path: Path) -> None:
    config = small(tmp_path, JOINS, **joined(joined_at="at"))
    cutoffs = [date(2024, 3, 1), date(2024, 5, 1), date(2024, 6, 1)]
    before = build_snapshots(config, cutoffs)
    later = {"id": "bob", "person": "ann", "at": datetime(2024, 5, 10)}
    after = build_snapshots(small(tmp_path, [*JOINS, later], **joined(joined_at="at")), cutoffs)
    assert (before.reused, after.reused) == (0, 2) and before.data_fingerprint != after.data_fingerprint
    assert after.rows["customer_id"].to_pylist() == ["bob", "guest", "ann", "bob", "ann"]


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("day", ["at", ""])
def test_who_is_forgotten_under_one_id_is_forgotten_under_all(
    tmp_path: Path, hashes: bool, day: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGULARS_ID_KEY", KEY)
    config = small(tmp_path, JOINS, **joined(joined_at=day), privacy={"hash_ids": hashes})
    config.output.mkdir(exist_ok=True)
    path, text = forgotten_list(config, stored_id(config, "guest"))
    path.write_text(text)
    with open_log(config) as log:
        ids = set(log.engine.to_arrow(log.tables.events)["customer_id"].to_pylist())
        assert ids == {stored_id(config, "bob")}
        assert [(a.reason, a.rows) for a in log.tables.set_aside] == [("forgotten", 4)]
    assert read_customer_history(config, "ann", date(2024, 6, 1)).orders == []
    assert not find_membership(config, stored_id(config, "ann"), [], []).rows


def test_one_customers_history_and_names_are_those_of_the_cutoff(tmp_path: Path) -> None:
    config = small(tmp_path, JOINS, **joined(joined_at="at"))
    orders = {
        (who, cutoff): len(read_customer_history(config, who, cutoff).orders)
        for who in ("guest", " ann ")
        for cutoff in (date(2024, 3, 10), date(2024, 6, 1))
    }
    assert list(orders.values()) == [2, 4, 0, 4]
    assert customer_names(config, persons_of(config), "guest", date(2024, 6, 1)) == ("ann",)
    member = find_membership(config, "guest", [date(2024, 3, 1), date(2024, 6, 1)], [date(2024, 6, 1)])
    assert member.rows == {"events": 4, "identity": 1} and len(member.cutoffs) == 2
    assert member.marks[date(2024, 6, 1)] == {"events": 4, "customers": 1, "ticks": 400000, "age_days": 364}


def test_what_if_starts_from_the_features_of_the_person(tmp_path: Path) -> None:
    config, cutoff = small(tmp_path, JOINS, **joined(joined_at="at"), features={"cache": "off"}), date(2024, 5, 20)
    rows = build_snapshots(config, [cutoff]).rows
    with open_at_cutoff(config, cutoff) as log:
        same = counterfactual_features(log, "ann", [known_customer_rows(log, "ann")])
    expected = rows.filter(pa.compute.equal(rows["customer_id"], "ann"))
    assert same["orders_count_ever"].to_pylist() == [4.0]
    assert [name for name in same.column_names if same[name].to_pylist() != expected[name].to_pylist()] == []


def test_the_customer_table_may_have_a_row_for_each_id(tmp_path: Path) -> None:
    people = {"source": "people.parquet", "customer": "id", "attributes": ["plan"], "constant": ["plan"]}
    config = small(tmp_path, JOINS, **joined(joined_at="at"), customers=people)
    rows = [{"id": "ann", "plan": "own"}, {"id": "guest", "plan": "other"}, {"id": "bob", "plan": "b"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "people.parquet")
    assert check_log(config)[0].breaches == ()
    built = build_snapshots(config, [date(2024, 3, 1), date(2024, 5, 1)]).rows.to_pylist()
    plans = {(row["cutoff"].month, row["customer_id"]): row["plan"] for row in built}
    assert (plans[3, "guest"], plans[5, "ann"]) == ("other", "own")


def test_a_table_of_joins_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\[identity\] person: the source has no column 'who'"):
        open_log(small(tmp_path, JOINS, identity={**joined()["identity"], "person": "who"})).tables  # noqa: B018
    bad = [{"id": "guest", "person": "ann", "at": "soon"}, {"id": "bob", "person": "ann", "at": "2024-03-01"}]
    with pytest.raises(DataError, match=r"1 of 2 rows have no usable joined_at .*\[identity\] max_unreadable"):
        open_log(small(tmp_path, bad, **joined(joined_at="at"))).tables  # noqa: B018


@pytest.mark.long
@pytest.mark.xdist_group("spark")
def test_both_engines_join_alike(tmp_path: Path, spark: object) -> None:
    tables = shop(7)
    config = write(tmp_path, tables, **SECTIONS, **joined(joined_at="at"), features={"cache": "off"})
    on_spark = config.model_copy(update={"engine": config.engine.model_copy(update={"kind": "spark"})})
    ours, theirs = (build_snapshots(business, CUTOFFS[1:3]).rows for business in (config, on_spark))
    for name in ours.column_names:
        for a, b in zip(ours[name].to_pylist(), theirs[name].to_pylist(), strict=True):
            assert a == pytest.approx(b, rel=1e-9, abs=1e-9) if isinstance(a, float) else a == b, name
