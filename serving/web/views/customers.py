"""The list of customers: the rows, counts and sums of a filtered list, and how customers are found by their ids."""

from __future__ import annotations

from typing import Any

from features.errors import RegularsError
from features.intake.identity import customer_names, persons_of
from serving.web.parts.output_reader import ROWS, MissingOutput, ScoredCutoff, Site
from serving.web.views.customer_filter import (
    FILTER_COLUMNS,
    LONGEST,
    CustomerFilter,
    filter_sql,
    needs_plan,
    order_sql,
    plan_file,
    shown_columns,
    source_sql,
)

PAGE = 50
LIST_COLUMNS = (
    "customer_id", "churn_probability", "value", "value_low", "value_high", "value_at_risk", *FILTER_COLUMNS,
)  # fmt: skip


def list_totals(site: Site, at: ScoredCutoff, filters: CustomerFilter) -> dict[str, Any]:
    """Sum up a list; cached.

    Args:
        site: The output folder.
        at: The scored cutoff.
        filters: The filter.

    Returns:
        `customers`, `risk` (mean), `value` and `value_at_risk` (sums).
    """
    (source, files), (test, params) = source_sql(site, at, needs_plan(filters)), filter_sql(site, at, filters)

    def count() -> dict[str, Any]:
        sql = (
            "SELECT count(*) AS customers, avg(churn_probability) AS risk, sum(value) AS value, "
            f"sum(value_at_risk) AS value_at_risk FROM {source} {test}"
        )
        return site.query_row(sql, [*files, *params])

    key = ("totals", at.fingerprint, str(files[1:]), filters.query(page=1, sort="", up=False, cols=""))
    return site.cache.get(key, count)


def list_page(site: Site, at: ScoredCutoff, filters: CustomerFilter, money: bool) -> list[dict[str, Any]]:
    """Read one page of a list.

    Args:
        site: The output folder.
        at: The scored cutoff.
        filters: The filter, order and page.
        money: Whether the scores have a value; it sets the default order.

    Returns:
        At most PAGE rows, each with its strongest reason and the action of the live plan.
    """
    (source, files), (test, params) = source_sql(site, at, needs_plan(filters)), filter_sql(site, at, filters)
    columns = ", ".join(list_columns(site, at, filters, money, needs_plan(filters)))
    sql = f"SELECT {columns} FROM {source} {test} {order_sql(filters, money)} LIMIT {PAGE} OFFSET ?"
    rows = list(site.query(sql, [*files, *params, (filters.page - 1) * PAGE]).to_pylist())
    if needs_plan(filters) or "action" not in shown_columns(site, at, filters, money):
        return rows
    actions = _actions(site, at, [row["customer_id"] for row in rows])
    return [{**row, "action": actions.get(row["customer_id"])} for row in rows]


def list_columns(site: Site, at: ScoredCutoff, filters: CustomerFilter, money: bool, with_plan: bool) -> list[str]:
    """The columns that a list reads: the customer, what is shown, and the interval of the value.

    Args:
        site: The output folder.
        at: The scored cutoff.
        filters: The filter; it may choose columns.
        money: Whether the scores have a value.
        with_plan: Whether `action` can be read from the same table.

    Returns:
        Their names, in order.
    """
    names = ["customer_id"]
    for name in shown_columns(site, at, filters, money):
        names += [name] if name != "action" or with_plan else []
        if name == "value":
            names += [end for end in ("value_low", "value_high") if end in at.columns]
    return names


def _actions(site: Site, at: ScoredCutoff, ids: list[str]) -> dict[str, str]:
    """Read what the live plan of a cutoff does with some customers, by id; empty if it has none or cannot be read."""
    file = plan_file(site, at)
    if file is None:
        return {}
    sql = f"SELECT customer_id, action FROM {ROWS} WHERE action IS NOT NULL AND list_contains(?, customer_id)"
    try:
        rows = site.query(sql, [[file], ids]).to_pylist()
    except MissingOutput:  # logged by the query; the list is shown without actions
        return {}
    return {row["customer_id"]: row["action"] for row in rows}


def filter_choices(site: Site, at: ScoredCutoff) -> dict[str, list[str]]:
    """List the values of each of FILTER_COLUMNS and the actions of the live plan, most frequent first."""

    def count() -> dict[str, list[str]]:
        names_by_column = {}
        for name in FILTER_COLUMNS:
            sql = f"SELECT {name} AS name FROM {ROWS} GROUP BY 1 ORDER BY count(*) DESC, 1"
            names_by_column[name] = [
                row["name"] for row in site.query(sql, [at.files]).to_pylist() if row["name"] is not None
            ]
        return names_by_column

    choices = site.cache.get(("choices", at.fingerprint), count)
    return {**choices, "action": _planned_actions(site, at)}


def _planned_actions(site: Site, at: ScoredCutoff) -> list[str]:
    """The actions of the live plan of a cutoff, most frequent first; empty without one."""
    file = plan_file(site, at)
    sql = f"SELECT action FROM {ROWS} WHERE action IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1"
    try:
        return [row["action"] for row in site.query(sql, [[file]]).to_pylist()] if file else []
    except MissingOutput:  # logged by the query
        return []


def customer_row(site: Site, at: ScoredCutoff, customer: str) -> dict[str, Any] | None:
    """Read a customer's row of the score table; DuckDB skips the parts that cannot hold the id.

    Args:
        site: The output folder.
        at: The scored cutoff.
        customer: The customer's id.

    Returns:
        The row, or None.
    """
    sql = f"SELECT * FROM {ROWS} WHERE customer_id = ? LIMIT 1"
    first = site.query(sql, [at.files, customer]).to_pylist()
    return first[0] if first else None


def scored_name(site: Site, at: ScoredCutoff, customer: str) -> str:
    """Find the id by which a cutoff's scores name a customer: the given one, its hash, or the person's.

    Args:
        site: The output folder.
        at: The scored cutoff.
        customer: The id that somebody gave, by the rule for ids.

    Returns:
        The id; the given one if the scores have none of them.
    """
    config = site.config
    if not (config.privacy.hash_ids or config.identity) or customer_row(site, at, customer) is not None:
        return customer
    try:
        persons = site.cache.get(("persons", at.fingerprint), lambda: persons_of(config))
        names = customer_names(config, persons, customer, at.cutoff)
    except RegularsError:  # without the key, or the table of joined ids, only what the scores have is found
        return customer
    return next((name for name in names if customer_row(site, at, name) is not None), customer)


def similar_ids(site: Site, at: ScoredCutoff, customer: str) -> list[str]:
    """Find ids that contain a text, or that follow it in order.

    Args:
        site: The output folder.
        at: The scored cutoff.
        customer: The text.

    Returns:
        At most five ids.
    """
    sql = (
        "SELECT customer_id FROM read_parquet($1, hive_partitioning = false) "
        "WHERE contains(lower(customer_id), lower($2)) OR customer_id >= $2 "
        "ORDER BY NOT contains(lower(customer_id), lower($2)), customer_id LIMIT 5"
    )
    return [row["customer_id"] for row in site.query(sql, [at.files, customer[:LONGEST]]).to_pylist()]
