"""The lists of customers whom `[[plan.exclude]]` leaves out, compared with the customers of the log.

Ids of a list are read by the rule for ids. A long list without any customer of the log, written unlike the log's ids,
is surely the wrong one: nobody would be excluded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis
import pyarrow as pa

from features.config.load import Config
from features.config.plan import Exclusion
from features.engines.base import Engine
from features.errors import UsageError
from features.intake.customer_ids import HASHED_ID, stored_ids
from features.intake.identifiers import as_identifier, identifier_text
from features.intake.tables import Tables
from features.sources.listed_values import read_listed_values

LIST_COLUMN = "customer_id"
MIN_LIST = 20  # a shorter list may well match nobody
FEW = 0.05  # a list or table of which a smaller share is in the log matches almost nobody
LONGEST_FORM = 40
FORM_STEPS = (("[A-Za-z\u0080-\U0010ffff]+", "a"), (r"[1-9][0-9]*", "9"), ("0+9", "Z9"), ("0+", "9"), ("Z", "0"))


@dataclass(frozen=True)
class ListMatch:
    """How many ids of a list are customers of the log.

    Attributes:
        ids: Distinct ids of the list.
        known: Those that the log has.
        alike: Whether any id of the list is written like ids of the log.
        example: The form of an id of the list, masked: digits as 9, letters as a.
        log_example: The same of an id of the log.
    """

    ids: int
    known: int
    alike: bool
    example: str
    log_example: str

    @property
    def is_wrong(self) -> bool:
        """Whether the list is surely not one of the log's customers: long, without any of them, and written unlike."""
        return self.ids >= MIN_LIST and not self.known and not self.alike

    @property
    def matches_few(self) -> bool:
        """Whether the list matches almost nobody."""
        return self.known < FEW * self.ids

    def text(self) -> str:
        """The match in words."""
        forms = (
            ""
            if self.alike or self.known
            else (f"; they are written like {self.example!r}, those of the log like {self.log_example!r}")
        )
        return f"{self.known:,} of {self.ids:,} ids are customers of the log{forms}"


def read_id_list(path: Path, where: str) -> list[str]:
    """The ids in the column customer_id of a file, each by the rule for ids.

    Args:
        path: CSV with a header, or Parquet.
        where: The key of the config that names the file, for messages.

    Returns:
        The ids in the file's order; blank ones are left out.

    Raises:
        DataError: The file is damaged, or a line of it is malformed: somebody on the list would be missed.
        UsageError: There is no such file, or it has no such column.
    """
    values = read_listed_values(path, where, LIST_COLUMN)
    return [text for value in values if (text := identifier_text(value)) is not None]


def match_ids(
    ids: Iterable[str], names: Iterable[Sequence[str]], customers: ibis.Table, log_ids: ibis.Value, engine: Engine
) -> ListMatch:
    """Counts how many ids of a list are customers, and compares how ids are written.

    Args:
        ids: The ids as the list has them, by the rule for ids.
        names: The ids under which outputs know the same customers, the stored one first.
        customers: `customer_id`, the stored ids of the log's customers, each once.
        log_ids: The ids of the log as the user knows them, by the rule for ids.
        engine: Where the customers are.

    Returns:
        The counts and the forms of both.
    """
    forms, distinct = sorted({id_form(text) for text in ids}), {tuple(each) for each in names}
    all_names = sorted({name for each in distinct for name in each})
    listed = engine.store_arrow("listed_ids", pa.table({"customer_id": pa.array(all_names, pa.string())}))
    known = engine.count_rows(customers.semi_join(listed, "customer_id"))
    log_forms = _form(log_ids).name("form").as_table().filter(lambda rows: rows.form.notnull())
    counts = log_forms.group_by("form").aggregate(rows=log_forms.count())
    common = engine.to_arrow(counts.order_by(ibis.desc("rows"), "form").limit(1))["form"].to_pylist()
    theirs = engine.store_arrow("listed_forms", pa.table({"form": pa.array(forms, pa.string())}))
    alike = not forms or engine.count_rows(counts.semi_join(theirs, "form")) > 0
    return ListMatch(len(distinct), known, alike, forms[0] if forms else "", common[0] if common else "")


def id_form(text: str) -> str:
    """How an id is written: runs of digits as 9, of letters as a; leading zeros of a number as one zero.

    >>> id_form("C-1042"), id_form("00042"), id_form("1.23E+12"), id_form("ann@shop.com")
    ('a-9', '09', '9.9a+9', 'a@a.a')
    """
    for pattern, form in FORM_STEPS:
        text = re.sub(pattern, form, text)
    return text[:LONGEST_FORM]


def _form(ids: ibis.Value) -> ibis.Value:
    """As `id_form`, for a column."""
    for pattern, form in FORM_STEPS:
        ids = ids.re_replace(pattern, form)
    return ids.substr(0, LONGEST_FORM)


@dataclass(frozen=True)
class ExcludedCustomers:
    """The customers whom one rule lists.

    Attributes:
        where: The rule, for messages.
        ids: Their ids by the rule for ids.
        names: The ids under which outputs know the same customers: one or two for each, as `known_names` gives them.
    """

    where: str
    ids: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]


def read_excluded(config: Config, rule: Exclusion) -> ExcludedCustomers:
    """Reads the customers whom a rule lists, in its file or in the config.

    Raises:
        UsageError: There is no such file, it has no column customer_id, or an id is blank.
    """
    where = f"[[plan.exclude]] {f'ids: {rule.ids}' if rule.ids else f'customers ({rule.why})'}"
    ids = tuple(read_id_list(config.path(rule.ids), where) if rule.ids else rule.customers)
    stored = stored_ids(config, ids)
    hashes = [(text,) if config.privacy.hash_ids and HASHED_ID.fullmatch(text) else () for text in ids]
    return ExcludedCustomers(where, ids, tuple((name, *more) for name, more in zip(stored, hashes, strict=True)))


def match_list(excluded: ExcludedCustomers, tables: Tables, config: Config, engine: Engine) -> ListMatch:
    """Counts how many of the listed customers the log has.

    Args:
        excluded: The list.
        tables: The contract.
        config: The business.
        engine: Where the tables are.

    Returns:
        The counts, and how the ids of both are written.
    """
    customers = tables.recorded.events.select("customer_id").distinct()
    log_ids = as_identifier(tables.source[config.events.customer])
    names = [[tables.persons.name(name) for name in names] for names in excluded.names]
    return match_ids(excluded.ids, names, customers, log_ids, engine)


def exclusion_findings(tables: Tables, config: Config, engine: Engine) -> tuple[list[str], list[str]]:
    """What `check` says of the lists of `[[plan.exclude]]`.

    Args:
        tables: The contract.
        config: The business.
        engine: Where the tables are.

    Returns:
        Breaches (lists that cannot be read, or are surely wrong) and notes (lists that match almost nobody).
    """
    breaches, notes = [], []
    for rule in config.plan.exclude if config.plan else ():
        if rule.column:
            continue
        try:
            excluded = read_excluded(config, rule)
        except UsageError as problem:
            breaches.append(str(problem))
            continue
        match = match_list(excluded, tables, config, engine)
        if match.is_wrong:
            breaches.append(f"{excluded.where}: {match.text()}: write the ids as the log has them")
        elif match.matches_few:
            notes.append(f"{excluded.where}: only {match.text()}: are these the ids of this business?")
    return breaches, notes
