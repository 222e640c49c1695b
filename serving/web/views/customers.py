"""The list of customers: filters from the address, and the rows, counts and sums of the filtered list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any
from urllib.parse import urlencode

from features.campaigns.live_plans import live_plan
from features.errors import RegularsError
from features.intake.identifiers import identifier_text
from features.intake.identity import customer_names, persons_of
from features.outputs.layout import PLAN_TABLE
from serving.scoring.columns import NEXT_PURCHASE
from serving.web.parts.output_reader import ROWS, MissingOutput, ScoredCutoff, Site
from serving.web.views.next_purchase import overdue_text

PAGE = 50
SORTS = ("value_at_risk", "churn_probability", "value", "customer_id")
FILTER_COLUMNS = ("segment", "tier", "lifecycle")
GROUPS = ("rfm_group", "stage", "micro_segment")  # of OUTPUT/segments
LIST_COLUMNS = (
    "customer_id",
    "churn_probability",
    "value",
    "value_low",
    "value_high",
    "value_at_risk",
    NEXT_PURCHASE,
    "overdue_days",
    *FILTER_COLUMNS,
)
LONGEST, FARTHEST = 200, 10_000_000


@dataclass(frozen=True)
class CustomerFilter:
    """The filter, order and page of the list; each field is a parameter of the address.

    Attributes:
        segment, tier, lifecycle: A value of the score column; empty for all.
        by: One of GROUPS; `group` is the name of a group of it.
        risk_from, risk_to: In per cent; [from, to].
        value_from, value_to: In money; [from, to].
        q: A part of the id.
        sort: One of SORTS, largest first (ids ascending); `up` reverses the order.
        page: From 1.
    """

    segment: str = ""
    tier: str = ""
    lifecycle: str = ""
    by: str = ""
    group: str = ""
    risk_from: float | None = None
    risk_to: float | None = None
    value_from: float | None = None
    value_to: float | None = None
    q: str = ""
    sort: str = ""
    up: bool = False
    page: int = 1

    def query(self, **other: Any) -> str:
        """Write the address parameters of this list, or of one that differs in something; defaults are left out."""
        changed = replace(self, **other)
        pairs = {f.name: getattr(changed, f.name) for f in fields(self)}
        usual = {f.name: f.default for f in fields(self)}
        kept = {name: value for name, value in pairs.items() if value != usual[name]}
        return urlencode(
            {name: f"{v:g}" if isinstance(v, float) else int(v) if v is True else v for name, v in kept.items()}
        )


def parse_filter(site: Site, params: Mapping[str, str], money: bool = True) -> CustomerFilter:
    """Parse the parameters of an address.

    Args:
        site: The output folder, for the language of messages.
        params: The parameters.
        money: Whether the scores have a value; it sets the default order.

    Returns:
        The filter.

    Raises:
        MissingOutput: A parameter is not valid, such as a risk that is not a number.
    """
    given: dict[str, Any] = {name: params.get(name, "")[:LONGEST] for name in (*FILTER_COLUMNS, "by", "group", "q")}
    given["q"] = identifier_text(given["q"]) or ""
    for name in ("risk_from", "risk_to", "value_from", "value_to"):
        given[name] = _number(site, name, params.get(name, ""))
    page = _number(site, "page", params.get("page", ""))
    given["page"] = int(min(max(page or 1, 1), FARTHEST))
    given["up"] = params.get("up", "") == "1"
    given["sort"] = params.get("sort", "") or ("value_at_risk" if money else "churn_probability")
    if given["sort"] not in SORTS or (given["by"] and given["by"] not in GROUPS):
        known = ", ".join((*SORTS, *GROUPS))
        raise MissingOutput(site.tr("Expected a column to sort or group by, one of: {known}.", known=known), status=400)
    if given["sort"] == ("value_at_risk" if money else "churn_probability"):
        given["sort"] = ""
    return CustomerFilter(**given)


def _number(site: Site, name: str, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise MissingOutput(site.tr("{name}: expected a number, found {text}.", name=name, text=text[:40]), status=400)
    return number


def _tests(site: Site, at: ScoredCutoff, filters: CustomerFilter) -> Iterator[tuple[str, Any]]:
    """Yield SQL conditions, each with its one parameter."""
    for name in FILTER_COLUMNS:
        if value := getattr(filters, name):
            yield f"{name} = ?", value
    if filters.risk_from is not None:
        yield "churn_probability >= ?", filters.risk_from / 100
    if filters.risk_to is not None:
        yield "churn_probability <= ?", filters.risk_to / 100
    if filters.value_from is not None:
        yield "value >= ?", filters.value_from
    if filters.value_to is not None:
        yield "value <= ?", filters.value_to
    if filters.q:
        yield "contains(lower(customer_id), lower(?))", filters.q


def filter_sql(site: Site, at: ScoredCutoff, filters: CustomerFilter) -> tuple[str, list[Any]]:
    """Write a filter as SQL.

    Args:
        site: The output folder.
        at: The scored cutoff.
        filters: The filter.

    Returns:
        The WHERE clause (empty without a condition) and its parameters.

    Raises:
        MissingOutput: A group is asked for, and the cutoff has no segments.
    """
    tests = list(_tests(site, at, filters))
    texts, params = [text for text, _ in tests], [value for _, value in tests]
    if filters.by and filters.group:
        file = site.config.outputs.segments(at.cutoff) / "customers.parquet"
        if not file.is_file():
            message = site.tr("There are no segments for {day} yet.", day=at.cutoff)
            raise MissingOutput(message, f"regulars segments --cutoff {at.cutoff}")
        texts.append(f"customer_id IN (SELECT customer_id FROM {ROWS} WHERE {filters.by} = ?)")
        params += [str(file), filters.group]
    return ("WHERE " + " AND ".join(texts) if texts else ""), params


def order_sql(filters: CustomerFilter, money: bool) -> str:
    """Write the order of a list as SQL; ties are ordered by id."""
    by = filters.sort or ("value_at_risk" if money else "churn_probability")
    if by == "customer_id":
        return f"ORDER BY customer_id {'DESC' if filters.up else 'ASC'}"
    return f"ORDER BY {by} {'ASC' if filters.up else 'DESC'} NULLS LAST, customer_id"


def list_totals(site: Site, at: ScoredCutoff, filters: CustomerFilter) -> dict[str, Any]:
    """Sum up a list; cached.

    Args:
        site: The output folder.
        at: The scored cutoff.
        filters: The filter.

    Returns:
        `customers`, `risk` (mean), `value` and `value_at_risk` (sums).
    """
    test, params = filter_sql(site, at, filters)

    def count() -> dict[str, Any]:
        sql = (
            "SELECT count(*) AS customers, avg(churn_probability) AS risk, sum(value) AS value, "
            f"sum(value_at_risk) AS value_at_risk FROM {ROWS} {test}"
        )
        return site.query_row(sql, [at.files, *params])

    return site.cache.get(("totals", at.fingerprint, filters.query(page=1, sort="", up=False)), count)


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
    test, params = filter_sql(site, at, filters)
    columns = ", ".join(name for name in LIST_COLUMNS if name in at.columns)
    if "churn_reasons" in at.columns:
        columns += ", churn_reasons[1].reading AS reason"
    sql = f"SELECT {columns} FROM {ROWS} {test} {order_sql(filters, money)} LIMIT {PAGE} OFFSET ?"
    rows = list(site.query(sql, [at.files, *params, (filters.page - 1) * PAGE]).to_pylist())
    actions = _actions(site, at, [row["customer_id"] for row in rows])
    return [
        {
            "reason": None,
            **row,
            "action": actions.get(row["customer_id"]),
            "overdue": overdue_text(row.get("overdue_days"), site.tr),
        }
        for row in rows
    ]


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


def plan_file(site: Site, at: ScoredCutoff) -> str | None:
    """Find the table of the live plan of a cutoff; None without one."""
    plan = live_plan(site.config, at.cutoff)
    file = plan.folder / PLAN_TABLE if plan else None
    return str(file) if file and file.is_file() else None


def filter_choices(site: Site, at: ScoredCutoff) -> dict[str, list[str]]:
    """List the values of each of FILTER_COLUMNS, most frequent first; cached."""

    def count() -> dict[str, list[str]]:
        names_by_column = {}
        for name in FILTER_COLUMNS:
            sql = f"SELECT {name} AS name FROM {ROWS} GROUP BY 1 ORDER BY count(*) DESC, 1"
            names_by_column[name] = [
                row["name"] for row in site.query(sql, [at.files]).to_pylist() if row["name"] is not None
            ]
        return names_by_column

    return site.cache.get(("choices", at.fingerprint), count)


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
