"""An id is recognised however a file escapes it, and however Unicode writes its letters."""

from __future__ import annotations

import csv
import html
import io
import json
import unicodedata
from urllib.parse import quote, urlencode

import pytest
from markupsafe import escape

from serving.privacy.mentions import names_customer, text_without_customer, without_customer
from serving.privacy.spellings import plain_texts, same_names

IDS = ["C-1042", 'O\'Hara & "Sons" <7>', "客户-一", "José-12", "a/b?c=d&e#7 %", "=1+1'x7", "tab\tid-7", "😀-id-9"]


def in_csv(name: str) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerow([name, "x"])
    return out.getvalue()


WAYS = {
    "plain": lambda name: f"customer {name}, and others",
    "html": lambda name: f"<td>{html.escape(name)}</td>",
    "markup": lambda name: f"<td>{escape(name)}</td>",
    "json": lambda name: json.dumps({"note": [name]}),
    "json in unicode": lambda name: json.dumps({"note": name}, ensure_ascii=False),
    "json in html": lambda name: f"<p data-x='{html.escape(json.dumps([name]))}'>",
    "json in json": lambda name: json.dumps(json.dumps([name])),
    "url": lambda name: f"/customer?id={quote(name, safe='')}&cutoff=2024-01-01",
    "url with plus": lambda name: "/customer?" + urlencode({"id": name}),
    "url in html": lambda name: f'<a href="/customer?cutoff=1&amp;id={quote(name)}">',
    "csv": in_csv,
    "repr": lambda name: f"no such customer: {name!r}",
    "ascii": lambda name: f"no such customer: {ascii(name)}",
    "sql": lambda name: "id = '" + name.replace("'", "''") + "'",
    "decomposed": lambda name: f"customer {unicodedata.normalize('NFD', name)}.",
    "composed": lambda name: f"customer {unicodedata.normalize('NFKC', name)}.",
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_found_and_replaced(way: str) -> None:
    for name in IDS:
        text = WAYS[way](name)
        assert names_customer(text, frozenset({name})), (name, text)
        left = text_without_customer(text, frozenset({name}))
        assert "(forgotten)" in left and not names_customer(left, frozenset({name})), (name, text, left)
        assert not names_customer(WAYS[way](f"{name}8"), frozenset({name})), (name, way)


def test_an_id_in_another_is_not_the_same() -> None:
    for text in ("C-10421", "AC-1042", "C-1042-1", "客户-一二"):
        assert not names_customer(text, frozenset({"C-1042", "客户-一"}))


def test_keys_and_nested_documents_are_cleaned() -> None:
    names = frozenset({"José-12"})
    value = {"by": {"Jose\u0301-12": 1, "other": 2}, "text": json.dumps({"id": "José-12"}), "José-12": "x"}
    cleaned = without_customer(value, names, {})
    assert not names_customer(json.dumps(cleaned), names) and cleaned["by"]["other"] == 2
    assert set(cleaned) == {"by", "text", "(forgotten)"}


def test_texts_without_escapes_are_searched_once() -> None:
    assert list(plain_texts("nothing to undo")) == ["nothing to undo"]
    assert same_names(["12"]) == frozenset({"12"})
