"""BG/NBD and Gamma-Gamma: the fit on the CDNOW sample compared with the published one, and the time for many customers.

The published fit (Fader, Hardie and Lee 2005) uses the first 39 weeks, up to 1997-09-30, in weeks. If the PyPI package
`lifetimes` is installed, the table also shows its fit of the same customers.

    python benchmarks/btyd.py [--data DIR] [--customers N]
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from features.catalog.btyd_model import BGNBD, fit_bgnbd, fit_gamma_gamma

HERE = Path(__file__).resolve().parent
FILE = "cdnow_sample.csv.gz"
DATA_SOURCE = (
    f"{FILE}: the 1-in-10 sample at Bruce Hardie's site (brucehardie.com/datasets, 'CDNOW'); comma-separated, with the "
    "header master_customer_id,sample_customer_id,date,number_of_cds,dollar_value"
)
END = pd.Timestamp("1997-09-30")
PUBLISHED = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}
PUBLISHED_AMOUNTS = {"p": 6.25, "q": 3.74, "v": 15.44}
TRUTH = BGNBD(r=0.6, alpha=40.0, a=0.8, b=2.5, penalised=False, time_unit_days=1.0)
SEED = 7


def main(arguments: Sequence[str]) -> int:
    """Prints both tables; the CDNOW sample is skipped if its file is absent."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where the file is (benchmarks/data)")
    parser.add_argument("--customers", type=int, default=1_000_000, help="how many to simulate (1,000,000)")
    options = parser.parse_args(arguments)
    if (options.data / FILE).exists():
        print(cdnow_table(options.data / FILE))
    else:
        print(f"skipped CDNOW, its data are not there. Where to get them: {DATA_SOURCE}", file=sys.stderr)
    print(speed_table(options.customers))
    return 0


def cdnow_table(path: Path) -> str:
    """The parameters fitted to the CDNOW sample and the published ones, as a Markdown table."""
    log = pd.read_csv(path, dtype={"sample_customer_id": str, "date": str})
    log["date"] = pd.to_datetime(log["date"], format="%Y%m%d")
    days = log[log.date <= END].groupby(["sample_customer_id", "date"]).dollar_value.sum().reset_index()
    visits = days.groupby("sample_customer_id").date.agg(["min", "max", "size"])
    frequency, recency, age = visits["size"] - 1, (visits["max"] - visits["min"]).dt.days, (END - visits["min"]).dt.days
    model = fit_bgnbd(frequency, recency, age)
    ours = {"r": model.r, "alpha": model.alpha * model.time_unit_days / 7, "a": model.a, "b": model.b}
    theirs = _lifetimes(frequency, recency / 7, age / 7)
    repeats = days[days.date > days.sample_customer_id.map(visits["min"])]
    spend = repeats.groupby("sample_customer_id").dollar_value.agg(["size", "mean"])
    amounts = fit_gamma_gamma(spend["size"], spend["mean"])
    lines = [
        f"### CDNOW sample, {len(visits):,} customers up to {END.date()}, in weeks\n",
        "| parameter | published | ours | lifetimes |",
        "|:---|---:|---:|---:|",
        *(f"| {name} | {PUBLISHED[name]:.3f} | {ours[name]:.4f} | {theirs.get(name, '')} |" for name in PUBLISHED),
        *(
            f"| {name} (amounts) | {published:.2f} | {getattr(amounts, name):.3f} | |"
            for name, published in PUBLISHED_AMOUNTS.items()
        ),
    ]
    return "\n".join([*lines, f"\nPenalised: orders {model.penalised}, amounts {amounts.penalised}.\n"])


def speed_table(customers: int) -> str:
    """Seconds to fit and predict simulated customers, and the fitted parameters, as a Markdown table."""
    frequency, recency, age, mean = _simulated(customers)
    start = time.perf_counter()
    model = fit_bgnbd(frequency, recency, age)
    fitted = time.perf_counter()
    model.expected_orders(frequency, recency, age, 90)
    predicted = time.perf_counter()
    amounts = fit_gamma_gamma(frequency + 1, mean)
    done = time.perf_counter()
    alpha = model.alpha * model.time_unit_days
    fitted_parameters = f"r {model.r:.3f}, alpha {alpha:.2f}, a {model.a:.3f}, b {model.b:.3f}"
    true_parameters = f"r {TRUTH.r}, alpha {TRUTH.alpha}, a {TRUTH.a}, b {TRUTH.b}"
    return "\n".join(
        [
            f"### {customers:,} simulated customers (seed {SEED}), in days\n",
            "| step | seconds | found | simulated from |",
            "|:---|---:|:---|:---|",
            f"| fit BG/NBD | {fitted - start:.2f} | {fitted_parameters} | {true_parameters} |",
            f"| expected orders, 90 days | {predicted - fitted:.2f} | | |",
            f"| fit Gamma-Gamma | {done - predicted:.2f} | p {amounts.p:.2f}, q {amounts.q:.2f}, v {amounts.v:.2f} "
            "| p 6, q 4, v 15 |",
        ]
    )


def _simulated(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Repeat purchases, recency and age in days, and the mean amount of all purchases."""
    rng = np.random.default_rng(SEED)
    age = rng.integers(1, 730, n).astype(float)
    rate, leaves = rng.gamma(TRUTH.r, 1 / TRUTH.alpha, n), rng.beta(TRUTH.a, TRUTH.b, n)
    frequency, recency, now, active = np.zeros(n), np.zeros(n), np.zeros(n), np.arange(n)
    while active.size:
        now[active] += rng.exponential(1 / np.maximum(rate[active], 1e-300))
        active = active[now[active] < age[active]]
        frequency[active] += 1
        recency[active] = np.floor(now[active])
        active = active[rng.random(active.size) >= leaves[active]]
    mean = rng.gamma(6 * (frequency + 1)) / (frequency + 1) / rng.gamma(4, 1 / 15, n)
    return frequency, recency, age, mean


def _lifetimes(frequency: pd.Series, recency: pd.Series, age: pd.Series) -> dict[str, str]:
    """The parameters that PyPI `lifetimes` fits; empty if it is not installed."""
    if importlib.util.find_spec("lifetimes") is None:
        return {}
    from lifetimes import BetaGeoFitter

    fitter = BetaGeoFitter(penalizer_coef=0.0).fit(frequency, recency, age)
    return {name: f"{value:.4f}" for name, value in fitter.params_.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
