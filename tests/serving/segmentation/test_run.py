"""All segments of a scored cutoff: whole, the same bytes again, and what a log lacks left out and said."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.config.load import Config, load_config
from features.errors import UsageError
from features.snapshots.build import build_snapshots
from serving.scoring import value_tiers
from serving.scoring.columns import SCORE_SCHEMA
from serving.segmentation.run import Segmentation, segment_customers
from serving.segmentation.text import segments_text
from tests.contracts import make_contracts
from tests.shop import make_shop

CUTOFF, BEFORE = date(2023, 11, 20), date(2023, 10, 21)
CONTACTS = """
[contacts]
source = "contacts.parquet"
customer = "customer"
time = "time"
action = "action"
cost = "cost"
control = "none"
[segments]
history = 3
clusters = [2, 3]
"""


def put_scores(config: Config, *cutoffs: date) -> pa.Table:
    """Write score tables of cutoffs' cohorts with invented predictions, without models; return the last."""
    built = build_snapshots(config, cutoffs, with_labels=False).rows
    days = built["cutoff"].cast(pa.date32())
    return [_put(config, cutoff, built.filter(pc.equal(days, cutoff))) for cutoff in cutoffs][-1]


def _put(config: Config, cutoff: date, rows: pa.Table) -> pa.Table:
    rng = np.random.default_rng(cutoff.month)
    n, churn = rows.num_rows, rng.random(rows.num_rows)
    worth = rng.gamma(1.0, 100.0, n)
    money = {"value": worth * (1 - churn), "value_at_risk": worth * churn} if config.has_value else {}
    tiers = value_tiers.assign_tiers(worth)
    groups = {"tier": tiers, "segment": value_tiers.assign_segments(tiers, churn, worth)}
    columns = {"customer_id": rows["customer_id"], "cutoff": rows["cutoff"], "churn_probability": churn}
    full = {**columns, **money, **groups}
    table = pa.table({f.name: full.get(f.name, pa.nulls(n, f.type)) for f in SCORE_SCHEMA}, schema=SCORE_SCHEMA)
    folder = config.output / "scores" / f"cutoff={cutoff}"
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "part-00000.parquet")
    digest = hashlib.sha256((folder / "part-00000.parquet").read_bytes()).hexdigest()
    parts = [{"file": "part-00000.parquet", "rows": n, "sha256": digest}]
    manifest = {"cutoff": str(cutoff), "customers": n, "parts": parts, "models": {"churn": {"label": "shop-churn/1"}}}
    (folder / "_manifest.json").write_text(json.dumps(manifest))
    return table


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A shop with contacts, scored at two cutoffs."""
    folder = tmp_path_factory.mktemp("segmented")
    make_shop(folder, customers=200)
    day = datetime(2023, 11, 1)
    rows = [
        {"customer": f"customer-{n:04d}", "time": day, "action": "mail" if n % 3 else "none", "cost": 0.5}
        for n in range(0, 200, 2)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "contacts.parquet")
    path = folder / "regulars.toml"
    path.write_text(path.read_text() + CONTACTS)
    return load_config(path)


@pytest.fixture(scope="module")
def scored(config: Config) -> pa.Table:
    return put_scores(config, BEFORE, CUTOFF)


@pytest.fixture(scope="module")
def segmentation(config: Config, scored: pa.Table) -> Segmentation:
    return segment_customers(config)


def test_every_customer_has_a_group_of_each_sort_and_keeps_the_scores(
    segmentation: Segmentation, scored: pa.Table
) -> None:
    customers = segmentation.tables["customers"].to_pylist()
    assert [row["customer_id"] for row in customers] == scored["customer_id"].to_pylist()
    assert [row["tier"] for row in customers] == scored["tier"].to_pylist()
    assert [row["segment"] for row in customers] == scored["segment"].to_pylist()
    for name in ("r", "f", "m", "rfm_group", "stage", "stage_since", "micro_segment"):
        assert None not in [row[name] for row in customers], name
    assert any(row["channel_preferred"] for row in customers)
    cards = segmentation.tables["segments"].to_pylist()
    for name in ("rfm_group", "stage", "micro_segment", "tier", "segment"):
        counts = Counter(row[name] for row in customers)
        own = {row["segment"]: row for row in cards if row["segmentation"] == name}
        assert {group: row["customers"] for group, row in own.items() if row["customers"]} == dict(counts)
        total = sum(row["value_at_risk"] for row in own.values())
        assert total == pytest.approx(sum(scored["value_at_risk"].to_pylist()))


def test_cards_say_what_became_of_those_of_an_earlier_cutoff(segmentation: Segmentation, config: Config) -> None:
    cards = [row for row in segmentation.tables["segments"].to_pylist() if row["segmentation"] == "stage"]
    (when,) = {row["left_cutoff"] for row in cards}
    labelled = build_snapshots(config, [date.fromisoformat(when)]).rows
    assert sum(row["left_of"] for row in cards) == labelled.num_rows
    left = sum((row["left_share"] or 0) * row["left_of"] for row in cards)
    assert left == pytest.approx(sum(labelled["churned"].to_pylist()))


def test_scores_with_days_of_another_zone_are_refused(segmentation: Segmentation, config: Config) -> None:
    moved = config.model_copy(update={"task": config.task.model_copy(update={"timezone": "Asia/Tokyo"})})
    with pytest.raises(UsageError, match=f"cutoff {CUTOFF} was scored with days that begin in 'UTC'.*`regulars train`"):
        segment_customers(moved, CUTOFF)


def test_transitions_add_up_to_the_cohorts(segmentation: Segmentation, scored: pa.Table) -> None:
    rows = segmentation.tables["transitions"].to_pylist()
    last = [row for row in rows if row["to_cutoff"] == CUTOFF]
    assert {row["segmentation"] for row in last} == {"rfm_group", "stage", "micro_segment", "tier", "segment"}
    for name in ("rfm_group", "stage", "tier"):
        gone = {"stage": "lost"}.get(name, "no longer a customer")
        here = sum(r["customers"] for r in last if r["segmentation"] == name and r["to_segment"] != gone)
        assert here == scored.num_rows
    changes = segmentation.tables["stage_changes"].to_pylist()
    moved = sum(r["customers"] for r in last if r["segmentation"] == "stage" and _moved(r))
    assert moved == sum(row["cutoff"] == CUTOFF for row in changes)


def _moved(row: dict) -> bool:
    return row["from_segment"] not in (row["to_segment"], "not yet a customer")


def test_dated_changes_agree_with_where_customers_stand_now(segmentation: Segmentation) -> None:
    newest = {
        row["customer_id"]: row for row in segmentation.tables["stage_changes"].to_pylist()
    }  # by cutoff: the last stays
    for row in segmentation.tables["customers"].to_pylist():
        change = newest.get(row["customer_id"])
        if change:
            stages = (change["to_stage"], change["from_stage"], change["cutoff"])
            assert stages == (row["stage"], row["stage_before"], row["stage_since"])


def test_the_same_log_gives_the_same_bytes(segmentation: Segmentation, config: Config) -> None:
    before = {path.name: path.read_bytes() for path in segmentation.folder.iterdir()}
    again = segment_customers(config, CUTOFF)
    assert {path.name: path.read_bytes() for path in again.folder.iterdir()} == before
    assert set(before) == {*(f"{name}.parquet" for name in segmentation.tables), "segments.json", "manifest.json"}


def test_the_terminal_tells_it_all(segmentation: Segmentation) -> None:
    text = segments_text(segmentation)
    for words in ("RFM groups", "lifecycle", "micro-segments", "transitions from", "what customers prefer"):
        assert words in text
    assert "mail" in text and "(held out)" in text
    assert "customer-0" not in text
    assert text.count("left out") == 1 and "left out: next kinds: no kind has the name of something sold" in text
    assert max(map(len, text.splitlines())) < 200


def test_cards_are_written_in_another_language_and_codes_stay(
    config: Config, segmentation: Segmentation, tmp_path: Path
) -> None:
    shutil.copytree(config.folder, tmp_path / "zh")
    path = tmp_path / "zh" / "regulars.toml"
    path.write_text('language = "zh"\n' + path.read_text())
    chinese = segment_customers(load_config(path))
    left = "micro_segment"
    assert chinese.tables["customers"].drop_columns(left).equals(segmentation.tables["customers"].drop_columns(left))
    pairs = zip(segmentation.tables["segments"].to_pylist(), chinese.tables["segments"].to_pylist(), strict=True)
    words = {"rule", "sets_apart", "treatment"}
    for before, after in pairs:
        codes = words | {"segment"} if before["segmentation"] == left else words
        assert {k: v for k, v in after.items() if k not in codes} == {k: v for k, v in before.items() if k not in codes}
        words_after = [
            after["treatment"],
            *after["sets_apart"],
            after["segment"] if "segment" in codes else after["treatment"],
        ]
        assert not re.findall("[A-Za-z]{2,}", re.sub("channel|UTC", "", " ".join(words_after))), words_after
        assert len(after["sets_apart"]) == len(before["sets_apart"])
    assert chinese.manifest.left_out == segmentation.manifest.left_out


def _small(folder: Path, money: bool = True, kinds: str = 'kinds = ["channel"]') -> Config:
    """A shop of few customers and windows, and no micro-segments."""
    make_shop(folder, customers=60, money=money)
    path = folder / "regulars.toml"
    text = path.read_text().replace('kinds = ["channel"]', kinds).replace('"30d", "90d"', '"30d"')
    path.write_text(text + "[segments]\nhistory = 1\nclusters = [0, 0]\n")
    return load_config(path)


def test_what_was_not_scored_or_has_changed_is_refused(tmp_path: Path) -> None:
    config = _small(tmp_path)
    with pytest.raises(UsageError, match="regulars score"):
        segment_customers(config)
    put_scores(config, CUTOFF)
    log = pq.read_table(tmp_path / "log.parquet")
    others = log.filter(pc.not_equal(log["customer"], log["customer"][0]))
    pq.write_table(others, tmp_path / "other.parquet")
    path = tmp_path / "regulars.toml"
    path.write_text(path.read_text().replace("log.parquet", "other.parquet"))
    with pytest.raises(UsageError, match=f"regulars score --cutoff {CUTOFF}"):
        segment_customers(load_config(path))
    assert not (config.output / "segments").exists()


def test_without_money_or_kinds_what_is_left_is_told(tmp_path: Path) -> None:
    config = _small(tmp_path, money=False, kinds="")
    put_scores(config, CUTOFF)
    segmentation = segment_customers(config)
    assert not {"m", "micro_segment", "channel_preferred"} & set(segmentation.tables["customers"].column_names)
    assert set(segmentation.tables["segments"]["value"].to_pylist()) == {None}
    text = segments_text(segmentation)
    assert "movement: the log" not in text
    for words in ("money in RFM", "value: there is no money", "names no kinds", "no [contacts]", "tier and segment"):
        assert words in text


def test_a_window_longer_than_the_log_is_told(tmp_path: Path) -> None:
    make_shop(tmp_path, customers=60)
    path = tmp_path / "regulars.toml"
    text = path.read_text().replace('"30d", "90d"', '"30d", "400d"')
    path.write_text(text + '[segments]\nwindow = "400d"\nhistory = 0\nclusters = [0, 0]\n')
    config = load_config(path)
    put_scores(config, CUTOFF)
    segmentation = segment_customers(config)
    assert "the window 400d: the log is shorter than that, 30d stands for it" in segments_text(segmentation)
    assert segmentation.tables["transitions"].num_rows == segmentation.tables["stage_changes"].num_rows == 0


def test_contracts_alone_have_stages_but_no_rfm(tmp_path: Path) -> None:
    config = make_contracts(tmp_path, customers=150)
    cutoff = date(2023, 9, 1)
    table = put_scores(config, cutoff)
    segmentation = segment_customers(config)
    customers = segmentation.tables["customers"]
    assert customers.num_rows == table.num_rows
    assert not {"r", "rfm_group"} & set(customers.column_names)
    assert set(customers["stage"].to_pylist()) <= {"new", "mature"}
    lost = [row for row in segmentation.tables["stage_changes"].to_pylist() if row["to_stage"] == "lost"]
    assert lost and all(row["cutoff"] > cutoff - timedelta(300) for row in lost)
    assert "RFM: the log has no orders" in segments_text(segmentation)
    cards = [row for row in segmentation.tables["segments"].to_pylist() if row["segmentation"] in ("stage", "segment")]
    assert not [row for row in cards if re.search(r"order|buy|purchase", row["rule"] + row["treatment"])]
    assert all(re.search("renew|cancel", row["treatment"]) for row in cards if row["segmentation"] == "segment")
