"""Who gets which action within a budget: one or none for each customer, a random holdout set aside first.

Gain is margin x effect on value - cost, and where there is no money the effect on return: customers kept. The holdout
is drawn among the eligible before anything is chosen; those in it are given what they would have, at no cost, so that
later they can be compared with those who got it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.atomic_files import atomic_folder
from features.campaigns.contact_history import summarise_log
from features.campaigns.measured_plans import MANIFEST, MEASURED, TABLE
from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import DataError, RefusedError, UsageError
from serving.language.messages import language
from serving.optimizer.allocate import Allocation, BudgetPoint, allocate_actions, allocation_problem, budget_curve
from serving.optimizer.dual_prices import AllocationProblem
from serving.planning.inputs import MONEY, PlanInputs, collect_plan_inputs
from serving.planning.manifest import plan_manifest
from serving.planning.power import holdout_power
from serving.planning.table import plan_table, write_plan_csv

CSV, CURVE, CURVE_JSON = "plan.csv", "curve.parquet", "curve.json"


@dataclass(frozen=True)
class Plan:
    """A plan on disk.

    Attributes:
        folder: Its tables and manifest.
        cutoff: Of the scores that it was made from.
        campaign: Its name, by which the holdout is drawn.
        manifest: Budget, gain, bound, prices, counts, rules and fingerprints.
    """

    folder: Path
    cutoff: date
    campaign: str
    manifest: dict[str, Any]

    @property
    def gain(self) -> float:
        """Expected of those who get an action: money after costs, or customers kept."""
        return float(self.manifest["gain"])

    @property
    def bound(self) -> float:
        """No plan within the limits gains more."""
        return float(self.manifest["bound"])

    @property
    def spent(self) -> float:
        """Cost of all actions."""
        return float(self.manifest["spent"])

    def table(self) -> pa.Table:
        """One row for each scored customer, by customer_id (columns: `serving.planning.table.COLUMNS`)."""
        return pq.ParquetFile(self.folder / TABLE).read()

    def curve(self) -> pa.Table:
        """Gain against budget: budget, spent, gain, bound, price (of the next unit of money) and customers."""
        return pq.ParquetFile(self.folder / CURVE).read()


def make_plan(config: Config, cutoff: date, budget: float | None = None, campaign: str | None = None) -> Plan:
    """Makes the plan of a campaign at a scored cutoff and puts it in place whole; an earlier one is replaced.

    Args:
        config: The business, with its [plan].
        cutoff: A scored one.
        budget: Most money; by default that of the config.
        campaign: By default that of the config.

    Raises:
        UsageError: There is no [plan], the cutoff is not scored, or a rule names what is not there.
        RefusedError: The limits cannot hold together, or the campaign's plan was measured already.
        DataError: Nobody is eligible, or a table cannot be read.
    """
    rules = _rules(config, budget, campaign)
    _refuse_measured(config.output / "plans" / f"cutoff={cutoff}" / rules.campaign)
    inputs = collect_plan_inputs(config, rules, cutoff)
    problem = _problem(inputs, rules)
    found = allocate_actions(problem, inputs.segments, list(rules.actions))
    points = _curve(problem, rules, found)
    folder = config.output / "plans" / f"cutoff={cutoff}" / rules.campaign
    table = plan_table(
        inputs.table, list(rules.actions), found.choice, inputs.holdout, rules.holdout, inputs.gains, inputs.costs,
        inputs.action_effects, inputs.eligibility, language(config.language),
    )  # fmt: skip
    manifest = plan_manifest(config, rules, inputs, found)
    log = summarise_log(config, cutoff, config.task.horizon)
    manifest["past"] = {"before": str(log.day), **log.marks}
    spread = _spread(config, log.spread) if inputs.objective == MONEY else None
    manifest["design"] = holdout_power(table, list(rules.actions), rules.holdout, spread)
    with atomic_folder(folder) as beside:
        _write(beside, table, points, manifest)
    return Plan(folder, cutoff, rules.campaign, manifest)


def read_plan(config: Config, cutoff: date, campaign: str | None = None) -> Plan:
    """A plan that was made before, of the config's campaign where none is named.

    Raises:
        UsageError: There is no such plan.
        DataError: Its table was changed since.
    """
    name = campaign or (config.plan.campaign if config.plan else "")
    place = config.output / "plans" / f"cutoff={cutoff}"
    path = place / name / MANIFEST
    if not name or not path.is_file():
        have = ", ".join(sorted(p.parent.name for p in place.glob(f"*/{MANIFEST}"))) or "none"
        raise UsageError(
            f"there is no plan {name!r} at cutoff {cutoff} under {config.output} (plans there: {have}); "
            f"run `regulars plan --cutoff {cutoff} --budget B`"
        )
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for file, digest in manifest["files"].items():
        if not (path.parent / file).is_file() or _digest(path.parent / file) != digest:
            raise DataError(f"{path.parent / file}: is not the file that was planned; run `regulars plan` again")
    return Plan(path.parent, cutoff, name, manifest)


def _rules(config: Config, budget: float | None, campaign: str | None) -> PlanConfig:
    """The [plan] of the config with what the command says; refuses a budget that buys nothing."""
    if config.plan is None:
        raise UsageError(
            "the config has no [plan]; it names at least one action with its cost, such as [plan.actions.mail] "
            "cost = 0.5, and the margin"
        )
    given = {"budget": budget, "campaign": campaign}
    values = config.plan.model_dump() | {name: value for name, value in given.items() if value is not None}
    try:
        rules = PlanConfig.model_validate(values)
    except ValueError:
        raise UsageError(
            f"--budget takes 0 or more (found {budget}), --campaign letters, digits, '.', '_' and '-' ({campaign!r})"
        ) from None
    if rules.budget is None:
        raise UsageError("no budget: give --budget, or set [plan] budget")
    name, cheapest = min(rules.actions.items(), key=lambda item: item[1].cost)
    if rules.budget < cheapest.cost:
        raise UsageError(
            f"a budget of {rules.budget:,.10g} is below the cheapest action ({name}, {cheapest.cost:,.10g} a "
            "customer): nobody could be contacted; give more"
        )
    return rules


def _refuse_measured(folder: Path) -> None:
    """What was carried out and measured is not planned anew: who was meant to get what would be lost."""
    if (folder / MEASURED).exists():
        raise RefusedError(
            f"{folder}: was measured already, and a new plan would take the place of who was meant to get what; name "
            f"another campaign (--campaign), or remove {MEASURED} there to plan anew"
        )


def _spread(config: Config, found: float | None) -> float | None:
    """Relative variance of spend: of buyers in the last horizon; of contracts none, as a price is known beforehand."""
    return found if config.events.amount else 0.0


def _problem(inputs: PlanInputs, rules: PlanConfig) -> AllocationProblem:
    capacities = [np.inf if action.capacity is None else action.capacity for action in rules.actions.values()]
    return allocation_problem(
        inputs.gains,
        inputs.costs,
        float(rules.budget or 0.0),
        np.array(capacities, float),
        inputs.segment_index,
        inputs.minimums,
        inputs.holdout,
    )


def _curve(problem: AllocationProblem, rules: PlanConfig, found: Allocation) -> list[BudgetPoint]:
    """Points up to what would be spent if money did not matter, with the plan's own among them; gain never falls."""
    everything = budget_curve(problem, [float(problem.costs.max(axis=1, initial=0).sum())])
    last = max((point.spent for point in everything), default=0.0)
    chosen = int(found.resource_use[1 : 1 + problem.no_action].sum())
    own = BudgetPoint(problem.budget, found.spent, found.gain, found.bound, float(found.prices[0]), chosen)
    budgets = [float(b) for b in np.linspace(0, last, rules.curve + 1)[1:] if 0 < b != problem.budget]
    points: list[BudgetPoint] = []
    for point in sorted([*budget_curve(problem, budgets), own], key=lambda p: p.budget):
        if points and points[-1].gain > point.gain:  # what fits a smaller budget fits this one
            before = points[-1]
            point = replace(point, gain=before.gain, spent=before.spent, customers=before.customers)
        points.append(point)
    return points


def _write(folder: Path, table: pa.Table, points: list[BudgetPoint], manifest: dict[str, Any]) -> None:
    """All files of a plan into a folder; the manifest, with their checksums, last."""
    pq.write_table(table, folder / TABLE, compression="zstd")
    write_plan_csv(table, folder / CSV)
    rows = [asdict(point) for point in points]
    pq.write_table(pa.Table.from_pylist(rows), folder / CURVE, compression="zstd")
    (folder / CURVE_JSON).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    manifest["files"] = {name: _digest(folder / name) for name in (TABLE, CSV, CURVE, CURVE_JSON)}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
