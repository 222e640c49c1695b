"""An independent, slow computation of churn and value of subscriptions: day by day, one customer and cutoff at a time.

Shares no code with `features`. A term is a dictionary: customer, start, end (None: it runs), why, price (or None),
known (when the row was), end_known (when the end was); all dates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

Term = Mapping[str, Any]
GRACE = 7


def as_known(terms: Sequence[Term], day: date) -> list[Term]:
    """Return the terms whose start was known before a day; one whose end was not known runs."""
    begun = [term for term in terms if has_begun(term, day)]
    return [term if has_ended(term, day) else {**term, "end": None, "end_known": None} for term in begun]


def in_cohort(terms: Sequence[Term], cutoff: date) -> bool:
    """Return whether some term had begun and not ended, as far as was known before the cutoff."""
    return any(has_begun(term, cutoff) and not has_ended(term, cutoff) for term in terms)


def has_begun(term: Term, cutoff: date) -> bool:
    return term["start"] < cutoff and known(term) < cutoff


def has_ended(term: Term, cutoff: date) -> bool:
    if term["end"] is None:
        return False
    known_day = term["end_known"] or term["end"]
    return max(term["end"], known_day, known(term)) < cutoff


def known(term: Term) -> date:
    return term["known"] or term["start"]


def label(terms: Sequence[Term], cutoff: date, horizon: int, cancelled: Sequence[str]) -> tuple[int, bool]:
    """Return whether the customer churned, and whether the cover ended for another reason, day by day."""
    alive = [term for term in terms if not has_ended(term, cutoff)]
    last, left = None, False
    for number in range(horizon):
        day = cutoff + timedelta(number)
        covered = any(t["start"] <= day and (ends(t, cutoff) is None or day < ends(t, cutoff)) for t in alive)
        over = [t for t in alive if ends(t, cutoff) == day and t["start"] <= day]
        if covered:
            last, left = None, False
        elif over:
            last, left = number, any(t["why"] in cancelled for t in over)
        elif last is not None and number - last >= GRACE:
            return int(left), not left
    return (0, False) if last is None else (int(left), not left)


def ends(term: Term, cutoff: date) -> date | None:
    """Return the day of the end; an end before the cutoff that was not yet known counts on the cutoff."""
    return None if term["end"] is None else max(term["end"], cutoff)


def value(terms: Sequence[Term], cutoff: date, horizon: int, price_days: int) -> float:
    """Return the sum of the prices of all days in force within the horizon."""
    total = Fraction()
    for number in range(horizon):
        day = cutoff + timedelta(number)
        for term in terms:
            runs = term["start"] <= day and (term["end"] is None or day < max(term["end"], cutoff))
            if runs and not has_ended(term, cutoff) and term["price"] is not None:
                total += Fraction(str(term["price"])) / price_days
    return float(total)
