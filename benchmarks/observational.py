"""Contacts that were not randomised and change nothing: how large an effect on return is found all the same.

Customers of a simulated shop buy at rates of their own until they leave, and no contact changes anything. Contacts go
out by three usual rules, each to a part of the customers whom it meets:

- purchase: on the day after a purchase, such as a message of thanks;
- silence: after 21 days without a purchase, such as a win-back;
- mailing: on every 28th day, the more often the more a customer ordered in the last twelve weeks;
- chance: on any day to 1% of the customers.

The effect is that of `regulars train uplift` with [uplift] observational = true, averaged over customers. In the column
beside it, the same contacts are compared as is often done: those contacted in a week from their contact on, all others
from the begin of the week on, without any adjustment. Both should be 0.

    python benchmarks/observational.py [--seeds 20] [--customers 600]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import t

from features.campaigns.uplift_dataset import build_uplift_dataset
from features.config.load import Config, parse_config
from training.uplift import train
from training.uplift.effects import estimate_effects
from training.uplift.overlap import estimate_propensities

START, DAYS, HORIZON, WEEK = date(2023, 1, 1), 240, 28, 7
RULES = ("purchase", "silence", "mailing", "chance")


def main(arguments: Sequence[str]) -> int:
    """Prints one row a rule."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--customers", type=int, default=600)
    parser.add_argument("--rules", nargs="*", choices=RULES, default=RULES)
    options = parser.parse_args(arguments)
    print(
        "| contacts | sequential trials: points (95% interval of the mean) | intervals with 0 | unadjusted, by week |"
    )
    print("|:---|---:|---:|---:|")
    for rule in options.rules:
        found, naive = [], []
        for seed in range(options.seeds):
            bought, contacted = simulate(rule, options.customers, seed)
            with TemporaryDirectory() as folder:
                found.append(trial_effect(write_config(bought, contacted, Path(folder)), seed))
            naive.append(unadjusted_effect(bought, contacted))
        inside = sum(low <= 0 <= high for _, low, high in found)
        values = np.array([value for value, _, _ in found])
        print(f"| {rule} | {mean_text(values)} | {inside} of {len(found)} | {mean_text(np.array(naive))} |", flush=True)
    return 0


def simulate(rule: str, customers: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Purchases and contacts (customers, days), neither of which depends on the other's effect, since there is none."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1.5, 1 / 40, (customers, 1))
    end = rng.exponential(300, (customers, 1)) + rng.integers(0, 60, (customers, 1))
    days = np.arange(DAYS)
    bought = (rng.random((customers, DAYS)) < 1 - np.exp(-rate)) & (days < end)
    bought[:, 0] = True
    last = np.maximum.accumulate(np.where(bought, days, 0), axis=1)
    silent = days - np.column_stack([np.zeros(customers, int), last[:, :-1]])  # days since the last one before today
    chance = {
        "purchase": 0.4 * (silent == 1),
        "silence": 0.5 * (silent == 21),
        "mailing": (days % 28 == 27) * np.clip(0.15 * orders_before(bought, 84), 0.05, 0.9),
        "chance": np.full(bought.shape, 0.01),
    }[rule]
    return bought, (rng.random((customers, DAYS)) < chance) & (days > 40)


def orders_before(bought: np.ndarray, window: int) -> np.ndarray:
    """Days with a purchase (customers, days) in the window before each day."""
    total = np.cumsum(np.pad(bought, ((0, 0), (1, 0))), axis=1)[:, :-1]
    return total - np.pad(total, ((0, 0), (window, 0)))[:, : bought.shape[1]]


def write_config(bought: np.ndarray, contacted: np.ndarray, folder: Path) -> Config:
    """The log and the contacts as files, and the config of their business."""
    for name, happened, hour, more in (
        ("log", bought, 9, {"amount": 1.0}),
        ("contacts", contacted, 12, {"action": "mail"}),
    ):
        who, days = np.nonzero(happened)
        times = [datetime(START.year, START.month, START.day, hour, tzinfo=UTC) + timedelta(int(day)) for day in days]
        rows = {"customer": [f"c{n}" for n in who], "time": times, **{key: [v] * len(who) for key, v in more.items()}}
        pq.write_table(pa.table(rows), folder / f"{name}.parquet")
    columns = {"customer": "customer", "time": "time"}
    values = {
        "config_version": 1,
        "name": "shop",
        "events": {**columns, "source": "log.parquet", "until": str(START + timedelta(DAYS))},
        "contacts": {**columns, "source": "contacts.parquet", "action": "action"},
        "task": {"horizon": f"{HORIZON}d", "windows": ["28d", "84d"], "active_within": "90d"},
        "uplift": {"observational": True, "folds": 2},
    }
    return parse_config(values, folder / "regulars.toml")


def trial_effect(config: Config, seed: int) -> tuple[float, float, float]:
    """The average effect on return in points, with its 95% confidence interval."""
    experiment = train.experiment_from_trials(build_uplift_dataset(config), config)
    weighted, _ = estimate_propensities(experiment, seed=seed, folds=config.uplift.folds)
    (one,) = estimate_effects(weighted, seed=seed, folds=config.uplift.folds, resamples=2).evaluated
    return 100 * one.average.value, 100 * one.average.low, 100 * one.average.high


def unadjusted_effect(bought: np.ndarray, contacted: np.ndarray) -> float:
    """Returns of those contacted in a week from the contact on, minus those of others from the week on, in points."""
    treated, control = [], []
    for week in range(42, DAYS - HORIZON - WEEK, WEEK):
        active = bought[:, max(week - 90, 0) : week].any(axis=1)
        day = np.where(
            contacted[:, week : week + WEEK].any(axis=1), contacted[:, week : week + WEEK].argmax(axis=1), -1
        )
        for customer in np.flatnonzero(active):
            begin = week + max(day[customer], 0)
            returned = bought[customer, begin : begin + HORIZON].any()
            (treated if day[customer] >= 0 else control).append(returned)
    return float(100 * (np.mean(treated) - np.mean(control)))


def mean_text(values: np.ndarray) -> str:
    """A mean over seeds with its 95% confidence interval (Student-t)."""
    error = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return f"{values.mean():+.1f} ({values.mean() - error:+.1f} to {values.mean() + error:+.1f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
