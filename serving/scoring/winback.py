"""Scores the lapsed customers of a cutoff beside its cohort, into a folder of their own.

The engine writes their features; this process predicts and explains them in chunks, on Spark as well. Without a
win-back model nothing is written: `regulars train` says why there is none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config
from features.errors import DataError, RegularsError
from features.feature import Feature
from features.intake.log import Log
from features.outputs.layout import SCORE_MANIFEST, cutoff_name
from features.outputs.manifests import manifest_text, read_manifest
from features.outputs.parquet_rows import ParquetRows, open_parquet_rows
from features.snapshots.build import prepare_features
from features.storage.atomic_files import atomic_folder, report_write_errors
from features.storage.json_files import file_digest, has_digest, json_digest
from features.task import Task
from serving.explanation.contributions import compute_contributions, top_reasons
from serving.language.feature_phrases import translate_features
from serving.language.messages import get_language
from serving.scoring.chunks import BLOCK_ROWS, part_file, row_ranges
from serving.scoring.predictions import Champions, model_features
from serving.scoring.resumable_run import remove_folder
from serving.scoring.score_tables import COMPRESSION, total_value_interval
from serving.scoring.sinks import append_csv, spreadsheet_table
from serving.winback.table import WINBACK_SCHEMA, WinbackManifest, WinbackScores, last_tries, winback_rows_table
from training.registry.compatibility import is_outdated, learned_until
from training.registry.models import Champion, load_champion
from training.registry.winback_models import FADE, winback_config, winback_kind

FEATURES_FILE, CSV_FILE = "features.parquet", "winback.csv"


@dataclass(frozen=True)
class WinbackJob:
    """The lapsed customers of a cutoff to score, and with which model.

    Attributes:
        config: The business.
        cutoff: The cutoff.
        task: Of lapsed customers.
        champion: The model.
        run: The digest of all that the table depends on.
        features: The features in the order of the model's columns; empty until they are written.
    """

    config: Config
    cutoff: date
    task: Task
    champion: Champion
    run: str
    features: tuple[Feature, ...] = ()

    @property
    def folder(self) -> Path:
        """The working folder, beside those of other runs."""
        return self.config.outputs.scoring() / f"winback-{cutoff_name(self.cutoff)}"


def plan_winback(config: Config, cutoff: date, identity: dict[str, Any]) -> WinbackJob | None:
    """Find out whether lapsed customers are to be scored.

    Args:
        config: The business.
        cutoff: The cutoff.
        identity: Everything that scores of the cutoff depend on, as values of JSON.

    Returns:
        What is to be done; None if there is no model, or the table is there and would be the same.

    Raises:
        DataError: The registered model is not a complete model of ours.
    """
    task = config.task.to_lapsed_task()
    champion = None if task is None else load_champion(winback_config(config), winback_kind(config))
    if task is None or champion is None or is_outdated(champion.bundle, config.task.timezone):
        return None
    settings = {"last_try": config.serving.last_try, "csv": config.serving.csv}
    own = {"model": champion.bundle.digest, "task": repr(task), **settings}
    kept = {key: value for key, value in identity.items() if key not in ("models", "segment_rules")}
    job = WinbackJob(config, cutoff, task, champion, json_digest({**kept, **own}))
    return None if _is_in_place(job) else job


def _is_in_place(job: WinbackJob) -> bool:
    folder = job.config.outputs.winback(job.cutoff)
    try:
        manifest = read_manifest(folder / SCORE_MANIFEST, WinbackManifest)
    except (FileNotFoundError, DataError):
        return False
    return manifest.run == job.run and all(has_digest(folder, part) for part in manifest.parts)


def write_winback_features(job: WinbackJob, log: Log) -> WinbackJob:
    """Let the engine write the features of the lapsed customers, while the log is open.

    Raises:
        DataError: The log breaks its contract.
        UsageError: The config changed since training.
    """
    with prepare_features(log, job.cutoff, job.task) as prepared, report_write_errors(job.folder):
        features = model_features(Champions(job.champion, job.champion), prepared.features, prepared.own)
        remove_folder(job.folder)
        job.folder.mkdir(mode=0o700, parents=True)
        prepared.write(job.folder / FEATURES_FILE)
    return replace(job, features=features)


def score_winback(job: WinbackJob) -> WinbackScores:
    """Predict and explain the lapsed customers whose features are written, and publish their table.

    Raises:
        UsageError: The folder cannot be written to.
    """
    target, rows = job.config.outputs.winback(job.cutoff), open_parquet_rows(job.folder / FEATURES_FILE)
    totals: list[pa.Table] = []
    with report_write_errors(target), atomic_folder(target) as beside:
        parts = []
        for number, bounds in enumerate(row_ranges(0, max(rows.num_rows, 1), job.config.serving.chunk)):
            path = beside / part_file(number)
            table = pa.concat_tables([WINBACK_SCHEMA.empty_table(), *_blocks(job, rows, bounds)])
            pq.write_table(table, path, compression=COMPRESSION)
            if job.config.serving.csv:
                append_csv(spreadsheet_table(table), beside / CSV_FILE, header=number == 0)
            parts.append({"file": path.name, "rows": table.num_rows, "sha256": file_digest(path)})
            totals.append(table.select(["return_probability", "value", "value_if_back", "last_try"]))
        manifest = {"parts": parts, **_facts(job), **_totals(job, pa.concat_tables(totals))}
        (beside / SCORE_MANIFEST).write_text(manifest_text(manifest), encoding="utf-8")
    shutil.rmtree(job.folder)
    return WinbackScores(target, WinbackManifest.model_validate(manifest))


def winback_note(scores: WinbackScores) -> str:
    """Say how many lapsed customers were scored, and what is expected of them."""
    facts = scores.manifest
    worth = "" if facts.value is None else f", worth {facts.value:,.2f}"
    return (
        f"win-back: {facts.customers:,} lapsed customers in {scores.folder}; {facts.returns:,.1f} are expected to come "
        f"back{worth}"
    )


def tried_note(problem: RegularsError) -> str:
    """Say why lapsed customers could not be scored."""
    return f"win-back: lapsed customers were not scored: {problem}"


def _blocks(job: WinbackJob, rows: ParquetRows, bounds: tuple[int, int]) -> Iterator[pa.Table]:
    if rows.num_rows:
        for block in row_ranges(*bounds, BLOCK_ROWS):
            yield _block_table(job, rows.rows_between(*block))


def _block_table(job: WinbackJob, block: pa.Table) -> pa.Table:
    bundle, settings = job.champion.bundle, job.config.serving
    predicted = bundle.predict(block)
    explained = compute_contributions(bundle, block, predicted)["churn"]
    returns = replace(explained, values=-explained.values, base=1 - explained.base, total=1 - explained.total)
    features = translate_features(job.features, get_language(job.config.language))
    silence = block["recency_days"].to_numpy()
    back = 1 - predicted["churn_probability"]
    limit, fade = job.task.cohort.active_within.days, float(bundle.facts.get(FADE, 0.0))
    columns: dict[str, Any] = {
        "customer_id": block["customer_id"],
        "cutoff": block["cutoff"].cast(pa.timestamp("us")),
        "silent_days": pa.array(silence.astype(np.int64)),
        "return_probability": back,
        "last_try": pa.array(last_tries(back, silence, job.cutoff, settings.last_try, fade, limit), pa.date32()),
        "reasons": top_reasons(returns, block, features, settings.reasons),
        "winback_model": [job.champion.version.label] * block.num_rows,
    }
    if "value" in predicted:
        columns |= {name: predicted[name] for name in ("value", "value_low", "value_high")}
        columns["value_if_back"] = predicted["value"] + predicted["value_at_risk"]
    return winback_rows_table(columns, block.num_rows)


def _facts(job: WinbackJob) -> dict[str, Any]:
    bundle, version = job.champion.bundle, job.champion.version
    model = {
        "label": version.label,
        "run_id": version.run_id,
        "digest": bundle.digest,
        "task": bundle.task,
        "learned_until": str(learned_until(bundle)),
        **({} if bundle.skill else {"skill": False}),
        **({"quick": True} if bundle.is_quick else {}),
    }
    facts = {"format": 1, "name": job.config.name, "cutoff": str(job.cutoff), "language": job.config.language}
    return {
        **facts,
        "model": model,
        "run": job.run,
        "fade": float(bundle.facts.get(FADE, 0.0)),
        "last_try": job.config.serving.last_try,
    }


def _totals(job: WinbackJob, rows: pa.Table) -> dict[str, Any]:
    back = rows["return_probability"].to_numpy()
    days = rows["last_try"].to_pylist()
    totals: dict[str, Any] = {
        "customers": rows.num_rows,
        "returns": float(back.sum()),
        "in_time": sum(day is None or day >= job.cutoff for day in days),
    }
    if rows["value"].null_count or not rows.num_rows:
        return totals
    spread, at_risk = job.champion.bundle.spread, rows["value_if_back"].to_numpy() * (1 - back)
    value = rows["value"].to_numpy()
    low, high = total_value_interval(1 - back, value, at_risk, spread)
    return {**totals, "value": float(value.sum()), "value_low": low, "value_high": high}
