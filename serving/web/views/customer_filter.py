"""The list of customers as its address says it: filters, order and columns, and the SQL of all three."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any
from urllib.parse import urlencode

from features.campaigns.live_plans import live_plan
from features.intake.identifiers import identifier_text
from features.outputs.layout import PLAN_TABLE
from serving.language.messages import N_, Language
from serving.scoring.value_tiers import AT_RISK
from serving.web.parts.output_reader import ROWS, MissingOutput, ScoredCutoff, Site, read_scored_cutoff, scored_cutoffs

FILTER_COLUMNS = ("segment", "tier", "lifecycle")
GROUPS = ("rfm_group", "stage", "micro_segment")  # of OUTPUT/segments
COLUMN_TITLES = {  # what the list can show beside the customer, in its order
    "churn_probability": N_("Risk"),
    "value": N_("Value"),
    "value_at_risk": N_("Value at risk"),
    "next_purchase": N_("Next purchase"),
    "segment": N_("Segment"),
    "tier": N_("Tier"),
    "lifecycle": N_("Rhythm"),
    "reason": N_("Strongest reason"),
    "churn_reasons": N_("All reasons for the risk"),
    "value_reasons": N_("All reasons for the value"),
    "action": N_("Action"),
}
OF_MONEY = ("value", "value_at_risk", "value_reasons")
HIDDEN = ("churn_reasons", "value_reasons", "tier")  # unless they are chosen
TEXTS = ("customer_id", "segment", "tier", "lifecycle", "reason", "action")  # sorted from A to Z
SORTS = ("value_at_risk", "churn_probability", "value", "next_purchase", *TEXTS)
RANGES = ("risk_from", "risk_to", "value_from", "value_to", "at_risk_from", "at_risk_to")
NOTHING, HELD_OUT = "(nothing)", "(held out)"  # of the filter `action`; no action may have such a name
AMOUNTS = (("churn_probability", "risk", 100), ("value", "value", 1), ("value_at_risk", "at_risk", 1))
LONGEST, FARTHEST = 200, 10_000_000


@dataclass(frozen=True)
class CustomerFilter:
    """The filter, order, columns and page of the list; each field is a parameter of the address.

    Attributes:
        segment, tier, lifecycle: A value of the score column; empty for all.
        by: One of GROUPS; `group` is the name of a group of it.
        action: What the live plan does: an action, NOTHING or HELD_OUT; empty for all.
        reason: A part of the strongest reason.
        newly: Only customers who became at risk since the scored cutoff before.
        risk_from, risk_to: In per cent; [from, to].
        value_from, value_to, at_risk_from, at_risk_to: In money; [from, to].
        q: A part of the id.
        sort: One of SORTS, largest first and text from A to Z; `up` reverses the order.
        cols: The shown columns, separated by commas; empty for the usual ones.
        page: From 1.
    """

    segment: str = ""
    tier: str = ""
    lifecycle: str = ""
    by: str = ""
    group: str = ""
    action: str = ""
    reason: str = ""
    newly: bool = False
    risk_from: float | None = None
    risk_to: float | None = None
    value_from: float | None = None
    value_to: float | None = None
    at_risk_from: float | None = None
    at_risk_to: float | None = None
    q: str = ""
    sort: str = ""
    up: bool = False
    cols: str = ""
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


def read_filter(params: Mapping[str, str], money: bool, tr: Language) -> tuple[CustomerFilter, dict[str, str]]:
    """Parse the parameters of an address; what is not valid is left out and named.

    Args:
        params: The parameters.
        money: Whether the scores have a value; it sets the default order.
        tr: The language of messages.

    Returns:
        The filter, and a message for each parameter that is not valid.
    """
    texts = (*FILTER_COLUMNS, "by", "group", "action", "reason", "q")
    given: dict[str, Any] = {name: params.get(name, "")[:LONGEST] for name in texts}
    errors: dict[str, str] = {}
    given["q"] = identifier_text(given["q"]) or ""
    given["newly"], given["up"] = (params.get(name, "") == "1" for name in ("newly", "up"))
    for name in (*RANGES, "page"):
        given[name] = _number(params, name, errors, tr)
    given["page"] = int(min(max(given["page"] or 1, 1), FARTHEST))
    usual = "value_at_risk" if money else "churn_probability"
    given["sort"] = _known(params.get("sort", ""), SORTS, "sort", errors, tr)
    given["sort"] = "" if given["sort"] == usual else given["sort"]
    given["by"] = _known(given["by"], GROUPS, "by", errors, tr)
    given["cols"] = _columns(params, errors, tr)
    for low, high in ((f"{start}_from", f"{start}_to") for _, start, _ in AMOUNTS):
        if given[low] is not None and given[high] is not None and given[low] > given[high]:
            errors[high] = tr("this is less than the lower end, {low}", low=f"{given[low]:g}")
    return CustomerFilter(**given), errors


def parse_filter(site: Site, params: Mapping[str, str], money: bool = True) -> CustomerFilter:
    """Parse the parameters of the address of a file.

    Args:
        site: The output folder, for the language of messages.
        params: The parameters.
        money: Whether the scores have a value; it sets the default order.

    Returns:
        The filter.

    Raises:
        MissingOutput: A parameter is not valid, such as a risk that is not a number.
    """
    filters, errors = read_filter(params, money, site.tr)
    if errors:
        raise MissingOutput("; ".join(f"{name}: {text}" for name, text in errors.items()), status=400)
    return filters


def _number(params: Mapping[str, str], name: str, errors: dict[str, str], tr: Language) -> float | None:
    text = params.get(name, "")
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if isfinite(number):
        return number
    errors[name] = tr("expected a number, found {text}", text=text[:40])
    return None


def _known(text: str, known: tuple[str, ...], name: str, errors: dict[str, str], tr: Language) -> str:
    if not text or text in known:
        return text
    errors[name] = tr("expected one of {known}, found {text}", known=", ".join(known), text=text[:40])
    return ""


def _columns(params: Mapping[str, str], errors: dict[str, str], tr: Language) -> str:
    """The chosen columns in the order of the list; a form sends one parameter for each."""
    every = params.getlist("cols") if hasattr(params, "getlist") else [params.get("cols", "")]
    names = [name for text in every for name in text.split(",") if name]
    for name in names:
        _known(name, tuple(COLUMN_TITLES), "cols", errors, tr)
    return ",".join(name for name in COLUMN_TITLES if name in names)


def shown_columns(site: Site, at: ScoredCutoff, filters: CustomerFilter, money: bool) -> dict[str, str]:
    """The columns that a list shows beside the customer, with their titles.

    Args:
        site: The output folder.
        at: The scored cutoff.
        filters: The filter; it may choose columns.
        money: Whether the scores have a value.

    Returns:
        Titles by name, in order; columns that the scores lack are left out.
    """
    possible = possible_columns(site, at, money)
    chosen = filters.cols.split(",") if filters.cols else [name for name in possible if name not in HIDDEN]
    return {name: title for name, title in possible.items() if name in chosen}


def possible_columns(site: Site, at: ScoredCutoff, money: bool) -> dict[str, str]:
    """The columns that a list of a cutoff can show.

    Args:
        site: The output folder.
        at: The scored cutoff.
        money: Whether the scores have a value.

    Returns:
        Titles by name, in order.
    """
    has = {*at.columns, "action"} | ({"reason"} if "churn_reasons" in at.columns else set())
    return {
        name: site.tr(title) for name, title in COLUMN_TITLES.items() if name in has and (money or name not in OF_MONEY)
    }


def source_sql(site: Site, at: ScoredCutoff, with_plan: bool) -> tuple[str, list[Any]]:
    """Write the table that lists read: the scores, each customer's strongest reason and, if asked for, the plan.

    Args:
        site: The output folder.
        at: The scored cutoff.
        with_plan: Whether to join what the live plan does (`action` and `held_out`).

    Returns:
        SQL for FROM, and its parameters.
    """
    reason = "churn_reasons[1].reading" if "churn_reasons" in at.columns else "NULL::VARCHAR"
    scores = f"(SELECT *, {reason} AS reason FROM {ROWS})"
    plan = plan_file(site, at)
    if not with_plan:
        return scores, [at.files]
    if plan is None:
        return f"(SELECT *, NULL::VARCHAR AS action, false AS held_out FROM {scores})", [at.files]
    planned = f"(SELECT customer_id, action, holdout AS held_out FROM {ROWS})"
    return f"({scores} LEFT JOIN {planned} USING (customer_id))", [at.files, [plan]]


def needs_plan(filters: CustomerFilter) -> bool:
    """Whether a filter or its order asks what the plan does."""
    return bool(filters.action) or filters.sort == "action"


def plan_file(site: Site, at: ScoredCutoff) -> str | None:
    """Find the table of the live plan of a cutoff; None without one."""
    plan = live_plan(site.config, at.cutoff)
    file = plan.folder / PLAN_TABLE if plan else None
    return str(file) if file and file.is_file() else None


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
    tests = [*_tests(filters), *_file_tests(site, at, filters)]
    texts, params = [text for text, _ in tests], [value for _, values in tests for value in values]
    return ("WHERE " + " AND ".join(texts) if texts else ""), params


def _tests(filters: CustomerFilter) -> Iterator[tuple[str, list[Any]]]:
    """Yield SQL conditions, each with its parameters."""
    for name in FILTER_COLUMNS:
        if value := getattr(filters, name):
            yield f"{name} = ?", [value]
    for column, start, scale in AMOUNTS:
        for end, sign in (("from", ">="), ("to", "<=")):
            if (limit := getattr(filters, f"{start}_{end}")) is not None:
                yield f"{column} {sign} ?", [limit / scale]
    yield from parts_of_text(("customer_id", filters.q), ("reason", filters.reason))
    if filters.action in (NOTHING, HELD_OUT):
        held_out = "coalesce(held_out, false)"
        yield f"action IS NULL AND {held_out if filters.action == HELD_OUT else f'NOT {held_out}'}", []
    elif filters.action:
        yield "action = ?", [filters.action]


def _file_tests(site: Site, at: ScoredCutoff, filters: CustomerFilter) -> Iterator[tuple[str, list[Any]]]:
    """Yield conditions on other files: the segments, and the scores of the cutoff before."""
    if filters.by and filters.group:
        file = site.config.outputs.segments(at.cutoff) / "customers.parquet"
        if not file.is_file():
            message = site.tr("There are no segments for {day} yet.", day=at.cutoff)
            raise MissingOutput(message, f"regulars segments --cutoff {at.cutoff}")
        yield f"customer_id IN (SELECT customer_id FROM {ROWS} WHERE {filters.by} = ?)", [str(file), filters.group]
    if filters.newly:
        earlier = [day for day in scored_cutoffs(site) if day < at.cutoff]
        before = read_scored_cutoff(site, str(earlier[-1])).files if earlier else None
        was = f"customer_id IN (SELECT customer_id FROM {ROWS} WHERE churn_probability < {AT_RISK})"
        yield f"churn_probability >= {AT_RISK} AND {was if before else 'false'}", [before] if before else []


def order_sql(filters: CustomerFilter, money: bool) -> str:
    """Write the order of a list as SQL; ties are ordered by id."""
    by = filters.sort or ("value_at_risk" if money else "churn_probability")
    if by == "customer_id":
        return f"ORDER BY customer_id {'DESC' if filters.up else 'ASC'}"
    return f"ORDER BY {column_order(by, filters.up, TEXTS)}"


def column_order(column: str, up: bool, texts: tuple[str, ...]) -> str:
    """Write an order by a column, largest first and text from A to Z; ties are ordered by id.

    Args:
        column: A known column.
        up: Whether the order is reversed.
        texts: The columns of text.

    Returns:
        SQL for ORDER BY.
    """
    ascending = up != (column in texts)
    return f"{column} {'ASC' if ascending else 'DESC'} NULLS LAST, customer_id"


def parts_of_text(*wanted: tuple[str, str]) -> Iterator[tuple[str, list[Any]]]:
    """Yield an SQL condition for each text that a column must hold, in any case, with its parameter; none if empty."""
    for column, text in wanted:
        if text:
            yield f"contains(lower({column}), lower(?))", [text]
