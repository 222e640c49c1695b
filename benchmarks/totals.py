"""How often totals and numbers of leavers lie in their 80% prediction intervals, in many small simulated businesses.

Each business has settings of its own, drawn at random, and is evaluated at all cutoffs that have a later cutoff to be
calibrated on (`benchmarks/rolling.py`), with 30 trees a model and no tuning trials. Cutoffs of a business are alike, so
95% intervals resample businesses. There are three kinds:

- shops: season at any time of the year, growth or decay, tails and one-time buyers of any share;
- heavy: 28,000 customers, nine of ten of whom never order again, with very unequal orders;
- contracts: customers who cancel with a hazard whose level wanders and once jumps, up to double or half.

    python benchmarks/totals.py [--shops N] [--heavy N] [--contracts N] [--first SEED]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import rolling  # noqa: E402
from features.config.load import Config, load_config  # noqa: E402
from features.simulation.settings import Settings  # noqa: E402
from features.task import Window  # noqa: E402
from training.backtesting.backtest import backtest_folds  # noqa: E402
from training.evaluation.evaluate import OURS  # noqa: E402

SEED, RESAMPLES = 0, 2_000
FEW_TREES = {kind: {"n_estimators": 30, "learning_rate": 0.15} for kind in ("churn", "spend")}
START, CONTRACT_DAYS, MONTH = date(2021, 1, 1), 1_400, 30
CONTRACTS_CONFIG = """\
config_version = 1
name = "contracts"
[subscriptions]
source = "contracts.parquet"
customer = "customer_id"
start = "start"
end = "end"
price = "price"
price_every = "30d"
until = "{until}"
[task]
churn = "cancelled"
horizon = "90d"
"""


@dataclass(frozen=True)
class Kind:
    """A kind of business.

    Attributes:
        simulate: Writes business number n into a folder and returns its config.
        customers: Most customers.
        every: Days between cutoffs.
        most: Most test cutoffs of a business.
    """

    simulate: Callable[[Path, int], Config]
    customers: int
    every: int
    most: int


def main(arguments: Sequence[str]) -> int:
    """Prints a row for each kind of business."""
    options = _options(arguments)
    titles = ("kind", "businesses, cutoffs", "totals held", "numbers of leavers held", "customers' values held")
    more = ("zeros allow no less than", "held where nothing is less likely than 80%")
    errors = tuple(f"error of {what}: median, mean, largest" for what in ("the total", "the number of leavers"))
    print(f"| {' | '.join((*titles, *more, *errors))} |\n|:---|{'---:|' * 8}")
    for name, kind in KINDS.items():
        numbers = range(options.first, options.first + getattr(options, name))
        done = []
        for number in numbers:
            with tempfile.TemporaryDirectory() as folder:
                done.append(evaluate_business(kind, Path(folder), number))
        if kept := [cutoffs for cutoffs in done if cutoffs]:
            print(summary_row(name, kept), flush=True)
    return 0


def evaluate_business(kind: Kind, folder: Path, number: int) -> list[rolling.TestCutoff]:
    """Our predictions at the rolling cutoffs of a business."""
    config = kind.simulate(folder / str(number), number)
    task = config.task.model_copy(update={"every": Window(kind.every)})
    rows = rolling.load_snapshots(config.model_copy(update={"task": task}), kind.customers)
    ours = rolling.Rolling(rows, SEED, config.serving.interval, FEW_TREES)
    folds = [f for f in backtest_folds(rows) if f.train[0] + rows.task.horizon.delta <= f.train[-1]]
    places = np.unique(np.linspace(0, len(folds) - 1, min(kind.most, len(folds))).round().astype(int))
    return [cutoff for place in places if (cutoff := ours.at(folds[place]))]


def summary_row(name: str, businesses: Sequence[Sequence[rolling.TestCutoff]]) -> str:
    """What happened in the businesses of a kind, as a row of a Markdown table."""
    cutoffs = [cutoff for business in businesses for cutoff in business]
    totals = [[_in(c.total_interval, c.truth.spend.sum()) for c in b if c.total_interval] for b in businesses]
    leavers = [[_in(c.leavers_interval, c.truth.churned.sum()) for c in b] for b in businesses]
    share, least, of_open = rolling.mean_coverage(cutoffs)
    predicted = [(c.predictions[OURS], c.truth) for c in cutoffs]
    totals_off = [float(p.value.sum() / truth.spend.sum() - 1) for p, truth in predicted if p.value is not None]
    leavers_off = [float(p.churn.sum() / truth.churned.sum() - 1) for p, truth in predicted]
    return (
        f"| {name} | {len(businesses)}, {len(cutoffs)} | {_share(totals)} | {_share(leavers)} | {share:.1%} "
        f"| {least:.1%} | {of_open:.1%} | {_errors(totals_off)} | {_errors(leavers_off)} |"
    )


def _errors(signed: Sequence[float]) -> str:
    """Median, mean and largest of the sizes of errors, the largest with its sign."""
    size = np.abs(signed)
    return f"{np.median(size):.1%}, {size.mean():.1%}, {signed[int(size.argmax())]:+.0%}"


def _in(interval: tuple[float, float], number: float) -> bool:
    return bool(interval[0] <= number <= interval[1])


def _share(held: Sequence[Sequence[bool]]) -> str:
    """The share of all, with the 95% interval from resampling businesses."""
    counts, sizes = np.array([sum(h) for h in held]), np.array([len(h) for h in held])
    drawn = np.random.default_rng(SEED).integers(0, len(held), (RESAMPLES, len(held)))
    low, high = np.percentile(counts[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [2.5, 97.5])
    return f"{counts.sum()} of {sizes.sum()}: {counts.sum() / sizes.sum():.1%} ({low:.1%} to {high:.1%})"


def random_shop(number: int) -> rolling.Shop:
    """The settings of shop number n."""
    rng = np.random.default_rng([SEED, number])
    settings = Settings(
        season=float(rng.uniform(0, 0.5)),
        season_peak=int(rng.integers(1, 367)),
        amount_sigma=float(rng.uniform(0.4, 1.0)),
        hazard_mean=float(rng.uniform(0.001, 0.006)),
        rate_mean=float(rng.uniform(0.01, 0.04)),
        actions=(),
    )
    growth = {"customers_growth": float(rng.uniform(-0.4, 0.6)), "orders_growth": float(rng.uniform(-0.3, 0.3))}
    return rolling.Shop(settings, days=int(rng.integers(700, 1_100)), one_time=float(rng.uniform(0, 0.5)), **growth)


def heavy_shop(number: int) -> rolling.Shop:
    """A shop of mostly one-time buyers, whose orders are very unequal; its season's peak depends on the number."""
    settings = Settings(
        season=0.4,
        season_peak=1 + 61 * number % 365,
        rate_mean=0.004,
        rate_shape=0.4,
        amount_sigma=1.4,
        order_sigma=1.2,
        actions=(),
    )
    return rolling.Shop(settings, days=900, customers_growth=0.3, one_time=0.85)


def simulate_contracts(folder: Path, number: int, customers: int = 1_500) -> Config:
    """Writes contracts that are cancelled with a hazard whose level wanders from month to month and once jumps.

    Args:
        folder: Where to.
        number: Of the business: the seed.
        customers: How many begin within CONTRACT_DAYS days.

    Returns:
        The config.
    """
    rng = np.random.default_rng([SEED, number, 1])
    begin = rng.integers(0, CONTRACT_DAYS, customers)
    price = rng.choice([10.0, 20.0, 40.0], customers)
    own = rng.normal(0, 0.6, customers) - 0.4 * np.log(price / 20) + np.log(rng.uniform(0.02, 0.08))
    level = np.cumsum(rng.normal(0, 0.05, CONTRACT_DAYS // MONTH + 1))
    level[rng.integers(len(level) // 2, len(level)) :] += rng.uniform(-np.log(2), np.log(2))
    end = np.full(customers, -1)
    for month in range(CONTRACT_DAYS // MONTH):
        day = begin % MONTH + MONTH * month
        runs = (end < 0) & (day > begin) & (day < CONTRACT_DAYS)
        tenure = np.maximum(day - begin, MONTH) / MONTH
        hazard = np.exp(own + level[month]) * tenure**-0.3
        end = np.where(runs & (rng.random(customers) < -np.expm1(-hazard)), day, end)
    folder.mkdir(parents=True)
    table = pa.table(
        {
            "customer_id": [f"c{i}" for i in range(customers)],
            "start": [START + timedelta(days=int(d)) for d in begin],
            "end": pa.array([START + timedelta(days=int(d)) if d >= 0 else None for d in end], pa.date32()),
            "price": price,
        }
    )
    pq.write_table(table, folder / "contracts.parquet")
    until = START + timedelta(days=CONTRACT_DAYS)
    (folder / "regulars.toml").write_text(CONTRACTS_CONFIG.format(until=until), encoding="utf-8")
    return load_config(folder / "regulars.toml")


KINDS = {
    "shops": Kind(lambda folder, n: rolling.simulate_shop(random_shop(n), folder, 1_500, n), 1_500, 60, 99),
    "heavy": Kind(lambda folder, n: rolling.simulate_shop(heavy_shop(n), folder, 28_000, n), 28_000, 90, 5),
    "contracts": Kind(simulate_contracts, 1_500, 60, 99),
}


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    for name, number in {"shops": 50, "heavy": 3, "contracts": 12}.items():
        parser.add_argument(f"--{name}", type=int, default=number, help=f"businesses of this kind ({number})")
    parser.add_argument("--first", type=int, default=0, help="number of the first business of each kind (0)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
