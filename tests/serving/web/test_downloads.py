"""The list as CSV and as a workbook: the same rows, ids unchanged, and no formula that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from features.config.load import Config
from serving.web import downloads
from serving.web.parts.output_reader import open_site, read_scored_cutoff
from serving.web.views.customer_filter import CustomerFilter
from serving.web.views.plan import plan_names
from tests.webpages import HOSTILE, app_of, fetch, numbers


@pytest.fixture(scope="module")
def app(webpages: Config) -> Any:
    return app_of(webpages)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def sheet(body: bytes) -> list[tuple[Any, ...]]:
    book = openpyxl.load_workbook(io.BytesIO(body), read_only=True)
    return list(book.worksheets[0].iter_rows(values_only=True))


def test_csv_is_the_whole_list_in_its_order(app: Any, webpages: Config) -> None:
    answer = fetch(app, "/customers.csv?segment=keep&sort=value&page=3")
    assert answer.headers["content-disposition"] == 'attachment; filename="customers-2024-03-01.csv"'
    rows, known = table(answer.text), numbers(webpages)
    expected = sorted((v for v, s in zip(known["value"], known["segment"], strict=True) if s == "keep"), reverse=True)
    assert [float(row["value"]) for row in rows] == pytest.approx(expected)
    assert rows[0]["reason"] == "last order <9> days ago" and rows[0]["cutoff"] == "2024-03-01"
    chosen = table(fetch(app, "/customers.csv?cols=churn_reasons&cols=tier").text)
    assert set(chosen[0]) == {"customer_id", "cutoff", "tier", "churn_reasons"}
    assert chosen[0]["churn_reasons"].startswith("last order <9> days ago (")


def test_the_list_has_the_action_of_the_live_plan_in_page_and_file(app: Any) -> None:
    rows = table(fetch(app, "/customers.csv?sort=customer_id").text)
    contacted = [row for row in rows if row["action"]]
    assert 0 < len(contacted) < len(rows) == 300
    text = fetch(app, f"/customers?q={contacted[0]['customer_id']}").text
    assert f"<td>{contacted[0]['action']}</td>" in text and "last order &lt;9&gt; days ago" in text


def test_csv_escapes_formulas_and_a_workbook_keeps_text_as_text(app: Any) -> None:
    rows = table(fetch(app, "/customers.csv?sort=customer_id").text)
    assert {row["customer_id"] for row in rows} >= {"'=1+1", "<script>alert(1)</script>", "客户 '一' %00"}
    book = openpyxl.load_workbook(io.BytesIO(fetch(app, "/customers.xlsx").body))
    cells = [row[0] for row in book.worksheets[0].iter_rows(min_row=2)]
    assert {cell.value for cell in cells} >= set(HOSTILE)
    assert {cell.data_type for cell in cells} == {"s"}


def test_a_workbook_holds_the_same_as_the_csv(app: Any) -> None:
    query = "risk_from=40&sort=customer_id"
    rows, cells = table(fetch(app, f"/customers.csv?{query}").text), sheet(fetch(app, f"/customers.xlsx?{query}").body)
    assert cells[0] == tuple(rows[0]) and len(cells) == len(rows) + 1
    place = cells[0].index("churn_probability")
    assert [row[place] for row in cells[1:]] == pytest.approx([float(row["churn_probability"]) for row in rows])


def test_an_empty_list_is_a_header(app: Any) -> None:
    assert table(fetch(app, "/customers.csv?q=nobody").text) == []
    assert fetch(app, "/customers.csv?q=nobody").text.startswith('"customer_id","cutoff"')
    assert len(sheet(fetch(app, "/customers.xlsx?q=nobody").body)) == 1


def test_more_rows_than_a_sheet_holds_are_refused_with_a_message(
    webpages: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "EXCEL_ROWS", 200)
    app = app_of(webpages)
    answer = fetch(app, "/customers.xlsx")
    assert answer.status == 413 and "300 customers, but an Excel sheet holds only 200 rows" in answer.text
    text = fetch(app, "/customers").text
    assert "An Excel sheet holds 200 rows" in text and 'id="xlsx"' not in text


def test_a_workbook_leaves_no_file_behind(webpages: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert fetch(app_of(webpages), "/customers.xlsx").status == 200
    assert list(tmp_path.iterdir()) == []
    site = open_site(webpages)

    def broken(*given: object) -> Iterator[object]:
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(downloads, "_batches", broken)
    with pytest.raises(ZeroDivisionError):
        downloads.write_workbook(
            site, downloads.customers_listing(site, read_scored_cutoff(site), CustomerFilter(), True)
        )
    assert list(tmp_path.iterdir()) == []


def test_a_plan_is_downloaded_as_it_is_shown_with_its_holdout_and_its_file(app: Any, webpages: Config) -> None:
    name = next(iter(plan_names(open_site(webpages))))
    page = fetch(app, f"/plan?plan={name}&budget=20").text
    shown = int(re.search(r'id="in">([\d,]+)<', page)[1])  # type: ignore[index]
    rows = table(fetch(app, f"/plan.csv?plan={name}&budget=20").text)
    assert len(rows) == shown > 0 and rows[0]["customer_id"] in unescape(page)
    assert sum(float(row["cost"]) for row in rows) <= 20
    assert len(sheet(fetch(app, f"/plan.xlsx?plan={name}&budget=20").body)) == shown + 1
    by_gain = table(fetch(app, f"/plan.csv?plan={name}&budget=20&sort=expected_gain&up=1").text)
    gains = [float(row["expected_gain"]) for row in by_gain]
    assert gains == sorted(gains) and len(gains) == shown
    keep = [row["customer_id"] for row in rows if row["segment"] == "keep"]
    kept = table(fetch(app, f"/plan.csv?plan={name}&budget=20&segment=keep").text)
    assert [row["customer_id"] for row in kept] == keep
    filtered = fetch(app, f"/plan?plan={name}&budget=20&segment=keep").text
    assert f"<b>{len(keep)} customer" in filtered and '<option value="keep" selected>' in filtered
    assert fetch(app, f"/plan?plan={name}&sort=shoe").status == 400
    held_out = table(fetch(app, f"/plan.csv?plan={name}&list=holdout").text)
    assert held_out and set(held_out[0]) == {"customer_id", "would_have", "segment", "churn_probability", "value"}
    file = fetch(app, f"/plan/campaign.csv?plan={name}")
    assert "campaign-" in file.headers["content-disposition"] and "would_have" in file.text.splitlines()[0]


def test_only_asking_for_the_head_makes_no_workbook(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "write_workbook", None)
    assert fetch(app, "/customers.xlsx", method="HEAD").status == 200
