"""A small business with a steady log and made-up scores, night by night, to be monitored: nothing is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config, parse_config
from serving.scoring.columns import SCORE_SCHEMA
from serving.scoring.score_tables import MANIFEST

START, DAYS, CUSTOMERS, A_DAY = datetime(2024, 1, 1), 200, 120, 12
CUTOFF = date(2024, 7, 19)  # the day after the last one of the log
LEARNED_UNTIL = date(2024, 5, 1)  # before the cutoffs that tests evaluate
SEGMENTS = ("save first", "keep", "let go")


def rows(days: int = DAYS, seed: int = 5, start: int = 0) -> list[dict[str, Any]]:
    """A log of days [start, days): every customer orders at the same rate, all along."""
    rng = np.random.default_rng(seed)
    log = []
    for day in range(days):
        for number in range(rng.poisson(A_DAY)):
            row = {
                "customer": f"secret-{rng.integers(CUSTOMERS):03d}",
                "time": START + timedelta(days=day, minutes=int(rng.integers(1440))),
                "amount": round(float(rng.lognormal(3, 0.5)), 2),
                "order": f"{day}-{number}",
                "channel": str(rng.choice(["web", "shop"])),
            }
            if day >= start:
                log.append(row)
    return log


def write_log(config: Config, log: Sequence[Mapping[str, Any]]) -> None:
    """Puts a log in its place."""
    types = {"customer": "string", "time": pa.timestamp("us"), "amount": "float64", "order": "string"}
    schema = pa.schema(list({**types, "channel": "string"}.items()))
    pq.write_table(pa.Table.from_pylist([dict(row) for row in log], schema=schema), config.folder / "log.parquet")


def make_nights(folder: Path, sections: Mapping[str, Any] | None = None, log: Any = None) -> Config:
    """Writes the log; returns the config."""
    folder.mkdir(parents=True, exist_ok=True)
    events = {"source": "log.parquet", "customer": "customer", "time": "time", "amount": "amount", "order": "order",
              "kinds": ["channel"]}  # fmt: skip
    task = {"horizon": "30d", "every": "30d", "windows": ["30d"]}
    base = {"config_version": 1, "name": "nights", "events": events, "task": task, **(sections or {})}
    config = parse_config(base, folder / "regulars.toml")
    write_log(config, rows() if log is None else log)
    return config


def score(
    config: Config,
    cutoff: date,
    churn: Sequence[float] | None = None,
    customers: int = CUSTOMERS,
    learned_until: date = LEARNED_UNTIL,
) -> None:
    """Writes made-up scores of a cutoff."""
    rng = np.random.default_rng(cutoff.toordinal())
    risk = rng.uniform(0.045, 0.055, customers) if churn is None else np.asarray(churn, float)
    spend = rng.lognormal(4.2, 0.3, customers)
    given = {
        "customer_id": [f"secret-{i:03d}" for i in range(customers)],
        "cutoff": [datetime(cutoff.year, cutoff.month, cutoff.day)] * customers,
        "churn_probability": risk,
        "value": (1 - risk) * spend,
        "value_at_risk": risk * spend,
        "lifecycle": ["active"] * customers,
        "tier": ["low"] * customers,
        "segment": [SEGMENTS[i % 3] for i in range(customers)],
    }
    table = pa.table(
        {f.name: given.get(f.name, pa.nulls(customers, f.type)) for f in SCORE_SCHEMA}, schema=SCORE_SCHEMA
    )
    place = config.output / "scores" / f"cutoff={cutoff}"
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, place / "part-00000.parquet")
    digest = hashlib.sha256((place / "part-00000.parquet").read_bytes()).hexdigest()
    model = {"label": "nights-churn/1", "run_id": "r", "digest": "d", "task": {"horizon": "30d"},
             "learned_until": str(learned_until)}  # fmt: skip
    parts = [{"file": "part-00000.parquet", "rows": customers, "sha256": digest}]
    manifest = {"cutoff": str(cutoff), "customers": customers, "parts": parts, "models": {"churn": model},
                "drivers": {"churn": [{"feature": "amount_sum_30d", "strength": 1.0}]}}  # fmt: skip
    (place / MANIFEST).write_text(json.dumps(manifest))
