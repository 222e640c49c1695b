"""Render a model card as HTML: the small part of Markdown that cards use, from escaped text only.

Headings, paragraphs, lists, tables, `code`, **strong** and escaped signs; no links, no images and no HTML, so that a
card written by somebody else cannot do harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

LONG = 30  # a table with more rows scrolls
BLOCK = re.compile(r"^(#{1,6} |[-*] |\|)")


def render_card(text: str) -> Markup:
    r"""Render a card as HTML, with its headings two levels lower.

    >>> render_card("# A <b>\n\nOne **two**\nthree `x*y`")
    Markup('<h3>A &lt;b&gt;</h3>\n<p>One <strong>two</strong> three <code>x*y</code></p>')
    """
    return Markup("\n").join(_blocks(text.splitlines()))


def _blocks(given: Sequence[str]) -> Iterator[Markup]:
    rest = [line.rstrip() for line in given]
    while rest:
        line = rest[0]
        if not line.strip():
            rest = rest[1:]
        elif heading := re.match(r"(#{1,6}) (.*)", line):
            level = min(len(heading[1]) + 2, 6)
            yield Markup(f"<h{level}>{{}}</h{level}>").format(render_inline(heading[2]))  # noqa: S704 (a number)
            rest = rest[1:]
        else:
            line_count, block = _taken(rest)
            yield block
            rest = rest[line_count:]


def _taken(rest: Sequence[str]) -> tuple[int, Markup]:
    """Render the block at the start, and count its lines."""
    if rest[0].startswith("|"):
        lines = _while(rest, lambda line: line.startswith("|"))
        return len(lines), _table(lines)
    if re.match(r"[-*] ", rest[0]):
        lines = _while(rest, lambda line: bool(re.match(r"[-*] |  +\S", line)))
        items: list[str] = []
        for line in lines:
            if line[:2] in ("- ", "* "):
                items.append(line[2:])
            else:
                items[-1] += " " + line.strip()
        return len(lines), Markup("<ul>{}</ul>").format(
            Markup("").join(Markup("<li>{}</li>").format(render_inline(i)) for i in items)
        )
    lines = [rest[0], *_while(rest[1:], lambda line: bool(line.strip()) and not BLOCK.match(line))]
    return len(lines), Markup("<p>{}</p>").format(render_inline(" ".join(lines)))


def _while(lines: Sequence[str], holds: object) -> list[str]:
    matching: list[str] = []
    for line in lines:
        if not holds(line):  # type: ignore[operator]
            break
        matching.append(line)
    return matching


def _table(lines: Sequence[str]) -> Markup:
    """Render a table; its second line says which columns are numbers (`---:`)."""
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines]
    right = [cell.endswith(":") and not cell.startswith(":") for cell in rows[1]] if len(rows) > 1 else []

    def row(cells: Sequence[str], tag: str) -> Markup:
        row_cells = []
        for place, cell in enumerate(cells):
            kind = ' class="n"' if place < len(right) and right[place] else ""
            row_cells.append(Markup(f"<{tag}{kind}>{{}}</{tag}>").format(render_inline(cell)))  # noqa: S704 (our own tags)
        return Markup("<tr>{}</tr>").format(Markup("").join(row_cells))

    body = Markup("").join(row(cells, "td") for cells in rows[2:])
    head = row(rows[0], "th")
    start = '<div class="wide tall" tabindex="0">' if len(rows) > LONG else '<div class="wide">'
    template = start + "<table><thead>{}</thead><tbody>{}</tbody></table></div>"
    return Markup(template).format(head, body)  # noqa: S704 (our own tags)


def render_inline(text: str) -> Markup:
    r"""Render the text of a line: code, strong, and signs after a backslash.

    >>> render_inline(r"a\-b `c|d` <i>")
    Markup('a-b <code>c|d</code> &lt;i&gt;')
    """
    pieces = []
    for place, part in enumerate(re.split(r"`([^`]*)`", text)):
        if place % 2:
            pieces.append(Markup("<code>{}</code>").format(part))
            continue
        plain = str(escape(re.sub(r"\\([^\w\s])", r"\1", part)))
        pieces.append(Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", plain)))  # noqa: S704 (escaped above)
    return Markup("").join(pieces)
