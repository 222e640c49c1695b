"""Lifetime value at rolling starts: what was expected of the customers known then, and what they spent.

At each start everything is fitted on what was known then, with default parameters (no tuning trials): the ensemble, the
tail and its level. The peers see the same customers: BG/NBD with Gamma-Gamma as fitted at the start, and everyone's
past rate. The horizon is the longest of 90, 60 and 30 days with which training accepts what is known (two cutoffs a
horizon apart). Nothing is discounted here. Printed are, as Markdown, the errors of totals, whether their 80% intervals
held, and the order of customers (Spearman).

    python benchmarks/lifetime.py [--data DIR] [--shops N] [LOG ...]

LOG is cdnow, online_retail, complete_journey or shops (simulated; `--shops` says how many). Totals of one log and of
neighbouring starts share customers and days, so the binomial intervals, which take them for independent, are too short.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import binomtest, spearmanr

from features.audit import audit
from features.config.load import Config
from features.config.sections import LifetimeConfig
from features.engines.open import open_engine
from features.intake import read_log
from features.snapshots.build import Snapshots, snapshots_from_tables
from features.task import Window
from training.models.base_models import FittedBefore
from training.models.buying_growth import growth_table, read_cohort
from training.models.ensemble import fit_ensemble
from training.models.lifetime import label_spans, month_days, with_lifetime

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import rolling  # noqa: E402
from benchmarks.accuracy import DATA_SOURCES, load_benchmark_config  # noqa: E402
from benchmarks.totals import random_shop  # noqa: E402

HERE = Path(__file__).resolve().parent
OURS, BTYD, RATE = "ours", "BG/NBD and Gamma-Gamma", "past rate"
SHOP = "shop"


@dataclass(frozen=True)
class Setting:
    """How a log is forecast.

    Attributes:
        months: The horizons to forecast.
        starts: Days of the log that are known.
    """

    months: tuple[int, ...]
    starts: tuple[int, ...]


SETTINGS = {
    "cdnow": Setting((12,), (90, 120, 150, 181)),
    "online_retail": Setting((6,), (100, 130, 160, 190)),
    "complete_journey": Setting((6,), (90, 120, 150, 180)),
    SHOP: Setting((12, 24), (400, 550, 700)),
}


@dataclass(frozen=True)
class Total:
    """The forecast of one total.

    Attributes:
        log: The log.
        start: Days of it that were known.
        horizon: Of the value, in days; the rest is the tail.
        months: How far it was forecast.
        customers: Of whom.
        actual: What they spent.
        expected: By model.
        low: Of our 80% interval.
        high: See `low`.
        order: Spearman's correlation of expected and actual value, by model.
        inside: Share of the customers whose value lies in our interval.
    """

    log: str
    start: int
    horizon: int
    months: int
    customers: int
    actual: float
    expected: dict[str, float]
    low: float
    high: float
    order: dict[str, float]
    inside: float

    @property
    def held(self) -> bool:
        """Whether the interval holds the total."""
        return self.low <= self.actual <= self.high


def main(arguments: Sequence[str]) -> int:
    """Prints one row a total, and how many intervals held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("logs", nargs="*", default=["cdnow", "online_retail", "complete_journey", "shops"])
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where the files are (benchmarks/data)")
    parser.add_argument("--shops", type=int, default=10, help="how many shops to simulate (10)")
    options = parser.parse_args(arguments)
    totals = []
    with tempfile.TemporaryDirectory() as folder:
        print(_header())
        for total in _all_totals(options.logs, options.data, Path(folder), options.shops):
            totals.append(total)
            print(_row(total), flush=True)
    print(f"\n{coverage_text(totals)}")
    return 0


def _all_totals(logs: Sequence[str], data: Path, folder: Path, shops: int) -> Iterator[Total]:
    for log in logs:
        if log != "shops":
            config = load_benchmark_config(log, data, 0, folder)
            if config is None:
                print(f"skipped {log}, its data are not there. Where to get them: {DATA_SOURCES[log]}", file=sys.stderr)
                continue
            yield from forecast_totals(log, config, SETTINGS[log])
            continue
        for number in range(shops):
            config = rolling.simulate_shop(random_shop(number), folder / str(number), 1_500, number)
            yield from forecast_totals(f"{SHOP} {number}", config, SETTINGS[SHOP])


def forecast_totals(log: str, config: Config, setting: Setting) -> Iterator[Total]:
    """The forecasts of a log at the starts of its setting whose outcomes are known."""
    lifetime = LifetimeConfig(months=setting.months, discount=0.0)
    with open_engine(config.engine, config.folder) as engine:
        for known in setting.starts:
            horizon = longest_horizon(known)
            task = config.task.model_copy(update={"horizon": horizon})
            tables = audit.with_too_long_windows(read_log.read_tables(config, engine), task.to_task())
            start = tables.first + timedelta(days=known)
            if start + timedelta(days=month_days(setting.months[0])) > tables.end:
                continue
            mature = [start - timedelta(days=age) for age in _ages(known, horizon)]
            spans = label_spans(horizon, lifetime, [tables.first, tables.end - horizon.delta])
            rows = snapshots_from_tables(tables, task.to_task(), [*mature, start], engine, spans=spans)
            known_config = config.model_copy(update={"task": task})
            yield from _totals_at(log, known_config, lifetime, rows, mature, start, known)


def longest_horizon(known: int) -> Window:
    """The longest horizon of 90, 60 and 30 days with which training accepts a log of so many days.

    >>> [longest_horizon(known).days for known in (90, 181, 400)]
    [30, 60, 90]
    """
    for days in (90, 60):
        ages = _ages(known, Window(days))
        if ages and ages[0] - ages[-1] >= days:
            return Window(days)
    return Window(30)


def _ages(known: int, horizon: Window) -> list[int]:
    """Days from training cutoffs to the start, descending: 30 apart, with 30 days before the first one."""
    return [age for age in range(30 * (known // 30), 0, -30) if horizon.days <= age <= known - 30]


def _totals_at(
    log: str, config: Config, lifetime: LifetimeConfig, rows: Snapshots, mature: Sequence[date], start: date, known: int
) -> Iterator[Total]:
    known_then = rows.as_known(start)
    fitted: FittedBefore = {}
    value = fit_ensemble(known_then, config, mature, {}, fitted).value
    known_columns = ["customer_id", "cutoff", *rows.names]
    latest = replace(rows, rows=rows.rows.filter(pc.equal(rows.rows["cutoff"], _moment(start))).select(known_columns))
    bundle, _ = with_lifetime(value, known_then, lifetime, mature, start, latest)
    cohort = read_cohort(rows, start, rows.labels_end, most=1_000_000)
    if bundle is None or bundle.lifetime is None or cohort is None:
        return
    predicted = bundle.predict(cohort.features)
    sums, tenure = (np.nan_to_num(cohort.features[n].to_numpy()) for n in ("amount_sum_ever", "tenure_days"))
    for horizon in bundle.lifetime.horizons[:-1]:
        if horizon.days not in cohort.actual:
            continue
        actual, ours = cohort.actual[horizon.days], predicted[horizon.column]
        table = growth_table(cohort.model, cohort.horizon, (horizon.days,))
        peers = {
            OURS: ours,
            BTYD: cohort.expected * (1 + cohort.growth(table)[:, 0]),
            RATE: np.maximum(sums, 0) / np.maximum(tenure, 1) * horizon.days,
        }
        low, high = horizon.spread.total_interval(np.ones_like(ours), ours)
        covered = (actual >= predicted[f"{horizon.column}_low"]) & (actual <= predicted[f"{horizon.column}_high"])
        yield Total(
            log,
            known,
            rows.task.horizon.days,
            round(horizon.days / 365 * 12),
            len(ours),
            float(actual.sum()),
            {name: float(peer.sum()) for name, peer in peers.items()},
            low,
            high,
            {name: float(spearmanr(peer, actual).statistic) for name, peer in peers.items()},
            float(covered.mean()),
        )


def _moment(day: date) -> pa.Scalar:
    return pa.scalar(datetime(day.year, day.month, day.day), pa.timestamp("us"))  # noqa: DTZ001 (UTC)


def _header() -> str:
    names = [f"{name}: error of the total" for name in (OURS, BTYD, RATE)] + [f"{n}: order" for n in (OURS, BTYD)]
    titles = [
        "log",
        "days known",
        "horizon",
        "months ahead",
        "customers",
        *names,
        "80% interval",
        "held",
        "customers inside",
    ]
    return f"| {' | '.join(titles)} |\n|:---|{'---:|' * (len(titles) - 1)}"


def _row(t: Total) -> str:
    errors = [f"{t.expected[name] / t.actual - 1:+.1%}" for name in (OURS, BTYD, RATE)]
    interval = f"{t.low / t.actual - 1:+.0%} to {t.high / t.actual - 1:+.0%}"
    cells: list[Any] = [t.log, t.start, t.horizon, t.months, f"{t.customers:,}", *errors]
    cells += [f"{t.order[name]:.3f}" for name in (OURS, BTYD)]
    return f"| {' | '.join(map(str, [*cells, interval, 'yes' if t.held else 'no', f'{t.inside:.1%}']))} |"


def coverage_text(totals: Sequence[Total]) -> str:
    """How many totals lie in their intervals, and the mean absolute log errors, in words."""
    held = sum(t.held for t in totals)
    low, high = binomtest(held, len(totals)).proportion_ci(method="wilson")
    errors = {n: np.mean([abs(np.log(t.expected[n] / t.actual)) for t in totals]) for n in (OURS, BTYD, RATE)}
    return (
        f"80% intervals held {held} of {len(totals)} totals: {held / len(totals):.1%} ({low:.1%} to {high:.1%}, as if "
        f"they were independent), and {np.mean([t.inside for t in totals]):.1%} of customers' values. Mean absolute "
        f"log error of the total: {', '.join(f'{name} {error:.3f}' for name, error in errors.items())}."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
