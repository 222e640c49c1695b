"""One self-contained HTML page for analysts: five numbers, how good they are, what drives them, what to do."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import date
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from features.atomic_files import write_text_atomically
from features.config.load import Config
from serving.language.messages import language
from serving.report import customer_list, data, drivers, plans, segments, summary
from serving.report.inputs import Found, gather
from serving.report.model_quality import judge
from serving.report.text import Said, said_of
from serving.scoring import value_tiers
from serving.scoring.score_tables import read_scores

TEMPLATES = Path(__file__).parent / "templates"


def write_report(config: Config, cutoff: date | None = None) -> Path:
    """Writes the page of a scored cutoff, the newest where none is named; returns where.

    Raises:
        UsageError: The cutoff was not scored, or the page cannot be written.
    """
    scores = read_scores(config, cutoff)
    target = config.output / "reports" / f"cutoff={scores.cutoff}.html"
    write_text_atomically(target, page(gather(config, scores, language(config.language))))
    return target


def page(found: Found) -> str:
    """The page as text: the same pieces give the same text."""
    scores, table = found.scores, customer_list.numbers(found.scores)
    money = bool(table["value"].notna().any())
    weight = table["value_at_risk" if money else "churn_probability"].to_numpy(dtype=float)
    said = said_of(scores, money, float(table["value"].abs().mean()) if money else 0.0, found.tr)
    judged, top = judge(found.evaluation, said.form), summary.totals(table, weight, found)
    steps = summary.next_steps(said, found, table)
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    return _template(said).render(
        said=said,
        words=said.words,
        manifest=scores.manifest,
        top=top,
        numbers=summary.numbers(said, top, judged, steps),
        steps=steps[1:],
        spread=summary.spread(said, table["churn_probability"].to_numpy()),
        judged=judged,
        drivers=drivers.drivers(said, scores.manifest),
        groups=segments.groups(said, found, table),
        rules=value_tiers.RULES_VERSION,
        listed=customer_list.listed(said, found, weight),
        planned=found.plan.content is not None and not found.plan.content.stale,
        plan=plans.plan(said, found),
        past=plans.past(said, found),
        data=data.data(said, found),
        style=Markup(style),  # noqa: S704 (our own file)
        script=Markup(script),  # noqa: S704 (our own file)
        style_digest=_digest(style),
        script_digest=_digest(script),
    )


def _template(said: Said) -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    form = said.form
    environment.globals.update(tr=said.tr)
    environment.filters.update(
        money=form.money, count="{:,.0f}".format, share=form.share, as_value=form.of, coded=coded
    )
    return environment.get_template("report.html.j2")


def coded(text: str) -> Markup:
    """A sentence with what stands between backticks as code; everything else is escaped.

    >>> coded("run `regulars plan` & see <b>")
    Markup('run <code>regulars plan</code> &amp; see &lt;b&gt;')
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped)


def _digest(text: str) -> str:
    """Of a style or script, as a policy names it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
