"""Measured plans as randomised contacts: the intended action, treated or held out, and the probability of that.

A plan's holdout makes an experiment of each of its actions: a known share of the customers for whom the action was
intended got nothing. Only measured plans count, because a plan that was never carried out would suggest that its
actions have no effect. The analysis is by intention to treat: customers who could not be reached stay in the treatment
group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from features.config.load import Config
from features.errors import DataError
from features.outputs.layout import MEASUREMENT, PLAN_MANIFEST, PLAN_TABLE, plan_name
from features.outputs.manifests import Measurement, PlanManifest, read_required_manifest
from features.outputs.parquet_files import read_parquet
from features.storage.json_files import file_digest, has_digest

DEFAULT_CONTROL = "none"  # the control's name if [contacts] gives none
COLUMNS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("day", pa.date32()),
        ("action", pa.string()),
        ("propensity", pa.float64()),
        ("round", pa.string()),
    ]
)


@dataclass(frozen=True)
class MeasuredPlan:
    """A plan that was measured at least once, and that is evidence.

    Attributes:
        folder: The folder of the plan.
        cutoff: Its cutoff.
        campaign: Its campaign.
        share: The share (0, 1) of customers who are held out.
        arms: For an experiment the share of each arm with an action; empty for other plans.
    """

    folder: Path
    cutoff: date
    campaign: str
    share: float
    arms: Mapping[str, float] = field(default_factory=dict)


def read_measured_plans(config: Config) -> list[MeasuredPlan]:
    """Reads the plans of a config's output that were carried out and measured, by cutoff and campaign.

    Plans from which nothing is learned (`Measurement.refused_because`) are left out: their groups are not those of the
    random assignment, or differ by more than the plan. So are experiments in which every arm gets an action: they say
    nothing of getting none.

    Raises:
        DataError: A plan was changed since it was measured.
    """
    return list(_iterate_measured_plans(config))


def plans_as_contacts(config: Config) -> pa.Table:
    """What measured plans intended for each customer, as rows of contacts, by round and customer.

    `day` is the plan's cutoff, from which on outcomes count. `action` is the intended action, or the control for
    customers who were held out from it, and `propensity` the probability of that. `round` is a plan and one of its
    actions, or an experiment with all its arms: within it the probabilities add up to 1.

    Returns:
        A table with the columns `COLUMNS`.

    Raises:
        DataError: A plan was changed since it was measured.
    """
    control = (config.contacts.control if config.contacts else "") or DEFAULT_CONTROL
    parts = [_contact_rows(plan, control) for plan in read_measured_plans(config)]
    return pa.concat_tables([COLUMNS.empty_table(), *parts])


def _iterate_measured_plans(config: Config) -> Iterator[MeasuredPlan]:
    for path in [folder / MEASUREMENT for folder in config.outputs.plans(file=MEASUREMENT)]:
        plan_file, name = path.parent / PLAN_MANIFEST, plan_name(path.parent)
        measurement = read_required_manifest(path, Measurement)
        plan = read_required_manifest(plan_file, PlanManifest)
        unchanged = file_digest(plan_file) == measurement.plan_sha256 and "share" in plan.holdout
        if not unchanged or not has_digest(path.parent, {"file": PLAN_TABLE, "sha256": plan.files.get(PLAN_TABLE)}):
            raise DataError(f"{path.parent}: was changed since it was measured; run `regulars measure {name}` again")
        arms = {action: float(each["propensity"]) for action, each in plan.actions.items()} if plan.experiment else {}
        share = float(plan.holdout["share"])
        if not measurement.refused_because and (share or not arms):
            yield MeasuredPlan(path.parent, plan.cutoff, plan.campaign, share, arms)


def _contact_rows(plan: MeasuredPlan, control: str) -> pa.Table:
    if plan.arms:
        return _arm_rows(plan, control)
    columns_read = ["customer_id", "would_have", "holdout"]
    table = read_parquet(plan.folder / PLAN_TABLE, columns_read)
    table = table.filter(table["would_have"].is_valid())
    intended, held_out = table["would_have"], table["holdout"]
    columns = {
        "customer_id": table["customer_id"],
        "day": pa.repeat(pa.scalar(plan.cutoff, pa.date32()), table.num_rows),
        "action": pc.if_else(held_out, control, intended),
        "propensity": pc.if_else(held_out, plan.share, 1 - plan.share),
        "round": pc.binary_join_element_wise(f"{plan.cutoff} {plan.campaign}", intended, " "),
    }
    order = [("round", "ascending"), ("customer_id", "ascending")]
    return pa.table(columns, schema=COLUMNS).sort_by(order)


def _arm_rows(plan: MeasuredPlan, control: str) -> pa.Table:
    """The arms of an experiment, which are one round."""
    table = read_parquet(plan.folder / PLAN_TABLE, ["customer_id", "action", "holdout"])
    table = table.filter(pc.or_(table["action"].is_valid(), table["holdout"]))
    shares = pa.array([*plan.arms.values(), plan.share], pa.float64())
    place = pc.index_in(table["action"], value_set=pa.array(list(plan.arms), pa.string())).fill_null(len(plan.arms))
    columns = {
        "customer_id": table["customer_id"],
        "day": pa.repeat(pa.scalar(plan.cutoff, pa.date32()), table.num_rows),
        "action": table["action"].fill_null(control),
        "propensity": shares.take(place.combine_chunks()),
        "round": pa.repeat(pa.scalar(f"{plan.cutoff} {plan.campaign}", pa.string()), table.num_rows),
    }
    return pa.table(columns, schema=COLUMNS).sort_by([("customer_id", "ascending")])
