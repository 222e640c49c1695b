"""The features of every customer in the cohorts of some cutoffs, made from nothing in stored stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

import ibis
from tqdm import tqdm

from features.catalog.custom import NO_CUSTOM_FEATURES, CustomFeatures, refuse_taken_measures, refuse_unusable_features
from features.catalog.families import feature_families
from features.engines.base import Engine
from features.intake.tables import Tables
from features.point_in_time.history import KEYS, build_history
from features.task import Task


@dataclass(frozen=True)
class CohortFeatures:
    """An expression of the features, and the stage that labels are made of.

    Attributes:
        rows: customer_id, cutoff (a timestamp) and the features; in no order.
        orders: Stored: what happened, and became known, of an order on one day, at any time.
    """

    rows: ibis.Table
    orders: ibis.Table


def build_cohort_features(
    tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine, own: CustomFeatures = NO_CUSTOM_FEATURES
) -> CohortFeatures:
    """Stores the measures of every family and makes the features of them.

    Raises:
        UsageError: A feature of the user's own cannot be computed.
    """
    made = (*feature_families(task, tables.contract), *own.families)
    steps = tqdm(total=3 + len(made), desc="features", leave=False, disable=None)

    def stage(name: str, expr: ibis.Table) -> ibis.Table:
        stored = engine.store(name, expr)
        steps.update()
        return stored

    with steps:
        past = build_history(tables, task, cutoffs, engine, stage)
        parts = {family.name: stage(family.name, family.measures(past)) for family in made if family.measures}
        refuse_taken_measures(own, {name: part.columns for name, part in parts.items()})
        wide = reduce(join_on_keys, parts.values())
        cohort = wide.filter(in_cohort(wide, task))
        compared = [stage(family.name, family.cohort_measures(cohort)) for family in made if family.cohort_measures]
    cohort = reduce(join_on_keys, compared, cohort)
    refuse_unusable_features(own, cohort, engine)
    columns = {f.name: f.compute(cohort).cast(f.dtype) for family in made for f in family.features}
    return CohortFeatures(
        cohort.select(customer_id=cohort.customer_id, cutoff=cohort.cutoff.cast("timestamp"), **columns), past.orders
    )


def in_cohort(wide: ibis.Table, task: Task) -> ibis.Value:
    """Whether a customer is in the cohort: has a running term, or had a purchase lately."""
    if task.contractual:
        return wide["subscription:running"] > 0
    return wide.recency <= task.cohort.active_within.days


def join_on_keys(left: ibis.Table, right: ibis.Table) -> ibis.Table:
    """A left join on customer and cutoff."""
    joined = left.left_join(right, KEYS)
    return joined.drop(*(c for c in joined.columns if c.endswith("_right") and c.removesuffix("_right") in KEYS))
