"""Pools the effects of actions that are doses of one thing, and reads doses that were never tried off their curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.config.plan import PlanAction
from serving.effects.believed_effects import EVIDENT
from serving.effects.dose_response import DoseCurve, dose_families, fit_dose_curve
from serving.effects.effect_table import VALUE


@dataclass(frozen=True)
class OneAction:
    """The effects of one action.

    Attributes:
        on_return, on_value: (n,) of each customer.
        error: (n,) posterior standard deviation of `on_value`.
        parts: (n, k) independent errors of the effect on the plan's outcome.
        evidence: The average effect as estimated and as believed; None if the effect is assumed.
        counted: Whether the average is part of the effects; it is left out without evidence.
        believed: (n,) posterior mean of the effect on the plan's outcome, with or without evidence.
    """

    on_return: np.ndarray
    on_value: np.ndarray
    error: np.ndarray
    parts: np.ndarray
    believed: np.ndarray
    evidence: dict[str, Any] | None = None
    counted: bool = True


def pool_doses(
    effects: Mapping[str, OneAction], actions: Mapping[str, PlanAction], expected: np.ndarray, outcome: str
) -> tuple[dict[str, OneAction], tuple[str, ...]]:
    """Replace the effects of doses by those of their common curve, and add doses between those that were tried.

    A family needs two doses with measured effects. The average effect of each is that of the curve; what was found of
    differences between customers stays. The errors of doses still count as independent of each other, though they have
    a curve in common.

    Args:
        effects: The measured effects by action.
        actions: All actions of the plan.
        expected: (n,) the outcome that is expected of each customer without an action.
        outcome: 'value' or 'return', which the plan is about.

    Returns:
        The effects by action, and the names of the actions that were never tried.
    """
    pooled, interpolated = dict(effects), list[str]()
    base = float(np.nanmean(expected)) if len(expected) else 0.0
    depths = {name: action.depth for name, action in actions.items()}
    for family in families_of_doses(actions) if base > 0 else ():
        tried = [name for name in family if name in effects and effects[name].evidence is not None]
        if len({depths[name] for name in tried}) < 2:
            continue
        curve = _curve(tried, effects, depths, base)
        shape = expected / base
        for name in family:
            dose = depths[name] or 0.0
            if name in tried:
                source, used = effects[name], _counted(effects[name])
            elif name not in effects and curve.covers(dose):
                source, used = _between(name, tried, effects, depths)
                interpolated.append(name)
            else:
                continue
            pooled[name] = _on_curve(source, used, curve.at(dose), base, shape, outcome, actions[name].unproven)
    return pooled, tuple(interpolated)


def families_of_doses(actions: Mapping[str, PlanAction]) -> list[tuple[str, ...]]:
    """The actions that share every attribute but the depth, by depth; of each family at least two."""
    others = {name: {**action.attributes(), "depth": ""} for name, action in actions.items()}
    return dose_families(others, {name: action.depth for name, action in actions.items()})


def _curve(
    tried: list[str], effects: Mapping[str, OneAction], depths: Mapping[str, float | None], base: float
) -> DoseCurve:
    known = [effects[name].evidence or {} for name in tried]
    return fit_dose_curve(
        [depths[name] or 0.0 for name in tried],
        [each["estimate"] / base for each in known],
        [each["error"] / base for each in known],
    )


def _counted(effect: OneAction) -> float:
    """The average effect that is in the effects of customers: 0 if it was left out for lack of evidence."""
    evidence = effect.evidence or {}
    return float(evidence["believed"]) if effect.counted else 0.0


def _between(
    name: str, tried: list[str], effects: Mapping[str, OneAction], depths: Mapping[str, float | None]
) -> tuple[OneAction, float]:
    """The effects between those of the two nearest doses, and their average."""
    dose = depths[name] or 0.0
    low = max((each for each in tried if (depths[each] or 0.0) <= dose), key=lambda each: depths[each] or 0.0)
    high = min((each for each in tried if (depths[each] or 0.0) >= dose), key=lambda each: depths[each] or 0.0)
    width = (depths[high] or 0.0) - (depths[low] or 0.0)
    share = ((dose - (depths[low] or 0.0)) / width) if width else 0.0
    first, second = effects[low], effects[high]
    columns = {
        key: (1 - share) * getattr(first, key) + share * getattr(second, key)
        for key in ("on_return", "on_value", "error", "parts", "believed")
    }
    return OneAction(**columns), (1 - share) * _counted(first) + share * _counted(second)


def _on_curve(
    effect: OneAction, used: float, posterior: tuple[float, float], base: float, shape: np.ndarray, outcome: str,
    unproven: bool,
) -> OneAction:  # fmt: skip
    """The effects with the average of the curve, spread over customers as their outcome is."""
    mean, deviation = (base * figure for figure in posterior)
    own = effect.evidence or {"outcome": outcome, "estimate": mean, "error": deviation}
    enough = mean > EVIDENT * deviation or bool(own.get("enough"))
    counts = enough or unproven
    change = ((mean if counts else 0.0) - used) * shape
    parts = np.column_stack([deviation * shape, effect.parts[:, 1:]])
    evidence = {**own, "believed": mean, "enough": enough}
    effects = getattr(effect, f"on_{outcome}") + change
    moved: dict[str, Any] = {
        f"on_{outcome}": effects,
        "believed": effects if counts else effects + mean * shape,
        "parts": parts,
        "evidence": evidence,
    }
    if outcome == VALUE:
        moved["error"] = np.sqrt((parts**2).sum(axis=1))
    return replace(effect, counted=counts, **moved)
