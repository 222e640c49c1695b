"""False and true alerts of the monitor in simulated businesses, each drawn anew.

Customers come and go at random, order at rates of their own, have tastes of their own, and nothing changes until day
CHANGE. Two parts:

- `behaviour`: the checks of behaviour alone, at the sizes of a real business. Without a change, an alert at the first
  night or at one of the two cutoffs after it is false. With one, it must be found at one of the two cutoffs after it,
  four weeks apart. The changes are relative: so many per cent more customers stay away for four weeks, a mean order is
  worth so much more, a category has so much more of the order lines.
- `nights`: everything that `regulars monitor` does, on a log on disk, at the same three cutoffs, without a change. One
  champion, trained on a business of the same law that is LARGER times as large, so that its level is that of the law,
  scores all of them; with `--own`, each business trains its own champion, which takes three times as long.

    python benchmarks/monitoring.py [--part behaviour|nights] [--businesses N] [--customers N] [--change SHARE]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.optimize import brentq

from features.audit.behaviour_profile import PERIOD, BehaviourProfile, away_rates, ratio_rates
from features.config.load import Config, parse_config
from features.config.monitor import MonitorConfig
from serving.language.messages import get_language
from serving.monitoring.behaviour import behaviour_checks
from serving.monitoring.monitor import monitor_scores
from serving.scoring.run import score_customers
from serving.statistics.proportions import wilson_estimate
from training.train import train_models

START, CHANGE = date(2022, 1, 3), 26 * PERIOD  # the first day, and the day of the change, counted from it
NIGHTS = (CHANGE, CHANGE + PERIOD, CHANGE + 2 * PERIOD)  # the first night, and two cutoffs with the change in them
COHORT = 13  # periods before a period whose buyers are the cohort: a year
LARGER = 8  # times as many customers has the business of the shared champion
CATEGORIES, TASTE = 5, 1.2  # categories; concentration of tastes (Dirichlet): the smaller, the more of one's own
CHANGES = ("none", "away", "amount", "category")


@dataclass(frozen=True)
class Law:
    """How customers of a business behave.

    Attributes:
        rate: Orders a day of a living customer, mean of a gamma distribution of shape 1.5.
        hazard: Hazard of leaving a day, mean of a gamma distribution of shape 1.5.
        spread: Spread of order amounts around a customer's mean, and of these means, on the log scale.
    """

    rate: float = 0.05
    hazard: float = 0.002
    spread: float = 0.5


@dataclass(frozen=True)
class Orders:
    """The orders of a business, one entry each: customer, day from the start, amount, category."""

    who: np.ndarray
    day: np.ndarray
    amount: np.ndarray
    category: np.ndarray
    customers: int

    def kept(self, keep: np.ndarray) -> Orders:
        """Some of the orders."""
        return replace(
            self, who=self.who[keep], day=self.day[keep], amount=self.amount[keep], category=self.category[keep]
        )


def main(arguments: Sequence[str]) -> int:
    """Prints the figures of one part, or of both."""
    options = _options(arguments)
    if options.part in ("behaviour", "both"):
        measure_behaviour(options.businesses, options.customers, options.change, options.seed)
    if options.part in ("nights", "both"):
        measure_nights(options.businesses, options.customers, options.seed, options.own)
    return 0


def measure_behaviour(businesses: int, customers: int, change: float, seed: int) -> None:
    """Prints the share of businesses with an alert, without and with each change."""
    begun, alerts = time.monotonic(), Counter[str]()
    for number in range(businesses):
        rng = np.random.default_rng([seed, number])
        law = Law(rate=float(rng.uniform(0.03, 0.08)), hazard=float(rng.uniform(0.001, 0.003)))
        orders, people = draw_orders(customers, law, rng)
        for what in CHANGES:
            changed = apply_change(orders, people, what, change, rng)
            nights = NIGHTS if what == "none" else NIGHTS[1:]
            found = [name for night in nights for name in alerts_of_behaviour(changed, night)]
            alerts[what] += any(_is_about(name, what) for name in found)
    print(f"behaviour: {businesses} businesses of {customers:,} customers, a relative change of {change:.0%}")
    print("| change | businesses with an alert | 95% confidence interval |\n|:---|---:|---:|")
    for what in CHANGES:
        print(_row(what, alerts[what], businesses))
    print(f"({time.monotonic() - begun:.0f} s)", file=sys.stderr)


def measure_nights(businesses: int, customers: int, seed: int, own: bool) -> None:
    """Prints the share of unchanged businesses with any alert of the whole monitor, and which alerts.

    Args:
        businesses: How many.
        customers: Customers of each.
        seed: The source of randomness.
        own: Whether each business trains its own champion; else one is trained on a larger business of the same law.
    """
    alerts, kinds = Counter[int](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{Path(folder) / 'mlflow.db'}"
        if not own:
            rng = np.random.default_rng([seed, 1, 0])
            train_until_change(write_business(Path(folder) / "trained", store, LARGER * customers, rng, "shared"))
        for number in range(1, businesses + 1):
            rng = np.random.default_rng([seed, 1, number])
            name = f"business{number}" if own else "shared"
            config = write_business(Path(folder) / f"b{number}", store, customers, rng, name)
            if own:
                train_until_change(config)
            titles = []
            for night in NIGHTS:
                log_until(config, night)
                score_customers(config, START + timedelta(night))
                new = [alert.title for alert in monitor_scores(config, START + timedelta(night)).new]
                alerts[night] += bool(new)
                titles += new
            alerts[-1] += bool(titles)
            kinds.update(titles)
            shutil.rmtree(config.folder)
            print(f"{number}: {titles or 'no alert'}", file=sys.stderr, flush=True)
    print(f"nights: {businesses} businesses of {customers:,} customers, without a change, everything monitored")
    print("| cutoff | businesses with an alert | 95% confidence interval |\n|:---|---:|---:|")
    for place, night in enumerate(NIGHTS):
        print(_row(("first night", "four weeks later", "eight weeks later")[place], alerts[night], businesses))
    print(_row("any of them", alerts[-1], businesses))
    for title, count in kinds.most_common():
        print(f"- {title}: {count}")


def train_until_change(config: Config) -> None:
    """Trains a champion on the log before the first night."""
    log_until(config, CHANGE)
    train_models(config)


def draw_orders(customers: int, law: Law, rng: np.random.Generator) -> tuple[Orders, dict[str, np.ndarray]]:
    """Draws the orders of a business that has existed for long before its log begins.

    Args:
        customers: How many customers come before the log's end.
        law: How they behave.
        rng: The source of randomness.

    Returns:
        The orders of all days, and the customers' rate and moment of leaving.
    """
    end, before = NIGHTS[-1], 2 * CHANGE
    rate, hazard = (rng.gamma(1.5, mean / 1.5, customers) for mean in (law.rate, law.hazard))
    born = rng.uniform(-before, end, customers)
    left = born + rng.exponential(1 / np.maximum(hazard, 1e-9))
    begin, stop = np.clip(born, 0, end), np.clip(left, 0, end)
    count = rng.poisson(rate * (stop - begin))
    who = np.repeat(np.arange(customers), count)
    day = (begin[who] + (stop - begin)[who] * rng.random(len(who))).astype(int)
    means = rng.lognormal(3.5, law.spread, customers)
    amount = np.round(means[who] * rng.lognormal(0, law.spread, len(who)), 2) + 0.01
    tastes = np.cumsum(rng.dirichlet(np.full(CATEGORIES, TASTE), customers), axis=1)
    category = (rng.random(len(who))[:, None] > tastes[who]).sum(axis=1).clip(0, CATEGORIES - 1)
    return Orders(who, day, amount, category, customers), {"rate": rate, "born": born, "left": left}


def apply_change(
    orders: Orders, people: dict[str, np.ndarray], what: str, change: float, rng: np.random.Generator
) -> Orders:
    """The orders of a business in which something changes on day CHANGE.

    Args:
        orders: Those without a change.
        people: As `draw_orders` returns them.
        what: One of CHANGES.
        change: The relative change.
        rng: The source of randomness.

    Returns:
        The changed orders.
    """
    later = orders.day >= CHANGE
    if what == "away":
        keep = 1 - _dropped_share(orders, people, change)
        return orders.kept(~later | (rng.random(len(later)) < keep))
    if what == "amount":
        return replace(orders, amount=np.where(later, orders.amount * (1 + change), orders.amount))
    if what == "category":
        share = float((orders.category[~later] == 0).mean())
        moved = later & (orders.category != 0) & (rng.random(len(later)) < change * share / (1 - share))
        return replace(orders, category=np.where(moved, 0, orders.category))
    return orders


def _dropped_share(orders: Orders, people: dict[str, np.ndarray], change: float) -> float:
    """The share of orders to drop so that the expected share of the cohort that stays away rises by `change`."""
    cohort = np.unique(orders.who[(orders.day < CHANGE) & (orders.day >= CHANGE - COHORT * PERIOD)])
    days = np.clip(people["left"][cohort] - CHANGE, 0, PERIOD)
    usual = np.exp(-people["rate"][cohort] * days).mean()
    return float(
        brentq(lambda x: np.exp(-people["rate"][cohort] * (1 - x) * days).mean() - usual * (1 + change), 0.0, 1.0)
    )


def alerts_of_behaviour(orders: Orders, night: int) -> list[str]:
    """The names of the behaviour checks that alert at a cutoff."""
    known = orders.kept(orders.day < night)
    periods = night // PERIOD
    cell = known.who * periods + (night - 1 - known.day) // PERIOD
    size = orders.customers * periods

    def totals(weights: np.ndarray) -> np.ndarray:
        return np.bincount(cell, weights, size).reshape(orders.customers, periods)

    counts = totals(np.ones(len(cell)))
    shares = {("category", f"c{c}"): ratio_rates(totals(known.category == c), counts) for c in range(CATEGORIES)}
    profile = BehaviourProfile(away_rates(counts > 0, COHORT), ratio_rates(totals(known.amount), counts), shares)
    return [check.name for check in behaviour_checks(profile, MonitorConfig(), get_language("en")) if not check.ok]


def _is_about(name: str, what: str) -> bool:
    """Whether an alert is about a change; without a change, every alert counts."""
    names = {"away": "away", "amount": "order_amount", "category": "value_share"}
    return what == "none" or name.startswith(names[what])


def write_business(folder: Path, store: str, customers: int, rng: np.random.Generator, name: str) -> Config:
    """Writes the whole log of a business to `all.parquet`; returns a config whose log `log_until` writes.

    Args:
        folder: The folder to create.
        store: The MLflow store.
        customers: How many.
        rng: The source of randomness.
        name: Name of the business, which decides whose champion scores it.

    Returns:
        The config.
    """
    folder.mkdir()
    orders, _ = draw_orders(customers, Law(), rng)
    moment = np.datetime64(START, "s") + (orders.day * 86_400 + rng.integers(86_400, size=len(orders.day)))
    table = pa.table(
        {
            "customer": pa.array([f"c{n}" for n in orders.who]),
            "time": pa.array(moment.astype("datetime64[us]")),
            "amount": orders.amount,
            "category": pa.array([f"k{n}" for n in orders.category]),
        }
    )
    pq.write_table(table, folder / "all.parquet")
    sections = {
        "config_version": 1,
        "name": name,
        "events": {
            "source": "log.parquet",
            "customer": "customer",
            "time": "time",
            "amount": "amount",
            "kinds": ["category"],
        },
        "task": {"horizon": "28d", "every": "28d", "windows": ["28d", "84d", "168d"]},
        "training": {"trials": 0, "bootstrap": 50},  # fewer resamples: only the evaluation table has wider intervals
        "serving": {"reasons": 1},
        "tracking": {"uri": store},
        "features": {"cache": "off"},
    }
    return parse_config(sections, folder / "regulars.toml")


def log_until(config: Config, night: int) -> None:
    """Delivers the log as it is before a night."""
    whole = pq.read_table(config.folder / "all.parquet")
    before = whole["time"].to_numpy() < np.datetime64(START + timedelta(night))
    pq.write_table(whole.filter(pa.array(before)), config.folder / "log.parquet")


def _row(name: str, count: int, of: int) -> str:
    estimate = wilson_estimate(count, of)
    return f"| {name} | {count} of {of} ({count / of:.1%}) | {estimate.low:.1%} to {estimate.high:.1%} |"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--part", choices=("behaviour", "nights", "both"), default="both")
    parser.add_argument("--businesses", type=int, default=200, help="independent businesses (200)")
    parser.add_argument("--customers", type=int, default=20_000, help="customers of each (20,000)")
    parser.add_argument("--change", type=float, default=0.1, help="relative change (0.1)")
    parser.add_argument("--own", action="store_true", help="nights: each business trains its own champion")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
