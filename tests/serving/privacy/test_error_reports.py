"""Forgetting a customer also removes reports of errors that quote the customer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from serving.privacy.error_reports import remove_error_reports
from serving.unforeseen import error_reports, report_unforeseen_error


def test_reports_that_name_the_customer_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    report_unforeseen_error(KeyError("customer-0042"), "regulars check")
    report_unforeseen_error(KeyError("customer-00421"), "regulars check")
    named = frozenset({"customer-0042"})
    (preview,) = remove_error_reports(named, confirmed=False)
    assert len(error_reports()) == 2
    assert remove_error_reports(named, confirmed=True) == [preview]
    (left,) = error_reports()
    assert "customer-00421" in left.read_text() and remove_error_reports(named, confirmed=True) == []
