"""A small simulated shop for the tests of training and serving: each customer has a rate, an end and an order size."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config, load_config

START, DAYS = datetime(2023, 1, 1), 330

CONFIG = """\
config_version = 1
name = "shop"
[events]
source = "log.parquet"
customer = "customer"
time = "time"
{money}
order = "order"
kinds = ["channel"]
[task]
horizon = "30d"
every = "30d"
windows = ["30d", "90d"]
[training]
trials = 2
seed = 5
bootstrap = 50
"""


def make_shop(folder: Path, customers: int = 250, seed: int = 3, money: bool = True) -> Config:
    """Write `log.parquet` and `regulars.toml` into a folder and return the config.

    Args:
        folder: Where to write.
        customers: The number of customers.
        seed: The seed of the simulation.
        money: Whether the log has amounts.

    Returns:
        The config.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(customers):
        rate, size, day = rng.gamma(2.0, 20.0) + 3, rng.lognormal(3, 0.5), rng.uniform(0, 200)
        last_day = day + rng.exponential(250)
        channel = rng.choice(["web", "shop", "app"])
        while day < min(last_day, DAYS):
            amount = round(size * rng.lognormal(0, 0.4), 2)
            time = START + timedelta(days=float(day))
            base = {"customer": f"customer-{number:04d}", "order": f"{number}-{len(rows)}", "channel": channel}
            rows.append({**base, "time": time, "amount": amount})
            if rng.random() < 0.05:
                rows.append({**base, "time": time + timedelta(hours=9), "amount": -amount, "order": f"r{len(rows)}"})
            day += rng.exponential(rate)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "log.parquet")
    (folder / "regulars.toml").write_text(CONFIG.format(money='amount = "amount"' if money else ""), encoding="utf-8")
    return load_config(folder / "regulars.toml")
