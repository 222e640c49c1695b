"""Scores a cutoff's cohort: predictions, segments and reasons in score tables that are published all at once.

A run keeps its files in `OUTPUT/.scoring/` until the last one is written; it can be killed at any moment and resumed.
The scores depend on the log, the models, the config and the code, and the manifest records these; a run that would
write the same scores again is skipped.
"""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from features.code_digest import digest_code
from features.config.load import Config
from features.engines.base import Engine
from features.errors import DataError, RegularsError, UsageError
from features.intake import customer_ids
from features.intake.log import Business, Log, as_date, opened
from features.outputs.layout import cutoff_name
from features.outputs.manifests import ScoreManifest, manifest_text, read_manifest
from features.snapshots import cache as reuse
from features.snapshots.build import PreparedFeatures, prepare_features
from features.storage.atomic_files import replace_folder, report_write_errors
from features.storage.file_locks import exclusive_lock
from features.storage.json_files import file_digest, has_digest, json_digest
from serving.language.messages import LOCALE, PHRASES
from serving.scoring import value_tiers
from serving.scoring.passes import LocalPasses, ScoringJob, ScoringPasses, score_cohort, write_features
from serving.scoring.predictions import Champions, load_champions, model_features
from serving.scoring.resumable_run import ResumableRun, open_run, remove_folder
from serving.scoring.score_notes import QUICK_SCORES
from serving.scoring.score_tables import MANIFEST, Scores
from serving.scoring.sinks import deliver_scores
from serving.scoring.winback import (
    WinbackJob,
    plan_winback,
    score_winback,
    tried_note,
    winback_note,
    write_winback_features,
)
from training.evaluation.grade import grade_evaluation
from training.registry.compatibility import learned_until
from training.registry.models import load_evaluation

if TYPE_CHECKING:
    from features.engines.spark import SparkEngine

LOG = logging.getLogger(__name__)
PACKAGES = ("duckdb", "lightgbm", "numpy", "pyarrow", "scipy")
CHANGED_INPUT = {
    "models": "the champion",
    "data_fingerprint": "the log",
    "snapshot_fingerprint": "the features",
    "serving": "[serving]",
    "language": "the language",
    "engine": "[engine] kind",
    "segment_rules": "the segment rules",
    "ids": "how ids are hashed",
    "code": "the code of Regulars",
    "versions": "the installed packages",
    "contributions": "the choice of --contributions",
}


def score_customers(
    business: Business, cutoff: date | str, with_contributions: bool = False, resume: bool = False
) -> Scores:
    """Score every customer of a cutoff's cohort with the current champions; skipped when nothing has changed.

    Args:
        business: An opened log, a config, or the path of a config.
        cutoff: Features use what was known before this day.
        with_contributions: Whether to write every feature's contribution too; without it, the contributions of an
            earlier run are kept only if the scores are the same.
        resume: Whether to resume a run that ended early, if log, champions, config and code are the same.

    Returns:
        The scores, with notes on what the run did.

    Raises:
        RefusedError: Another run is scoring this cutoff into the same output.
        UsageError: There is no champion, the cutoff lies outside the log, or the output cannot be written to.
        DataError: The log breaks its contract, or the cohort is empty.
    """
    with ExitStack() as reading:
        log = reading.enter_context(opened(business))
        config, day = log.config, as_date(cutoff)
        models = load_champions(config)
        lock = config.outputs.scoring() / f"{cutoff_name(day)}.lock"
        with exclusive_lock(lock, f"scoring cutoff {day} into {config.output}"):
            return _score_cutoff(log, day, models, with_contributions, resume, reading)


def _score_cutoff(
    log: Log, day: date, models: Champions, with_contributions: bool, resume: bool, reading: ExitStack
) -> Scores:
    """As `score_customers`; `reading` ends the work on the log, and closes a log that was opened for this run."""
    config = log.config
    prepared = reading.enter_context(prepare_features(log, day))
    features = model_features(models, prepared.features, prepared.own)
    targets = models.targets if with_contributions else ()
    job = ScoringJob(config, day, models, features, _run_identity(config, day, models, prepared), targets)
    lapsed = plan_winback(config, day, job.identity)
    winback_notes: tuple[str, ...] = ()
    if lapsed is not None:
        lapsed, winback_notes = _write_lapsed(lapsed, log)
    scores = _scores_in_place(job)
    if scores is None:
        customer_ids.record_id_rule(config)
        run, notes = _open_run(job, resume)
        write_features(job, run, prepared)
        if config.engine.kind != "spark":
            reading.close()  # memory is freed before explanations start
        facts = score_cohort(job, run, _choose_passes(prepared.engine, config.engine.kind))
        scores = _publish(job, run, _build_manifest(job, facts), notes)
    remove_folder(job.folder)
    if lapsed is not None:
        winback_notes = (winback_note(score_winback(lapsed)),)
    quick = (f"note: {QUICK_SCORES}",) if models.churn.bundle.is_quick else ()
    return replace(scores, notes=(*quick, *scores.notes, *winback_notes, *deliver_scores(config, scores)))


def _write_lapsed(job: WinbackJob, log: Log) -> tuple[WinbackJob | None, tuple[str, ...]]:
    """Write the features of lapsed customers; if that fails, scores do without them, and a note says why."""
    try:
        return write_winback_features(job, log), ()
    except RegularsError as problem:
        return None, (tried_note(problem),)


def _choose_passes(engine: Engine, kind: str) -> ScoringPasses:
    """Run the passes where the engine runs."""
    if kind != "spark":
        return LocalPasses()
    from serving.scoring.spark_executor import SparkPasses  # PySpark is optional

    return SparkPasses(cast("SparkEngine", engine))


def _run_identity(config: Config, cutoff: date, models: Champions, log: PreparedFeatures) -> dict[str, Any]:
    """Return everything that the files of a scored cutoff depend on, as values of JSON."""
    labels = {
        kind: {"label": champion.version.label, "run_id": champion.version.run_id, "digest": champion.bundle.digest}
        for kind, champion in models.by_target.items()
    }
    return {
        "name": config.name,
        "cutoff": str(cutoff),
        "models": labels,
        "data_fingerprint": log.data_fingerprint,
        "snapshot_fingerprint": log.fingerprint,
        "serving": config.serving.model_dump(mode="json", include={"chunk", "reasons", "interval"}),
        "language": config.language,
        "engine": config.engine.kind,
        "segment_rules": value_tiers.RULES_VERSION,
        "ids": customer_ids.id_hashing_record(config),
        "code": _code_version(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


@cache
def _code_version() -> str:
    """Return a digest of the code and the phrases that scores and reasons depend on."""
    wording = {path.parent.name: file_digest(path) for path in sorted(LOCALE.glob(f"*/{PHRASES}"))}
    return json_digest({"modules": digest_code(__name__), "wording": wording, "features": reuse.builder_digest()})


def _scores_folder(job: ScoringJob) -> Path:
    return job.config.outputs.scores(job.cutoff)


def _contributions_folder(job: ScoringJob, kind: str) -> Path:
    return job.config.outputs.contributions(kind, job.cutoff)


def _manifest_in_place(job: ScoringJob) -> ScoreManifest | None:
    """Return the published manifest; None if there is none, or it cannot be read."""
    try:
        return read_manifest(_scores_folder(job) / MANIFEST, ScoreManifest)
    except (FileNotFoundError, DataError):
        return None


def _scores_in_place(job: ScoringJob) -> Scores | None:
    """Return the published scores if they are intact and this run would write the same; else None.

    A run may have been killed after it published its scores; then its contributions are published here.
    """
    manifest, folder = _manifest_in_place(job), _scores_folder(job)
    if manifest is None or manifest.run != json_digest(job.identity) or not _all_intact(folder, manifest.parts):
        return None
    for kind, parts in manifest.contributions.items():
        unpublished, folder_in_place = job.folder / "contributions" / kind, _contributions_folder(job, kind)
        if not folder_in_place.exists() and unpublished.exists() and _all_intact(unpublished, parts):
            replace_folder(unpublished, folder_in_place)
    for kind in job.targets:
        if kind not in manifest.contributions:
            return None
        if not _all_intact(_contributions_folder(job, kind), manifest.contributions[kind]):
            return None
    note = f"skipped: log, champions, config and code have not changed since cutoff {job.cutoff} was scored"
    return Scores(folder, job.cutoff, manifest, (note,), new=False)


def _all_intact(folder: Path, parts: Sequence[Mapping[str, Any]]) -> bool:
    return all(has_digest(folder, part) for part in parts)


def _open_run(job: ScoringJob, resume: bool) -> tuple[ResumableRun, tuple[str, ...]]:
    """Open the run; also returns a note about an earlier run that ended early."""
    identity = json.loads(json.dumps({**job.identity, "contributions": list(job.targets)}))
    run, previous = open_run(job.folder, identity, resume)
    if previous is None:
        return run, ()
    if previous == identity:
        chunks = sum(step.startswith("chunk") for step in run.steps)
        resumed = f"resumed a run that had ended early: {chunks} of its parts were written"
        restarted = "a run that had ended early was started over; --resume would have resumed it"
        return run, (resumed if resume else restarted,)
    changed = [words for key, words in CHANGED_INPUT.items() if previous.get(key) != identity[key]]
    return run, (f"a run that had ended early was started over: since then {_join_words(changed)} changed",)


def _join_words(words: Sequence[str]) -> str:
    """Join words to a phrase.

    >>> _join_words(["the log", "the champion", "[serving]"])
    'the log, the champion and [serving]'
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else "something"


def _build_manifest(job: ScoringJob, facts: dict[str, Any]) -> dict[str, Any]:
    models = {
        kind: {
            **job.identity["models"][kind],
            "task": champion.bundle.task,
            "learned_until": str(learned_until(champion.bundle)),
            **({} if champion.bundle.skill else {"skill": False}),
            **({"quick": True} if champion.bundle.is_quick else {}),
        }
        for kind, champion in job.models.by_target.items()
    }
    inputs = {key: value for key, value in job.identity.items() if key != "serving"}
    settings = {"format": 1, "run": json_digest(job.identity), **job.identity["serving"]}
    spread = job.models.richest.bundle.spread
    spread_values = None if spread is None else json.loads(json.dumps(asdict(spread)))
    grade = _grade(job.config, job.models.richest.version.run_id)
    currency = {"currency": job.config.currency} if job.config.currency else {}
    return {**inputs, **settings, **currency, "models": models, "spread": spread_values, "grade": grade, **facts}


def _grade(config: Config, run_id: str) -> dict[str, Any] | None:
    """The grade of the models by the test that their training logged; None if that cannot be read."""
    try:
        grade = grade_evaluation(load_evaluation(config, run_id))
    except UsageError as problem:
        LOG.warning("the scores get no grade: %s", problem)
        return None
    return None if grade is None else asdict(grade)


def _publish(job: ScoringJob, run: ResumableRun, manifest: dict[str, Any], notes: tuple[str, ...]) -> Scores:
    """Publish a run's files.

    Published contributions always add up to the published scores: contributions of other scores are removed before the
    new scores are published, and the new contributions follow after them.
    """
    previous = _manifest_in_place(job)
    same = previous is not None and previous.parts == manifest["parts"]
    with report_write_errors(job.config.output):
        for folder in job.config.outputs.all_contributions(job.cutoff):
            if folder.parent.name in job.targets or not same:
                aside = run.folder / f"old {folder.parent.name}"
                remove_folder(aside)
                folder.rename(aside)
        if previous is not None and same and not job.targets:
            manifest["contributions"] = previous.contributions
        text = manifest_text(manifest)
        (run.folder / "scores" / MANIFEST).write_text(text, encoding="utf-8")
    replace_folder(run.folder / "scores", _scores_folder(job))
    for kind in job.targets:
        replace_folder(run.folder / "contributions" / kind, _contributions_folder(job, kind))
    repaired = [f"{file} was damaged and was written again" for file in run.damaged]
    return Scores(_scores_folder(job), job.cutoff, ScoreManifest.model_validate(manifest), (*notes, *repaired))
