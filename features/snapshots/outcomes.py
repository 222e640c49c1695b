"""Labels and outcomes of snapshots: churn and value over a horizon after each cutoff."""

from __future__ import annotations

from collections.abc import Sequence

import ibis

from features.intake.subscription_terms import one_row_per_term
from features.intake.tables import Tables
from features.point_in_time.history import rows_in_horizon, terms_at_cutoffs
from features.point_in_time.labels import (
    churned_label,
    cover_outcomes,
    later_purchase_days,
    null_if_immature,
    purchase_labels,
    return_days_label,
    value_label,
)
from features.snapshots.cohort_features import join_on_keys
from features.task import Task, Window


def add_labels(
    rows: ibis.Table, orders: ibis.Table, tables: Tables, task: Task, moments: ibis.Table, spans: Sequence[Window] = ()
) -> ibis.Table:
    """Adds the labels: churned, value, that over each longer horizon, return_days and return_orders.

    They are null where immature, and the last two for contracts.


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
    features = rows.columns
    rows = with_outcomes(rows, orders, tables, task, moments)
    labels = horizon_labels(rows, tables, task)
    mature = {name: null_if_immature(x, rows.cutoff, task.horizon, tables.labels_end) for name, x in labels.items()}
    rows = rows.select(*features, **mature)
    further = task.value_labels(spans)
    for name, horizon in further.items():
        later = with_horizon_outcomes(rows, orders, tables, task, moments, horizon)
        value = value_label(later, tables.contract.has_amount, task.contractual)
        value = null_if_immature(value, later.cutoff, horizon, tables.labels_end)
        rows = later.select(*rows.columns, **{name: value})
    return rows.select(*features, *task.labels, *(name for name in further if name not in task.labels))


def with_outcomes(rows: ibis.Table, orders: ibis.Table, tables: Tables, task: Task, moments: ibis.Table) -> ibis.Table:
    """Rows with the columns of `with_horizon_outcomes`, and, if churn is inactivity, of `later_purchase_days`.

    Args:
        rows: As for `with_horizon_outcomes`.
        orders: From `order_days`, stored.
        tables: The contract.
        task: Defines the horizon and churn.
        moments: As for `history.rows_in_horizon`.

    Returns:
        The rows with further columns.
    """
    joined = with_horizon_outcomes(rows, orders, tables, task, moments, task.horizon)
    if task.contractual:
        return joined
    later = later_purchase_days(orders, moments, task.horizon, tables.contract.has_amount, tables.labels_end)
    return join_on_keys(joined, with_timestamp_cutoff(later))


def horizon_labels(joined: ibis.Table, tables: Tables, task: Task) -> dict[str, ibis.Value]:
    """The labels over the task's own horizon: churned, value, return_days and return_orders.

    Args:
        joined: From `with_outcomes`.
        tables: The contract.
        task: Defines churn.

    Returns:
        The labels by name; return_days and return_orders are null for contracts.
    """
    no_label = ibis.null("float64")
    return {
        "churned": churned_label(joined, task.contractual),
        "value": value_label(joined, tables.contract.has_amount, task.contractual),
        "return_days": no_label if task.contractual else return_days_label(joined),
        "return_orders": no_label if task.contractual else joined.purchases.fill_null(0).cast("float64"),
    }


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
