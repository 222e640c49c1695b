"""The list of customers: what may be asked of it in an address, and the rows, counts and sums that it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any
from urllib.parse import urlencode

from serving.web.parts.output_reader import ROWS, MissingOutput, ScoredCutoff, Site

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
    *FILTER_COLUMNS,
)
LONGEST, FARTHEST = 200, 10_000_000


@dataclass(frozen=True)
class CustomerFilter:
    """What is asked of the list; each is a parameter of the address.

    Attributes:
        segment, tier, lifecycle: Of the scores; empty: all.
        by: One of GROUPS, and `group` its name.
        risk_from, risk_to: In per cent; [from, to].
        value_from, value_to: Money; [from, to].
        q: A part of the id.
        sort: One of SORTS, largest first but for the id; `up` turns it round.
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
        """The address of this list, or of one that differs in something, without what is as usual."""
        changed = replace(self, **other)
        pairs = {f.name: getattr(changed, f.name) for f in fields(self)}
        usual = {f.name: f.default for f in fields(self)}
        kept = {name: value for name, value in pairs.items() if value != usual[name]}
        return urlencode(
            {name: f"{v:g}" if isinstance(v, float) else int(v) if v is True else v for name, v in kept.items()}
        )


def parse_filter(site: Site, params: Mapping[str, str], money: bool = True) -> CustomerFilter:
    """What an address asks for.

    Raises:
        NotHere: It asks for what cannot be, such as a risk that is no number.
    """
    given: dict[str, Any] = {name: params.get(name, "")[:LONGEST] for name in (*FILTER_COLUMNS, "by", "group", "q")}
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


def _tests(site: Site, at: ScoredCutoff, asked: CustomerFilter) -> Iterator[tuple[str, Any]]:
    """SQL tests, each with its one parameter."""
    for name in FILTER_COLUMNS:
        if value := getattr(asked, name):
            yield f"{name} = ?", value
    if asked.risk_from is not None:
        yield "churn_probability >= ?", asked.risk_from / 100
    if asked.risk_to is not None:
        yield "churn_probability <= ?", asked.risk_to / 100
    if asked.value_from is not None:
        yield "value >= ?", asked.value_from
    if asked.value_to is not None:
        yield "value <= ?", asked.value_to
    if asked.q:
        yield "contains(lower(customer_id), lower(?))", asked.q


def filter_sql(site: Site, at: ScoredCutoff, asked: CustomerFilter) -> tuple[str, list[Any]]:
    """The tests of a list as SQL, and their parameters.

    Raises:
        NotHere: A group is asked for, and the cutoff was not grouped.
    """
    tests = list(_tests(site, at, asked))
    texts, params = [text for text, _ in tests], [value for _, value in tests]
    if asked.by and asked.group:
        file = site.config.output / "segments" / f"cutoff={at.cutoff}" / "customers.parquet"
        if not file.is_file():
            message = site.tr("There are no segments for {day} yet.", day=at.cutoff)
            raise MissingOutput(message, f"regulars segments --cutoff {at.cutoff}")
        texts.append(f"customer_id IN (SELECT customer_id FROM {ROWS} WHERE {asked.by} = ?)")
        params += [str(file), asked.group]
    return ("WHERE " + " AND ".join(texts) if texts else ""), params


def order_sql(asked: CustomerFilter, money: bool) -> str:
    """How the list is sorted, in SQL; customers who are equal come by their id."""
    by = asked.sort or ("value_at_risk" if money else "churn_probability")
    if by == "customer_id":
        return f"ORDER BY customer_id {'DESC' if asked.up else 'ASC'}"
    return f"ORDER BY {by} {'ASC' if asked.up else 'DESC'} NULLS LAST, customer_id"


def list_totals(site: Site, at: ScoredCutoff, asked: CustomerFilter) -> dict[str, Any]:
    """customers, risk (mean), value and value_at_risk (sums) of a list; counted once."""
    test, params = filter_sql(site, at, asked)

    def count() -> dict[str, Any]:
        sql = (
            "SELECT count(*) AS customers, avg(churn_probability) AS risk, sum(value) AS value, "
            f"sum(value_at_risk) AS value_at_risk FROM {ROWS} {test}"
        )
        return site.query_row(sql, [at.files, *params])

    return site.cache.get(("totals", at.fingerprint, asked.query(page=1, sort="", up=False)), count)


def list_page(site: Site, at: ScoredCutoff, asked: CustomerFilter, money: bool) -> list[dict[str, Any]]:
    """The customers of one page of a list."""
    test, params = filter_sql(site, at, asked)
    columns = ", ".join(name for name in LIST_COLUMNS if name in at.columns)
    sql = f"SELECT {columns} FROM {ROWS} {test} {order_sql(asked, money)} LIMIT {PAGE} OFFSET ?"
    return list(site.query(sql, [at.files, *params, (asked.page - 1) * PAGE]).to_pylist())


def filter_choices(site: Site, at: ScoredCutoff) -> dict[str, list[str]]:
    """What there is of each of NAMED, the most frequent first; counted once."""

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
    """A customer's row of the score table, or None; parts that cannot hold the id are not read."""
    sql = f"SELECT * FROM {ROWS} WHERE customer_id = ? LIMIT 1"
    first = site.query(sql, [at.files, customer]).to_pylist()
    return first[0] if first else None


def similar_ids(site: Site, at: ScoredCutoff, customer: str) -> list[str]:
    """Up to five ids that hold what was asked for, or come next to it."""
    sql = (
        "SELECT customer_id FROM read_parquet($1, hive_partitioning = false) "
        "WHERE contains(lower(customer_id), lower($2)) OR customer_id >= $2 "
        "ORDER BY NOT contains(lower(customer_id), lower($2)), customer_id LIMIT 5"
    )
    return [row["customer_id"] for row in site.query(sql, [at.files, customer[:LONGEST]]).to_pylist()]
