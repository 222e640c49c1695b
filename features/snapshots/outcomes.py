"""Labels and outcomes of snapshots: churn and value over a horizon after each cutoff."""

from __future__ import annotations

from collections.abc import Sequence

import ibis

from features.intake.subscription_terms import one_row_per_term
from features.intake.tables import Tables
from features.point_in_time.history import rows_in_horizon, terms_at_cutoffs
from features.point_in_time.labels import churned_label, cover_outcomes, null_if_immature, purchase_labels, value_label
from features.snapshots.cohort_features import join_on_keys
from features.task import Task, Window


def add_labels(
    rows: ibis.Table, orders: ibis.Table, tables: Tables, task: Task, moments: ibis.Table, spans: Sequence[Window] = ()
) -> ibis.Table:
    """Adds the labels: churned, value, and the value over each longer horizon; null where immature.

    Args:
        rows: Customers and cutoffs (timestamps) with their features.
        orders: From `order_days`, stored.
        tables: The contract.
        task: Horizons, and what churn is.
        moments: One row a cutoff.
        spans: See `Task.value_labels`.

    Returns:
        The rows with the labels as further columns.
    """
    features, money = rows.columns, (tables.contract.has_amount, task.contractual)
    rows = with_horizon_outcomes(rows, orders, tables, task, moments, task.horizon)
    churned = null_if_immature(churned_label(rows, task.contractual), rows.cutoff, task.horizon, tables.labels_end)
    value = null_if_immature(value_label(rows, *money), rows.cutoff, task.horizon, tables.labels_end)
    rows = rows.select(*features, churned=churned, value=value)
    for name, horizon in task.value_labels(spans).items():
        later = with_horizon_outcomes(rows, orders, tables, task, moments, horizon)
        value = null_if_immature(value_label(later, *money), later.cutoff, horizon, tables.labels_end)
        rows = later.select(*rows.columns, **{name: value})
    return rows


def with_horizon_outcomes(
    rows: ibis.Table, orders: ibis.Table, tables: Tables, task: Task, moments: ibis.Table, horizon: Window
) -> ibis.Table:
    """Rows with the columns of `purchase_labels`, and for contracts of `cover_outcomes`, over a horizon.

    Args:
        rows: Customers and cutoffs (timestamps); where `moments` have `known_by`, also that.
        orders: From `order_days`, stored.
        tables: The contract.
        task: Defines churn.
        moments: As for `history.rows_in_horizon`.
        horizon: The length of the interval.

    Returns:
        The rows with further columns.
    """
    contract = tables.contract
    joined = join_on_keys(
        rows, with_timestamp_cutoff(purchase_labels(rows_in_horizon(orders, moments, horizon), contract.has_amount))
    )
    if not task.contractual:
        return joined
    terms = one_row_per_term(tables.sides["subscriptions"].rows)
    return join_on_keys(
        joined,
        with_timestamp_cutoff(cover_outcomes(terms_at_cutoffs(terms, moments, horizon), horizon, contract.price_days)),
    )


def add_outcomes(
    rows: ibis.Table, orders: ibis.Table, tables: Tables, task: Task, cutoff_dates: ibis.Table, horizon: Window
) -> ibis.Table:
    """Rows (customer_id, cutoff, ...) with churned and value over [cutoff, cutoff + horizon), mature or not.

    Args:
        rows: Customers and cutoffs (timestamps).
        orders: From `order_days`, stored.
        tables: The contract.
        task: Defines churn.
        cutoff_dates: One row a cutoff.
        horizon: The length of the interval, which must not reach beyond the end of the log.

    Returns:
        The rows with two more columns, churned and value.
    """
    joined = with_horizon_outcomes(rows, orders, tables, task, cutoff_dates, horizon)
    churned = churned_label(joined, task.contractual)
    value = value_label(joined, tables.contract.has_amount, task.contractual)
    return joined.select(*rows.columns, churned=churned, value=value)


def with_timestamp_cutoff(rows: ibis.Table) -> ibis.Table:
    """Rows with their cutoff as a timestamp."""
    return rows.mutate(cutoff=rows.cutoff.cast("timestamp"))
