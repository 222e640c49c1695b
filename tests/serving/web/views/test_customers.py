"""The list of customers against plain Python over the same score table."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features.config.load import Config
from features.config.table_sections import Identity
from serving.language.formats import NumberFormat
from serving.web.parts.output_reader import open_site, read_scored_cutoff
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
