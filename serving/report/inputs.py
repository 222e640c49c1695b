"""Read what the report needs beside the scores; for a missing part, name the command that makes it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from features.audit.audit import Audit
from features.campaigns.live_plans import PlanOnDisk, newest_plans_first, plans_of_cutoff
from features.config.load import Config
from features.errors import DataError, RegularsError, UsageError
from features.outputs.layout import MEASUREMENT, PLAN_MANIFEST
from features.outputs.manifests import Measurement, MonitoringRecord, PlanManifest, SegmentManifest, read_manifest
from features.outputs.parquet_files import open_parquet
from features.storage.json_files import has_digest, read_object
from serving.campaigns.overview import CampaignOverview, list_campaigns
from serving.charts import CutoffTotals
from serving.language.feature_phrases import Driver, translate_drivers
from serving.language.messages import Language
from serving.planning.plan import Plan, read_plan
from serving.report.history import read_history
from serving.scoring.score_changes import ScoreChanges, compare_files
from serving.scoring.score_notes import notes_on_scores
from serving.scoring.score_tables import Scores, read_scores
from serving.segmentation.advice import config_advice
from serving.winback.table import read_winback
from training.evaluation.evaluate import Evaluation
from training.registry.models import load_evaluation, load_run_params

LOG = logging.getLogger(__name__)
BROKEN = (ValueError, KeyError, TypeError, AttributeError, OSError, pa.ArrowException, RegularsError)
EVALUATED_WITHOUT = ("calibration", "tuning")
CARD = ("segmentation", "segment", "customers", "share", "churn_probability", "value", "value_at_risk", "rule")
MOVE = ("segmentation", "from_cutoff", "to_cutoff", "from_segment", "to_segment", "customers", "share")


@dataclass(frozen=True)
class OptionalInput:
    """An input that may be missing: its content, or None and a sentence that says which command makes it."""

    content: Any
    gap: str = ""


@dataclass(frozen=True)
class StoredSegments:
    """The segments of a cutoff and the transitions to it; `stale` if they belong to other scores."""

    cards: Sequence[dict[str, Any]]
    moves: Sequence[dict[str, Any]]
    left_out: Sequence[str]
    stale: bool


@dataclass(frozen=True)
class CutoffPlan:
    """The live plan of the cutoff, the points of its curve, and the names of other plans of the same cutoff.

    `contacted` are the numbers of customers who get an action, by segment.
    `stale` if the cutoff was scored again since; `superseded` are the names of plans whose place another took.
    """

    plan: Plan
    points: Sequence[dict[str, Any]]
    others: Sequence[str]
    stale: bool
    superseded: Sequence[str] = ()
    contacted: Mapping[str, int] = field(default_factory=Counter)

    def rows(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Read the plan's rows of some customers, by id."""
        names = ["customer_id", "holdout", "action", "would_have", "expected_gain", "source", "assignment"]
        wanted, plan_rows = pa.array(list(ids), pa.string()), {}
        with open_parquet(self.plan.folder / "plan.parquet", names) as file:
            for batch in file.iter_batches(columns=names):
                for row in batch.filter(pc.is_in(batch["customer_id"], wanted)).to_pylist():
                    plan_rows[row["customer_id"]] = row
        return plan_rows


@dataclass(frozen=True)
class PastPlan:
    """A plan on disk: its manifest, its measurement (None if not measured), and the day when its horizon is over.

    `superseded_by` is the campaign that took its place; empty if it is live.
    """

    cutoff: date
    campaign: str
    manifest: PlanManifest
    measured: dict[str, Any] | None
    matures: date
    superseded_by: str = ""


@dataclass(frozen=True)
class ReportInputs:
    """Everything that the report is made from; `without`: what the evaluated models had to do without."""

    scores: Scores
    tr: Language
    drivers: dict[str, list[Driver]]
    advice: dict[str, str]
    evaluation: Evaluation | None
    without: tuple[str, ...]
    audit: OptionalInput
    segments: OptionalInput
    plan: OptionalInput
    past: OptionalInput
    monitor: OptionalInput
    campaigns: CampaignOverview
    history: Sequence[CutoffTotals]
    changes: ScoreChanges | None
    notes: Sequence[str]
    winback: OptionalInput = OptionalInput(None)


def read_report_inputs(config: Config, scores: Scores, tr: Language) -> ReportInputs:
    """Read all inputs of the report of a scored cutoff.

    Args:
        config: The business whose output folder is read.
        scores: The scores of the cutoff.
        tr: The language of the report.

    Returns:
        The inputs; a missing or broken one holds a sentence instead of content.
    """
    return ReportInputs(
        scores,
        tr,
        translate_drivers(scores.manifest.drivers, config, tr),
        config_advice(config),
        *_evaluation(config, scores),
        _audit(config, tr),
        _segments(config, scores, tr),
        _plan(config, scores, tr),
        _past(config, tr),
        _monitor(config, scores.cutoff, tr),
        list_campaigns(config),
        read_history(config, scores.cutoff),
        _changes(config, scores),
        notes_on_scores(config.task.timezone, scores.manifest, scores.cutoff, tr),
        _part(config.outputs.winback(scores.cutoff), lambda: read_winback(config, scores.cutoff), "", ""),
    )


def _evaluation(config: Config, scores: Scores) -> tuple[Evaluation | None, tuple[str, ...]]:
    """Read the evaluation of the models, and what the evaluated ones lacked; None if the training run is gone."""
    models = scores.manifest.models
    try:
        model = models.get("value") or models.get("churn") or {"label": ""}
        run = model.get("run_id", "")
        lacking = load_run_params(config, run).get("evaluated_without", "").split(" and ") if run else ()
        return load_evaluation(config, run), tuple(name for name in lacking if name in EVALUATED_WITHOUT)
    except (UsageError, *BROKEN) as problem:
        LOG.warning("the report cannot say how good the predictions are: %s", problem)
        return None, ()


def _changes(config: Config, scores: Scores) -> ScoreChanges | None:
    """Compare the scores with those of the cutoff before; None if there is none, or it cannot be read."""
    earlier = [day for day in config.outputs.scored_cutoffs() if day < scores.cutoff]
    if not earlier:
        return None
    try:
        return compare_files(scores, read_scores(config, earlier[-1]))
    except (duckdb.Error, *BROKEN) as problem:
        LOG.warning("the report does not say what changed since %s: %s", earlier[-1], problem)
        return None


def _audit(config: Config, tr: Language) -> OptionalInput:
    path = config.output / "audit.json"
    keys = [each.name for each in fields(Audit) if each.default is MISSING]
    return _part(
        path,
        lambda: _json(path, keys),
        tr("The data has not been checked yet: run `regulars check`."),
        tr("The data check cannot be read, or an older version wrote it: run `regulars check` again."),
    )


def _segments(config: Config, scores: Scores, tr: Language) -> OptionalInput:
    folder, command = config.outputs.segments(scores.cutoff), f"segments --cutoff {scores.cutoff}"
    return _part(
        folder,
        lambda: _segmented(folder, scores),
        tr(
            "Lifecycle stages, RFM groups, micro-segments and transitions are missing for this cutoff: run "
            "`regulars {command}`. The tables below use the scores only.",
            command=command,
        ),
        tr(
            "The segments of this cutoff cannot be read: run `regulars {command}` again. The tables below use "
            "the scores only.",
            command=command,
        ),
    )


def _segmented(folder: Path, scores: Scores) -> StoredSegments:
    manifest = read_manifest(folder / "manifest.json", SegmentManifest)
    for name, checksum in manifest.files.items():
        if not has_digest(folder, {"file": name, "sha256": checksum}):
            raise DataError(f"{folder / name} is not the file that was written: its checksum differs")
    cards = _rows(folder / "segments.parquet", CARD)
    moves = [r for r in _rows(folder / "transitions.parquet", MOVE) if str(r["to_cutoff"]) == str(scores.cutoff)]
    models = {name: model["label"] for name, model in scores.manifest.models.items()}
    same = manifest.models == models and manifest.data_fingerprint == scores.manifest.data_fingerprint
    return StoredSegments(cards, moves, manifest.left_out, not same)


def _plan(config: Config, scores: Scores, tr: Language) -> OptionalInput:
    place = config.outputs.campaigns(scores.cutoff)
    command = f"plan --cutoff {scores.cutoff} --budget B"
    return _part(
        next(place.glob(f"*/{PLAN_MANIFEST}"), place / PLAN_MANIFEST),
        lambda: _planned(config, scores),
        tr("There is no plan for this cutoff: run `regulars {command}`.", command=command),
        tr("The plan of this cutoff cannot be read: run `regulars {command}` again.", command=command),
    )


def _planned(config: Config, scores: Scores) -> CutoffPlan:
    first, *others = plans_of_cutoff(config, scores.cutoff)
    plan = read_plan(config, scores.cutoff, first.campaign)
    stale = plan.manifest.scores["parts"] != scores.manifest.parts
    live, superseded = ([other.campaign for other in others if other.live is wanted] for wanted in (True, False))
    return CutoffPlan(plan, plan.curve().to_pylist(), live, stale, superseded, _contacted(plan))


def _contacted(plan: Plan) -> Counter[str]:
    """Count the customers who get an action, by segment; of a customer without a segment, by ''."""
    with open_parquet(plan.folder / "plan.parquet", ["segment", "action"]) as file:
        table = file.read(columns=["segment", "action"])
    return Counter(segment or "" for segment in table["segment"].filter(table["action"].is_valid()).to_pylist())


def _past(config: Config, tr: Language) -> OptionalInput:
    """Read every plan on disk, newest first; one that cannot be read is logged and left out."""
    plans = []
    for plan in newest_plans_first(config):
        try:
            plans.append(_past_plan(plan))
        except BROKEN as problem:
            LOG.warning("%s: left out of the report, it cannot be read: %s", plan.folder, problem)
    if any(plan.measured for plan in plans):
        return OptionalInput(plans)
    return OptionalInput(
        plans or None, tr("No plan has been measured yet: run `regulars measure PLAN` when its horizon is over.")
    )


def _past_plan(plan: PlanOnDisk) -> PastPlan:
    manifest = read_manifest(plan.folder / PLAN_MANIFEST, PlanManifest)
    measured_file = plan.folder / MEASUREMENT
    measured = read_manifest(measured_file, Measurement).to_dict() if measured_file.exists() else None
    matures = manifest.cutoff + timedelta(manifest.horizon_days)
    return PastPlan(manifest.cutoff, manifest.campaign, manifest, measured, matures, plan.superseded_by)


def _monitor(config: Config, cutoff: date, tr: Language) -> OptionalInput:
    path, command = config.outputs.monitoring(cutoff) / "monitor.json", f"monitor --cutoff {cutoff}"
    return _part(
        path,
        lambda: read_manifest(path, MonitoringRecord).to_dict(),
        tr("This cutoff has not been monitored yet: run `regulars {command}`.", command=command),
        tr("The monitoring results cannot be read: run `regulars {command}` again.", command=command),
    )


def _part(place: Path, read: Callable[[], Any], missing: str, broken: str) -> OptionalInput:
    if not place.exists():
        return OptionalInput(None, missing)
    try:
        return OptionalInput(read())
    except BROKEN as problem:
        LOG.warning("%s: left out of the report, it cannot be read: %s", place, problem)
        return OptionalInput(None, broken)


def _json(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read a JSON object; raise ValueError if one of the keys is missing."""
    content = read_object(path, "write it again")
    if missing_keys := [key for key in keys if key not in content]:
        raise ValueError(f"{path} lacks {', '.join(missing_keys)}")
    return content


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Read the rows of a table; raise DataError if one of the columns is missing."""
    with open_parquet(path, columns) as file:
        return list(file.read().to_pylist())
