"""The folders that all targets share: a tiny business with everything that commands read, and copies of it to spoil."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import load_config
from features.config.sections import EngineConfig
from features.engines.base import Engine
from features.engines.open import open_engine
from features.storage.json_files import file_digest
from serving.scoring.columns import SCORE_SCHEMA
from serving.scoring.score_tables import MANIFEST
from tests.campaigns import make_executed_plan
from tests.fuzz.command import CANARY, run_command
from tests.fuzz.toml import toml_text
from tests.scored import CUTOFF
from tests.shop import make_shop
from tests.webpages import DRIVERS, MODELS

CUSTOMERS, DAYS = 60, 40
TRAINED_DAY, TRAINED_CUSTOMER = "2023-11-27", "customer-0001"  # of the shop that is trained
CONFIG: Mapping[str, Any] = {  # every section, so that every key can be set to something odd
    "config_version": 1,
    "name": "shop",
    "language": "en",
    "events": {"source": "log.parquet", "customer": "customer", "time": "time", "amount": "amount"},
    "activities": {"visits": {"source": "visits.csv", "customer": "who", "time": "at", "measure": "minutes",
    "kinds": ["page"]}},
    "customers": {"source": "people.parquet", "customer": "id", "attributes": ["age", "plan"], "personal": ["email"]},
    "contacts": {"source": "contacts.parquet", "customer": "id", "time": "at", "action": "what", "cost": "cost",
    "control": "none"},
    "features": {"cache": ""},
    "task": {"horizon": "30d", "every": "30d", "windows": ["30d"], "active_within": "365d"},
    "engine": {"kind": "duckdb", "threads": 1},
    "training": {"trials": 0, "seed": 5, "bootstrap": 50, "promote": {"champion": "ahead"}},
    "uplift": {"folds": 2},
    "tracking": {"uri": "mlruns"},  # files, since a new database takes seconds
    "serving": {"output": "output", "reasons": 3},
    "plan": {
        "margin": 0.5, "holdout": 0.3, "curve": 3, "budget": 40.0,
        "actions": {"mail": {"cost": 0.5, "save_rate": 0.1}, "call": {"cost": 2.0, "save_rate": 0.6, "capacity": 10}},
        "exclude": [{"why": "staff", "customers": ["c001"]}, {"why": "asked", "ids": "optout.csv"}],
    },
    "segments": {"history": 1, "clusters": [0, 0]},
    "monitor": {"psi": 0.2},
    "privacy": {"hash_ids": False},
    "run": {"train_first": False, "report": True},
}  # fmt: skip
CONTRACTS: Mapping[str, Any] = {
    "config_version": 1,
    "name": "cover",
    "subscriptions": {
        "source": "terms.parquet", "customer": "customer", "start": "from", "end": "to", "reason": "why",
        "cancelled": ["cancelled"],
        "price": "price", "price_every": "30d", "until": "2024-04-10",
    },
    "customers": {"source": "people.parquet", "customer": "id", "attributes": ["plan"], "constant": ["plan"]},
    "task": {"churn": "cancelled", "horizon": "30d", "every": "30d", "windows": ["30d"]},
    "engine": {"threads": 1},
}  # fmt: skip


@dataclass
class Workspace:
    """A folder for fuzzing.

    Attributes:
        root: The folder; nothing outside is written.
        trained: A business with registered models; None in the short form.
    """

    root: Path
    trained: Path | None = None
    _number: int = field(default=0, repr=False)

    @property
    def scored(self) -> Path:
        """The business with scores, segments, a measured plan, monitoring and a report. Copy it to change it."""
        return self.root / "scored"

    @contextmanager
    def copy(self) -> Iterator[Path]:
        """A copy of the scored business, removed at the end."""
        with self.folder() as folder:
            shutil.copytree(self.scored, folder, symlinks=True, dirs_exist_ok=True)
            yield folder

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder, deep enough that `../..` stays inside, removed at the end."""
        self._number += 1
        parent = self.root / "cases" / "a" / "b" / f"{self._number}"
        folder = parent / "case"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(parent, ignore_errors=True)

    @cached_property
    def engine(self) -> Engine:
        """One engine for what calls functions directly; its tables are stored under the same names again and again."""
        return open_engine(EngineConfig(threads=1), self.root).__enter__()


def make_workspace(root: Path, customers: int = CUSTOMERS, results: bool = True) -> Workspace:
    """Makes the scored business; with `results` also what commands make of the scores."""
    workspace = Workspace(root)
    (root / "home").mkdir(parents=True)
    os.environ["HOME"] = str(root / "home")  # for paths that begin with ~
    folder = workspace.scored
    folder.mkdir()
    make_executed_plan(folder, days=DAYS, customers=customers)
    _complete_scores(folder / "output" / "scores" / f"cutoff={CUTOFF}")
    _write_side_tables(folder, customers)
    (folder / "regulars.toml").write_text(toml_text(CONFIG), encoding="utf-8")
    (folder / "contracts.toml").write_text(toml_text(CONTRACTS), encoding="utf-8")
    load_config(folder / "regulars.toml")
    for command in (["check"], ["measure", str(CUTOFF)], ["segments"], ["monitor"], ["report"]) if results else ():
        outcome = run_command(folder, *command)
        assert outcome.code == 0 or command == ["monitor"], outcome.text  # which exits 1 while an alert is open
    return workspace


def open_workspace(root: Path) -> Workspace:
    """The workspace that another process has made."""
    os.environ["HOME"] = str(root / "home")
    return Workspace(root, root / "trained" if (root / "trained").is_dir() else None)


def add_trained(workspace: Workspace) -> None:
    """Makes a small shop with registered and scored models, for the long form; takes about half a minute."""
    folder = workspace.root / "trained"
    make_shop(folder, customers=120)
    text = (folder / "regulars.toml").read_text(encoding="utf-8")
    (folder / "regulars.toml").write_text(text.replace("trials = 2", "trials = 0"), encoding="utf-8")
    for command in (["train"], ["promote"], ["score", "--cutoff", TRAINED_DAY]):
        run_command(folder, *command)
    assert (folder / "output" / "scores").is_dir()
    workspace.trained = folder


def _complete_scores(scores: Path) -> None:
    """Give the scores what `tests.scored` leaves out: tiers, stages, intervals and reasons."""
    file, manifest = scores / "part-00000.parquet", json.loads((scores / MANIFEST).read_text())
    rows = pq.ParquetFile(file).read().to_pylist()
    why = {"feature": "recency_days", "phrase": "days since the last order", "reading": "last order 9 days ago"}
    for number, row in enumerate(rows):
        row["tier"], row["lifecycle"] = ("high", "middle", "low")[number % 3], ("active", "new")[number % 2]
        row["value_low"], row["value_high"] = row["value"] * 0.5, row["value"] * 2
        row["churn_reasons"] = [{**why, "contribution": row["churn_probability"] - 0.5}]
        row["value_reasons"] = [{**why, "contribution": row["value"] - 10.0}]
    pq.write_table(pa.Table.from_pylist(rows, SCORE_SCHEMA), file)
    manifest["parts"] = [{**manifest["parts"][0], "sha256": file_digest(file)}]
    manifest |= {"models": MODELS, "drivers": {"churn": DRIVERS}, "bases": {"churn": 0.5, "value": 10.0}, "run": "r"}
    (scores / MANIFEST).write_text(json.dumps(manifest))


def _write_side_tables(folder: Path, customers: int) -> None:
    """Tables beside the log: people, visits, contracts and an opt-out list."""
    rng, start = np.random.default_rng(3), datetime(2024, 2, 1)
    ids = [f"c{n:03d}" for n in range(customers)]
    people = [
        {"id": name, "age": float(20 + n), "plan": ("gold", "basic")[n % 2], "email": CANARY}
        for n, name in enumerate(ids)
    ]
    pq.write_table(pa.Table.from_pylist(people), folder / "people.parquet")
    visits = [
        f"{name},{start + timedelta(days=int(rng.integers(0, 60)))},{n % 9},p{n % 3}" for n, name in enumerate(ids)
    ]
    (folder / "visits.csv").write_text("\n".join(["who,at,minutes,page", *visits]) + "\n", encoding="utf-8")
    terms = [
        {
            "customer": name,
            "from": start + timedelta(days=n % 20),
            "to": start + timedelta(days=40 + n % 20) if n % 3 == 0 else None,
            "why": "cancelled" if n % 3 == 0 else None,
            "price": 10.0,
        }
        for n, name in enumerate(ids)
    ]
    pq.write_table(pa.Table.from_pylist(terms), folder / "terms.parquet")
    (folder / "optout.csv").write_text("customer_id\nc002\nc003\n", encoding="utf-8")
