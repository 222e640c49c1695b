"""Features of activities: what each says, which there are, and the edges of windows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.features.test_sides import make_config_beside, one_customer  # noqa: F401 (fixtures)

CUTOFF = datetime(2024, 3, 1, tzinfo=UTC)
Make = Callable[..., dict[str, Any]]


def visit(days: float, measure: float | None = None, **more: Any) -> dict[str, Any]:
    return {"customer": "a", "time": CUTOFF - timedelta(days), "measure": measure, **more}
