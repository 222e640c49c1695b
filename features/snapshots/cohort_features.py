"""Builds the features of every customer in the cohorts of some cutoffs, in stored stages and without a cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

import ibis
from tqdm import tqdm

from features.catalog.custom import NO_CUSTOM_FEATURES, CustomFeatures, refuse_taken_measures, refuse_unusable_features
from features.catalog.families import Family, feature_families
from features.engines.base import Engine
from features.intake.tables import Tables
from features.point_in_time.history import build_history, label_keys
from features.task import Task


@dataclass(frozen=True)
class CohortFeatures:
    """The features of some cohorts as an expression, and the stage from which labels are computed.

    Attributes:
        rows: customer_id, cutoff (a timestamp), the features and the shares (`Family.shares`); in no order.
        orders: From `order_days`, stored.
    """

    rows: ibis.Table
    orders: ibis.Table


def build_cohort_features(
    tables: Tables,
    task: Task,
    cutoffs: Sequence[date],
    engine: Engine,
    own: CustomFeatures = NO_CUSTOM_FEATURES,
    length: int | None = None,
) -> CohortFeatures:
    """Stores the measures of every family and computes the features from them.

    Args:
        tables: The contract.
        task: Horizon, cohort and windows.
        cutoffs: The cutoffs, in any order.
        engine: Where it runs.
        own: The custom features.
        length: How many days of history before each cutoff count; None: all.

    Returns:
        The features, as an expression over stored stages.

    Raises:
        UsageError: A custom feature cannot be computed.
    """
    all_families = (*feature_families(task, tables.contract), *own.families)
    steps = tqdm(total=3 + len(all_families), desc="features", leave=False, disable=None)

    def stage(name: str, expr: ibis.Table) -> ibis.Table:
        stored = engine.store(name, expr)
        steps.update()
        return stored

    with steps:
        past = build_history(tables, task, cutoffs, engine, stage, length)
        measured = {
            family.name: stage(family.name, family.measures(past)) for family in all_families if family.measures
        }
        refuse_taken_measures(own, {name: part.columns for name, part in measured.items()})
        wide = reduce(join_on_keys, measured.values())
        cohort = wide.filter(in_cohort(wide, task))
        comparisons = [
            stage(family.name, family.cohort_measures(cohort)) for family in all_families if family.cohort_measures
        ]
    cohort = reduce(join_on_keys, comparisons, cohort)
    refuse_unusable_features(own, cohort, engine)
    columns = feature_columns(all_families, cohort)
    return CohortFeatures(
        cohort.select(customer_id=cohort.customer_id, cutoff=cohort.cutoff.cast("timestamp"), **columns), past.orders
    )


def feature_columns(families: Sequence[Family], cohort: ibis.Table) -> dict[str, ibis.Value]:
    """The features by name, then the shares, as expressions over the joined measures of a cohort."""
    columns = {f.name: f.compute(cohort).cast(f.dtype) for family in families for f in family.features}
    return columns | {name: cohort[name] for family in families for name in family.shares}


def in_cohort(wide: ibis.Table, task: Task) -> ibis.Value:
    """Whether a customer is in the cohort: has a running term, or last bought when the cohort's customers did."""
    if task.contractual:
        return wide["subscription:running"] > 0
    return task.cohort.holds(wide.recency)


def join_on_keys(left: ibis.Table, right: ibis.Table) -> ibis.Table:
    """A left join on customer and cutoff, and on `known_by` if the right side has it."""
    keys = label_keys(right)
    joined = left.left_join(right, keys)
    return joined.drop(*(c for c in joined.columns if c.endswith("_right") and c.removesuffix("_right") in keys))
