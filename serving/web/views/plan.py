"""The plan's page: who is in at a budget, what it costs and gains, and what no plan can pass.

A plan's file holds what each chosen customer costs and gains, and not what the others would. So at a budget below the
plan's own, the customers of the plan with most gain for the money are taken until it is spent. That is the best that
can be done where there is one action and no limit but money; else it is a plan within the limits, and the bound says
how much better one could be. Beyond the plan's own budget the curve alone tells what money would bring.

The bound between two points of the curve: a point's bound b and price p are those of the Lagrangian dual, and the same
prices at another budget x prove b + p (x - budget) there; the lowest of them holds (Geoffrion, 1974).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.campaigns.measured_plans import MANIFEST, TABLE
from serving.charts.live_svg import format_tick, gain_curve
from serving.language.formats import NumberFormat
from serving.web.parts.output_reader import ROWS, MissingOutput, Site, read_json_object

PAGE, SLACK = 50, 1e-9
CURVE_JSON, MONEY = "curve.json", "margin"  # as `serving.planning.plan` has them, which takes seconds to import
ORDER = "CASE WHEN cost > 0 THEN expected_gain / cost ELSE 'infinity'::DOUBLE END DESC, customer_id"
LISTED = "customer_id, action, cost, expected_gain, segment, churn_probability, value, source, reasons"


@dataclass(frozen=True)
class StoredPlan:
    """A plan in the output folder.

    Attributes:
        name: 'CUTOFF/CAMPAIGN'.
        folder: Its files.
        facts: Its manifest.
        points: Of the curve: budget, spent, gain, bound, price, customers.
        spent: (n + 1,) the cost of the first 0, 1, ... customers, most gain for the money first; `gained` likewise.
    """

    name: str
    folder: Path
    facts: dict[str, Any]
    points: list[dict[str, Any]]
    spent: np.ndarray
    gained: np.ndarray

    @property
    def budget(self) -> float:
        """The plan's own."""
        return float(self.facts["budget"])

    @property
    def last(self) -> float:
        """The largest budget of the curve."""
        return max([self.budget, *(float(point["budget"]) for point in self.points)])

    @property
    def number_format(self) -> NumberFormat:
        """Money or customers, with digits that fit a customer's mean."""
        return NumberFormat(abs(self.facts["bound"]) / max(self.facts["customers"]["with_action"], 1))

    @property
    def money(self) -> bool:
        """Whether the gain is money, and not customers kept."""
        return bool(self.facts["objective"] == MONEY)

    @property
    def best_by_ratio(self) -> bool:
        """Whether most gain for the money first is the best there is: one action, and no limit but money."""
        rules = self.facts.get("rules", {})
        actions = list(rules.get("actions", {}).values())
        return len(actions) == 1 and actions[0].get("capacity") is None and not rules.get("minimums")


@dataclass(frozen=True)
class PlanAtBudget:
    """A plan at a budget.

    Attributes:
        budget: Asked for.
        customers: How many are in, `spent` by them and `gain` of them; beyond the plan's own budget those of the plan.
        bound: No plan within the limits gains more; None where the curve cannot prove one.
        about: Beyond the plan's own budget: the gain between the neighbouring points of the curve.
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
    """The plans by name, the newest cutoff first."""
    manifests = site.config.output.glob(f"plans/cutoff=*/*/{MANIFEST}")
    names = [f"{path.parent.parent.name.removeprefix('cutoff=')}/{path.parent.name}" for path in manifests]
    return sorted(
        (n for n in names if not n.split("/")[1].startswith(".")), key=lambda n: (n.split("/")[0], n), reverse=True
    )


def read_stored_plan(site: Site, requested: str = "") -> StoredPlan:
    """A plan, the newest where none is asked for.

    Raises:
        NotHere: There is none, or it is not whole.
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
    folder = site.config.output / "plans" / f"cutoff={day}" / campaign
    stored = read_json_object(site, folder / MANIFEST)
    if stored is None or not {"budget", "customers", "actions", "objective", "bound"} <= set(stored[0]):
        message = site.tr("The plan {name} is incomplete, or an older version wrote it.", name=name)
        raise MissingOutput(message, f"regulars plan --cutoff {day} --campaign {campaign}", 503)
    facts, fingerprint = stored
    return site.cache.get(("plan", fingerprint), lambda: _read_stored_plan(site, name, folder, facts))


def _read_stored_plan(site: Site, name: str, folder: Path, facts: dict[str, Any]) -> StoredPlan:
    day, campaign = name.split("/")
    points = read_json_rows(folder / CURVE_JSON)
    if not (folder / TABLE).is_file():
        message = site.tr("The plan {name} is incomplete, or an older version wrote it.", name=name)
        raise MissingOutput(message, f"regulars plan --cutoff {day} --campaign {campaign}", 503)
    sql = f"SELECT cost, expected_gain FROM {ROWS} WHERE action IS NOT NULL ORDER BY {ORDER}"
    table = site.query(sql, [[str(folder / TABLE)]])
    spent, gained = (np.concatenate([[0.0], np.cumsum(column.to_numpy())]) for column in table.columns)
    return StoredPlan(name, folder, facts, points, spent, gained)


def read_json_rows(path: Path) -> list[dict[str, Any]]:
    """A JSON list of the output folder; none where it is not there or not whole."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [row for row in content if isinstance(row, dict)] if isinstance(content, list) else []


def at_budget(plan: StoredPlan, budget: float) -> PlanAtBudget:
    """What a plan does at a budget: exactly, or as far as its file tells."""
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
    """What no plan within the limits can gain at a budget."""
    proved = [p["bound"] + p["price"] * (budget - p["budget"]) for p in plan.points if p["budget"] != plan.budget]
    if budget <= plan.budget * (1 + SLACK):
        proved.append(plan.facts["bound"])  # a smaller budget gains no more than this one
    return float(min(proved)) if proved else None


def _between(plan: StoredPlan, budget: float) -> float | None:
    """The gain of the curve at a budget, straight between its points; None beyond the last."""
    if not plan.points or budget > plan.last * (1 + SLACK):
        return None
    ends = [(0.0, 0.0), *((float(p["budget"]), float(p["gain"])) for p in plan.points)]
    return float(np.interp(budget, [b for b, _ in ends], [g for _, g in ends]))


def plan_customers(site: Site, plan: StoredPlan, planned: PlanAtBudget, page: int) -> list[dict[str, Any]]:
    """The customers who are in, a page of them, most gain for the money first."""
    start = (page - 1) * PAGE
    limit = max(min(PAGE, planned.customers - start), 0)
    sql = f"SELECT {LISTED} FROM {ROWS} WHERE action IS NOT NULL ORDER BY {ORDER} LIMIT ? OFFSET ?"
    return list(site.query(sql, [[str(plan.folder / TABLE)], limit, start]).to_pylist())


def parse_budget(site: Site, plan: StoredPlan, params: Mapping[str, str]) -> float:
    """The budget that an address asks for, the plan's own where it asks for none.

    Raises:
        NotHere: It is no amount of money.
    """
    text = params.get("budget", "")
    try:
        budget = float(text) if text.strip() else plan.budget
    except ValueError:
        budget = float("nan")
    if not (np.isfinite(budget) and budget >= 0):
        raise MissingOutput(site.tr("Expected a budget of 0 or more, found {text}.", text=text[:40]), status=400)
    return budget


def gain_chart(site: Site, plan: StoredPlan, planned: PlanAtBudget) -> Any:
    """Gain against budget, with a marker at the budget."""
    points = [(float(p["budget"]), float(p["gain"])) for p in plan.points]
    bounds = [(b, bound_at(plan, b)) for b, _ in points]
    details = "; ".join(f"{plan.number_format.money(b)}: {plan.number_format.money(g)}" for b, g in points)
    alt = site.tr("Expected gain by budget, as budget: gain. {details}.", details=details)
    gain = planned.gain if planned.about is None else planned.about
    drawn = [(b, g) for b, g in bounds if g is not None]
    return gain_curve(alt, points, drawn, (min(planned.budget, plan.last), gain), format_tick, site.tr("budget"))
