"""How often an effect is found where there is none, and where there is one: ours, statsmodels, permutation tests.

An A/A test holds out a random share of customers and does nothing to anybody, so every effect that is found is false.
The customers are real (CDNOW, Online Retail, those of Hillstrom's test who got no e-mail) or simulated with a heavy
tail. Each repetition takes some of them at random, holds out each with a probability, and compares outcomes with what
was known before. At a nominal level of 5%, false effects should be 5%, half of them in each direction. For power, an
effect is added to the treated: their baskets grow by a share ('baskets'), or some of those who would have brought
nothing bring a basket drawn from those of others ('buyers').

    python benchmarks/aa.py [--data DIR] [--repetitions 1000] [--power 300] [--part overall|cells|looks]

`pip install statsmodels` (the extra `bench`) adds its tests; without it, ours stands beside permutation tests alone.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge

from features.task import Window
from serving.measurement.effect_estimates import ADJUSTED, ALL, EACH_SEGMENT, measured_effects
from serving.measurement.executed_plan import VALUE, ExecutedPlan
from serving.statistics.randomisation import sums_over_draws
from serving.statistics.treatment_effect import difference_in_means, regression_adjusted_effect, treatment_effects

SIZES, SHARES, EFFECTS = (500, 2_000, 10_000), (0.05, 0.10), (0.05, 0.10, 0.20)
CELLS = ((8, 50), (16, 12))  # number of segments, and customers held out in each
LOOKS, LOOK_CUSTOMERS, LOOK_SHARE = 90, 2_000, 0.10
LEVEL, DRAWS, PEER_DRAWS = 0.05, 999, 399
OURS = "ours"
Test = tuple[float, float]  # p-value and the sign of the effect


@dataclass(frozen=True)
class Population:
    """Customers whose outcomes nothing has changed.

    Attributes:
        name: Its name.
        outcome: Outcome (n,) of each customer over the horizon.
        covariates: What was known before (n, 3): an amount, a risk, a prediction.
        daily: Outcome by day of the horizon (n, days); None if it is not known.
    """

    name: str
    outcome: np.ndarray
    covariates: np.ndarray
    daily: np.ndarray | None = None


def main(arguments: Sequence[str]) -> int:
    """Prints Markdown tables of false effects, power, segments and looks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("populations", nargs="*", metavar="POPULATION", help=", ".join(LOADERS))
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--repetitions", type=int, default=1_000, help="of A/A tests in each setting")
    parser.add_argument("--peers", type=int, default=1_000, help="repetitions in which the other tests are run, too")
    parser.add_argument("--power", type=int, default=300, help="repetitions for each effect; 0: none")
    parser.add_argument(
        "--part", choices=["overall", "cells", "looks"], nargs="*", default=["overall", "cells", "looks"]
    )
    options = parser.parse_args(arguments)
    if not find_spec("statsmodels"):
        print("statsmodels is not installed, so its tests are left out", file=sys.stderr)
    populations = list(_load(options.data, options.populations or list(LOADERS)))
    if "overall" in options.part:
        peers = min(options.peers, options.repetitions)
        false_effects = print_false_effects(populations, options.repetitions, peers)
        if options.power:
            print_power(populations, false_effects, options.power, peers)
    if "cells" in options.part:
        print_cells(populations, options.repetitions)
    if "looks" in options.part:
        print_looks(populations, options.repetitions // 2)
    return 0


def _load(folder: Path, names: Sequence[str]) -> Iterator[Population]:
    for name in names:
        file, load = LOADERS[name]
        if file and not (folder / file).exists():
            print(f"{folder / file} is not there: see benchmarks/README.md; {name} is left out", file=sys.stderr)
        else:
            yield load(folder / file)


def settings(population: Population) -> list[tuple[int, float]]:
    """The sizes and shares for which there are enough customers."""
    return [(n, share) for n, share in product(SIZES, SHARES) if n <= len(population.outcome)]


def ours(outcome: np.ndarray, treated: np.ndarray, covariates: np.ndarray, seed: int) -> Test:
    """The row for all customers of a measured plan."""
    executed = synthetic_plan(outcome, treated, covariates, seed)
    rows = measured_effects(executed, draws=DRAWS).rows
    row = next(row for row in rows if (row["family"], row["estimator"]) == (ALL, ADJUSTED))
    return float(row["p"]), float(np.sign(row["effect"]))


def synthetic_plan(
    outcome: np.ndarray, treated: np.ndarray, covariates: np.ndarray, seed: int, segment: np.ndarray | None = None
) -> ExecutedPlan:
    """A plan with one action for everybody, as `measure` sees it.

    Args:
        outcome: Outcome (n,).
        treated: Whether each customer (n,) is treated.
        covariates: What was known before (n, 3).
        seed: Seed of the holdout.
        segment: The segment (n,); None: all in one.

    Returns:
        The plan.
    """
    n = len(outcome)
    manifest = SimpleNamespace(holdout={"seed": seed}, margin=None)
    return ExecutedPlan(
        plan=SimpleNamespace(manifest=manifest), actions=("mail",),  # type: ignore[arg-type]
        segment=np.zeros(n, int).astype(str) if segment is None else segment, eligible=np.ones(n, bool),
        held_out=~treated, assigned=np.zeros(n, int), contacts=np.zeros((n, 1)), other_contacts=np.zeros(n),
        cost=np.zeros(n), cost_source="plan", outcomes={VALUE: outcome}, covariates=covariates,
        covariate_names=("before", "churn_probability", "value"), missing_customers=0, contacted_outside=0,
        other_actions={}, log=SimpleNamespace(days=LOOKS), horizon=Window(LOOKS),  # type: ignore[arg-type]
    )  # fmt: skip


def permutation_tests(outcome: np.ndarray, treated: np.ndarray, covariates: np.ndarray, seed: int) -> dict[str, Test]:
    """Permutation tests of the difference in means, of Welch's t, and of an adjusted difference."""
    plain = difference_in_means(outcome, treated, seed, PEER_DRAWS)
    adjusted = regression_adjusted_effect(outcome, treated, covariates, None, seed, PEER_DRAWS)
    return {
        "permutation, difference in means": (plain.p, float(np.sign(plain.effect))),
        "permutation, Welch's t": _permuted_welch(outcome, treated, seed),
        "permutation, adjusted": (adjusted.p, float(np.sign(adjusted.effect))),
    }


def _permuted_welch(outcome: np.ndarray, treated: np.ndarray, seed: int) -> Test:
    n, m = len(outcome), int((~treated).sum())
    columns = np.column_stack([outcome - outcome.mean(), outcome**2 - (outcome**2).mean()])
    drawn = sums_over_draws(columns, ~treated, np.zeros(n, int), seed, PEER_DRAWS)
    sums = np.vstack([columns[~treated].sum(axis=0), drawn]) + m * np.array([0.0, (outcome**2).mean()])
    held, rest = sums[:, 0] / m, -sums[:, 0] / (n - m)
    squares = float((outcome**2).sum()) - n * outcome.mean() ** 2
    mean = outcome.mean()
    held_squares = sums[:, 1] - 2 * mean * sums[:, 0] - m * mean**2 - m * held**2
    rest_squares = squares - held_squares - m * held**2 - (n - m) * rest**2
    error = np.sqrt(np.maximum(held_squares / (m - 1) / m + rest_squares / (n - m - 1) / (n - m), 1e-300))
    t = (rest - held) / error
    above, below = (t >= t[0]).mean(), (t <= t[0]).mean()
    return min(1.0, 2 * min(above, below)), 1.0 if above < below else -1.0


def statsmodels_tests(outcome: np.ndarray, treated: np.ndarray, covariates: np.ndarray) -> dict[str, Test]:
    """t-tests and regressions of statsmodels, with classical and robust standard errors."""
    import statsmodels.api as sm
    from statsmodels.stats.weightstats import ttest_ind

    centred = (covariates - covariates.mean(axis=0)) / np.maximum(covariates.std(axis=0), 1e-12)
    design = np.column_stack([np.ones(len(outcome)), treated, centred])
    tests: dict[str, Test] = {}
    for name, usevar in (("statsmodels, Welch's t", "unequal"), ("statsmodels, pooled t", "pooled")):
        with np.errstate(all="ignore"):
            t, p, _ = ttest_ind(outcome[treated], outcome[~treated], usevar=usevar)
        tests[name] = (float(p), float(np.sign(t)))
    interactions = np.column_stack([design, centred * treated[:, None]])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # about designs without full rank
        for name, columns, robust in (
            ("statsmodels, regression", design, False),
            ("statsmodels, regression, HC3", design, True),
            ("statsmodels, one regression a group, HC3", interactions, True),
        ):
            fitted = sm.OLS(outcome, columns).fit()
            p = (fitted.get_robustcov_results("HC3", use_t=True) if robust else fitted).pvalues[1]
            tests[name] = (float(p), float(np.sign(fitted.params[1])))
    return {name: (p if np.isfinite(p) else 1.0, sign) for name, (p, sign) in tests.items()}


def all_tests(
    outcome: np.ndarray, treated: np.ndarray, covariates: np.ndarray, seed: int, names: set[str] | None = None
) -> dict[str, Test]:
    """Ours and its peers on one experiment.

    Args:
        outcome: Outcome (n,).
        treated: Whether each customer (n,) is treated.
        covariates: What was known before (n, 3).
        seed: Seed of the draws.
        names: The peers that are wanted; None: all.

    Returns:
        p-value and sign by the name of the test.
    """
    tests = {OURS: ours(outcome, treated, covariates, seed)}
    if names is None or any(name.startswith("permutation") for name in names):
        tests |= permutation_tests(outcome, treated, covariates, seed)
    if find_spec("statsmodels") and (names is None or any(name.startswith("statsmodels") for name in names)):
        tests |= statsmodels_tests(outcome, treated, covariates)
    return {name: test for name, test in tests.items() if names is None or name in names or name == OURS}


def add_effect(
    outcome: np.ndarray, treated: np.ndarray, kind: str, effect: float, rng: np.random.Generator
) -> np.ndarray:
    """Outcomes with an effect of a share of the mean on the treated.

    Args:
        outcome: Outcome (n,) without any action.
        treated: Who is treated (n,).
        kind: 'baskets' or 'buyers'.
        effect: Share of the mean.
        rng: Random numbers.

    Returns:
        The outcomes (n,).
    """
    changed = outcome.copy()
    buying = outcome > 0
    if kind == "baskets":
        changed[treated] *= 1 + effect
        return changed
    idle = np.flatnonzero(treated & ~buying)
    if buying.any() and len(idle):
        number = min(rng.binomial(int(treated.sum()), effect * buying.mean()), len(idle))
        changed[rng.choice(idle, number, replace=False)] = rng.choice(outcome[buying], number)
    return changed


def rejections(
    population: Population,
    setting: tuple[int, float],
    repetitions: int,
    change: tuple[str, float] | None = None,
    names: set[str] | None = None,
    peers: int | None = None,
) -> dict[str, np.ndarray]:
    """Shares (2,) of significant positive and negative effects, by test.

    Args:
        population: The customers.
        setting: Number of customers and share held out.
        repetitions: How many experiments.
        change: Kind and size of the effect; None: an A/A test.
        names: The peers that are wanted; None: all.
        peers: How many experiments the peers take part in; None: all.

    Returns:
        The shares.
    """
    (n, share), counts = setting, defaultdict[str, np.ndarray](lambda: np.zeros(2))
    peers = repetitions if peers is None else peers
    rng = np.random.default_rng([n, round(100 * share)])
    for seed in range(repetitions):
        rows = rng.choice(len(population.outcome), n, replace=False)
        treated = rng.random(n) >= share
        outcome = population.outcome[rows]
        if change:
            outcome = add_effect(outcome, treated, *change, np.random.default_rng([seed, n]))
        for name, (p, sign) in all_tests(
            outcome, treated, population.covariates[rows], seed, names if seed < peers else set()
        ).items():
            counts[name] += np.array([sign > 0, sign < 0]) * (p <= LEVEL)
    return {name: count / (repetitions if name == OURS else peers) for name, count in counts.items()}


def holds_level(shares: np.ndarray, repetitions: int) -> bool:
    """Whether false effects are at most 7%, and in each direction 2.5% but for chance (2.4 standard errors)."""
    most = 0.025 + 2.4 * np.sqrt(0.025 * 0.975 / repetitions)
    return bool(shares.sum() <= 0.07 and shares.max() <= most)


Shares = Mapping[tuple[str, int, float], Mapping[str, np.ndarray]]


def print_false_effects(populations: Sequence[Population], repetitions: int, peers: int) -> Shares:
    """Prints false effects of every setting, positive and negative, and returns them."""
    shares = {}
    print(f"\n### False effects of {repetitions:,} A/A tests, in % (positive + negative)\n")
    for position, (population, setting) in enumerate((p, s) for p in populations for s in settings(p)):
        key = (population.name, *setting)
        shares[key] = rejections(population, setting, repetitions, peers=peers)
        if not position:
            print("| customers | " + " | ".join(shares[key]) + " |\n|:---|" + "---:|" * len(shares[key]))
        cells = [f"{100 * s.sum():.1f} ({100 * s[0]:.1f} + {100 * s[1]:.1f})" for s in shares[key].values()]
        print(f"| {_title(key)} | " + " | ".join(cells) + " |", flush=True)
    pooled = np.mean([each[OURS] for each in shares.values()], axis=0)
    totals = [100 * each[OURS].sum() for each in shares.values()]
    print(
        f"\nOurs, all {len(shares)} settings: {100 * pooled.sum():.2f}% ({100 * pooled[0]:.2f} positive, "
        f"{100 * pooled[1]:.2f} negative); single settings {min(totals):.1f}% to {max(totals):.1f}%."
    )
    return shares


def print_power(
    populations: Sequence[Population], false_effects: Shares, repetitions: int, peers_repetitions: int
) -> None:
    """Prints the power of ours, and of the best test that holds its level in the setting."""
    print(f"\n### Power at 5, 10 and 20% of the mean, in % of {repetitions:,} repetitions\n")
    print("| customers | effect | ours | best test that holds its level | which | ours minus it |")
    print("|:---|:---|---:|---:|:---|---:|")
    for population in populations:
        for setting, kind in product(settings(population), ("baskets", "buyers")):
            key = (population.name, *setting)
            valid = {
                name
                for name, shares in false_effects[key].items()
                if holds_level(shares, peers_repetitions) and name != OURS
            }
            for effect in EFFECTS:
                power = {name: 100 * s[0] for name, s in
                         rejections(population, setting, repetitions, (kind, effect), valid).items()}  # fmt: skip
                peers = {name: value for name, value in power.items() if name != OURS}
                best = max(peers, key=lambda name: peers[name]) if peers else "none"
                print(
                    f"| {_title(key)} | {kind} +{effect:.0%} | {power[OURS]:.1f} | {peers.get(best, np.nan):.1f} | "
                    f"{best} | {power[OURS] - peers.get(best, np.nan):+.1f} |",
                    flush=True,
                )


def print_cells(populations: Sequence[Population], repetitions: int) -> None:
    """Prints how often at least one segment seems to have an effect, and how many have no row."""
    print(f"\n### Segments without an effect, {repetitions:,} repetitions\n")
    print("| customers | segments | held out in each | at least one false, % | without a row, % |")
    print("|:---|---:|---:|---:|---:|")
    for population, (cells, held) in product(populations, CELLS):
        n = int(cells * held / 0.1)
        if n > len(population.outcome):
            continue
        rng, false, withheld = np.random.default_rng(cells), 0, 0
        for seed in range(repetitions):
            rows = rng.choice(len(population.outcome), n, replace=False)
            order = np.argsort(np.argsort(population.covariates[rows, 2] + 1e-9 * rng.random(n)))
            plan = synthetic_plan(
                population.outcome[rows], rng.random(n) >= 0.1, population.covariates[rows], seed,
                (order * cells // n).astype(str),
            )  # fmt: skip
            shown = [row for row in measured_effects(plan, draws=1_999).rows
                     if (row["family"], row["estimator"]) == (EACH_SEGMENT, ADJUSTED)]  # fmt: skip
            false += any(row["p"] <= LEVEL or row["low"] > 0 or row["high"] < 0 for row in shown)
            withheld += cells - len(shown)
        shares = 100 * false / repetitions, 100 * withheld / repetitions / cells
        print(f"| {population.name} {n:,} | {cells} | {held} | {shares[0]:.1f} | {shares[1]:.0f} |", flush=True)


def print_looks(populations: Sequence[Population], repetitions: int) -> None:
    """Prints how often any daily look at growing outcomes finds a false effect."""
    print(f"\n### A look on each of {LOOKS} days, {repetitions:,} A/A tests, {LOOK_CUSTOMERS:,} customers\n")
    print("| customers | 95% interval of each day, % | sequential interval, % |\n|:---|---:|---:|")
    for population in populations:
        if population.daily is None or len(population.outcome) < LOOK_CUSTOMERS:
            continue
        rng, alarms, grown = np.random.default_rng(1), np.zeros(2), np.cumsum(population.daily, axis=1)
        for seed in range(repetitions):
            rows = rng.choice(len(grown), LOOK_CUSTOMERS, replace=False)
            treated = rng.random(LOOK_CUSTOMERS) >= LOOK_SHARE
            days = np.array(
                [np.minimum(day, np.quantile(day[day > 0], 0.95)) for day in grown[rows].T if (day > 0).any()]
            )
            looks = treatment_effects(days.T, treated, population.covariates[rows], seed=seed, draws=DRAWS)
            ends = [effect.anytime_interval(looks=LOOKS) for effect in looks]
            alarms += [any(e.low > 0 or e.high < 0 for e in looks), any(low > 0 or high < 0 for low, high in ends)]
        print(
            f"| {population.name} | {100 * alarms[0] / repetitions:.1f} | {100 * alarms[1] / repetitions:.1f} |",
            flush=True,
        )


def _title(key: tuple[str, int, float]) -> str:
    return f"{key[0]}, {key[1]:,}, {key[2]:.0%} held out"


def cdnow(file: Path) -> Population:
    """Purchases of a music shop: value in the 90 days from 1998-01-01."""
    rows = pd.read_csv(file)
    log = pd.DataFrame(
        {"who": rows.customer_id, "day": pd.to_datetime(rows.date.astype(str)), "amount": rows.dollar_value}
    )
    return from_log("CDNOW value", log, pd.Timestamp("1998-01-01"))


def online_retail(file: Path) -> Population:
    """Orders of a gift wholesaler, refunds included: value in the 90 days from 2011-09-10."""
    rows = pd.read_parquet(file).dropna(subset="CustomerID")
    amount = rows.Quantity * rows.UnitPrice
    log = pd.DataFrame({"who": rows.CustomerID, "day": rows.InvoiceDate.dt.normalize(), "amount": amount})
    return from_log("Online Retail value", log, pd.Timestamp("2011-09-10"))


def hillstrom(outcome: str) -> Callable[[Path], Population]:
    """Customers of Hillstrom's test who got no e-mail: an outcome within two weeks."""

    def load(file: Path) -> Population:
        rows = pd.read_csv(file)
        rows = rows[rows.segment == "No E-Mail"]
        return Population(
            f"Hillstrom {outcome}",
            rows[outcome].to_numpy(float),
            rows[["history", "recency", "newbie"]].to_numpy(float),
        )

    return load


def heavy_tail(_: Path) -> Population:
    """Simulated customers: a Pareto tail (2.2) on top of a log-normal taste that is known in part."""
    rng, n = np.random.default_rng(1), 40_000
    taste = rng.normal(size=n)
    buys, usual = 1 / (1 + np.exp(0.8 - 0.7 * taste)), np.exp(3 + 1.2 * taste + 0.6 * rng.normal(size=n))
    outcome, before = ((rng.random(n) < buys) * usual * rng.pareto(2.2, n) for _ in range(2))
    known = np.column_stack([before, 1 - buys, buys * np.exp(3 + 1.2 * taste)])
    daily = np.zeros((n, LOOKS))
    daily[np.arange(n), rng.integers(LOOKS, size=n)] = outcome
    return Population("heavy tail", outcome, known, daily)


def from_log(name: str, log: pd.DataFrame, cutoff: pd.Timestamp, days: int = LOOKS) -> Population:
    """Outcomes of the days from a cutoff, and predictions by models of the horizon before it.

    Args:
        name: Name of the population.
        log: Rows with who, day and amount.
        cutoff: The first day of the outcomes.
        days: Their number.

    Returns:
        The customers who had a purchase before the cutoff.
    """
    earlier, now = (_summary(log, cutoff - pd.Timedelta(days=days * back), days) for back in (1, 0))
    past, known = (_features(table) for table in (earlier, now))
    scale = past.mean(axis=0), past.std(axis=0) + 1e-9
    past, known = ((each - scale[0]) / scale[1] for each in (past, known))
    buyers = (earlier.outcome > 0).to_numpy()
    returns = LogisticRegression(max_iter=1_000).fit(past, buyers).predict_proba(known)[:, 1]
    amounts = Ridge().fit(past[buyers], np.log(earlier.outcome[buyers]))
    spend = (
        np.exp(amounts.predict(known)) * earlier.outcome[buyers].mean() / np.exp(amounts.predict(past[buyers])).mean()
    )
    inside = log[(log.day >= cutoff) & (log.day < cutoff + pd.Timedelta(days=days)) & log.who.isin(now.index)]
    daily = np.zeros((len(now), days))
    np.add.at(daily, (now.index.get_indexer(inside.who), (inside.day - cutoff).dt.days), inside.amount)
    covariates = np.column_stack([now.before, 1 - returns, returns * spend])
    return Population(name, now.outcome.to_numpy(), covariates, daily)


def _summary(log: pd.DataFrame, cutoff: pd.Timestamp, days: int) -> pd.DataFrame:
    horizon = pd.Timedelta(days=days)
    past = log[log.day < cutoff]
    groups = past.groupby("who")
    table = pd.DataFrame({"total": groups.amount.sum(), "orders": groups.day.nunique()})
    table["recency"], table["tenure"] = (cutoff - groups.day.max()).dt.days, (cutoff - groups.day.min()).dt.days
    table["before"] = past[past.day >= cutoff - horizon].groupby("who").amount.sum()
    table["outcome"] = log[(log.day >= cutoff) & (log.day < cutoff + horizon)].groupby("who").amount.sum()
    return table.fillna(0.0)


def _features(table: pd.DataFrame) -> np.ndarray:
    logs = [np.log1p(np.maximum(table[name], 0)) for name in ("total", "orders", "recency", "tenure", "before")]
    return np.column_stack([*logs, table.before, table.total])


LOADERS: dict[str, tuple[str, Callable[[Path], Population]]] = {
    "cdnow": ("cdnow_master.csv.gz", cdnow),
    "online_retail": ("online_retail.parquet", online_retail),
    "spend": ("hillstrom.csv.gz", hillstrom("spend")),
    "visit": ("hillstrom.csv.gz", hillstrom("visit")),
    "heavy_tail": ("", heavy_tail),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
