"""Cards become HTML that holds no markup, link or style of the data; messages show code."""

from __future__ import annotations

import pytest

from serving.markdown import LONG, is_safe_link, mark_code, render_card
from training.registry.model_card import escape_markdown


def test_what_cards_use() -> None:
    text = "# One\n\n###### Six\n\nA `b<` **c**\nd\n\n- first\n  line\n- second\n\n"
    text += "| a | n |\n| :--- | ---: |\n| x\\|y | 1 |\n"
    assert render_card(text) == (
        "<h3>One</h3>\n<h6>Six</h6>\n<p>A <code>b&lt;</code> <strong>c</strong>\nd</p>\n"
        "<ul>\n<li>first\nline</li>\n<li>second</li>\n</ul>\n"
        '<div class="wide">\n<table>\n<thead>\n<tr>\n<th>a</th>\n<th class="n">n</th>\n</tr>\n</thead>\n'
        '<tbody>\n<tr>\n<td>x|y</td>\n<td class="n">1</td>\n</tr>\n</tbody>\n</table>\n</div>\n'
    )


@pytest.mark.parametrize(("rows", "scrolls"), [(LONG - 2, False), (LONG - 1, True)])
def test_a_long_table_scrolls(rows: int, scrolls: bool) -> None:
    card = render_card("| a |\n| --- |\n" + "| x |\n" * rows)
    assert ('<div class="wide tall" tabindex="0">' in card) is scrolls


@pytest.mark.parametrize(
    "data",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt&#58;alert(1))",
        "[a](data:text/html,x)",
        "[a](//example.com)",
        "[a](\\\\example.com)",
        "<javascript:alert(1)>",
        "![a](https://example.com/x.png)",
        "[a]: javascript:alert(1)\n\n[a]",
        "`<b>`",
        "```<b>\n<i>\n```",
    ],
)
def test_hostile_text_does_no_harm(data: str) -> None:
    for text in (data, f"# {data}", f"- {data}", f"| a |\n| --- |\n| {data} |"):
        html = render_card(text).lower()
        tags = {piece.split(">")[0].split()[0].strip("/") for piece in html.split("<")[1:]}
        assert tags <= {"p", "h3", "ul", "li", "div", "table", "thead", "tbody", "tr", "th", "td", "code", "pre", "a"}
        assert 'href="javascript' not in html and 'href="data' not in html and 'href="//' not in html
        assert "style=" not in html and "src=" not in html.replace("src=x", "")


@pytest.mark.parametrize(
    "text", ["gold|<b>*x*</b>", "[a](https://example.com)", "_a_ `b` # c\\", "1. one", "<https://a.b>"]
)
def test_escaped_text_is_shown_unchanged(text: str) -> None:
    expected = str(mark_code(text.replace("`", "'"))).replace("&#39;", "`").replace("&#34;", "&quot;")
    assert render_card(f"x {escape_markdown(text)}") == f"<p>x {expected}</p>\n"


def test_links() -> None:
    assert render_card("[a](https://example.com/b)") == '<p><a href="https://example.com/b">a</a></p>\n'
    safe = ("models?x=1", "/models", "http://a.b")
    unsafe = ("http:a", "mailto:a@b.c", "//a", "http://[")
    assert all(map(is_safe_link, safe)) and not any(map(is_safe_link, unsafe))


def test_code_in_messages() -> None:
    assert mark_code("run `a 'b'` **c** <i>") == "run <code>a &#39;b&#39;</code> **c** &lt;i&gt;"
