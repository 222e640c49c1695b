"""Features of the customer table: attributes as known at a cutoff, and how long ago the customer signed up."""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.config.data_contract import CustomerAttribute, DataContract
from features.feature import Feature, measure_value
from features.intake.customer_table import CUSTOMER_TABLE, SINCE, attribute_column
from features.point_in_time.history import KEYS, Past, days_since
from features.templates import phrase

SIGNED_UP = "signup:age"


def attribute_measures(past: Past) -> ibis.Table:
    """The attributes as known at each cutoff, dates as days before the cutoff; null if a date was still to come."""
    contract, rows = past.tables.contract, past.newest(past.tables.sides[CUSTOMER_TABLE].rows)
    values = {attribute_column(a.name): _value_at_cutoff(rows, a) for a in contract.attributes}
    signed_up = {SIGNED_UP: days_since(rows, SINCE)} if contract.has_since else {}
    return rows.select(*KEYS, **values, **signed_up)


def attribute_features(contract: DataContract) -> Iterator[Feature]:
    """One feature for each attribute, in the config's order, then the features of signing up."""
    for attribute in contract.attributes:
        yield _FORMS[attribute.value_type](attribute.name)
    if contract.has_since:
        yield from _signup_features()


def _value_at_cutoff(rows: ibis.Table, attribute: CustomerAttribute) -> ibis.Value:
    name = attribute_column(attribute.name)
    return days_since(rows, name) if attribute.value_type == "date" else rows[name]


def _number_feature(slug: str) -> Feature:
    return _attribute_feature(slug, "<attribute>", "<attribute> {value:plain}", "count")


def _level_feature(slug: str) -> Feature:
    return _attribute_feature(slug, "<attribute>", "<attribute> {value}", "level")


def _date_feature(slug: str) -> Feature:
    return _attribute_feature(slug, "days since <attribute>", "<attribute> {value:days} ago", "days")


def _attribute_feature(slug: str, what: str, reading: str, unit: str) -> Feature:
    noun = slug.replace("_", " ")
    return Feature(
        slug,
        measure_value(attribute_column(slug)),
        f"customer's {noun}",
        phrase(what, attribute=noun),
        phrase(reading, attribute=noun),
        unit,
        unread=phrase("<attribute> not known", attribute=noun),
    )


_FORMS = {"number": _number_feature, "date": _date_feature, "level": _level_feature}


def _signup_features() -> Iterator[Feature]:
    yield Feature(
        "signup_age_days",
        measure_value(SIGNED_UP),
        "signing up",
        "days since signing up",
        "signed up {value:days} ago",
        "days",
        unread="day of signing up not known",
    )
    yield Feature(
        "signup_to_first_order_days",
        lambda m: (m[SIGNED_UP] < m.tenure).ifelse(ibis.literal(0, "int64"), m[SIGNED_UP] - m.tenure),
        "signing up",
        "days from signing up to the first order",
        "first order {value:days} after signing up",
        "days",
        unread="day of signing up not known",
        at_zero="first order no later than the day of signing up",
    )
