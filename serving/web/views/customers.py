"""The list of customers: what may be asked of it in an address, and the rows, counts and sums that it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any
from urllib.parse import urlencode

from serving.web.parts.output_reader import ROWS, NotHere, Scored, Site

PAGE = 50
SORTS = ("value_at_risk", "churn_probability", "value", "customer_id")
NAMED = ("segment", "tier", "lifecycle")
GROUPS = ("rfm_group", "stage", "micro_segment")  # of OUTPUT/segments
SHOWN = ("customer_id", "churn_probability", "value", "value_low", "value_high", "value_at_risk", *NAMED)
LONGEST, FARTHEST = 200, 10_000_000


@dataclass(frozen=True)
class Wanted:
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


def wanted(site: Site, params: Mapping[str, str], money: bool = True) -> Wanted:
    """What an address asks for.

    Raises:
        NotHere: It asks for what cannot be, such as a risk that is no number.
    """
    given: dict[str, Any] = {name: params.get(name, "")[:LONGEST] for name in (*NAMED, "by", "group", "q")}
    for name in ("risk_from", "risk_to", "value_from", "value_to"):
        given[name] = _number(site, name, params.get(name, ""))
    page = _number(site, "page", params.get("page", ""))
    given["page"] = int(min(max(page or 1, 1), FARTHEST))
    given["up"] = params.get("up", "") == "1"
    given["sort"] = params.get("sort", "") or ("value_at_risk" if money else "churn_probability")
    if given["sort"] not in SORTS or (given["by"] and given["by"] not in GROUPS):
        known = ", ".join((*SORTS, *GROUPS))
        raise NotHere(site.tr("The list is sorted and grouped by one of: {known}.", known=known), status=400)
    if given["sort"] == ("value_at_risk" if money else "churn_probability"):
        given["sort"] = ""
    return Wanted(**given)


def _number(site: Site, name: str, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise NotHere(site.tr("{name} takes a number, not {text}.", name=name, text=text[:40]), status=400)
    return number


def _tests(site: Site, at: Scored, asked: Wanted) -> Iterator[tuple[str, Any]]:
    """SQL tests, each with its one parameter."""
    for name in NAMED:
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


def where(site: Site, at: Scored, asked: Wanted) -> tuple[str, list[Any]]:
    """The tests of a list as SQL, and their parameters.

    Raises:
        NotHere: A group is asked for, and the cutoff was not grouped.
    """
    tests = list(_tests(site, at, asked))
    texts, params = [text for text, _ in tests], [value for _, value in tests]
    if asked.by and asked.group:
        file = site.config.output / "segments" / f"cutoff={at.cutoff}" / "customers.parquet"
        if not file.is_file():
            said = site.tr("The customers of {day} are not grouped yet.", day=at.cutoff)
            raise NotHere(said, f"regulars segments --cutoff {at.cutoff}")
        texts.append(f"customer_id IN (SELECT customer_id FROM {ROWS} WHERE {asked.by} = ?)")
        params += [str(file), asked.group]
    return ("WHERE " + " AND ".join(texts) if texts else ""), params


def order(asked: Wanted, money: bool) -> str:
    """How the list is sorted, in SQL; customers who are equal come by their id."""
    by = asked.sort or ("value_at_risk" if money else "churn_probability")
    if by == "customer_id":
        return f"ORDER BY customer_id {'DESC' if asked.up else 'ASC'}"
    return f"ORDER BY {by} {'ASC' if asked.up else 'DESC'} NULLS LAST, customer_id"


def totals(site: Site, at: Scored, asked: Wanted) -> dict[str, Any]:
    """customers, risk (mean), value and value_at_risk (sums) of a list; counted once."""
    test, params = where(site, at, asked)

    def count() -> dict[str, Any]:
        sql = (
            "SELECT count(*) AS customers, avg(churn_probability) AS risk, sum(value) AS value, "
            f"sum(value_at_risk) AS value_at_risk FROM {ROWS} {test}"
        )
        return site.one(sql, [at.files, *params])

    return site.kept.get(("totals", at.fingerprint, asked.query(page=1, sort="", up=False)), count)


def rows(site: Site, at: Scored, asked: Wanted, money: bool) -> list[dict[str, Any]]:
    """The customers of one page of a list."""
    test, params = where(site, at, asked)
    columns = ", ".join(name for name in SHOWN if name in at.columns)
    sql = f"SELECT {columns} FROM {ROWS} {test} {order(asked, money)} LIMIT {PAGE} OFFSET ?"
    return list(site.ask(sql, [at.files, *params, (asked.page - 1) * PAGE]).to_pylist())


def choices(site: Site, at: Scored) -> dict[str, list[str]]:
    """What there is of each of NAMED, the most frequent first; counted once."""

    def count() -> dict[str, list[str]]:
        found = {}
        for name in NAMED:
            sql = f"SELECT {name} AS name FROM {ROWS} GROUP BY 1 ORDER BY count(*) DESC, 1"
            found[name] = [row["name"] for row in site.ask(sql, [at.files]).to_pylist() if row["name"] is not None]
        return found

    return site.kept.get(("choices", at.fingerprint), count)


def found(site: Site, at: Scored, customer: str) -> dict[str, Any] | None:
    """A customer's row of the score table, or None; parts that cannot hold the id are not read."""
    sql = f"SELECT * FROM {ROWS} WHERE customer_id = ? LIMIT 1"
    first = site.ask(sql, [at.files, customer]).to_pylist()
    return first[0] if first else None


def near(site: Site, at: Scored, customer: str) -> list[str]:
    """Up to five ids that hold what was asked for, or come next to it."""
    sql = (
        "SELECT customer_id FROM read_parquet($1, hive_partitioning = false) "
        "WHERE contains(lower(customer_id), lower($2)) OR customer_id >= $2 "
        "ORDER BY NOT contains(lower(customer_id), lower($2)), customer_id LIMIT 5"
    )
    return [row["customer_id"] for row in site.ask(sql, [at.files, customer[:LONGEST]]).to_pylist()]
