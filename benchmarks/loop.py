"""Whether the loop pays: a simulated shop of known effects, twelve monthly rounds, the same budget for every policy.

Each seed draws one world (`benchmarks/simulated_rounds.py`): who is born when, how often each would order, how long
each lives, and
what each of two actions changes in that. Every policy lives through a copy of it from the same first year on, in which
nobody is contacted, and decides each month whom to contact from the orders that it saw in its own copy. Profit is the
margin on all orders from the first round to 90 days after the last, less the cost of contacts.

The world, written down before it was run: customers prefer the web, a store or an app, and order there seven times in
ten. A letter brings web customers back, does nothing for those of the store but annoy a few into leaving, and works a
little in the app; a voucher works in the store, hardly on the web, and drives app customers away. Some are dead already
(lost causes), frequent buyers respond less (sure things). What is lost to a contact that harms stays lost.

- random: whom and what by lot.
- highest risk, highest value at risk: by BG/NBD and Gamma-Gamma fitted in each round
(`features/catalog/btyd_model.py`), whose
  assumptions nearly are this world's.
- RFM: the groups of `features/config/rfm_rules.py` in the order of a textbook, those to be saved first or the best
first.
  Risk and RFM do not say which action: each is run with letters, vouchers, and either by lot, and the best of the three
  is shown, picked with hindsight.
- ours: three rounds of experiment with the whole budget, then a fifth of the budget for the experiment, the rest
  planned (`serving.optimizer.allocate`) by effects learned anew in rounds 4, 6 and 9 (`training.uplift.effects`) from
  the randomised
  part of the rounds whose 30 days have passed. Features are a subset of the catalog's with the money of each channel,
  computed in NumPy to be quick. All this was settled on worlds of seeds 100 to 103, which are not among those shown.
- oracle: knows what each action is expected to bring for each customer up to the end, and plans by that.

    python benchmarks/loop.py [--seeds 20] [--customers 20000]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats

from benchmarks.simulated_rounds import Orders, World, draw_world, live, lived, true_gains
from features.catalog.btyd_model import fit_bgnbd, fit_gamma_gamma
from features.config.rfm_rules import RULES
from features.simulation.business import Business
from features.simulation.settings import Action, Settings
from serving.optimizer.allocate import allocate_actions, allocation_problem
from serving.segmentation.rfm import rfm_groups, rfm_scores
from training.artifact.uplift_bundle import UpliftBundle
from training.uplift.effects import estimate_effects
from training.uplift.experiment import experiment_from_columns

SHOP = Settings(
    actions=(
        Action("letter", 1.0, 0.25, 30, (0.5, 0.0, 0.2), (-0.3, 0.5, 0.0)),
        Action("voucher", 2.5, 0.25, 30, (0.1, 0.8, -0.3), (0.0, -0.5, 1.0)),
    ),
    saturation=1.0,
    response_spread=0.5,
)
COSTS = np.array([action.cost for action in SHOP.actions])
FIRST, ROUNDS, AFTER = 12, 12, 90  # months before the first round, rounds, days after the last
BUDGET = 0.1  # money a round, for each customer whom the whole period sees
MARGIN = 0.3
FITTED = 2_000  # customers to whom BG/NBD is fitted
ACTIVE, HORIZON = 365, 30  # days: who counts as a customer, and how long an effect is looked at
PILOT, EXPLORE = 3, 0.2  # rounds of experiment alone, and its share of the budget afterwards
RELEARN = (3, 5, 8)  # rounds in which effects are learned anew
MIX = (1, 1, 2)  # in the experiment: with a letter, with a voucher, with nothing
SAVE_FIRST = (
    "cannot lose", "at risk", "need attention", "about to sleep", "hibernating", "loyal", "champions",
    "potential loyalists", "promising", "new", "lost",
)  # fmt: skip
BEST_FIRST = (
    "champions", "loyal", "cannot lose", "potential loyalists", "at risk", "need attention", "promising", "new",
    "about to sleep", "hibernating", "lost",
)  # fmt: skip
Decide = Callable[[int, Orders, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Seen:
    """What a policy sees of the active customers on a day: their places, and columns (n,) of their past."""

    who: np.ndarray
    columns: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]


@dataclass
class Ours:
    """What our policy has learned from: the experiment of each round."""

    world: World
    seed: int
    tried: list[tuple[int, Seen, np.ndarray]] = field(default_factory=list)
    model: list[UpliftBundle] = field(default_factory=list)

    def decide(self, stretch: int, orders: Orders, given: np.ndarray) -> np.ndarray:
        """An experiment with a part of the budget, a plan by what was learned with the rest."""
        day, rng = stretch * SHOP.contact_every, np.random.default_rng([self.seed, stretch])
        seen, budget = look(self.world, orders, given, day), budget_of(self.world)
        seen.columns.update(foreseen(seen.columns))
        pilot = stretch < FIRST + PILOT
        chosen = self._experiment(seen, stretch, budget if pilot else EXPLORE * budget, rng)
        if not pilot:
            gains = MARGIN * self._effects(seen, orders, day) - COSTS
            gains[chosen >= -1] = -np.inf
            left = budget - COSTS[chosen[chosen >= 0]].sum()
            plan = allocate_actions(allocation_problem(gains, COSTS, left)).choice
            chosen = np.where(chosen >= -1, chosen, np.where(plan < len(COSTS), plan, -1))
        return spread(self.world, seen, np.maximum(chosen, -1))

    def _experiment(self, seen: Seen, stretch: int, budget: float, rng: np.random.Generator) -> np.ndarray:
        """The arm (n,) of those in the experiment, -1 for its control; -2 for those who are not in it."""
        each = min(int(budget / (COSTS @ MIX[:-1])), len(seen.who) // sum(MIX))
        chosen = np.full(len(seen.who), -2)
        places = rng.permutation(len(seen.who))[: sum(MIX) * each]
        chosen[places] = np.repeat([0, 1, -1], np.array(MIX) * each)
        part = np.sort(places)
        subset = Seen(seen.who[part], {name: values[part] for name, values in seen.columns.items()})
        self.tried.append((stretch, subset, chosen[part]))
        return chosen

    def _effects(self, seen: Seen, orders: Orders, day: int) -> np.ndarray:
        """The effect (n, actions) on value, as believed after all experiments whose outcome is known."""
        if day // SHOP.contact_every - FIRST in RELEARN or not self.model:
            self.model = [self.learn(orders, day)]
        said = self.model[-1].predict_effects(pa.table(seen.columns))["value"]
        return np.column_stack([said[action.name][0] for action in SHOP.actions])

    def learn(self, orders: Orders, day: int) -> UpliftBundle:
        """The uplift model of the experiments that are a horizon old on a day."""
        known = [entry for entry in self.tried if entry[0] * SHOP.contact_every + HORIZON <= day]
        names = np.array([*(action.name for action in SHOP.actions), "none"])
        value = [_value(orders, stretch * SHOP.contact_every)[seen.who] for stretch, seen, _ in known]
        arms = np.concatenate([arm for *_, arm in known])
        trial = experiment_from_columns(
            pa.concat_tables([pa.table(seen.columns) for _, seen, _ in known]),
            names[arms],
            {"value": np.concatenate(value)},
            control="none",
            propensity=np.array(MIX)[arms] / sum(MIX),
            customers=np.concatenate([seen.who for _, seen, _ in known]),
            rounds=np.repeat([stretch for stretch, *_ in known], [len(arm) for *_, arm in known]),
            actions=[action.name for action in SHOP.actions],
        )
        return estimate_effects(trial, seed=self.seed, resamples=2, proportional=("value",)).bundle


def look(world: World, orders: Orders, given: np.ndarray, day: int) -> Seen:
    """The active customers of a day and their past: a subset of the catalog's features, in NumPy."""
    n, age = len(world.population.birth), day - orders.moment
    count = np.bincount(orders.who, minlength=n)
    last, first = (np.full(n, np.inf), np.zeros(n))
    np.minimum.at(last, orders.who, age)
    np.maximum.at(first, orders.who, age)
    who = np.flatnonzero((count > 0) & (last <= ACTIVE))

    def total(weight: np.ndarray) -> np.ndarray:
        return np.bincount(orders.who, weight, minlength=n)[who]

    columns = {"last_order_days": last[who], "first_order_days": first[who], "orders_count": count[who].astype(float)}
    for window in (30, 90, 365):
        columns[f"orders_count_{window}d"] = total(age <= window)
        columns[f"orders_amount_{window}d"] = total(orders.amount * (age <= window))
    columns["order_amount_mean"] = total(orders.amount) / count[who]
    for place, name in enumerate(SHOP.channels):
        columns[f"channel_share_{name}"] = total(orders.channel == place) / count[who]
        columns[f"channel_amount_90d_{name}"] = total(orders.amount * ((orders.channel == place) & (age <= 90)))
    past = given[who, : day // SHOP.contact_every]
    columns["contacts_count_90d"] = (past[:, -3:] >= 0).sum(axis=1).astype(float)
    return Seen(who, columns)


def foreseen(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What BG/NBD and Gamma-Gamma, fitted to some of these customers, expect of the next 90 days of all."""
    count, age = columns["orders_count"], columns["first_order_days"]
    rhythm = (count - 1, age - columns["last_order_days"], age)
    some = slice(None, None, -(-len(count) // FITTED))
    model = fit_bgnbd(*(values[some] for values in rhythm))
    spend = fit_gamma_gamma(count[some], columns["order_amount_mean"][some])
    money = spend.expected_spend(count, columns["order_amount_mean"])
    rate = (count - 1 + model.r) / (age + model.alpha * model.time_unit_days)  # a day, while alive
    returns = model.return_probability(*rhythm, 90)
    return {
        "expected_alive": model.alive_probability(*rhythm),
        "expected_return": returns,
        "expected_orders": model.expected_orders(*rhythm, 90),
        "expected_order_amount": money,
        "value_at_risk": (1 - returns) * 90 * rate * money,
    }


def _value(orders: Orders, day: int) -> np.ndarray:
    """Money of each customer, by place, in [day, day + HORIZON)."""
    came = (orders.moment >= day) & (orders.moment < day + HORIZON)
    return np.bincount(orders.who, orders.amount * came)


def budget_of(world: World) -> float:
    """Money for one round."""
    return BUDGET * len(world.population.birth)


def spread(world: World, seen: Seen, chosen: np.ndarray) -> np.ndarray:
    """The choice for the seen as one for all customers."""
    found = np.full(len(world.population.birth), -1)
    found[seen.who] = chosen
    return found


def ranked(world: World, rank: Callable[[Seen, np.random.Generator], np.ndarray], what: str, seed: int) -> Decide:
    """A policy that contacts the active with the highest rank until the money is spent."""

    def decide(stretch: int, orders: Orders, given: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([seed, stretch])
        seen = look(world, orders, given, stretch * SHOP.contact_every)
        action = {"letter": 0, "voucher": 1}.get(what)
        each = rng.integers(len(COSTS), size=len(seen.who)) if action is None else np.full(len(seen.who), action)
        order = np.argsort(-rank(seen, rng), kind="stable")
        paid = np.cumsum(COSTS[each[order]]) <= budget_of(world)
        chosen = np.full(len(seen.who), -1)
        chosen[order[paid]] = each[order[paid]]
        return spread(world, seen, chosen)

    return decide


def tiers(names: Sequence[str]) -> Callable[[Seen, np.random.Generator], np.ndarray]:
    """A rank by RFM group in a given order, within a group by money of the year."""

    def rank(seen: Seen, rng: np.random.Generator) -> np.ndarray:
        money = seen["orders_amount_365d"]
        r = rfm_scores(seen["last_order_days"], least_is_best=True)
        group = rfm_groups(RULES, r, rfm_scores(seen["orders_count_365d"]), rfm_scores(money))
        tier = np.array([names.index(name) for name in RULES])[group]
        return -tier + money / (money.max() + 1)

    return rank


RANKS: dict[str, Callable[[Seen, np.random.Generator], np.ndarray]] = {
    "highest risk": lambda seen, rng: 1 - foreseen(seen.columns)["expected_return"],
    "highest value at risk": lambda seen, rng: foreseen(seen.columns)["value_at_risk"],
    "RFM, those to be saved first": tiers(SAVE_FIRST),
    "RFM, the best first": tiers(BEST_FIRST),
}


def knowing(world: World) -> Decide:
    """The oracle: the plan by the true effects."""

    def decide(stretch: int, orders: Orders, given: np.ndarray) -> np.ndarray:
        gains = MARGIN * true_gains(world, given, stretch) - COSTS
        choice = allocate_actions(allocation_problem(gains, COSTS, budget_of(world))).choice
        return np.where(choice < len(COSTS), choice, -1)

    return decide


def policies(world: World, seed: int) -> dict[str, Decide]:
    """Every policy by name; those that do not say which action, with each."""
    found: dict[str, Decide] = {"random": ranked(world, lambda seen, rng: rng.random(len(seen.who)), "lot", seed)}
    for name, rank in RANKS.items():
        found |= {f"{name} ({what})": ranked(world, rank, what, seed) for what in ("letter", "voucher", "lot")}
    return {**found, "ours": Ours(world, seed).decide, "oracle": knowing(world)}


def profit(orders: Orders, given: np.ndarray, first: int) -> float:
    """Margin on the orders from a day on, less the cost of all contacts."""
    return MARGIN * float(orders.amount[orders.moment >= first].sum()) - float(COSTS[given[given >= 0]].sum())


def gains(seed: int, customers: int, rounds: int = ROUNDS, only: Sequence[str] = ()) -> dict[str, float]:
    """What each policy earns in the world of a seed beyond doing nothing, and 'contacts:' how many it makes."""
    days = (FIRST + rounds) * SHOP.contact_every + AFTER
    world = draw_world(customers, Business(date(2023, 1, 1), days, SHOP, seed))
    first, found = FIRST * SHOP.contact_every, {}
    nothing = profit(lived(world, world.untouched), world.untouched, first)
    for name, decide in policies(world, seed).items():
        if only and name not in only:
            continue
        given, orders = live(world, range(FIRST, FIRST + rounds), decide)
        found[name] = profit(orders, given, first) - nothing
        found[f"contacts:{name}"] = float((given >= 0).sum())
    return {"nothing": nothing, **found}


def table(rows: pd.DataFrame) -> str:
    """The Markdown table of all seeds: gains with 95% t-intervals over seeds, those beside ours paired by seed."""
    best = {name: _best(rows, name) for name in RANKS}
    shown = ["random", *best.values(), "ours", "oracle"]
    lines = [
        "| policy | profit over doing nothing | share of the oracle's | ours more by | contacts |",
        "|:---|---:|---:|---:|---:|",
    ]
    for name in sorted(shown, key=lambda name: rows[name].mean()):
        share = _told(100 * rows[name] / rows["oracle"], "%")
        more = "" if name == "ours" else _told(rows["ours"] - rows[name])
        lines.append(f"| {name} | {_told(rows[name])} | {share} | {more} | {rows[f'contacts:{name}'].mean():,.0f} |")
    return "\n".join(lines)


def _best(rows: pd.DataFrame, rule: str) -> str:
    return max((f"{rule} ({what})" for what in ("letter", "voucher", "lot")), key=lambda name: rows[name].mean())


def _told(values: pd.Series, unit: str = "") -> str:
    """The mean and its 95% interval over seeds."""
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.sem()) if len(values) > 1 else np.nan
    mean = float(values.mean())
    return f"{mean:,.0f}{unit} ({mean - half:,.0f} to {mean + half:,.0f})"


def main(arguments: Sequence[str]) -> int:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--customers", type=int, default=20_000)
    asked = parser.parse_args(arguments)
    found = []
    for seed in range(asked.seeds):
        start = time.perf_counter()
        found.append(gains(seed, asked.customers))
        told = ", ".join(f"{name} {found[-1][name]:,.0f}" for name in ("random", "ours", "oracle"))
        print(f"seed {seed}: {told}; {time.perf_counter() - start:.0f} s", file=sys.stderr)
    rows = pd.DataFrame(found)
    print(
        f"{asked.seeds} seeds, {asked.customers:,} customers born over the period, {ROUNDS} rounds of "
        f"{BUDGET * asked.customers:,.0f} each; doing nothing earns {_told(rows['nothing'])}\n\n{table(rows)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
