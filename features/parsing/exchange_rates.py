"""What amounts in several currencies are multiplied by, so that they can be added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ibis

from features.currencies import CURRENCY_CODES, can_mean, currency_code
from features.engines.base import Engine

MOST_TEXTS = 500  # distinct texts of a column of currencies; the most frequent are looked at


@dataclass(frozen=True)
class ExchangeRates:
    """How the amounts of each row become amounts of one currency, by a column of currencies.

    Attributes:
        rates: By text of the column: what an amount is multiplied by.
        rows: How many rows each currency has; texts that are no currency stand for themselves.
        without_rate: The currencies, or texts, whose rows cannot be used.
    """

    rates: Mapping[str, float]
    rows: Mapping[str, int]
    without_rate: tuple[str, ...]

    def rate(self, column: ibis.Value) -> ibis.Value:
        """The rate of each row; null where there is none."""
        if not self.rates:
            return ibis.null("float64")
        tests = ((column == text, ibis.literal(rate)) for text, rate in self.rates.items())
        return ibis.cases(*tests, else_=ibis.null("float64"))


def decide_exchange_rates(column: ibis.Value, engine: Engine, rates: Mapping[str, float]) -> ExchangeRates:
    """Looks at all currencies of a column, and decides what amounts in each are multiplied by.

    Args:
        column: Codes or signs of currencies as text; null where there is none.
        engine: Where it is.
        rates: The rate of each currency; empty: only the most frequent currency is used, unchanged.

    Returns:
        The rates by the column's texts.
    """
    rows = column.name("text").as_table()
    counts = rows.filter(rows.text.notnull()).group_by("text").aggregate(rows=lambda t: t.count())
    top = engine.to_arrow(counts.order_by(ibis.desc("rows"), "text").limit(MOST_TEXTS)).to_pylist()
    codes = {row["text"]: _code(row["text"]) for row in top}
    totals: dict[str, int] = {}
    for row in top:
        totals[codes[row["text"]]] = totals.get(codes[row["text"]], 0) + int(row["rows"])
    known = rates or dict.fromkeys(sorted(totals, key=lambda code: (-totals[code], code))[:1], 1.0)
    by_code = {code: _rate_of(code, known) for code in totals}
    by_text = {text: rate for text, code in codes.items() if (rate := by_code[code]) is not None}
    return ExchangeRates(by_text, totals, tuple(code for code, rate in by_code.items() if rate is None))


def _code(text: str) -> str:
    """The code of a currency, or the text itself if it is none."""
    stripped = text.strip()
    return stripped.upper() if stripped.upper() in CURRENCY_CODES else currency_code(stripped) or stripped


def _rate_of(code: str, rates: Mapping[str, float]) -> float | None:
    """The rate of a currency; a sign that several countries use has one if only one of them has a rate."""
    if code in rates:
        return rates[code]
    possible = [rate for name, rate in rates.items() if can_mean(code, name)]
    return possible[0] if len(possible) == 1 else None
