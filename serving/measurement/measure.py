"""The effect of an executed plan: customers assigned to an action against the randomised holdout.

The comparison is by intention to treat: it keeps the groups that randomisation made comparable. Customers who could not
be contacted, or were contacted although held out, stay in their group, so they dilute the effect instead of biasing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.campaigns.live_plans import superseded_by
from features.campaigns.plan_outcomes import read_later_values
from features.config.load import Config
from features.errors import DataError, RefusedError, UsageError
from features.intake.log import Business, Log, opened
from features.outputs.layout import MEASUREMENT, PLAN_MANIFEST
from features.outputs.manifests import Measurement, manifest_text, read_manifest
from features.outputs.parquet_files import read_parquet
from features.storage.atomic_files import atomic_file, write_text_atomically
from features.storage.json_files import file_digest
from features.storage.user_paths import real_path
from serving.measurement.arm_contrasts import experiment_facts
from serving.measurement.effect_estimates import MeasuredEffects, measured_effects, plan_returns
from serving.measurement.executed_plan import VALUE, ExecutedPlan, load_executed_plan
from serving.measurement.exposure import contact_costs, exposure_by_action, holdout_contamination, sample_ratio_checks
from serving.measurement.later_horizons import MULTIPLES, later_effects
from serving.measurement.overlap import overlapping_plans
from serving.planning.plan import Plan, read_plan
from serving.planning.rules import plan_reference

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
        ("pooled", pa.float64()),
        ("pooled_error", pa.float64()),
        ("against", pa.string()),
    ]
)


@dataclass(frozen=True)
class PlanMeasurement:
    """A measured plan on disk.

    Attributes:
        plan: The plan.
        facts: Content of measured.json.
        earlier: fingerprint, end and mature of the measurement that it replaced, or None.
    """

    plan: Plan
    facts: dict[str, Any]
    earlier: dict[str, Any] | None

    @property
    def sample_ratio_mismatch(self) -> bool:
        """Whether group sizes do not fit the randomisation."""
        return bool(self.facts["sample_ratio"]["alarm"])

    def table(self) -> pa.Table:
        """Return one row for each effect, with the columns of `EFFECT_SCHEMA`."""
        return read_parquet(self.plan.folder / TABLE)

    def to_pandas(self) -> Any:
        """The rows of `table` as a DataFrame."""
        return self.table().to_pandas()


def measure_plan(business: Business, name: str, other_log: bool = False) -> PlanMeasurement:
    """Measure a plan, and write measured.json and measured.parquet beside it, each completely or not at all.

    Args:
        business: An opened log, a config, or the path of a config.
        name: The plan's folder, or CUTOFF/CAMPAIGN, or CUTOFF for its live plan.
        other_log: Whether to accept a log other than the one that the plan was made from.

    Returns:
        The measurement.

    Raises:
        UsageError: There is no such plan, or no [contacts].
        RefusedError: The log is not the one that the plan was made from.
        DataError: There is nothing to compare, or a table cannot be read.
    """
    with opened(business) as log:
        config = log.config
        plan = find_plan(config, name)
        executed = load_executed_plan(log, plan, other_log)
        overlap = overlapping_plans(config, executed)
        later = _later_effects(log, executed)
    effects = measured_effects(executed)
    facts = {**_facts(executed, effects, other_log), "churn": config.task.churn, "overlap": overlap, "later": later}
    target, earlier = plan.folder / MEASUREMENT, _earlier(plan.folder / MEASUREMENT)
    with atomic_file(plan.folder / TABLE) as beside:
        pq.write_table(pa.Table.from_pylist(effects.rows, schema=EFFECT_SCHEMA), beside, compression="zstd")
    write_text_atomically(target, manifest_text(facts))
    return PlanMeasurement(plan, facts, earlier)


def _later_effects(log: Log, executed: ExecutedPlan) -> list[dict[str, Any]]:
    """The effects after the horizon; none if outcomes are not complete, nobody is held out, or there is no money."""
    if not executed.mature or VALUE not in executed.outcomes or not executed.control.any():
        return []
    customers, cutoff = executed.log.customers, executed.plan.cutoff
    values = read_later_values(log, customers["customer_id"], cutoff, executed.horizon, MULTIPLES)
    known = customers["known"].to_numpy()
    return list(later_effects(executed, {number: each[known] for number, each in values.items()}))


def find_plan(config: Config, name: str) -> Plan:
    """Find the plan that a command names.

    Raises:
        UsageError: There is no such plan, or it belongs to another config.
    """
    cutoff, campaign = plan_reference(name)
    plan = read_plan(config, cutoff, campaign)
    if len(Path(name).parts) > 2 and real_path(Path(name)) != real_path(plan.folder):
        raise UsageError(
            f"{name} is not a plan of this config; its plan of that name is {plan.folder}: name that one, or use the "
            "other config"
        )
    return plan


def refuse_sample_ratio_mismatch(measured: PlanMeasurement) -> None:
    """Raise RefusedError if the group sizes do not fit the randomisation."""
    if measured.sample_ratio_mismatch:
        raise RefusedError(
            "sample-ratio mismatch: the group sizes do not fit the randomisation. Something else decided who is in "
            "which group, and no figure above can be trusted until the cause is known"
        )


def _facts(executed: ExecutedPlan, effects: MeasuredEffects, other_log: bool) -> dict[str, Any]:
    """The content of measured.json: the same plan and log give the same bytes."""
    plan, log = executed.plan, executed.log
    return {
        "format": FORMAT,
        "name": plan.manifest.name,
        **({"currency": plan.manifest.currency} if plan.manifest.currency else {}),
        "campaign": plan.campaign,
        "cutoff": str(plan.cutoff),
        "horizon_days": executed.horizon.days,
        "days": log.days,
        "mature": executed.mature,
        "matures": str(executed.matures),
        "objective": plan.manifest.objective,
        "plan_sha256": file_digest(plan.folder / PLAN_MANIFEST),
        "log": {"fingerprint": log.fingerprint, "end": str(log.end), "past": log.marks, "other": other_log},
        "customers": {
            "measured": len(executed.held_out),
            "missing": executed.missing_customers,
            "treated": int(executed.treated.sum()),
            "held_out": int(executed.control.sum()),
        },
        "sample_ratio": sample_ratio_checks(executed),
        "exposure": exposure_by_action(executed),
        "responses": executed.responses,
        "contamination": holdout_contamination(executed),
        "cost": contact_costs(executed),
        "adjusted_for": list(executed.covariate_names),
        "policy_since": str(executed.policy_since) if executed.policy_since else None,
        "superseded_by": superseded_by(plan.folder) or None,
        "counted_up_to": effects.caps,
        "looks": executed.horizon.days,
        "effects": effects.rows,
        "withheld": effects.withheld,
        "returns": plan_returns(executed, effects),
        "experiment": experiment_facts(executed, effects.rows) if executed.experiment else None,
    }


def _earlier(path: Path) -> dict[str, Any] | None:
    """What an earlier measurement was made from, or None.

    Raises:
        DataError: The file cannot be read.
    """
    if not path.exists():
        return None
    try:
        measured = read_manifest(path, Measurement)
        return {"mature": measured.mature, **{key: measured.log[key] for key in ("fingerprint", "end")}}
    except (DataError, KeyError):
        raise DataError(f"{path} is not a measurement of regulars; remove it and measure again") from None
