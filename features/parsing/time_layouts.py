"""Decides how the values of a column are to be read as times: by all values of the column, never one by one.

01/05/24 may be the first of May or the fifth of January, and 202401151230 a moment or a number of milliseconds. So all
values of the column decide in which order they name day, month and year, and what digits count. If several orders read
as many of them, nothing is guessed: `TimeLayout.rivals` says which.

A text is described by its outline: 9 for one or two digits, Y for four, a for letters, and a number of digits alone as
# and how many they are (05/01/2024 9:30 is 9/9/Y 9:9). A column has few outlines, and Python knows the formats of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import ibis

from features.engines.base import ASCII_BLANK, NOT_BLANK, Engine
from features.parsing.written_times import (
    Unit,
    WrittenTimes,
    is_iso_text,
    read_epoch,
    read_format,
    read_formats,
    read_iso_text,
)
from features.whole_numbers import whole_number

FIRST_TIME, LAST_TIME = date(1970, 1, 1), date(2200, 1, 1)  # a time before or after is a mistake, or means 'never'
FIRST_BIRTHDAY = date(1850, 1, 1)  # attributes of customers, such as birthdays, may lie before 1970
LIKELY_FROM, LIKELY_TO = date(1990, 1, 1), date(2100, 1, 1)  # numbers outside are no seconds since 1970
COMPACT = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
EPOCH_UNITS: dict[int, Unit] = {9: "s", 10: "s", 12: "ms", 13: "ms", 15: "us", 16: "us", 18: "ns", 19: "ns"}
NEARLY_ALL, CLEARLY_MORE = 0.99, 0.01  # shares of the values of a column
MOST_OUTLINES, READ_OUTLINES = 100, 8
FIRST_VALUES = 1000
DIGITS_ALONE = re.compile(r"#[0-9]+[.]?")  # the outline; a text that is '#' has another
NUMERIC = re.compile(r"(?P<a>9|Y)(?P<s>[^9Ya:#]+)(?P<b>9)(?P<t>[^9Ya:#]+)(?P<c>9|Y)(?P<rest>.*)", re.DOTALL)
NAMED = re.compile(r"(?P<a>9|Y|a)(?P<s>[^9Ya:#]*)(?P<b>9|a)(?P<t>[^9Ya:#]*)(?P<c>9|Y)(?P<rest>.*)", re.DOTALL)
WEEKDAY = re.compile("a,? (?=[9a])")  # before a date
BASIC = {"YYaY9": "%Y%m%dT%H%M%S", "YYaY9a": "%Y%m%dT%H%M%S%z"}  # ISO 8601 without separators, by outline
REST = re.compile(
    r"(?P<word>[^9Ya:#\s,T]*)(?P<lead>,? ?|a)(?P<clock>9:9(?P<seconds>:9(?P<part>[.][9Y]+)?)?)"
    r"(?P<half> ?a)?(?P<offset> ?[+-](?:9:9|Y|9))?$"
)


@dataclass(frozen=True)
class TimeLayout:
    """How the values of a column are to be read as times.

    Attributes:
        kind: 'typed' (times or dates of an engine), 'iso' (ISO 8601), 'formats' (text), 'digits' (whole numbers such as
            20240115), 'epoch' (numbers since 1970); '' if no layout is known.
        formats: strftime layouts, of which the first that fits is used.
        unit: What numbers since 1970 count.
        given: How many values there are, if they were looked at.
        readable: How many of them are read.
        rivals: strftime layouts in another order of day, month and year that read as many.
        also: A strftime layout that reads values which the layout does not: the column is written in several ways.
        outlines: The most frequent outlines of the values.
    """

    kind: str
    formats: tuple[str, ...] = ()
    unit: Unit = "s"
    given: int = 0
    readable: int = 0
    rivals: tuple[str, ...] = ()
    also: str = ""
    outlines: tuple[str, ...] = field(default=(), repr=False)

    def read(self, column: ibis.Value, engine: Engine) -> WrittenTimes:
        """A column of times as they are written; null where a value cannot be read."""
        kind = column.type()
        if self.kind == "typed":
            zoned = kind.is_timestamp() and kind.timezone  # an engine keeps such a time in UTC
            offset = ibis.literal(0) if zoned else None
            return WrittenTimes(column.cast("timestamp"), has_clock=not kind.is_date(), offset=offset)
        if self.kind == "iso":
            return read_iso_text(column)
        if self.kind == "epoch":
            return read_epoch(_as_number(column, self.unit), self.unit)
        if self.kind in ("formats", "digits"):
            return read_formats(as_text(column), self.formats, engine)
        nothing = ibis.null("timestamp")
        return WrittenTimes(column.isnull().ifelse(nothing, nothing), has_clock=False)  # a column, not one value


def is_possible_time(moment: ibis.Value, first: date = FIRST_TIME) -> ibis.Value:
    """Whether a timestamp lies in the years that a time can have."""
    return (moment >= _literal(first)) & (moment < _literal(LAST_TIME))


def decide_time_layout(
    column: ibis.Value, engine: Engine, formats: Sequence[str] = (), *, only_dates: bool = False
) -> TimeLayout:
    """Decides how the values of a column are to be read as times.

    Args:
        column: Timestamps, dates, text or numbers.
        engine: Where it is.
        formats: strftime layouts of the user, which are used unless the column's own layout reads more.
        only_dates: Whether numbers of digits and years of two digits are no times, as in attributes of customers.

    Returns:
        The layout; its kind is '' if no layout fits.
    """
    kind = column.type()
    if kind.is_date() or kind.is_timestamp():
        return TimeLayout("typed")
    if not (kind.is_string() or kind.is_integer() or kind.is_floating()):
        return TimeLayout("")
    rows = column.name("value").as_table()
    rows = rows.filter(_is_given(rows.value))
    if kind.is_string() and not formats and _is_mostly_iso(rows, engine):
        return TimeLayout("iso")
    described = rows.select(outline=_outline(rows.value), iso=_is_iso(rows.value))
    groups = described.group_by("outline").aggregate(rows=described.count(), iso=described.iso.sum().cast("int64"))
    groups = groups.mutate(given=groups["rows"].sum().over(ibis.window()), all_iso=groups.iso.sum().over(ibis.window()))
    top = engine.to_arrow(groups.order_by(ibis.desc("rows"), "outline").limit(MOST_OUTLINES)).to_pylist()
    given, iso = (int(top[0]["given"]), int(top[0]["all_iso"])) if top else (0, 0)
    outlines = {row["outline"]: int(row["rows"]) for row in top}
    if given and 2 * iso >= given:
        own = TimeLayout("iso", readable=iso)
    elif 2 * sum(n for outline, n in outlines.items() if DIGITS_ALONE.fullmatch(outline)) > given:
        own = TimeLayout("") if only_dates else _decide_digits(rows, outlines, engine)
    else:
        own = _decide_order(rows, outlines, engine, only_dates)
    own = replace(own, given=given, outlines=tuple(outlines)[:3])
    return _prefer_formats(own, rows, tuple(formats), engine, only_dates) if formats else own


def _is_mostly_iso(rows: ibis.Table, engine: Engine) -> bool:
    """Whether half of the first values or more are written in ISO 8601; others are then counted as unreadable."""
    first = rows.limit(FIRST_VALUES)
    counts = engine.to_arrow(first.aggregate(given=first.count(), iso=is_iso_text(first.value).sum())).to_pylist()[0]
    return bool(counts["given"]) and 2 * (counts["iso"] or 0) >= counts["given"]


def formats_of_outline(outline: str, only_dates: bool = False) -> dict[str, list[str]]:
    """The strftime layouts of texts with an outline, by the order of day, month and year.

    Args:
        outline: Of the texts.
        only_dates: Whether years have four digits at least.

    Returns:
        Layouts by order: 'day first', 'month first' or 'year first'.

    >>> formats_of_outline("9/9/Y 9:9")
    {'day first': ['%d/%m/%Y %H:%M'], 'month first': ['%m/%d/%Y %H:%M']}
    >>> formats_of_outline("a 9, Y")
    {'month first': ['%b %d, %Y', '%B %d, %Y']}
    >>> formats_of_outline("a, 9.9.Y")
    {'day first': ['%a, %d.%m.%Y'], 'month first': ['%a, %m.%d.%Y']}
    """
    if outline in BASIC:
        return {"year first": [BASIC[outline]]}
    match = NUMERIC.fullmatch(outline) or NAMED.fullmatch(outline)
    formats = _formats_of_parts(match.groupdict(), only_dates) if match else {}
    if not formats and (weekday := WEEKDAY.match(outline)):
        dates = formats_of_outline(outline[weekday.end() :], only_dates)
        return {order: [f"%a{outline[1 : weekday.end()]}{each}" for each in dates[order]] for order in dates}
    return formats


def _formats_of_parts(parts: Mapping[str, str], only_dates: bool) -> dict[str, list[str]]:
    """As `formats_of_outline`, of the parts of a date and what follows it."""
    formats: dict[str, list[str]] = {}
    for order, directives in _directives_of(parts["a"], parts["b"], parts["c"], only_dates):
        for rest in _rest_formats(parts["rest"]):
            for month in ("b", "B") if "b" in directives else ("",):
                a, b, c = (f"%{month if d == 'b' else d}" for d in directives)
                formats.setdefault(order, []).append(f"{a}{parts['s']}{b}{parts['t']}{c}{rest}")
    return formats


def as_text(column: ibis.Value) -> ibis.Value:
    """A column of text or whole numbers as text without blanks around it."""
    kind = column.type()
    if kind.is_floating():
        return whole_number(column).cast("string")
    text = column if kind.is_string() else column.cast("string")
    return text.re_replace(f"^{ASCII_BLANK}|{ASCII_BLANK}$", "")


def _directives_of(a: str, b: str, c: str, only_dates: bool) -> Iterator[tuple[str, str]]:
    """The orders in which three parts of a date can be read, with their directives."""
    if "a" in (a, b):
        named = {("9", "a", "Y"): ("day first", "dbY"), ("a", "9", "Y"): ("month first", "bdY")}
        named |= {("Y", "a", "9"): ("year first", "Ybd")}
        if not only_dates:
            named |= {("9", "a", "9"): ("day first", "dby"), ("a", "9", "9"): ("month first", "bdy")}
        yield from ([named[a, b, c]] if (a, b, c) in named else [])
    elif (a, c) == ("9", "Y"):
        yield from (("day first", "dmY"), ("month first", "mdY"))
    elif (a, c) == ("Y", "9"):
        yield "year first", "Ymd"
    elif (a, c) == ("9", "9") and not only_dates:
        yield from (("day first", "dmy"), ("month first", "mdy"), ("year first", "ymd"))


def _rest_formats(rest: str) -> list[str]:
    """The layouts of what follows a date: nothing, or a clock with AM or PM and an offset."""
    match = REST.match(rest)
    if not match:
        return [rest] if not re.search("[9Ya:#]", rest) else []
    part = match.groupdict()
    lead = "T" if part["lead"] == "a" else part["lead"]
    minutes = "%M" + (":%S" if part["seconds"] else "") + (".%f" if part["part"] else "")
    offset = " %z" if part["offset"] else ""
    before = f"{part['word']}{lead}"
    if not part["half"]:
        return [f"{before}%H:{minutes}{offset}"]
    gap = " " if part["half"].startswith(" ") else ""
    return [f"{before}%I:{minutes}{gap}%p{offset}", f"{before}%H:{minutes}{gap}%z"]  # PM, or Z and UTC


def _decide_order(rows: ibis.Table, outlines: Mapping[str, int], engine: Engine, only_dates: bool) -> TimeLayout:
    """The layout of texts, by the order of day, month and year that reads most of them."""
    orders: dict[str, list[str]] = {}
    for outline in list(outlines)[:READ_OUTLINES]:
        for order, formats in formats_of_outline(outline, only_dates).items():
            orders.setdefault(order, []).extend(formats)
    orders = {order: list(dict.fromkeys(formats)) for order, formats in orders.items()}
    first = FIRST_BIRTHDAY if only_dates else FIRST_TIME
    counts = _count_readable(rows, orders, engine, first)
    used = {order: [f for f in formats if counts[order, f]["rows"]] for order, formats in orders.items()}
    used = {order: formats for order, formats in used.items() if formats}
    if not used:
        return TimeLayout("")
    if all(len(formats) == 1 for formats in used.values()):
        totals = {order: counts[order, formats[0]] for order, formats in used.items()}
    else:
        together = _count_readable(rows, {"": list(used)}, engine, first, used)
        totals = {order: together["", order] for order in used}
    return _choose(totals, used, sum(outlines.values()))


def _choose(totals: Mapping[str, Mapping[str, int]], used: Mapping[str, Sequence[str]], given: int) -> TimeLayout:
    """The order that reads clearly more than the others; those that read about as much are its rivals.

    Of a year of two digits before and behind, the one with which the column spans much less time is right: the other
    takes days for years.
    """
    best = max(totals, key=lambda order: totals[order]["rows"])
    most = totals[best]["rows"]
    margin = 0 if most == given else CLEARLY_MORE * given
    close = [order for order in totals if most - totals[order]["rows"] <= margin]
    others = [order for order in close if order != "year first"]
    if others and len(others) < len(close):
        days, other_days = totals["year first"]["days"], [totals[order]["days"] for order in others]
        if 3 * days < min(other_days):
            close = ["year first"]
        elif 3 * max(other_days) < days:
            close = others
    best = max(close, key=lambda order: totals[order]["rows"])
    other = _other_way(best, totals, given)
    rivals = tuple(used[order][0] for order in close if order not in (best, other))
    formats = tuple(sorted(used[best], key=len))
    return TimeLayout(
        "formats", formats, readable=totals[best]["rows"], rivals=rivals, also=used[other][0] if other else ""
    )


def _other_way(best: str, totals: Mapping[str, Mapping[str, int]], given: int) -> str:
    """An order that reads a good part of the values that the best one does not read; empty if there is none."""
    years_apart = [order for order in totals if order != best and "year first" in (order, best)]
    rest = given - totals[best]["rows"]
    return next((order for order in years_apart if CLEARLY_MORE * given < totals[order]["rows"] <= rest), "")


def _decide_digits(rows: ibis.Table, outlines: Mapping[str, int], engine: Engine) -> TimeLayout:
    """The layout of numbers of digits: a date and a clock without separators, or a count since 1970."""
    length, count = next((outline, n) for outline, n in outlines.items() if DIGITS_ALONE.fullmatch(outline))
    digits, fraction = int(length.strip("#.")), length.endswith(".")
    same = rows.filter(_outline(rows.value) == length)
    if digits in COMPACT and not fraction:
        layout = TimeLayout("digits", (COMPACT[digits],))
        readable = _readable(same, layout, engine, FIRST_TIME, LAST_TIME)
        if readable >= NEARLY_ALL * count or digits not in EPOCH_UNITS:
            return replace(layout, readable=readable) if readable else TimeLayout("")
    if digits in EPOCH_UNITS and (not fraction or EPOCH_UNITS[digits] == "s"):
        layout = TimeLayout("epoch", unit=EPOCH_UNITS[digits])
        likely = _readable(same, layout, engine, LIKELY_FROM, LIKELY_TO)
        if likely >= NEARLY_ALL * count:
            return replace(layout, readable=_readable(rows, layout, engine, FIRST_TIME, LAST_TIME))
    return TimeLayout("")


def _prefer_formats(
    own: TimeLayout, rows: ibis.Table, formats: tuple[str, ...], engine: Engine, only_dates: bool
) -> TimeLayout:
    """The user's layouts, unless the column's own layout reads more and has no rival."""
    wanted = TimeLayout("formats", formats, given=own.given, outlines=own.outlines)
    first = FIRST_BIRTHDAY if only_dates else FIRST_TIME
    wanted = replace(wanted, readable=_readable(rows, wanted, engine, first, LAST_TIME))
    return own if own.readable > wanted.readable and not own.rivals else wanted


def _readable(rows: ibis.Table, layout: TimeLayout, engine: Engine, first: date, last: date) -> int:
    """How many values a layout reads as a time in [first, last)."""
    moment = layout.read(rows.value, engine).written
    inside = (moment >= _literal(first)) & (moment < _literal(last))
    return int(engine.to_arrow(rows.aggregate(n=inside.sum().fill_null(0)))["n"][0].as_py())


def _count_readable(
    rows: ibis.Table,
    orders: Mapping[str, Sequence[str]],
    engine: Engine,
    first: date,
    together: Mapping[str, Sequence[str]] | None = None,
) -> dict[tuple[str, str], dict[str, int]]:
    """How many texts each format reads, and how many days they span; with `together`, each of its lists of formats."""
    text, facts = as_text(rows.value), dict[str, ibis.Value]()
    names = [(order, format_) for order, formats in orders.items() for format_ in formats]
    for i, (_, name) in enumerate(names):
        formats = tuple(together[name]) if together else (name,)
        moment = read_formats(text, formats, engine).written if together else read_format(text, name, engine).written
        possible = is_possible_time(moment, first).ifelse(moment, ibis.null("timestamp")).date()
        facts |= {f"rows{i}": possible.count(), f"first{i}": possible.min(), f"last{i}": possible.max()}
    if not facts:
        return {}
    row = engine.to_arrow(rows.aggregate(**facts)).to_pylist()[0]
    spans = (row[f"last{i}"] and (row[f"last{i}"] - row[f"first{i}"]).days + 1 for i in range(len(names)))
    return {
        key: {"rows": int(row[f"rows{i}"]), "days": days or 0}
        for i, (key, days) in enumerate(zip(names, spans, strict=True))
    }


def _is_given(column: ibis.Value) -> ibis.Value:
    """Whether a value is there: not null, not blank, and a number."""
    kind = column.type()
    if kind.is_string():
        return column.re_search(NOT_BLANK)
    return column.notnull() & ~column.isnan() if kind.is_floating() else column.notnull()


def _is_iso(column: ibis.Value) -> ibis.Value:
    return is_iso_text(column) if column.type().is_string() else ibis.literal(False)


def _outline(column: ibis.Value) -> ibis.Value:
    """Each value with 9 for one or two digits, Y for four and a for letters; # and their number for digits alone."""
    if column.type().is_floating():
        digits = whole_number(column - column % 1).cast("string").length().cast("string")
        outline = "#" + digits + whole_number(column).isnull().ifelse(".", "")
        return (column >= 0).ifelse(outline, "").fill_null("")
    text = as_text(column)
    outline = text.re_replace("[A-Za-z]+", "a").re_replace("[0-9]{4}", "Y").re_replace("[0-9]{1,2}", "9")
    return ibis.cases(
        (text.re_search("^[0-9]+$"), "#" + text.length().cast("string")),
        (text.re_search("^[0-9]+[.][0-9]+$"), "#" + text.re_extract("^[0-9]+", 0).length().cast("string") + "."),
        else_=outline,
    )


def _as_number(column: ibis.Value, unit: Unit) -> ibis.Value:
    """Numbers since 1970 as numbers; whole ones where a float could not hold them."""
    if column.type().is_string():
        return as_text(column).try_cast("float64" if unit == "s" else "int64")
    return column


def _literal(day: date) -> ibis.Value:
    """The beginning of a day as a timestamp."""
    return ibis.literal(datetime(day.year, day.month, day.day), "timestamp")  # noqa: DTZ001 (naive on purpose)
