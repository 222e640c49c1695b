"""Records every number, id and code that a checkout computes, and compares two checkouts value for value.

    python tests/equal_values/record.py record --checkout . --out values/
    python tests/equal_values/record.py compare values/before values/after

`record` runs the command line of a checkout on three businesses with fixed seeds: `demo --quick` (a tenth of the
households of The Complete Journey), a simulated shop with randomised contacts, and a made-up business with contracts.
It writes one JSON file for each business: a digest for each column of every Parquet file, for each value of every JSON
file, and for the metrics in MLflow. Sentences that people read, digests of code, dates of runs and folders are left
out, since a change of words is no change of numbers. Digests depend on the machine's floating point, so compare two
checkouts on the same machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

READ_BY_PEOPLE = {  # keys and columns that hold sentences
    "phrase", "reading", "text", "note", "notes", "sentence", "message", "advice", "words", "why", "title", "meaning",
    "description", "details", "how", "label_text", "what", "name_text", "todo", "summary",
}  # fmt: skip
OF_THE_RUN = {  # keys that name code, runs, folders and moments
    "code", "versions", "run", "run_id", "digest", "sha256", "fingerprint", "snapshot_fingerprint", "models_digest",
    "version", "made_at", "at", "time", "started", "ended", "seconds", "folder", "file", "path", "files", "source_code",
    "config_digest", "plan_digest", "plan_sha256", "identity", "packages",
}  # fmt: skip


def run(checkout: Path, folder: Path, *words: str, allowed: tuple[int, ...] = (0, 1, 2)) -> None:
    """Runs one command of a checkout in a folder; raises where it ends with another exit code than is allowed."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(checkout / "regulars.py"), *words]
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    (folder / "commands.log").open("a").write(f"$ {words} -> {done.returncode}\n{done.stdout}{done.stderr}\n")
    if done.returncode not in allowed:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def demo_quick(checkout: Path, folder: Path) -> None:
    """The demo on a tenth of the households."""
    run(checkout, folder, "demo", "--quick", "--out", "regulars-demo")


def shop(checkout: Path, folder: Path) -> None:
    """A simulated shop: scores, segments, a plan with its contacts, its measured effect, uplift, monitoring."""
    run(checkout, folder, "simulate", "--customers", "500", "--out", "shop", "--days", "600")
    home = folder / "shop"
    config = home / "regulars.toml"
    text = config.read_text(encoding="utf-8")
    text = text.replace('horizon = "90d"', 'horizon = "60d"\nevery = "30d"\nvalue_horizons = ["120d"]')
    config.write_text(text + SHOP_PLAN, encoding="utf-8")
    for words in (
        ["check"],
        ["build", "--cutoff", "2024-03-01", "--cutoff", "2024-06-01", "--out", "built.parquet"],
        ["train"],
        ["train", "uplift"],
        ["promote"],
        ["promote", "uplift"],
        ["backtest", "--cutoffs", "2"],
        ["score", "--cutoff", "2024-04-01"],
        ["score", "--cutoff", "2024-06-01", "--contributions"],
        ["segments", "--cutoff", "2024-06-01"],
        ["uplift", "--cutoff", "2024-06-01"],
        ["plan", "--cutoff", "2024-06-01", "--budget", "60"],
    ):
        run(checkout, home, *words)
    send(home, next((home / "output" / "plans").rglob("plan.csv")))
    run(checkout, home, "measure", "2024-06-01")
    run(checkout, home, "monitor", "--cutoff", "2024-06-01")
    run(checkout, home, "report", "--cutoff", "2024-06-01")


SHOP_PLAN = """
[training]
trials = 2
seed = 7
bootstrap = 100
[plan]
margin = 0.3
holdout = 0.3
[plan.actions.email]
cost = 0.2
save_rate = 0.1
[plan.actions.voucher]
cost = 2
save_rate = 0.3
"""


def send(home: Path, plan: Path) -> None:
    """Adds the contacts of a plan to the log of contacts, one day after its cutoff."""
    import csv

    with plan.open(encoding="utf-8") as file:
        sent = [row for row in csv.DictReader(file) if row["action"]]
    known = pq.read_table(home / "contacts")
    first = known.schema
    day = np.datetime64("2024-06-02T09:00:00", "us").item()
    rows = [{"customer_id": row["customer_id"], "time": day, "action": row["action"], "cost": 0.5} for row in sent]
    table = pa.Table.from_pylist([{name: row.get(name) for name in first.names} for row in rows], schema=first)
    pq.write_table(table, home / "contacts" / "part-99999.parquet")


def contracts(checkout: Path, folder: Path) -> None:
    """A made-up business with contracts and a customer table."""
    home = folder / "contracts"
    write_contracts(home)
    for words in (
        ["check"],
        ["build", "--cutoff", "2023-01-01", "--cutoff", "2023-06-01", "--out", "built.parquet"],
        ["train"],
        ["promote"],
        ["backtest", "--cutoffs", "2"],
        ["score", "--cutoff", "2023-08-01"],
        ["score", "--cutoff", "2023-10-01", "--contributions"],
        ["segments", "--cutoff", "2023-10-01"],
        ["plan", "--cutoff", "2023-10-01", "--budget", "50"],
        ["monitor", "--cutoff", "2023-10-01"],
        ["report", "--cutoff", "2023-10-01"],
    ):
        run(checkout, home, *words)


CONTRACTS = """\
config_version = 1
name = "cover"
[subscriptions]
source = "terms.parquet"
customer = "customer"
start = "from"
end = "to"
reason = "why"
cancelled = ["cancelled"]
price = "price"
price_every = "30d"
until = "2023-12-22"
[customers]
source = "people.parquet"
customer = "customer"
attributes = ["plan", "age"]
constant = ["plan", "age"]
[task]
churn = "cancelled"
horizon = "60d"
every = "60d"
windows = ["30d", "90d"]
[training]
trials = 2
seed = 5
bootstrap = 50
[plan]
margin = 0.3
holdout = 0.2
[plan.actions.call]
cost = 2
save_rate = 0.3
"""


def write_contracts(home: Path, customers: int = 400, days: int = 720, seed: int = 3) -> None:
    """Writes terms, people and the config of a business with contracts."""
    rng = np.random.default_rng(seed)
    start, terms, people = date(2022, 1, 1), [], []
    for number in range(customers):
        customer, plan, age = f"customer-{number:04d}", str(rng.choice(["gold", "basic"])), int(rng.integers(20, 80))
        people.append({"customer": customer, "plan": plan, "age": float(age)})
        risk, day, price = (0.0012 if plan == "gold" else 0.004), int(rng.integers(0, 500)), float(rng.integers(5, 30))
        until_cancelled, until_death = rng.exponential(1 / risk), rng.exponential(1 / (age * 6e-6))
        end = day + int(min(until_cancelled, until_death)) + 1
        ended = end < days
        reason = "cancelled" if until_cancelled < until_death else "death"
        terms.append(
            {
                "customer": customer, "from": start + timedelta(day), "to": start + timedelta(end) if ended else None,
                "why": reason if ended else None, "price": price,
            }
        )  # fmt: skip
    home.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(terms), home / "terms.parquet")
    pq.write_table(pa.Table.from_pylist(people), home / "people.parquet")
    (home / "regulars.toml").write_text(CONTRACTS, encoding="utf-8")


BUSINESSES: dict[str, Callable[[Path, Path], None]] = {"demo_quick": demo_quick, "shop": shop, "contracts": contracts}


def digest(values: Any) -> str:
    """A short digest of JSON-like values; floats by their shortest exact form."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def without_text(value: Any) -> Any:
    """A value without the parts that are sentences or name the run."""
    if isinstance(value, dict):
        return {k: without_text(v) for k, v in value.items() if k not in READ_BY_PEOPLE | OF_THE_RUN}
    return [without_text(item) for item in value] if isinstance(value, list) else value


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (path, leaf) of a JSON value."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from flat(value[key], f"{path}.{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from flat(item, f"{path}[{place}]")
    else:
        yield path, value


def table_values(file: Path) -> dict[str, str]:
    """A digest for each column of a Parquet file that is no text for people."""
    table = pq.ParquetFile(file).read()
    names = [name for name in table.column_names if name not in READ_BY_PEOPLE | OF_THE_RUN]
    return {f"[{name}]": digest(without_text(table[name].to_pylist())) for name in names}


def json_values(file: Path) -> dict[str, str]:
    """Each leaf of a JSON file that is no sentence (a text with a space in it) and does not name the run."""
    leaves = flat(without_text(json.loads(file.read_text(encoding="utf-8"))))
    return {path: repr(leaf) for path, leaf in leaves if not (isinstance(leaf, str) and " " in leaf)}


def metric_values(database: Path) -> dict[str, str]:
    """The metrics in MLflow's database, each with all values logged under its name, sorted."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT key, value FROM metrics ORDER BY key, value").fetchall()
    found: dict[str, list[float]] = {}
    for key, value in rows:
        found.setdefault(f"metric.{key}", []).append(value)
    return {key: digest(values) for key, values in found.items() if "second" not in key and "time" not in key}


def values(home: Path) -> dict[str, str]:
    """Everything that was computed in a folder, by file and column or path."""
    found: dict[str, str] = {}
    for file in sorted(home.rglob("*")):
        place = file.relative_to(home).as_posix()
        if "mlruns" in place or "/snapshots/" in place or "mlartifacts" in place or not file.is_file():
            continue
        if file.suffix == ".parquet":
            found |= {f"{place}{key}": value for key, value in table_values(file).items()}
        elif file.suffix == ".json":
            found |= {f"{place}{key}": value for key, value in json_values(file).items()}
        elif file.name == "mlflow.db":
            found |= {f"{place}:{key}": value for key, value in metric_values(file).items()}
    return found


def record(checkout: Path, out: Path, names: list[str]) -> None:
    """Runs the businesses with a checkout and writes what was computed, one JSON file for each."""
    for name in names:
        work = out / name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        BUSINESSES[name](checkout.resolve(), work)
        found = values(work)
        (out / f"{name}.json").write_text(json.dumps(found, indent=0, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{name}: {len(found):,} values, digest {digest(found)}")


def compare(before: Path, after: Path) -> int:
    """Prints what differs between two records; returns 1 where anything does."""
    different = 0
    for file in sorted(before.glob("*.json")):
        old, new = (json.loads((folder / file.name).read_text(encoding="utf-8")) for folder in (before, after))
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        different += len(changed)
        print(f"{file.stem}: {len(old):,} values before, {len(new):,} after, {len(changed):,} differ")
        for key in changed[:40]:
            print(f"    {key}: {old.get(key)} -> {new.get(key)}")
    return 1 if different else 0


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    recorder = commands.add_parser("record")
    recorder.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parents[2])
    recorder.add_argument("--out", type=Path, required=True)
    recorder.add_argument("businesses", nargs="*", default=[], help=", ".join(BUSINESSES))
    comparer = commands.add_parser("compare")
    comparer.add_argument("before", type=Path)
    comparer.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.command == "compare":
        return compare(given.before, given.after)
    record(given.checkout, given.out, given.businesses or list(BUSINESSES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
