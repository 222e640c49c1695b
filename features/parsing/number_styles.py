"""Decides how the texts of a column are to be read as numbers: by all values of the column, never one by one.

People write 1,234.50, 1.234,50, 1 234,50, 1'234.50, (12.50), 12.50-, $12.50, 12.50 EUR and 45%. A number by itself can
be ambiguous: 1,234 is a thousand and something, or a little more than one. So all values of the column decide which
sign separates decimals, and if none shows it, nothing is guessed.

A text is split into its body, from its first digit to its last (1,234.50), and its form, the text with '9' for the body
and without spaces ($9, 9EUR, (9), 9%, 9pcs). There are few forms in a column of numbers, so Python decides which are
numbers, and the engine compares texts with these alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ibis

from features.currencies import currency_code
from features.engines.base import ASCII_BLANK, Engine

SPACES = "\\x09-\\x0d \u00a0\u2007\u2009\u202f"  # with the spaces that people put between thousands
SPACE = f"[{SPACES}]*"
# Text must match a pattern before an engine reads it as a number, since engines differ in what else they accept.
DIGITS = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
INFINITE = r"[+-]?[iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN]"
NUMBER = rf"^{ASCII_BLANK}({DIGITS}|{INFINITE}){ASCII_BLANK}$"
NOT_GIVEN = rf"^{SPACE}(?:[nN][uU][lL][lL]|[nN][oO][nN][eE]|[nN][aA][nN]|#?[nN]/?[aA]|-+|[–—])?{SPACE}$"
BODY = "[0-9](?:[0-9.,'’ \u00a0\u2007\u2009\u202f]*[0-9])?"
SPACED = "['’ \u00a0\u2007\u2009\u202f]"  # between thousands, whatever separates decimals
COMMA_GROUPS = "[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}"  # in India the groups have two digits, except the last
DOT_GROUPS = "[0-9]{1,3}(?:[.][0-9]{3})+"
SPACED_GROUPS = f"[0-9]{{1,3}}(?:{SPACED}[0-9]{{3}})+"
# What a body shows about the column, in this order.
SHAPES = {
    "plain": "^[0-9]+$",
    "comma or thousands": "^[1-9][0-9]{0,2},[0-9]{3}$",
    "point or thousands": "^[1-9][0-9]{0,2}[.][0-9]{3}$",
    "point": f"^(?:(?:[0-9]+|{COMMA_GROUPS}|{SPACED_GROUPS})[.][0-9]+|[0-9]{{1,3}}(?:,[0-9]{{2,3}})+,[0-9]{{3}})$",
    "comma": f"^(?:(?:[0-9]+|{DOT_GROUPS}|{SPACED_GROUPS}),[0-9]+|[0-9]{{1,3}}(?:[.][0-9]{{3}}){{2,}})$",
    "thousands": f"^{SPACED_GROUPS}$",
}
EITHER = ("comma or thousands", "point or thousands")
WHOLE_BODY = {
    ".": f"^(?:[0-9]+|{COMMA_GROUPS}|{SPACED_GROUPS})(?:[.][0-9]+)?$",
    ",": f"^(?:[0-9]+|{DOT_GROUPS}|{SPACED_GROUPS})(?:,[0-9]+)?$",
}
TECHNICAL_FORM = re.compile(r"[+-]?((9|9[.]|[.]9)[eE][+-]?9|[.]9|9[.]|inf|infinity)", re.IGNORECASE)
MINUS, SIGNS = "-−–", "+-−–"
MOST_FORMS = 300  # of a column; the most frequent are looked at


@dataclass(frozen=True)
class NumberForm:
    """What surrounds the digits of a number.

    Attributes:
        text: The form, such as '($9)'.
        negative: Whether it means a negative number.
        percent: Whether it is a percentage.
        currency: The code or the sign of the currency that it names; empty: none.
        technical: Whether it is written as programs do and people do not: 1.5e3, .5, 5. or inf.
    """

    text: str
    negative: bool = False
    percent: bool = False
    currency: str = ""
    technical: bool = False


@dataclass(frozen=True)
class NumberCount:
    """How many texts of a column have a form, and bodies of a shape (a key of SHAPES, or empty)."""

    form: str
    shape: str
    rows: int


@dataclass(frozen=True)
class NumberSurvey:
    """What the texts of a column look like.

    Attributes:
        given: Texts that are not blank and no mark of a missing value.
        technical: Those that are numbers as programs write them (`NUMBER`).
        counts: The most frequent forms and shapes.
    """

    given: int
    technical: int
    counts: tuple[NumberCount, ...]


@dataclass(frozen=True)
class NumberStyle:
    """How the texts of a column are to be read as numbers.

    Attributes:
        decimal: The sign before decimals, '.' or ','.
        forms: The forms that are numbers.
        percent: Whether the numbers are percentages: 45% is read as 0.45.
        given: Texts that are not blank and no mark of a missing value.
        readable: Those of them that are read.
        undecided: Numbers such as 1,234 in a column in which nothing shows what the sign separates.
        mixed: Whether some values have a decimal point and others a decimal comma; what could be either is not read.
        plain: Whether all readable texts are written as programs write numbers.
        whole: Whether all readable texts are digits alone, as codes are.
        odd_forms: The most frequent forms that are no numbers.
    """

    decimal: str = "."
    forms: tuple[NumberForm, ...] = ()
    percent: bool = False
    given: int = 0
    readable: int = 0
    undecided: int = 0
    mixed: bool = False
    plain: bool = True
    whole: bool = False
    odd_forms: tuple[str, ...] = ()

    @property
    def currencies(self) -> tuple[str, ...]:
        """The currencies that texts name: codes, and signs that several countries use."""
        return tuple(sorted({form.currency for form in self.forms if form.currency}))

    def read(self, column: ibis.Value) -> ibis.Value:
        """A column of text as floats; null where a text is no number of this style."""
        technical = NUMBER if self.plain else self._technical_pattern()
        from_programs = column.re_search(technical).ifelse(column, ibis.null("string")).try_cast("float64")
        if self.plain:
            return from_programs
        body, form = _body(column), _form(column)
        usable = body.re_search(WHOLE_BODY[self.decimal]) & form.isin([f.text for f in self.forms if not f.technical])
        if self.mixed:
            usable &= ~(body.re_search(SHAPES[EITHER[0]]) | body.re_search(SHAPES[EITHER[1]]))
        digits = body.re_replace("[^0-9.]" if self.decimal == "." else "[^0-9,]", "").replace(",", ".")
        number = usable.ifelse(digits, ibis.null("string")).try_cast("float64")
        number = form.isin([f.text for f in self.forms if f.negative]).ifelse(-number, number)
        return ibis.coalesce(from_programs, number / 100 if self.percent else number)

    def currency(self, column: ibis.Value) -> ibis.Value:
        """The code of the currency that each text of a column names; null where it names none."""
        form = _form(column)
        named = ((form == f.text, ibis.literal(f.currency)) for f in self.forms if f.currency)
        return ibis.cases(*named, else_=ibis.null("string")) if self.currencies else ibis.null("string")

    def _technical_pattern(self) -> str:
        """What is read as programs write it beside numbers as people write them."""
        if self.decimal == "," or self.percent:
            return rf"^{ASCII_BLANK}({INFINITE}){ASCII_BLANK}$"
        exponent = r"[+-]?(([0-9]+[.]?[0-9]*|[.][0-9]+)[eE][+-]?[0-9]+|[0-9]+[.]|[.][0-9]+)"
        return rf"^{ASCII_BLANK}({exponent}|{INFINITE}){ASCII_BLANK}$"


def is_given(column: ibis.Value) -> ibis.Value:
    """Whether each value of a column of numbers is there: not null, not blank, and no mark such as NULL, n/a or -."""
    return column.notnull() & ~column.re_search(NOT_GIVEN) if column.type().is_string() else column.notnull()


def survey_numbers(column: ibis.Value, engine: Engine) -> NumberSurvey:
    """Counts the forms and shapes of all texts of a column; one pass of the engine over its rows."""
    rows = column.name("text").as_table()
    rows = rows.filter(is_given(rows.text))
    body = _body(rows.text)
    shape = ibis.cases(*((body.re_search(p), ibis.literal(name)) for name, p in SHAPES.items()), else_="")
    described = rows.select(form=_form(rows.text), shape=shape, technical=rows.text.re_search(NUMBER))
    groups = described.group_by("form", "shape").aggregate(
        rows=described.count(), technical=described.technical.sum().cast("int64")
    )
    everything = groups.mutate(
        given=groups["rows"].sum().over(ibis.window()), numbers=groups.technical.sum().over(ibis.window())
    )
    ordered = everything.order_by(ibis.desc("rows"), "form", "shape").limit(MOST_FORMS)
    top_groups = engine.to_arrow(ordered).to_pylist()
    counts = tuple(NumberCount(row["form"], row["shape"], int(row["rows"])) for row in top_groups)
    first: dict[str, Any] = top_groups[0] if top_groups else {"given": 0, "numbers": 0}
    return NumberSurvey(int(first["given"]), int(first["numbers"]), counts)


def decide_number_style(survey: NumberSurvey, decimal: str = "", percentages: bool = True) -> NumberStyle:
    """Decides how the texts of a column are to be read.

    Args:
        survey: What the texts look like.
        decimal: The sign before decimals, if the user says it; empty: the column decides.
        percentages: Whether percentages are numbers; for money they are not.

    Returns:
        The style; `undecided` is above 0 if nothing shows what separates decimals.

    >>> counts = [("9€", "comma", 90), ("9€", "point or thousands", 10)]
    >>> style = decide_number_style(NumberSurvey(100, 0, tuple(NumberCount(*count) for count in counts)))
    >>> style.decimal, style.readable, style.currencies
    (',', 100, ('EUR',))
    """
    parsed = {count.form: parse_number_form(count.form) for count in survey.counts}
    numbers = [(form, count) for count in survey.counts if (form := parsed[count.form])]
    percent = percentages and 2 * _rows(c for f, c in numbers if f.percent) > _rows(c for _, c in numbers)
    numbers = [(form, count) for form, count in numbers if form.percent == percent]
    points = _rows(c for f, c in numbers if c.shape == "point" or (f.technical and c.shape == EITHER[1]))
    points += _rows(c for f, c in numbers if f.technical and c.shape == "plain" and "." in f.text)
    commas = _rows(c for _, c in numbers if c.shape == "comma")
    either = _rows(c for f, c in numbers if c.shape in EITHER and not f.technical)
    chosen = decimal or ("," if commas > points else ".")
    mixed = not decimal and points > 0 and commas > 0
    shapes = {"plain", "thousands", "point" if chosen == "." else "comma", *(() if mixed else EITHER)}
    read = [(f, c) for f, c in numbers if c.shape in shapes and not (f.technical and chosen == ",")]
    read += [(f, c) for f, c in numbers if f.technical and not c.shape]  # infinity
    readable = _rows(c for _, c in read)
    as_programs = chosen == "." and not (percent or mixed) and readable <= survey.technical
    return NumberStyle(
        decimal=chosen,
        forms=tuple(dict.fromkeys(form for form, _ in read)),
        percent=percent,
        given=survey.given,
        readable=max(readable, survey.technical) if as_programs else readable,
        undecided=either if not (decimal or points or commas) else 0,
        mixed=mixed,
        plain=as_programs,
        whole=all(count.shape == "plain" and form.text == "9" for form, count in read),
        odd_forms=tuple(dict.fromkeys(c.form for c in survey.counts if c.form not in {f.text for f, _ in numbers}))[:5],
    )


def parse_number_form(text: str) -> NumberForm | None:
    """What a form means; None if it is no number.

    >>> parse_number_form("($9)")
    NumberForm(text='($9)', negative=True, percent=False, currency='$', technical=False)
    >>> parse_number_form("9pcs"), parse_number_form("9-9-9")
    (None, None)
    """
    if TECHNICAL_FORM.fullmatch(text):
        return NumberForm(text, technical=True)
    before, digit, after = text.partition("9")
    if not digit or "9" in after:
        return None
    around = before + after
    in_brackets, signs = (before.count("("), after.count(")")), [c for c in around if c in SIGNS]
    if around.count("(") + around.count(")") != sum(in_brackets) or in_brackets not in ((0, 0), (1, 1)):
        return None
    if len(signs) + in_brackets[0] > 1 or any(c == "+" for c in after):
        return None
    marks = {mark for part in (before, after) if (mark := "".join(c for c in part if c not in f"(){SIGNS}"))}
    if len(marks) > 1:
        return None
    mark = marks.pop() if marks else ""
    if mark and mark != "%" and not currency_code(mark):
        return None
    negative = bool(in_brackets[0]) or any(c in MINUS for c in signs)
    return NumberForm(text, negative, mark == "%", currency_code(mark) if mark != "%" else "")


def rough_number(column: ibis.Value) -> ibis.Value:
    """About how large the number in a text is if it could be read; null where a text is nothing like a number.

    A last group of one or two digits is taken for decimals. It only serves to see how much money is at stake.
    """
    body = _body(column)
    decimals = ibis.cases(
        (body.re_search("[.,][0-9]{2}$"), ibis.literal(100.0)),
        (body.re_search("[.,][0-9]$"), ibis.literal(10.0)),
        else_=ibis.literal(1.0),
    )
    like_a_number = _form(column).re_search("^[^9]{0,5}9[^9]{0,5}$") & (body.length() <= 24)
    digits = like_a_number.ifelse(body.re_replace("[^0-9]", ""), ibis.null("string"))
    return digits.try_cast("float64") / decimals


def _rows(counts: Iterable[NumberCount]) -> int:
    return sum(count.rows for count in counts)


def _body(column: ibis.Value) -> ibis.Value:
    """From the first digit of each text to the last one that belongs to the same number."""
    return column.re_extract(BODY, 0)


def _form(column: ibis.Value) -> ibis.Value:
    """Each text with '9' for its numbers, and without spaces."""
    return column.re_replace(BODY, "9").re_replace(f"[{SPACES}]+", "")
