"""The part of the report on lapsed customers."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

from serving.report.winback import last_try_text, winback_section
from serving.winback.table import WinbackManifest, winback_rows_table

CUTOFF = date(2024, 6, 1)


def _section(customers: int = 3, **changes: Any) -> Any:
    columns: dict[str, Any] = {
        "customer_id": ["past", "rich", "poor"],
        "silent_days": [900, 400, 500],
        "return_probability": [0.01, 0.2, 0.1],
        "value": [99.0, 9.0, 5.0],
        "last_try": [date(2024, 1, 1), date(2024, 9, 1), None],
        "reasons": [[{"feature": "f", "phrase": "p", "reading": "silent", "contribution": -0.1}]] * 3,
    }
    model = {"label": "m/1", "task": {"horizon": "30d", "silent_for": "90d", "active_within": "270d"}, **changes}
    facts = {
        "cutoff": CUTOFF,
        "customers": customers,
        "parts": [],
        "returns": 0.3,
        "last_try": 0.05,
        "fade": 1,
        "run": "",
    }
    scores = SimpleNamespace(
        table=lambda: winback_rows_table(columns, 3), manifest=WinbackManifest.model_validate({**facts, "model": model})
    )
    wording: Any = SimpleNamespace(points=lambda change: f"{100 * change:+.0f}", tr=str)
    inputs: Any = SimpleNamespace(winback=SimpleNamespace(content=scores if customers else None))
    return winback_section(wording, inputs)


def test_those_who_can_still_be_tried_are_listed_by_value() -> None:
    section = _section()
    assert [row["customer_id"] for row in section["rows"]] == ["rich", "poor"]
    assert [row["until"] for row in section["rows"]] == ["2024-09-01", "not in sight"]
    assert section["rows"][0]["why"] == [{"amount": "-10", "reading": "silent"}]
    assert (section["days"], section["active"], section["limit"], section["skill"]) == (30, 90, 270, True)
    assert last_try_text(date(2024, 1, 1), CUTOFF, str) == "past"


def test_there_is_no_section_without_lapsed_customers() -> None:
    assert _section(customers=0) is None
    assert _section(skill=False)["skill"] is False
