"""The file of a plan for the campaign tool: who gets which action, with its attributes, and who is held out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from features.config.plan import ATTRIBUTES, PlanAction, PlanConfig
from features.config.quiet_times import first_open_day, open_hours
from serving.experiments.arms import NOTHING
from serving.scoring.spreadsheet_text import escape_formulas

OF_PLAN = (
    "customer_id", "action", "cost", "expected_gain", "effect_return", "effect_value", "source", "holdout",
    "would_have", "assignment", "reasons", "propensity",
)  # fmt: skip
OF_FILE = {"variant": pa.string(), **{name: pa.string() for name in ATTRIBUTES}, "depth": pa.float64()}
WHEN = ("send_on", "send_from", "send_until")
CSV_COLUMNS = (*OF_PLAN, *OF_FILE, *WHEN)
HOLDOUT = "holdout"


def write_plan_csv(
    table: pa.Table, name: str, rules: PlanConfig, cutoff: date, path: Path, experiment: bool = False
) -> None:
    """Writes the customers with an action, and those held out from one, as CSV; formulas are escaped.

    Args:
        table: The table of the plan.
        name: The plan as commands name it, CUTOFF/CAMPAIGN.
        rules: The rules of the plan.
        cutoff: Its cutoff, from which on customers may be contacted.
        path: The file.
        experiment: Whether customers who are held out without an action are an arm, and so are written too.
    """
    written = pc.or_(table["would_have"].is_valid(), table["holdout"]) if experiment else table["would_have"].is_valid()
    rows, actions = table.filter(written), rules.actions
    columns = {column: rows[column] for column in OF_PLAN}
    columns |= {"variant": _variants(rows, name, list(actions)), **_attributes(rows["action"], actions)}
    columns |= _times(rows["action"], send_times(rules, cutoff))
    file_rows = pa.table({column: columns[column] for column in CSV_COLUMNS})
    for place, field in enumerate(file_rows.schema):
        if field.type == pa.string():
            file_rows = file_rows.set_column(place, field, escape_formulas(file_rows[field.name]))
    pyarrow.csv.write_csv(file_rows, path)


def variant_id(plan: str, action: str, held_out: bool = False) -> str:
    """The id of one arm of a plan, the same whenever the plan is made again.

    Args:
        plan: The plan as commands name it.
        action: The action.
        held_out: Whether it is the arm of the customers held out from the action.

    Returns:
        The id.

    >>> variant_id("2024-06-01/spring", "mail"), variant_id("2024-06-01/spring", "mail", held_out=True)
    ('2024-06-01/spring/mail', '2024-06-01/spring/mail/holdout')
    """
    return f"{plan}/{action}/{HOLDOUT}" if held_out else f"{plan}/{action}"


def send_times(rules: PlanConfig, cutoff: date) -> dict[str, str | None]:
    """When customers may be contacted: send_on (the first day that is not quiet), send_from and send_until.

    >>> rules = PlanConfig(actions={"mail": PlanAction(cost=1)}, quiet_days=["saturday"], quiet_hours="20:00-08:00")
    >>> send_times(rules, date(2024, 6, 1))
    {'send_on': '2024-06-02', 'send_from': '08:00', 'send_until': '20:00'}
    """
    hours = open_hours(rules.quiet_hours) or (None, None)
    return dict(zip(WHEN, (str(first_open_day(cutoff, rules.quiet_days)), *hours), strict=True))


def _times(action: pa.ChunkedArray, times: Mapping[str, str | None]) -> dict[str, pa.ChunkedArray]:
    """The times of all customers who get an action; null for the others."""
    return {name: pc.if_else(action.is_valid(), pa.scalar(text, pa.string()), None) for name, text in times.items()}


def _variants(rows: pa.Table, plan: str, names: list[str]) -> pa.Array:
    place = pc.index_in(rows["would_have"], value_set=pa.array(names, pa.string()))
    treated, held_out = (
        pa.array([variant_id(plan, name, of) for name in names], pa.string()).take(place) for of in (False, True)
    )
    return pc.if_else(rows["holdout"], held_out, treated).fill_null(f"{plan}/{NOTHING}")


def _attributes(action: pa.ChunkedArray, actions: Mapping[str, PlanAction]) -> dict[str, pa.Array]:
    """The attributes of each customer's action; null for customers without one, and where it is not set."""
    names = list(actions)
    place = pc.index_in(action, value_set=pa.array(names, pa.string()))
    return {
        attribute: pa.array([actions[each].attributes().get(attribute) for each in names], OF_FILE[attribute]).take(
            place
        )
        for attribute in ATTRIBUTES
    }
