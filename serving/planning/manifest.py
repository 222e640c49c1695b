"""The facts of a plan for its manifest: what is spent and gained, which limits bind and what they cost, and counts."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

from features.config.load import Config
from features.config.plan import PlanConfig, without_customer_ids
from serving.optimizer.allocate import Allocation
from serving.planning.inputs import MONEY, PlanInputs

FORMAT = 1
BINDING_TOLERANCE = 1e-9  # of the largest price: below it a price is rounding


def plan_manifest(config: Config, rules: PlanConfig, inputs: PlanInputs, found: Allocation) -> dict[str, Any]:
    """Everything about a plan but its rows and the checksums of its files.

    The same scores, effects, rules and seed make the same manifest: it holds no time and no place.
    """
    names, done = list(rules.actions), (found.choice < len(rules.actions)) & ~inputs.holdout
    told = rules.model_dump(mode="json")
    return {
        "format": FORMAT,
        "name": config.name,
        "language": config.language,
        "campaign": rules.campaign,
        "cutoff": str(inputs.scores.cutoff),
        "horizon_days": config.task.horizon.days,
        "objective": inputs.objective,
        "margin": rules.margin if inputs.objective == MONEY else None,
        "budget": rules.budget,
        "spent": found.spent,
        "gain": found.gain,
        **_range(config, rules, inputs, found, done),
        "bound": found.bound,
        "gap": found.gap,
        "assumed": inputs.action_effects.assumed,
        "prices": _prices(names, inputs, found),
        "binding": _binding(rules, inputs, found),
        "customers": {
            "scored": inputs.table.num_rows,
            "eligible": int((inputs.eligibility.reason_index < 0).sum()),
            "held_out": int(inputs.holdout.sum()),
            "with_action": int(done.sum()),
        },
        "left_out": inputs.eligibility.left_out,
        "closed": inputs.eligibility.blocked,
        "actions": {name: _action(j, rules, inputs, found) for j, name in enumerate(names)},
        "segments": {name: _segment(g, names, inputs, found) for g, name in enumerate(inputs.segments)},
        "holdout": {
            "share": rules.holdout,
            "seed": rules.seed,
            "draw": "blake2b of the id, keyed by campaign and seed",
        },
        "effects_sha256": inputs.action_effects.digest or None,
        "scores": {key: inputs.scores.manifest.get(key) for key in ("models", "data_fingerprint", "parts")},
        "rules": {**told, "exclude": [without_customer_ids(rule) for rule in told["exclude"]]},
    }


def _range(
    config: Config, rules: PlanConfig, inputs: PlanInputs, found: Allocation, done: np.ndarray
) -> dict[str, Any]:
    """The interval of the gain and what share of the effects it takes to break even; null where there is no such thing.

    Errors of a model's effects on different customers are taken to go together: the widest that they allow.
    """
    rows = np.flatnonzero(done)
    error = inputs.action_effects.error[rows, found.choice[rows]]
    facts: dict[str, Any] = {"gain_low": None, "gain_high": None, "interval": None, "break_even": None}
    if inputs.objective != MONEY or not len(rows):
        return facts
    effect = found.gain + found.spent
    facts["break_even"] = found.spent / effect if effect > 0 else None
    if not np.isnan(error).any():
        spread = NormalDist().inv_cdf(0.5 + config.serving.interval / 2)
        reach = spread * (rules.margin or 0.0) * float(error.sum())
        facts |= {"gain_low": found.gain - reach, "gain_high": found.gain + reach, "interval": config.serving.interval}
    return facts


def _prices(names: list[str], inputs: PlanInputs, found: Allocation) -> dict[str, Any]:
    """What one unit more of each limit would add to the gain, and one customer less of each minimum."""
    a = len(names)
    return {
        "budget": float(found.prices[0]),
        "capacity": dict(zip(names, map(float, found.prices[1 : 1 + a]), strict=True)),
        "minimum": {
            name: float(price)
            for name, price, least in zip(inputs.segments, found.prices[1 + a :], inputs.minimums, strict=True)
            if least
        },
    }


def _binding(rules: PlanConfig, inputs: PlanInputs, found: Allocation) -> list[str]:
    """The limits whose price is not nothing, in words."""
    names = ["budget", *(f"capacity of {name}" for name in rules.actions)]
    names += [f"minimum share of {segment!r}" for segment in inputs.segments]
    least = BINDING_TOLERANCE * max(float(np.abs(found.prices).max()), 1e-300)
    return [name for name, price in zip(names, found.prices, strict=True) if price > least]


def _action(place: int, rules: PlanConfig, inputs: PlanInputs, found: Allocation) -> dict[str, Any]:
    mine = found.choice == place
    done = mine & ~inputs.holdout
    action = list(rules.actions.values())[place]
    return {
        "customers": int(done.sum()),
        "held_out": int((mine & inputs.holdout).sum()),
        "cost": float(done.sum() * inputs.costs[place]),
        "gain": float(inputs.gains[done, place].sum()),
        "effect_return": float(np.nansum(inputs.action_effects.on_return[done, place])),
        "effect_value": float(np.nansum(inputs.action_effects.on_value[done, place]))
        if inputs.objective == MONEY
        else None,
        "source": inputs.action_effects.sources[place],
        "save_rate": action.save_rate if inputs.action_effects.sources[place] == "assumed" else None,
        "capacity": action.capacity,
        "propensity": 1 - rules.holdout,
    }


def _segment(place: int, names: list[str], inputs: PlanInputs, found: Allocation) -> dict[str, Any]:
    mine = inputs.segment_index == place
    done = mine & ~inputs.holdout & (found.choice < inputs.gains.shape[1])
    rows = np.flatnonzero(done)
    return {
        "scored": int(mine.sum()),
        "eligible": int((mine & (inputs.eligibility.reason_index < 0)).sum()),
        "held_out": int((mine & inputs.holdout).sum()),
        "with_action": len(rows),
        "actions": {name: int((found.choice[rows] == j).sum()) for j, name in enumerate(names)},
        "minimum": int(inputs.minimums[place]),
        "cost": float(inputs.costs[found.choice[rows]].sum()),
        "gain": float(inputs.gains[rows, found.choice[rows]].sum()),
    }
