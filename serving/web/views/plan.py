"""The page of a plan: at any budget, the customers included, their cost and gain, and an upper bound of the gain.

The file of a plan holds the cost and the gain of each chosen customer, not those of the others. So at a budget below
the plan's own, the page takes the customers of the plan with the most gain per cost until the budget is spent. With one
action and no limit but the budget this is optimal; otherwise it is a plan within the limits, and the bound says how
much better a plan could be. Above the plan's own budget, only the curve says what more money would bring.

The bound between two points of the curve: a point's bound b and price p are those of the Lagrangian dual, and the same
prices at another budget x prove b + p (x - budget) there; the lowest of them holds (Geoffrion, 1974).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from features.campaigns.live_plans import live_plan, newest_plans_first
from features.errors import DataError
from features.outputs.layout import PLAN_MANIFEST, PLAN_TABLE
from features.outputs.manifests import PlanManifest
from features.storage.json_files import read_json
from serving.charts.axes import format_tick
from serving.charts.lines import Curve, CurveAxis, CurvePoint, curve_chart
from serving.experiments.wording import experiment_sentences
from serving.language.formats import NumberFormat
from serving.language.messages import ENGLISH, Language
from serving.planning.promise import evidence_sentences, gain_sentences, pilot_sentence
from serving.scoring.value_tiers import NO_SKILL
from serving.web.parts.output_reader import ROWS, MissingOutput, ScoredCutoff, Site, read_stored_manifest

PAGE, SLACK = 50, 1e-9
COUNTED = {"scored", "eligible", "held_out", "with_action"}
POINT = ("budget", "spent", "gain", "bound", "price", "customers")
CURVE_JSON, CAMPAIGN_FILE, MONEY = (
    "curve.json",
    "plan.csv",
    "margin",
)  # copied from `serving.planning.plan`, which takes seconds to import
ORDER = "CASE WHEN cost > 0 THEN expected_gain / cost ELSE 'infinity'::DOUBLE END DESC, customer_id"
LISTED = "customer_id, action, cost, expected_gain, segment, churn_probability, value, source, reasons"


@dataclass(frozen=True)
class StoredPlan:
    """A plan in the output folder.

    Attributes:
        name: 'CUTOFF/CAMPAIGN'.
        folder: The folder of its files.
        facts: Its manifest.
        points: The points of the curve: budget, spent, gain, bound, price, customers.
        spent: (n + 1,) cost of the first 0, 1, ... customers, most gain per cost first.
        gained: (n + 1,) expected gain of the same customers.
        tr: The language, with the currency of the business.
    """

    name: str
    folder: Path
    facts: PlanManifest
    points: list[dict[str, Any]]
    spent: np.ndarray
    gained: np.ndarray
    tr: Language = ENGLISH

    @property
    def budget(self) -> float:
        """The plan's own budget."""
        return self.facts.budget

    @property
    def last(self) -> float:
        """The largest budget of the curve."""
        return max([self.budget, *(float(point["budget"]) for point in self.points)])

    @property
    def number_format(self) -> NumberFormat:
        """The format of gains: money or customers, with digits that suit the mean gain of a customer."""
        mean = abs(self.facts.bound) / max(self.facts.customers.get("with_action", 0), 1)
        return NumberFormat(mean, self.tr)

    @property
    def money(self) -> bool:
        """Whether the gain is money; otherwise it is customers kept."""
        return self.facts.objective == MONEY

    @property
    def best_by_ratio(self) -> bool:
        """Whether taking the most gain per cost first is optimal: one action, and no limit but the budget."""
        rules = self.facts.rules
        actions = list(rules.get("actions", {}).values())
        return len(actions) == 1 and actions[0].get("capacity") is None and not rules.get("minimums")


@dataclass(frozen=True)
class PlanAtBudget:
    """A plan at a budget.

    Attributes:
        budget: The requested budget.
        customers: How many are included; above the plan's own budget, those of the plan.
        spent: Their cost.
        gain: Their expected gain.
        bound: An upper bound of the gain of any plan within the limits; None if the curve proves none.
        about: Above the plan's own budget: the gain interpolated between points of the curve.
        sort: 'own', 'best', 'part' or 'beyond'.
    """

    budget: float
    customers: int
    spent: float
    gain: float
    bound: float | None
    about: float | None
    sort: str


def plan_names(site: Site) -> list[str]:
    """List the plans by name, the newest cutoff first, and the live plan of each cutoff first."""
    return [plan.name for plan in newest_plans_first(site.config)]


def superseded_plans(site: Site) -> dict[str, str]:
    """Name the plans that are superseded, and by which campaign of their cutoff."""
    return {plan.name: plan.superseded_by for plan in newest_plans_first(site.config) if not plan.live}


def read_stored_plan(site: Site, requested: str = "") -> StoredPlan:
    """Read a plan, by default the live plan of the newest cutoff.

    Raises:
        MissingOutput: There is none, or it is incomplete.
    """
    names = plan_names(site)
    if not names:
        raise MissingOutput(site.tr("There is no plan yet."), "regulars plan --cutoff D --budget B")
    name = requested or names[0]
    if name not in names:
        raise MissingOutput(
            site.tr("There is no plan {name}; available: {names}.", name=name[:80], names=", ".join(names[:20]))
        )
    day, campaign = name.split("/")
    folder = site.config.outputs.plan(date.fromisoformat(day), campaign)
    stored = read_stored_manifest(site, folder / PLAN_MANIFEST, PlanManifest)
    if stored is None or not COUNTED <= set(stored[0].customers):
        message = site.tr("The plan {name} is incomplete, or an older version wrote it.", name=name)
        raise MissingOutput(message, f"regulars plan --cutoff {day} --campaign {campaign}", 503)
    facts, fingerprint = stored
    return site.cache.get(("plan", fingerprint), lambda: _read_stored_plan(site, name, folder, facts))


def _read_stored_plan(site: Site, name: str, folder: Path, facts: PlanManifest) -> StoredPlan:
    day, campaign = name.split("/")
    points = read_json_rows(folder / CURVE_JSON)
    if not (folder / PLAN_TABLE).is_file():
        message = site.tr("The plan {name} is incomplete, or an older version wrote it.", name=name)
        raise MissingOutput(message, f"regulars plan --cutoff {day} --campaign {campaign}", 503)
    sql = f"SELECT cost, expected_gain FROM {ROWS} WHERE action IS NOT NULL ORDER BY {ORDER}"
    table = site.query(sql, [[str(folder / PLAN_TABLE)]])
    spent, gained = (np.concatenate([[0.0], np.cumsum(column.to_numpy())]) for column in table.columns)
    return StoredPlan(name, folder, facts, points, spent, gained, site.tr)


def read_json_rows(path: Path) -> list[dict[str, Any]]:
    """Read the points of a curve; none if the file is missing or incomplete."""
    try:
        content = read_json(path, "")
    except (OSError, DataError):
        return []
    rows = content if isinstance(content, list) else []
    return [row for row in rows if isinstance(row, dict) and all(_is_number(row.get(name)) for name in POINT)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def at_budget(plan: StoredPlan, budget: float) -> PlanAtBudget:
    """Compute what a plan does at a budget: exactly, or as far as its file allows."""
    chosen = len(plan.spent) - 1
    if budget > plan.budget * (1 + SLACK):
        return PlanAtBudget(
            budget, chosen, plan.spent[-1], plan.gained[-1], bound_at(plan, budget), _between(plan, budget), "beyond"
        )
    customers = int(np.searchsorted(plan.spent, budget * (1 + SLACK), side="right")) - 1
    sort = "own" if customers == chosen else "best" if plan.best_by_ratio else "part"
    spent, gain = float(plan.spent[customers]), float(plan.gained[customers])
    return PlanAtBudget(budget, customers, spent, gain, max(bound_at(plan, budget) or 0.0, gain), None, sort)


def bound_at(plan: StoredPlan, budget: float) -> float | None:
    """Compute the upper bound of the gain at a budget, for any plan within the limits."""
    proved = [p["bound"] + p["price"] * (budget - p["budget"]) for p in plan.points if p["budget"] != plan.budget]
    if budget <= plan.budget * (1 + SLACK):
        proved.append(plan.facts.bound)  # a smaller budget cannot gain more
    return float(min(proved)) if proved else None


def _between(plan: StoredPlan, budget: float) -> float | None:
    """Interpolate the gain of the curve at a budget; None above the last point."""
    if not plan.points or budget > plan.last * (1 + SLACK):
        return None
    ends = [(0.0, 0.0), *((float(p["budget"]), float(p["gain"])) for p in plan.points)]
    return float(np.interp(budget, [b for b, _ in ends], [g for _, g in ends]))


def plan_sentences(site: Site, plan: StoredPlan) -> dict[str, list[str]]:
    """Write how a pilot chooses, what a plan promises at its own budget, and which actions lack evidence."""
    form = plan.number_format
    if plan.facts.experiment:
        return {"pilot": list(experiment_sentences(plan.facts, form, site.tr)), "promise": [], "evidence": []}
    return {
        "pilot": [f"{site.tr(NO_SKILL)} {pilot_sentence(plan.facts, site.tr)}"] if plan.facts.pilot else [],
        "promise": list(gain_sentences(plan.facts, form, site.tr)),
        "evidence": list(evidence_sentences(plan.facts, form, site.tr)),
    }


def next_plan(site: Site, at: ScoredCutoff) -> dict[str, Any] | None:
    """Read the live plan of a cutoff for the first page: the plan, its sentences, and whether it is of other scores.

    Returns None if the cutoff has no plan, or one that cannot be read; its own page says why.
    """
    live = live_plan(site.config, at.cutoff)
    if live is None:
        return None
    try:
        plan = read_stored_plan(site, f"{at.cutoff}/{live.campaign}")
    except MissingOutput:
        return None
    stale = plan.facts.scores.get("parts") != at.manifest.parts
    return {"plan": plan, "stale": stale, **plan_sentences(site, plan)}


def parse_budget(site: Site, plan: StoredPlan, params: Mapping[str, str]) -> float:
    """Parse the budget of an address; by default the plan's own.

    Args:
        site: The output folder, for the language of messages.
        plan: The plan.
        params: The parameters of the address.

    Returns:
        The budget, 0 or more.

    Raises:
        MissingOutput: It is not an amount of money.
    """
    text = params.get("budget", "") if not plan.facts.experiment else ""  # a part of its arms would not be random
    try:
        budget = float(text) if text.strip() else plan.budget
    except ValueError:
        budget = float("nan")
    if not (np.isfinite(budget) and budget >= 0):
        raise MissingOutput(site.tr("Expected a budget of 0 or more, found {text}.", text=text[:40]), status=400)
    return budget


def gain_chart(site: Site, plan: StoredPlan, planned: PlanAtBudget) -> Any:
    """Draw the gain by budget, with a marker at the requested budget.

    Args:
        site: The output folder, for the language.
        plan: The plan.
        planned: The plan at the budget.

    Returns:
        An SVG element.
    """
    points = [(float(p["budget"]), float(p["gain"])) for p in plan.points]
    bounds = [(b, bound_at(plan, b)) for b, _ in points]
    details = "; ".join(f"{plan.number_format.money(b)}: {plan.number_format.money(g)}" for b, g in points)
    alt = site.tr("Expected gain by budget, as budget: gain. {details}.", details=details)
    money, tr = plan.number_format.money, site.tr
    gain = tr("Expected gain") if plan.money else tr("Expected to stay")
    drawn = [CurvePoint(0.0, 0.0, tr("no budget, no gain"))] + [
        CurvePoint(b, g, tr("budget {budget}: {what} {number}", budget=money(b), what=gain, number=money(g)))
        for b, g in points
    ]
    limits = [CurvePoint(b, g, "") for b, g in bounds if g is not None]
    curves = [Curve(gain, drawn, "dashed"), Curve(tr("upper bound"), limits, "dotted")]
    marker = (min(planned.budget, plan.last), planned.gain if planned.about is None else planned.about)
    axes = CurveAxis(tr("budget"), format_tick), CurveAxis("", format_tick)
    return curve_chart(alt, curves, *axes, marker)
