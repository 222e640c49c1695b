"""A business with an invented score table, for tests of the steps after scoring; nothing is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config, parse_config
from serving.scoring.columns import REASON_TYPE, SCORE_SCHEMA
from serving.scoring.score_tables import MANIFEST

CUTOFF = date(2024, 3, 1)
SEGMENTS = ("save first", "keep", "let go")
TIERS = ("high", "middle", "low")


def make_scored(
    folder: Path, sections: Mapping[str, Any], customers: int = 300, seed: int = 4, money: bool = True
) -> Config:
    """Write a log and `output/scores/cutoff=2024-03-01/` for customers c000, c001, ...; return the config.

    Args:
        folder: Where to write.
        sections: Further sections of the config.
        customers: The number of customers.
        seed: The seed of the random scores.
        money: Whether the log has amounts.

    Returns:
        The config.
    """
    events = {
        "source": "log.parquet",
        "customer": "customer",
        "time": "time",
        **({"amount": "amount"} if money else {}),
    }
    base = {"config_version": 1, "name": "shop", "events": events, "task": {"horizon": "30d", "windows": ["30d"]}}
    config = parse_config({**base, **sections}, folder / "regulars.toml")
    rng = np.random.default_rng(seed)
    churn, spend = rng.uniform(0, 1, customers), rng.lognormal(3, 1, customers)
    reason = {"feature": "f", "phrase": "p", "reading": "last order 9 days ago", "contribution": 0.1}
    columns = {
        "customer_id": [f"c{i:03d}" for i in range(customers)],
        "cutoff": [datetime(CUTOFF.year, CUTOFF.month, CUTOFF.day)] * customers,
        "churn_probability": churn,
        "value": (1 - churn) * spend if money else None,
        "value_low": (1 - churn) * spend * 0.5 if money else None,
        "value_high": (1 - churn) * spend * 2 if money else None,
        "value_at_risk": churn * spend if money else None,
        "tier": [TIERS[i % 3] for i in range(customers)],
        "segment": [SEGMENTS[i % 3] for i in range(customers)],
        "churn_reasons": pa.array([[reason, reason]] * customers, pa.list_(REASON_TYPE)),
    }
    present = {name: column for name, column in columns.items() if column is not None}
    table = pa.table(
        {f.name: present.get(f.name, pa.nulls(customers, f.type)) for f in SCORE_SCHEMA}, schema=SCORE_SCHEMA
    )
    orders = [
        {"customer": f"c{i:03d}", "time": datetime(2024, 2, 1 + i % 29), "amount": spend[i], "order": i, "channel": "x"}
        for i in range(customers)
    ]
    pq.write_table(pa.Table.from_pylist(orders), folder / "log.parquet")
    scores_folder = config.output / "scores" / f"cutoff={CUTOFF}"
    scores_folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, scores_folder / "part-00000.parquet")
    digest = hashlib.sha256((scores_folder / "part-00000.parquet").read_bytes()).hexdigest()
    parts = [{"file": "part-00000.parquet", "rows": customers, "sha256": digest}]
    manifest = {"cutoff": str(CUTOFF), "customers": customers, "parts": parts, "data_fingerprint": "d", "models": {}}
    (scores_folder / MANIFEST).write_text(json.dumps(manifest))
    return config
