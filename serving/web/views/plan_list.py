"""The list of a plan's customers at a budget as its address says it: filters and order, and their SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from features.outputs.layout import PLAN_TABLE
from serving.web.parts.output_reader import ROWS, MissingOutput, Site
from serving.web.views.customer_filter import column_order, parts_of_text
from serving.web.views.plan import LISTED, ORDER, PAGE, PlanAtBudget, StoredPlan

SORTS = ("customer_id", "action", "cost", "expected_gain", "churn_probability", "value", "segment")
TEXTS = ("customer_id", "action", "segment")  # sorted from A to Z
LONGEST = 200


@dataclass(frozen=True)
class PlanFilter:
    """The filter and order of the list; each field is a parameter of the address.

    Attributes:
        q: A part of the id.
        action, segment: A value of the column; empty for all.
        reason: A part of the reasons.
        sort: One of SORTS, largest first and text from A to Z; empty: most gain per cost first.
        up: "1" reverses the order.
    """

    q: str = ""
    action: str = ""
    segment: str = ""
    reason: str = ""
    sort: str = ""
    up: str = ""

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the address that are set."""
        return {name: value for name, value in asdict(self).items() if value}


def read_plan_filter(site: Site, params: Mapping[str, str]) -> PlanFilter:
    """Parse the parameters of an address; raise MissingOutput if the order is unknown."""
    given = {name: params.get(name, "")[:LONGEST] for name in asdict(PlanFilter())}
    if given["sort"] and given["sort"] not in SORTS:
        message = site.tr("expected one of {known}, found {text}", known=", ".join(SORTS), text=given["sort"][:40])
        raise MissingOutput(message, status=400)
    return PlanFilter(**{**given, "up": "1" if given["up"] == "1" else ""})


def plan_list_sql(plan: StoredPlan, planned: PlanAtBudget, filters: PlanFilter) -> tuple[str, list[Any]]:
    """Write the list as SQL, without its columns.

    Args:
        plan: The plan.
        planned: The plan at the budget, which decides who is included.
        filters: The filter and order.

    Returns:
        FROM, WHERE and ORDER BY, and the parameters.
    """
    inside = f"(SELECT {LISTED} FROM {ROWS} WHERE action IS NOT NULL ORDER BY {ORDER} LIMIT ?)"
    params: list[Any] = [[str(plan.folder / PLAN_TABLE)], planned.customers]
    tests = []
    for name in ("action", "segment"):
        if value := getattr(filters, name):
            tests.append(f"{name} = ?")
            params.append(value)
    for test, values in parts_of_text(("customer_id", filters.q), ("reasons::VARCHAR", filters.reason)):
        tests.append(test)
        params += values
    where = f"WHERE {' AND '.join(tests)}" if tests else ""
    return f"FROM {inside} {where} ORDER BY {_order(filters)}", params


def _order(filters: PlanFilter) -> str:
    if not filters.sort:
        return ORDER
    return column_order(filters.sort, bool(filters.up), TEXTS)


def count_listed(site: Site, plan: StoredPlan, planned: PlanAtBudget, filters: PlanFilter) -> int:
    """Count the customers of a filtered list.

    Args:
        site: The output folder.
        plan: The plan.
        planned: The plan at the budget.
        filters: The filter and order.

    Returns:
        How many.
    """
    if not ({*filters.params} - {"sort", "up"}):
        return planned.customers
    sql, params = plan_list_sql(plan, planned, filters)
    return int(site.query_row(f"SELECT count(*) AS n FROM (SELECT customer_id {sql})", params)["n"])


def plan_customers(
    site: Site, plan: StoredPlan, planned: PlanAtBudget, filters: PlanFilter, page: int
) -> list[dict[str, Any]]:
    """Read a page of the list.

    Args:
        site: The output folder.
        plan: The plan.
        planned: The plan at the budget.
        filters: The filter and order.
        page: From 1.

    Returns:
        At most PAGE rows.
    """
    sql, params = plan_list_sql(plan, planned, filters)
    return list(site.query(f"SELECT {LISTED} {sql} LIMIT ? OFFSET ?", [*params, PAGE, (page - 1) * PAGE]).to_pylist())


def plan_segments(site: Site, plan: StoredPlan) -> list[str]:
    """The segments of the customers with an action, by name."""
    sql = f"SELECT DISTINCT segment FROM {ROWS} WHERE action IS NOT NULL AND segment IS NOT NULL ORDER BY 1"
    return [row["segment"] for row in site.query(sql, [[str(plan.folder / PLAN_TABLE)]]).to_pylist()]
