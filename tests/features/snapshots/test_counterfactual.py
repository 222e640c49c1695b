"""Counterfactual histories have the features that a log with these rows gives, and change no other customer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.catalog.btyd import FAMILY
from features.catalog.custom import NO_CUSTOM_FEATURES
from features.config.load import Config
from features.config.sections import FeaturesConfig
from features.engines.duckdb import DuckDBEngine
from features.intake.read_log import read_tables
from features.snapshots import counterfactual
from features.snapshots.build import Snapshots, build_snapshots, snapshots_from_tables
from features.snapshots.counterfactual import EVENTS, CutoffLog
from features.task import Cohort, Task, Window
from serving.explanation.what_if_changes import HypotheticalChange, UsualValues, hypothetical_changes
from tests.contracts import make_contracts
from tests.features import beside
from tests.features.snapshots.test_build import CUTOFFS, random_lines
from tests.shop import make_shop

TASK = Task(Window(30), Cohort(Window(365)), Window(30), (Window(30), Window(90)))
CUTOFF = CUTOFFS[-1]
USUAL = UsualValues((("email", 1500), ("call", None)), {"activities.visits": (0, 72500)})
OF_ALL = {"large_orders_share_ever"}  # like BG/NBD's it knows all customers: a real log has the change among them
COMBINED = (
    ("contact email", "more visits", "more orders", "cheaper term"),
    ("no contact", "fewer visits", "fewer tickets", "last order later", "renewal"),
    ("contact call", "measure of visits", "more tickets", "larger order"),
)
OWN = """
from features.own import Family, Feature, Measure, add_up
big = Feature("big_orders", lambda m: m.big_ever, "size", "big orders", "{value:count} big", "count")
def families(task):
    return [Family("big", (big,), add_up(Measure("big", lambda o: (o.amount > 0).sum())))]
"""
CUSTOMER = f"ñ-{30:0>38}"


@pytest.fixture
def at(make_config: Callable[..., Config], tmp_path: Path, engine: DuckDBEngine) -> CutoffLog:
    """A log with every table, awkward rows in all of them."""
    lines = random_lines(5, 40, True)
    ids = sorted({line["customer"] for line in lines})
    bought: dict[str, list[datetime]] = {}
    for line in lines:
        bought.setdefault(line["customer"], []).append(line["time"].replace(tzinfo=UTC))
    tables = beside.random_rows(6, ids, CUTOFFS, bought)
    config = beside.config(make_config, tmp_path, pa.Table.from_pylist(lines), tables)
    return CutoffLog(read_tables(config, engine), TASK, CUTOFF, engine, NO_CUSTOM_FEATURES)


def cohort_of(at: CutoffLog) -> Snapshots:
    """The cohort as it is."""
    return snapshots_from_tables(at.tables, at.task, [at.cutoff], at.engine, with_labels=False)


def each_and_all_changes(changes: Sequence[HypotheticalChange], past: counterfactual.Rows) -> list[counterfactual.Rows]:
    """Three pasts with one change of every kind among them; those of one past are of different tables."""
    last = {change.kind: change for change in changes}
    assert set(last) >= {kind for kinds in COMBINED for kind in kinds}
    combined = []
    for kinds in COMBINED:
        rows = dict(past)
        for kind in kinds:
            rows |= {name: table for name, table in last[kind].rows.items() if not table.equals(past[name])}
        combined.append(rows)
    return combined


def log_with_rows(at: CutoffLog, customer: str, rows: counterfactual.Rows) -> CutoffLog:
    """A log in which a customer's past is this one."""

    def put(name: str, table: ibis.Table) -> ibis.Table:
        new = at.engine.store_arrow(f"really_{name}", rows[name])
        return at.engine.store(f"all_{name}", table.filter(table.customer_id != customer).union(new))

    tables = at.tables
    sides = {name: replace(side, rows=put(name, side.rows)) for name, side in tables.sides.items()}
    return replace(at, tables=replace(tables, events=put(EVENTS, tables.events), sides=sides))


def row_of(snapshots: Snapshots, customer: str) -> dict[str, object]:
    """The features of a customer, and the shares."""
    rows = snapshots.rows.filter(pc.equal(snapshots.rows["customer_id"], customer))
    (row,) = rows.drop_columns(["customer_id", "cutoff"]).to_pylist()
    return row


def test_counterfactuals_have_the_features_of_a_log_with_their_rows_and_change_nobody(at: CutoffLog) -> None:
    rows = cohort_of(at)
    past = counterfactual.known_customer_rows(at, CUSTOMER)
    assert all(seen < CUTOFF for table in past.values() for seen in table["seen"].to_pylist())
    assert at.engine.count_rows(counterfactual.known_rows(at, EVENTS)) < at.engine.count_rows(at.tables.events)
    amounts = pa.array([10**12] * past[EVENTS].num_rows, pa.int64())
    huge = past[EVENTS].set_column(past[EVENTS].column_names.index("amount"), "amount", amounts)
    pasts = each_and_all_changes(hypothetical_changes(past, at.tables.contract, at.task, at.cutoff, USUAL), past)
    features = counterfactual.counterfactual_features(at, CUSTOMER, [past, *pasts, *[{**past, EVENTS: huge}] * 20])
    assert features.column_names == [name for name in rows.rows.column_names if name not in ("customer_id", "cutoff")]
    unchanged, *changed = features.to_pylist()
    assert unchanged == row_of(rows, CUSTOMER)
    fitted = {f.name for f in rows.features if f.family == FAMILY} | OF_ALL
    for mine, version in zip(changed, pasts, strict=False):
        real = row_of(cohort_of(log_with_rows(at, CUSTOMER, version)), CUSTOMER)
        assert {name for name in rows.names if name not in fitted and mine[name] != real[name]} == set()
        assert {name: mine[name] for name in fitted} == pytest.approx({name: real[name] for name in fitted}, rel=0.3)
        assert sum(mine[name] != unchanged[name] for name in rows.names) > 20


def test_an_order_written_into_the_log_file_gives_the_same(tmp_path: Path) -> None:
    config, cutoff, customer = make_shop(tmp_path / "shop", customers=60), date(2023, 10, 1), "customer-0007"
    (config.folder / "own.py").write_text(OWN)
    config = config.model_copy(update={"features": FeaturesConfig(own="own.py")})
    with counterfactual.open_at_cutoff(config, cutoff) as at:
        past = counterfactual.known_customer_rows(at, customer)
        changes = [
            c
            for c in hypothetical_changes(past, at.tables.contract, at.task, cutoff, UsualValues())
            if "one more order" in c.words
        ]
        features = counterfactual.counterfactual_features(at, customer, [changes[-1].rows]).to_pylist()[0]
        added = [row for row in changes[-1].rows[EVENTS].to_pylist() if row["order_id"].startswith("imagined")]
    log = pq.read_table(config.folder / "log.parquet")
    lines = [
        {
            "customer": customer,
            "order": "new",
            "channel": row["kind_channel"],
            "time": row["time"],
            "amount": row["amount"] / 10_000,
        }
        for row in added
    ]
    config.folder.joinpath("log.parquet").unlink()
    pq.write_table(
        pa.concat_tables([log, pa.Table.from_pylist(lines, schema=log.schema)]), config.folder / "log2.parquet"
    )
    other = config.model_copy(update={"events": config.events.model_copy(update={"source": "log2.parquet"})})
    rows = build_snapshots(other, [cutoff], with_labels=False)
    real = row_of(rows, customer)
    fitted = {f.name for f in rows.features if f.family == FAMILY} | OF_ALL | {name for name in features if ":" in name}
    assert {name for name in features if name not in fitted and features[name] != real[name]} == set()
    assert (features["recency_days"], features["big_orders"]) == (1.0, real["big_orders"])


def test_a_cheaper_term_of_a_contract_is_as_if_it_had_always_cost_less(tmp_path: Path) -> None:
    config, cutoff = make_contracts(tmp_path / "cover", customers=60), date(2023, 6, 1)
    terms = pq.read_table(config.folder / "terms.parquet").to_pylist()
    customer = next(t["customer"] for t in terms if t["to"] is None and t["from"] < date(2023, 5, 1))
    with counterfactual.open_at_cutoff(config, cutoff) as at:
        past = counterfactual.known_customer_rows(at, customer)
        changes = hypothetical_changes(past, at.tables.contract, at.task, cutoff, UsualValues())
        features = counterfactual.counterfactual_features(
            at, customer, [past, *(change.rows for change in changes)]
        ).to_pylist()
    assert [change.kind for change in changes] == ["cheaper term", "cheaper term", "renewal", "cheaper term"]
    before = row_of(build_snapshots(config, [cutoff], with_labels=False), customer)
    for term in terms:
        term["price"] *= 0.8 if term["customer"] == customer and term["to"] is None else 1
    pq.write_table(pa.Table.from_pylist(terms), config.folder / "cheaper.parquet")
    source = config.subscriptions.model_copy(update={"source": "cheaper.parquet"})
    events = config.events.model_copy(update={"source": "cheaper.parquet"})
    other = config.model_copy(update={"subscriptions": source, "events": events})
    after = row_of(build_snapshots(other, [cutoff], with_labels=False), customer)
    assert features[0] == before
    assert features[2] == after
    assert after["subscription_price"] == pytest.approx(0.8 * before["subscription_price"])
    assert features[3]["subscription_renewal_recency_days"] == 7.0
