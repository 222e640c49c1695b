"""A cutoff's cohort as score tables: numbers, segments and reasons, made beside their place and put there whole.

A run leaves its files in `OUTPUT/.scoring/` until the last one is written; it can die at any moment and be gone on
with. What it makes depends on the log, the models, the config and the code, and a scored cutoff says on which: a run
that would make the same again does nothing.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from features.atomic_files import replace_folder, report_write_errors
from features.code_digest import digest_code
from features.config.load import Config
from features.engines.base import Engine
from features.intake import customer_ids
from features.snapshots import cache as reuse
from features.snapshots.build import PreparedFeatures, prepare_features
from serving.language.messages import LOCALE, PHRASES
from serving.scoring import value_tiers
from serving.scoring.passes import LocalPasses, ScoringJob, ScoringPasses, score_cohort, scoring_folder, write_features
from serving.scoring.predictions import Champions, check_features, load_champions
from serving.scoring.resumable_run import (
    ResumableRun,
    exclusive_lock,
    file_checksum,
    is_intact,
    open_run,
    remove_folder,
)
from serving.scoring.score_tables import MANIFEST, Scores
from serving.scoring.sinks import deliver_scores

if TYPE_CHECKING:
    from features.engines.spark import SparkEngine

PACKAGES = ("duckdb", "lightgbm", "numpy", "pyarrow", "scipy")
OTHER = {
    "models": "the champion",
    "data_fingerprint": "the log",
    "snapshot_fingerprint": "what features are made",
    "serving": "[serving]",
    "language": "the language",
    "engine": "[engine] kind",
    "segment_rules": "the rules of segments",
    "ids": "how ids are hashed",
    "code": "the code of regulars",
    "versions": "the installed packages",
    "contributions": "whether contributions are wanted",
}


def score_customers(config: Config, cutoff: date, with_contributions: bool = False, resume: bool = False) -> Scores:
    """Scores every customer of a cutoff's cohort with the champions of now; does nothing where nothing is new.

    Args:
        config: The business.
        cutoff: Features see what was known before this day.
        with_contributions: Whether every feature's contribution is written too; without it, those of an earlier run
            stay only if the numbers did.
        resume: Goes on with a run that died, if it was of the same log, champions, config and code.

    Raises:
        RefusedError: Another run is scoring this cutoff into the same output.
        UsageError: There is no champion, the cutoff lies outside the log, or the output cannot be written to.
        DataError: The log breaks its contract, or nobody is in the cohort.
    """
    models = load_champions(config)
    lock = scoring_folder(config) / f"cutoff={cutoff}.lock"
    with exclusive_lock(lock, f"scoring cutoff {cutoff} into {config.output}"), ExitStack() as open_log:
        log = open_log.enter_context(prepare_features(config, cutoff))
        check_features(models, log.features, log.own)
        kinds = models.targets if with_contributions else ()
        job = ScoringJob(config, cutoff, models, log.features, _identity(config, cutoff, models, log), kinds)
        scores = _finished(job)
        if scores is None:
            run, notes = _begun(job, resume)
            write_features(job, run, log)
            if config.engine.kind != "spark":
                open_log.close()  # the engine gives its memory back before anyone is explained
            scores = _publish(job, run, _manifest(job, score_cohort(job, run, _passes(log.engine, config))), notes)
        remove_folder(job.folder)
        return replace(scores, notes=(*scores.notes, *deliver_scores(config, scores)))


def _passes(engine: Engine, config: Config) -> ScoringPasses:
    """Where the passes run: where the engine does."""
    if config.engine.kind != "spark":
        return LocalPasses()
    from serving.scoring.spark_executor import SparkPasses  # PySpark is not everywhere

    return SparkPasses(cast("SparkEngine", engine))


def _identity(config: Config, cutoff: date, models: Champions, log: PreparedFeatures) -> dict[str, Any]:
    """Everything that the files of a scored cutoff depend on, as JSON has it."""
    labels = {
        kind: {"label": m.version.label, "run_id": m.version.run_id, "digest": m.bundle.digest}
        for kind, m in models.by_target.items()
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
        "code": _code(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


@cache
def _code() -> str:
    """A digest of the modules that numbers and reasons come from."""
    wording = {path.parent.name: file_checksum(path) for path in sorted(LOCALE.glob(f"*/{PHRASES}"))}
    return _digest({"modules": digest_code(__name__), "wording": wording, "features": reuse.builder_digest()})


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _scored(job: ScoringJob) -> Path:
    return job.config.output / "scores" / f"cutoff={job.cutoff}"


def _explained(job: ScoringJob, kind: str) -> Path:
    return job.config.output / "contributions" / kind / f"cutoff={job.cutoff}"


def _manifest_of(job: ScoringJob) -> dict[str, Any]:
    """The manifest that is in place; empty where there is none, or none that can be read."""
    try:
        return dict(json.loads((_scored(job) / MANIFEST).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}


def _finished(job: ScoringJob) -> Scores | None:
    """What is in place, if it is whole and just what this run would make.

    Contributions that a run had no time to put there, because it died after its scores took their place, are put there.
    """
    manifest, folder = _manifest_of(job), _scored(job)
    if manifest.get("run") != _digest(job.identity) or not _all_whole(folder, manifest["parts"]):
        return None
    for kind, parts in manifest["contributions"].items():
        waiting, place = job.folder / "contributions" / kind, _explained(job, kind)
        if not place.exists() and waiting.exists() and _all_whole(waiting, parts):
            replace_folder(waiting, place)
    for kind in job.targets:
        if not _all_whole(_explained(job, kind), manifest["contributions"].get(kind, [{"file": "", "sha256": ""}])):
            return None
    told = f"nothing is new since cutoff {job.cutoff} was scored: the same log, champions, config and code"
    return Scores(folder, job.cutoff, manifest, (told,), new=False)


def _all_whole(folder: Path, parts: Sequence[Mapping[str, Any]]) -> bool:
    return all(is_intact(folder, part) for part in parts)


def _begun(job: ScoringJob, resume: bool) -> tuple[ResumableRun, tuple[str, ...]]:
    """The run, and what is to be told of one that lay there."""
    identity = json.loads(json.dumps({**job.identity, "contributions": list(job.targets)}))
    run, before = open_run(job.folder, identity, resume)
    if before is None:
        return run, ()
    if before == identity:
        done = sum(step.startswith("chunk") for step in run.steps)
        gone_on = f"went on with a run that had ended early: {done} of its parts were written"
        return run, (gone_on if resume else "a run that had ended early was begun anew; --resume would have gone on",)
    others = [words for key, words in OTHER.items() if before.get(key) != identity[key]]
    return run, (f"a run that had ended early was begun anew: since then {_and(others)} changed",)


def _and(words: Sequence[str]) -> str:
    """Words in a row.

    >>> _and(["the log", "the champion", "[serving]"])
    'the log, the champion and [serving]'
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else "something"


def _manifest(job: ScoringJob, made: dict[str, Any]) -> dict[str, Any]:
    models = {kind: {**job.identity["models"][kind], "task": m.bundle.task} for kind, m in job.models.by_target.items()}
    said = {key: value for key, value in job.identity.items() if key != "serving"}
    told = {"format": 1, "run": _digest(job.identity), **job.identity["serving"]}
    spread = job.models.richest.bundle.spread
    kept = None if spread is None else json.loads(json.dumps(asdict(spread)))
    return {**said, **told, "models": models, "spread": kept, **made}


def _publish(job: ScoringJob, run: ResumableRun, manifest: dict[str, Any], notes: tuple[str, ...]) -> Scores:
    """Puts a run's files in their places.

    Contributions are in place only while the numbers are that they add up to: those of other numbers go before the
    scores take their place, and the new ones come after.
    """
    before = _manifest_of(job)
    same = before.get("parts") == manifest["parts"]
    with report_write_errors(job.config.output):
        for place in sorted((job.config.output / "contributions").glob(f"*/cutoff={job.cutoff}")):
            if place.parent.name in job.targets or not same:
                aside = run.folder / f"old {place.parent.name}"
                remove_folder(aside)
                place.rename(aside)
        if same and not job.targets:
            manifest["contributions"] = before.get("contributions", {})
        text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
        (run.folder / "scores" / MANIFEST).write_text(text, encoding="utf-8")
    replace_folder(run.folder / "scores", _scored(job))
    for kind in job.targets:
        replace_folder(run.folder / "contributions" / kind, _explained(job, kind))
    mended = [f"{file} was not as it had been written, and was made again" for file in run.damaged]
    return Scores(_scored(job), job.cutoff, manifest, (*notes, *mended))
