"""An output folder as the nightly chain leaves it, small and made up, and the web page over it without a server."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config, load_config
from serving.language.messages import get_language
from serving.measurement.measure import measure_plan
from serving.segmentation import transitions
from serving.web.access_tokens import AccessToken, FixedToken
from serving.web.parts.output_reader import open_site
from serving.web.routes import create_application
from serving.web.security import LOCAL
from serving.web.token_door import TokenDoor
from tests.campaigns import make_executed_plan
from tests.scored import CUTOFF

EARLIER = date(2024, 2, 1)
HOSTILE = ("<script>alert(1)</script>", "=1+1", "a/../b?c=d&e#f", "客户 '一' %00", '"><img src=x onerror=alert(2)>')
TOML = """\
config_version = 1
name = "shop"
language = "{language}"
[events]
source = "log.parquet"
customer = "customer"
time = "time"
amount = "amount"
query = "SELECT *, 'toys' AS category FROM source"
kinds = ["category"]
[task]
horizon = "30d"
windows = ["30d"]
[contacts]
source = "contacts.parquet"
customer = "id"
time = "at"
action = "what"
cost = "cost"
control = "none"
[plan]
margin = 0.5
holdout = 0.3
curve = 3
[plan.actions.mail]
cost = 0.5
save_rate = 0.1
[plan.actions.call]
cost = 2.0
save_rate = 0.6
"""
TASK = {"horizon": "30d", "active_within": "365d", "churn": "inactive"}
MODELS = {
    kind: {"label": f"shop-{kind}/1", "digest": "d1", "run_id": "r1", "task": TASK} for kind in ("churn", "value")
}
DRIVERS = [
    {
        "feature": "recency_days",
        "phrase": "days since the last order",
        "family": "silence",
        "strength": 0.1,
        "direction": 0.9,
    },
    {"feature": "orders", "phrase": "orders <so far>", "family": "orders", "strength": 0.05, "direction": -0.8},
]
ALERT = {
    "id": "a1",
    "severity": "critical",
    "title": "Risk moved <i>",
    "text": "the mean risk rose",
    "since": "2024-02-01",
    "action": "retrain",
    "todo": "train again",
    "segment": "keep",
}


@dataclass(frozen=True)
class Answer:
    """What a page answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def make_pages(folder: Path) -> Config:
    """A business of 300 customers: two scored cutoffs, groups, effects, a measured plan, monitoring, a card."""
    config = make_executed_plan(folder).config
    (folder / "regulars.toml").write_text(TOML.format(language="en"), encoding="utf-8")
    measure_plan(config, str(CUTOFF))
    for day, shift in ((EARLIER, 0.2), (CUTOFF, 0.0)):
        _score(config.output, day, shift)
    _tables_beside_scores(config.output)
    _monitoring(config.output)
    return load_config(folder / "regulars.toml")


def in_language(config: Config, code: str) -> Config:
    """The same business with its pages in a language."""
    return config.model_copy(update={"language": code})


def app_of(config: Config, token: str | AccessToken = "", **guard: Any) -> Any:
    """The pages of a config's output folder; with a token behind its door."""
    opens = FixedToken(token) if isinstance(token, str) else token
    door = TokenDoor(opens, get_language(config.language)) if token else None
    return create_application(open_site(config), **{"hosts": LOCAL, "door": door, **guard})


def fetch(
    app: Any,
    address: str,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    body: bytes = b"",
    client: str = "127.0.0.1",
) -> Answer:
    """Asks the pages for an address, as a server would."""
    path, _, query = address.partition("?")
    given = {"host": "localhost", **(headers or {})}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "server": ("localhost", 80),
        "client": (client, 50000),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))


def _score(output: Path, day: date, shift: float) -> None:
    """The score table of a day from that of CUTOFF: some ids are hostile, and reasons add up with the contributions."""
    place = output / "scores" / f"cutoff={day}"
    if not place.exists():
        place.mkdir()
    rows = pq.ParquetFile(output / "scores" / f"cutoff={CUTOFF}" / "part-00000.parquet").read().to_pylist()
    if day == CUTOFF:
        rows = [
            {**row, "customer_id": HOSTILE[n] if n < len(HOSTILE) else row["customer_id"]} for n, row in enumerate(rows)
        ]
    schema = pq.read_schema(output / "scores" / f"cutoff={CUTOFF}" / "part-00000.parquet")
    for number, row in enumerate(rows):
        row["cutoff"] = datetime(day.year, day.month, day.day)
        row["churn_probability"] = min(max(row["churn_probability"] - shift, 0.001), 0.999)
        row["tier"] = ("high", "middle", "low")[number % 3]
        row["lifecycle"] = ("active", "slipping")[number % 2]
        row["value_low"], row["value_high"] = row["value"] * 0.5, row["value"] * 2
        why = {"feature": "recency_days", "phrase": "days since the last order", "reading": "last order <9> days ago"}
        row["churn_reasons"] = [{**why, "contribution": row["churn_probability"] - 0.5 + 0.01}]
        row["value_reasons"] = [{**why, "contribution": row["value"] - 10.0}]
    rows.sort(key=lambda row: row["customer_id"])
    half = len(rows) // 2
    parts = [_written(place, n, pa.Table.from_pylist(r, schema)) for n, r in enumerate((rows[:half], rows[half:]))]
    manifest: dict[str, Any] = {
        "cutoff": str(day),
        "customers": len(rows),
        "parts": parts,
        "data_fingerprint": "d",
        "interval": 0.8,
        "bases": {"churn": 0.5, "value": 10.0},
        "models": MODELS,
        "run": f"run {day}",
        "drivers": {"churn": DRIVERS, "value": DRIVERS},
    }
    if day == CUTOFF:
        manifest["contributions"] = {"churn": _contributions(output, day, (rows[:half], rows[half:]))}
    (place / "_manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def _contributions(output: Path, day: date, halves: Any) -> list[dict[str, Any]]:
    place = output / "contributions" / "churn" / f"cutoff={day}"
    place.mkdir(parents=True)
    parts = []
    for number, rows in enumerate(halves):
        rows_written = [
            {
                "customer_id": row["customer_id"],
                "base": 0.5,
                "recency_days": row["churn_probability"] - 0.49,
                "orders": -0.01,
                "total": row["churn_probability"],
            }
            for row in rows
        ]
        parts.append(_written(place, number, pa.Table.from_pylist(rows_written)))
    return parts


def _written(place: Path, number: int, table: pa.Table) -> dict[str, Any]:
    file = place / f"part-{number:05d}.parquet"
    pq.write_table(table, file)
    return {"file": file.name, "rows": table.num_rows, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def _tables_beside_scores(output: Path) -> None:
    """Groups of CUTOFF with movement, what comes next, and effects."""
    place = output / "segments" / f"cutoff={CUTOFF}"
    place.mkdir(parents=True)
    ids = pq.read_table(output / "plans" / f"cutoff={CUTOFF}" / "retention" / "plan.parquet")["customer_id"].to_pylist()
    groups = [
        {
            "customer_id": name,
            "r": 1 + n % 5,
            "f": 1,
            "m": None,
            "rfm_group": ("champions", "lost")[n % 2],
            "stage": "mature",
            "micro_segment": "m",
            "stage_since": CUTOFF,
            "category_preferred": "toys",
            "category_preferred_share": 0.8,
        }
        for n, name in enumerate(ids)
    ]
    pq.write_table(pa.Table.from_pylist(groups), place / "customers.parquet")
    card = {
        "segmentation": "rfm_group",
        "customers": 150,
        "share": 0.5,
        "churn_probability": 0.4,
        "value": 100.0,
        "value_low": 90.0,
        "value_high": 110.0,
        "value_at_risk": 20.0,
        "left_share": 0.2,
        "left_low": 0.1,
        "left_high": 0.3,
        "rule": "r 5",
        "sets_apart": ["orders: 9 against 2"],
        "treatment": "thank them",
    }
    cards = [{**card, "segment": "champions"}, {**card, "segment": "lost", "sets_apart": None}]
    pq.write_table(pa.Table.from_pylist(cards), place / "segments.parquet")
    moves = [("champions", "champions", 100), ("champions", "lost", 50), ("lost", "champions", 30)]
    transition_rows = [
        {
            "segmentation": "rfm_group",
            "from_cutoff": EARLIER,
            "to_cutoff": CUTOFF,
            "from_segment": a,
            "to_segment": b,
            "customers": n,
            "share": n / 150,
            "share_low": 0.1,
            "share_high": 0.9,
        }
        for a, b, n in moves
    ]
    pq.write_table(pa.Table.from_pylist(transition_rows, transitions.TRANSITIONS_SCHEMA), place / "transitions.parquet")
    rule = {
        "customer_id": ids[10],
        "kind": "category",
        "next": "garden",
        "because": "toys",
        "confidence": 0.4,
        "lift": 1.7,
    }
    pq.write_table(pa.Table.from_pylist([rule]), place / "next_kind.parquet")
    effects = output / "uplift" / f"cutoff={CUTOFF}"
    effects.mkdir(parents=True)
    one = {
        "action": "mail",
        "effect_return": 0.02,
        "effect_value": 3.0,
        "effect_value_error": None,
        "source": "measured",
    }
    pq.write_table(pa.Table.from_pylist([{**one, "customer_id": name} for name in ids]), effects / "effects.parquet")


def _monitoring(output: Path) -> None:
    """A night's findings, a nightly run, and a card."""
    place = output / "monitor" / f"cutoff={CUTOFF}"
    place.mkdir(parents=True)
    figures = {"metric": "auc", "segment": None, "estimated": 0.8, "estimated_low": 0.7, "estimated_high": 0.9}
    findings = {
        "cutoff": str(CUTOFF),
        "language": "en",
        "alerts": [{**ALERT, "severity": "info", "title": "later"}, ALERT],
        "data": [{"name": "rows", "value": 1000, "low": 900, "high": None, "ok": True, "note": ""}],
        "drift": [
            {
                "what": "feature",
                "name": "recency_days",
                "phrase": "days since the last order",
                "psi": 0.3,
                "noise": 0.05,
                "distance": 0.1,
                "reference": "2024-01-01",
                "moved": True,
            }
        ],
        "performance": [
            {**figures, "cutoff": str(EARLIER), "realised": 0.82, "realised_low": 0.8, "realised_high": 0.84},
            {**figures, "cutoff": str(CUTOFF), "realised": None, "realised_low": None, "realised_high": None},
        ],
        "calibration": [{"cutoff": str(EARLIER), "said": 0.4, "came": 0.42, "low": 0.3, "high": 0.5, "customers": 300}],
        "segments": [
            {"segment": "keep", "customers": 100, "churn": 0.3, "value": 9.0, "churn_before": 0.2, "value_before": 8.0}
        ],
    }
    (place / "monitor.json").write_text(json.dumps(findings), encoding="utf-8")
    (output / "runs").mkdir()
    steps = [{"name": "check", "state": "done", "seconds": 1.0, "note": ""}, {"name": "score", "state": "failed"}]
    run = {"cutoff": str(CUTOFF), "started": "2024-03-01T02:00:00", "steps": steps, "alerts": 1}
    (output / "runs" / f"{CUTOFF}.json").write_text(json.dumps(run), encoding="utf-8")
    (output / "model_card.md").write_text("# A <card>\n\n| a |  |\n| :--- | ---: |\n| `x` | 1 |\n", encoding="utf-8")


def numbers(config: Config, day: date = CUTOFF) -> dict[str, np.ndarray]:
    """The score table of a cutoff as arrays, for oracles."""
    table = pa.concat_tables(
        pq.ParquetFile(path).read() for path in sorted((config.output / "scores" / f"cutoff={day}").glob("*.parquet"))
    )
    return {
        name: np.array(table[name].to_pylist(), object)
        for name in ("customer_id", "value", "churn_probability", "segment")
    }
