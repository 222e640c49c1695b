"""Scores, an evaluation, an audit, segments and plans as the report reads them, with names that try to break a page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config
from serving.report import page as report
from serving.scoring.columns import SCORE_SCHEMA
from serving.scoring.score_tables import MANIFEST
from training.artifact.spread import Spread
from training.evaluation.evaluate import Evaluation

CUTOFF = date(2024, 3, 1)


NASTY = [
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\"'><img src=x onerror=alert(1)>",
    "Ünïcode 客户",
    "{{ 7*7 }}",
]


SPREAD = Spread(0.8, 0.8, (0.0, 1.0), (1.0,), ((0.0, 2.0),), (1.4,), 0.05)


FEATURES = {"recency_days": "days since the last order", "orders_count_90d": "orders in the last 90 days"}


class Tags(HTMLParser):
    """All tags with their attributes, and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def reasons(money: bool) -> list[dict[str, Any]]:
    size = 40.0 if money else 0.123
    return [
        {
            "feature": "recency_days",
            "phrase": "x",
            "reading": "last order 74 days ago & counting",
            "contribution": size,
        },
        {"feature": "orders_count_90d", "phrase": "x", "reading": "<b>no order</b> in 90 days", "contribution": -size},
    ]


def table(n: int, money: bool) -> pa.Table:
    risk = np.linspace(0.02, 0.98, n)
    spend = 1000.0 + np.arange(n)
    ids = [f"customer {place}" for place in range(n)]
    ids[-len(NASTY) :] = NASTY[-n:]
    columns: dict[str, Any] = {
        "customer_id": ids,
        "cutoff": [datetime.combine(CUTOFF, datetime.min.time())] * n,
        "churn_probability": risk,
        "lifecycle": ["active", "dormant"] * (n // 2),
        "tier": ["high", "low"] * (n // 2),
        "segment": ["save first", "maintain"] * (n // 2),
        "churn_reasons": [reasons(False)] * n,
        "value_reasons": [reasons(True) if money else []] * n,
        "churn_model": ["test-churn/1"] * n,
    }
    if money:
        value = (1 - risk) * spend
        columns |= {"value": value, "value_low": value / 2, "value_high": value * 2, "value_at_risk": risk * spend}
        columns["value_model"] = ["test-value/1"] * n
    return pa.table({f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in SCORE_SCHEMA}, schema=SCORE_SCHEMA)


def manifest(money: bool) -> dict[str, Any]:
    rows = [
        {"feature": name, "phrase": f"{phrase} <i>&", "family": name, "strength": 0.05 / place, "direction": direction}
        for place, ((name, phrase), direction) in enumerate(zip(FEATURES.items(), (0.9, -0.1), strict=True), start=1)
    ]
    rows.append({**rows[0], "feature": "overdue_ratio", "phrase": "said already by its family", "strength": 0.001})
    kinds = ["churn", "value"] if money else ["churn"]
    task = {"horizon": "90d", "active_within": "365d"}
    return {
        "name": "test",
        "cutoff": str(CUTOFF),
        "interval": 0.8,
        "spread": asdict(SPREAD) if money else None,
        "segment_rules": 1,
        "data_fingerprint": "abc",
        "models": {k: {"label": f"test-{k}/1", "run_id": "run", "digest": "d", "task": task} for k in kinds},
        "bases": {k: 0.2 for k in kinds},
        "drivers": {k: rows for k in kinds},
    }


def evaluation(money: bool = True) -> Evaluation:
    names = ["auc", "brier", "log_loss"] + (["gini", "total_error", "mae", "coverage"] if money else [])
    figure = {"value": 0.875, "low": 0.8, "high": 0.9, "segment": "all", "customers": 500}
    rows = [
        {"model": model, "metric": name, "cutoff": cutoff, **figure}
        for model in ("regulars", "recency alone")
        for name in names
        for cutoff in ("2023-11-01", "2023-12-01")
    ]
    gaps = [("auc", 0.01, 0.05), ("brier", -0.02, 0.01), ("mae", 0.1, 0.3)]
    differences = [
        {"metric": m, "against": "recency alone", "difference": low, "low": low, "high": high, "cutoff": "2023-12-01"}
        for m, low, high in gaps
    ]
    groups = [
        {"number": "churn", "group": n, "customers": 50, "predicted": n / 12, "actual": n / 11, "cutoff": "2023-12-01"}
        for n in range(1, 11)
    ]
    return Evaluation(pd.DataFrame(rows), pd.DataFrame(differences), pd.DataFrame(groups))


AUDIT = {
    "rows_read": 12345,
    "rows": 12340,
    "customers": 80,
    "orders": 999,
    "first": "2022-01-01",
    "last": "2024-02-29",
    "set_aside": [{"reason": "no customer", "rows": 5, "customers": ["<u>x</u>"]}],
    "duplicate_rows": 0,
    "duplicates_dropped": 0,
    "refund_rows_share": None,
    "refund_amount_share": None,
    "one_time_buyers_share": 0.2,
    "gaps": [{"from": "2023-05-05", "days": 9}],
    "breaches": [],
    "notes": [],
    "fingerprint": "other",
    "complete_until": "2024-03-01",
    "net_amount": None,
    "late_rows": 0,
    "months": [],
    "sides": [],
    "customer_table": None,
    "contracts": None,
}


def read(config: Config) -> str:
    return report.write_report(config).read_text(encoding="utf-8")


def card(name: str, by: str, features: list[str]) -> dict[str, Any]:
    return {
        "segmentation": by, "segment": name, "customers": 40, "share": 0.5, "churn_probability": 0.4, "value": 90.0,
        "value_at_risk": 9.0, "value_low": 80.0, "value_high": 95.0, "left_cutoff": "2023-12-01", "left_of": 30,
        "left_share": 0.2, "left_low": 0.1, "left_high": 0.3, "rule": "r 5", "sets_apart": features,
        "treatment": "write",
    }  # fmt: skip


def write_segments(config: Config, names: list[str], fingerprint: str = "abc") -> None:
    folder = config.output / "segments" / f"cutoff={CUTOFF}"
    folder.mkdir(parents=True)
    segments_manifest = {"models": {"churn": "test-churn/1", "value": "test-value/1"}, "data_fingerprint": fingerprint}
    (folder / "manifest.json").write_text(
        json.dumps({**segments_manifest, "cutoff": str(CUTOFF), "customers": 80, "left_out": []})
    )
    cards = [card(name, by, ["<b>days</b>: 3 against 9"]) for by in ("stage", "segment") for name in names]
    pq.write_table(pa.Table.from_pylist(cards), folder / "segments.parquet")
    moves = [
        {"segmentation": by, "from_cutoff": date(2024, 2, 1), "to_cutoff": CUTOFF, "from_segment": start,
         "to_segment": end, "customers": 7 if start == end else 3, "share": 0.7 if start == end else 0.3}
        for by in ("stage", "segment") for start in names for end in names[:3]
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(moves), folder / "transitions.parquet")


PLANNED = {
    "segments": {}, "rules": {"campaign": "spring"}, "campaign": "spring", "cutoff": str(CUTOFF), "horizon_days": 90,
    "objective": "margin", "bound": 100.0, "gain": 90.0, "gain_low": 50.0, "gain_high": 130.0, "interval": 0.8,
    "loss_probability": 0.07, "break_even": 0.4,
    "spent": 60.0, "budget": 60.0, "assumed": True, "holdout": {"share": 0.1},
    "customers": {"scored": 80, "eligible": 70, "held_out": 7, "with_action": 30},
    "design": {"power": 0.8, "all": {"return": {"detects": 0.12, "expected": 0.01, "power": 0.1}}},
    "actions": {"<i>mail</i>": {"customers": 30, "held_out": 3, "cost": 60.0, "gain": 90.0, "source": "assumed",
                                "save_rate": 0.1}},
}  # fmt: skip


def effect(outcome: str, action: str, low: float | None, **more: Any) -> dict[str, Any]:
    return {"outcome": outcome, "action": action, "estimator": "adjusted", "family": "all", "effect": 0.1, "low": low,
            "high": 0.2, "anytime_low": -9.0, "anytime_high": 9.0, "treated": 30, "held": 3, **more}  # fmt: skip


MEASURED = {
    "effects": [effect("return", "all", 0.05), effect("value", "all", 0.05)],
    "campaign": "spring", "cutoff": "2023-11-01", "log": {},
    "returns": {"all": {"gain": [12.0, 5.0, 20.0]}}, "mature": True, "customers": {},
    "sample_ratio": {"alarm": False}, "contamination": {"contacted": 2, "held_out": 9},
    "exposure": {"mail": {"meant": 10, "got": 2, "share": 0.2}},
}  # fmt: skip


def write_plan(config: Config, cutoff: str = str(CUTOFF), measured: Mapping[str, Any] | None = None) -> Path:
    folder = config.output / "plans" / f"cutoff={cutoff}" / "spring"
    folder.mkdir(parents=True)
    parts = json.loads((config.output / "scores" / f"cutoff={CUTOFF}" / MANIFEST).read_text())["parts"]
    rows = [
        {"customer_id": NASTY[0], "segment": "maintain", "holdout": False,
         "action": "<i>mail</i>", "would_have": "<i>mail</i>",
         "expected_gain": 3.0, "source": "assumed", "assignment": "gets mail"},
        {"customer_id": NASTY[1], "segment": "let go", "holdout": True,
         "action": None, "would_have": "<i>mail</i>", "expected_gain": 0.0,
         "source": "assumed", "assignment": "held out"},
        {"customer_id": NASTY[2], "segment": "let go", "holdout": False,
         "action": None, "would_have": None, "expected_gain": 0.0,
         "source": None, "assignment": "left out: <u>asked</u>"},
    ]  # fmt: skip
    points = [{"budget": b, "gain": 1.5 * b, "price": 3 - b / 30, "customers": int(b)} for b in (30.0, 60.0, 90.0)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "plan.parquet")
    pq.write_table(pa.Table.from_pylist(points), folder / "curve.parquet")
    files = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("plan.parquet", "curve.parquet")
    }
    plan_manifest = {**PLANNED, "cutoff": cutoff, "files": files, "scores": {"parts": parts}}
    (folder / "manifest.json").write_text(json.dumps(plan_manifest))
    if measured:
        (folder / "measured.json").write_text(json.dumps(measured))
    return folder
