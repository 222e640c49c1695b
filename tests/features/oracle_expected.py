"""An independent computation of the inputs of BG/NBD and Gamma-Gamma, and their predictions for each customer.

The models are those of `features.catalog.btyd_model`, whose own tests compare them with published figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction

from features.catalog.btyd_model import fit_bgnbd, fit_gamma_gamma

Days = Mapping[str, Mapping[date, Fraction]]


def expectations(
    days: Days, cutoff: date, horizon: int, has_amount: bool, length: int, active_within: int
) -> dict[str, dict[str, float | None]]:
    """Fit both models to the cohort; predict each customer separately."""
    summaries = {customer: summary(own, cutoff, length) for customer, own in days.items()}
    recent = [row for row in summaries.values() if row[2] - row[1] <= active_within]
    rhythm = fit_bgnbd(*([row[place] for row in recent] for place in range(3)))
    spend = fit_gamma_gamma([row[0] + 1 for row in recent], [row[3] for row in recent])
    expected: dict[str, dict[str, float | None]] = {}
    for customer, (repeats, recency, age, mean) in summaries.items():
        orders = float(rhythm.expected_orders([repeats], [recency], [age], horizon)[0])
        expected[customer] = {
            "orders_expected": orders,
            "alive_probability": float(rhythm.alive_probability([repeats], [recency], [age])[0]),
            "return_probability": float(rhythm.return_probability([repeats], [recency], [age], horizon)[0]),
        }
        if has_amount:
            amount = float(spend.expected_spend([repeats + 1], [mean])[0])
            expected[customer] |= {"order_amount_expected": amount, "amount_expected": orders * amount}
    return expected


def summary(own: Mapping[date, Fraction], cutoff: date, length: int) -> tuple[int, int, int, float]:
    """Repeat purchases, days from the first to the last, days from the first to the cutoff, mean spend a day.

    Of the last `length` days; of a customer without a purchase in them, the last one counts.
    """
    inside = {day: spend for day, spend in own.items() if (cutoff - day).days <= length}
    inside = inside or {max(own): own[max(own)]}
    first, last = min(inside), max(inside)
    return len(inside) - 1, (last - first).days, (cutoff - first).days, float(sum(inside.values())) / len(inside)
