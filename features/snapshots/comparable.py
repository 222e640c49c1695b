"""Features that can be compared between cutoffs, although the log grows: from the same length of history at each.

Some features grow with a log by their nature: the days since the first order, the orders so far, the longest gap. Two
cutoffs of an unchanged business then differ only because more history is known at the later one. Here the features of
every cutoff are computed as if the log began the same number of days before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import ibis

from features.catalog.custom import CustomFeatures
from features.catalog.families import catalog_features
from features.engines.base import Engine, take_share
from features.feature import Feature
from features.intake.tables import Tables
from features.snapshots.cohort_features import build_cohort_features
from features.task import Task


def comparable_features(
    tables: Tables,
    task: Task,
    cutoffs: Sequence[date],
    engine: Engine,
    *,
    own: CustomFeatures,
    length: int,
    share: float = 1.0,
) -> tuple[ibis.Table, tuple[Feature, ...]]:
    """The features of a sample of the cohorts, from equally long histories.

    Args:
        tables: The contract.
        task: Horizon, cohort and windows.
        cutoffs: The cutoffs, in any order.
        engine: Where it runs.
        own: The custom features.
        length: Days of events and activities before each cutoff. Contracts and attributes are known as they are.
        share: Which share of the customers to take, by the MD5 of their ids.

    Returns:
        customer_id, cutoff and the features, as an expression; and the features, in the order of their columns.

    Raises:
        UsageError: A custom feature cannot be computed.
    """
    features = (*catalog_features(task, tables.contract), *own.features)
    built = build_cohort_features(sample_customers(tables, share), task, sorted(set(cutoffs)), engine, own, length)
    return built.rows, features


def sample_customers(tables: Tables, share: float) -> Tables:
    """The tables with a share of the customers, always the same ones."""
    if share >= 1:
        return tables
    sides = {name: replace(side, rows=take_share(side.rows, share)) for name, side in tables.sides.items()}
    return replace(tables, events=take_share(tables.events, share), sides=sides)
