"""The cost of explanations compared with predictions: ours, LightGBM's pred_contrib and PyPI's woodelf-explainer.

Models of 300 trees with our settings (no depth limit) are trained on 60 simulated features with missing values.
Contenders take turns, and the ratios of their medians count, because other load on the machine changes ratios less than
seconds. pred_contrib is timed on a slice of the rows, woodelf on a larger one, ours and predict on all rows. Install
woodelf with `pip install woodelf-explainer treelite` (in its own environment, named by PYTHONPATH); without it, its
column stays empty.

    python benchmarks/explain.py [--rows N] [--trees N] [--leaves N ...] [--runs N] [--slice N] [--woodelf N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from features.catalog.btyd_model import BGNBD, GammaGamma  # noqa: E402
from features.catalog.btyd_shares import TypicalInputs, prediction_shares  # noqa: E402
from features.feature import Feature  # noqa: E402
from serving.explanation import contributions  # noqa: E402
from serving.explanation.treeshap import thread_count, tree_explainer  # noqa: E402
from training.artifact.bundle import ModelBundle  # noqa: E402
from training.artifact.margin import Margin  # noqa: E402
from training.artifact.spread import Spread  # noqa: E402
from training.models.churn import ChurnClassifier  # noqa: E402
from training.models.spend import SpendRegressor  # noqa: E402

FEATURES = 60
TRAINING_ROWS = 30_000
TOLERANCE = 1e-6
FIRST_CALL = "import sys, time\nsys.path.insert(0, sys.argv[1])\nimport numpy as np\nbegin = time.perf_counter()\n" + (
    "from serving.explanation.treeshap import tree_explainer\n"
    "found = tree_explainer((open(sys.argv[2]).read(),), (1.0,), int(sys.argv[3]))\n"
    "found.values([np.zeros(1000)] * int(sys.argv[3]))\nfound.values([np.zeros(9)] * int(sys.argv[3]))\n"
    "print(time.perf_counter() - begin)\n"
)


def main(arguments: Sequence[str]) -> int:
    """Prints a table of speeds, and the cost of the parts of a scoring run; returns 1 if numbers differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--leaves", type=int, nargs="+", default=[31, 63])
    parser.add_argument("--runs", type=int, default=3, help="turns of each contender, of which the median counts (3)")
    parser.add_argument("--slice", type=int, default=1000, help="rows for pred_contrib (1000)")
    parser.add_argument("--woodelf", type=int, default=50_000, help="rows for woodelf, 0 for none (50,000)")
    options = parser.parse_args(arguments)
    columns, churned, spent = simulate_customers(options.rows)
    print(f"{options.rows:,} rows, {FEATURES} features, {options.trees} trees, {thread_count()} threads\n")
    print("| leaves | ours, rows/s | of predict's time | times pred_contrib | times woodelf | largest difference |")
    print("|---:|---:|---:|---:|---:|---:|")
    largest, head = 0.0, _head(columns)
    boosters = [
        ChurnClassifier(n_estimators=options.trees, num_leaves=leaves).fit(head, churned[:TRAINING_ROWS]).booster_
        for leaves in options.leaves
    ]
    for booster in boosters:
        largest = max(largest, compare_contenders(booster, columns, options))
    measure_few_rows(columns, boosters[0])
    measure_scoring(columns, boosters[0], spent, options)
    measure_shares(options.rows)
    return int(largest > TOLERANCE)


def simulate_customers(rows: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Simulates features by name, churn (0 or 1) and spend, each (rows,)."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(FEATURES, rows))
    X[:20], X[20:30] = np.exp(X[:20]).round(2), rng.poisson(1.5, (10, rows))
    effect = rng.normal(size=FEATURES) / np.sqrt(1 + np.arange(FEATURES))
    signal = effect @ np.tanh(X) + 0.6 * X[40] * X[41] + 0.5 * np.sin(2 * X[43])
    signal = (signal - signal.mean()) / signal.std()
    churned = (rng.random(rows) < 1 / (1 + np.exp(-signal))).astype(float)
    X[rng.random(X.shape) < 0.1] = np.nan
    return {f"x{i}": X[i] for i in range(FEATURES)}, churned, np.exp(3 - 0.5 * signal + rng.normal(size=rows))


def _head(columns: dict[str, np.ndarray]) -> pa.Table:
    return pa.table({name: column[:TRAINING_ROWS] for name, column in columns.items()})


def compare_contenders(booster: lgb.Booster, columns: dict[str, np.ndarray], options: argparse.Namespace) -> float:
    """Prints one line of the table; returns the largest difference to pred_contrib."""
    X, own = np.column_stack(list(columns.values())), list(columns.values())
    explainer = tree_explainer((booster.model_to_string(),), (1.0,), FEATURES)
    explainer.values(own)
    turns: dict[str, tuple[int, Callable[[], Any]]] = {
        "ours": (len(X), lambda: explainer.values(own)),
        "predict": (len(X), lambda: booster.predict(X, raw_score=True)),
        "contrib": (options.slice, lambda: booster.predict(X[: options.slice], pred_contrib=True)),
    }
    if options.woodelf and (woodelf := _woodelf(booster, X[: options.woodelf])):
        turns["woodelf"] = (min(options.woodelf, len(X)), woodelf)
    speeds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(options.runs):
        for name, (rows, run) in turns.items():
            speeds[name].append(rows / _seconds(run))
    speed = {name: statistics.median(own) for name, own in speeds.items()}
    expected = np.asarray(turns["contrib"][1]())
    difference = float(np.abs(explainer.values([column[: options.slice] for column in own]) - expected[:, :-1]).max())
    beside = f"{speed['ours'] / speed['woodelf']:.1f}" if "woodelf" in speed else ""
    print(
        f"| {_leaves(booster)} | {speed['ours']:,.0f} | {speed['predict'] / speed['ours']:.2f} "
        f"| {speed['ours'] / speed['contrib']:.0f} | {beside} | {difference:.0e} |",
        flush=True,
    )
    return difference


def _leaves(booster: lgb.Booster) -> int:
    return max(tree["num_leaves"] for tree in booster.dump_model()["tree_info"])


def _woodelf(booster: lgb.Booster, X: np.ndarray) -> Callable[[], Any] | None:
    """A run of woodelf, or None if it is not installed."""
    try:
        from woodelf import WoodelfExplainer
    except ImportError:
        return None
    import pandas as pd

    frame = pd.DataFrame(X, columns=booster.feature_name())
    return lambda: WoodelfExplainer(booster).shap_values(frame, verbose=False)


def _seconds(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def measure_few_rows(columns: dict[str, np.ndarray], booster: lgb.Booster) -> None:
    """Prints the time for ten rows, and for the first call with and without compiled code in the cache."""
    text = booster.model_to_string()
    X, own = np.column_stack([c[:10] for c in columns.values()]), [c[:10] for c in columns.values()]
    fresh = tree_explainer.__wrapped__((text,), (1.0,), FEATURES)
    ours = [_seconds(lambda: fresh.values(own)) for _ in range(21)]
    theirs = [_seconds(lambda: booster.predict(X, pred_contrib=True)) for _ in range(21)]
    read = [_seconds(lambda: tree_explainer.__wrapped__((text,), (1.0,), FEATURES)) for _ in range(5)]
    load = [_seconds(lambda: lgb.Booster(model_str=text)) for _ in range(5)]
    few, contrib, reading, loading = (statistics.median(own) * 1e3 for own in (ours, theirs, read, load))
    print(
        f"\n10 rows: ours {few:.0f} ms, pred_contrib {contrib:.0f} ms; "
        f"before, once a model: ours {reading:.0f} ms, LightGBM {loading:.0f} ms"
    )
    with tempfile.TemporaryDirectory(prefix="explain-") as folder:
        model = Path(folder) / "model.txt"
        model.write_text(text)
        command = [sys.executable, "-c", FIRST_CALL, str(ROOT), str(model), str(FEATURES)]
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(Path(folder) / "compiled")}
        first, second = (
            float(subprocess.run(command, env=environment, check=True, capture_output=True).stdout) for _ in range(2)
        )
    print(f"First explanation in a process, imports included: {first:.0f} s once compiled anew, {second:.1f} s later")


@contextmanager
def recorded_calls(owner: Any, name: str) -> Iterator[list[float]]:
    """Records the seconds of each call of a function inside the `with` block."""
    seconds, function = [], getattr(owner, name)

    def timed(*given: Any) -> Any:
        begin = time.perf_counter()
        returned = function(*given)
        seconds.append(time.perf_counter() - begin)
        return returned

    setattr(owner, name, timed)
    try:
        yield seconds
    finally:
        setattr(owner, name, function)


def handed_on(rows: int) -> dict[str, np.ndarray]:
    """Shares by which five features, as many as BG/NBD and Gamma-Gamma give, are handed on to three others each."""
    rng = np.random.default_rng(8)
    shares = rng.dirichlet(np.ones(3), (5, rows))
    return {f"x{feature}:x{5 + source}": shares[feature, :, source] for feature in range(5) for source in range(3)}


def measure_shares(rows: int) -> None:
    """Prints the cost of computing shares, as a part of the build, beside that of BG/NBD's predictions."""
    rng = np.random.default_rng(9)
    first = rng.integers(1, 700, rows)
    bought = np.minimum(1 + rng.poisson(rng.gamma(0.7, 6, rows)), first)
    last = np.where(bought == 1, first, rng.integers(1, first - bought + 2))
    model, amounts = BGNBD(0.7, 0.8, 0.5, 5.0, False, 30), GammaGamma(6.25, 3.74, 15.44, False)
    history = np.stack([last, first, bought]).astype(float)
    spend = bought * rng.lognormal(3, 1, rows)
    seconds = _seconds(lambda: prediction_shares(history, spend, model, amounts, TypicalInputs(60, 200, 3), 30))
    print(f"prediction_shares() of five predictions: {rows / seconds:,.0f} rows/s")


def measure_scoring(
    columns: dict[str, np.ndarray], booster: lgb.Booster, spent: np.ndarray, options: argparse.Namespace
) -> None:
    """Prints the cost of contributions and reasons of a value model, part by part."""
    spending = SpendRegressor(n_estimators=options.trees, num_leaves=_leaves(booster))
    spend = spending.fit(_head(columns), spent[:TRAINING_ROWS]).booster_.model_to_string()
    spread = Spread(0.8, 0.8, (0.0, 1.0), (1.0,), ((0.0, 2.0),), (1.3,), 0.1)
    bundle = ModelBundle(
        kind="value",
        name="benchmark",
        features=tuple(columns),
        task={},
        gate=Margin(trees=(booster.model_to_string(),), weights=(1.0,)),
        spend=Margin(trees=(spend,), weights=(1.0,)),
        spread=spread,
    )
    table, parts = pa.table({**columns, **handed_on(options.rows)}), []
    contributions.compute_contributions(bundle, table.slice(0, 1000))
    for _ in range(options.runs):
        with (
            recorded_calls(contributions, "_margin_shap_values") as margins,
            recorded_calls(ModelBundle, "predict") as predicting,
        ):
            total = _seconds(lambda: contributions.compute_contributions(bundle, table))
        parts.append((total, sum(margins) / total, sum(predicting) / total))
    total, shap, predict = (statistics.median(own) for own in zip(*parts, strict=True))
    print(
        f"\ncontributions() of a churn and a value number: {options.rows / total:,.0f} rows/s; {shap:.0%} SHAP of two "
        f"margins, {predict:.0%} predict, {1 - shap - predict:.0%} sharing out to probability and money, and handing on"
    )
    few = table.slice(0, min(options.rows, 100_000))
    part = contributions.compute_contributions(bundle, few)["value"]
    units = ("days", "money", "share", "#order", "number")
    catalog = [
        Feature(name, lambda m: m, f"family {i % 25}", name, f"{{value:{units[i % 5]}}} of {name}", "days", unread="-")
        for i, name in enumerate(columns)
    ]
    seconds = _seconds(lambda: contributions.top_reasons(part, few, catalog, 3))
    print(f"reasons(), three each: {few.num_rows / seconds:,.0f} rows/s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
