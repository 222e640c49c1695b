"""The cost of scoring a cutoff: time of each pass, customers a second, and peak memory beyond `[engine] memory`.

Trains on a small simulated business, simulates a large one (both kept in the cache folder), and scores all customers of
the large one with reasons and contributions in a separate process. Prints one Markdown row for each size.

    python benchmarks/score.py [--customers 1e5 1e6] [--memory 2GB] [--chunk 100000] [--teach 20000] [--cache DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from features.simulation.simulate import simulate_business

START, DAYS, SEED = date(2023, 1, 1), 730, 7
CUTOFF = START + timedelta(days=DAYS)
MAX_EXTRA_MEMORY = 2 * 1024**3  # bytes beyond the engine's own setting
KEYS = """\
active_within = "730d"
windows = ["30d", "90d"]
[training]
trials = 0
bootstrap = 50
[features]
cache = "off"
"""


def main(arguments: Sequence[str]) -> int:
    """Prints the table; returns 1 if a size needs more extra memory than MAX_EXTRA_MEMORY."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--customers", type=float, nargs="+", default=[1e5, 1e6], help="sizes, before the cohort")
    parser.add_argument("--memory", default="2GB", help="[engine] memory (2GB)")
    parser.add_argument("--chunk", type=int, default=100_000, help="[serving] chunk (100000)")
    parser.add_argument("--teach", type=float, default=2e4, help="customers of the business for training (20000)")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "regulars-score")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure_scoring(options.one)))
        return 0
    cache = options.cache.resolve()
    train_champions(cache, int(options.teach))
    figures = [measure_in_process(cache, int(size), options.memory, options.chunk) for size in options.customers]
    print(table(figures, options.memory, options.chunk))
    return int(any(f["beyond"] > MAX_EXTRA_MEMORY for f in figures))


def train_champions(cache: Path, customers: int) -> None:
    """Trains the champion models, once for each cache folder."""
    folder = cache / "teacher"
    if (folder / "done").exists():
        return
    simulate_business(folder, customers, days=DAYS, start=START, seed=SEED + 1)
    config = folder / "regulars.toml"
    config.write_text(config.read_text(encoding="utf-8") + KEYS + tracking_section(cache), encoding="utf-8")
    run_script(["-c", config, "train"], script="regulars.py")
    (folder / "done").touch()


def measure_in_process(cache: Path, customers: int, memory: str, chunk: int) -> dict[str, Any]:
    """Simulates once, then scores in a new process, so that time and memory are those of scoring alone."""
    folder, scratch = cache / f"customers={customers}", cache / "scratch"
    if not folder.exists():
        simulate_business(folder, customers, days=DAYS, start=START, seed=SEED)
    scratch.mkdir(exist_ok=True)
    config = folder / "regulars.toml"
    text = config.read_text(encoding="utf-8").split("active_within")[0] + KEYS + tracking_section(cache)
    engine = f'[engine]\nmemory = "{memory}"\nscratch = {json.dumps(str(scratch))}\n'
    config.write_text(f"{text}{engine}[serving]\nchunk = {chunk}\n", encoding="utf-8")
    shutil.rmtree(folder / "output", ignore_errors=True)
    measured = json.loads(run_script(["--one", config]).splitlines()[-1])
    setting = float(memory.removesuffix("GB")) * 1e9
    # The engine is closed before scoring starts, so its setting does not count then.
    beyond = max(measured["peaks"]["engine"] - setting, measured["peaks"]["scoring"])
    return {**measured, "beyond": beyond}


def tracking_section(cache: Path) -> str:
    return f'[tracking]\nuri = "sqlite:///{cache}/mlflow.db"\n'


def run_script(words: Sequence[Any], script: str = "benchmarks/score.py") -> str:
    """Runs a script of this checkout; returns what it prints."""
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, str(root / script), *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def measure_scoring(path: Path) -> dict[str, Any]:
    """Scores the last day with contributions, in this process."""
    from features.config.load import load_config
    from serving.scoring import passes
    from serving.scoring import run as room

    config, seconds = load_config(path), {"engine": 0.0, "numbers": 0.0, "reasons": 0.0}
    stop, phase, peaks = threading.Event(), ["engine"], {"engine": 0, "scoring": 0}
    watch = threading.Thread(target=_watch, args=(stop, phase, peaks))
    room.score_all = _marking_phase(room.score_all, phase)
    passes.LocalPasses.predict_all = _timed(passes.LocalPasses.predict_all, seconds, "numbers")  # type: ignore[method-assign]
    passes._explain_chunk = _timed(passes._explain_chunk, seconds, "reasons")
    watch.start()
    begun = time.perf_counter()
    scores = room.score_customers(config, CUTOFF, with_contributions=True)
    total = time.perf_counter() - begun
    stop.set()
    watch.join()
    seconds["engine"] = total - seconds["numbers"] - seconds["reasons"]
    bundle = room.load_champions(config).richest.bundle
    trees = sum(b.num_trees() for m in (bundle.gate, bundle.spend) if m for b in m.boosters())
    counts = {"customers": scores.manifest.customers, "features": len(bundle.features), "trees": trees}
    return {**counts, "seconds": total, "each": seconds, "peaks": peaks}


def _marking_phase(call: Callable[..., Any], phase: list[str]) -> Callable[..., Any]:
    def marked(*arguments: Any) -> Any:
        phase[0] = "scoring"
        return call(*arguments)

    return marked


def _timed(call: Callable[..., Any], seconds: dict[str, float], name: str) -> Callable[..., Any]:
    def timed(*arguments: Any) -> Any:
        begun = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            seconds[name] += time.perf_counter() - begun

    return timed


def _watch(stop: threading.Event, phase: list[str], peaks: dict[str, int]) -> None:
    """Records the peak memory of the process in each phase, checked twenty times a second."""
    page = os.sysconf("SC_PAGE_SIZE")
    while not stop.wait(0.05):
        now = int(Path("/proc/self/statm").read_text().split()[1]) * page
        peaks[phase[0]] = max(peaks[phase[0]], now)


def table(figures: Sequence[dict[str, Any]], memory: str, chunk: int) -> str:
    """The Markdown table, with one row for each size."""
    lines = [
        f"Reasons and contributions of everyone, `[engine] memory = {memory!r}`, chunks of {chunk:,}, "
        f"{os.cpu_count()} cores.\n",
        "| customers | features | trees | log and features | numbers | reasons | all | customers/s "
        "| peak of the engine | peak of scoring | beyond the engine's setting |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for f in figures:
        each, peaks = f["each"], f["peaks"]
        lines.append(
            f"| {f['customers']:,} | {f['features']} | {f['trees']} | {each['engine']:.0f} s | {each['numbers']:.0f} s "
            f"| {each['reasons']:.0f} s | {f['seconds']:.0f} s | {f['customers'] / f['seconds']:,.0f} "
            f"| {peaks['engine'] / 1e9:.2f} GB | {peaks['scoring'] / 1e9:.2f} GB | {f['beyond'] / 1024**3:.2f} GiB |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
