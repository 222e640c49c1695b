"""How often an effect is found where there is none, and where there is one: ours, statsmodels, permutation tests.

An A/A test holds out a random share of customers and does nothing to anybody, so every effect that is found is false.
The customers are real (CDNOW, Online Retail, those of Hillstrom's test who got no e-mail) or simulated with a heavy
tail. Each repetition takes some of them at random, holds out each with a probability, and compares outcomes with what
was known before. At a nominal level of 5%, false effects should be 5%, half of them in each direction. For power, an
effect is added to the treated: their baskets grow by a share ('baskets'), or some of those who would have brought
nothing bring a basket drawn from those of others ('buyers').

The effects are tried on the same customers with the same holdout, so all tests of a repetition share its draws, and the
formulas of statsmodels' tests are applied to all outcomes at once (a test compares them with statsmodels itself).

    python benchmarks/aa.py [--data DIR] [--repetitions 1000] [--part overall|cells|looks] [--results FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression, Ridge

from features.task import Window
from serving.measurement.compared_outcomes import compare_outcomes
from serving.measurement.effect_estimates import ADJUSTED, EACH_SEGMENT, measured_effects
from serving.measurement.executed_plan import VALUE, ExecutedPlan
from serving.statistics.randomisation import sums_over_draws
from serving.statistics.treatment_effect import count_up_to_cap, treatment_effects

SIZES, SHARES, EFFECTS = (500, 2_000, 10_000), (0.05, 0.10), (0.05, 0.10, 0.20)
CHANGES = tuple(product(("baskets", "buyers"), EFFECTS))  # what is added to the treated
CELLS = ((8, 50), (16, 12))  # number of segments, and customers held out in each
LOOKS, LOOK_CUSTOMERS, LOOK_SHARE = 90, 2_000, 0.10
LEVEL, DRAWS, PEER_DRAWS = 0.05, 999, 399
TIES = 1e-9  # sums that differ by less, in sums of all outcomes, are equal
OURS = "ours"
Test = tuple[np.ndarray, np.ndarray]  # p-values (o,) and the signs (o,) of the effects on several outcomes


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
    parser.add_argument("--repetitions", type=int, default=1_000, help="of each setting")
    parser.add_argument("--results", type=Path, help="JSON lines of the settings that are done; they are not run again")
    parser.add_argument(
        "--part", choices=["overall", "cells", "looks"], nargs="*", default=["overall", "cells", "looks"]
    )
    options = parser.parse_args(arguments)
    populations = list(_load(options.data, options.populations or list(LOADERS)))
    if "overall" in options.part:
        shares = print_false_effects(populations, options.repetitions, options.results)
        print_power(populations, shares, options.repetitions)
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


def ours(outcomes: np.ndarray, treated: np.ndarray, covariates: np.ndarray, seed: int) -> Test:
    """The row for all customers of a measured plan, for each of several outcomes (n, o)."""
    design = compare_outcomes(synthetic_plan(outcomes[:, 0], treated, covariates, seed)).design
    counted = np.column_stack([count_up_to_cap(column)[0] for column in outcomes.T])
    effects = treatment_effects(counted, treated, design, None, seed, DRAWS)
    return np.array([effect.p for effect in effects]), np.sign([effect.effect for effect in effects])


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
    manifest = SimpleNamespace(holdout={"seed": seed}, margin=None, experiment=None)
    return ExecutedPlan(
        plan=SimpleNamespace(manifest=manifest), actions=("mail",),  # type: ignore[arg-type]
        segment=np.zeros(n, int).astype(str) if segment is None else segment, eligible=np.ones(n, bool),
        held_out=~treated, assigned=np.zeros(n, int), contacts=np.zeros((n, 1)), other_contacts=np.zeros(n),
        cost=np.zeros(n), cost_source="plan", responses={}, outcomes={VALUE: outcome}, covariates=covariates,
        covariate_names=("before", "churn_probability", "value"), missing_customers=0, contacted_outside=0,
        other_actions={}, log=SimpleNamespace(days=LOOKS), horizon=Window(LOOKS),  # type: ignore[arg-type]
    )  # fmt: skip


def permutation_tests(outcomes: np.ndarray, treated: np.ndarray, covariates: np.ndarray, seed: int) -> dict[str, Test]:
    """Permutation tests of the difference in means, of Welch's t, and of an adjusted difference.

    Args:
        outcomes: Outcomes (n, o) in columns.
        treated: Whether each customer (n,) is treated.
        covariates: What was known before (n, k).
        seed: Seed of the draws.

    Returns:
        p-values and signs by the name of the test.
    """
    adjusted = treatment_effects(outcomes, treated, covariates, None, seed, PEER_DRAWS)
    (n, number), m, means = outcomes.shape, int((~treated).sum()), outcomes.mean(axis=0)
    centred = outcomes - means
    squares = (centred**2).sum(axis=0)
    columns = np.column_stack([centred, centred**2 - squares / n])
    drawn = sums_over_draws(columns, ~treated, np.zeros(n, int), seed, PEER_DRAWS)
    sums = np.vstack([columns[~treated].sum(axis=0), drawn])
    held, held_squares = sums[:, :number], sums[:, number:] + m * squares / n
    within_held = held_squares - held**2 / m
    within_rest = squares - held_squares - held**2 / (n - m)
    error = np.sqrt(np.maximum(within_held / (m - 1) / m + within_rest / (n - m - 1) / (n - m), 1e-300))
    difference = -held / (n - m) - held / m
    return {
        "permutation, difference in means": _permuted(difference, TIES * np.abs(centred).sum(axis=0)),
        "permutation, Welch's t": _permuted(difference / error, TIES),
        "permutation, adjusted": (
            np.array([effect.p for effect in adjusted]),
            np.sign([effect.effect for effect in adjusted]),
        ),
    }


def _permuted(statistic: np.ndarray, equal: np.ndarray | float) -> Test:
    """Two-sided p-values, twice the smaller tail, of the first row of a statistic (1 + draws, o) among all rows."""
    above = (statistic >= statistic[0] - equal).mean(axis=0)
    below = (statistic <= statistic[0] + equal).mean(axis=0)
    return np.minimum(1.0, 2 * np.minimum(above, below)), np.where(above < below, 1.0, -1.0)


def statsmodels_tests(outcomes: np.ndarray, treated: np.ndarray, covariates: np.ndarray) -> dict[str, Test]:
    """t-tests and regressions as statsmodels has them, with classical and robust (HC3) standard errors.

    Args:
        outcomes: Outcomes (n, o) in columns.
        treated: Whether each customer (n,) is treated.
        covariates: What was known before (n, k).

    Returns:
        p-values and signs by the name of the test; p is 1 where it is not defined.
    """
    centred = (covariates - covariates.mean(axis=0)) / np.maximum(covariates.std(axis=0), 1e-12)
    design = np.column_stack([np.ones(len(outcomes)), treated, centred])
    with np.errstate(all="ignore"):
        classical, robust = _regression(outcomes, design)
        tests = {
            **_t_tests(outcomes[treated], outcomes[~treated]),
            "statsmodels, regression": classical,
            "statsmodels, regression, HC3": robust,
            "statsmodels, one regression a group, HC3":
                _regression(outcomes, np.column_stack([design, centred * treated[:, None]]))[1],
        }  # fmt: skip
    return {name: (np.where(np.isfinite(p), p, 1.0), sign) for name, (p, sign) in tests.items()}


def _t_tests(treated: np.ndarray, held: np.ndarray) -> dict[str, Test]:
    """Welch's t and the pooled t of outcomes (n, o) and (m, o)."""
    n, m = len(treated), len(held)
    difference = treated.mean(axis=0) - held.mean(axis=0)
    one, other = treated.var(axis=0, ddof=1) / n, held.var(axis=0, ddof=1) / m
    degrees = (one + other) ** 2 / (one**2 / (n - 1) + other**2 / (m - 1))
    pooled = (one * n * (n - 1) + other * m * (m - 1)) / (n + m - 2) * (1 / n + 1 / m)
    return {
        "statsmodels, Welch's t": _two_sided(difference, one + other, degrees),
        "statsmodels, pooled t": _two_sided(difference, pooled, n + m - 2),
    }


def _regression(outcomes: np.ndarray, design: np.ndarray) -> tuple[Test, Test]:
    """Tests of the second coefficient of a regression, with its classical and its HC3 standard error."""
    inverse = np.linalg.pinv(design, rcond=1e-15)
    coefficients = inverse @ outcomes
    residuals, leverage = outcomes - design @ coefficients, (design * inverse.T).sum(axis=1)
    degrees = len(design) - np.linalg.matrix_rank(design.T @ design)
    classical = (residuals**2).sum(axis=0) / degrees * (inverse[1] ** 2).sum()
    robust = (inverse[1] ** 2) @ (residuals / (1 - leverage[:, None])) ** 2
    return _two_sided(coefficients[1], classical, degrees), _two_sided(coefficients[1], robust, degrees)


def _two_sided(estimate: np.ndarray, variance: np.ndarray, degrees: np.ndarray | int) -> Test:
    return 2 * student.sf(np.abs(estimate) / np.sqrt(variance), degrees), np.sign(estimate)


def all_tests(outcomes: np.ndarray, treated: np.ndarray, covariates: np.ndarray, seed: int) -> dict[str, Test]:
    """Ours and its peers on one experiment with several outcomes (n, o): p-values and signs by the test's name."""
    return {
        OURS: ours(outcomes, treated, covariates, seed),
        **permutation_tests(outcomes, treated, covariates, seed),
        **statsmodels_tests(outcomes, treated, covariates),
    }


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


def rejections(population: Population, setting: tuple[int, float], repetitions: int) -> dict[str, np.ndarray]:
    """Shares of significant positive and negative effects without an effect, and with each of CHANGES, by test.

    Args:
        population: The customers.
        setting: Number of customers and share held out.
        repetitions: How many experiments.

    Returns:
        The shares (1 + changes, 2).
    """
    (n, share), counts = setting, defaultdict[str, np.ndarray](lambda: np.zeros((1 + len(CHANGES), 2)))
    rng = np.random.default_rng([n, round(100 * share)])
    for seed in range(repetitions):
        rows = rng.choice(len(population.outcome), n, replace=False)
        treated, outcome = rng.random(n) >= share, population.outcome[rows]
        changed = [add_effect(outcome, treated, *change, np.random.default_rng([seed, n])) for change in CHANGES]
        outcomes = np.column_stack([outcome, *changed])
        for name, (p, sign) in all_tests(outcomes, treated, population.covariates[rows], seed).items():
            counts[name] += np.column_stack([sign > 0, sign < 0]) * (p <= LEVEL)[:, None]
    return {name: count / repetitions for name, count in counts.items()}


def holds_level(shares: np.ndarray, repetitions: int) -> bool:
    """Whether false effects are at most 7%, and in each direction 2.5% but for chance (2.4 standard errors)."""
    most = 0.025 + 2.4 * np.sqrt(0.025 * 0.975 / repetitions)
    return bool(shares.sum() <= 0.07 and shares.max() <= most)


Shares = Mapping[tuple[str, int, float], Mapping[str, np.ndarray]]


def print_false_effects(populations: Sequence[Population], repetitions: int, results: Path | None = None) -> Shares:
    """Prints false effects of every setting, positive and negative, and returns the shares of `rejections`."""
    shares, done = {}, _read_results(results, repetitions)
    print(f"\n### False effects of {repetitions:,} A/A tests, in % (positive + negative)\n")
    for position, (population, setting) in enumerate((p, s) for p in populations for s in settings(p)):
        key = (population.name, *setting)
        shares[key] = done[key] if key in done else rejections(population, setting, repetitions)
        if results and key not in done:
            found = {name: share.tolist() for name, share in shares[key].items()}
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"setting": key, "repetitions": repetitions, "shares": found}) + "\n")
        if not position:
            print("| customers | " + " | ".join(shares[key]) + " |\n|:---|" + "---:|" * len(shares[key]))
        cells = [f"{100 * s[0].sum():.1f} ({100 * s[0, 0]:.1f} + {100 * s[0, 1]:.1f})" for s in shares[key].values()]
        print(f"| {_title(key)} | " + " | ".join(cells) + " |", flush=True)
    pooled = np.mean([each[OURS][0] for each in shares.values()], axis=0)
    totals = [100 * each[OURS][0].sum() for each in shares.values()]
    print(
        f"\nOurs, all {len(shares)} settings: {100 * pooled.sum():.2f}% ({100 * pooled[0]:.2f} positive, "
        f"{100 * pooled[1]:.2f} negative); single settings {min(totals):.1f}% to {max(totals):.1f}%."
    )
    return shares


def _read_results(results: Path | None, repetitions: int) -> dict[tuple[str, int, float], dict[str, np.ndarray]]:
    """The shares of the settings that were run with as many repetitions."""
    if results is None or not results.exists():
        return {}
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return {
        tuple(line["setting"]): {name: np.array(share) for name, share in line["shares"].items()}
        for line in lines if line["repetitions"] == repetitions
    }  # fmt: skip


def print_power(populations: Sequence[Population], shares: Shares, repetitions: int) -> None:
    """Prints the power of ours, and of the best test that holds its level with these customers at every size.

    A test is chosen before anybody knows the data, so one that holds its level at some sizes alone is not valid;
    permutation tests always are. An outcome that is 0 or 1 has no baskets that could grow.
    """
    print(f"\n### Power at 5, 10 and 20% of the mean, in % of {repetitions:,} repetitions\n")
    print("| customers | effect | ours | best valid test | which | ours minus it |")
    print("|:---|:---|---:|---:|:---|---:|")
    gaps, lucky = list[float](), list[float]()
    for population, setting in ((p, s) for p in populations for s in settings(p)):
        key = (population.name, *setting)
        holding = [_holding(shares[k], repetitions) for k in shares if k[0] == population.name]
        valid, binary = sorted(set.intersection(*holding)), set(np.unique(population.outcome)) <= {0.0, 1.0}
        for place, (kind, effect) in enumerate(CHANGES, start=1):
            if binary and kind == "baskets":
                continue
            power = {name: 100 * share[place, 0] for name, share in shares[key].items()}
            best = max(valid, key=lambda name: power[name])
            gaps.append(power[OURS] - power[best])
            lucky.append(power[OURS] - max(power[name] for name in _holding(shares[key], repetitions)))
            print(
                f"| {_title(key)} | {kind} +{effect:.0%} | {power[OURS]:.1f} | {power[best]:.1f} | {best} | "
                f"{gaps[-1]:+.1f} |"
            )
    print(
        f"\nOurs minus the best valid test: {min(gaps):+.1f} to {max(gaps):+.1f}; {sum(gap < -3 for gap in gaps)} of "
        f"{len(gaps)} below -3. With tests that hold their level in the setting, though not at other sizes: "
        f"{min(lucky):+.1f} to {max(lucky):+.1f}; {sum(gap < -3 for gap in lucky)} below -3."
    )


def _holding(tests: Mapping[str, np.ndarray], repetitions: int) -> set[str]:
    """The other tests that hold their level in a setting: by construction, or as far as one can see."""
    return {
        name
        for name, share in tests.items()
        if name != OURS and (name.startswith("permutation") or holds_level(share[0], repetitions))
    }


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
