"""Money as integers: ticks of 1/10,000 of the currency, so that sums are exact; and limits of numbers."""

from __future__ import annotations

TICKS = 10_000  # in one unit of money
LARGEST_AMOUNT, GREATEST_FLOAT = 1e12, 1.7976931348623157e308
