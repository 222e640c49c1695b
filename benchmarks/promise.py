"""Do plans keep their promise? True gain over promised gain, and how often the intervals of plans hold.

Each simulated world has its own kind of actions: how large effects are, how much they differ between channels, whether
frequent buyers respond less, how many actions do nothing, what they cost, how many customers an experiment has. Plans
follow each other in a world. For each one, new customers and new actions are drawn (`benchmarks/simulated_rounds.py`),
and the whole of the real path is run:

- a month of randomised contacts, from which the uplift model learns (`training.uplift.effects`). Faster are `--model
  hierarchical`, the hierarchical model without the meta-learners that it is compared with, and `--model means`,
  differences in means: the same share of the predicted value for everybody;
- the estimates and their errors as `regulars uplift` writes them;
- the plan (`serving.planning.plan.make_plan`): posterior means, with a prior that knows the other actions and the
  measured campaigns of the plans before in the same world, a holdout, a budget, the solver;
- the plan is carried out, and its measured effects become evidence for later plans.

Only the world itself knows the true gain: the margin on what the chosen actions add to the expected money of the chosen
customers within the horizon, less the costs. "Estimates as they are" is what the same plans would have promised without
a prior. All distributions were written down before the benchmark was run with the seeds that are shown.

    python benchmarks/promise.py [--worlds 20] [--plans 10] [--seed 1] [--model hierarchical]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.loop import CustomerView, catalog_columns, predict_btyd, view_customers  # noqa: E402
from benchmarks.simulated_rounds import Orders, World, draw_world, orders_given_decisions  # noqa: E402
from features.config.load import Config, parse_config  # noqa: E402
from features.outputs.layout import MEASUREMENT, PLAN_MANIFEST, UPLIFT_MANIFEST  # noqa: E402
from features.outputs.manifests import manifest_text  # noqa: E402
from features.simulation.business import Business, apply_contacts, expected_orders  # noqa: E402
from features.simulation.settings import Action, Settings  # noqa: E402
from features.storage.json_files import file_digest  # noqa: E402
from serving.effects.uplift_scores import UPLIFT_SCHEMA, parts_column  # noqa: E402
from serving.planning.plan import Plan, make_plan  # noqa: E402
from serving.scoring.columns import SCORE_SCHEMA  # noqa: E402
from training.artifact.uplift_bundle import EffectModel, OutcomeModel, UpliftBundle, named_columns  # noqa: E402
from training.uplift.effects import estimate_effects, trim_tails  # noqa: E402
from training.uplift.experiment import ExperimentData, experiment_from_columns  # noqa: E402
from training.uplift.hierarchical import average_effect, fit_hierarchical  # noqa: E402

EVERY, TEST, PLANNED = 30, 11, 12  # days of a stretch; the stretches of the experiment and of the plan
MARGIN, HOLDOUT, CHANNELS = 0.3, 0.1, 3
START = date(2020, 1, 1)
LEARNED, HIERARCHICAL, MEANS = MODELS = ("learned", "hierarchical", "means")
VALUE_COLUMNS = ("expected_orders", "expected_order_amount")


@dataclass(frozen=True)
class Kind:
    """What the actions of a world are like.

    Attributes:
        customers: How many are born in a year.
        actions: How many actions a plan chooses from.
        mean: Mean change of the rate of orders by an action that does something.
        spread: Its standard deviation over actions; between channels half of it.
        nothing: Share of the actions that do nothing.
        saturation: How much less frequent buyers respond.
        cost: Of a contact, as a share of the margin on a mean customer's month.
        share: Of the customers, whom the budget is enough for.
    """

    customers: int
    actions: int
    mean: float
    spread: float
    nothing: float
    saturation: float
    cost: float
    share: float


def draw_kind(rng: np.random.Generator) -> Kind:
    """Draws the properties of a world."""
    return Kind(
        customers=int(rng.integers(3_000, 6_000)),
        actions=int(rng.integers(1, 5)),
        mean=float(rng.normal(0.2, 0.15)),
        spread=float(rng.uniform(0.1, 0.4)),
        nothing=float(rng.uniform(0, 0.5)),
        saturation=float(rng.choice([0.0, 0.5])),
        cost=float(rng.uniform(0.01, 0.1)),
        share=float(rng.uniform(0.2, 0.8)),
    )


def draw_settings(kind: Kind, rng: np.random.Generator) -> Settings:
    """Draws the actions of one plan."""
    actions = []
    for number in range(kind.actions):
        lifts = rng.normal(kind.mean, kind.spread) + rng.normal(0, kind.spread / 2, CHANNELS)
        lifts *= rng.random() >= kind.nothing
        actions.append(Action(f"a{number}", 0.0, 1 / (kind.actions + 1.5), EVERY, tuple(np.clip(lifts, -0.7, 3))))
    return Settings(actions=tuple(actions), saturation=kind.saturation)


@dataclass(frozen=True)
class MeanDifferences:
    """Estimates by differences in means, in proportion to the predicted value; read like an `UpliftBundle`.

    Attributes:
        figures: `base` (mean of the control), `average` and `error` by action.
        usual: The mean predicted value of the customers of the experiment.
    """

    figures: dict[str, dict[str, float]]
    usual: float

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions."""
        return tuple(self.figures)

    def predict_effects(self, columns: pa.Table) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """Effect on value and its error, (n,) each, by action."""
        ratio = predicted_value({name: columns[name].to_numpy() for name in VALUE_COLUMNS}) / self.usual
        return {"value": {a: (f["average"] * ratio, f["error"] * ratio) for a, f in self.figures.items()}}

    def evidence(self) -> dict[str, dict[str, dict[str, float]]]:
        """As of a bundle."""
        return {action: {"value": {**figures, "slope": 0.0}} for action, figures in self.figures.items()}


Model = UpliftBundle | MeanDifferences


def predicted_value(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Predicted money of the next 30 days: a third of that of 90 days."""
    return columns["expected_orders"] * columns["expected_order_amount"] / 3


def mean_differences(value: np.ndarray, names: np.ndarray, predicted: np.ndarray) -> MeanDifferences:
    """Compares the mean value of each arm with that of the control 'none'; (n,) each."""
    control, figures = value[names == "none"], {}
    for action in sorted(set(names) - {"none"}):
        treated = value[names == action]
        error = np.sqrt(treated.var(ddof=1) / len(treated) + control.var(ddof=1) / len(control))
        figures[action] = {
            "base": float(control.mean()),
            "average": float(treated.mean() - control.mean()),
            "error": float(error),
        }
    return MeanDifferences(figures, float(predicted.mean()))


def run_experiment(world: World, rng: np.random.Generator, learn: str) -> tuple[Model, np.ndarray]:
    """Contacts all active customers at random.

    Args:
        world: The world.
        rng: The source of randomness.
        learn: How effects are estimated, one of `MODELS`.

    Returns:
        The estimates, and the decisions.
    """
    decisions, day = world.no_contacts, TEST * EVERY
    seen = view_of(world, orders_given_decisions(world, decisions, range(TEST)), decisions, day)
    count = len(world.business.settings.actions)
    propensity = np.array([world.business.settings.actions[0].propensity] * count)
    arms = np.searchsorted(np.cumsum(propensity), rng.random(len(seen.who)), side="right")  # `count`: the control
    decisions[seen.who, TEST] = np.where(arms < count, arms, -1)
    orders = orders_given_decisions(world, decisions, range(TEST, PLANNED))
    names = np.array([*(action.name for action in world.business.settings.actions), "none"])
    value = money_by_customer(orders, world)[seen.who]
    if learn == MEANS:
        return mean_differences(value, names[arms], predicted_value(seen.columns)), decisions
    trial = experiment_from_columns(
        feature_table(seen),
        names[arms],
        {"value": value},
        control="none",
        propensity=np.append(propensity, 1 - propensity.sum())[arms],
        customers=seen.who,
        rounds=np.zeros(len(arms), int),
        actions=names[:-1].tolist(),
    )
    if learn == HIERARCHICAL:
        return hierarchical_alone(trial), decisions
    bundle = estimate_effects(trial, seed=0, folds=2, resamples=2, proportional=("value",), hierarchical=True).bundle
    return bundle, decisions


def hierarchical_alone(trial: ExperimentData) -> UpliftBundle:
    """The uplift model that is learned if no meta-learner is better than the hierarchical model."""
    value = trim_tails(trial.outcomes["value"])
    columns, base = named_columns(trial.design, trial.columns), np.full(len(trial), value.mean())
    posterior, effects = fit_hierarchical(trial, value, base), {}
    for action in trial.actions:
        average, error = average_effect(posterior, action, columns, base)
        effects[action] = EffectModel(average, error, hierarchical=True)
    outcome = OutcomeModel({}, {}, {}, float(value[trial.arm == 0].mean()), effects, True, posterior)
    return UpliftBundle("promise", trial.actions, trial.source, trial.columns, {"value": outcome})


def view_of(world: World, orders: Orders, decisions: np.ndarray, day: int) -> CustomerView:
    """The active customers of a day, with their features and the predictions of BG/NBD."""
    seen = view_customers(world, orders, decisions, day)
    seen.columns.update(predict_btyd(seen.columns))
    return seen


def money_by_customer(orders: Orders, world: World) -> np.ndarray:
    """Money of each customer in some orders, by position."""
    return np.bincount(orders.who, orders.amount, minlength=len(world.population.birth))


def true_effects(world: World, decisions: np.ndarray) -> np.ndarray:
    """Expected money that each action of the plan adds within the horizon, (customers, actions)."""
    days, business = (PLANNED * EVERY, (PLANNED + 1) * EVERY), world.business
    population = apply_contacts(world.population, business, decisions)
    population = replace(population, rate=population.rate * (population.birth < days[0]))

    def expected(action: int) -> np.ndarray:
        changed = decisions.copy()
        changed[:, PLANNED] = action
        return expected_orders(population, business, changed, days) * population.mean_amount

    nothing = expected(-1)
    return np.column_stack([expected(a) - nothing for a in range(len(business.settings.actions))])


def write_inputs(folder: Path, cutoff: date, seen: CustomerView, orders: Orders, bundle: Model) -> None:
    """Writes the log, the scores and the estimated effects of a cutoff, as the commands before a plan would."""
    ids = [f"c{place:06d}" for place in seen.who]
    moments = (
        np.datetime64(cutoff) - np.timedelta64(PLANNED * EVERY, "D") + (orders.moment * 86_400).astype("timedelta64[s]")
    )
    log = {"customer": [f"c{place:06d}" for place in orders.who], "time": moments, "amount": orders.amount}
    pq.write_table(pa.table(log), folder / "log.parquet")
    returns, n = seen["expected_return"], len(ids)
    value = predicted_value(seen.columns)
    columns = {
        "customer_id": ids, "cutoff": np.full(n, np.datetime64(cutoff, "us")), "value": value,
        "churn_probability": 1 - returns, "value_at_risk": seen["value_at_risk"] / 3, "value_low": value,
        "value_high": value, "tier": ["middle"] * n, "segment": ["all"] * n,
    }  # fmt: skip
    scores = pa.table(
        {f.name: pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(n, f.type) for f in SCORE_SCHEMA},
        schema=SCORE_SCHEMA,
    )
    place = new_folder(folder / "output" / "scores" / f"cutoff={cutoff}")
    pq.write_table(scores, place / "part-00000.parquet")
    parts = [{"file": "part-00000.parquet", "rows": n, "sha256": file_digest(place / "part-00000.parquet")}]
    (place / "_manifest.json").write_text(json.dumps({"cutoff": str(cutoff), "customers": n, "parts": parts}))
    place = new_folder(folder / "output" / "uplift" / f"cutoff={cutoff}")
    effects = bundle.predict_effects(feature_table(seen))["value"]
    errors = bundle.posterior_parts(feature_table(seen))["value"] if isinstance(bundle, UpliftBundle) else {}
    pq.write_table(
        pa.concat_tables([_effect_rows(ids, a, *effects[a], errors.get(a)) for a in bundle.actions]),
        place / "effects.parquet",
    )
    manifest = {
        "format": 1, "cutoff": str(cutoff), "customers": n, "rows": n * len(effects), "model": "simulated/1",
        "sha256": file_digest(place / "effects.parquet"), "source": "measured", "evidence": bundle.evidence(),
    }  # fmt: skip
    (place / UPLIFT_MANIFEST).write_text(manifest_text(manifest))


def feature_table(seen: CustomerView) -> pa.Table:
    """The features from which effects are learned: those of the benchmark, and those by which effects may vary."""
    return pa.table({**seen.columns, **catalog_columns(seen)})


def _effect_rows(
    ids: list[str], action: str, effect: np.ndarray, error: np.ndarray, parts: np.ndarray | None
) -> pa.Table:
    columns = {"customer_id": ids, "action": [action] * len(ids), "effect_value": effect, "effect_value_error": error,
               "source": ["measured"] * len(ids), "effect_value_parts": parts_column(parts, len(ids))}  # fmt: skip
    return pa.table(
        {
            f.name: pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(len(ids), f.type)
            for f in UPLIFT_SCHEMA
        },
        schema=UPLIFT_SCHEMA,
    )


def new_folder(path: Path) -> Path:
    """Makes a folder and returns it."""
    path.mkdir(parents=True)
    return path


def config_of(folder: Path, costs: dict[str, float], campaign: str) -> Config:
    """The config of a plan."""
    return parse_config(
        {
            "config_version": 1,
            "name": "promise",
            "events": {"source": "log.parquet", "customer": "customer", "time": "time", "amount": "amount"},
            "task": {"horizon": f"{EVERY}d", "windows": [f"{EVERY}d"]},
            "plan": {
                "margin": MARGIN, "holdout": HOLDOUT, "campaign": campaign, "curve": 2,
                "actions": {name: {"cost": cost} for name, cost in costs.items()},
            },
        },
        folder / "regulars.toml",
    )  # fmt: skip


def run_plan(kind: Kind, number: int, seed: int, folder: Path, learn: str) -> dict[str, float]:
    """Makes one plan of a world, carries it out, and compares its promise with the truth.

    Args:
        kind: The properties of the world.
        number: The number of the plan; earlier ones are measured campaigns.
        seed: The seed of the plan.
        folder: The world's folder.
        learn: How effects are estimated, one of `MODELS`.

    Returns:
        promised, low, high, true, chance (of a loss), customers, and raw (the promise by the estimates as they are).
    """
    rng = np.random.default_rng([seed, 1])
    cutoff = START + timedelta(days=2 * EVERY * (number + 1) + PLANNED * EVERY)
    business = Business(cutoff - timedelta(days=PLANNED * EVERY), (PLANNED + 1) * EVERY, draw_settings(kind, rng), seed)
    world = draw_world(kind.customers, business)
    bundle, decisions = run_experiment(world, rng, learn)
    orders = orders_given_decisions(world, decisions, range(PLANNED))
    seen = view_of(world, orders, decisions, PLANNED * EVERY)
    write_inputs(folder, cutoff, seen, orders, bundle)
    month = MARGIN * float(money_by_customer(orders, world).sum()) / PLANNED / len(seen.who)
    cost = round(kind.cost * month * float(rng.uniform(0.5, 1.5)), 4)
    costs = {name: cost * (1 + place / 2) for place, name in enumerate(bundle.actions)}
    budget = round(kind.share * len(seen.who) * 1.5) * cost
    plan = make_plan(config_of(folder, costs, f"plan-{number:02d}"), cutoff, budget=budget)
    return _outcome(plan, world, decisions, seen, bundle, cutoff)


def _outcome(
    plan: Plan, world: World, decisions: np.ndarray, seen: CustomerView, bundle: Model, cutoff: date
) -> dict[str, float]:
    rows = plan.table()
    who = np.array([int(each[1:]) for each in rows["customer_id"].to_pylist()])
    meant = np.array([bundle.actions.index(each) if each else -1 for each in rows["would_have"].to_pylist()])
    treated = (meant >= 0) & ~rows["holdout"].to_numpy()
    effects = true_effects(world, decisions)
    true = MARGIN * effects[who[treated], meant[treated]].sum() - plan.spent
    estimated = bundle.predict_effects(feature_table(seen))["value"]
    places = {customer: place for place, customer in enumerate(seen.who)}
    raw = sum(estimated[bundle.actions[a]][0][places[c]] for c, a in zip(who[treated], meant[treated], strict=True))
    decisions[who[treated], PLANNED] = meant[treated]
    outcome = money_by_customer(orders_given_decisions(world, decisions, range(PLANNED, PLANNED + 1)), world)
    _write_measurement(plan, bundle.actions, outcome[who], meant, treated, cutoff)
    low, high = plan.gain_interval or (np.nan, np.nan)
    chance = np.nan if plan.loss_probability is None else plan.loss_probability
    return {
        "promised": plan.gain, "low": low, "high": high, "true": float(true), "chance": chance,
        "customers": float(treated.sum()), "raw": float(MARGIN * raw - plan.spent),
    }  # fmt: skip


def _write_measurement(
    plan: Plan, actions: Sequence[str], outcome: np.ndarray, meant: np.ndarray, treated: np.ndarray, cutoff: date
) -> None:
    """Writes what the plan's holdout measured, by differences in means."""
    effects: list[dict[str, Any]] = []
    for place, name in enumerate(actions):
        sides = [outcome[(meant == place) & (treated == side)] for side in (True, False)]
        if min(len(side) for side in sides) < 10:
            continue
        error = float(np.sqrt(sum(side.var(ddof=1) / len(side) for side in sides)))
        effects.append({"family": "action", "outcome": "value", "action": name, "segment": "all", "estimator": "plain",
                        "effect": float(sides[0].mean() - sides[1].mean()), "error": error,
                        "mean_held": float(sides[1].mean())})  # fmt: skip
    for row in effects:  # actions of another plan are other actions, whatever their name
        row["action"] = f"{plan.campaign} {row['action']}"
    content = {
        "format": 1, "name": "promise", "cutoff": str(cutoff), "campaign": plan.campaign, "mature": True, "log": {},
        "effects": effects, "sample_ratio": {"alarm": False}, "customers": {}, "horizon_days": EVERY,
        "plan_sha256": file_digest(plan.folder / PLAN_MANIFEST),
    }  # fmt: skip
    (plan.folder / MEASUREMENT).write_text(manifest_text(content))


def run_world(number: int, plans: int, seed: int, learn: str) -> pd.DataFrame:
    """Makes the plans of one world, one after the other."""
    kind = draw_kind(np.random.default_rng([seed, number]))
    with tempfile.TemporaryDirectory() as folder:
        seeds = [int(1e6 * seed + 1e3 * number + plan) for plan in range(plans)]
        rows = [run_plan(kind, plan, each, Path(folder), learn) for plan, each in enumerate(seeds)]
    return pd.DataFrame(rows).assign(world=number, actions=kind.actions)


def summary(rows: pd.DataFrame) -> str:
    """The figures over all plans; 95% intervals by resampling worlds."""
    acting = rows[rows.customers > 0]
    inside = (acting.true >= acting.low) & (acting.true <= acting.high)
    frames = [frame for _, frame in rows.groupby("world")]
    rng, ratios = np.random.default_rng(0), []
    for _ in range(2_000):
        drawn = [frames[place] for place in rng.integers(len(frames), size=len(frames))]
        ratios.append(sum(f.true.sum() for f in drawn) / max(sum(f.promised.sum() for f in drawn), 1e-9))
    low, high = np.quantile(ratios, [0.025, 0.975])
    half = 1.96 * np.sqrt(inside.mean() * (1 - inside.mean()) / len(inside))
    below, above = (acting.true < acting.low).mean(), (acting.true > acting.high).mean()
    table = {
        "true gain over promised gain": f"{rows.true.sum() / rows.promised.sum():.2f} ({low:.2f} to {high:.2f})",
        "the same by the estimates as they are": f"{rows.true.sum() / rows.raw.sum():.2f}",
        "80% intervals that hold": f"{inside.mean():.0%} ({inside.mean() - half:.0%} to {inside.mean() + half:.0%})",
        "true gain below the interval, above it": f"{below:.0%}, {above:.0%}",
        "plans that lost money": f"{(acting.true < 0).mean():.0%}",
        "mean probability of a loss, as stated": f"{acting.chance.mean():.0%}",
    }
    head = f"{len(rows)} plans in {rows.world.nunique()} worlds; {len(acting)} of them contact somebody"
    return "\n".join([head, "", "| | |", "|:---|---:|", *(f"| {name} | {text} |" for name, text in table.items())])


def main(arguments: Sequence[str]) -> int:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--plans", type=int, default=10, help="in each world")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", choices=MODELS, default=LEARNED)
    parser.add_argument("--rows", type=Path, help="CSV file for the figures of each plan")
    options = parser.parse_args(arguments)
    frames = []
    for number in range(options.worlds):
        start = time.perf_counter()
        frames.append(run_world(number, options.plans, options.seed, options.model))
        rows = pd.concat(frames)
        if options.rows:
            rows.to_csv(options.rows, index=False)
        promised, true = frames[-1].promised.sum(), frames[-1].true.sum()
        seconds = time.perf_counter() - start
        print(f"world {number}: promised {promised:,.0f}, true {true:,.0f}; {seconds:.0f} s", file=sys.stderr)
    print(summary(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
