"""What each action would change for every customer of a cutoff: the effects that a plan spends money by.

`OUTPUT/uplift/cutoff=D/effects.parquet`: one row a customer and action, by customer_id and action. Effects are beside
doing nothing, within the horizon, and before the cost of the action; `source` says whether they were 'measured' in
trials or are 'observational'.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.atomic_files import atomic_folder
from features.config.load import Config
from features.errors import DataError, UsageError
from features.snapshots.build import Snapshots, build_snapshots
from training.artifact.model_files import BundleError
from training.artifact.uplift_bundle import UpliftBundle
from training.registry.models import RegisteredVersion
from training.uplift import registry

FILE, MANIFEST = "effects.parquet", "_manifest.json"
UPLIFT_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("action", pa.string()),
        ("effect_return", pa.float64()),
        ("effect_value", pa.float64()),
        ("effect_value_error", pa.float64()),
        ("source", pa.string()),
    ]
)


@dataclass(frozen=True)
class UpliftScores:
    """The effects at a cutoff.

    Attributes:
        file: Where they are.
        manifest: cutoff, model, source, customers, actions, rows, sha256.
    """

    file: Path
    manifest: dict[str, object]

    def table(self) -> pa.Table:
        """All rows."""
        return pq.ParquetFile(self.file).read()


def write_uplift_scores(config: Config, cutoff: date) -> UpliftScores:
    """Writes the effects of every action for a cutoff's cohort, whole or not at all.

    Raises:
        UsageError: There is no uplift champion, it needs other features, or the cutoff lies outside the log.
        DataError: The log breaks its contract, or nobody is in the cohort.
    """
    bundle, version = _champion(config)
    snapshots = build_snapshots(config, [cutoff], with_labels=False)
    if not snapshots.rows.num_rows:
        raise DataError(f"cutoff {cutoff}: nobody is in the cohort ([task] active_within): no effects to tell")
    if str(bundle.facts.get("own_features", "")) != snapshots.own:
        raise UsageError(
            f"{version.label} learned from other features of your own than [features] own names now; put the file "
            "back, or run `regulars train uplift` again"
        )
    table = uplift_table(bundle, snapshots, config.serving.chunk)
    folder = config.output / "uplift" / f"cutoff={cutoff}"
    with atomic_folder(folder) as beside:
        pq.write_table(table, beside / FILE, compression="zstd")
        manifest = _manifest(config, cutoff, bundle, version, snapshots, table, beside / FILE)
        (beside / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return UpliftScores(folder / FILE, manifest)


def read_uplift_scores(config: Config, cutoff: date) -> UpliftScores:
    """The effects at a cutoff, as `write` left them.

    Raises:
        UsageError: They were not written, or not whole.
    """
    folder = config.output / "uplift" / f"cutoff={cutoff}"
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        whole = manifest["sha256"] == _checksum(folder / FILE)
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"no effects at cutoff {cutoff} under {folder}; run `regulars uplift --cutoff {cutoff}`"
        ) from None
    if not whole:
        raise UsageError(f"{folder / FILE} is not the file that was written; run `regulars uplift --cutoff {cutoff}`")
    return UpliftScores(folder / FILE, manifest)


def uplift_scores_text(found: UpliftScores) -> str:
    """What there is, in a few words."""
    said = found.manifest
    return f"{said['customers']:,} customers, {said['actions']}, {said['source']}, by {said['model']}"


def uplift_table(bundle: UpliftBundle, snapshots: Snapshots, chunk: int) -> pa.Table:
    """The effects of every action, one row a customer and action.

    Raises:
        UsageError: The model needs other features than the config makes.
    """
    rows = snapshots.rows
    try:
        parts = [_part(bundle, rows.slice(start, chunk)) for start in range(0, rows.num_rows, chunk)]
    except BundleError as problem:
        raise UsageError(f"{problem}; the config changed since training, run `regulars train uplift` again") from None
    return pa.concat_tables(parts).sort_by([("customer_id", "ascending"), ("action", "ascending")])


def _part(bundle: UpliftBundle, rows: pa.Table) -> pa.Table:
    said, n = bundle.predict_effects(rows), rows.num_rows
    parts = []
    for action in bundle.actions:
        value, error = said["value"][action] if "value" in said else (np.full(n, np.nan), np.full(n, np.nan))
        columns = {
            "customer_id": rows["customer_id"],
            "action": [action] * n,
            "effect_return": said["return"][action][0],
            "effect_value": pa.array(value, from_pandas=True),
            "effect_value_error": pa.array(error, from_pandas=True),
            "source": [bundle.source] * n,
        }
        parts.append(pa.table(columns, schema=UPLIFT_SCHEMA))
    return pa.concat_tables(parts)


def _champion(config: Config) -> tuple[UpliftBundle, RegisteredVersion]:
    found = registry.load_uplift_champion(config)
    if found is None:
        raise UsageError(
            f"no model {config.name}-uplift is registered with the alias champion; run `regulars train uplift` first"
        )
    return found


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
        "customers": snapshots.rows.num_rows,
        "actions": ", ".join(bundle.actions),
        "rows": table.num_rows,
        "data_fingerprint": snapshots.data_fingerprint,
        "snapshot_fingerprint": snapshots.fingerprint,
        "sha256": _checksum(file),
    }


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
