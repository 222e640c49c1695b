"""What an output folder holds beside the scores of a cutoff; of each piece that is missing, what makes it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.audit.audit import Audit
from features.campaigns.measured_plans import MANIFEST, MEASURED
from features.config.load import Config
from features.errors import RegularsError, UsageError
from serving.language.messages import Language
from serving.planning.plan import Plan, read_plan
from serving.scoring.score_tables import Scores
from training.evaluation.evaluate import Evaluation
from training.registry.models import load_evaluation

LOG = logging.getLogger(__name__)
BROKEN = (ValueError, KeyError, TypeError, AttributeError, OSError, pa.ArrowException, RegularsError)
CARD = ("segmentation", "segment", "customers", "share", "churn_probability", "value", "value_at_risk", "rule")
MOVE = ("segmentation", "from_cutoff", "to_cutoff", "from_segment", "to_segment", "customers", "share")


@dataclass(frozen=True)
class Part:
    """A piece of the page: what was read, or None and in a sentence what is missing and which command makes it."""

    content: Any
    gap: str = ""


@dataclass(frozen=True)
class Segmented:
    """The groups of a cutoff and the movement to it; `stale` where they are of other scores."""

    cards: Sequence[dict[str, Any]]
    moves: Sequence[dict[str, Any]]
    left_out: Sequence[str]
    stale: bool


@dataclass(frozen=True)
class Planned:
    """A plan of the cutoff, the points of its curve, and the names of other plans of the same day.

    `stale` where the cutoff was scored again since.
    """

    plan: Plan
    points: Sequence[dict[str, Any]]
    others: Sequence[str]
    stale: bool

    def rows(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What the plan says of some customers, by id."""
        names = ["customer_id", "holdout", "action", "would_have", "expected_gain", "source", "assignment"]
        file, found = pq.ParquetFile(self.plan.folder / "plan.parquet"), {}
        wanted = pa.array(list(ids), pa.string())
        for batch in file.iter_batches(columns=names):
            for row in batch.filter(pc.is_in(batch["customer_id"], wanted)).to_pylist():
                found[row["customer_id"]] = row
        return found


@dataclass(frozen=True)
class PastPlan:
    """A plan that was carried out: what it foresaw, what was measured (None: not yet), when its horizon is over."""

    cutoff: date
    campaign: str
    manifest: dict[str, Any]
    measured: dict[str, Any] | None
    matures: date


@dataclass(frozen=True)
class Found:
    """Everything that a page is made from."""

    scores: Scores
    tr: Language
    treatments: dict[str, str]
    evaluation: Evaluation | None
    audit: Part
    segments: Part
    plan: Part
    past: Part
    monitor: Part


def gather(config: Config, scores: Scores, tr: Language) -> Found:
    """All pieces of a scored cutoff's page."""
    return Found(
        scores,
        tr,
        dict(config.segments.treatments),
        _evaluation(config, scores),
        _audit(config, tr),
        _segments(config, scores, tr),
        _plan(config, scores, tr),
        _past(config, tr),
        _monitor(config, scores.cutoff, tr),
    )


def _evaluation(config: Config, scores: Scores) -> Evaluation | None:
    """None where the run is gone; the page then says that it cannot tell how good the numbers are."""
    models = scores.manifest["models"]
    try:
        return load_evaluation(config, models.get("value", models["churn"])["run_id"])
    except UsageError as problem:
        LOG.warning("the report cannot say how good the predictions are: %s", problem)
        return None


def _audit(config: Config, tr: Language) -> Part:
    path, keys = config.output / "audit.json", [field.name for field in fields(Audit)]
    return _part(
        path,
        lambda: _json(path, keys),
        tr("The data was not checked yet: `regulars check` does it."),
        tr("The check of the data cannot be read, or is of an older version: `regulars check` makes it again."),
    )


def _segments(config: Config, scores: Scores, tr: Language) -> Part:
    folder, command = config.output / "segments" / f"cutoff={scores.cutoff}", f"segments --cutoff {scores.cutoff}"
    return _part(
        folder,
        lambda: _segmented(folder, scores),
        tr(
            "Stages, RFM groups, micro-segments and movement are missing for this cutoff: `regulars {command}` makes "
            "them. Below is what the scores alone say.",
            command=command,
        ),
        tr(
            "The segments of this cutoff cannot be read: `regulars {command}` makes them again. Below is what the "
            "scores alone say.",
            command=command,
        ),
    )


def _segmented(folder: Path, scores: Scores) -> Segmented:
    manifest = _json(folder / "manifest.json", ["models", "data_fingerprint", "left_out"])
    cards = _rows(folder / "segments.parquet", CARD)
    moves = [r for r in _rows(folder / "transitions.parquet", MOVE) if str(r["to_cutoff"]) == str(scores.cutoff)]
    models = {name: model["label"] for name, model in scores.manifest["models"].items()}
    same = manifest["models"] == models and manifest["data_fingerprint"] == scores.manifest["data_fingerprint"]
    return Segmented(cards, moves, manifest["left_out"], not same)


def _plan(config: Config, scores: Scores, tr: Language) -> Part:
    place = config.output / "plans" / f"cutoff={scores.cutoff}"
    command = f"plan --cutoff {scores.cutoff} --budget B"
    return _part(
        next(place.glob(f"*/{MANIFEST}"), place / MANIFEST),
        lambda: _planned(config, scores, sorted(path.parent.name for path in place.glob(f"*/{MANIFEST}"))),
        tr("There is no plan for this cutoff: `regulars {command}` makes one.", command=command),
        tr("The plan of this cutoff cannot be read: `regulars {command}` makes it again.", command=command),
    )


def _planned(config: Config, scores: Scores, names: list[str]) -> Planned:
    own = config.plan.campaign if config.plan else ""
    name = own if own in names else names[0]
    plan = read_plan(config, scores.cutoff, name)
    stale = plan.manifest["scores"]["parts"] != scores.manifest["parts"]
    return Planned(plan, plan.curve().to_pylist(), [other for other in names if other != name], stale)


def _past(config: Config, tr: Language) -> Part:
    """Every plan on disk, the newest first; one that cannot be read is told in the log and left out."""
    found = []
    for path in sorted((config.output / "plans").glob(f"cutoff=*/*/{MANIFEST}"), reverse=True):
        try:
            found.append(_past_plan(path))
        except BROKEN as problem:
            LOG.warning("%s: left out of the report, it cannot be read: %s", path.parent, problem)
    if any(plan.measured for plan in found):
        return Part(found)
    return Part(found or None, tr("No plan was measured yet: `regulars measure PLAN` does it once its days are over."))


def _past_plan(path: Path) -> PastPlan:
    manifest = _json(path, ["cutoff", "campaign", "horizon_days", "gain", "assumed", "objective", "customers"])
    told = path.parent / MEASURED
    measured = _json(told, ["returns", "effects", "mature", "customers", "sample_ratio"]) if told.exists() else None
    cutoff = date.fromisoformat(manifest["cutoff"])
    return PastPlan(cutoff, manifest["campaign"], manifest, measured, cutoff + timedelta(manifest["horizon_days"]))


def _monitor(config: Config, cutoff: date, tr: Language) -> Part:
    path, command = config.output / "monitor" / f"cutoff={cutoff}" / "monitor.json", f"monitor --cutoff {cutoff}"
    return _part(
        path,
        lambda: _json(path, ["data", "drift", "alerts"]),
        tr("Nobody watched over this cutoff yet: `regulars {command}` looks for what has changed.", command=command),
        tr("What was watched cannot be read: `regulars {command}` makes it again.", command=command),
    )


def _part(place: Path, read: Callable[[], Any], missing: str, broken: str) -> Part:
    if not place.exists():
        return Part(None, missing)
    try:
        return Part(read())
    except BROKEN as problem:
        LOG.warning("%s: left out of the report, it cannot be read: %s", place, problem)
        return Part(None, broken)


def _json(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """A JSON object with all of some keys; raises ValueError where it lacks one."""
    found = dict(json.loads(path.read_text(encoding="utf-8")))
    if lacking := [key for key in keys if key not in found]:
        raise ValueError(f"{path} lacks {', '.join(lacking)}")
    return found


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a table that has some columns; raises ValueError where it lacks one."""
    table = pq.ParquetFile(path).read()
    if lacking := [name for name in columns if name not in table.column_names]:
        raise ValueError(f"{path} lacks {', '.join(lacking)}")
    return list(table.to_pylist())
