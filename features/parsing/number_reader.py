"""Reads the columns of numbers of a section, alike on every engine."""

from __future__ import annotations

from dataclasses import dataclass, field

import ibis

from features.config.table_sections import TableSection
from features.currencies import are_one_currency, can_mean, is_currency_code
from features.engines.base import Engine
from features.errors import DataError
from features.money import GREATEST_FLOAT, LARGEST_AMOUNT, TICKS
from features.parsing.number_styles import NumberStyle, decide_number_style, is_given, survey_numbers

MONEY_ROLES = ("amount", "discount", "cost", "price")
NO_PERCENTAGES = (*MONEY_ROLES, "quantity")


@dataclass(frozen=True)
class NumberReader:
    """Reads the columns of numbers of one section; text is read as all values of its column are written.

    Attributes:
        section: Its `decimal_separator` is used where it is set.
        engine: Where the section's rows are.
        place: The section's name in the config, for messages.
    """

    section: TableSection
    engine: Engine
    place: str = "events"
    _styles: dict[tuple[str, str], NumberStyle] = field(default_factory=dict, repr=False)

    def read(self, column: ibis.Value, role: str) -> ibis.Value:
        """A column as floats; null where it is not a number.

        Args:
            column: Numbers, or text.
            role: The key of the section that names the column.

        Returns:
            The floats.

        Raises:
            DataError: Nothing shows how the numbers are to be read, or they are in several currencies.
        """
        if not column.type().is_string():
            return _known(column.try_cast("float64"))
        style = self.style(column, role)
        if style.undecided:
            raise DataError(self._undecided(column, role, style))
        currency = getattr(self.section, "currency", "")
        if role in MONEY_ROLES and not currency and not are_one_currency(style.currencies):
            raise DataError(
                f"[{self.place}] {role}: column {column.get_name()!r} holds amounts in "
                f"{' and '.join(style.currencies)}, which cannot be added up: set [{self.place}] currency to the code "
                f'of the main currency, such as currency = "EUR", and rates = {{ EUR = 1, USD = 0.92 }}, or convert '
                f"them in [{self.place}] query"
            )
        return self._in_section_currency(_known(style.read(column)), column, style)

    def _in_section_currency(self, number: ibis.Value, column: ibis.Value, style: NumberStyle) -> ibis.Value:
        """Numbers beside which stands another currency than the section's, converted; null without a rate."""
        base = getattr(self.section, "currency", "")
        foreign = [code for code in style.currencies if is_currency_code(base) and not can_mean(code, base)]
        if not foreign:
            return number
        rates, code = getattr(self.section, "rates", {}), style.currency(column)
        factors = ((code == name, ibis.literal(rates.get(name), "float64")) for name in foreign)
        return number * ibis.cases(*factors, else_=ibis.literal(1.0))

    def style(self, column: ibis.Value, role: str) -> NumberStyle:
        """How the texts of a column are to be read; looks at all of them once."""
        key = (role, column.get_name())
        if key not in self._styles:
            survey = survey_numbers(column, self.engine)
            self._styles[key] = decide_number_style(
                survey, self.section.decimal_separator, percentages=role not in NO_PERCENTAGES
            )
        return self._styles[key]

    def checks(self, column: ibis.Value, role: str, required: bool = False) -> dict[str, ibis.Value]:
        """The reasons to set a row aside because of its number, with a test for each, in the order of their use.

        Args:
            column: Of the role.
            role: The key of the section that names the column.
            required: Whether a row without a number is set aside.

        Returns:
            Tests by reason, such as 'unreadable amount'.
        """
        number, missing = self.read(column, role), ~is_given(column)
        if column.type().is_floating():
            missing |= column.isnan().fill_null(False)
        checks = {f"missing {role}": missing} if required else {}
        return checks | {
            f"unreadable {role}": ~missing & number.isnull(),
            f"infinite {role}": number.abs() > GREATEST_FLOAT,
            f"{role} beyond 1e12": number.abs() > LARGEST_AMOUNT,
        }

    def advice(self, column: ibis.Value, role: str) -> str:
        """What to do about unreadable numbers of a column, by how they are written."""
        query = f"[{self.place}] query"
        style = self.style(column, role) if column.type().is_string() else NumberStyle()
        base, rates = getattr(self.section, "currency", ""), getattr(self.section, "rates", {})
        foreign = [c for c in style.currencies if is_currency_code(base) and not can_mean(c, base) and c not in rates]
        if foreign:
            return f"amounts in {' and '.join(foreign)} need a rate in [{self.place}] rates"
        if style.mixed:
            return (
                "some have a decimal point and some a decimal comma: repair those that differ, or set "
                f"[{self.place}] decimal_separator"
            )
        if any("%" in form for form in style.odd_forms):
            what = "a percentage is no money" if role in MONEY_ROLES else f"a percentage is no {role}"
            return f"{what}: compute what it stands for in {query}, such as price * percentage / 100"
        if any(form[:1].isdigit() or form[-1:].isdigit() for form in style.odd_forms):
            digits = "[0-9.]+" if style.decimal == "." else "[0-9,]+"
            return (
                f"keep only the number in {query}, such as regexp_extract({column.get_name()}, '{digits}'), if what "
                "stands beside it (a unit?) is the same everywhere"
            )
        return f"repair them, or compute a number from them in {query}"

    def _undecided(self, column: ibis.Value, role: str, style: NumberStyle) -> str:
        """Why a column is refused in which a sign may separate thousands or decimals."""
        numbers = "1 number" if style.undecided == 1 else f"{style.undecided:,} numbers"
        return (
            f"[{self.place}] {role}: column {column.get_name()!r} has {numbers} written like '9,999' or '9.999', and "
            f"no other value shows whether the sign separates thousands or decimals; set [{self.place}] "
            "decimal_separator to the sign that separates decimals, '.' or ','"
        )


def _known(number: ibis.Value) -> ibis.Value:
    """Numbers of which NaN, which is greater than all others to an engine, is null."""
    return number.isnan().ifelse(ibis.null("float64"), number)


def as_ticks(number: ibis.Value, reason: ibis.Value) -> ibis.Value:
    """Numbers as whole ten-thousandths (ticks); null where a number is unusable or its row is set aside."""
    usable = reason.isnull() & number.notnull() & ~number.isnan() & (number.abs() <= LARGEST_AMOUNT)
    return usable.ifelse((number * TICKS).round(), ibis.null("float64")).cast("int64")
