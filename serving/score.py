"""A cutoff's cohort as score tables: numbers, segments and reasons, written beside and put in place whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from features.config import Config
from features.errors import DataError, UsageError
from features.files import folder_in_place
from features.snapshots import Snapshots, from_config
from serving import segments
from serving.explain import Contributions, contributions, drivers, reasons
from serving.wording import task_words
from training.bundle import BundleError
from training.registry import Champion, champion

MANIFEST = "_manifest.json"
REASON = pa.struct(
    [("feature", pa.string()), ("phrase", pa.string()), ("reading", pa.string()), ("contribution", pa.float64())]
)
COLUMNS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("cutoff", pa.timestamp("us")),
        ("churn_probability", pa.float64()),
        ("value", pa.float64()),
        ("value_low", pa.float64()),
        ("value_high", pa.float64()),
        ("value_at_risk", pa.float64()),
        ("lifecycle", pa.string()),
        ("tier", pa.string()),
        ("segment", pa.string()),
        ("churn_reasons", pa.list_(REASON)),
        ("value_reasons", pa.list_(REASON)),
        ("churn_model", pa.string()),
        ("value_model", pa.string()),
    ]
)


@dataclass(frozen=True)
class Champions:
    """The models that score together; without money there is no value model."""

    churn: Champion
    value: Champion | None

    @property
    def fullest(self) -> Champion:
        """The one that says most: value says churn too, by the same gate."""
        return self.value or self.churn


@dataclass(frozen=True)
class Scores:
    """A scored cutoff.

    Attributes:
        folder: Its part files and manifest.
        manifest: Counts, checksums, model versions, fingerprints, and what drives the numbers overall.
    """

    folder: Path
    cutoff: date
    manifest: dict[str, Any]

    def table(self) -> pa.Table:
        """All score rows, by customer_id."""
        return pa.concat_tables(pq.ParquetFile(self.folder / part["file"]).read() for part in self.manifest["parts"])

    def most_at_risk(self) -> str:
        """The customer with the most value at risk (without money: the highest risk)."""
        table = self.table()
        by = (
            table["value_at_risk"] if table["value_at_risk"].null_count < table.num_rows else table["churn_probability"]
        )
        return str(table["customer_id"][int(np.argmax(by.to_numpy()))])


def score(config: Config, cutoff: date, with_contributions: bool = False) -> Scores:
    """Scores every customer of a cutoff's cohort with the champions.

    Args:
        config: The business.
        cutoff: Features see what was known before this day.
        with_contributions: Whether every feature's contribution is written too; without it, those of an earlier run
            stay only if the numbers did.

    Raises:
        UsageError: There is no champion, or the cutoff lies outside the log.
        DataError: The log breaks its contract, or nobody is in the cohort.
    """
    models = champions(config)
    snapshots = cohort(config, cutoff)
    columns = figures(models, snapshots)
    parts = _contributions(models, snapshots.rows, config.serving.chunk)
    why = {
        name: reasons(part, snapshots.rows, snapshots.features, config.serving.reasons) for name, part in parts.items()
    }
    made = score_table(columns, why, snapshots.rows.num_rows)
    manifest = _manifest(config, cutoff, models, snapshots, parts)
    folder, before = config.output / "scores" / f"cutoff={cutoff}", _parts_of(config, cutoff)
    with folder_in_place(folder) as beside:
        manifest["parts"] = write_parts(made, beside, config.serving.chunk)
        (beside / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for name, part in parts.items():
        explained = config.output / "contributions" / name / f"cutoff={cutoff}"
        if with_contributions:
            with folder_in_place(explained) as beside:
                write_parts(_contribution_table(part, snapshots), beside, config.serving.chunk)
        elif before != manifest["parts"] and explained.exists():
            shutil.rmtree(explained)  # they add up to numbers that are no longer there
    return Scores(folder, cutoff, manifest)


def champions(config: Config) -> Champions:
    """The champions of a business, which must share one gate.

    Raises:
        UsageError: There is none, or they were not trained together.
    """
    churn, value = champion(config, "churn"), champion(config, "value") if config.has_value else None
    if churn is None:
        raise UsageError(
            f"no model {config.name}-churn is registered with the alias champion; run `regulars train` first"
        )
    if config.has_value and value is None:
        raise UsageError(
            f"no model {config.name}-value is registered with the alias champion; run `regulars train value`"
        )
    if value is not None and value.bundle.gate_digest != churn.bundle.gate_digest:
        raise UsageError(
            f"{churn.version.label} and {value.version.label} do not share one gate, so their numbers would contradict "
            "each other; run `regulars train` to make both"
        )
    return Champions(churn, value)


def cohort(config: Config, cutoff: date) -> Snapshots:
    """Features of a cutoff's cohort.

    Raises:
        DataError: The log breaks its contract, or nobody is in the cohort.
        UsageError: The cutoff lies outside the log.
    """
    snapshots = from_config(config, [cutoff], with_labels=False)
    if not snapshots.rows.num_rows:
        raise DataError(f"cutoff {cutoff}: nobody {task_words(config.task).outsiders}: no one to score")
    return snapshots


def figures(models: Champions, snapshots: Snapshots) -> dict[str, Any]:
    """The numbers and segments (n,) of a cohort, by score column.

    Raises:
        UsageError: The models need other features than the config makes.
    """
    rows = snapshots.rows
    _refuse_other_own(models, snapshots)
    try:
        said: dict[str, Any] = models.fullest.bundle.predict(rows)
    except BundleError as problem:
        raise UsageError(f"{problem}; the config changed since training, run `regulars train` again") from None
    tiers = segments.tier(said["value"] + said["value_at_risk"] if models.value else segments.worth(rows))
    return {
        "customer_id": rows["customer_id"],
        "cutoff": rows["cutoff"],
        **said,
        "lifecycle": rows["lifecycle"],
        "tier": tiers,
        "segment": segments.segment(tiers, said["churn_probability"]),
        "churn_model": [models.churn.version.label] * rows.num_rows,
        "value_model": [models.value.version.label if models.value else None] * rows.num_rows,
    }


def _refuse_other_own(models: Champions, snapshots: Snapshots) -> None:
    """The user's own features must be those that the models learned from, to the byte of their file."""
    learned, now = str(models.churn.bundle.facts.get("own_features", "")), snapshots.own
    if learned == now:
        return
    label = models.churn.version.label
    if not now:
        told = f"{label} learned from features of your own, and [features] own names no file now; name it again"
    elif not learned:
        told = f"{label} learned without features of your own, and [features] own names a file now; take it out"
    else:
        told = f"the file that [features] own names is not the one that {label} learned from; put that one back"
    raise UsageError(f"{told}, or run `regulars train` again")


def score_table(columns: dict[str, Any], why: dict[str, list[Any]], n: int) -> pa.Table:
    """The figures and reasons of `n` customers in the contract's columns; what a log cannot say is null."""
    full = {**columns, "churn_reasons": why["churn"], "value_reasons": why.get("value", [[]] * n)}
    return pa.table({f.name: full.get(f.name, pa.nulls(n, f.type)) for f in COLUMNS}, schema=COLUMNS)


def write_parts(table: pa.Table, folder: Path, chunk: int) -> list[dict[str, Any]]:
    """Writes a table in part files of at most `chunk` rows; returns file, rows and sha256 of each."""
    written = []
    for place, start in enumerate(range(0, max(table.num_rows, 1), chunk)):
        path = folder / f"part-{place:05d}.parquet"
        piece = table.slice(start, chunk)
        pq.write_table(piece, path, compression="zstd")
        written.append(
            {"file": path.name, "rows": piece.num_rows, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        )
    return written


def read(config: Config, cutoff: date | None = None) -> Scores:
    """A scored cutoff, the newest where none is named.

    Raises:
        UsageError: It was not scored.
    """
    found = sorted((config.output / "scores").glob(f"cutoff=*/{MANIFEST}"))
    wanted = [path for path in found if cutoff is None or path.parent.name == f"cutoff={cutoff}"]
    if not wanted:
        have = ", ".join(path.parent.name.removeprefix("cutoff=") for path in found) or "none"
        which = f"cutoff {cutoff} is" if cutoff else "there are"
        raise UsageError(f"{which} not scored under {config.output} (scored: {have}); run `regulars score --cutoff D`")
    manifest = json.loads(wanted[-1].read_text(encoding="utf-8"))
    return Scores(wanted[-1].parent, date.fromisoformat(manifest["cutoff"]), manifest)


def _parts_of(config: Config, cutoff: date) -> list[dict[str, Any]]:
    """The part files of an earlier run, none where there was none."""
    path = config.output / "scores" / f"cutoff={cutoff}" / MANIFEST
    return list(json.loads(path.read_text(encoding="utf-8"))["parts"]) if path.exists() else []


def _contributions(models: Champions, rows: pa.Table, chunk: int) -> dict[str, Contributions]:
    """Contributions of all rows, explained chunk by chunk."""
    bundle, found = models.fullest.bundle, []
    for start in tqdm(range(0, rows.num_rows, min(chunk, 500)), desc="explaining", leave=False, disable=None):
        found.append(contributions(bundle, rows.slice(start, min(chunk, 500))))
    return {
        name: Contributions(
            found[0][name].unit,
            found[0][name].base,
            np.concatenate([part[name].values for part in found]),
            np.concatenate([part[name].total for part in found]),
        )
        for name in found[0]
    }


def _contribution_table(part: Contributions, snapshots: Snapshots) -> pa.Table:
    columns = {"customer_id": snapshots.rows["customer_id"], "base": np.full(len(part.total), part.base)}
    columns |= {name: part.values[:, place] for place, name in enumerate(snapshots.names)}
    return pa.table({**columns, "total": part.total})


def _manifest(
    config: Config, cutoff: date, models: Champions, snapshots: Snapshots, parts: dict[str, Contributions]
) -> dict[str, Any]:
    both = {"churn": models.churn, "value": models.value}
    return {
        "format": 1,
        "name": config.name,
        "cutoff": str(cutoff),
        "customers": snapshots.rows.num_rows,
        "models": {
            kind: {
                "label": m.version.label,
                "run_id": m.version.run_id,
                "digest": m.bundle.digest,
                "task": m.bundle.task,
            }
            for kind, m in both.items()
            if m is not None
        },
        "interval": config.serving.interval,
        "segment_rules": segments.RULES_VERSION,
        "data_fingerprint": snapshots.data_fingerprint,
        "snapshot_fingerprint": snapshots.fingerprint,
        "bases": {name: part.base for name, part in parts.items()},
        "drivers": {name: drivers(part, snapshots.rows, snapshots.features)[:30] for name, part in parts.items()},
    }
