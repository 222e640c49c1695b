"""The manifest of a plan: spending, expected gain, binding limits and their prices, and counts."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

from features.config.load import Config
from features.config.plan import PlanConfig, without_customer_ids
from serving.optimizer.allocate import Allocation
from serving.planning.inputs import MONEY, PlanInputs

FORMAT = 1
BINDING_TOLERANCE = 1e-9  # as a share of the largest price: a smaller price is rounding

HOLDOUT_DRAW = "blake2b of the id, keyed by key and seed"


def plan_manifest(config: Config, rules: PlanConfig, inputs: PlanInputs, allocation: Allocation) -> dict[str, Any]:
    """Builds the manifest of a plan, without the checksums of its files.

    The same scores, effects, rules and seed give the same manifest: it has no timestamps and no paths.

    Args:
        config: The business.
        rules: Its [plan], with the options of the command.
        inputs: The inputs of the plan.
        allocation: The chosen actions.

    Returns:
        The manifest, ready for JSON.
    """
    names, treated = list(rules.actions), (allocation.choice < len(rules.actions)) & ~inputs.holdout
    rules_json = rules.model_dump(mode="json")
    return {
        "format": FORMAT,
        "name": config.name,
        **({"currency": config.currency} if config.currency else {}),
        "language": config.language,
        "campaign": rules.campaign,
        "cutoff": str(inputs.scores.cutoff),
        "horizon_days": config.task.horizon.days,
        "timezone": config.task.timezone,
        "objective": inputs.objective,
        "margin": rules.margin if inputs.objective == MONEY else None,
        "budget": rules.budget,
        "spent": allocation.spent,
        "gain": allocation.gain,
        **_gain_interval(config, rules, inputs, allocation, treated),
        "bound": allocation.bound,
        "gap": allocation.gap,
        "assumed": inputs.action_effects.assumed,
        "prices": _limit_prices(names, inputs, allocation),
        "binding": _binding_limits(rules, inputs, allocation),
        "customers": {
            "scored": inputs.table.num_rows,
            "eligible": int((inputs.eligibility.reason_index < 0).sum()),
            "held_out": int(inputs.holdout.sum()),
            "with_action": int(treated.sum()),
        },
        "left_out": inputs.eligibility.left_out,
        "closed": inputs.eligibility.blocked,
        "lists": {reason: {"ids": m.ids, "known": m.known} for reason, m in inputs.eligibility.lists.items()},
        "actions": {name: _action_facts(j, rules, inputs, allocation) for j, name in enumerate(names)},
        "segments": {name: _segment_facts(g, names, inputs, allocation) for g, name in enumerate(inputs.segments)},
        "holdout": {"share": inputs.share, "seed": rules.seed, "key": inputs.draw_key, "draw": HOLDOUT_DRAW},
        **({} if inputs.pilot is None else {"pilot": inputs.pilot}),
        "effects_sha256": inputs.action_effects.digest or None,
        "scores": {key: getattr(inputs.scores.manifest, key) for key in ("models", "data_fingerprint", "parts")},
        "rules": {**rules_json, "exclude": [without_customer_ids(rule) for rule in rules_json["exclude"]]},
    }


def _gain_interval(
    config: Config, rules: PlanConfig, inputs: PlanInputs, allocation: Allocation, treated: np.ndarray
) -> dict[str, Any]:
    """The interval of the gain, the probability of a loss, and the share of the effects at which the plan breaks even.

    The interval is that of the expected gain of the chosen customers, not of the money that chance will bring. It is
    around posterior means also where the plan counts an action without evidence as 0, and holds the stated gain. They
    are null if they are unknown or mean nothing.
    """
    money = inputs.objective == MONEY
    effect = allocation.gain + allocation.spent
    believed, deviation = _believed_gain(rules, inputs, allocation, treated)
    facts: dict[str, Any] = {
        "gain_low": None, "gain_high": None, "interval": None, "loss_probability": None,
        "break_even": allocation.spent / effect if money and treated.any() and effect > 0 else None,
    }  # fmt: skip
    if not treated.any() or np.isnan(deviation):
        return facts
    reach = NormalDist().inv_cdf(0.5 + config.serving.interval / 2) * deviation
    facts |= {
        "gain_low": min(believed - reach, allocation.gain),
        "gain_high": max(believed + reach, allocation.gain),
        "interval": config.serving.interval,
    }
    if money:
        score = -believed / max(deviation, 1e-12 * max(allocation.spent, 1.0))
        facts["loss_probability"] = NormalDist().cdf(score)
    return facts


def _believed_gain(
    rules: PlanConfig, inputs: PlanInputs, allocation: Allocation, treated: np.ndarray
) -> tuple[float, float]:
    """The posterior mean and standard deviation of the gain; nan if an effect is assumed.

    Each part of an action's error is common to all customers; actions and parts are independent of each other.
    """
    rows, effects = np.flatnonzero(treated), inputs.action_effects
    choice = allocation.choice[rows]
    totals = np.zeros(effects.parts.shape[1:])
    np.add.at(totals, choice, effects.parts[rows, choice])
    believed = effects.believed[rows, choice]
    margin, spent = (rules.margin or 0.0, allocation.spent) if inputs.objective == MONEY else (1.0, 0.0)
    return margin * float(believed.sum()) - spent, margin * float(np.linalg.norm(totals))


def _limit_prices(names: list[str], inputs: PlanInputs, allocation: Allocation) -> dict[str, Any]:
    """How much the gain would rise with one more unit of each limit, or one customer less in each minimum."""
    a = len(names)
    return {
        "budget": float(allocation.prices[0]),
        "capacity": dict(zip(names, map(float, allocation.prices[1 : 1 + a]), strict=True)),
        "minimum": {
            name: float(price)
            for name, price, least in zip(inputs.segments, allocation.prices[1 + a :], inputs.minimums, strict=True)
            if least
        },
    }


def _binding_limits(rules: PlanConfig, inputs: PlanInputs, allocation: Allocation) -> list[str]:
    """The limits with a price above 0, in words."""
    names = ["budget", *(f"capacity of {name}" for name in rules.actions)]
    names += [f"minimum share of {segment!r}" for segment in inputs.segments]
    least = BINDING_TOLERANCE * max(float(np.abs(allocation.prices).max()), 1e-300)
    return [name for name, price in zip(names, allocation.prices, strict=True) if price > least]


def _action_facts(index: int, rules: PlanConfig, inputs: PlanInputs, allocation: Allocation) -> dict[str, Any]:
    assigned = allocation.choice == index
    treated = assigned & ~inputs.holdout
    action = list(rules.actions.values())[index]
    return {
        "customers": int(treated.sum()),
        "held_out": int((assigned & inputs.holdout).sum()),
        "cost": float(treated.sum() * inputs.costs[index]),
        "gain": float(inputs.gains[treated, index].sum()),
        "effect_return": float(np.nansum(inputs.action_effects.on_return[treated, index])),
        "effect_value": float(np.nansum(inputs.action_effects.on_value[treated, index]))
        if inputs.objective == MONEY
        else None,
        "source": inputs.action_effects.sources[index],
        "save_rate": action.save_rate if inputs.action_effects.sources[index] == "assumed" else None,
        "evidence": inputs.action_effects.evidence[index],
        "unproven": action.unproven,
        "capacity": action.capacity,
        "propensity": 1 - inputs.share,
    }


def _segment_facts(index: int, names: list[str], inputs: PlanInputs, allocation: Allocation) -> dict[str, Any]:
    members = inputs.segment_index == index
    treated = members & ~inputs.holdout & (allocation.choice < inputs.gains.shape[1])
    rows = np.flatnonzero(treated)
    return {
        "scored": int(members.sum()),
        "eligible": int((members & (inputs.eligibility.reason_index < 0)).sum()),
        "held_out": int((members & inputs.holdout).sum()),
        "with_action": len(rows),
        "actions": {name: int((allocation.choice[rows] == j).sum()) for j, name in enumerate(names)},
        "minimum": int(inputs.minimums[index]),
        "cost": float(inputs.costs[allocation.choice[rows]].sum()),
        "gain": float(inputs.gains[rows, allocation.choice[rows]].sum()),
    }
