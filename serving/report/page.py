"""Render the report: one self-contained HTML page for analysts."""

from __future__ import annotations

import base64
import hashlib
from datetime import date
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from features.intake.log import Business, as_date, config_of
from features.storage.atomic_files import write_text_atomically
from serving.charts import STATIC, TotalsWording, charts_over_cutoffs
from serving.language.messages import get_language
from serving.markdown import mark_code
from serving.report import customer_list, data, drivers, plans, segments, summary, winback
from serving.report.inputs import ReportInputs, read_report_inputs
from serving.report.model_quality import summarise_evaluation
from serving.report.text import ReportWording, report_wording
from serving.scoring.score_tables import read_scores

TEMPLATES = Path(__file__).parent / "templates"


def write_report(business: Business, cutoff: date | str | None = None) -> Path:
    """Write the report of a scored cutoff, by default the newest; return its path.

    Raises:
        UsageError: The cutoff was not scored, or the page cannot be written.
    """
    config = config_of(business)
    day = None if cutoff is None else as_date(cutoff)
    scores = read_scores(config, day)
    target = config.outputs.report(scores.cutoff)
    write_text_atomically(target, render_report(read_report_inputs(config, scores, get_language(config.language))))
    return target


def render_report(inputs: ReportInputs) -> str:
    """Render the report as HTML; the same inputs give the same text."""
    scores, table = inputs.scores, customer_list.read_score_columns(inputs.scores)
    money = bool(table["value"].notna().any())
    weight = table["value_at_risk" if money else "churn_probability"].to_numpy(dtype=float)
    wording = report_wording(scores, money, float(table["value"].abs().mean()) if money else 0.0, inputs.tr)
    quality, top = summarise_evaluation(inputs.evaluation, wording.form), summary.score_totals(table, weight, inputs)
    steps = summary.next_steps(wording, inputs, table)
    style, script = _static("css"), _static("js")
    return _template(wording).render(
        wording=wording,
        words=wording.words,
        manifest=scores.manifest,
        notes=inputs.notes,
        top=top,
        numbers=summary.key_figures(wording, top, quality, steps),
        steps=steps[1:],
        history=charts_over_cutoffs(inputs.history, TotalsWording(wording.tr, wording.form.money if money else None)),
        spread=summary.risk_histogram(wording, table["churn_probability"].to_numpy()),
        quality=quality,
        without=inputs.without,
        drivers=drivers.driver_charts(wording, inputs.drivers),
        groups=segments.segments_section(wording, inputs, table),
        rules=scores.manifest.segment_rules,
        at_risk=customer_list.customers_at_risk(wording, inputs, weight) if scores.manifest.skill else [],
        winback=winback.winback_section(wording, inputs),
        planned=inputs.plan.content is not None and not inputs.plan.content.stale,
        plan=plans.plan_section(wording, inputs),
        past=plans.measured_section(wording, inputs),
        campaigns=plans.campaigns_section(wording, inputs),
        data=data.data_section(wording, inputs),
        style=Markup(style),  # noqa: S704 (our own file)
        script=Markup(script),  # noqa: S704 (our own file)
        style_digest=_digest(style),
        script_digest=_digest(script),
    )


def _static(kind: str) -> str:
    """Read the style sheets ('css') or the scripts ('js') of the report and of its charts."""
    paths = (TEMPLATES / f"report.{kind}", STATIC / f"charts.{kind}")
    return "".join(path.read_text(encoding="utf-8") for path in paths)


def _template(wording: ReportWording) -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    form = wording.form
    environment.globals.update(tr=wording.tr)
    environment.filters.update(
        money=form.money, count="{:,.0f}".format, share=form.share, as_value=form.of, code=mark_code
    )
    return environment.get_template("report.html.j2")


def _digest(text: str) -> str:
    """Compute the digest of a style or script as the Content-Security-Policy needs it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
