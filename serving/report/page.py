"""Render the report: one self-contained HTML page for analysts."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from features.intake.log import Business, as_date, config_of
from features.outputs.layout import cutoff_name
from features.storage.atomic_files import write_text_atomically
from serving.charts import STATIC, TotalsWording, charts_over_cutoffs
from serving.language.messages import get_language
from serving.markdown import mark_code
from serving.report import customer_list, data, drivers, lifetime, plans, segments, summary, winback
from serving.report.customer_file import write_customer_file
from serving.report.inputs import ReportInputs, read_report_inputs
from serving.report.model_quality import summarise_evaluation
from serving.report.text import ReportWording, report_wording
from serving.scoring.score_tables import read_scores
from training.evaluation.grade import grade_evaluation, read_grade

TEMPLATES = Path(__file__).parent / "templates"
CAMPAIGN_FILE = "plan.csv"


@dataclass(frozen=True)
class ReportFiles:
    """The lists beside the report, as links relative to it; empty if there is none."""

    customers: str = ""
    plan: str = ""


NO_FILES = ReportFiles()


def write_report(business: Business, cutoff: date | str | None = None) -> Path:
    """Write the report of a scored cutoff, by default the newest, and the list of customers beside it; return its path.

    Raises:
        UsageError: The cutoff was not scored, or the page cannot be written.
    """
    config = config_of(business)
    day = None if cutoff is None else as_date(cutoff)
    scores = read_scores(config, day)
    target = config.outputs.report(scores.cutoff)
    inputs = read_report_inputs(config, scores, get_language(config.language, config.currency))
    files = _files_beside(inputs, target.parent)
    if files.customers:
        weight = _weight(customer_list.read_score_columns(scores))
        write_customer_file(target.parent / files.customers, inputs, weight)
    write_text_atomically(target, render_report(inputs, files))
    return target


def _files_beside(inputs: ReportInputs, folder: Path) -> ReportFiles:
    """The lists that a reader opens from the report: of customers, and of the plan."""
    plan = inputs.plan.content
    file = plan.plan.folder / CAMPAIGN_FILE if plan is not None and not plan.stale else None
    return ReportFiles(
        f"{cutoff_name(inputs.scores.cutoff)}_customers.csv" if inputs.scores.manifest.skill else "",
        quote(os.path.relpath(file, folder)) if file is not None and file.is_file() else "",
    )


def _weight(table: pd.DataFrame) -> np.ndarray:
    """What ranks customers (n,): the value at risk, or the risk if there is no value."""
    money = bool(table["value"].notna().any())
    return table["value_at_risk" if money else "churn_probability"].to_numpy(dtype=float)


def render_report(inputs: ReportInputs, files: ReportFiles = NO_FILES) -> str:
    """Render the report as HTML; the same inputs give the same text."""
    scores, table = inputs.scores, customer_list.read_score_columns(inputs.scores)
    money = bool(table["value"].notna().any())
    weight = _weight(table)
    wording = report_wording(scores, money, float(table["value"].abs().mean()) if money else 0.0, inputs.tr)
    style, script = _static("css"), _static("js")
    return _template(wording).render(
        wording=wording,
        words=wording.words,
        manifest=scores.manifest,
        notes=inputs.notes,
        files=files,
        **_first_page(wording, inputs, table, weight),
        history=charts_over_cutoffs(inputs.history, TotalsWording(wording.tr, wording.form.money if money else None)),
        spread=summary.risk_histogram(wording, table["churn_probability"].to_numpy()),
        without=inputs.without,
        drivers=drivers.driver_charts(wording, inputs.drivers),
        groups=segments.segments_section(wording, inputs, table),
        lifetime=lifetime.lifetime_section(wording, inputs),
        rules=scores.manifest.segment_rules,
        at_risk=customer_list.customers_at_risk(wording, inputs, weight) if scores.manifest.skill else [],
        winback=winback.winback_section(wording, inputs),
        printed=customer_list.PRINTED,
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


def _first_page(
    wording: ReportWording, inputs: ReportInputs, table: pd.DataFrame, weight: np.ndarray
) -> dict[str, Any]:
    """Prepare the key figures, what happened, what to do, and how far to trust it."""
    quality = summarise_evaluation(inputs.evaluation, wording.form)
    top = summary.score_totals(table, weight, inputs)
    grade = grade_evaluation(inputs.evaluation) or read_grade(inputs.scores.manifest.grade)
    return {
        "top": top,
        "quality": quality,
        "grade": grade,
        "numbers": summary.key_figures(wording, top, grade),
        "since": inputs.changes.before if inputs.changes else "",
        "happened": summary.what_happened(wording, inputs),
        "became": customer_list.became_at_risk(wording, inputs),
        "sure": summary.how_sure(wording, quality),
        "steps": summary.next_steps(wording, inputs, table),
    }


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
