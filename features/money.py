"""Money as whole ticks, and the numbers that stay exact."""

from __future__ import annotations

TICKS = 10_000


LARGEST_AMOUNT, GREATEST_FLOAT = 1e12, 1.7976931348623157e308
