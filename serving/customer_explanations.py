"""Why customers have their scores, and what would change them: the explanations that people ask for by name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import UsageError, sample
from features.intake.customer_ids import stored_ids
from features.intake.log import Business, Log, as_date, opened
from serving.explanation.contributions import compute_contributions, shap_explanation
from serving.explanation.return_reasons import return_contributions
from serving.explanation.what_if import WhatIf, find_what_if
from serving.scoring.predictions import build_cohort, load_champions, model_features
from training.artifact.return_hazard import RETURNS_WITHIN


def explain_customers(
    business: Business, cutoff: date | str, customers: Sequence[str] | None = None, target: str = "churn"
) -> Any:
    """The exact contribution of every feature to the scores of customers.

    Args:
        business: An opened log, a config, or the path of a config.
        cutoff: Features see what was known before this day.
        customers: The ids of n customers; by default the whole cohort.
        target: 'churn' (a probability), 'value' (money), the value over a longer horizon, such as 'value_180d', or a
            point of the curve of returning up to the horizon, such as 'returns_within_7d': reasons for sooner or later.

    Returns:
        A `shap.Explanation`: `values` (n, p), `base_values` (n,), `data` (n, p).
        Base plus values is the score, to 1e-6.

    Raises:
        UsageError: There is no champion, no such target, a customer is not in the cohort, or the cutoff lies outside
            the log.
        DataError: The log breaks its contract.
    """
    with opened(business) as log:
        config = log.config
        models, snapshots = load_champions(config), build_cohort(log, as_date(cutoff))
        names = None if customers is None else _names(log, customers, as_date(cutoff))
    bundle = models.richest.bundle
    days_of = {f"{RETURNS_WITHIN}{d}d": d for d in (bundle.returns.marks[:-1] if bundle.returns else ())}
    if target not in (*models.targets, *days_of):
        raise UsageError(f"no target {target!r}: expected one of {', '.join((*models.targets, *days_of))}")
    rows = snapshots.rows if names is None else _rows_of(snapshots.rows, names)
    phrases = [feature.phrase for feature in model_features(models, snapshots.features, snapshots.own)]
    if target in days_of:
        part = return_contributions(bundle, rows, days_of[target])
    else:
        part = compute_contributions(bundle, rows)[target]
    return shap_explanation(part, rows, bundle.features, phrases)


def explain_changes(business: Business, customer: str, cutoff: date | str, below: float | None = None) -> WhatIf:
    """Which small change of a customer's behaviour would bring the churn probability below a level.

    Args:
        business: An opened log, a config, or the path of a config.
        customer: The customer's id.
        cutoff: Features see what was known before this day.
        below: The level, a probability in (0, 1); by default the mean of the cohort.

    Returns:
        The smallest change of each kind that is enough, or the nearest one if none is.

    Raises:
        UsageError: There is no champion, the customer is not in the cohort, or the level is no probability.
        DataError: The log breaks its contract.
    """
    if below is not None and not 0 < below < 1:
        raise UsageError(f"below is a probability: expected a number between 0 and 1, found {below:g}")
    with opened(business) as log:
        day, models = as_date(cutoff), load_champions(log.config)
        snapshots, bundle = build_cohort(log, day), models.richest.bundle
        model_features(models, snapshots.features, snapshots.own)
        row = _rows_of(snapshots.rows, _names(log, [customer], day))
        level = float(np.mean(bundle.predict(snapshots.rows)["churn_probability"])) if below is None else below
        return find_what_if(log, bundle, snapshots.features, row, day, level)


def _names(log: Log, customers: Sequence[str], cutoff: date) -> list[str]:
    """The names of customers at a cutoff, from ids in any spelling."""
    return [log.tables.persons.name_at(name, cutoff) for name in stored_ids(log.config, customers)]


def _rows_of(rows: pa.Table, customers: Sequence[str]) -> pa.Table:
    """The rows of customers in the order in which they are asked for; raises UsageError if one is not there."""
    places = pc.index_in(pa.array(customers, pa.string()), rows["customer_id"].combine_chunks())
    if places.null_count:
        missing = [customer for customer, place in zip(customers, places.to_pylist(), strict=True) if place is None]
        raise UsageError(
            f"not in the cohort of {rows.num_rows:,} customers: {sample(missing)}; check the ids and the cutoff"
        )
    return rows.take(places)
