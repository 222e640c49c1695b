"""What `regulars explain` says of a lapsed customer."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from features.config.load import Config
from serving.winback import text as winback_text
from serving.winback.table import WinbackManifest, winback_rows_table

CUTOFF = date(2024, 6, 1)
REASON = {"feature": "recency_days", "phrase": "days since", "reading": "last order 400 days ago", "contribution": -0.1}


def _scores(**changes: Any) -> Any:
    row = {"customer_id": "c1", "silent_days": 400, "return_probability": 0.04, "reasons": [REASON]}
    row |= {"value": 3.0, "value_low": 0.0, "value_high": 9.0, "value_if_back": 75.0, "last_try": date(2024, 5, 1)}
    table = winback_rows_table({name: [value] for name, value in (row | changes).items()}, 1)
    facts = {"cutoff": CUTOFF, "customers": 1, "parts": [], "returns": 0.04, "last_try": 0.05, "fade": 1.0, "run": ""}
    model = {"label": "shop-winback-value/1", "task": {"horizon": "30d"}}
    return SimpleNamespace(table=lambda: table, manifest=WinbackManifest.model_validate({**facts, "model": model}))


def _text(shop: Config, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> str:
    monkeypatch.setattr(winback_text, "read_winback", lambda config, cutoff: _scores(**changes))
    return winback_text.lapsed_customer_text(shop, ("c1",), CUTOFF)


def test_a_lapsed_customer_is_explained(shop: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _text(shop, monkeypatch)
    assert text.startswith("customer c1 at 2024-06-01: lapsed, last purchase 400 days before")
    assert "coming back in the next 30 days   4.0%" in text and "if they come back   75" in text
    assert "2024-05-01 (past), after which the chance is below 5%" in text
    assert " -10.0 points  last order 400 days ago  [days since]" in text


def test_what_is_not_there_is_said_or_left_out(shop: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _text(shop, monkeypatch, value=None, last_try=None, reasons=[])
    assert "expected value" not in text and "the chance stays above 5%" in text
    assert "no model tells them apart" in text
    assert winback_text.lapsed_customer_text(shop, ("other",), CUTOFF) == ""
    monkeypatch.setattr(winback_text, "read_winback", lambda config, cutoff: None)
    assert winback_text.lapsed_customer_text(shop, ("c1",), CUTOFF) == ""
