"""How long the pages of `regulars app` take over many customers.

    python benchmarks/app.py [--customers 1000000] [--requests 20]

Writes an output folder for that many customers (scores of three cutoffs in parts of 100,000, contributions of the
newest, groups, a plan with its curve) and requests each page repeatedly without a server, with other filters, customers
and budgets every time. Prints the first time of each page, which includes computing what is then cached, the median and
maximum of the later times, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from features.config.load import Config, parse_config  # noqa: E402
from serving.scoring.score_tables import write_score_parts  # noqa: E402
from serving.scoring.value_tiers import assign_segments, assign_tiers  # noqa: E402
from tests.webpages import MODELS, app_of, fetch  # noqa: E402

CUTOFFS = (date(2024, 10, 1), date(2024, 11, 1), date(2024, 12, 1))
CHUNK, FEATURES = 100_000, 200
PHRASE = "days since the last order"
REASON = pa.struct(
    [("feature", pa.string()), ("phrase", pa.string()), ("reading", pa.string()), ("contribution", pa.float64())]
)


def main() -> None:
    """Writes the output folder, requests the pages, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="regulars-app-") as folder:
        config = business(Path(folder))
        start = time.perf_counter()
        write_output(config, options.customers)
        print(f"{options.customers:,} customers, made in {time.perf_counter() - start:.0f} s")
        measure_pages(config, options.customers, options.requests)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB, the making included")


def business(folder: Path) -> Config:
    """A config whose log is never read."""
    events = {"source": "log.parquet", "customer": "c", "time": "t", "amount": "a"}
    return parse_config({"config_version": 1, "name": "many", "events": events}, folder / "regulars.toml")


def write_output(config: Config, n: int) -> None:
    """The output folder."""
    rng = np.random.default_rng(1)
    ids = pa.array([f"c{number:09d}" for number in range(n)])
    churn = rng.beta(0.6, 0.6, n)
    spend = rng.lognormal(4, 1, n)
    for day in CUTOFFS:
        write_scores(config.output, day, ids, np.clip(churn + rng.normal(0, 0.02, n), 0.001, 0.999), spend, rng)
    write_contributions(config.output, ids, rng)
    write_groups(config.output, ids, rng)
    write_plan(config.output, ids, churn, spend, rng)


def write_scores(
    output: Path, day: date, ids: pa.Array, churn: np.ndarray, spend: np.ndarray, rng: np.random.Generator
) -> None:
    """The score table of a cutoff with its manifest."""
    n, tiers = len(ids), assign_tiers(spend)
    table = pa.table(
        {
            "customer_id": ids,
            "cutoff": pa.array(
                [datetime(day.year, day.month, day.day, tzinfo=UTC).replace(tzinfo=None)] * n, pa.timestamp("us")
            ),
            "churn_probability": churn,
            "value": (1 - churn) * spend,
            "value_low": (1 - churn) * spend * 0.5,
            "value_high": (1 - churn) * spend * 2,
            "value_at_risk": churn * spend,
            "lifecycle": np.array(["new", "active", "slipping", "dormant"])[rng.integers(0, 4, n)],
            "tier": pa.array(tiers),
            "segment": pa.array(assign_segments(tiers, churn, spend)),
            "churn_reasons": reasons(n, rng),
            "value_reasons": reasons(n, rng),
        }
    )
    folder = output / "scores" / f"cutoff={day}"
    folder.mkdir(parents=True)
    drivers = [
        {"feature": f"f{i}", "phrase": PHRASE, "family": f"g{i}", "strength": 1 / (i + 1), "direction": 1.0}
        for i in range(10)
    ]
    manifest = {
        "cutoff": str(day),
        "customers": n,
        "interval": 0.8,
        "models": MODELS,
        "bases": {"churn": 0.5, "value": 40.0},
        "drivers": {"churn": drivers, "value": drivers},
        "parts": write_score_parts(table, folder, CHUNK),
    }
    if day == CUTOFFS[-1]:
        manifest["contributions"] = {"churn": manifest["parts"], "value": manifest["parts"]}
    (folder / "_manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def reasons(n: int, rng: np.random.Generator) -> pa.Array:
    """Three reasons for each customer."""
    m = 3 * n
    readings = pa.array([f"last order {day} days ago" for day in range(400)]).take(pa.array(rng.integers(0, 400, m)))
    one = lambda text: pa.array([text]).take(pa.array(np.zeros(m, int)))  # noqa: E731
    rows = pa.StructArray.from_arrays(
        [one("f1"), one(PHRASE), readings, pa.array(rng.normal(0, 0.1, m))], fields=list(REASON)
    )
    return pa.ListArray.from_arrays(pa.array(np.arange(0, m + 1, 3), pa.int32()), rows)


def write_contributions(output: Path, ids: pa.Array, rng: np.random.Generator) -> None:
    """Those of every feature to risk and value at the newest cutoff."""
    folder = output / "contributions" / "churn" / f"cutoff={CUTOFFS[-1]}"
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, len(ids), CHUNK)):
        some = ids.slice(start, CHUNK)
        columns = {f"f{i}": rng.normal(0, 0.01, len(some)) for i in range(FEATURES)}
        table = pa.table({"customer_id": some, **columns})
        pq.write_table(table, folder / f"part-{number:05d}.parquet", compression="zstd")
    (output / "contributions" / "value").symlink_to(folder.parent)


def write_groups(output: Path, ids: pa.Array, rng: np.random.Generator) -> None:
    """The groups of the newest cutoff."""
    folder = output / "segments" / f"cutoff={CUTOFFS[-1]}"
    folder.mkdir(parents=True)
    n = len(ids)
    names = np.array(["champions", "loyal", "lost", "new"])[rng.integers(0, 4, n)]
    table = pa.table(
        {
            "customer_id": ids,
            "r": rng.integers(1, 6, n),
            "f": rng.integers(1, 6, n),
            "m": rng.integers(1, 6, n),
            "rfm_group": names,
            "stage": names,
            "stage_since": pa.array([CUTOFFS[0]] * n),
        }
    )
    pq.write_table(table, folder / "customers.parquet")
    card = {
        "segmentation": "rfm_group",
        "customers": n // 4,
        "share": 0.25,
        "churn_probability": 0.5,
        "value": 1e6,
        "value_low": None,
        "value_high": None,
        "value_at_risk": 1e6,
        "left_share": None,
        "left_low": None,
        "left_high": None,
        "rule": "",
        "sets_apart": [],
        "treatment": "",
    }
    pq.write_table(
        pa.Table.from_pylist([{**card, "segment": name} for name in ("champions", "loyal")]),
        folder / "segments.parquet",
    )


def write_plan(output: Path, ids: pa.Array, churn: np.ndarray, spend: np.ndarray, rng: np.random.Generator) -> None:
    """A plan in which four customers of ten have one of two actions."""
    n, chosen = len(ids), rng.random(len(ids)) < 0.4
    cost = np.where(chosen, np.where(rng.random(n) < 0.5, 0.5, 2.0), 0.0)
    gain = np.where(chosen, churn * spend * 0.1 * rng.random(n), 0.0)
    table = pa.table(
        {
            "customer_id": ids,
            "action": pa.array(np.where(cost > 1, "call", "mail"), mask=~chosen),
            "cost": cost,
            "expected_gain": gain,
            "segment": pa.array(["keep"] * n),
            "churn_probability": churn,
            "value": spend,
            "source": pa.array(["assumed"] * n),
            "reasons": pa.array([PHRASE] * n),
            "assignment": pa.array(["gets mail"] * n),
        }
    )
    folder = output / "plans" / f"cutoff={CUTOFFS[-1]}" / "retention"
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "plan.parquet", compression="zstd")
    budget, total = float(cost.sum()), float(gain.sum())
    points = [
        {
            "budget": budget * s,
            "spent": budget * s,
            "gain": total * s**0.5,
            "bound": total * s**0.5,
            "price": total / budget * 0.5 / s**0.5,
            "customers": int(chosen.sum() * s),
        }
        for s in (0.25, 0.5, 1.0, 1.5)
    ]
    (folder / "curve.json").write_text(json.dumps(points), encoding="utf-8")
    counts = {"scored": n, "eligible": n, "held_out": n // 10, "with_action": int(chosen.sum())}
    manifest = {
        "cutoff": str(CUTOFFS[-1]),
        "campaign": "retention",
        "horizon_days": 90,
        "budget": budget,
        "bound": total,
        "gain": total,
        "spent": budget,
        "objective": "margin",
        "customers": counts,
        "assumed": True,
        "actions": {},
        "rules": {"actions": {"mail": {}, "call": {}}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def page_urls(n: int, times: int) -> Iterator[tuple[str, list[str]]]:
    """The URLs to request, by the name of the page."""
    rng = np.random.default_rng(2)
    some = [f"c{number:09d}" for number in rng.integers(0, n, times)]
    yield "overview", ["/"] * times
    yield "segments", ["/segments"] * times
    yield "customers, unfiltered", [f"/customers?page={page + 1}" for page in range(times)]
    yield (
        "customers, filtered and sorted",
        [f"/customers?segment=keep&risk_to={20 + i}&sort=value" for i in range(times)],
    )
    yield "customers, of a group", [f"/customers?by=rfm_group&group=lost&risk_from={i}" for i in range(times)]
    yield "customers, a part of the id", [f"/customers?q={name[-4:]}" for name in some]
    yield "customers, far down the list", [f"/customers?page={n // 60 - i}" for i in range(times)]
    yield "a customer", [f"/customer?id={name}" for name in some]
    yield "all reasons", [f"/customer/reasons?id={name}" for name in some]
    yield "a customer who is not there", [f"/customer?id=x{name}" for name in some]
    yield "the plan", [f"/plan?budget={n * 0.01 * (i + 1)}" for i in range(times)]
    yield "the slider", [f"/plan/at?budget={n * 0.013 * (i + 1)}" for i in range(times)]
    yield "models", ["/models"] * times


def measure_pages(config: Config, n: int, times: int) -> None:
    """Requests each page once and then `times` times, and prints how long the answers took."""
    app = app_of(config)
    print(f"{'page':32}{'first':>9}{'median':>9}{'worst':>9}   seconds, of {times}")
    for name, urls in page_urls(n, times + 1):
        seconds = []
        for address in urls:
            start = time.perf_counter()
            answer = fetch(app, address)
            seconds.append(time.perf_counter() - start)
            if answer.status not in (200, 404):
                raise SystemExit(f"{address}: {answer.status}")
        print(f"{name:32}{seconds[0]:9.3f}{np.median(seconds[1:]):9.3f}{max(seconds[1:]):9.3f}")


if __name__ == "__main__":
    main()
