"""The cost of `regulars train`: time, CPU seconds and peak memory, and how many plain LightGBM hurdles cost as much.

Each setting is trained in a process of its own with default settings, MLflow included. Afterwards the same process fits
plain LightGBM (P(return) x spend, not tuned or calibrated) on the same rows. The eleven-year log has a horizon of a
year; the others simulate two years.

    python benchmarks/training_cost.py [--data DIR] [--cache DIR] [--quick] [--busy] [--customers N ...] [SETTING ...]
"""

from __future__ import annotations

import serving.quiet_start  # noqa: F401 (first: LightGBM's threads sleep while they wait, as in the command)

# isort: split
import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from features.config.load import Config, load_config
from features.simulation.simulate import simulate_business

SEED = 7
ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ("cdnow", "eleven_years", "demo")


def main(arguments: Sequence[str]) -> int:
    """Prints a Markdown table, one row for each setting."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("settings", nargs="*", help=f"of {', '.join(SETTINGS)}; all of them without arguments")
    parser.add_argument("--data", type=Path, default=ROOT / "benchmarks" / "data", help="where cdnow_master.csv.gz is")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "regulars-training")
    parser.add_argument("--customers", type=int, nargs="*", default=[], help="also simulated businesses of these sizes")
    parser.add_argument("--quick", action="store_true", help="measure `train --quick`")
    parser.add_argument("--busy", action="store_true", help="beside processes that keep every core busy")
    parser.add_argument("--waiting", action="store_true", help="instead, 60 trees with threads that sleep or spin")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.waiting:
        return compare_waiting()
    if options.one:
        print(json.dumps(measure_training(load_config(options.one), options.quick)))
        return 0
    chosen = options.settings or ([] if options.customers else SETTINGS)
    names = [*chosen, *(f"{customers} customers" for customers in options.customers)]
    print(f"{os.cpu_count()} cores{', --quick' if options.quick else ''}{', all busy' if options.busy else ''}\n")
    print("| setting | rows | features | time | CPU | peak memory | plain LightGBM: time, CPU | of it: time, CPU |")
    print("|:---|---:|---:|---:|---:|---:|---:|---:|")
    with busy_cores(os.cpu_count() or 1) if options.busy else nullcontext():
        for name in names:
            figures = _measure_in_process(_prepare(name, options.data, options.cache), options.quick)
            print(table_row(name, figures), flush=True)
    return 0


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Keeps so many cores busy with processes that count."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure_training(config: Config, quick: bool) -> dict[str, Any]:
    """Trains in this process, then fits the plain hurdle on the same rows.

    Args:
        config: The business.
        quick: Whether to take a quick look.

    Returns:
        rows, features, and for training and the hurdle seconds, CPU seconds; peak memory of the training in bytes.
    """
    from features.snapshots.build import build_snapshots
    from training.data.time_split import sample_at, training_sample
    from training.evaluation.baselines import lightgbm_baseline
    from training.train import train_models

    begun, cpu = time.perf_counter(), _cpu_seconds()
    trained = train_models(config, quick=quick, report_line=lambda line: print(line, file=sys.stderr))
    seconds, cpu = time.perf_counter() - begun, _cpu_seconds() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if quick:
        config = config.model_copy(update={"training": config.training.as_quick()})
    rows, split = build_snapshots(config), trained.fitted.split
    train, truth = training_sample(rows, split.test), sample_at(rows, [split.test.test])
    begun, plain_cpu = time.perf_counter(), _cpu_seconds()
    lightgbm_baseline(train, truth, rows.task.horizon)
    return {
        "rows": rows.rows.num_rows,
        "features": len(rows.features),
        "seconds": seconds,
        "cpu": cpu,
        "peak": peak,
        "plain": time.perf_counter() - begun,
        "plain_cpu": _cpu_seconds() - plain_cpu,
    }


def compare_waiting() -> int:
    """Fits 60 trees on 60,000 x 100 numbers in new processes, with threads that sleep while they wait and that spin."""
    code = (
        "import time, numpy as np, lightgbm as lgb; rng = np.random.default_rng(0); X = rng.normal(size=(60000, 100)); "
        "y = (X[:, 0] + rng.normal(size=60000) > 0).astype(float); d = lgb.Dataset(X, label=y).construct(); "
        "t, c = time.perf_counter(), time.process_time(); "
        "p = dict(objective='binary', verbosity=-1, deterministic=True, force_row_wise=True, num_leaves=15); "
        "lgb.train(p, d, 60); print(f'{time.perf_counter() - t:.1f} s, CPU {time.process_time() - c:.1f} s')"
    )
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    others = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "KMP_"))}
    for policy in ("PASSIVE", "", "PASSIVE", ""):
        environment = {**others, **({"OMP_WAIT_POLICY": policy} if policy else {})}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        print(f"{'sleeping' if policy else 'usual'} threads: {done.stdout.strip().splitlines()[-1]}", flush=True)
    return 0


def table_row(name: str, figures: dict[str, Any]) -> str:
    """One row of the table."""
    times, cpus = figures["seconds"] / figures["plain"], figures["cpu"] / figures["plain_cpu"]
    return (
        f"| {name.replace('_', ' ')} | {figures['rows']:,} | {figures['features']} | {figures['seconds']:.0f} s "
        f"| {figures['cpu']:.0f} s | {figures['peak'] / 1e9:.1f} GB "
        f"| {figures['plain']:.1f} s, {figures['plain_cpu']:.1f} s | {times:.1f}, {cpus:.1f} |"
    )


def _measure_in_process(config: Path, quick: bool) -> dict[str, Any]:
    """Trains in a new process, without features or models of an earlier run."""
    for left in (config.parent / "output", config.parent / "mlflow.db", config.parent / "mlartifacts"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--one", str(config), *(["--quick"] if quick else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    if done.returncode:
        raise SystemExit(f"{config}: {(done.stderr.strip() or f'ended with {done.returncode}').splitlines()[-1]}")
    print(done.stderr.strip().splitlines()[0], file=sys.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def _prepare(name: str, data: Path, cache: Path) -> Path:
    """Writes the log and the config of a setting, unless they are there; returns the config."""
    folder = cache / name.replace(" ", "_")
    target = folder / "regulars.toml"
    if target.exists():
        return target
    if name == "cdnow":
        folder.mkdir(parents=True, exist_ok=True)
        text = (ROOT / "benchmarks" / "cdnow.toml").read_text(encoding="utf-8")
        target.write_text(text.replace('"data/', f'"{data.resolve()}/'), encoding="utf-8")
    elif name == "demo":
        from serving.demo import prepare_demo

        prepare_demo(folder)
    elif name == "eleven_years":
        simulate_business(folder, 18_000, days=4000, seed=SEED)
        text = target.read_text(encoding="utf-8")
        target.write_text(text.replace('horizon = "90d"', 'horizon = "365d"'), encoding="utf-8")
    else:
        simulate_business(folder, int(name.split()[0]), seed=SEED)
    return target


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
