"""A first `regulars.toml`, guessed from the columns of a data file: every line says why, and what else it could be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis

from features.config.data_contract import slug
from features.config.load import EngineConfig, parse_config
from features.engines.base import Engine
from features.engines.open import open_engine
from features.errors import DataError
from features.intake.read_log import read_tables
from features.intake.tables import Tables

MIN_FIT = 0.99
DATE_LAYOUTS = "%d/%m/%Y|%m/%d/%Y|%d.%m.%Y|%d-%m-%Y|%m-%d-%Y|%Y/%m/%d|%d-%b-%Y|%d %b %Y|%Y%m%d".split("|")
LAYOUTS = tuple(f"{day}{clock}" for day in DATE_LAYOUTS for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p"))
ID_SUFFIX = r"_?(id|no|nr|num|number|key|code|ref|uuid|guid)"
CUSTOMER_NAME = (
    rf"(^|_)((customer|client|household|user|member|buyer|shopper|subscriber|cust)({ID_SUFFIX})?|account{ID_SUFFIX})$"
)
ORDER_NAME = rf"(^|_)(invoice|order|basket|transaction|receipt|trans|txn|bill|visit|session)({ID_SUFFIX})?$"
EVENT_NAME = rf"^(event|row|line|record|item|entry|log){ID_SUFFIX}$"
# Words of names; in the first four the earlier the better.
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
# Up to a usual gap of so many days: horizon, active_within, every, windows.
TASKS_BY_GAP = (
    (2, "7d", "28d", "7d", (7, 28, 90, 180)),
    (12, "28d", "90d", "28d", (28, 84, 168, 364)),
    (90, "90d", "365d", "30d", (30, 90, 180, 365)),
    (180, "180d", "365d", "30d", (30, 90, 180, 365)),
    (10**6, "365d", "730d", "30d", (90, 180, 365, 730)),
)


@dataclass(frozen=True)
class ColumnProfile:
    """A column as a draft sees it: its name as words, its type, and what is in it."""

    name: str
    words: str
    type: Any
    filled: float
    distinct: int
    free: bool
    layouts: tuple[str, ...]

    def has(self, words: str) -> bool:
        """Whether any of the words is in the name, as a whole word."""
        return any(f"_{word}_" in f"_{self.words}_" for word in words.split())


def guess_config_text(source: str, folder: Path) -> str:
    """Guesses a config from a data file.

    Args:
        source: File, glob or folder, relative to `folder`.
        folder: Where the config will lie.

    Returns:
        The text of a `regulars.toml` that loads, and works on the file as it is.

    Raises:
        DataError: The file cannot be read, or no column looks like a customer or a time.
    """
    with open_engine(EngineConfig(), folder) as engine:
        columns = list(_profile(engine.store("draft", engine.read(source, folder)), engine))
        events, lines = _events(source, columns)
        name = re.sub(r"[^A-Za-z0-9]+", "-", Path(source).name.split(".")[0]).strip("-") or "customers"
        config = parse_config({"config_version": 1, "name": name, "events": events}, folder / "regulars.toml")
        task = _task(read_tables(config, engine), engine)
    head = "# Guessed by `regulars init`: read every line, then run `regulars check`.\nconfig_version = 1"
    lines.insert(0, f"name = {_quote(name)}  # from the file's name; it names the registered models\n\n[events]")
    return "\n".join([head, *lines, "\n[task]", *task, "\n# [training], [tracking] and [serving] may follow.\n"])


def _profile(table: ibis.Table, engine: Engine) -> Iterator[ColumnProfile]:
    """Every plain column with a few counts, in one pass, and the layouts of its times."""
    plain = [c for c in table.columns if not table[c].type().is_nested()]
    facts: dict[str, ibis.Value] = {"rows": table.count()}
    for i, c in enumerate(plain):
        facts |= {f"filled{i}": table[c].count(), f"distinct{i}": table[c].approx_nunique()}
        if table[c].type().is_string():
            facts[f"free{i}"] = (table[c].length().mean() > 30) | (table[c].contains("@").mean() > 0.01)
    found = engine.arrow(table.aggregate(**facts)).to_pylist()[0]
    rows = found["rows"]
    if not rows:
        raise DataError("the source has no rows to guess from; expected one row for each thing a customer did")
    for i, c in enumerate(plain):
        filled, distinct = found[f"filled{i}"] / rows, found[f"distinct{i}"]
        free = found.get(f"free{i}") or distinct > max(20, rows / 2) or not 2 <= distinct <= 100_000
        yield ColumnProfile(c, slug(c), table[c].type(), filled, distinct, bool(free), _layouts(table, c, engine))


def _layouts(table: ibis.Table, name: str, engine: Engine) -> tuple[str, ...]:
    """How the times in a column are written, best first: 'ISO', 'YYYYMMDD', 'time', or strftime layouts; or nothing."""
    column, kind = table[name], table[name].type()
    if kind.is_timestamp() or kind.is_date():
        return ("time",)
    if not (kind.is_integer() or kind.is_string()):
        return ()
    text = column.cast("string").strip()
    digits = text.re_search(r"^(19|20)\d{6}( |$)")
    fits = {"YYYYMMDD": digits & engine.parse_time(text, "%Y%m%d").notnull()}
    if kind.is_string():
        dated = digits | text.re_search(r"\d\W\w+\W\d")
        fits = {"ISO": dated & text.try_cast("timestamp").notnull()}
        fits |= {layout: dated & engine.parse_time(column, layout).notnull() for layout in LAYOUTS}
    likely = _shares(table, fits, engine, few=1000)
    return tuple(_shares(table, {layout: fits[layout] for layout in likely}, engine)) if likely else ()


def _shares(table: ibis.Table, tests: dict[str, ibis.Value], engine: Engine, few: int = 0) -> list[str]:
    """The tests that nearly all rows pass (or the first `few`), in the order given."""
    rows = table.select(**tests).limit(few or None)
    shares = engine.arrow(rows.aggregate(**{name: rows[name].mean() for name in tests})).to_pylist()[0]
    return [name for name in tests if (shares[name] or 0) >= MIN_FIT]


def _events(source: str, columns: list[ColumnProfile]) -> tuple[dict[str, Any], list[str]]:
    """[events] as values and as commented lines."""
    times = _ranked([c for c in columns if c.layouts and c.filled >= MIN_FIT], EVENT_TIME_WORDS, NOT_EVENT_TIME_WORDS)
    left = [c for c in columns if c not in times]
    ids = [c for c in left if c.type.is_string() or c.type.is_integer() or c.type.is_floating()]
    customers = sorted((c for c in ids if re.search(CUSTOMER_NAME, c.words)), key=lambda c: -c.filled)
    if not (customers and times):
        what, names = "time" if customers else "customer", ", ".join(c.name for c in columns)
        raise DataError(f"{source}: no column looks like the {what} (it has {names}); write regulars.toml by hand")
    values: dict[str, Any] = {"source": source}
    lines = [f"source = {_quote(source)}", _role("customer", customers, "named like a customer's id", values)]
    lines += _time(times, values)
    orders = [c for c in ids if re.search(ORDER_NAME, c.words) and c not in customers and c.distinct > 2]
    alone = "is there a column of order ids? Without it the lines of one moment are one order"
    lines.append(_role("order", orders, "named like an order's id; its lines are one purchase", values, alone))
    left = [c for c in left if c not in orders and c not in customers]
    lines += _money([c for c in left if c.type.is_numeric()], {c.name.lower() for c in columns}, values)
    lines += _kinds([c for c in left if c.name not in (values.get("amount"), values.get("quantity"))], values)
    numbered = next((c.name for c in left if re.search(EVENT_NAME, c.words)), "")
    lines.append(f"# id = {_quote(numbered)}  # does a column number the rows? Repeats are then dropped")
    lines.append(_personal(columns, values))
    return values, lines


def _time(times: list[ColumnProfile], values: dict[str, Any]) -> Iterator[str]:
    form, *others = times[0].layouts
    why = {"time": f"holds {times[0].type}", "ISO": "text that reads as ISO 8601", "YYYYMMDD": "whole numbers YYYYMMDD"}
    yield _role("time", times, why.get(form, "text in one layout"), values)
    if form not in why:
        values["time_format"] = form
        ask = f"; fits as well: {', '.join(others)}. Which is right?" if others else ""
        yield f"time_format = {_quote(form)}  # fits {MIN_FIT:.0%} of the rows or more{ask}"
    if not getattr(times[0].type, "timezone", None):
        yield '# timezone = ""  # on which clocks are these times? Read as UTC unless set, such as "Europe/London"'


def _money(numbers: list[ColumnProfile], taken: set[str], values: dict[str, Any]) -> Iterator[str]:
    """Amount and quantity, or their product where there is a unit price and no amount."""
    units = _ranked([c for c in numbers if c.has(QUANTITY_WORDS)], QUANTITY_WORDS)
    filled = [c for c in numbers if c.filled >= MIN_FIT]
    prices = [c for c in filled if c.has("price") and not c.has("total disc discount tax cost")]
    named = [c for c in filled if c.has(AMOUNT_WORDS) and not c.has(NOT_AMOUNT_WORDS) and c not in prices]
    amounts = _ranked(named, AMOUNT_WORDS) or ([] if units else prices)
    if prices and units and not amounts:
        name = next(n for n in ("revenue", "line_amount", "line_revenue", "amount_of_line") if n not in taken)
        product = f"{_identifier(units[0].name)} * {_identifier(prices[0].name)}"
        values |= {"query": f"SELECT *, {product} AS {_identifier(name)} FROM source", "amount": name}  # noqa: S608
        yield f"query = {_quote(values['query'])}  # units times their price, since no column is the amount"
        yield f"amount = {_quote(name)}  # from the query; negative is a refund"
    else:
        alone = "which column is money? Without it churn can be predicted, value cannot"
        yield _role("amount", amounts, "named like money; negative is a refund", values, alone)
    yield _role("quantity", units, "named like a number of units", values, "which column counts units?")


def _kinds(columns: list[ColumnProfile], values: dict[str, Any]) -> Iterator[str]:
    """What, where and how: at most five columns of few enough values, nothing personal, no free text."""
    found, left = list[ColumnProfile](), list[ColumnProfile]()
    for c in columns:
        codes = c.type.is_string() or (c.type.is_integer() and c.has(KIND_WORDS))
        if (
            codes
            and not c.layouts
            and not re.search(EVENT_NAME, c.words)
            and c.words not in {"", *(f.words for f in found)}
        ):
            (left if c.free or c.has(PERSONAL_WORDS) else found).append(c)
    found = _ranked(found, KIND_WORDS)
    values["kinds"] = [c.name for c in found[:5]]
    others = f"; could be too: {_names(found[5:])}" if found[5:] else ""
    aside = f"; left out as personal, free text or constant: {_names(left)}" if left else ""
    yield f"kinds = [{_names(found[:5])}]  # what, where or how: text or codes that repeat{others}{aside}"
    yield '# known_at = ""  # does a column say when a row became known? Rows are then hidden until that day'


def _personal(columns: list[ColumnProfile], values: dict[str, Any]) -> str:
    """Columns that are named like what is personal and play no role."""
    taken = {*values["kinds"], *(value for value in values.values() if isinstance(value, str))}
    found = [c for c in columns if c.has(PERSONAL_WORDS) and c.name not in taken]
    if not found:
        return "# personal = []  # are there names, addresses, birthdays? They are then never read, not even by query"
    values["personal"] = [c.name for c in found]
    return f"personal = [{_names(found)}]  # named like what is personal: never read, not even by query"


def _task(tables: Tables, engine: Engine) -> list[str]:
    """[task] from how often customers come back."""
    e = tables.events.select("customer_id", "day").distinct()
    before = e.day.lag().over(group_by=e.customer_id, order_by=e.day)
    gaps = e.mutate(gap=e.day.delta(before, unit="day"))
    usual = engine.arrow(gaps.aggregate(gap=gaps.gap.median()))["gap"][0].as_py()
    span = (tables.end - tables.first).days
    fitting = [pace for pace in TASKS_BY_GAP if int(pace[1][:-1]) * 3 <= span] or list(TASKS_BY_GAP[:1])
    _, horizon, active, every, windows = next((p for p in fitting if (usual or 60) <= p[0]), fitting[-1])
    why = f"customers come back after {usual:.0f} days (median)" if usual else "nobody came back: only a guess"
    inside = ", ".join(f'"{w}d"' for w in windows if w < max(span, windows[0] + 1))
    return [
        f'horizon = "{horizon}"  # {why} and the log spans {span} days; how far ahead do you plan?',
        'churn = "inactive"  # no purchase within the horizon',
        f'active_within = "{active}"  # who still counts as a customer; who was silent for longer is not predicted',
        f'every = "{every}"  # spacing of the cutoffs to learn from; smaller gives more of them, more alike',
        f"windows = [{inside}]  # short to long, none longer than the log",
    ]


def _ranked(columns: list[ColumnProfile], words: str, late: str = "") -> list[ColumnProfile]:
    """Columns whose names hold an early word first, those with a word of `late` last; ties in the file's order."""

    def rank(column: ColumnProfile) -> tuple[bool, int]:
        places = [place for place, word in enumerate(words.split()) if column.has(word)]
        return column.has(late), min(places, default=len(words))

    return sorted(columns, key=rank)


def _role(key: str, found: list[ColumnProfile], why: str, values: dict[str, Any], question: str = "") -> str:
    """A key's line, and its value; where nothing was found, the question as a comment."""
    if not found:
        return f'# {key} = ""  # {question}'
    values[key] = found[0].name
    others = f"; could be: {_names(found[1:])}" if found[1:] else ""
    return f"{key} = {_quote(found[0].name)}  # {why}{others}"


def _names(columns: Sequence[ColumnProfile]) -> str:
    return ", ".join(_quote(c.name) for c in columns)


def _quote(text: str) -> str:
    """A TOML string: literal where that saves escapes, else basic."""
    if text.isprintable() and "'" not in text and ('"' in text or "\\" in text):
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
