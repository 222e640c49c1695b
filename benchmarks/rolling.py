"""Accuracy at rolling cutoffs, on real and on simulated logs: `benchmarks/accuracy.py --rolling` prints it.

At each test cutoff everything is fitted again on the cutoffs whose labels end by it, with default parameters (no tuning
trials). The peers learn from the same rows. A customer appears at many cutoffs and cutoffs share days, so intervals of
differences resample customers and, at the same time, blocks of cutoffs as long as a horizon (Kunsch, Annals of
Statistics 17, 1989). Base models of a cutoff are fitted once and serve all later test cutoffs, as `fit_ensemble` would
fit them again with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.audit import audit
from features.config.load import Config, load_config
from features.engines.open import open_engine
from features.intake import read_log
from features.simulation.settings import Settings
from features.simulation.simulate import simulate_business
from features.snapshots.build import Snapshots, snapshots_from_tables
from features.task import Window
from training.artifact.margin import Margin
from training.backtesting.backtest import backtest_folds
from training.data.category_levels import encode_sample, learn_levels
from training.data.prediction import Prediction
from training.data.time_split import Fold, Sample, out_of_time_folds, sample_at, training_sample
from training.evaluation.baselines import BASELINES, PLAIN_LIGHTGBM
from training.evaluation.evaluate import OURS, bootstrap_weights
from training.evaluation.leavers import EXPECTED, evaluate_leavers
from training.evaluation.metrics import decile_error
from training.evaluation.tenure_hazard import baselines_for
from training.models.base_models import BaseModels, OutOfTimeFold, Parameters, has_money, predict_out_of_time
from training.models.ensemble import EnsembleCalibration, calibrate_ensemble
from training.models.spend import GainRegressor

RESAMPLES, SEED = 300, 0
METRICS = {
    "brier": "Brier score",
    "deviance": "deviance",
    "total_error": "absolute error of the total",
    "decile_error": "error over deciles",
}
TWEEDIE = "LightGBM Tweedie"
PEERS = (PLAIN_LIGHTGBM, TWEEDIE, "BG/NBD and Gamma-Gamma", "past mean rate", "logistic regression on RFM")


@dataclass(frozen=True)
class Shop:
    """A simulated shop.

    Attributes:
        settings: Of the simulation; without contacts.
        days: Length of the log.
        customers_growth: Change of new customers a year, as a share: 1.0 doubles them, -0.5 halves them.
        orders_growth: Change of all customers' rates of orders a year.
        one_time: Share of the customers who never order again.
    """

    settings: Settings
    days: int = 900
    customers_growth: float = 0.0
    orders_growth: float = 0.0
    one_time: float = 0.0


SHOPS = {
    "season": Shop(Settings(season=0.5, hazard_mean=0.004, actions=()), days=1_000, one_time=0.2),
    "growth": Shop(Settings(season=0.2, actions=()), customers_growth=1.0, orders_growth=0.4, one_time=0.1),
    "decay": Shop(Settings(season=0.2, actions=()), customers_growth=-0.5, orders_growth=-0.4, one_time=0.1),
    "one-time": Shop(
        Settings(season=0.3, rate_mean=0.01, rate_shape=0.5, amount_sigma=0.9, order_sigma=0.7, actions=()),
        customers_growth=0.3,
        one_time=0.6,
    ),
    "heavy tails": Shop(
        Settings(season=0.2, amount_sigma=1.3, order_sigma=1.0, rate_shape=0.6, hazard_mean=0.004, actions=()),
        one_time=0.2,
    ),
}


@dataclass(frozen=True)
class CustomerCoverage:
    """How many customers' values lie in their prediction intervals.

    A customer whose probability of nothing is above the wanted coverage has an interval that begins at 0 and holds the
    value with that probability at least. No interval that holds 0 can do with less.

    Attributes:
        share: Of all customers.
        least: The coverage of all customers that is expected if each interval holds as little as it can.
        of_open: Of the customers whose probability of nothing is below the wanted coverage; NaN if there are none.
    """

    share: float
    least: float
    of_open: float


@dataclass(frozen=True)
class TestCutoff:
    """Predictions of all models for the customers of one cutoff.

    Attributes:
        cutoff: The cutoff.
        truth: The customers (n rows) with their labels.
        predictions: By model.
        leavers_interval: Of the number of leavers.
        total_interval: Of the total value; None without money.
        covered: Of the customers' values; None without money.
    """

    cutoff: date
    truth: Sample
    predictions: Mapping[str, Prediction]
    leavers_interval: tuple[float, float]
    total_interval: tuple[float, float] | None
    covered: CustomerCoverage | None


@dataclass(frozen=True)
class Comparison:
    """One metric of a log: means over the cutoffs, and our paired difference to the best peer.

    Attributes:
        means: By model.
        best: The best peer.
        difference: Ours minus the best peer's.
        low: Of the 95% interval of the difference.
        high: See `low`.
    """

    means: dict[str, float]
    best: str
    difference: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        """Ours over the best peer's."""
        return self.means[OURS] / self.means[self.best]


def simulate_shop(shop: Shop, folder: Path, customers: int, seed: int) -> Config:
    """Simulates a business and thins it to the growth and the share of one-time buyers that are wanted.

    Args:
        shop: The shop.
        folder: Where to.
        customers: How many are drawn; growth keeps a part of them.
        seed: Of all randomness.

    Returns:
        The config.
    """
    business = simulate_business(folder, customers, days=shop.days, seed=seed, settings=shop.settings)
    files = sorted((folder / "events").glob("*.parquet"))
    events = pa.concat_tables([pq.read_table(file) for file in files])
    for file in files[1:]:
        file.unlink()
    pq.write_table(events.filter(pa.array(_kept(events, shop, seed))), files[0])
    return load_config(business.config)


def _kept(events: pa.Table, shop: Shop, seed: int) -> np.ndarray:
    """Which rows (n,) stay: customers by the day of their first order, later orders by their own day."""
    rng = np.random.default_rng(seed)
    day = events["time"].cast(pa.timestamp("s")).to_numpy().astype("datetime64[D]").astype(int)
    orders = pc.replace_substring_regex(events["order_id"], "-r$", "").to_numpy(zero_copy_only=False)
    customer, order = (
        np.unique(x, return_inverse=True)[1] for x in (events["customer_id"].to_numpy(zero_copy_only=False), orders)
    )
    first_day = np.full(customer.max() + 1, day.max())
    np.minimum.at(first_day, customer, day)
    order_day = np.full(order.max() + 1, day.max())
    np.minimum.at(order_day, order, day)
    is_first = order_day[order] == first_day[customer]
    new = rng.random(len(first_day))[customer] < _share(first_day[customer] - day.min(), shop.customers_growth, shop)
    again = (rng.random(len(order_day))[order] < _share(day - day.min(), shop.orders_growth, shop)) & (
        rng.random(len(first_day))[customer] >= shop.one_time
    )
    return np.asarray(new & (is_first | again))


def _share(day: np.ndarray, growth: float, shop: Shop) -> np.ndarray:
    """The share (n,) that is kept of what happens on a day: 1 when it is largest, and `growth` a year."""
    years = (day - (shop.days if growth > 0 else 0)) / 365
    return np.asarray((1 + growth) ** years)


def tweedie_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """LightGBM with Tweedie deviance on all features, for value; everybody's churn is the training rows' share.

    Args:
        train: Training rows.
        test: The rows to predict (n).
        horizon: Of the labels.

    Returns:
        Predictions for the test rows.
    """
    levels = learn_levels(train)
    rows, X = encode_sample(train, levels), encode_sample(test, levels).features
    value = GainRegressor(seed=SEED, categorical=tuple(levels)).fit(rows.features, rows.spend).predict(X)
    return Prediction(np.full(len(test), train.churned.mean()), value)


def load_snapshots(config: Config, customers: int) -> Snapshots:
    """The snapshots of a log's mature cutoffs, of at most so many customers (drawn by their ids)."""
    task = config.task.to_task()
    with open_engine(config.engine, config.folder) as engine:
        tables = audit.with_too_long_windows(read_log.read_tables(config, engine), task)
        rows = snapshots_from_tables(tables, task, audit.mature_cutoffs(tables, task), engine)
    ids = rows.rows["customer_id"].to_numpy(zero_copy_only=False)
    everyone, place = np.unique(ids, return_inverse=True)
    kept = np.random.default_rng(SEED).permutation(len(everyone))[place] < customers
    return replace(rows, rows=rows.rows.filter(pa.array(kept)))


def predict_cutoffs(rows: Snapshots, config: Config, most: int) -> list[TestCutoff]:
    """Fits and predicts at rolling cutoffs, ours and the peers.

    Args:
        rows: Of the log's mature cutoffs.
        config: Seed and interval.
        most: Most test cutoffs; they are spread evenly over those that allow an out-of-time calibration.

    Returns:
        The predictions by cutoff, ascending.
    """
    ours = Rolling(rows, config.training.seed, config.serving.interval)
    folds = [f for f in backtest_folds(rows) if f.train[0] + rows.task.horizon.delta <= f.train[-1]]
    places = np.unique(np.linspace(0, len(folds) - 1, min(most, len(folds))).round().astype(int))
    done = []
    for fold in (folds[place] for place in places):
        if (mine := ours.at(fold)) is None:
            continue
        train, truth = training_sample(rows, fold), sample_at(rows, [fold.test])
        peers = {name: peer(train, truth, rows.task.horizon) for name, peer in _peers(rows).items()}
        done.append(replace(mine, predictions={**mine.predictions, **peers}))
    return done


def _peers(rows: Snapshots) -> dict[str, Callable[[Sample, Sample, Window], Prediction]]:
    if not has_money(rows):
        return dict(baselines_for(rows.task))
    return {name: {**BASELINES, TWEEDIE: tweedie_baseline}[name] for name in PEERS}


class Rolling:
    """Our predictions at rolling cutoffs; keeps the base models' predictions of each cutoff for the later ones.

    Args:
        rows: Of the log's mature cutoffs.
        seed: Of the trees.
        inside: The wanted coverage of the intervals.
        parameters: Of the trees, by 'churn' and 'spend'.
    """

    def __init__(self, rows: Snapshots, seed: int, inside: float, parameters: Parameters | None = None):
        self.rows, self.seed, self.inside, self.parameters = rows, seed, inside, parameters or {}
        self.known: dict[date, OutOfTimeFold | None] = {}

    def at(self, fold: Fold) -> TestCutoff | None:
        """Our predictions at a fold's test cutoff; None if it is too small."""
        horizon = self.rows.task.horizon
        heard = [h for f in out_of_time_folds(fold.train, horizon) if (h := self._predicted(f))]
        own = self._predicted(fold)
        if own is None:
            return None
        models = BaseModels({}, (Margin(),) * own.churn.shape[1], (Margin(),) * own.spend.shape[1])
        ensemble = _Calibrated(models, self.inside, horizon)
        calibration = ensemble.on(heard, max(fold.train) + horizon.delta)
        prediction, truth = calibration.predict(own), own.truth
        leavers = ensemble.leavers_interval(heard, own, prediction)
        if prediction.value is None or calibration.spread is None:
            return TestCutoff(fold.test, truth, {OURS: prediction}, leavers, None, None)
        returns, spend = 1 - prediction.churn, calibration.expected_spend(own)
        covered = customer_coverage(*calibration.spread.interval(returns, spend), prediction.churn, truth, self.inside)
        total = calibration.spread.total_interval(returns, spend)
        return TestCutoff(fold.test, truth, {OURS: prediction}, leavers, total, covered)

    def _predicted(self, fold: Fold) -> OutOfTimeFold | None:
        if fold.test not in self.known:
            predicted = predict_out_of_time(self.rows, self.seed, fold, self.parameters, {})
            if predicted:  # features are no longer needed
                names = predicted.truth.features.column_names[:1]
                truth = replace(predicted.truth, features=predicted.truth.features.select(names))
                predicted = replace(predicted, truth=truth)
            self.known[fold.test] = predicted
        return self.known[fold.test]


@dataclass(frozen=True)
class _Calibrated:
    """Base models with the settings of their calibration."""

    models: BaseModels
    inside: float
    horizon: Window

    def on(self, folds: Sequence[OutOfTimeFold], target: date) -> EnsembleCalibration:
        return calibrate_ensemble(folds, self.models, self.inside, target, self.horizon)

    def leavers_interval(
        self, folds: Sequence[OutOfTimeFold], own: OutOfTimeFold, prediction: Prediction
    ) -> tuple[float, float]:
        """Of the number of leavers, as training evaluates it: see `FittedEnsemble.cross_calibrated`."""
        others_of = [[other for other in folds if other is not fold] for fold in folds]
        earlier = [
            (fold, self.on(others, fold.fold.test).predict(fold)) for fold, others in zip(folds, others_of, strict=True)
        ]
        day = own.fold.test
        figures = evaluate_leavers(prediction.churn, own.truth, day, earlier, self.horizon, self.inside).metrics
        expected = figures[figures.metric == EXPECTED].iloc[0]
        return float(expected.low), float(expected.high)


def customer_coverage(
    low: np.ndarray, high: np.ndarray, churn: np.ndarray, truth: Sample, inside: float
) -> CustomerCoverage:
    """Counts the values in their prediction intervals.

    Args:
        low: Lower ends (n,).
        high: Upper ends (n,).
        churn: Probability (n,) of nothing.
        truth: The customers (n rows).
        inside: The wanted coverage.

    Returns:
        The shares.
    """
    held, is_open = (truth.spend >= low) & (truth.spend <= high), churn < inside
    of_open = float(held[is_open].mean()) if is_open.any() else float("nan")
    return CustomerCoverage(float(held.mean()), float(np.maximum(churn, inside).mean()), of_open)


def compare(cutoffs: Sequence[TestCutoff], horizon: Window) -> dict[str, Comparison]:
    """Means over the cutoffs by metric, and paired differences to the best peer."""
    names = [cutoff.truth.customers.to_numpy(zero_copy_only=False) for cutoff in cutoffs]
    everyone, place = np.unique(np.concatenate(names), return_inverse=True)
    places = np.split(place, np.cumsum([len(n) for n in names])[:-1])
    resamples = [np.ones((1, len(everyone))), *bootstrap_weights(len(everyone), SEED, RESAMPLES)]
    figures: dict[tuple[str, str], list[np.ndarray]] = {}
    for weights in resamples:
        block: dict[tuple[str, str], list[np.ndarray]] = {}
        for cutoff, rows in zip(cutoffs, places, strict=True):
            for model, prediction in cutoff.predictions.items():
                for metric, figure in _figures(prediction, cutoff.truth, weights[:, rows]).items():
                    block.setdefault((metric, model), []).append(figure)
        for key, columns in block.items():
            figures.setdefault(key, []).append(np.stack(columns))
    tables = {key: np.concatenate(blocks, axis=1) for key, blocks in figures.items()}
    drawn = _block_weights(cutoffs, horizon, next(iter(tables.values())).shape[1] - 1)
    return {
        metric: _comparison({model: table for (m, model), table in tables.items() if m == metric}, drawn)
        for metric in METRICS
        if (metric, OURS) in tables
    }


def figures_of(cutoff: TestCutoff, metrics: Sequence[str]) -> list[float]:
    """Some of our metrics at a cutoff; NaN for those that need money if there is none."""
    figures = _figures(cutoff.predictions[OURS], cutoff.truth, np.ones((1, len(cutoff.truth))))
    return [float(figures[metric][0]) if metric in figures else float("nan") for metric in metrics]


def _figures(prediction: Prediction, truth: Sample, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics (b,) of a prediction in resamples with weights (b, n)."""
    size = weights.sum(axis=1)
    figures = {"brier": weights @ (prediction.churn - truth.churned) ** 2 / size}
    if prediction.value is None:
        return figures
    actual, expected = truth.spend, np.maximum(prediction.value, truth.spend.mean() / 1000)
    deviance = 4 * (actual / np.sqrt(expected) - 2 * np.sqrt(actual) + np.sqrt(expected))
    total = weights @ actual
    figures["deviance"] = weights @ deviance / size
    figures["total_error"] = np.abs(weights @ prediction.value / total - 1)
    figures["decile_error"] = decile_error(actual, prediction.value, weights) / (total / size)
    return figures


def _block_weights(cutoffs: Sequence[TestCutoff], horizon: Window, resamples: int) -> np.ndarray:
    """How often (1 + resamples, c) each cutoff is drawn, in circular blocks as long as a horizon; first each once."""
    count = len(cutoffs)
    apart = min([(b.cutoff - a.cutoff).days for a, b in zip(cutoffs, cutoffs[1:], strict=False)], default=horizon.days)
    length = int(np.clip(-(-horizon.days // apart), 1, count))
    starts = np.random.default_rng(SEED).integers(0, count, (resamples, -(-count // length)))
    drawn = ((starts[:, :, None] + np.arange(length)) % count).reshape(resamples, -1)[:, :count]
    return np.vstack([np.ones(count), *(np.bincount(row, minlength=count) for row in drawn)])


def _comparison(tables: dict[str, np.ndarray], drawn: np.ndarray) -> Comparison:
    means = {model: float(table[:, 0].mean()) for model, table in tables.items()}
    best = min((model for model in means if model != OURS), key=lambda model: means[model])
    gaps = ((tables[OURS] - tables[best]) * drawn.T).sum(axis=0) / drawn.sum(axis=1)
    moved = gaps[1:] - gaps[1:].mean() + gaps[0]  # resampling adds noise to absolute errors
    low, high = np.percentile(moved, [2.5, 97.5])
    return Comparison(means, best, float(gaps[0]), float(low), float(high))


def table(name: str, cutoffs: Sequence[TestCutoff], comparisons: Mapping[str, Comparison]) -> str:
    """The figures of one log as GitHub Markdown."""
    models = list(cutoffs[0].predictions)
    customers = ", ".join(f"{len(c.truth):,}" for c in (cutoffs[0], cutoffs[-1]))
    lines = [
        f"### {name}\n",
        f"{len(cutoffs)} test cutoffs from {cutoffs[0].cutoff} to {cutoffs[-1].cutoff}; customers at the first and the "
        f"last: {customers}. {_interval_note(cutoffs)}\n",
        f"| mean over the cutoffs | {' | '.join(models)} | best peer | ours minus it (95% interval) | ratio |",
        f"|:---|{'---:|' * len(models)}:---|---:|---:|",
    ]
    for metric, c in comparisons.items():
        cells = " | ".join(f"{c.means[model]:.4g}" for model in models)
        mark = " ✗" if c.low > 0 else " ✓" if c.high < 0 else ""
        lines.append(
            f"| {METRICS[metric]} | {cells} | {c.best} | {c.difference:+.4g} ({c.low:+.4g} to {c.high:+.4g}){mark} | "
            f"{c.ratio:.3f} |"
        )
    return "\n".join([*lines, ""])


def _interval_note(cutoffs: Sequence[TestCutoff]) -> str:
    held = sum(c.leavers_interval[0] <= c.truth.churned.sum() <= c.leavers_interval[1] for c in cutoffs)
    note = f"80% intervals held {held} of {len(cutoffs)} numbers of leavers"
    known = [c for c in cutoffs if c.total_interval is not None]
    if not known:
        return f"{note}."
    share, least, of_open = mean_coverage(known)
    signed = [float(v.sum() / c.truth.spend.sum() - 1) for c in known if (v := c.predictions[OURS].value) is not None]
    errors = " ".join(f"{error:+.0%}" for error in signed)
    return (
        f"{note}, {count_held(known)} of {len(known)} totals, {share:.1%} of the customers' values (zeros allow no "
        f"less than {least:.1%}) and {of_open:.1%} of those of customers who bring nothing with a probability below "
        f"80%. Errors of our totals: {errors}."
    )


def mean_coverage(cutoffs: Sequence[TestCutoff]) -> tuple[float, float, float]:
    """Means over the cutoffs of the parts of `CustomerCoverage`; NaN counts for none."""
    rows = [(c.covered.share, c.covered.least, c.covered.of_open) for c in cutoffs if c.covered is not None]
    share, least, of_open = np.nanmean(np.array(rows), axis=0)
    return float(share), float(least), float(of_open)


def count_held(cutoffs: Sequence[TestCutoff]) -> int:
    """At how many cutoffs the total lies in its interval."""
    return sum(c.total_interval[0] <= c.truth.spend.sum() <= c.total_interval[1] for c in cutoffs if c.total_interval)


def summary(logs: Mapping[str, Mapping[str, Comparison]]) -> str:
    """The geometric mean over the logs of ours over the best peer's, by metric, and where ours is clearly worse."""
    lines = [
        "| metric | geometric mean of the ratios to the best peer | logs | clearly worse on |",
        "|:---|---:|---:|:---|",
    ]
    for metric, title in METRICS.items():
        known = {name: c[metric] for name, c in logs.items() if metric in c}
        if known:
            mean = float(np.exp(np.mean([np.log(c.ratio) for c in known.values()])))
            worse = ", ".join(name for name, c in known.items() if c.low > 0) or "none"
            lines.append(f"| {title} | {mean:.3f} | {len(known)} | {worse} |")
    return "\n".join(lines)
