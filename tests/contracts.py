"""A small made-up business with contracts: terms that are cancelled, renewed or end by death, and a customer table."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config, load_config

START, DAYS = date(2022, 1, 1), 720
CONFIG = """\
config_version = 1
name = "cover"
[subscriptions]
source = "terms.parquet"
customer = "customer"
start = "from"
end = "to"
reason = "why"
cancelled = ["cancelled"]
{price}
until = "{until}"
[customers]
source = "people.parquet"
customer = "customer"
attributes = ["plan", "age"]
constant = ["plan", "age"]
[task]
churn = "cancelled"
horizon = "60d"
every = "60d"
windows = ["30d", "90d"]
[training]
trials = 0
seed = 5
bootstrap = 50
"""


def make_contracts(folder: Path, customers: int = 400, seed: int = 3, money: bool = True) -> Config:
    """Writes `terms.parquet`, `people.parquet` and `regulars.toml` into a folder and returns the config."""
    rng = np.random.default_rng(seed)
    terms, people = [], []
    for number in range(customers):
        who, plan, age = f"customer-{number:04d}", str(rng.choice(["gold", "basic"])), int(rng.integers(20, 80))
        people.append({"customer": who, "plan": plan, "age": float(age)})
        risk, day, price = (0.0012 if plan == "gold" else 0.004), int(rng.integers(0, 500)), float(rng.integers(5, 30))
        for _ in range(3):
            stays, lives = rng.exponential(1 / risk), rng.exponential(1 / (age * 6e-6))
            term, why = (stays, "cancelled") if stays < lives else (lives, "death")
            end = day + int(term) + 1
            renewed = end < DAYS and why == "cancelled" and rng.random() < 0.2
            over = end < DAYS
            terms.append(
                {"customer": who, "from": on(day), "to": on(end) if over else None, "why": why if over else None}
            )
            terms[-1]["price"] = price
            if not renewed:
                break
            day, price = end + int(rng.choice([0, 3, 40])), price + 1.0
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(terms), folder / "terms.parquet")
    pq.write_table(pa.Table.from_pylist(people), folder / "people.parquet")
    price = 'price = "price"\nprice_every = "30d"' if money else ""
    text = CONFIG.format(price=price, until=START + timedelta(DAYS))
    (folder / "regulars.toml").write_text(text, encoding="utf-8")
    return load_config(folder / "regulars.toml")


def on(day: int) -> date:
    """The date of a day of the log."""
    return START + timedelta(day)
