"""Plans a campaign: one action or none for each customer within a budget, after a randomised holdout.

The gain of an action is margin x effect on value - cost; without money it is the effect on return (customers kept). The
holdout is drawn from the eligible customers before any action is chosen. Held-out customers are assigned the action
that they would get, at no cost, so that they can later be compared with the customers who got it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.campaigns.contact_history import summarise_log
from features.campaigns.live_plans import mark_superseded
from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import DataError
from features.intake.log import Business, Log, as_date, opened
from features.outputs.layout import PLAN_MANIFEST, PLAN_TABLE, plan_name
from features.outputs.manifests import PlanManifest, manifest_text, read_manifest, rewriting_advice
from features.outputs.parquet_files import read_parquet
from features.storage.atomic_files import atomic_folder
from features.storage.json_files import file_digest
from serving.experiments.power import holdout_power
from serving.language.messages import get_language
from serving.optimizer.allocate import Allocation, BudgetPoint, allocate_actions, allocation_problem, budget_curve
from serving.optimizer.dual_prices import AllocationProblem
from serving.planning.campaign_file import send_times, write_plan_csv
from serving.planning.experiment import ExperimentKind, draw_experiment, experiment_kind
from serving.planning.explore import explored_plan, exploring_facts
from serving.planning.inputs import MONEY, PlanInputs, collect_plan_inputs
from serving.planning.manifest import plan_manifest
from serving.planning.measurability import unmeasurable_actions
from serving.planning.money import look_ahead, money_left
from serving.planning.rules import experiment_campaign, find_plan_manifest, plan_rules, refuse_measured
from serving.planning.table import plan_table

CSV, CURVE, CURVE_JSON = "plan.csv", "curve.parquet", "curve.json"


@dataclass(frozen=True)
class Plan:
    """A plan on disk.

    Attributes:
        folder: Has its tables and manifest.
        cutoff: The cutoff of the scores that it is based on.
        campaign: Its name.
        manifest: Budget, gain, bound, prices, counts, rules and fingerprints.
    """

    folder: Path
    cutoff: date
    campaign: str
    manifest: PlanManifest

    @property
    def gain(self) -> float:
        """Expected total gain: money after costs, or customers kept."""
        return float(self.manifest.gain)

    @property
    def gain_interval(self) -> tuple[float, float] | None:
        """The interval that holds the gain with the probability `manifest.interval`; None if effects are assumed."""
        low, high = self.manifest.gain_low, self.manifest.gain_high
        return None if low is None or high is None else (low, high)

    @property
    def loss_probability(self) -> float | None:
        """The probability that the plan loses money; None if effects are assumed, or the gain is not money."""
        return self.manifest.loss_probability

    @property
    def bound(self) -> float:
        """No plan within the limits gains more."""
        return float(self.manifest.bound)

    @property
    def spent(self) -> float:
        """Total cost of the actions."""
        return float(self.manifest.spent)

    def table(self) -> pa.Table:
        """One row for each scored customer, by customer_id (columns: `serving.planning.table.COLUMNS`)."""
        return read_parquet(self.folder / PLAN_TABLE, sha256=self.manifest.files.get(PLAN_TABLE, ""))

    def curve(self) -> pa.Table:
        """Gain against budget: budget, spent, gain, bound, price (of the next unit of money) and customers."""
        return read_parquet(self.folder / CURVE, sha256=self.manifest.files.get(CURVE, ""))

    def to_pandas(self) -> Any:
        """The rows of `table` as a DataFrame."""
        return self.table().to_pandas()


def make_plan(
    business: Business,
    cutoff: date | str,
    budget: float | None = None,
    campaign: str | None = None,
    only: Sequence[str] | None = None,
    test: str | None = None,
    detect: float | None = None,
) -> Plan:
    """Makes the plan of a campaign at a scored cutoff and writes it in one step; an earlier plan is replaced.

    Plans of other campaigns at the cutoff are marked as superseded, unless `[plan] independent` is set. With `test`, or
    if nothing at all is known of what any action changes, the plan is an experiment: arms assigned at random.

    Args:
        business: An opened log, a config, or the path of a config; it needs a [plan].
        cutoff: A scored cutoff.
        budget: Upper limit of the total cost; by default the config's. An experiment needs none.
        campaign: Name of the campaign; by default the config's, for a test with '-test' behind it.
        only: Segments, tiers or lifecycle stages whose customers alone get actions; by default the config's.
        test: The arms of an experiment, such as 'mail vs call' or 'channel x depth' (`serving.experiments.arms`).
        detect: The difference in the return rate that an experiment should detect, such as 0.05.

    Returns:
        The plan on disk.

    Raises:
        UsageError: There is no [plan], the cutoff is not scored, or a rule or the test names what does not exist.
        RefusedError: The limits contradict each other, or the campaign's plan was already measured.
        DataError: Nobody is eligible, or a table cannot be read.
    """
    with opened(business) as log:
        day = as_date(cutoff)
        kind = experiment_kind(log, day, test, detect)
        if kind is None:
            return _plan_campaign(log, day, plan_rules(log.config, budget, campaign, only, day))
        name = campaign if kind.pilot else experiment_campaign(log.config, campaign)
        return _plan_experiment(log, day, plan_rules(log.config, budget, name, only, day, needs_budget=False), kind)


def _plan_campaign(log: Log, day: date, rules: PlanConfig) -> Plan:
    """As `make_plan`, for an opened log."""
    config = log.config
    refuse_measured(config.outputs.plan(day, rules.campaign))
    inputs = collect_plan_inputs(log, rules, day)
    problem = _plan_problem(inputs, rules)
    ordered = problem if inputs.pilot is None else problem.subset(inputs.order)
    allocation = allocate_actions(ordered, inputs.segments, list(rules.actions))
    choice = np.empty_like(allocation.choice)
    choice[inputs.order] = allocation.choice
    allocation = replace(allocation, choice=choice)
    points = _curve_points(problem, rules, allocation)
    best, (allocation, explored) = allocation.gain, explored_plan(problem, allocation, inputs, rules)
    table = _table(config, rules, inputs, allocation, explored.chances)
    manifest = plan_manifest(config, rules, inputs, allocation)
    manifest["exploring"] = exploring_facts(rules, inputs, explored, best - allocation.gain)
    summary = summarise_log(log, day, config.task.horizon)
    manifest["past"] = {"before": str(summary.day), **summary.marks}
    spread = _spend_spread(config, summary.spread) if inputs.objective == MONEY else None
    manifest["design"] = holdout_power(table, list(rules.actions), inputs.share, spread, rules.seed)
    left = money_left(config, rules, day)
    manifest["money"] = look_ahead(left, problem, allocation) if left else None
    manifest["unmeasurable"] = unmeasurable_actions(table, list(rules.actions), inputs.share)
    return _write_plan(config, day, rules, table, points, manifest)


def _plan_experiment(log: Log, day: date, rules: PlanConfig, kind: ExperimentKind) -> Plan:
    """As `make_plan`, for arms that are assigned at random."""
    config = log.config
    refuse_measured(config.outputs.plan(day, rules.campaign))
    summary = summarise_log(log, day, config.task.horizon)
    drawn = draw_experiment(log, day, rules, kind, _spend_spread(config, summary.spread))
    allocation = drawn.allocation
    table = _table(config, drawn.rules, drawn.inputs, allocation, drawn.chances, experiment=True)
    manifest = plan_manifest(config, drawn.rules, drawn.inputs, allocation) | drawn.facts
    for place, facts in enumerate(manifest["actions"].values()):
        facts["propensity"] = float(drawn.chances[0, place])
    manifest["past"] = {"before": str(summary.day), **summary.marks}
    own = BudgetPoint(
        manifest["budget"],
        allocation.spent,
        allocation.gain,
        allocation.bound,
        0.0,
        manifest["customers"]["with_action"],
    )
    return _write_plan(config, day, drawn.rules, table, [own], manifest)


def _table(
    config: Config, rules: PlanConfig, inputs: PlanInputs, allocation: Allocation, chances: np.ndarray,
    experiment: bool = False,
) -> pa.Table:  # fmt: skip
    return plan_table(
        inputs.table, list(rules.actions), allocation.choice, inputs.holdout, inputs.share, inputs.gains, inputs.costs,
        inputs.action_effects, inputs.eligibility, chances, get_language(config.language), experiment,
    )  # fmt: skip


def _write_plan(
    config: Config, day: date, rules: PlanConfig, table: pa.Table, points: list[BudgetPoint], manifest: dict[str, Any]
) -> Plan:
    """Writes the files of a plan, and marks the other plans of the cutoff as superseded."""
    folder = config.outputs.plan(day, rules.campaign)
    manifest["send"] = send_times(rules, day)
    with atomic_folder(folder) as staging:
        write_plan_csv(table, plan_name(folder), rules, day, staging / CSV, bool(manifest.get("experiment")))
        _write_files(staging, table, points, manifest)
    if not rules.independent:
        mark_superseded(config, day, rules.campaign)
    return Plan(folder, day, rules.campaign, PlanManifest.model_validate(manifest))


def read_plan(config: Config, cutoff: date, campaign: str | None = None) -> Plan:
    """Opens an existing plan.

    Args:
        config: The business.
        cutoff: The cutoff of the plan.
        campaign: Name of the campaign; by default that of the cutoff's live plan.

    Returns:
        The plan on disk.

    Raises:
        UsageError: There is no such plan.
        DataError: One of its files has changed since.
    """
    path = find_plan_manifest(config, cutoff, campaign)
    manifest = read_manifest(path, PlanManifest)
    for file, digest in manifest.files.items():
        if not (path.parent / file).is_file() or file_digest(path.parent / file) != digest:
            raise DataError(
                f"{path.parent / file}: changed since it was written; {rewriting_advice(path.parent / file)}"
            )
    return Plan(path.parent, cutoff, path.parent.name, manifest)


def _spend_spread(config: Config, spread: float | None) -> float | None:
    """Relative variance of buyers' spend in the last horizon; 0 for contracts, whose prices are known in advance."""
    return spread if config.events.amount else 0.0


def _plan_problem(inputs: PlanInputs, rules: PlanConfig) -> AllocationProblem:
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


def _curve_points(problem: AllocationProblem, rules: PlanConfig, allocation: Allocation) -> list[BudgetPoint]:
    """The budget curve up to the spending without a budget, with the plan's own point; gain never falls."""
    unlimited = budget_curve(problem, [float(problem.costs.max(axis=1, initial=0).sum())])
    last = max((point.spent for point in unlimited), default=0.0)
    chosen = int(allocation.used[1 : 1 + problem.no_action].sum())
    own = BudgetPoint(
        problem.budget, allocation.spent, allocation.gain, allocation.bound, float(allocation.prices[0]), chosen
    )
    budgets = [float(b) for b in np.linspace(0, last, rules.curve + 1)[1:] if 0 < b != problem.budget]
    points: list[BudgetPoint] = []
    for point in sorted([*budget_curve(problem, budgets), own], key=lambda p: p.budget):
        if points and points[-1].gain > point.gain:  # the choice for a smaller budget also fits this one
            before = points[-1]
            point = replace(point, gain=before.gain, spent=before.spent, customers=before.customers)
        points.append(point)
    return points


def _write_files(folder: Path, table: pa.Table, points: list[BudgetPoint], manifest: dict[str, Any]) -> None:
    """Writes the other files of a plan beside its CSV file; the manifest, with their checksums, comes last."""
    pq.write_table(table, folder / PLAN_TABLE, compression="zstd")
    rows = [asdict(point) for point in points]
    pq.write_table(pa.Table.from_pylist(rows), folder / CURVE, compression="zstd")
    (folder / CURVE_JSON).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    manifest["files"] = {name: file_digest(folder / name) for name in (PLAN_TABLE, CSV, CURVE, CURVE_JSON)}
    (folder / PLAN_MANIFEST).write_text(manifest_text(manifest), encoding="utf-8")
