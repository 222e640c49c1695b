"""Column names in the form of feature names: of any script, never empty, and for ASCII as they always were."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.slugs import feature_slug, word_slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("StockCode", "stock_code"),
        ("store id", "store_id"),
        ("-a--b-", "a_b"),
        ("a  b", "a_b"),
        ("HTTPCode2", "httpcode2"),
        ("été!", "été"),
        ("商品", "商品"),
        ("商品 类别（一级）", "商品_类别_一级"),
        ("категория товара", "категория_товара"),
        ("श्रेणी", "श्रेणी"),
        ("หมวดหมู่", "หมวดหมู่"),
        ("🛒", "u1f6d2"),
        ("%", "u25"),
        ("_", "u5f"),
        ("€/$", "u20ac_u2f_u24"),
        ("", ""),
    ],
)
def test_slugs(name: str, slug: str) -> None:
    assert feature_slug(name) == slug


def test_both_forms_of_an_accent_are_one_name() -> None:
    assert feature_slug("Région") == feature_slug(unicodedata.normalize("NFD", "Région")) == "région"


@given(st.text(min_size=1, max_size=8))
def test_no_name_has_an_empty_slug(name: str) -> None:
    assert word_slug(name) and not re.search(r"[\s/.:\"'\\-]", word_slug(name))


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=8))
def test_the_slugs_of_ascii_names_stay_as_they_were(name: str) -> None:
    before = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower()
    assert not before or feature_slug(name) == before
