"""The sections that name tables: events, activities, customers, contacts and subscriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from features.config.sections import Duration, Section, zone_of_clocks
from features.currencies import is_currency_code
from features.sources.source import Source

# The keys of a section that name one column, and those that list several columns.
COLUMN_KEYS = (
    "customer", "time", "amount", "order", "quantity", "discount", "known_at", "id", "measure", "since", "action",
    "cost", "propensity", "opened", "clicked", "converted", "start", "end", "end_known_at", "price", "reason",
    "currency", "person", "joined_at",
)  # fmt: skip
NUMBER_ROLES = ("amount", "quantity", "discount", "measure", "cost", "propensity", "price")
COLUMN_LIST_KEYS = ("kinds", "attributes")
ID_ROLES = ("customer", "order", "id", "action", "reason", "person")


def number_columns(columns: Mapping[str, str]) -> tuple[str, ...]:
    """Return the columns that may hold numbers, of those that a section names by role."""
    return tuple(c for role, c in columns.items() if role in NUMBER_ROLES or role.startswith("attributes ("))


class TableSection(Section):
    """Keys of all sections that read a table: its source, the customer's id, and the format of its times.

    A row is not used at cutoffs before it became known.
    """

    source: str = Field(
        description="file, glob or folder (Parquet, CSV, CSV.gz), relative to the config, or the URL of a database: "
        "'postgresql://user@host:5432/dbname', 'duckdb:///FILE', 'sqlite:///FILE'"
    )
    table: str = Field(
        "",
        description="table or view of a database, such as 'orders' or 'sales.orders'; empty: `query` names the tables",
    )
    query: str = Field(
        "",
        description="one SELECT over `source` and other files, by paths relative to the config; it is trusted, only "
        "reads, and runs before columns are read; for a database in its own dialect, run there",
    )
    password_env: str = Field(
        "", description="environment variable that holds the password; empty: PGPASSWORD or ~/.pgpass"
    )
    customer: str = Field(
        description="column of the customer's id; ids of any type become text by one rule: 17850, 17850.0 and "
        "' 17850 ' are one customer, 017850 is another"
    )
    time_format: str | tuple[str, ...] = Field(
        "",
        description="format of times given as text or digits, such as '%d/%m/%Y %H:%M', for all times of the table; "
        "several, if columns are written differently; empty: the values of each column show it, and a column in which "
        "day and month could be either is refused",
    )
    timezone: Annotated[str, AfterValidator(zone_of_clocks)] = Field(
        "",
        description="time zone of times without an offset, such as 'Europe/London'; empty: UTC. An offset in the data "
        "comes first, and a date without a clock is a day in every zone; [task] timezone says where days begin",
    )
    decimal_separator: Literal["", ".", ","] = Field(
        "",
        description="the sign before decimals in numbers given as text, '.' or ','; empty: the values of each column "
        "show it, and a column in which none does, such as one with 1,234 alone, is refused",
    )
    known_at: str = Field("", description="column of the time when a row became known; empty: immediately")
    personal: tuple[str, ...] = Field((), description="columns that are never read, such as names and addresses")
    max_unreadable: float = Field(
        0.05,
        ge=0,
        le=1,
        description="maximum share of rows, and of the money, with an unreadable time or number, for each of these "
        "columns; above it the table is refused",
    )
    max_unreadable_per_file: float = Field(
        0.03,
        ge=0,
        le=1,
        description="share of the rows and lines of one file that were set aside, above which `check` names the file",
    )

    def to_source(self, section: str) -> Source:
        """Return where the section's rows are; `section` is its name in messages."""
        roles = self.columns_by_role()
        others = {column for role, column in roles.items() if role not in ID_ROLES and not role.startswith("kinds (")}
        ids = tuple(column for role, column in roles.items() if role in ID_ROLES and column not in others)
        return Source(section, self.source, self.table, self.query, self.password_env, self.personal, ids)

    @property
    def time_formats(self) -> tuple[str, ...]:
        """The formats of times."""
        formats = (self.time_format,) if isinstance(self.time_format, str) else self.time_format
        return tuple(text for text in formats if text)

    def columns_by_role(self) -> dict[str, str]:
        """Return the columns that the section names, by their roles; keys left empty are left out."""
        listed = {
            f"{key} ({column})": column
            for key in type(self).model_fields
            for column in (getattr(self, key) if key in COLUMN_LIST_KEYS else ())
        }
        single = {key: getattr(self, key) for key in type(self).model_fields if key in COLUMN_KEYS}
        if is_currency_code(single.get("currency", "")):
            del single["currency"]  # the currency of all amounts, and no column
        return {role: column for role, column in (single | listed).items() if column}

    def id_columns(self) -> tuple[str, ...]:
        """Return the columns of ids and kinds, which must keep all their digits."""
        return tuple(c for role, c in self.columns_by_role().items() if role in ID_ROLES or role.startswith("kinds ("))

    @model_validator(mode="after")
    def _check_roles(self) -> TableSection:
        """Check that required columns are named, and that no list names a column twice."""
        fields = type(self).model_fields
        empty = [key for key, field in fields.items() if field.is_required() and not getattr(self, key)]
        if empty:
            raise ValueError(f"{' and '.join(empty)} must not be empty")
        for key in (key for key in fields if key in COLUMN_LIST_KEYS):
            named = getattr(self, key)
            if len(set(named)) != len(named):
                raise ValueError(f"{key} names a column twice: {', '.join(named)}")
        both = sorted(set(self.personal) & set(self.columns_by_role().values()))
        if both:
            raise ValueError(
                f"{', '.join(both)} is personal and cannot be used as well; remove it from personal or from the "
                "other key"
            )
        self.to_source("").check()
        return self


class MoneySection(TableSection):
    """Keys of a section with money: its currency, and the rates by which other currencies are converted."""

    currency: str = Field(
        "",
        description="code of the currency of all money of the table, such as 'EUR', or the column that holds the code "
        "of each row; empty: one currency. Rows in another currency are converted by `rates`, or set aside and "
        "counted. A code, or the currency with the rate 1, is written beside all amounts that people read",
    )
    rates: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {},
        description="what one unit of each currency is worth, such as { EUR = 1, USD = 0.92, GBP = 1.17 }; the "
        "currency with 1 is that of all results; empty: only rows in the most frequent currency are used",
    )

    @property
    def result_currency(self) -> str:
        """The code of the currency of results: that with the rate 1, else a single one; empty if neither is named."""
        if self.rates:
            return next(code for code, rate in self.rates.items() if rate == 1)
        return self.currency if is_currency_code(self.currency) else ""

    @model_validator(mode="after")
    def _check_currency(self) -> MoneySection:
        unknown = sorted(code for code in self.rates if not is_currency_code(code))
        if unknown:
            raise ValueError(f"rates: {unknown[0]!r} is no code of a currency; expected codes such as EUR and USD")
        if self.rates and not self.currency:
            raise ValueError(
                "rates is set, but currency is not: set it to the column of currency codes, or to one code"
            )
        if self.rates and 1 not in self.rates.values():
            raise ValueError("rates: give 1 to the currency of the results, such as { EUR = 1, USD = 0.92 }")
        if is_currency_code(self.currency) and self.rates.get(self.currency, 1) != 1:
            raise ValueError(f"rates: {self.currency} is the currency of the amounts, so its rate must be 1")
        return self


class Events(MoneySection):
    """[events]: what customers did, with one row for each item, order or activity."""

    time: str = Field(description="column of the time of the event")
    amount: str = Field(
        "", description="column of the amount of money; negative is a refund; empty: churn is predicted, but no value"
    )
    order: str = Field(
        "", description="column of the order's id; empty: a customer's events at the same time are one order"
    )
    quantity: str = Field("", description="column of the number of units")
    discount: str = Field("", description="column of the money taken off the price (0 or more)")
    kinds: tuple[str, ...] = Field(
        (), description="columns of categories (what, where, how), for features of variety, novelty and favourites"
    )
    offers: tuple[str, ...] | None = Field(
        None,
        description="which of `kinds` can be offered to a customer (`next_kind`), such as ['product_category']; [] for "
        "none; left out: those whose names say that they are sold (product, category, brand), never a store, a country "
        "or a channel",
    )
    id: str = Field("", description="column of an event id; of rows with the same id only the first is kept")
    duplicates: Literal["keep", "drop"] = Field(
        "keep", description="what to do with rows that are equal in every column; such rows are often real"
    )
    until: str = Field(
        "",
        description="date up to which the log is complete; rows on or after it are set aside (mistyped years, a "
        "partial day)",
    )

    @model_validator(mode="after")
    def _check_offers(self) -> Events:
        unknown = [name for name in self.offers or () if name not in self.kinds]
        if unknown:
            known = ", ".join(map(repr, self.kinds)) or "none"
            raise ValueError(f"offers names {unknown[0]!r}, which is not one of kinds ({known}); add it there too")
        return self


class Activity(TableSection):
    """[activities.NAME]: other things that customers do or experience: visits, service tickets, survey scores."""

    time: str = Field(description="column of the time of the activity")
    measure: str = Field(
        "", description="column of a number, such as minutes or a score; empty: activities are only counted"
    )
    kinds: tuple[str, ...] = Field((), description="columns of categories (what, where, how)")


class Customers(TableSection):
    """[customers]: what is known about each customer besides the events.

    With `known_at` a customer may have several rows; at a cutoff the newest row known before it is used. Without
    `known_at` only the attributes named in `constant` are used, because past values of the others are not known.
    """

    attributes: tuple[str, ...] = Field(
        (),
        description="columns: numbers, dates (used as age in days; null if in the future), booleans, or text "
        "(categories)",
    )
    since: str = Field(
        "", description="column of the day on which the customer signed up; the customer is unknown before it"
    )
    constant: tuple[str, ...] = Field(
        (), description="attributes that never change, so that today's values hold at past cutoffs"
    )

    @model_validator(mode="after")
    def _check(self) -> Customers:
        unknown = [name for name in self.constant if name not in self.attributes]
        if unknown:
            raise ValueError(f"constant names {', '.join(unknown)}, which is not in attributes")
        return self


class Identity(TableSection):
    """[identity]: ids that belong to one person, such as guest orders that somebody's account took over.

    Each row joins an id of the tables (`customer`) to the id of a person (`person`), which may be an id of the tables
    too and may be joined to another person in turn. All ids that are joined are one customer. With `joined_at` this
    holds at cutoffs after the join became known, then for all rows of both; before, each id is a customer of its own.
    """

    person: str = Field(description="column of the id of the person that the customer's id belongs to")
    joined_at: str = Field(
        "",
        description="column of the time when it became known that both are one person; empty: it always was, also at "
        "past cutoffs, which then may see what only became known later",
    )


class Contacts(MoneySection):
    """[contacts]: actions that customers received, including the control group of an experiment."""

    time: str = Field(description="column of the time of the contact")
    action: str = Field(description="column of the action")
    cost: str = Field("", description="column of the cost of the contact")
    propensity: str = Field(
        "", description="column of the probability of the action, above 0 and at most 1, as set when it was randomised"
    )
    control: str = Field(
        "", description="value of `action` for the control group: the customer was held out and received nothing"
    )
    opened: str = Field(
        "",
        description="column that says whether the message was opened: yes or no, true or false, a count or the time; "
        "empty, 0, 'no' and 'false' are no. `measure` and `campaigns` count it; no feature uses it",
    )
    clicked: str = Field("", description="column that says whether the customer clicked, written like `opened`")
    converted: str = Field(
        "", description="column that says whether the sending tool counts the contact as a conversion, like `opened`"
    )


class Subscriptions(MoneySection):
    """[subscriptions]: the terms of contracts, with one row for each term."""

    start: str = Field(description="column of the first day of the term")
    end: str = Field(
        "",
        description="column of the day on which the term ended, the first day without cover; empty or null: it "
        "still runs; an end after a cutoff is not known at that cutoff",
    )
    end_known_at: str = Field(
        "", description="column of the time when the end became known; empty: on the day of the end"
    )
    reason: str = Field("", description="column of the reason why the term ended")
    cancelled: tuple[str, ...] = Field(
        (),
        description="values of `reason` that count as churn; other ends do not; empty: every end without a "
        "renewal counts as churn",
    )
    price: str = Field("", description="column of the price of the term")
    price_every: Duration | None = Field(
        None,
        description="time that one price pays for, such as '30d'; it gives contracts a value if events have no amount",
    )
    until: str = Field("", description="date up to which the terms are complete; only if there is no [events]")

    @model_validator(mode="after")
    def _check(self) -> Subscriptions:
        for key, needed in (("reason", "end"), ("end_known_at", "end"), ("price_every", "price")):
            if getattr(self, key) and not getattr(self, needed):
                raise ValueError(f"{key} is set, but {needed} is not: set {needed} to its column")
        if self.cancelled and not self.reason:
            raise ValueError(
                "cancelled lists values of reason, but reason is not set: set it to the column of the reason why "
                "a term ended"
            )
        if self.reason and not self.cancelled:
            raise ValueError(
                f"reason is set, but cancelled is not: list the values of {self.reason!r} that count as churn, such as "
                'cancelled = ["surrender"]; other ends do not count'
            )
        return self

    def as_events(self) -> dict[str, Any]:
        """Return the [events] of a business that has only subscriptions: each start is an event without an amount."""
        shared = {key for key in TableSection.model_fields if key in Events.model_fields}
        return self.model_dump(include=shared | {"until"}) | {"time": self.start}
