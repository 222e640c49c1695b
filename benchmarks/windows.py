"""Aggregates over past windows: time and memory of ours, Polars, pandas and plain SQL.

A simulated log of 5 million events of 200,000 customers over two years is written as Parquet. Every contender reads
it in its own process and returns an Arrow table with one row for each customer and cutoff: 12 aggregates over the last
7, 30, 90 and 180 days. The clock starts after its libraries are imported; memory is the peak resident size of the
process (Linux). Contenders take turns, and the median counts. All must give the same numbers.

    python benchmarks/windows.py [--events N] [--customers N] [--cutoffs N ...] [--runs N] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.window_contenders import CONTENDERS, COUNTS, WINDOWS  # noqa: E402

DAYS = 730
START = date(2023, 1, 1)
LAST_CUTOFF = date(2024, 12, 1)
EVERY = 30
SEED = 7
KINDS = ("purchase", "visit", "search", "basket", "wish", "review", "return", "mail", "call", "chat", "app", "store")
AGGREGATES = (*COUNTS, "amount", "mean", "max", "min", "spread", "recency")
TOLERANCE = 1e-9
MAX_PANDAS_CUTOFFS = 3
LIBRARIES = ("duckdb", "ibis-framework", "numpy", "pandas", "polars", "pyarrow")


def main(arguments: Sequence[str]) -> int:
    """Prints one table for each number of cutoffs; exits with an error if contenders disagree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--cutoffs", type=int, nargs="+", default=[3, 12], help="how many, 30 days apart (3 12)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each contender, of which the median counts (3)")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, help="some contenders")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        return run_worker(*options.worker)
    with tempfile.TemporaryDirectory(prefix="windows-") as folder:
        log = Path(folder) / "log.parquet"
        write_log(log, options.events, options.customers)
        print(setting_text(log, options))
        for count in options.cutoffs:
            print(compare_contenders(log, count, options.runs, options.only or CONTENDERS), flush=True)
    return 0


def write_log(path: Path, events: int, customers: int) -> None:
    """Simulates a log in order of time: some customers come often, some products sell well, 4% are refunds."""
    rng = np.random.default_rng(SEED)
    eagerness = rng.gamma(1.2, 1.0, customers)
    who = rng.choice(customers, events, p=eagerness / eagerness.sum())
    seconds = np.sort(rng.integers(0, DAYS * 86_400, events))
    kind = rng.choice(len(KINDS), events, p=_falling(np.arange(len(KINDS)) + 1.0))
    product = rng.choice(5_000, events, p=_falling(np.arange(5_000) + 20.0))
    cents = np.round(np.exp(rng.normal(3.2, 0.9, events)) * 100) * np.where(rng.random(events) < 0.04, -1, 1)
    table = {
        "customer_id": _named(who, [f"C{i:07d}" for i in range(customers)]),
        "time": pa.array(np.datetime64(START, "us") + seconds.astype("timedelta64[s]")),
        "kind": _named(kind, list(KINDS)),
        "product": _named(product, [f"P{i:04d}" for i in range(5_000)]),
        "amount": pa.array(cents / 100),
    }
    pq.write_table(pa.table(table), path, compression="zstd")


def _falling(rank: np.ndarray) -> np.ndarray:
    return (1 / rank) / (1 / rank).sum()


def _named(codes: np.ndarray, names: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(names)).cast(pa.string())


def cutoffs(count: int) -> list[date]:
    """The last `count` cutoffs, 30 days apart, ascending."""
    return [LAST_CUTOFF - timedelta(EVERY * i) for i in range(count)][::-1]


def setting_text(log: Path, options: argparse.Namespace) -> str:
    """The sizes, versions and machine of this run, in one line."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    return (
        f"{options.events:,} events of {options.customers:,} customers ({log.stat().st_size / 1e6:.0f} MB of Parquet), "
        f"{len(AGGREGATES)} aggregates x {len(WINDOWS)} windows ({', '.join(map(str, WINDOWS))} days); seed {SEED}; "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {versions}; "
        f"median of {options.runs} runs in turns.\n"
    )


def compare_contenders(log: Path, count: int, runs: int, names: Sequence[str]) -> str:
    """Runs the contenders in turns, checks their numbers against the first, and tabulates.

    Args:
        log: The log.
        count: How many cutoffs.
        runs: Runs of each contender.
        names: The contenders.

    Returns:
        The table and the checks, as Markdown.

    Raises:
        SystemExit: A contender failed, or its numbers differ.
    """
    names = [name for name in names if name != "pandas" or count <= MAX_PANDAS_CUTOFFS]
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(runs):
        for name in names:
            out = log.with_name(f"{name.replace(' ', '_')}-{count}.arrow")
            figures[name].append(_run(name, log, count, out if turn == 0 else None))
    files = {name: log.with_name(f"{name.replace(' ', '_')}-{count}.arrow") for name in names}
    checked = [_check(files[names[0]], files[name], name) for name in names[1:]]
    for file in files.values():
        file.unlink()
    middle = {n: {k: statistics.median(f[k] for f in fs) for k in fs[0]} for n, fs in figures.items()}
    return _table(middle, count) + "".join(f"\n{line}" for line in checked) + "\n"


def _run(name: str, log: Path, count: int, out: Path | None) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__)), "--cutoffs", str(count), "--worker", name, str(log), str(out or "")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _table(middle: dict[str, dict[str, float]], count: int) -> str:
    polars = [f for name, f in middle.items() if name.startswith("polars")]
    best = min(polars or middle.values(), key=lambda f: f["seconds"])
    reference = "Polars" if polars else "the fastest"
    lines = [
        f"### {count} cutoffs\n",
        f"| contender | seconds | of {reference} | processor seconds | GB | of {reference} |",
        "|:---|---:|---:|---:|---:|---:|",
    ]
    for name, f in middle.items():
        lines.append(
            f"| {name} | {f['seconds']:.2f} | {f['seconds'] / best['seconds']:.2f} | {f['processor']:.1f} "
            f"| {f['memory'] / 1e9:.2f} | {f['memory'] / best['memory']:.2f} |"
        )
    footnote = "\n'Of Polars' compares with the fastest of the Polars variants.\n" if polars else ""
    return "\n".join(lines) + "\n" + footnote


def _check(expected_file: Path, actual_file: Path, name: str) -> str:
    """Says how many numbers agree; raises SystemExit if one does not."""
    left, right = (_sorted(path) for path in (expected_file, actual_file))
    for key in ("customer_id", "cutoff"):
        if not left[key].equals(right[key]):
            raise SystemExit(f"{name}: other customers or cutoffs than {expected_file.stem}")
    compared = 0
    for aggregate in AGGREGATES:
        for window in WINDOWS:
            column = f"{aggregate}_{window}"
            a, b = (np.asarray(t[column].cast(pa.float64()).to_numpy(), float) for t in (left, right))
            wrong = ~((np.abs(a - b) <= TOLERANCE * np.maximum(1, np.abs(a))) | (np.isnan(a) & np.isnan(b)))
            if wrong.any():
                i = int(np.flatnonzero(wrong)[0])
                raise SystemExit(
                    f"{name}: {column} of {left['customer_id'][i]} is {b[i]}, {expected_file.stem} has {a[i]}"
                )
            compared += len(a)
    return f"{name}: {compared:,} numbers agree with those of {expected_file.stem.split('-')[0]} to {TOLERANCE:g}."


def _sorted(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    return table.take(pc.sort_indices(table, [("cutoff", "ascending"), ("customer_id", "ascending")]))


def run_worker(name: str, log: str, out: str) -> int:
    """Runs one contender in this process and prints its figures as JSON."""
    count = int(sys.argv[sys.argv.index("--cutoffs") + 1])
    run = CONTENDERS[name]()
    used, start = os.times(), time.perf_counter()
    table = run(Path(log), cutoffs(count))
    seconds, done = time.perf_counter() - start, os.times()
    memory = peak_memory()
    processor = done.user + done.system - used.user - used.system
    if out:
        columns = ["customer_id", "cutoff", *(f"{a}_{w}" for a in AGGREGATES for w in WINDOWS)]
        wanted = table.select(columns).set_column(0, "customer_id", table["customer_id"].cast(pa.string()))
        with pa.OSFile(out, "wb") as file, pa.ipc.new_file(file, wanted.schema) as writer:
            writer.write_table(wanted)
    print(json.dumps({"seconds": seconds, "processor": processor, "memory": memory}))
    return 0


def peak_memory() -> int:
    """The peak resident size of this process in bytes; `ru_maxrss` would start from that of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
