"""The effect of each action on each customer: believed from what was measured, or assumed in the config.

Measured effects are read from `OUTPUT/uplift/cutoff=D/effects.parquet`, which `regulars uplift` writes, and enter a
plan as posterior means (`serving.effects.believed_effects`). An action without evidence of an effect counts as one
without an effect, unless the config says `unproven = true`. An action that is missing in the table, or every action if
there is no table, is assumed to keep the share `save_rate` of the customers who would leave: its effect on return is
save_rate x churn_probability, and on value save_rate x value_at_risk. Actions that are doses of one thing share a curve
(`serving.effects.pooled_doses`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import UsageError
from serving.effects.believed_effects import BelievedEffects, EstimatedEffects, believe_effects
from serving.effects.effect_table import RETURN, VALUE, EffectTable, as_floats, read_effect_table
from serving.effects.past_effects import past_effects
from serving.effects.pooled_doses import OneAction, pool_doses
from serving.language.messages import N_

ASSUMED, INTERPOLATED, UNKNOWN = N_("assumed"), N_("interpolated"), N_("unknown")


@dataclass(frozen=True)
class ActionEffects:
    """Effects (n, a) of each action on each customer; nan where no effect is known.

    Attributes:
        on_return: Effect on the probability of returning.
        on_value: Effect on value over the horizon, before the cost of the action.
        error: Posterior standard deviation of `on_value`; nan where the effect is assumed.
        parts: (n, a, k) independent errors of the effect on the plan's outcome, each common to all customers of an
            action; nan where the effect is assumed.
        believed: (n, a) posterior means of the effect on the plan's outcome, of actions without evidence as well.
        sources: (a,) source of each action's effects: 'assumed', 'interpolated' (a dose between measured ones),
            'unknown' (0 then; in experiments only), or the `source` in the table, such as 'measured'.
        evidence: (a,) the average effect on the plan's `outcome` as `estimate` with `error` and as `believed`, and
            whether the evidence is `enough`; None if the effect is assumed.
        digest: sha256 of the table; '' if none was read.
    """

    on_return: np.ndarray
    on_value: np.ndarray
    error: np.ndarray
    parts: np.ndarray
    believed: np.ndarray
    sources: tuple[str, ...]
    evidence: tuple[dict[str, Any] | None, ...]
    digest: str

    @property
    def assumed(self) -> bool:
        """Whether any effect is assumed."""
        return ASSUMED in self.sources

    def of(self, places: Sequence[int]) -> ActionEffects:
        """The effects of some of the actions, in the order of `places`."""
        names = ("on_return", "on_value", "error", "parts", "believed")
        columns = {name: getattr(self, name)[:, places] for name in names}
        sources = tuple(self.sources[place] for place in places)
        return replace(self, **columns, sources=sources, evidence=tuple(self.evidence[place] for place in places))


def load_action_effects(
    config: Config, rules: PlanConfig, cutoff: date, scores: pa.Table, money: bool = True, untested: bool = False
) -> ActionEffects:
    """Loads the effects of a plan's actions on the scored customers.

    Args:
        config: The business.
        rules: Its [plan].
        cutoff: The scored cutoff.
        scores: The score table, n rows.
        money: Whether the plan is about value; otherwise it is about returning.
        untested: Whether an action may have no effect at all that is known; it counts as 0 then, as in experiments.

    Returns:
        The effects, in the order of the score table.

    Raises:
        UsageError: A measured action is not in the config, an action has neither a measured effect nor a save rate,
            effects have no errors, or were measured with days that begin in another zone.
        DataError: The table of effects, or a past measurement, is not as expected.
    """
    table = read_effect_table(config, rules, cutoff, scores)
    outcome = VALUE if money else RETURN
    measured = _measured_actions(config, rules, cutoff, scores, table, outcome)
    measured, untried = pool_doses(measured, rules.actions, _expected(scores)[outcome], outcome)
    effects, sources = [], []
    for name, action in rules.actions.items():
        known = name in measured or action.save_rate is not None
        if not known and not untested:
            raise UsageError(
                f"[plan.actions.{name}]: its effect was not measured ({table.path.relative_to(config.output.parent)}), "
                f"and it has no save_rate to assume; run `regulars uplift --cutoff {cutoff}`, test it with `regulars "
                f"plan --cutoff {cutoff} --test '{name} vs nothing'`, or set save_rate"
            )
        effects.append(measured[name] if name in measured else _assumed_action(action.save_rate or 0.0, scores))
        unmeasured = ASSUMED if known else UNKNOWN
        sources.append(INTERPOLATED if name in untried else table.sources.get(name, unmeasured))
    return ActionEffects(
        on_return=np.stack([one.on_return for one in effects], axis=1),
        on_value=np.stack([one.on_value for one in effects], axis=1),
        error=np.stack([one.error for one in effects], axis=1),
        parts=_together([one.parts for one in effects]),
        believed=np.stack([one.believed for one in effects], axis=1),
        sources=tuple(sources),
        evidence=tuple(one.evidence for one in effects),
        digest=table.digest,
    )


def _together(parts: list[np.ndarray]) -> np.ndarray:
    """(n, a, k) the errors of all actions; an action with fewer of them has zeros."""
    most = max(each.shape[1] for each in parts)
    filled = [np.pad(each, ((0, 0), (0, most - each.shape[1]))) for each in parts]
    return np.stack(filled, axis=1)


def _assumed_action(save_rate: float, scores: pa.Table) -> OneAction:
    churn, at_risk = (as_floats(scores[name]) for name in ("churn_probability", "value_at_risk"))
    unknown = np.full((len(churn), 2), np.nan)
    return OneAction(save_rate * churn, save_rate * at_risk, unknown[:, 0], unknown, unknown[:, 0])


def _expected(scores: pa.Table) -> dict[str, np.ndarray]:
    """The outcomes (n,) that are expected of each customer without an action."""
    return {RETURN: 1 - as_floats(scores["churn_probability"]), VALUE: np.nan_to_num(as_floats(scores["value"]))}


def _measured_actions(
    config: Config, rules: PlanConfig, cutoff: date, scores: pa.Table, table: EffectTable, outcome: str
) -> dict[str, OneAction]:
    """The effects of the measured actions; `outcome`: what the plan is about."""
    _refuse_without_errors(table, outcome)
    expected = _expected(scores)
    believed = {}
    for name, estimates in table.estimates.items():
        usable = {action: each for action, each in estimates.items() if _has_errors(each)}
        past = past_effects(config, cutoff, name, table.plans) if usable else ()
        believed[name] = believe_effects(usable, expected[name], past)
    return {
        action: _believed_action(
            {name: believed[name].get(action) for name in believed},
            {name: estimates[action].effects for name, estimates in table.estimates.items()},
            outcome,
            rules.actions[action].unproven,
        )
        for action in table.sources
    }


def _believed_action(
    believed: Mapping[str, BelievedEffects | None], estimates: Mapping[str, np.ndarray], outcome: str, unproven: bool
) -> OneAction:
    """One action's effects: 0 without evidence, unless the user wants unproven actions."""
    main, on_value = believed[outcome], believed[VALUE]
    unknown = np.full((len(estimates[outcome]), 2), np.nan)
    if main is None:  # nothing is known about the plan's outcome
        return OneAction(estimates[RETURN], estimates[VALUE], unknown[:, 0], unknown, unknown[:, 0])
    factor = 1.0 if main.evident or unproven else 0.0
    kept = float(np.clip(main.average / main.estimate, 0, 1)) if main.estimate else 0.0
    means = {
        name: factor * (each.mean if each is not None else kept * estimates[name]) for name, each in believed.items()
    }
    evidence = {
        "outcome": outcome, "estimate": main.estimate, "error": main.error, "believed": main.average,
        "enough": main.evident,
    }  # fmt: skip
    error = on_value.deviation if on_value is not None else unknown[:, 0]
    return OneAction(means[RETURN], means[VALUE], error, main.parts, main.mean, evidence, bool(factor))


def _has_errors(estimated: EstimatedEffects) -> bool:
    known = np.isfinite(estimated.effects)
    return bool(known.any() and np.isfinite(estimated.errors[known]).all())


def _refuse_without_errors(table: EffectTable, outcome: str) -> None:
    """Refuses effects on the plan's outcome without standard errors: nobody knows how far they can be believed."""
    for action, estimated in table.estimates.get(outcome, {}).items():
        if np.isfinite(estimated.effects).any() and not _has_errors(estimated):
            raise UsageError(
                f"{table.path}: effects of {action!r} have no effect_{outcome}_error, so a plan cannot tell how far to "
                f"believe them; run `regulars uplift` again, or give the standard errors. What you merely assume "
                f"belongs into [plan.actions.{action}] save_rate"
            )
