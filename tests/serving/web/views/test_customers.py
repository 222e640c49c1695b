"""The list of customers against plain Python over the same score table."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features.config.load import Config
from features.config.table_sections import Identity
from serving.language.formats import NumberFormat
from serving.web.parts.output_reader import open_site, read_scored_cutoff
from serving.web.views import overview
from serving.web.views.customers import scored_name
from tests.webpages import app_of, fetch, numbers


@pytest.fixture(scope="module")
def app(webpages: Config) -> Any:
    return app_of(webpages)


def ids(text: str) -> list[str]:
    return re.findall(r'<th scope="row" class="id"><a href="[^"]*">(c\d+)</a>', text)


CASES: list[tuple[str, Callable[[Any], bool]]] = [
    ("segment=keep", lambda row: row["segment"] == "keep"),
    ("risk_from=30&risk_to=60", lambda row: 0.3 <= row["churn_probability"] <= 0.6),
    ("value_from=5&value_to=20", lambda row: 5 <= row["value"] <= 20),
    ("q=C01", lambda row: "c01" in row["customer_id"]),
    ("q=c%251", lambda row: False),
    ("at_risk_from=3", lambda row: row["value"] / (1 - row["churn_probability"]) * row["churn_probability"] >= 3),
    ("reason=nine", lambda row: False),
    (
        "segment=keep&risk_from=50&q=1",
        lambda row: row["segment"] == "keep" and row["churn_probability"] >= 0.5 and "1" in row["customer_id"],
    ),
]


@pytest.mark.parametrize(("query", "holds"), CASES)
def test_filters(app: Any, webpages: Config, query: str, holds: Callable[[Any], bool]) -> None:
    known = numbers(webpages)
    rows = [dict(zip(known, values, strict=True)) for values in zip(*known.values(), strict=True)]
    expected = [row for row in rows if holds(row)]
    form = NumberFormat(float(abs(known["value"]).mean()))
    text = fetch(app, f"/customers?{query}").text
    count_text = "1 customer" if len(expected) == 1 else f"{len(expected)} customers"
    assert f"<b>{count_text}</b>" in text
    if expected:
        assert f"expected value {form.money(sum(row['value'] for row in expected))}" in text
    else:
        assert "No customer matches" in text


@pytest.mark.parametrize(
    ("query", "key", "down"),
    [
        ("", "risk", True),
        ("sort=value", "value", True),
        ("sort=value&up=1", "value", False),
        ("sort=customer_id", "customer_id", False),
    ],
)
def test_sorting_and_paging_go_through_everybody_once(
    app: Any, webpages: Config, query: str, key: str, down: bool
) -> None:
    known = numbers(webpages)
    listed = [name for page in range(1, 7) for name in ids(fetch(app, f"/customers?{query}&page={page}").text)]
    ours = [name for name in known["customer_id"] if re.fullmatch(r"c\d+", name)]
    assert sorted(listed) == sorted(ours)
    if key == "risk":
        at_risk = {
            n: v / (1 - p) * p
            for n, v, p in zip(*(known[c] for c in ("customer_id", "value", "churn_probability")), strict=True)
        }
        assert listed == sorted(ours, key=lambda name: (-at_risk[name], name))
    elif key == "value":
        value = dict(zip(known["customer_id"], known["value"], strict=True))
        assert listed == sorted(ours, key=lambda name: (-value[name] if down else value[name], name))
    else:
        assert listed == sorted(ours)


def test_a_page_beyond_the_last_says_so(app: Any) -> None:
    assert "no such page" in fetch(app, "/customers?page=999999999999").text


def test_a_group_of_the_segments_lists_its_customers(app: Any) -> None:
    text = fetch(app, "/customers?by=rfm_group&group=champions").text
    assert "Only customers of the group &#39;champions&#39;" in text
    listed_ids = ids(text)
    assert listed_ids and all(int(name[1:]) % 2 == 0 for name in listed_ids)


def test_links_keep_what_was_asked(app: Any) -> None:
    text = fetch(app, "/customers?cutoff=2024-02-01&segment=keep&sort=value").text
    (following,) = re.findall(r'rel="next" href="([^"]+)"', text)
    assert set(following.partition("?")[2].split("&amp;")) >= {"segment=keep", "sort=value", "page=2"}
    assert "cutoff=2024-02-01" in following


def test_a_customer_is_found_in_any_spelling_and_under_every_id(
    app: Any, webpages: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = next(name for name in numbers(webpages)["customer_id"] if re.fullmatch(r"c\d+", name))
    pages = [fetch(app, f"/customer?id={given}") for given in (who, f"+{who}%C2%A0", f"%EF%BB%BF{who}")]
    assert [page.status for page in pages] == [200] * 3 and all(who in page.text for page in pages)
    at = read_scored_cutoff(open_site(webpages))
    (tmp_path / "who.csv").write_text(f"id,person\nguest,{who}\n")
    identity = Identity(source=str(tmp_path / "who.csv"), customer="id", person="person")
    site = open_site(webpages.model_copy(update={"identity": identity}))
    assert scored_name(site, at, "guest") == scored_name(site, at, who) == who
    assert scored_name(site, at, "nobody") == "nobody"
    monkeypatch.setenv("REGULARS_ID_KEY", "k" * 31)
    hashes = webpages.model_copy(update={"privacy": webpages.privacy.model_copy(update={"hash_ids": True})})
    assert scored_name(open_site(hashes), at, "guest") == "guest"  # without the key nothing can be looked up


def test_a_field_that_cannot_be_read_keeps_the_form_and_is_named(app: Any) -> None:
    answer = fetch(app, "/customers?risk_from=lots&segment=keep&value_from=9&value_to=3")
    assert answer.status == 400 and 'value="lots"' in answer.text and '<option value="keep" selected>' in answer.text
    assert 'id="risk_from-error">expected a number, found lots<' in answer.text
    assert 'id="value_to-error">this is less than the lower end, 9<' in answer.text
    assert fetch(app, "/customers.csv?risk_from=lots").status == 400
    assert "expected one of" in fetch(app, "/customers?sort=shoe&cols=hat").text


def test_the_plan_filters_and_columns_are_chosen(app: Any) -> None:
    rows = list(csv.DictReader(fetch(app, "/customers.csv").text.splitlines()))
    action = next(row["action"] for row in rows if row["action"])
    contacted, held_out, nothing = (
        [row["customer_id"] for row in csv.DictReader(fetch(app, f"/customers.csv?action={asked}").text.splitlines())]
        for asked in (action, "(held+out)", "(nothing)")
    )
    assert contacted == [row["customer_id"] for row in rows if row["action"] == action]
    assert len(contacted) + len(held_out) + len(nothing) == len(rows) and held_out
    text = fetch(app, "/customers?cols=segment&cols=tier&sort=action").text
    assert re.findall(r'<th scope="col"[^>]*><a[^>]*>([A-Z][a-z]+)', text) == ["Customer", "Segment", "Tier"]
    assert "cols=segment%2Ctier" in text


def test_newly_at_risk_are_those_of_the_first_page(app: Any, webpages: Config) -> None:
    site = open_site(webpages)
    changes = overview.changes_since(site, read_scored_cutoff(site))
    assert changes is not None
    text = fetch(app, "/customers?newly=1").text
    became = len(changes["became"])
    shown = int(re.search(r"<b>(\d+) customers?</b>", text)[1])  # type: ignore[index]
    assert shown >= became and f"newly at risk {shown}" in " ".join(changes["sentences"]) if shown else not became
