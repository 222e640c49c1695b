"""What BG/NBD and Gamma-Gamma expect of each customer, one at a time, from the days with a purchase and their spend.

The models themselves are those of `features.catalog.btyd_model`, whose own tests hold them to published figures; what
goes into them
is worked out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction

from features.catalog.btyd_model import fit_bgnbd, fit_gamma_gamma

Days = Mapping[str, Mapping[date, Fraction]]


def expectations(days: Days, cutoff: date, horizon: int, has_amount: bool) -> dict[str, dict[str, float | None]]:
    """Fits both models to all customers, then asks them of each customer alone."""
    told = {customer: summary(own, cutoff) for customer, own in days.items()}
    rhythm = fit_bgnbd(*zip(*[row[:3] for row in told.values()], strict=True)) if told else None
    spend = fit_gamma_gamma(*zip(*[(row[0] + 1, row[3]) for row in told.values()], strict=True)) if told else None
    found: dict[str, dict[str, float | None]] = {}
    for customer, (repeats, recency, age, mean) in told.items():
        orders = float(rhythm.expected_orders([repeats], [recency], [age], horizon)[0])
        found[customer] = {
            "orders_expected": orders,
            "alive_probability": float(rhythm.alive_probability([repeats], [recency], [age])[0]),
            "return_probability": float(rhythm.return_probability([repeats], [recency], [age], horizon)[0]),
        }
        if has_amount:
            amount = float(spend.expected_spend([repeats + 1], [mean])[0])
            found[customer] |= {"order_amount_expected": amount, "amount_expected": orders * amount}
    return found


def summary(own: Mapping[date, Fraction], cutoff: date) -> tuple[int, int, int, float]:
    """Repeat purchases, days from the first to the last, days from the first to the cutoff, mean spend a day."""
    first, last = min(own), max(own)
    return len(own) - 1, (last - first).days, (cutoff - first).days, float(sum(own.values())) / len(own)
