"""The Jinja environment of the web page: the menu, addresses, and how templates write numbers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.language.formats import format_money, format_share
from serving.language.messages import N_
from serving.markdown import mark_code
from serving.web.parts.output_reader import Site

TEMPLATES = Path(__file__).parent / "templates"
MENU = (
    ("/", N_("Overview")),
    ("/segments", N_("Segments")),
    ("/customers", N_("Customers")),
    ("/plan", N_("Plan")),
    ("/experiments", N_("Experiments")),
    ("/monitoring", N_("Monitoring")),
    ("/models", N_("Models")),
)


def template_environment(site: Site) -> Environment:
    """Create the Jinja environment: everything is escaped, and an undefined name is an error."""
    jinja = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    jinja.globals.update(tr=site.tr, translate=site.translate, menu=MENU, address=page_url, name=site.config.name)
    jinja.filters.update(
        count="{:,.0f}".format,
        share=partial(format_share, tr=site.tr),
        number=format_number,
        inline=mark_code,
        cents=partial(format_money, tr=site.tr),
    )
    return jinja


def page_url(path: str, **params: Any) -> str:
    """Build the address of a page, without empty parameters.

    >>> page_url("/customer", id="a/b&c", cutoff="")
    '/customer?id=a%2Fb%26c'
    """
    kept = {name: value for name, value in params.items() if value not in ("", None)}
    return f"{path}?{urlencode(kept)}" if kept else path


def format_number(value: object) -> str:
    """Format a number to three significant digits, from 1,000 on as an integer; None becomes a dash.

    >>> format_number(0.12345), format_number(1234.5), format_number("many"), format_number(None)
    ('0.123', '1,234', 'many', '–')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):,.10g}"
