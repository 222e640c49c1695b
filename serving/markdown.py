"""Renders Markdown as safe HTML: model cards for the web page, and code in messages.

A card may have been written by somebody else, and its tables hold text from customers' data. So raw HTML is escaped,
images are not rendered, links lead only to http(s) or relative addresses, and no attribute holds a style, which the
page's content policy forbids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

LONG = 30  # a table with so many rows scrolls
HEADING_SHIFT, LOWEST_HEADING = 2, 6  # a card's first heading stands below the page's <h1> and <h2>


def render_card(text: str) -> Markup:
    r"""Render a card as HTML, with its headings two levels lower.

    >>> render_card("# A <b>\n\nOne **two** `x*y`")
    Markup('<h3>A &lt;b&gt;</h3>\n<p>One <strong>two</strong> <code>x*y</code></p>\n')
    """
    html = CARD.renderer.render(list(_page_tokens(CARD.parse(text))), CARD.options, {})
    return Markup(html)  # noqa: S704 (the renderer escapes text, and raw HTML is off)


def mark_code(text: str) -> Markup:
    """Set text between backticks as code, and escape everything else.

    >>> mark_code("run `regulars plan` & see <b>")
    Markup('run <code>regulars plan</code> &amp; see &lt;b&gt;')
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped)


def is_safe_link(address: str) -> bool:
    """Return whether a link may be rendered: to http(s), or relative to the page.

    >>> is_safe_link("https://example.com/a"), is_safe_link("models#card")
    (True, True)
    >>> is_safe_link("javascript:alert(1)"), is_safe_link("//example.com"), is_safe_link("https:example.com")
    (False, False, False)
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return bool(parts.netloc) if parts.scheme in ("http", "https") else not parts.scheme and not parts.netloc


class CardParser(MarkdownIt):
    """CommonMark with tables, without raw HTML, images and unsafe links."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False})
        self.enable("table").disable("image")

    def validateLink(self, url: str) -> bool:
        """Return whether a link may be rendered; the parser asks for each of them."""
        return is_safe_link(url)


CARD = CardParser()


def _page_tokens(tokens: Sequence[Token]) -> Iterator[Token]:
    """Yield the tokens as the page needs them: lower headings, classes for styles, and tables in a scrolling frame."""
    for place, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + HEADING_SHIFT, LOWEST_HEADING)}"
        if token.type in ("th_open", "td_open") and "right" in str(token.attrs.pop("style", "")):
            token.attrSet("class", "n")  # numbers
        if token.type == "table_open":
            yield _frame(tokens[place:])
        yield token
        if token.type == "table_close":
            yield Token("frame_close", "div", -1, block=True)


def _frame(tokens: Sequence[Token]) -> Token:
    """The start of the frame of a table, whose tokens are the first of these."""
    end = next(place for place, token in enumerate(tokens) if token.type == "table_close")
    rows = sum(token.type == "tr_open" for token in tokens[:end])
    attributes = {"class": "wide tall", "tabindex": "0"} if rows >= LONG else {"class": "wide"}
    return Token("frame_open", "div", 1, attrs=dict(attributes), block=True)
