"""A plan as tables: one row a customer with what is done and why, and a file that a campaign tool can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from serving.language.messages import ENGLISH, Language
from serving.planning.action_effects import ActionEffects
from serving.planning.eligibility import Eligibility
from serving.scoring.spreadsheet_text import escape_formulas

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
CSV_COLUMNS = (
    "customer_id", "action", "cost", "expected_gain", "effect_return", "effect_value", "source", "holdout",
    "would_have", "assignment", "reasons",
)  # fmt: skip


def plan_table(
    scores: pa.Table,
    names: list[str],
    chosen: np.ndarray,
    held: np.ndarray,
    share: float,
    gains: np.ndarray,
    costs: np.ndarray,
    effects: ActionEffects,
    who: Eligibility,
    tr: Language = ENGLISH,
) -> pa.Table:
    """One row for each scored customer, in their order.

    Args:
        scores: The score table.
        names: Of the actions.
        chosen: (n,) the action's place or `len(names)`, of customers held out what they would have.
        held: (n,) who is held out, of the eligible.
        share: The probability of being held out.
        gains: (n, a) expected gains.
        costs: (a,) of the actions.
        effects: Of the actions.
        who: Who is eligible.
        tr: The language of the words; names of segments, actions and sources are the same in all.
    """
    n, a = len(chosen), len(names)
    some, row = chosen < a, np.arange(n)
    place, done = np.minimum(chosen, a - 1), some & ~held
    would_have = pa.array(names, pa.string()).take(pa.array(place, mask=~some))
    wanted = {
        "customer_id": scores["customer_id"],
        "segment": scores["segment"],
        "eligible": who.reason_index < 0,
        "holdout": held,
        "action": pc.if_else(pa.array(done), would_have, None),
        "would_have": would_have,
        "propensity": np.where(some, np.where(held, share, 1 - share), 1.0),
        "cost": np.where(done, costs[place], 0.0),
        "expected_gain": np.where(done, gains[row, place], 0.0),
        "effect_return": _where(some, effects.on_return[row, place]),
        "effect_value": _where(some, effects.on_value[row, place]),
        "effect_value_error": _where(some, effects.error[row, place]),
        "source": pa.array(effects.sources, pa.string()).take(pa.array(place, mask=~some)),
        **{name: scores[name] for name in ("churn_probability", "value", "value_at_risk")},
        "assignment": _in_words(names, chosen, held, gains, who, tr),
        "reasons": _sentences(scores["churn_reasons"], tr("; ")),
    }
    return pa.table({field.name: wanted[field.name] for field in PLAN_SCHEMA}, schema=PLAN_SCHEMA)


def write_plan_csv(table: pa.Table, path: Path) -> None:
    """The customers with an action and those held out from one; formulas are escaped."""
    rows = table.filter(table["would_have"].is_valid()).select(CSV_COLUMNS)
    for place, field in enumerate(rows.schema):
        if field.type == pa.string():
            rows = rows.set_column(place, field, escape_formulas(rows[field.name]))
    pyarrow.csv.write_csv(rows, path)


def _in_words(
    names: list[str], chosen: np.ndarray, held: np.ndarray, gains: np.ndarray, who: Eligibility, tr: Language
) -> pa.Array:
    """What is done to each customer, and if nothing, why."""
    a = len(names)
    words = [tr("gets {action}", action=name) for name in names]
    held_out = tr("held out: gets nothing, so that the effect can be measured (would have {action})")
    words += [held_out.format(action=name) for name in names]
    words += [tr("nothing: no action pays"), tr("nothing: what pays does not fit within the limits")]
    words += [tr("held out; would have nothing either")]
    words += [tr("left out: {reason}", reason=tr.phrase(reason)) for reason in who.reasons]
    pays = (gains > 0).any(axis=1)
    code = np.where(chosen < a, chosen + a * held, np.where(held, 2 * a + 2, 2 * a + pays))
    return pa.array(words).take(pa.array(np.where(who.reason_index >= 0, 2 * a + 3 + who.reason_index, code)))


def _sentences(reasons: pa.ChunkedArray, joint: str) -> pa.Array:
    """The readings of each list of reasons in one line."""
    lists = reasons.combine_chunks()
    readings = pc.struct_field(lists.flatten(), "reading")
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pc.binary_join(pa.ListArray.from_arrays(offsets, readings), joint)


def _where(some: np.ndarray, values: np.ndarray) -> pa.Array:
    """Numbers where there is an action, and null elsewhere and for nan."""
    return pa.array(values, mask=~some | np.isnan(values))
