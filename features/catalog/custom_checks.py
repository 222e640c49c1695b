"""Checks of the user's own features: texts, expressions and measures. Each error raises `CustomFeatureError`."""

from __future__ import annotations

import re
from collections.abc import Set
from string import Formatter
from typing import Any

import ibis
import ibis.expr.operations as ops

from features.feature import Feature
from features.point_in_time.history import KEYS
from features.point_in_time.measures import Measure
from features.task import Window, is_label

UNITS = ("orders", "days", "money", "share", "ratio", "count", "level")
RESERVED = {*KEYS, "base", "total", "purchases", "net"}
NAME = re.compile(r"[a-z][a-z0-9_]*")
NAME_RULE = "a name is a column name: a lower-case letter, then lower-case letters, digits and _"
NONDETERMINISTIC = (ops.Impure, ops.TimestampNow, ops.DateNow)
MANY_ROWS = (ops.Reduction, ops.Analytic, ops.WindowFunction, ops.Subquery)
FLOAT_SPREADS = (ops.Variance, ops.StandardDev, ops.Covariance, ops.Correlation)


class CustomFeatureError(Exception):
    """Says what is wrong with the user's declaration of features."""


def check_feature(feature: Feature, known: Set[str]) -> None:
    """Checks all of a feature that can be checked without data; `known` has the names of all features."""
    if not isinstance(feature.name, str) or not NAME.fullmatch(feature.name):
        raise CustomFeatureError(f"feature {feature.name!r}: {NAME_RULE}")
    place = f"feature {feature.name}"
    if feature.name in RESERVED or is_label(feature.name):
        raise CustomFeatureError(f"{place}: its name is that of a column which every table has; give it another name")
    if not callable(feature.compute):
        raise CustomFeatureError(
            f"{place}: compute is {type(feature.compute).__name__}; expected a function of the measures `m`"
        )
    for field in ("family", "phrase", "reading", "unread", "at_zero"):
        _check_words(getattr(feature, field), f"{place}: {field}", field)
    if feature.unit not in UNITS:
        raise CustomFeatureError(f"{place}: unit {feature.unit!r} is not known; expected one of {', '.join(UNITS)}")
    if feature.window is not None and not isinstance(feature.window, Window):
        raise CustomFeatureError(f"{place}: window is {feature.window!r}; expected one of task.windows, or None")
    if not isinstance(feature.actionable, bool):
        raise CustomFeatureError(f"{place}: actionable is {feature.actionable!r}; expected True or False")
    _check_reading(feature, place, known)


def _check_words(text: Any, place: str, field: str) -> None:
    if not isinstance(text, str):
        raise CustomFeatureError(f"{place} is {type(text).__name__}; expected text")
    if field not in ("unread", "at_zero") and not text.strip():
        raise CustomFeatureError(f"{place} is missing: marketers read it, so give it a text")
    if field != "reading" and re.search(r"[{}]", text):
        raise CustomFeatureError(f"{place} {text!r} has braces; only a reading may have them")


def _check_reading(feature: Feature, place: str, known: Set[str]) -> None:
    try:
        fields = [(name, spec, change) for _, name, spec, change in Formatter().parse(feature.reading)]
    except ValueError as problem:
        raise CustomFeatureError(f"{place}: reading {feature.reading!r} cannot be filled: {problem}") from None
    for name, spec, change in fields:
        if name is None:
            continue
        if change or name not in {"value", *known}:
            raise CustomFeatureError(
                f"{place}: reading {feature.reading!r} names {{{name}}}, which is no feature; {{value:...}} is this one"
            )
        if not spec and not (name == "value" and feature.unit == "level"):
            raise CustomFeatureError(
                f"{place}: reading {feature.reading!r} does not say how to write {{{name}}}: {{{name}:days}}"
            )


def check_column(feature: Feature, value: Any) -> None:
    """Checks what `compute` returned: a number, or text for a level, that depends on the customer's own row alone."""
    if not isinstance(value, ibis.Value):
        shown = f"the text {value!r}" if isinstance(value, str) else type(value).__name__
        raise CustomFeatureError(
            f"returns {shown}; expected an expression of the measures, such as m.amount_90d / m.orders_90d"
        )
    kind, text = value.type(), feature.unit == "level"
    if text and not kind.is_string():
        raise CustomFeatureError(f"returns {kind} but its unit is 'level', which is text; give a number another unit")
    if kind.is_string() and not text:
        raise CustomFeatureError("returns text; a feature is a number, unless its unit is 'level'")
    if kind.is_boolean():
        raise CustomFeatureError("returns true or false; a feature is a number: add .ifelse(1, 0)")
    if not text and not kind.is_numeric():
        raise CustomFeatureError(f"returns {kind}; a feature is a number, or text where its unit is 'level'")
    op = value.op()
    _refuse_clock_and_chance(op)
    if op.shape.is_scalar() or op.find(MANY_ROWS, filter=ops.Value):
        raise CustomFeatureError(
            "does not depend on the customer's own row alone: `compute` sees one row for each customer and may not "
            "count, add up or rank over rows; do that in `measures`, by customer and cutoff"
        )


def check_measure(measure: Any, rows: ibis.Table) -> None:
    """Checks that `add_up` can add a measure up to the same bits in any order of rows."""
    if not isinstance(measure, Measure):
        raise CustomFeatureError(f"add_up is given {type(measure).__name__} where a Measure is expected")
    place = f"measure {measure.name}"
    if not isinstance(measure.name, str) or not NAME.fullmatch(measure.name):
        raise CustomFeatureError(f"measure {measure.name!r}: {NAME_RULE}")
    if measure.merge not in ("sum", "max", "min"):
        raise CustomFeatureError(f"{place}: merge {measure.merge!r} is not known; expected 'sum', 'max' or 'min'")
    value = measure.aggregate(rows)
    if not isinstance(value, ibis.Value) or not value.op().shape.is_scalar():
        raise CustomFeatureError(f"{place}: aggregate returns no single value; expected one such as o.purchase.sum()")
    kind = value.type()
    if measure.merge == "sum" and not (kind.is_integer() or kind.is_decimal()):
        raise CustomFeatureError(
            f"{place}: adds up {kind}, but only whole numbers add up to the same bits in any order; amounts are whole "
            "ten-thousandths: keep them as they are, and divide by TICKS in the feature"
        )
    refuse_unstable_sums(value.op())


def check_measures_table(rows: Any) -> None:
    """Checks what a family's `measures` returned: customer_id, cutoff and at least one measure, all well named."""
    if not isinstance(rows, ibis.Table):
        raise CustomFeatureError(
            f"measures returns {type(rows).__name__}; expected a table with customer_id, cutoff and the measures"
        )
    missing = [key for key in KEYS if key not in rows.columns]
    if missing:
        raise CustomFeatureError(
            f"measures returns a table without {' and '.join(missing)}; it has {', '.join(rows.columns)}"
        )
    if not (rows.customer_id.type().is_string() and rows.cutoff.type().is_date()):
        types = f"{rows.customer_id.type()} and {rows.cutoff.type()}"
        raise CustomFeatureError(
            f"measures returns customer_id and cutoff as {types}; expected text and a date, as the past has them"
        )
    misnamed = [name for name in rows.columns if not NAME.fullmatch(name)]
    if misnamed:
        raise CustomFeatureError(f"measure {misnamed[0]!r}: {NAME_RULE}")
    if len(rows.columns) == len(KEYS):
        raise CustomFeatureError("measures returns a table without any measure beside customer_id and cutoff")
    refuse_unstable_sums(rows.op())


def refuse_unstable_sums(op: ops.Node) -> None:
    """Raises CustomFeatureError for what may change from run to run: today's date, random numbers, sums of floats."""
    _refuse_clock_and_chance(op)
    for node in op.find((ops.Sum, ops.Mean)):
        if node.arg.dtype.is_floating():
            raise CustomFeatureError(
                "adds up floats, whose last bits depend on the order of the rows; add up whole numbers (amounts are "
                "whole ten-thousandths) and divide in the feature"
            )
    for node in op.find(FLOAT_SPREADS):
        raise CustomFeatureError(
            f"uses {type(node).__name__}, whose last bits depend on the order of the rows; measure the count, the sum "
            "and the sum of squares, and use spread(...) in the feature"
        )


def _refuse_clock_and_chance(op: ops.Node) -> None:
    for node in op.find(NONDETERMINISTIC):
        raise CustomFeatureError(
            f"uses {type(node).__name__}, which differs from run to run; days are counted back from the cutoff"
        )
