"""Scores that are in place: their parts, and the manifest that says what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config
from features.errors import DataError, UsageError
from serving.scoring.resumable_run import file_checksum, is_intact
from training.artifact.spread import Spread, read_spread

MANIFEST = "_manifest.json"
COMPRESSION = "zstd"


@dataclass(frozen=True)
class Scores:
    """A scored cutoff.

    Attributes:
        folder: Its part files and manifest.
        manifest: Counts, checksums, model versions, fingerprints, and what drives the numbers overall.
        notes: What a run has to tell beside that it is done.
        new: Whether the run made anything.
    """

    folder: Path
    cutoff: date
    manifest: dict[str, Any]
    notes: tuple[str, ...] = ()
    new: bool = True

    def table(self) -> pa.Table:
        """All score rows, by customer_id.

        Raises:
            DataError: A part is not the file that was written.
        """
        return pa.concat_tables(self.read_part(part) for part in self.manifest["parts"])

    def most_at_risk(self) -> str:
        """The customer with the most value at risk (without money: the highest risk)."""
        table = self.table()
        by = (
            table["value_at_risk"] if table["value_at_risk"].null_count < table.num_rows else table["churn_probability"]
        )
        return str(table["customer_id"][int(np.argmax(by.to_numpy()))])

    @property
    def spread(self) -> Spread | None:
        """What comes around the values; None without money."""
        return read_spread(self.manifest.get("spread"))

    def read_part(self, part: Mapping[str, Any]) -> pa.Table:
        """The rows of one of the manifest's parts.

        Raises:
            DataError: It is not the file that was written.
        """
        if not is_intact(self.folder, part):
            raise DataError(
                f"{self.folder / part['file']} is not the file that was written: its checksum differs; run `regulars "
                f"score --cutoff {self.cutoff}` to make it again"
            )
        return pq.ParquetFile(self.folder / part["file"]).read()


def total_value_interval(
    churn: np.ndarray, value: np.ndarray | None, value_at_risk: np.ndarray | None, spread: Spread | None
) -> tuple[float, float] | tuple[None, None]:
    """Low and high of the sum of what some scored customers (n,) bring; none without money.

    It holds with the probability of the intervals; chance partly cancels out in it, the level's error does not.
    """
    if value is None or value_at_risk is None or spread is None or not len(value):
        return None, None
    return spread.total_interval(1 - churn, value + value_at_risk)


def write_score_parts(table: pa.Table, folder: Path, chunk: int) -> list[dict[str, Any]]:
    """Writes a table in part files of at most `chunk` rows; returns file, rows and sha256 of each."""
    written = []
    for place, start in enumerate(range(0, max(table.num_rows, 1), chunk)):
        path = folder / f"part-{place:05d}.parquet"
        piece = table.slice(start, chunk)
        pq.write_table(piece, path, compression=COMPRESSION)
        written.append({"file": path.name, "rows": piece.num_rows, "sha256": file_checksum(path)})
    return written


def read_scores(config: Config, cutoff: date | None = None) -> Scores:
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
