"""The whole catalog at growing sizes: time, cost per event, peak memory and data spilled to disk.

Simulates a business of each size (kept in the cache folder), builds every feature of one cutoff in a separate process
with `[engine] memory` set, and prints a Markdown table; `--draw FILE` draws the curve.

    python benchmarks/scale.py [--events 1e6 1e7 2e7 1e8] [--memory 4GB] [--cache DIR] [--draw FILE.svg]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from features.simulation.settings import Settings
from features.simulation.simulate import simulate_business

START, DAYS, SEED = date(2023, 1, 1), 730, 7
CUTOFF = START + timedelta(days=DAYS)
EVENTS_A_CUSTOMER = 20  # as in 20M events of 1M customers
RATE = 0.0415  # orders a day of living customers, which gives about EVENTS_A_CUSTOMER


def main(arguments: Sequence[str]) -> int:
    """Prints the table; with `--draw` also writes the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--events", type=float, nargs="+", default=[1e6, 1e7, 2e7, 1e8], help="approximate sizes")
    parser.add_argument("--memory", default="4GB", help="[engine] memory (4GB)")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "regulars-scale")
    parser.add_argument("--draw", type=Path, help="where the curve goes, an SVG or PNG")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure_build(options.one)))
        return 0
    figures = [measure_in_process(int(size), options.memory, options.cache) for size in options.events]
    print(table(figures, options.memory))
    if options.draw:
        draw(figures, options.draw)
    return 0


def measure_in_process(events: int, memory: str, cache: Path) -> dict[str, Any]:
    """Simulates once, then builds in a new process, so that time and memory are those of the build alone."""
    folder = cache / f"events={events}"
    if not folder.exists():
        simulate_business(
            folder, events // EVENTS_A_CUSTOMER, days=DAYS, start=START, seed=SEED, settings=Settings(rate_mean=RATE)
        )
    config = folder / "regulars.toml"
    text = config.read_text(encoding="utf-8").split("[engine]")[0].rstrip()
    scratch = cache / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    config.write_text(
        f'{text}\n[engine]\nmemory = "{memory}"\nscratch = {json.dumps(str(scratch))}\n', encoding="utf-8"
    )
    command = [sys.executable, __file__, "--one", str(config)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    if done.returncode:
        raise SystemExit(f"{events:,} events: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure_build(config: Path) -> dict[str, Any]:
    """Builds every feature of the last day into a Parquet file, in this process."""
    import pyarrow.parquet as pq

    from features.config.load import load_config
    from features.snapshots.build import write_snapshots

    loaded = load_config(config)
    loaded = loaded.model_copy(update={"features": loaded.features.model_copy(update={"cache": "off"})})
    scratch = Path(loaded.engine.scratch)
    stop, spilled = threading.Event(), [0]
    watch = threading.Thread(target=_watch, args=(scratch, stop, spilled))
    watch.start()
    out, begun = scratch / "features.parquet", time.perf_counter()
    rows, columns = write_snapshots(loaded, [CUTOFF], out)[:2]
    seconds = time.perf_counter() - begun
    stop.set()
    watch.join()
    out.unlink()
    files = (config.parent / "events").rglob("*.parquet")
    return {
        "events": sum(pq.ParquetFile(file).metadata.num_rows for file in files),
        "customers": rows,
        "features": columns - 4,
        "seconds": seconds,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "spilled": spilled[0],
    }


def _watch(folder: Path, stop: threading.Event, spilled: list[int]) -> None:
    """Records the largest size of the scratch folder, checked twice a second."""
    while not stop.wait(0.5):
        size = 0
        for file in folder.rglob("*.tmp"):
            try:
                size += file.stat().st_size
            except FileNotFoundError:  # gone between the listing and the look
                continue
        spilled[0] = max(spilled[0], size)


def table(figures: Sequence[dict[str, Any]], memory: str) -> str:
    """One row for each size, with the cost per event relative to that of the first row."""
    lines = [
        f"One cutoff, `[engine] memory = {memory!r}`, {os.cpu_count()} cores.\n",
        "| events | customers | features | time | per event | relative to the first | peak memory | spilled |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    first = figures[0]["seconds"] / figures[0]["events"]
    for f in figures:
        each = f["seconds"] / f["events"]
        lines.append(
            f"| {f['events']:,} | {f['customers']:,} | {f['features']} | {f['seconds']:.1f} s | {each * 1e6:.2f} µs "
            f"| {each / first:.2f} | {f['peak'] / 1e9:.1f} GB | {f['spilled'] / 1e9:.1f} GB |"
        )
    return "\n".join(lines)


def draw(figures: Sequence[dict[str, Any]], target: Path) -> None:
    """Draws cost per event and peak memory by the number of events."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    events = [f["events"] for f in figures]
    left.plot(events, [f["seconds"] / f["events"] * 1e6 for f in figures], marker="o")
    left.set(xscale="log", xlabel="events", ylabel="µs per event", ylim=(0, None), title="Cost per event")
    right.plot(events, [f["peak"] / 1e9 for f in figures], marker="o", label="peak memory")
    right.plot(events, [f["spilled"] / 1e9 for f in figures], marker="s", label="spilled to disk")
    right.set(xscale="log", xlabel="events", ylabel="GB", ylim=(0, None), title="Memory")
    right.legend()
    for axis in (left, right):
        axis.grid(alpha=0.3)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
