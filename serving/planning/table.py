"""The table of a plan: one row a customer with the action and its reason."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.effects.action_effects import ActionEffects
from serving.language.messages import ENGLISH, Language
from serving.planning.eligibility import Eligibility

PLAN_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("segment", pa.string()),
        ("eligible", pa.bool_()),
        ("holdout", pa.bool_()),
        ("action", pa.string()),
        ("would_have", pa.string()),
        ("propensity", pa.float64()),
        ("cost", pa.float64()),
        ("expected_gain", pa.float64()),
        ("effect_return", pa.float64()),
        ("effect_value", pa.float64()),
        ("effect_value_error", pa.float64()),
        ("source", pa.string()),
        ("churn_probability", pa.float64()),
        ("value", pa.float64()),
        ("value_at_risk", pa.float64()),
        ("assignment", pa.string()),
        ("reasons", pa.string()),
    ]
)


def plan_table(
    scores: pa.Table,
    names: list[str],
    chosen: np.ndarray,
    holdout: np.ndarray,
    share: float,
    gains: np.ndarray,
    costs: np.ndarray,
    effects: ActionEffects,
    eligibility: Eligibility,
    chances: np.ndarray,
    tr: Language = ENGLISH,
    experiment: bool = False,
) -> pa.Table:
    """Builds the table of a plan.

    Args:
        scores: The score table, n rows.
        names: Names of the actions, a of them.
        chosen: (n,) index of the action, or `len(names)` for none; for held-out customers what they would get.
        holdout: (n,) which eligible customers are held out.
        share: The probability of being held out.
        gains: (n, a) expected gains.
        costs: (a,) cost of each action.
        effects: Effects of the actions.
        eligibility: Which customers may get which action.
        chances: (n, a + 1) the probability of each action, and of none, for customers who are not held out.
        tr: The language of the sentences; names of segments, actions and sources stay the same.
        experiment: Whether customers who are held out are the arm of an experiment.

    Returns:
        One row for each scored customer, in the order of the score table.
    """
    n, a = len(chosen), len(names)
    has_action, row = chosen < a, np.arange(n)
    place, treated = np.minimum(chosen, a - 1), has_action & ~holdout
    would_have = pa.array(names, pa.string()).take(pa.array(place, mask=~has_action))
    columns = {
        "customer_id": scores["customer_id"],
        "segment": scores["segment"],
        "eligible": eligibility.reason_index < 0,
        "holdout": holdout,
        "action": pc.if_else(pa.array(treated), would_have, None),
        "would_have": would_have,
        "propensity": _propensity(chances, np.where(treated, chosen, a), share, eligibility.reason_index < 0),
        "cost": np.where(treated, costs[place], 0.0),
        "expected_gain": np.where(treated, gains[row, place], 0.0),
        "effect_return": _masked(has_action, effects.on_return[row, place]),
        "effect_value": _masked(has_action, effects.on_value[row, place]),
        "effect_value_error": _masked(has_action, effects.error[row, place]),
        "source": pa.array(effects.sources, pa.string()).take(pa.array(place, mask=~has_action)),
        **{name: scores[name] for name in ("churn_probability", "value", "value_at_risk")},
        "assignment": _assignment_words(names, chosen, holdout, gains, eligibility, tr, experiment),
        "reasons": _joined_reasons(scores["churn_reasons"], tr("; ")),
    }
    return pa.table({field.name: columns[field.name] for field in PLAN_SCHEMA}, schema=PLAN_SCHEMA)


def _assignment_words(
    names: list[str], chosen: np.ndarray, holdout: np.ndarray, gains: np.ndarray, eligibility: Eligibility,
    tr: Language, experiment: bool,
) -> pa.Array:  # fmt: skip
    """The assignment of each customer in words: the action, or why there is none."""
    a = len(names)
    words = [tr("gets {action}", action=name) for name in names]
    held_out = tr("held out: gets nothing, so that the effect can be measured (would have {action})")
    words += [held_out.format(action=name) for name in names]
    words += [tr("nothing: no action pays"), tr("nothing: what pays does not fit within the limits")]
    words += [tr("arm without an action: gets nothing") if experiment else tr("held out; would have nothing either")]
    words += [tr("left out: {reason}", reason=tr.phrase(reason)) for reason in eligibility.reasons]
    pays = (gains > 0).any(axis=1)
    code = np.where(chosen < a, chosen + a * holdout, np.where(holdout, 2 * a + 2, 2 * a + pays))
    return pa.array(words).take(
        pa.array(np.where(eligibility.reason_index >= 0, 2 * a + 3 + eligibility.reason_index, code))
    )


def _joined_reasons(reasons: pa.ChunkedArray, joint: str) -> pa.Array:
    """The readings of each customer's reasons, joined in one line."""
    lists = reasons.combine_chunks()
    readings = pc.struct_field(lists.flatten(), "reading")
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pc.binary_join(pa.ListArray.from_arrays(offsets, readings), joint)


def _propensity(chances: np.ndarray, done: np.ndarray, share: float, eligible: np.ndarray) -> np.ndarray:
    """(n,) the probability of what is done: an action, or nothing, for which being held out is another reason."""
    chance = (1 - share) * chances[np.arange(len(done)), done] + np.where(done == chances.shape[1] - 1, share, 0.0)
    return np.where(eligible, chance, 1.0)


def _masked(has_action: np.ndarray, values: np.ndarray) -> pa.Array:
    """The values where there is an action; null elsewhere and for nan."""
    return pa.array(values, mask=~has_action | np.isnan(values))
