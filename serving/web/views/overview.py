"""The first page: key figures, the distribution of risk, its drivers, the segments, and the alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from markupsafe import Markup

from serving.charts.bars import Bar, Column, columns, horizontal_bars
from serving.language.formats import NumberFormat
from serving.language.messages import N_, Language
from serving.scoring import value_tiers
from serving.scoring.score_changes import ScoreSide, change_sentences, compare_scores
from serving.scoring.score_tables import total_value_interval
from serving.web.parts.output_reader import (
    ROWS,
    MissingOutput,
    ScoredCutoff,
    Site,
    has_value,
    number_format,
    read_scored_cutoff,
    scored_cutoffs,
)
from serving.web.views.customer_filter import FILTER_COLUMNS
from training.artifact.spread import read_spread
from training.evaluation.grade import grade_text, read_grade

DRIVERS, DEPENDS = 10, 0.2
ORDER = {
    "segment": ("save first", "keep", "grow", "maintain", "let go"),
    "tier": ("high", "middle", "low"),
    "lifecycle": ("new", "active", "slipping", "dormant"),
}
TITLES = {"segment": N_("Segments"), "tier": N_("Value tiers"), "lifecycle": N_("Rhythm")}
ADDED = ("customers", "at_risk", "leaving", "value", "value_at_risk")
CELLS = (
    "SELECT segment, tier, lifecycle, least(floor(churn_probability * 10), 9)::INT AS step, count(*) AS customers, "
    "count(*) FILTER (churn_probability >= ?) AS at_risk, sum(churn_probability) AS leaving, "
    "coalesce(sum(value), 0) AS value, coalesce(sum(value_at_risk), 0) AS value_at_risk "
    f"FROM {ROWS} GROUP BY ALL ORDER BY ALL"
)


def overview_page(site: Site, at: ScoredCutoff) -> dict[str, Any]:
    """Prepare the first page of a cutoff; cached."""
    return site.cache.get(("overview", at.fingerprint), lambda: _overview(site, at))


def _overview(site: Site, at: ScoredCutoff) -> dict[str, Any]:
    form, money = number_format(site, at), has_value(site, at)
    cells = site.query(CELLS, [value_tiers.AT_RISK, at.files]).to_pylist()  # one scan gives a few hundred cells
    top, rules = _sum(cells), value_tiers.group_rules(at.manifest.segment_rules, at.manifest.skill)
    top["low"], top["high"] = _interval(site, at) if money else (None, None)
    return {
        "top": top,
        "spread": _spread(site, at, cells),
        "drivers": _drivers(site, at, form),
        "groups": [_group(site, cells, name, rules) for name in FILTER_COLUMNS],
    }


def changes_since(site: Site, at: ScoredCutoff) -> dict[str, Any] | None:
    """What changed since the scored cutoff before, as sentences and as the customers who became at risk; cached.

    Args:
        site: The output folder.
        at: The scored cutoff that is shown.

    Returns:
        `since`, `sentences` and `became`; None if there is no cutoff before, or it cannot be read.
    """
    earlier = [day for day in scored_cutoffs(site) if day < at.cutoff]
    if not earlier:
        return None
    try:
        before = read_scored_cutoff(site, str(earlier[-1]))
        key = ("changes", at.fingerprint, before.fingerprint)
        changes = site.cache.get(key, lambda: compare_scores(site.query, _side(at), _side(before)))
    except MissingOutput:  # it is being written, or damaged: its own page says so
        return None
    form = replace(number_format(site, at), tr=site.tr)
    sentences = list(change_sentences(changes, form, has_value(site, at), at.manifest.skill))
    return {"since": changes.before, "sentences": sentences, "became": changes.became if at.manifest.skill else []}


def _side(at: ScoredCutoff) -> ScoreSide:
    return ScoreSide(at.cutoff, at.files, at.manifest)


def grade_of(site: Site, at: ScoredCutoff) -> dict[str, Any] | None:
    """The grade of the models that scored a cutoff, with its sentence; None if the manifest does not hold it."""
    grade = read_grade(at.manifest.grade)
    return None if grade is None else {"grade": grade, "text": grade_text(grade, site.tr)}


def _sum(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up cells, and compute their mean risk."""
    sums: dict[str, Any] = {name: sum(cell[name] for cell in cells) for name in ADDED}
    return {**sums, "risk": sums["leaving"] / max(sums["customers"], 1)}


def _interval(site: Site, at: ScoredCutoff) -> tuple[float, float] | tuple[None, None]:
    """Compute the interval of the total value, with the probability of the prediction intervals."""
    table = site.query(f"SELECT churn_probability, value, value_at_risk FROM {ROWS}", [at.files])
    churn, value, at_risk = (np.nan_to_num(column.to_numpy()) for column in table.columns)
    return total_value_interval(churn, value, at_risk, read_spread(at.manifest.spread))


def _spread(site: Site, at: ScoredCutoff, cells: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw the number of customers by tenths of risk, each with a link to its customers."""
    bars = []
    for step, low in enumerate(range(0, 100, 10)):
        count = sum(cell["customers"] for cell in cells if cell["step"] == step)
        tip = site.tr("risk of {low} to {high}%: {n} customers", low=low, high=low + 10, n=f"{count:,}")
        link = f"/customers?risk_from={low}&risk_to={low + 10}&cutoff={at.cutoff}"
        bars.append(Column(f"{low}–{low + 10}%", count, tip, low >= 100 * value_tiers.AT_RISK, link))
    details = ", ".join(f"{bar.label}: {bar.size:,}" for bar in bars)
    alt = site.tr("Customers by risk of leaving. {details}.", details=details)
    return columns(alt, bars, site.tr("risk of leaving"))


def _drivers(site: Site, at: ScoredCutoff, form: NumberFormat) -> list[dict[str, Any]]:
    """Draw the strongest driver of each family, for risk and for value."""
    tr, drivers = site.tr, site.drivers(at)
    titles = {"churn": tr("What drives risk"), "value": tr("What drives value")}
    charts = []
    for kind, title in titles.items():
        strongest: dict[str, Mapping[str, Any]] = {}
        for row in drivers.get(kind, []):
            strongest.setdefault(row.get("family", row["feature"]), row)
        bars = [_bar(row, kind, form, tr) for row in list(strongest.values())[:DRIVERS]]
        if bars:
            charts.append({"title": title, "svg": _drawn(title, bars)})
    return charts


def _drawn(title: str, bars: Sequence[Bar]) -> Markup:
    alt = f"{title}: " + "; ".join(f"{bar.label}: {bar.note}" for bar in bars)
    return horizontal_bars(alt, bars)


def _bar(row: Mapping[str, Any], kind: str, form: NumberFormat, tr: Language) -> Bar:
    size = float(row["strength"])
    size_text = tr("{n} points", n=f"{100 * size:.1f}") if kind == "churn" else form.money(size, fine=True)
    phrase, direction = row["phrase"], row.get("direction") or 0.0
    if "highest" in row or not abs(direction) >= DEPENDS:
        return Bar(phrase, size, tr("{size}, it depends", size=size_text), "open")
    if kind == "churn":
        note = (
            tr("{size}, higher values: higher risk", size=size_text)
            if direction > 0
            else tr("{size}, higher values: lower risk", size=size_text)
        )
    else:
        note = (
            tr("{size}, higher values: higher value", size=size_text)
            if direction > 0
            else tr("{size}, higher values: lower value", size=size_text)
        )
    return Bar(phrase, size, note, "solid" if direction > 0 else "hatched")


def _group(site: Site, cells: Sequence[Mapping[str, Any]], name: str, meanings: Mapping[str, str]) -> dict[str, Any]:
    """Sum up the groups of a score column, in the order of the rules."""
    places = {known: place for place, known in enumerate(ORDER[name])}
    present = {cell[name] for cell in cells} - {None}
    rows = []
    for group in sorted(present, key=lambda known: (places.get(known, len(places)), known)):
        meaning = meanings.get(group)
        heading = {"name": group, "meaning": site.tr(meaning) if meaning else ""}
        rows.append({**heading, **_sum([cell for cell in cells if cell[name] == group])})
    return {"by": name, "title": site.tr(TITLES[name]), "rows": rows}
