"""The page of a customer: scores at each cutoff, reasons as a waterfall, segments, plans, and what to offer next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from features.campaigns.live_plans import plans_of_cutoff
from features.outputs.layout import PLAN_TABLE
from features.outputs.parquet_files import open_parquet
from serving.charts.cells import waterfall_bar
from serving.charts.lines import TimeSeries, line_chart
from serving.language.feature_phrases import config_features
from serving.language.formats import NumberFormat, format_share
from serving.scoring.lifetime_totals import is_lifetime, lifetime_name, reach_text
from serving.segmentation.affinity import offered_kinds
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
from serving.web.views import customers
from serving.web.views.next_purchase import next_purchase
from training.artifact.reasons import Wording, rank_families

SHOWN, PAST = 10, 36
EFFECT = "action, effect_return, effect_value, effect_value_error, source"
NEXT = "kind, next, because, confidence, lift"
PLANNED = "assignment, cost, expected_gain"
NO_GROUPS = dict.fromkeys(("rfm_group", "r", "f", "m", "stage", "stage_since"))  # of a business without them
Say = Any


@dataclass(frozen=True)
class WaterfallStep:
    """A line of a waterfall: its label, the amount it adds (as text), and its bar from one number to another."""

    label: str
    note: str
    amount: str
    start: float
    end: float
    cell: str


def customer_page(site: Site, at: ScoredCutoff, customer: str) -> dict[str, Any]:
    """Collect what the output folder has on a customer, without reading the log.

    Args:
        site: The output folder.
        at: The scored cutoff.
        customer: The customer's id.

    Returns:
        The context of the template `customer.html.j2`.

    Raises:
        MissingOutput: The customer is not in the cohort; the message names their cutoffs, or similar ids.
    """
    row = customers.customer_row(site, at, customer)
    if row is None:
        raise _absent(site, at, customer)
    form, money = number_format(site, at), has_value(site, at)
    segments, offered = site.config.outputs.segments(at.cutoff), offered_kinds(site.config.events)
    return {
        "row": row,
        "longer": [_longer(name, row) for name in at.columns if _is_longer(name)],
        "lifetime": [_lifetime(site, name, row) for name in at.columns if is_lifetime(name)],
        "reach": reach_text(at.manifest, site.tr),
        "next_purchase": next_purchase(row, at.cutoff, site.tr),
        "waterfalls": list(_waterfalls(site, at, row, False)),
        "has_contributions": bool(at.manifest.contributions),
        "past": _past(site, customer, form, money),
        "groups": [{**NO_GROUPS, **row} for row in _of(site, segments / "customers.parquet", customer, "*")],
        "next": [row for row in _of(site, segments / "next_kind.parquet", customer, NEXT) if row["kind"] in offered],
        "effects": _of(site, site.config.outputs.uplift(at.cutoff) / "effects.parquet", customer, EFFECT),
        "plans": _plans(site, at, customer),
    }


def full_waterfalls(site: Site, at: ScoredCutoff, customer: str) -> list[dict[str, Any]]:
    """Make the waterfalls from every feature's contribution, if `--contributions` wrote them.

    Args:
        site: The output folder.
        at: The scored cutoff.
        customer: The customer's id.

    Returns:
        A waterfall of risk, and one of value if there is one.

    Raises:
        NotHere: The customer is not in the cohort of the cutoff.
    """
    row = customers.customer_row(site, at, customer)
    if row is None:
        raise _absent(site, at, customer)
    return list(_waterfalls(site, at, row, True))


def _absent(site: Site, at: ScoredCutoff, customer: str) -> MissingOutput:
    """Explain that a customer is not in the cohort: name the cutoffs that have them, or similar ids."""
    shown, tr = customer[:80], site.tr
    other_days = [day for day, _ in _everywhere(site, customer, ("customer_id",))]
    if other_days:
        have = ", ".join(map(str, other_days))
        message = tr(
            "Customer '{id}' is not in the cohort of {day}, but in the cohorts of: {have}.",
            id=shown,
            day=at.cutoff,
            have=have,
        )
        return MissingOutput(message)
    close = ", ".join(customers.similar_ids(site, at, customer)) or tr("none")
    return MissingOutput(
        tr("There is no customer '{id}' in any scored cutoff. Similar ids: {close}.", id=shown, close=close)
    )


def _everywhere(site: Site, customer: str, columns: Sequence[str]) -> list[tuple[date, dict[str, Any]]]:
    """Read a customer's rows at the newest PAST scored cutoffs, oldest first; incomplete cutoffs are skipped."""
    rows_by_day = []
    for day in scored_cutoffs(site)[-PAST:]:
        try:
            at = read_scored_cutoff(site, str(day))
            names = ", ".join(name for name in columns if name in at.columns)
            sql = f"SELECT {names} FROM {ROWS} WHERE customer_id = ? LIMIT 1"
            rows = site.query(sql, [at.files, customer]).to_pylist()
        except MissingOutput:
            continue  # a cutoff that is being written right now is skipped
        if rows:
            rows_by_day.append((day, rows[0]))
    return rows_by_day


def _past(site: Site, customer: str, form: NumberFormat, money: bool) -> dict[str, Any]:
    """Prepare risk and value at every scored cutoff, as charts and rows."""
    rows_by_day = _everywhere(site, customer, customers.LIST_COLUMNS)
    when = [day for day, _ in rows_by_day]
    risk = [row["churn_probability"] for _, row in rows_by_day]
    details = ", ".join(f"{day}: {format_share(value, site.tr)}" for day, value in zip(when, risk, strict=True))
    alt = site.tr("Risk of leaving at each cutoff. {details}.", details=details)
    links = [f"/customer?{urlencode({'id': customer, 'cutoff': day})}" for day in when]
    history: dict[str, Any] = {
        "rows": rows_by_day,
        "risk": line_chart(alt, when, [TimeSeries(site.tr("Risk"), risk, links=links)], "{:.0%}".format, 1.0),
    }
    if money:
        value = [row["value"] for _, row in rows_by_day]
        details = ", ".join(f"{day}: {form.money(v or 0.0)}" for day, v in zip(when, value, strict=True))
        low, high = ([row.get(f"value_{end}") for _, row in rows_by_day] for end in ("low", "high"))
        drawn = TimeSeries(site.tr("Value"), value, low, high, links=links)
        alt = site.tr("Expected value at each cutoff, with its prediction interval. {details}.", details=details)
        history["value"] = line_chart(alt, when, [drawn], form.money)
    return history


def _is_longer(name: str) -> bool:
    return name.startswith("value_") and name.endswith("d") and name[6:-1].isdigit()


def _longer(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {"days": int(name[6:-1]), "value": row[name], "low": row.get(f"{name}_low"), "high": row.get(f"{name}_high")}


def _lifetime(site: Site, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    title = lifetime_name(name, site.tr)
    return {"title": title, "value": row[name], "low": row.get(f"{name}_low"), "high": row.get(f"{name}_high")}


def _waterfalls(site: Site, at: ScoredCutoff, row: Mapping[str, Any], every: bool) -> Iterator[dict[str, Any]]:
    """Make the waterfalls of risk and value: starting point, strongest reasons, everything else, prediction."""
    form = number_format(site, at)
    kinds: list[tuple[str, str, Say, Say]] = [
        ("churn", "churn_probability", lambda v: f"{100 * v:+.1f}", lambda v: format_share(v, site.tr))
    ]
    if has_value(site, at):
        kinds.append(("value", "value", lambda v: form.money(v, "+"), form.money))
    for kind, column, change, number in kinds:
        base, total = at.manifest.bases.get(kind), row[column]
        if base is None or total is None:
            continue
        contributions, complete = _reasons(site, at, row, kind, every)
        yield {"kind": kind, "steps": _steps(site, base, total, contributions, change, number), "complete": complete}


def _reasons(
    site: Site, at: ScoredCutoff, row: Mapping[str, Any], kind: str, complete: bool
) -> tuple[list[tuple[str, str, float]], bool]:
    """Select readings, phrases and net contributions of families, strongest first; and say whether all were there."""
    reason_of = {r["feature"]: r for r in row.get(f"{kind}_reasons") or []}
    every = _contributions(site, at, str(row["customer_id"]), kind) if complete else None
    if every is None:
        return [(r["reading"], r["phrase"], r["contribution"]) for r in reason_of.values()], False
    wordings = _wordings(site, at, kind, tuple(every))
    ranked = rank_families(np.array([list(every.values())]), wordings)
    shown_reasons = []
    for family in ranked.order[0][:SHOWN]:
        members = [wording.name for wording in wordings if wording.family == ranked.names[family]]
        told = next((reason_of[name] for name in members if name in reason_of), None)
        phrase = wordings[ranked.speakers[0, family]].phrase
        labels = (told["reading"], told["phrase"]) if told else (phrase, "")
        if amount := float(ranked.net[0, family]):
            shown_reasons.append((*labels, amount))
    return shown_reasons, True


def _contributions(site: Site, at: ScoredCutoff, customer: str, kind: str) -> dict[str, float] | None:
    """Read every feature's contribution, if they were written for these scores."""
    parts = at.manifest.contributions.get(kind)
    folder = site.config.outputs.contributions(kind, at.cutoff)
    place = _part_of(site, at, customer)
    if not parts or len(parts) != len(at.manifest.parts) or place is None:
        return None
    file = folder / parts[place]["file"]
    if not file.is_file():
        return None
    rows = site.query(f"SELECT * FROM {ROWS} WHERE customer_id = ? LIMIT 1", [[str(file)], customer]).to_pylist()
    return {n: v for n, v in rows[0].items() if n not in ("customer_id", "base", "total")} if rows else None


def _part_of(site: Site, at: ScoredCutoff, customer: str) -> int | None:
    """Find the part of the scores that holds a customer: each part holds a range of ids."""

    def ends() -> list[tuple[str, str]]:
        id_ranges = []
        for file in at.files:
            with open_parquet(Path(file)) as opened:
                groups = opened.metadata
            statistics = [groups.row_group(n).column(0).statistics for n in range(groups.num_row_groups)]
            id_ranges.append(
                (min(s.min for s in statistics), max(s.max for s in statistics))
                if all(statistics) and statistics
                else ("", "\U0010ffff")
            )
        return id_ranges

    stretches = site.cache.get(("stretches", at.fingerprint), ends)
    return next((place for place, (low, high) in enumerate(stretches) if low <= customer <= high), None)


def _wordings(site: Site, at: ScoredCutoff, kind: str, names: Sequence[str]) -> list[Wording]:
    """Find family and phrase of features: in the catalog, and in the drivers; one in neither is its own family."""

    def read() -> dict[str, Wording]:
        return {f.name: replace(Wording.of(f), phrase=site.tr.phrase(f.phrase)) for f in config_features(site.config)}

    known = dict(site.cache.get("wordings", read))
    for row in site.drivers(at).get(kind, []):
        told = known.get(row["feature"], Wording(row["feature"], row.get("family", row["feature"]), "", ""))
        known[row["feature"]] = replace(told, phrase=row["phrase"])
    return [known.get(name) or Wording(name, name, name.replace("_", " "), "") for name in names]


def _steps(
    site: Site, base: float, total: float, reasons: Sequence[tuple[str, str, float]], change: Say, number: Say
) -> list[WaterfallStep]:
    """Make the lines of a waterfall, with bars on one scale."""
    tr, rest = site.tr, total - base - sum(amount for _, _, amount in reasons)
    moves = [*reasons, (tr("all other features together"), "", rest)]
    ends, running = [0.0, base], base
    for _, _, amount in moves:
        running += amount
        ends.append(running)
    low, high = min(ends), max(ends)
    steps = [
        WaterfallStep(
            tr("starting point: a typical customer"), "", number(base), 0.0, base, waterfall_bar(0.0, base, low, high)
        )
    ]
    running = base
    for label, note, amount in moves:
        cell = waterfall_bar(running, running + amount, low, high)
        steps.append(WaterfallStep(label, note, change(amount).replace("-", "−"), running, running + amount, cell))
        running += amount
    return [
        *steps,
        WaterfallStep(tr("this customer"), "", number(total), 0.0, total, waterfall_bar(0.0, total, low, high)),
    ]


def _of(site: Site, path: Path, customer: str, columns: str) -> list[dict[str, Any]]:
    """Read some columns of a customer's rows in a table; none if there is no such table."""
    if not path.is_file():
        return []
    sql = f"SELECT {columns} FROM {ROWS} WHERE customer_id = ? LIMIT 100"
    return list(site.query(sql, [[str(path)], customer]).to_pylist())


def _plans(site: Site, at: ScoredCutoff, customer: str) -> list[dict[str, Any]]:
    """Read what each plan of the cutoff does with the customer, the live plan first."""
    plan_rows = []
    for plan in plans_of_cutoff(site.config, at.cutoff):
        marks = {"campaign": plan.campaign, "superseded_by": plan.superseded_by}
        plan_rows += [{**row, **marks} for row in _of(site, plan.folder / PLAN_TABLE, customer, PLANNED)]
    return plan_rows
