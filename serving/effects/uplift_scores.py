"""Uplift scores: the estimated effect of each action on each customer of a cutoff, on which plans are based.

`OUTPUT/uplift/cutoff=D/effects.parquet` has one row a customer and action, by customer_id and action. Effects are
relative to no action, within the horizon, and before the cost of the action; `source` says whether they were 'measured'
in randomised trials or are 'observational'. Effects of the hierarchical model are posterior means, with independent
errors that are common to all customers of an action (`effect_value_parts`). Others are estimates; a plan believes them
as far as their errors allow (`serving.effects.believed_effects`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config
from features.errors import DataError, UsageError
from features.intake.log import Business, opened
from features.outputs.manifests import UpliftManifest, manifest_text
from features.outputs.parquet_files import read_parquet
from features.snapshots.build import Snapshots, build_snapshots
from features.storage.atomic_files import atomic_folder
from features.storage.json_files import file_digest
from training.artifact.model_files import BundleError
from training.artifact.uplift_bundle import UpliftBundle
from training.registry.compatibility import refuse_outdated
from training.registry.models import RegisteredVersion
from training.registry.tracking_store import no_champion_error
from training.uplift import registry

FILE, MANIFEST = "effects.parquet", "_manifest.json"
UPLIFT_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("action", pa.string()),
        ("effect_return", pa.float64()),
        ("effect_return_error", pa.float64()),
        ("effect_value", pa.float64()),
        ("effect_value_error", pa.float64()),
        ("source", pa.string()),
        ("effect_return_parts", pa.list_(pa.float32())),
        ("effect_value_parts", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class UpliftScores:
    """The uplift scores of a cutoff on disk.

    Attributes:
        file: The Parquet file.
        manifest: The model, the source of the effects, and counts.
    """

    file: Path
    manifest: UpliftManifest

    def table(self) -> pa.Table:
        """All rows."""
        return read_parquet(self.file, sha256=self.manifest.sha256)


def write_uplift_scores(business: Business, cutoff: date) -> UpliftScores:
    """Writes the effects of every action for a cutoff's cohort; nothing is written if it fails.

    The business is an opened log, a config, or the path of a config.

    Raises:
        UsageError: There is no uplift champion, it needs other features, or the cutoff is outside the log.
        DataError: The log breaks its contract, or nobody is in the cohort.
    """
    with opened(business) as log:
        config = log.config
        bundle, version = _champion(config)
        snapshots = build_snapshots(log, [cutoff], with_labels=False)
    if not snapshots.rows.num_rows:
        raise DataError(
            f"cutoff {cutoff}: nobody is in the cohort ([task] active_within), so there are no effects to estimate"
        )
    if str(bundle.facts.get("own_features", "")) != snapshots.own:
        raise UsageError(
            f"{version.label} was trained with other custom features than those that [features] own names now; restore "
            "that file, or run `regulars train uplift` again"
        )
    table = uplift_table(bundle, snapshots, config.serving.chunk)
    folder = config.outputs.uplift(cutoff)
    with atomic_folder(folder) as staging:
        pq.write_table(table, staging / FILE, compression="zstd")
        manifest = _manifest(config, cutoff, bundle, version, snapshots, table, staging / FILE)
        (staging / MANIFEST).write_text(manifest_text(manifest), encoding="utf-8")
    return UpliftScores(folder / FILE, UpliftManifest.model_validate(manifest))


def uplift_scores_text(scores: UpliftScores) -> str:
    """Customers, actions, source and model in one line."""
    manifest = scores.manifest
    return f"{manifest.customers:,} customers, {manifest.actions}, {manifest.source}, by {manifest.model}"


def uplift_table(bundle: UpliftBundle, snapshots: Snapshots, chunk: int) -> pa.Table:
    """Estimates the effects of every action.

    Args:
        bundle: The uplift model.
        snapshots: Features of the cohort.
        chunk: How many customers are computed at once.

    Returns:
        One row a customer and action, by customer_id and action.

    Raises:
        UsageError: The model needs other features than the config builds.
    """
    rows = snapshots.rows
    try:
        parts = [_chunk_table(bundle, rows.slice(start, chunk)) for start in range(0, rows.num_rows, chunk)]
    except BundleError as problem:
        raise UsageError(f"{problem}; the config changed since training: run `regulars train uplift` again") from None
    return pa.concat_tables(parts).sort_by([("customer_id", "ascending"), ("action", "ascending")])


def _chunk_table(bundle: UpliftBundle, rows: pa.Table) -> pa.Table:
    effects, errors, n = bundle.predict_effects(rows), bundle.posterior_parts(rows), rows.num_rows
    parts = []
    for action in bundle.actions:
        value, error = effects["value"][action] if "value" in effects else (np.full(n, np.nan), np.full(n, np.nan))
        columns = {
            "customer_id": rows["customer_id"],
            "action": [action] * n,
            "effect_return": effects["return"][action][0],
            "effect_return_error": effects["return"][action][1],
            "effect_value": pa.array(value, from_pandas=True),
            "effect_value_error": pa.array(error, from_pandas=True),
            "source": [bundle.source] * n,
            **{
                f"effect_{name}_parts": parts_column(errors.get(name, {}).get(action), n)
                for name in ("return", "value")
            },
        }
        parts.append(pa.table(columns, schema=UPLIFT_SCHEMA))
    return pa.concat_tables(parts)


def parts_column(parts: np.ndarray | None, n: int) -> pa.Array:
    """Independent errors (n, k) of effects as lists; null where effects are no posterior."""
    if parts is None:
        return pa.nulls(n, pa.list_(pa.float32()))
    flat = pa.array(np.ascontiguousarray(parts, np.float32).ravel())
    return pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * parts.shape[1]), flat)


def _champion(config: Config) -> tuple[UpliftBundle, RegisteredVersion]:
    champion = registry.load_uplift_champion(config)
    if champion is None:
        raise no_champion_error(config, "uplift")
    bundle, version = champion
    refuse_outdated(version.label, bundle, config.task.timezone, "regulars train uplift")
    return champion


def _manifest(
    config: Config, cutoff: date, bundle: UpliftBundle, version: RegisteredVersion, snapshots: Snapshots,
    table: pa.Table, file: Path,
) -> dict[str, object]:  # fmt: skip
    return {
        "format": 1,
        "name": config.name,
        "cutoff": str(cutoff),
        "model": version.label,
        "digest": bundle.digest,
        "source": bundle.source,
        "horizon": bundle.task["horizon"],
        "timezone": config.task.timezone,
        "customers": snapshots.rows.num_rows,
        "actions": ", ".join(bundle.actions),
        "rows": table.num_rows,
        "evidence": bundle.evidence(),
        "plans": list(bundle.facts.get("plans", ())),
        "data_fingerprint": snapshots.data_fingerprint,
        "snapshot_fingerprint": snapshots.fingerprint,
        "sha256": file_digest(file),
    }
