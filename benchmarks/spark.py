"""Spark compared with DuckDB on one machine: one build of one simulated log, each engine in its own process.

    python benchmarks/spark.py [--customers 60000] [--cutoffs 1] [--threads 2]

Prints a Markdown table and the ratio. Every figure is for a complete `regulars build`: start, reading, features,
labels, writing Parquet. Memory is the peak of the process, for Spark including its Java process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date, timedelta
from pathlib import Path

import pyarrow.dataset as ds

ROOT = Path(__file__).resolve().parent.parent
LAST = date(2024, 9, 1)


def measure_build(config: Path, out: Path, cutoffs: int) -> tuple[float, float]:
    """Seconds and peak gigabytes of one build."""
    days = [option for n in range(cutoffs) for option in ("--cutoff", str(LAST - timedelta(days=30 * n)))]
    command = [sys.executable, str(ROOT / "regulars.py"), "-c", str(config), "build", *days, "--out", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    code = process.wait()
    watcher.join()
    if code:
        raise SystemExit(f"{' '.join(command)}: exit {code}")
    return time.perf_counter() - start, peak[0]


def _watch(process: subprocess.Popen[bytes], peak: list[float]) -> None:
    """Records the largest sum of resident memory over the processes of a session."""
    while process.poll() is None:
        peak[0] = max(peak[0], sum(_resident(folder, process.pid) for folder in Path("/proc").glob("[0-9]*")))
        time.sleep(0.5)


def _resident(folder: Path, session: int) -> float:
    """Gigabytes of a process; 0 if it belongs to another session or has ended."""
    try:
        same = int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == session
        return int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**30 if same else 0.0
    except OSError:
        return 0.0


def main() -> None:
    """Simulates a log, builds with each engine, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=60_000)
    parser.add_argument("--cutoffs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spark-") as name:
        folder = Path(name)
        command = [sys.executable, str(ROOT / "regulars.py"), "simulate", "--customers", str(options.customers)]
        subprocess.run([*command, "--out", str(folder / "log")], check=True, stdout=subprocess.DEVNULL)
        text = (folder / "log" / "regulars.toml").read_text()
        figures = {}
        for kind, memory in (("duckdb", ""), ("spark", "2GB")):
            config = folder / "log" / f"{kind}.toml"
            config.write_text(f'{text}\n[engine]\nkind = "{kind}"\nthreads = {options.threads}\nmemory = "{memory}"\n')
            figures[kind] = measure_build(config, folder / kind, options.cutoffs)
        events = ds.dataset(folder / "log" / "events").count_rows()
        written = ds.dataset(folder / "spark")
        size = f"{written.count_rows():,} rows of {len(written.schema)} columns at {options.cutoffs} cutoff(s)"
        load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(
        f"{events:,} events of {options.customers:,} customers; {size}; {options.threads} threads; "
        f"load average {load}\n"
    )
    print("| engine | seconds | peak memory, GB |\n|---|---:|---:|")
    for kind, (seconds, gigabytes) in figures.items():
        print(f"| {kind} | {seconds:.1f} | {gigabytes:.1f} |")
    (duckdb, _), (spark, _) = figures["duckdb"], figures["spark"]
    print(f"\nSpark takes {spark / duckdb:.1f} times as long as DuckDB.")


if __name__ == "__main__":
    main()
