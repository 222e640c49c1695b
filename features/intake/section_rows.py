"""The rows of one section of the config, and how their columns are read before they become rows of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import ibis

from features.config.table_sections import NUMBER_ROLES, MoneySection, TableSection
from features.currencies import is_currency_code
from features.engines.base import Engine
from features.intake.columns import blank_to_null
from features.intake.times import TimeReader
from features.money import LARGEST_AMOUNT
from features.parsing import (
    MONEY_ROLES,
    ExchangeRates,
    NumberReader,
    as_ticks,
    decide_exchange_rates,
    is_given,
    rough_number,
)

Checks = dict[str, ibis.Value]


@dataclass(frozen=True)
class SectionRows:
    """The rows of one section of the config, as they were read from its source.

    Attributes:
        place: The section as the config writes it, such as 'activities.visits'.
        section: Names the columns.
        source: The rows.
        engine: Where they are.
        times: Reads its times.
        numbers: Reads its numbers.
    """

    place: str
    section: TableSection
    source: ibis.Table
    engine: Engine
    times: TimeReader
    numbers: NumberReader
    _rates: list[ExchangeRates] = field(default_factory=list, repr=False)

    def configured(self, *roles: str) -> tuple[str, ...]:
        """Those of the given roles for which the section names a column."""
        return tuple(role for role in roles if getattr(self.section, role, ""))

    def column(self, role: str) -> ibis.Value:
        """The column of a role as it was read; blanks are null, and so are marks such as NULL in columns of times."""
        column = blank_to_null(self.source[getattr(self.section, role)])
        if role in TIME_ROLES and column.type().is_string():
            is_time = is_given(column) & ~column.re_search(ZERO_DATE)
            return is_time.ifelse(column, ibis.null("string")).name(column.get_name())
        return column

    def timestamp(self, role: str) -> ibis.Value:
        """The column of a role as naive timestamps in the business's zone; null where a time cannot be read."""
        return self.times.read(self.column(role), role)

    def number(self, role: str) -> ibis.Value:
        """The column of a role as numbers, money in one currency; null where there is none."""
        if not self.configured(role):
            return ibis.null("float64")
        number = self.numbers.read(self.column(role), role)
        if role in MONEY_ROLES and self.has_currency_column:
            return number * self.exchange_rates.rate(self.column("currency"))
        return number

    def ticks(self, role: str, reason: ibis.Value) -> ibis.Value:
        """The numbers of a role in ticks; null where there is none, or the row is set aside for a `reason`."""
        return as_ticks(self.number(role), reason) if self.configured(role) else ibis.null("int64")

    @property
    def has_currency_column(self) -> bool:
        """Whether a column says in which currency the money of a row is."""
        currency = getattr(self.section, "currency", "")
        return bool(currency) and not is_currency_code(currency)

    @property
    def exchange_rates(self) -> ExchangeRates:
        """The rates of the column of currencies, which is looked at once."""
        if not self._rates:
            rates = self.section.rates if isinstance(self.section, MoneySection) else {}
            self._rates.append(decide_exchange_rates(self.column("currency"), self.engine, rates))
        return self._rates[0]

    def number_checks(self, role: str, required: bool = False) -> Checks:
        """The reasons to set a row aside because of its number; without `required`, a row without one stays."""
        if not self.configured(role):
            return {}
        checks = self.numbers.checks(self.column(role), role, required)
        if role == "discount":  # a refund may take its discount back
            refunded = (self.number("amount") < 0).fill_null(False)
            checks["negative discount"] = (self.number("discount") < 0) & ~refunded
        return checks

    def time_checks(self, role: str, required: bool = False) -> Checks:
        """The reasons to set a row aside because of its time.

        Args:
            role: The key of the section that names the column.
            required: Whether a row without a time is set aside.

        Returns:
            Tests by reason; none if the section names no column.
        """
        if not self.configured(role):
            return {}
        column = self.column(role)
        missing = {f"missing {role}": column.isnull()} if required else {}
        unreadable = column.notnull() & self.timestamp(role).isnull()
        if role in ROLES_OF_ENDS:
            unreadable &= ~self.times.means_never(column, role)
        return missing | {f"unreadable {role}": unreadable}

    def currency_checks(self) -> Checks:
        """The reasons to set a row aside because its money is in no known currency, or in one without a rate."""
        if not self.has_currency_column:
            return {}
        column = self.column("currency")
        return {
            "missing currency": column.isnull(),
            "other currency": column.notnull() & self.exchange_rates.rate(column).isnull(),
        }

    def stake(self) -> ibis.Value:
        """The money of each row without its sign, roughly where it cannot be read; null if there is none."""
        role = next(iter(self.configured("amount", "price", "cost")), "")
        if not role:
            return ibis.null("float64")
        column = self.column(role)
        money = self.numbers.read(column, role)
        if column.type().is_string():
            money = ibis.coalesce(money, rough_number(column))
        return (money.abs() <= LARGEST_AMOUNT).ifelse(money.abs(), ibis.null("float64"))

    def advice(self, role: str) -> str:
        """What to do about values of a role that cannot be used."""
        if role == "currency":
            other = {code: self.exchange_rates.rows[code] for code in self.exchange_rates.without_rate}
            counts = ", ".join(f"{code} {rows:,}" for code, rows in sorted(other.items(), key=lambda kv: -kv[1])[:5])
            return (
                f"amounts of several currencies cannot be added up (rows without a rate: {counts or 'none named'}); "
                f"give their rates, such as [{self.place}] rates = {{ EUR = 1, USD = 0.92 }}, or convert or filter "
                f"them in [{self.place}] query"
            )
        column = self.column(role)
        return self.times.advice(column, role) if role in TIME_ROLES else self.numbers.advice(column, role)

    def unreadable(self, role: str) -> ibis.Value:
        """Whether the value of a role is there and cannot be read."""
        if role in TIME_ROLES:
            return self.time_checks(role)[f"unreadable {role}"]
        return self.numbers.checks(self.column(role), role)[f"unreadable {role}"]


ROLES_OF_ENDS = ("end", "end_known_at")  # in which a date such as 9999-12-31 means that there is no end
ZERO_DATE = r"^ *0000-00-00([ T]00:00:00([.]0+)?)? *\z"  # how MySQL writes that there is no date
TIME_ROLES = ("time", "start", "end", "since", "known_at", "end_known_at", "joined_at")


def section_rows(place: str, section: TableSection, source: ibis.Table, engine: Engine, zone: str) -> SectionRows:
    """The rows of a section, with readers of their columns.

    Args:
        place: The section as the config writes it, such as 'activities.visits'.
        section: The section.
        source: Its rows.
        engine: Where they are.
        zone: The zone in which days begin ([task] timezone).

    Returns:
        The rows.
    """
    return SectionRows(
        place, section, source, engine, TimeReader(section, engine, zone, place), NumberReader(section, engine, place)
    )


def first_reason(checks: Mapping[str, ibis.Value]) -> ibis.Value:
    """The first reason whose test holds; null if none does."""
    return ibis.cases(*((test, ibis.literal(name)) for name, test in checks.items()), else_=ibis.null("string"))


def listed_roles(rows: SectionRows) -> Sequence[str]:
    """The roles of times, numbers and currencies that a section names."""
    return (*rows.configured(*TIME_ROLES, *NUMBER_ROLES), *(("currency",) if rows.has_currency_column else ()))
