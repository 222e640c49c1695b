"""Guesses a first `regulars.toml` from the columns of a data file; every line says why, and what else it could be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis

from features.atomic_files import write_new_text
from features.config.load import EngineConfig, parse_config
from features.engines.base import Engine
from features.engines.open import open_engine
from features.errors import DataError, UsageError
from features.intake.read_log import read_tables
from features.intake.tables import Tables
from features.parsing import read_iso_text
from features.slugs import feature_slug
from features.sources.source import refuse_url

MIN_FIT = 0.99
ZONE_QUESTION, UTC_DAYS = '# timezone = ""', '# timezone = "UTC"'
DATE_LAYOUTS = "%d/%m/%Y|%m/%d/%Y|%d.%m.%Y|%d-%m-%Y|%m-%d-%Y|%Y/%m/%d|%d-%b-%Y|%d %b %Y|%Y%m%d".split("|")
LAYOUTS = tuple(f"{day}{clock}" for day in DATE_LAYOUTS for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p"))
ID_SUFFIX = r"_?(id|no|nr|num|number|key|code|ref|uuid|guid)"
CUSTOMER_NAME = (
    rf"(^|_)((customer|client|household|user|member|buyer|shopper|subscriber|cust)({ID_SUFFIX})?|account{ID_SUFFIX})$"
)
ORDER_NAME = rf"(^|_)(invoice|order|basket|transaction|receipt|trans|txn|bill|visit|session)({ID_SUFFIX})?$"
EVENT_NAME = rf"^(event|row|line|record|item|entry|log){ID_SUFFIX}$"
# Words in the names of columns. In the first four lists an earlier word is a better match.
AMOUNT_WORDS = "amount revenue sales spend spent turnover total dollar paid net gross value price"
QUANTITY_WORDS = "quantity qty units pieces number_of num count items"
EVENT_TIME_WORDS = "transaction purchase order invoice event sale basket visit timestamp date time"
KIND_WORDS = (
    "country channel store shop branch region market department category brand product sku stock item type device"
)
NOT_AMOUNT_WORDS = (
    "disc discount tax vat unit cost fee margin profit balance count number coupon shipping quantity qty id"
)
NOT_EVENT_TIME_WORDS = (
    "birth dob signup since created updated modified start end expiry expires ship shipped delivery due"
)
PERSONAL_WORDS = (
    "name firstname lastname surname email mail e phone mobile tel fax address street zip postcode postal birth dob"
    " gender sex age ssn passport iban card ip lat lon latitude longitude token url description comment note text title"
)
# By the median gap between purchases, up to so many days: horizon, active_within, every, windows.
TASKS_BY_GAP = (
    (2, "7d", "28d", "7d", (7, 28, 90, 180)),
    (12, "28d", "90d", "28d", (28, 84, 168, 364)),
    (90, "90d", "365d", "30d", (30, 90, 180, 365)),
    (180, "180d", "365d", "30d", (30, 90, 180, 365)),
    (10**6, "365d", "730d", "30d", (90, 180, 365, 730)),
)


@dataclass(frozen=True)
class ColumnProfile:
    """A column of the data file, as the guess sees it.

    Attributes:
        name: As in the file.
        words: The name as lower-case words joined by '_'.
        type: Its type in Ibis.
        filled: The share of rows with a value, in [0, 1].
        distinct: About how many distinct values it has.
        free_text: Whether it is free text, an id, or constant: no kind.
        layouts: How its times are written, best first; empty if it holds no times.
    """

    name: str
    words: str
    type: Any
    filled: float
    distinct: int
    free_text: bool
    layouts: tuple[str, ...]

    def has(self, words: str) -> bool:
        """Whether any of the words is in the name, as a whole word."""
        return any(f"_{word}_" in f"_{self.words}_" for word in words.split())


def write_guessed_config(source: str, target: Path) -> None:
    """Writes a config guessed from a data file; it is written completely or not at all, and never over another one.

    Args:
        source: File, glob or folder, relative to the config's folder.
        target: The config file.

    Raises:
        UsageError: The config exists already, or cannot be written.
        DataError: The file cannot be read, or no column looks like a customer or a time.
    """
    refuse_url(source)
    taken = UsageError(
        f"{target} already exists; remove it, or choose another name: `regulars -c OTHER.toml init {source}`"
    )
    if target.exists():
        raise taken
    try:
        write_new_text(target, guess_config_text(source, target.resolve().parent))
    except FileExistsError:
        raise taken from None


def guess_config_text(source: str, folder: Path) -> str:
    """Guesses a config from a data file.

    Args:
        source: File, glob or folder, relative to `folder`.
        folder: Where the config will be saved.

    Returns:
        The text of a `regulars.toml` that loads, and works on the file as it is.

    Raises:
        DataError: The file cannot be read, or no column looks like a customer or a time.
    """
    with open_engine(EngineConfig(), folder) as engine:
        columns = list(_profile_columns(engine.store("draft", engine.read_files(source, folder)), engine))
        events, lines = _guess_events(source, columns)
        name = re.sub(r"[^A-Za-z0-9]+", "-", Path(source).name.split(".")[0]).strip("-") or "customers"
        config = parse_config({"config_version": 1, "name": name, "events": events}, folder / "regulars.toml")
        tables = read_tables(config, engine)
        task = _guess_task(tables, engine)
        if not tables.contract.has_clock:  # dates are days in every zone
            lines = [line for line in lines if not line.startswith(ZONE_QUESTION)]
    head = "# Guessed by `regulars init`: read every line, then run `regulars check`.\nconfig_version = 1"
    lines.insert(0, f"name = {_quote(name)}  # from the file's name; it names the registered models\n\n[events]")
    return "\n".join([head, *lines, "\n[task]", *task, "\n# [training], [tracking] and [serving] may follow.\n"])


def _profile_columns(table: ibis.Table, engine: Engine) -> Iterator[ColumnProfile]:
    """Every column that is not nested, with a few counts from one pass and the layouts of its times."""
    names = [name for name in table.columns if not table[name].type().is_nested()]
    facts: dict[str, ibis.Value] = {"rows": table.count()}
    for i, name in enumerate(names):
        facts |= {f"filled{i}": table[name].count(), f"distinct{i}": table[name].approx_nunique()}
        if table[name].type().is_string():
            facts[f"free{i}"] = (table[name].length().mean() > 30) | (table[name].contains("@").mean() > 0.01)
    counts = engine.to_arrow(table.aggregate(**facts)).to_pylist()[0]
    rows = counts["rows"]
    if not rows:
        raise DataError("the source has no rows to guess from; expected one row for each thing a customer did")
    for i, name in enumerate(names):
        filled, distinct = counts[f"filled{i}"] / rows, counts[f"distinct{i}"]
        free = counts.get(f"free{i}") or distinct > max(20, rows / 2) or not 2 <= distinct <= 100_000
        yield ColumnProfile(
            name, feature_slug(name), table[name].type(), filled, distinct, bool(free), _layouts(table, name, engine)
        )


def _layouts(table: ibis.Table, name: str, engine: Engine) -> tuple[str, ...]:
    """How the times in a column are written, best first: 'ISO', 'YYYYMMDD', 'time' or strftime layouts; or none."""
    column, column_type = table[name], table[name].type()
    if column_type.is_timestamp() or column_type.is_date():
        return ("time",)
    if not (column_type.is_integer() or column_type.is_string()):
        return ()
    text = column.cast("string").strip()
    digits = text.re_search(r"^(19|20)\d{6}( |$)")
    tests = {"YYYYMMDD": digits & engine.parse_time(text, "%Y%m%d").notnull()}
    if column_type.is_string():
        looks_like_date = digits | text.re_search(r"\d\W\w+\W\d")
        tests = {"ISO": looks_like_date & read_iso_text(column).written.notnull()}
        tests |= {layout: looks_like_date & engine.parse_time(column, layout).notnull() for layout in LAYOUTS}
    likely = _passed_tests(table, tests, engine, first_rows=1000)
    return tuple(_passed_tests(table, {layout: tests[layout] for layout in likely}, engine)) if likely else ()


def _passed_tests(table: ibis.Table, tests: dict[str, ibis.Value], engine: Engine, first_rows: int = 0) -> list[str]:
    """The tests that nearly all rows (or the first `first_rows`) pass, in the given order."""
    rows = table.select(**tests).limit(first_rows or None)
    shares = engine.to_arrow(rows.aggregate(**{name: rows[name].mean() for name in tests})).to_pylist()[0]
    return [name for name in tests if (shares[name] or 0) >= MIN_FIT]


def _guess_events(source: str, columns: list[ColumnProfile]) -> tuple[dict[str, Any], list[str]]:
    """[events] as values and as commented lines."""
    times = _rank_by_words(
        [c for c in columns if c.layouts and c.filled >= MIN_FIT], EVENT_TIME_WORDS, NOT_EVENT_TIME_WORDS
    )
    remaining = [c for c in columns if c not in times]
    ids = [c for c in remaining if c.type.is_string() or c.type.is_integer() or c.type.is_floating()]
    customers = sorted((c for c in ids if re.search(CUSTOMER_NAME, c.words)), key=lambda c: -c.filled)
    if not (customers and times):
        role, names = "time" if customers else "customer", ", ".join(c.name for c in columns)
        raise DataError(f"{source}: no column looks like the {role} (it has {names}); write regulars.toml by hand")
    values: dict[str, Any] = {"source": source}
    lines = [f"source = {_quote(source)}", _role_line("customer", customers, "named like a customer's id", values)]
    lines += _time_lines(times, values)
    orders = [c for c in ids if re.search(ORDER_NAME, c.words) and c not in customers and c.distinct > 2]
    question = "is there a column of order ids? Without it, rows of a customer with the same time are one order"
    lines.append(_role_line("order", orders, "named like an order's id; its lines are one purchase", values, question))
    remaining = [c for c in remaining if c not in orders and c not in customers]
    lines += _money_lines([c for c in remaining if c.type.is_numeric()], {c.name.lower() for c in columns}, values)
    lines += _kinds_lines(
        [c for c in remaining if c.name not in (values.get("amount"), values.get("quantity"))], values
    )
    numbered = next((c.name for c in remaining if re.search(EVENT_NAME, c.words)), "")
    lines.append(f"# id = {_quote(numbered)}  # does a column hold an id of the row? Repeated ids are then dropped")
    lines.append(_personal_line(columns, values))
    return values, lines


def _time_lines(times: list[ColumnProfile], values: dict[str, Any]) -> Iterator[str]:
    """The lines for time, its layout and its time zone."""
    layout, *other_layouts = times[0].layouts
    reasons = {
        "time": f"holds {times[0].type}",
        "ISO": "text that reads as ISO 8601",
        "YYYYMMDD": "whole numbers YYYYMMDD",
    }
    yield _role_line("time", times, reasons.get(layout, "text in one layout"), values)
    if layout not in reasons:
        values["time_format"] = layout
        question = f"; fits as well: {', '.join(other_layouts)}. Which is right?" if other_layouts else ""
        yield f"time_format = {_quote(layout)}  # fits {MIN_FIT:.0%} of the rows or more{question}"
    if not getattr(times[0].type, "timezone", None):
        yield f'{ZONE_QUESTION}  # in which time zone are these times? Read as UTC unless set, such as "Europe/London"'


def _money_lines(numbers: list[ColumnProfile], existing: set[str], values: dict[str, Any]) -> Iterator[str]:
    """The lines for amount and quantity; a product if there is a unit price and no amount."""
    units = _rank_by_words([c for c in numbers if c.has(QUANTITY_WORDS)], QUANTITY_WORDS)
    filled = [c for c in numbers if c.filled >= MIN_FIT]
    prices = [c for c in filled if c.has("price") and not c.has("total disc discount tax cost")]
    named = [c for c in filled if c.has(AMOUNT_WORDS) and not c.has(NOT_AMOUNT_WORDS) and c not in prices]
    amounts = _rank_by_words(named, AMOUNT_WORDS) or ([] if units else prices)
    if prices and units and not amounts:
        name = next(n for n in ("revenue", "line_amount", "line_revenue", "amount_of_line") if n not in existing)
        product = f"{_identifier(units[0].name)} * {_identifier(prices[0].name)}"
        values |= {"query": f"SELECT *, {product} AS {_identifier(name)} FROM source", "amount": name}  # noqa: S608
        yield f"query = {_quote(values['query'])}  # units times unit price, since no column holds the amount"
        yield f"amount = {_quote(name)}  # from the query; negative is a refund"
    else:
        question = "which column is money? Without it churn can be predicted, value cannot"
        yield _role_line("amount", amounts, "named like money; negative is a refund", values, question)
    yield _role_line("quantity", units, "named like a number of units", values, "which column counts units?")


def _kinds_lines(columns: list[ColumnProfile], values: dict[str, Any]) -> Iterator[str]:
    """The lines for kinds (at most five columns with few enough values, none personal or free text) and known_at."""
    kinds, excluded = list[ColumnProfile](), list[ColumnProfile]()
    for c in columns:
        codes = c.type.is_string() or (c.type.is_integer() and c.has(KIND_WORDS))
        if (
            codes
            and not c.layouts
            and not re.search(EVENT_NAME, c.words)
            and c.words not in {"", *(f.words for f in kinds)}
        ):
            (excluded if c.free_text or c.has(PERSONAL_WORDS) else kinds).append(c)
    kinds = _rank_by_words(kinds, KIND_WORDS)
    values["kinds"] = [c.name for c in kinds[:5]]
    alternatives = f"; possible too: {_names(kinds[5:])}" if kinds[5:] else ""
    exclusions = f"; left out as personal, free text or constant: {_names(excluded)}" if excluded else ""
    yield f"kinds = [{_names(kinds[:5])}]  # what, where or how: text or codes that repeat{alternatives}{exclusions}"
    yield '# known_at = ""  # does a column say when a row became known? Rows are then hidden until that day'


def _personal_line(columns: list[ColumnProfile], values: dict[str, Any]) -> str:
    """The line for personal: columns that are named like personal data and play no other role."""
    used = {*values["kinds"], *(value for value in values.values() if isinstance(value, str))}
    personal = [c for c in columns if c.has(PERSONAL_WORDS) and c.name not in used]
    if not personal:
        return "# personal = []  # are there names, addresses, birthdays? They are then never read, not even by query"
    values["personal"] = [c.name for c in personal]
    return f"personal = [{_names(personal)}]  # named like personal data: never read, not even by query"


def _guess_task(tables: Tables, engine: Engine) -> list[str]:
    """[task], from how often customers come back."""
    purchase_days = tables.events.select("customer_id", "day").distinct()
    previous = purchase_days.day.lag().over(group_by=purchase_days.customer_id, order_by=purchase_days.day)
    gaps = purchase_days.mutate(gap=purchase_days.day.delta(previous, unit="day"))
    typical_gap = engine.to_arrow(gaps.aggregate(gap=gaps.gap.median()))["gap"][0].as_py()
    span = (tables.end - tables.first).days
    candidates = [pace for pace in TASKS_BY_GAP if int(pace[1][:-1]) * 3 <= span] or list(TASKS_BY_GAP[:1])
    _, horizon, active, every, windows = next((p for p in candidates if (typical_gap or 60) <= p[0]), candidates[-1])
    why = (
        f"customers come back after {typical_gap:.0f} days (median)"
        if typical_gap
        else "nobody came back, so this is only a guess"
    )
    usable_windows = ", ".join(f'"{w}d"' for w in windows if w < max(span, windows[0] + 1))
    zone = f'{UTC_DAYS}  # in which time zone is the business? Its days begin there, such as "Europe/London"'
    return [
        f'horizon = "{horizon}"  # {why} and the log spans {span} days; how far ahead do you plan?',
        'churn = "inactive"  # no purchase within the horizon',
        f'active_within = "{active}"  # customers without a purchase for longer are not predicted',
        f'every = "{every}"  # spacing of the cutoffs to learn from; a smaller one gives more of them, but more alike',
        f"windows = [{usable_windows}]  # short to long, none longer than the log",
        *([zone] if tables.contract.has_clock else []),
    ]


def _rank_by_words(columns: list[ColumnProfile], words: str, late: str = "") -> list[ColumnProfile]:
    """Columns by the first of the words in their names, those with a word of `late` last; else in the file's order."""

    def rank(column: ColumnProfile) -> tuple[bool, int]:
        places = [place for place, word in enumerate(words.split()) if column.has(word)]
        return column.has(late), min(places, default=len(words))

    return sorted(columns, key=rank)


def _role_line(key: str, candidates: list[ColumnProfile], why: str, values: dict[str, Any], question: str = "") -> str:
    """A key's line, and its value; without a candidate, the question as a comment."""
    if not candidates:
        return f'# {key} = ""  # {question}'
    values[key] = candidates[0].name
    alternatives = f"; could be: {_names(candidates[1:])}" if candidates[1:] else ""
    return f"{key} = {_quote(candidates[0].name)}  # {why}{alternatives}"


def _names(columns: Sequence[ColumnProfile]) -> str:
    """Names of columns as TOML strings."""
    return ", ".join(_quote(c.name) for c in columns)


def _quote(text: str) -> str:
    """A TOML string: literal where that saves escapes, else basic."""
    if text.isprintable() and "'" not in text and ('"' in text or "\\" in text):
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
