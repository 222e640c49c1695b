"""When customers return, at rolling cutoffs of real and simulated logs: the curve, its quantiles, and the date.

At each test cutoff everything is fitted again on the cutoffs whose labels end by it, with default parameters (no tuning
trials) and a seeded draw of customers. Intervals resample customers. `python benchmarks/timing.py [LOG ...]` prints
Markdown tables; logs are cdnow, online_retail (in benchmarks/data), demo, and the simulated shops of `rolling.py`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.rolling import SHOPS, load_snapshots, simulate_shop
from features.config.load import Config, load_config
from features.snapshots.build import Snapshots
from serving.demo import prepare_demo
from training.artifact.bundle import ModelBundle
from training.artifact.return_hazard import ReturnCurves
from training.backtesting.backtest import backtest_folds
from training.data.time_split import Fold, ReturnTimes, Sample, sample_at
from training.evaluation.baselines import btyd_curves
from training.evaluation.evaluate import OURS
from training.evaluation.return_times import BTYD, OWN_RHYTHM, calibration_slope, own_rhythm_days
from training.models.base_models import FittedBefore
from training.models.ensemble import fit_ensemble
from training.models.return_hazard import fit_return_hazard

HERE = Path(__file__).parent
LOGS = ("cdnow", "online_retail", "demo", *SHOPS)
SEED, RESAMPLES, QUANTILES = 0, 200, (0.1, 0.5, 0.9)
FEWEST = 50  # customers that a figure needs


@dataclass(frozen=True)
class TestedCutoff:
    """Predictions for the customers of one cutoff, and what they did.

    Attributes:
        customers: Ids (n,).
        curves: By model.
        own: Days to the next order by the customer's own rhythm (n,).
        returns: When they returned.
        churn: Predicted probability of churn (n,).
    """

    customers: np.ndarray
    curves: Mapping[str, ReturnCurves]
    own: np.ndarray
    returns: ReturnTimes
    churn: np.ndarray


def main(arguments: Sequence[str]) -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("logs", nargs="*", help=f"of {', '.join(LOGS)}; all of them without arguments")
    parser.add_argument("--data", type=Path, default=HERE / "data")
    parser.add_argument("--customers", type=int, default=2_500, help="most customers of a log")
    parser.add_argument("--cutoffs", type=int, default=4, help="most test cutoffs of a log")
    options = parser.parse_args(arguments)
    for log in options.logs or LOGS:
        with tempfile.TemporaryDirectory() as scratch:
            config = _config(log, options.data, Path(scratch), options.customers)
            rows = load_snapshots(config, options.customers)
            tested = predict_cutoffs(rows, config, options.cutoffs)
        print(f"\n{log}, horizon {rows.task.horizon}: {len(tested)} cutoffs, ", end="")
        print(f"{sum(len(t.customers) for t in tested):,} rows\n", flush=True)
        print("\n".join(tables(tested, rows.task.horizon.days)), flush=True)
    return 0


def predict_cutoffs(rows: Snapshots, config: Config, most: int) -> list[TestedCutoff]:
    """Fits and predicts at rolling cutoffs.

    Args:
        rows: Of the log's mature cutoffs.
        config: Seed and interval.
        most: Most test cutoffs, spread evenly over those that allow an out-of-time calibration.

    Returns:
        The predictions, ascending by cutoff.
    """
    folds = [f for f in backtest_folds(rows) if f.train[0] + rows.task.horizon.delta <= f.train[-1]]
    places = np.unique(np.linspace(0, len(folds) - 1, min(most, len(folds))).round().astype(int))
    return [_predict(rows, config, folds[place]) for place in places]


def _predict(rows: Snapshots, config: Config, fold: Fold) -> TestedCutoff:
    known, fitted = rows.as_known(fold.test), FittedBefore()
    bundle: ModelBundle = fit_ensemble(known, config, fold.train, {}, fitted).churn
    bundle = replace(bundle, returns=fit_return_hazard(bundle, known, config, fold.train))
    truth: Sample = sample_at(rows, [fold.test])
    curves = bundle.return_curves(truth.features)
    if curves is None or truth.returns is None:
        raise ValueError(f"{fold.test}: no hazard of returning could be fitted")
    churn = bundle.predict(truth.features)["churn_probability"]
    both = {OURS: curves, BTYD: btyd_curves(truth, curves.days)}
    ids = truth.customers.to_numpy(zero_copy_only=False)
    return TestedCutoff(ids, both, own_rhythm_days(truth), truth.returns, churn)


def tables(tested: Sequence[TestedCutoff], horizon: int) -> list[str]:
    """The tables of one log as lines of Markdown."""
    gap = max(float(np.abs(t.curves[OURS].returned_by(horizon) - (1 - t.churn)).max()) for t in tested)
    lines = ["| days | rows | expected | observed | slope, 95% interval | BG/NBD: expected, slope | Brier, BG/NBD |"]
    lines.append("|---:|---:|---:|---:|:---|:---|:---|")
    for days in sorted({max(1, round(share * horizon)) for share in (1 / 4, 1 / 2, 1, 2)}):
        lines += _curve_line(tested, days)
    lines += ["", "| quantile | rows that reach it | curve says | observed | gap, points, 95% interval |"]
    lines.append("|---:|---:|---:|---:|:---|")
    lines += [line for share in QUANTILES for line in _quantile_line(tested, share)]
    lines += ["", *_date_lines(tested, horizon)]
    return [*lines, "", f"at the horizon the curve differs from 1 - churn_probability by at most {gap:.0e}"]


def _curve_line(tested: Sequence[TestedCutoff], days: int) -> list[str]:
    parts = [t for t in tested if (t.returns.seen >= days).all()]
    if not parts:
        return []
    came = np.concatenate([_came(t.returns, days) for t in parts])
    ours, theirs = (np.concatenate([t.curves[name].returned_by(days) for t in parts]) for name in (OURS, BTYD))
    slopes = [calibration_slope(ours[drawn], came[drawn])[0] for drawn in _resamples(parts)]
    low, high = np.percentile(slopes[1:], [2.5, 97.5])
    briers = ", ".join(f"{np.mean((p - came) ** 2):.4f}" for p in (ours, theirs))
    slope = f"{slopes[0]:.2f} ({low:.2f} to {high:.2f})"
    other = f"{theirs.mean():.1%}, {calibration_slope(theirs, came)[0]:.2f}"
    return [f"| {days} | {len(came):,} | {ours.mean():.1%} | {came.mean():.1%} | {slope} | {other} | {briers} |"]


def _quantile_line(tested: Sequence[TestedCutoff], share: float) -> list[str]:
    says, came, kept = [], [], []
    for one in tested:
        day = one.curves[OURS].quantile_days(share)
        known = np.isfinite(day) & (one.returns.seen > np.nan_to_num(day))
        ends = np.where(known, day, 0.0) + 1
        at = one.curves[OURS].returned_by(ends)
        says.append(np.where(known, at, 0.0))
        came.append(np.where(known, np.nan_to_num(one.returns.days, nan=np.inf) < ends, False).astype(float))
        kept.append(known.astype(float))
    expected, observed, counted = (np.concatenate(part) for part in (says, came, kept))
    if counted.sum() < FEWEST:
        return [f"| {share:.0%} | {int(counted.sum())} | | | too few |"]
    gaps = [100 * (observed[d].sum() - expected[d].sum()) / max(counted[d].sum(), 1) for d in _resamples(tested)]
    low, high = np.percentile(gaps[1:], [2.5, 97.5])
    number = counted.sum()
    return [
        f"| {share:.0%} | {int(number):,} ({number / len(counted):.0%}) | {expected.sum() / number:.1%} | "
        f"{observed.sum() / number:.1%} | {gaps[0]:+.1f} ({low:+.1f} to {high:+.1f}) |"
    ]


def _date_lines(tested: Sequence[TestedCutoff], horizon: int) -> list[str]:
    """Errors of the date among those who returned within two horizons, or as far as was seen."""
    errors: dict[str, list[np.ndarray]] = {}
    everybody = 0
    for one in tested:
        span = int(one.returns.seen.min())
        came = np.nan_to_num(one.returns.days, nan=np.inf) < span
        everybody += len(came)
        dates = {f"{name}, given a return": c.take(came).median_day_if_within(span) for name, c in one.curves.items()}
        for name, curves in one.curves.items():
            dates[f"{name}, median of all"] = np.nan_to_num(curves.take(came).quantile_days(0.5), nan=span - 1)
        dates[OWN_RHYTHM] = one.own[came].clip(0, span - 1)
        for name, day in dates.items():
            errors.setdefault(name, []).append(np.full(len(came), np.inf))
            errors[name][-1][came] = np.abs(day - one.returns.days[came])
    joined = {name: np.concatenate(part) for name, part in errors.items()}
    bought = np.isfinite(joined[OWN_RHYTHM])
    lines = [
        f"date of the next purchase, of the {bought.sum():,} ({bought.sum() / everybody:.0%}) who returned within two "
        f"horizons ({2 * horizon} days) or as far as was seen; days:",
        "",
        "| model | median error, 95% interval | mean error |",
        "|:---|:---|---:|",
    ]
    for name, each in joined.items():
        medians = [np.median(each[d][bought[d]]) for d in _resamples(tested)]
        low, high = np.percentile(medians[1:], [2.5, 97.5])
        lines.append(f"| {name} | {medians[0]:.1f} ({low:.1f} to {high:.1f}) | {each[bought].mean():.2f} |")
    return lines


def _came(returns: ReturnTimes, days: int) -> np.ndarray:
    return (np.nan_to_num(returns.days, nan=np.inf) < days).astype(float)


def _resamples(tested: Sequence[TestedCutoff]) -> list[np.ndarray]:
    """Row numbers of the data itself, then of resamples of customers with all of their cutoffs."""
    ids = np.unique(np.concatenate([t.customers for t in tested]), return_inverse=True)[1]
    order, counts = np.argsort(ids, kind="stable"), np.bincount(ids)
    rows_of = np.split(order, np.cumsum(counts)[:-1])
    rng, everyone = np.random.default_rng(SEED), len(counts)
    draws = [np.concatenate([rows_of[c] for c in rng.integers(0, everyone, everyone)]) for _ in range(RESAMPLES)]
    return [np.arange(len(ids)), *draws]


def _config(log: str, data: Path, scratch: Path, customers: int) -> Config:
    if log == "demo":
        return prepare_demo(scratch, trials=0)
    if log in SHOPS:
        return simulate_shop(SHOPS[log], scratch, customers, SEED)
    config = load_config(HERE / f"{log}.toml")
    source = data / Path(str(config.events.source)).name
    return config.model_copy(update={"events": config.events.model_copy(update={"source": str(source.resolve())})})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
