"""A customer's mentions in text and JSON are found and removed; numbers and short words are not taken for ids."""

from __future__ import annotations

import pytest

from serving.privacy.mentions import line_without_customer, names_customer, without_customer

NAMES = frozenset({"C-8"})
NUMBER = frozenset({"8"})


@pytest.mark.parametrize(
    ("text", "names", "quoted_only", "named"),
    [
        ("customers such as 'C-7', 'C-8'", NAMES, False, True),
        ("see C-8.", NAMES, False, True),
        ("see C-8.", NAMES, True, False),
        ("<td>C-8</td>", NAMES, True, True),
        ("C-88 and AC-8", NAMES, False, False),
        ("8 customers", NUMBER, False, False),
        ("customer '8'", NUMBER, False, True),
    ],
)
def test_finding(text: str, names: frozenset[str], quoted_only: bool, named: bool) -> None:
    assert names_customer(text, names, quoted_only) is named


def test_rows_and_elements_are_dropped_and_text_gets_a_placeholder() -> None:
    value = {
        "rows": [{"customer_id": "8", "churn": 0.1}, {"customer_id": "9"}],
        "customers": ["8", 8, "9"],
        "note": "see '8'",
    }
    assert without_customer(value, NUMBER, {}) == {
        "rows": [{"customer_id": "9"}], "customers": ["9"], "note": "see '(forgotten)'",
    }  # fmt: skip
    assert without_customer({"version": "8", "count": 8}, NUMBER, {}) == {"version": "8", "count": 8}


def test_checksums_and_row_counts_of_changed_files_follow() -> None:
    digests = {"old": ("new", 4), "text": ("other", None)}
    assert without_customer({"file": "a", "rows": 5, "sha256": "old"}, NAMES, digests) == {
        "file": "a", "rows": 4, "sha256": "new",
    }  # fmt: skip
    assert without_customer({"rows": 5, "sha256": "text"}, NAMES, digests) == {"rows": 5, "sha256": "other"}


def test_lines_of_json() -> None:
    kept = '{"a":  1}\n'
    assert line_without_customer(kept, NAMES, {}) == kept
    assert line_without_customer('{"customer": "C-8"}\n', NAMES, {}) == '{"customer": "(forgotten)"}\n'
    assert line_without_customer('{"customer": "C-8', NAMES, {}) == ""
    assert line_without_customer('{"customer": "C-9', NAMES, {}) == '{"customer": "C-9'
