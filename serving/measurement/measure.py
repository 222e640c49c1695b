"""What a plan brought: those meant to get an action against those held out by lot, whatever they then really got.

Comparing by intention keeps what the lot made alike: who could not be reached, or was contacted although held out,
stays where the lot put them, and dilutes the effect instead of biasing it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.atomic_files import atomic_file, write_text_atomically
from features.campaigns.measured_plans import MANIFEST, MEASURED
from features.config.load import Config
from features.errors import DataError, RefusedError, UsageError
from serving.measurement.effect_estimates import effect_rows, plan_returns
from serving.measurement.executed_plan import ExecutedPlan, load_executed_plan
from serving.measurement.exposure import contact_costs, exposure_by_action, holdout_contamination, sample_ratio_checks
from serving.planning.plan import Plan, read_plan

FORMAT = 1
TABLE = "measured.parquet"
EFFECT_SCHEMA = pa.schema(
    [
        ("family", pa.string()),
        ("outcome", pa.string()),
        ("action", pa.string()),
        ("segment", pa.string()),
        ("estimator", pa.string()),
        *((name, pa.float64()) for name in ("effect", "error", "low", "high", "p", "anytime_low", "anytime_high")),
        ("treated", pa.int64()),
        ("held", pa.int64()),
        ("mean_treated", pa.float64()),
        ("mean_held", pa.float64()),
        ("together", pa.int64()),
    ]
)


@dataclass(frozen=True)
class PlanMeasurement:
    """A measured plan on disk.

    Attributes:
        plan: What was measured.
        facts: What measured.json holds.
        earlier: What it held before, or None.
    """

    plan: Plan
    facts: dict[str, Any]
    earlier: dict[str, Any] | None

    @property
    def sample_ratio_mismatch(self) -> bool:
        """Whether the groups are not those that the lot drew."""
        return bool(self.facts["sample_ratio"]["alarm"])

    def table(self) -> pa.Table:
        """One row for each effect: outcome, action, segment, estimator and the figures (columns: `ROWS`)."""
        return pq.ParquetFile(self.plan.folder / TABLE).read()


def measure_plan(config: Config, name: str, other_log: bool = False) -> PlanMeasurement:
    """Measures a plan and writes measured.json and measured.parquet beside it, each whole.

    Args:
        config: The business.
        name: The plan's folder, or CUTOFF/CAMPAIGN, or CUTOFF for the config's campaign.
        other_log: Whether a log will do that is not the one planned from.

    Raises:
        UsageError: There is no such plan, or no [contacts].
        RefusedError: The log is not the one planned from.
        DataError: Nothing can be compared, or a table cannot be read.
    """
    plan = find_plan(config, name)
    campaign = load_executed_plan(config, plan, other_log)
    rows = effect_rows(campaign)
    facts = {**_facts(campaign, rows, other_log), "churn": config.task.churn}
    target, earlier = plan.folder / MEASURED, _earlier(plan.folder / MEASURED)
    with atomic_file(plan.folder / TABLE) as beside:
        pq.write_table(pa.Table.from_pylist(rows, schema=EFFECT_SCHEMA), beside, compression="zstd")
    write_text_atomically(target, json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return PlanMeasurement(plan, facts, earlier)


def find_plan(config: Config, name: str) -> Plan:
    """The plan that a command names.

    Raises:
        UsageError: It is not one, or not of this config.
    """
    parts = Path(name).parts
    day, campaign = (parts[-2], parts[-1]) if len(parts) > 1 else ("".join(parts), None)
    try:
        cutoff = date.fromisoformat(day.removeprefix("cutoff="))
    except ValueError:
        raise UsageError(
            f"{name!r} names no plan: expected its folder (OUTPUT/plans/cutoff=D/CAMPAIGN), or D/CAMPAIGN such as "
            "2024-06-01/retention, or D"
        ) from None
    plan = read_plan(config, cutoff, campaign)
    if len(parts) > 2 and Path(name).resolve() != plan.folder.resolve():
        raise UsageError(f"{name} is not of this config, whose plan of that name is {plan.folder}")
    return plan


def refuse_sample_ratio_mismatch(measured: PlanMeasurement) -> None:
    """Raises RefusedError where the groups are not those that the lot drew."""
    if measured.sample_ratio_mismatch:
        raise RefusedError(
            "the groups are not those that the lot drew (sample ratio): something else decided who is there, and no "
            "figure above can be trusted until it is found"
        )


def _facts(campaign: ExecutedPlan, rows: list[dict[str, Any]], other_log: bool) -> dict[str, Any]:
    """Everything but the note of an earlier measurement: the same plan and log make the same bytes."""
    plan, log = campaign.plan, campaign.log
    return {
        "format": FORMAT,
        "name": plan.manifest["name"],
        "campaign": plan.campaign,
        "cutoff": str(plan.cutoff),
        "horizon_days": campaign.horizon.days,
        "days": log.days,
        "mature": campaign.mature,
        "matures": str(campaign.matures),
        "objective": plan.manifest["objective"],
        "plan_sha256": hashlib.sha256((plan.folder / MANIFEST).read_bytes()).hexdigest(),
        "log": {"fingerprint": log.fingerprint, "end": str(log.end), "past": log.marks, "other": other_log},
        "customers": {
            "measured": len(campaign.held_out),
            "missing": campaign.missing_customers,
            "treated": int(campaign.treated.sum()),
            "held_out": int((campaign.held_out & (campaign.assigned >= 0)).sum()),
        },
        "sample_ratio": sample_ratio_checks(campaign),
        "exposure": exposure_by_action(campaign),
        "contamination": holdout_contamination(campaign),
        "cost": contact_costs(campaign),
        "adjusted_for": list(campaign.covariate_names),
        "effects": rows,
        "returns": plan_returns(campaign, rows),
    }


def _earlier(path: Path) -> dict[str, Any] | None:
    """What was measured before.

    Raises:
        DataError: The file cannot be read.
    """
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"fingerprint": found["log"]["fingerprint"], "end": found["log"]["end"], "mature": found["mature"]}
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path}: is no measurement of regulars; remove it and measure again") from None
