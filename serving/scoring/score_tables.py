"""Reads and writes score tables: part files with a manifest for each scored cutoff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.config.load import Config
from features.errors import DataError, UsageError, sample
from features.outputs.manifests import ScoreManifest, read_required_manifest, rewriting_advice
from features.outputs.parquet_files import open_parquet, read_parquet
from features.storage.json_files import file_digest
from features.task import other_zone
from training.artifact.spread import Spread, read_spread

MANIFEST = "_manifest.json"
NEVER_NULL = ("customer_id", "churn_probability", "tier", "segment")
MONEY_COLUMNS = ("value", "value_low", "value_high", "value_at_risk")
COMPRESSION = "zstd"


@dataclass(frozen=True)
class Scores:
    """A scored cutoff.

    Attributes:
        folder: The folder of the part files and the manifest.
        cutoff: The day at which customers were scored.
        manifest: Counts, checksums, model versions, fingerprints, and the drivers of each outcome.
        notes: Messages of the run for its user.
        new: Whether the run wrote scores; False if it was skipped.
    """

    folder: Path
    cutoff: date
    manifest: ScoreManifest
    notes: tuple[str, ...] = ()
    new: bool = True

    def table(self) -> pa.Table:
        """Read all score rows, sorted by customer_id.

        Raises:
            DataError: A part file has changed since it was written.
        """
        return pa.concat_tables(self.read_part(part) for part in self.manifest.parts)

    def most_at_risk(self) -> str:
        """Return the customer with the most value at risk (without money: the highest risk)."""
        table = self.table()
        amounts = (
            table["value_at_risk"] if table["value_at_risk"].null_count < table.num_rows else table["churn_probability"]
        )
        return str(table["customer_id"][int(np.argmax(amounts.to_numpy()))])

    @property
    def spread(self) -> Spread | None:
        """The distribution of actual values around the predicted ones; None without money.

        Raises:
            DataError: The manifest holds something else.
        """
        try:
            return read_spread(self.manifest.spread)
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{self.folder / MANIFEST}: 'spread' is not what Regulars writes there; run `regulars score --cutoff "
                f"{self.cutoff}` again"
            ) from None

    def read_part(self, part: Mapping[str, Any]) -> pa.Table:
        """Read one of the manifest's parts.

        Raises:
            DataError: The file has changed since it was written, or lacks values that every customer has.
        """
        return self._read_file(part, None)

    def read_columns(self, columns: Sequence[str]) -> pa.Table:
        """Read some columns of all score rows; raises DataError as `read_part` does, and if a column is missing."""
        return pa.concat_tables(self._read_file(part, columns) for part in self.manifest.parts)

    def _read_file(self, part: Mapping[str, Any], columns: Sequence[str] | None) -> pa.Table:
        path = self.folder / part["file"]
        table = read_parquet(path, columns, part["sha256"])
        if lacking := columns_with_gaps(table):
            raise DataError(f"{path}: some rows have no {', '.join(lacking)}; {rewriting_advice(path)}")
        return table

    @property
    def schema(self) -> pa.Schema:
        """The columns of the score table; raises DataError as `read_part` does."""
        first = self.manifest.parts[0]
        with open_parquet(self.folder / first["file"], sha256=first["sha256"]) as file:
            return file.schema_arrow

    def to_pandas(self) -> Any:
        """The rows of `table` as a DataFrame."""
        return self.table().to_pandas()

    def total_value(self, customers: Sequence[str] | None = None) -> tuple[float, float, float]:
        """The expected value of some customers together, with its prediction interval.

        The errors of single customers partly cancel out in a total; the error of the overall level does not.

        Args:
            customers: Their ids; by default all scored customers.

        Returns:
            The expected total, then the lower and the upper end, which hold the actual total with the probability
            `interval` of [serving].

        Raises:
            UsageError: The business has no money, or a customer was not scored.
            DataError: A part file has changed since it was written.
        """
        rows = self.table()
        if customers is not None:
            ids = pa.array(list(customers), pa.string())
            if unknown := sorted(set(ids.to_pylist()) - set(rows["customer_id"].to_pylist())):
                raise UsageError(f"not scored at {self.cutoff}: {sample(unknown)}; check the ids and the cutoff")
            rows = rows.filter(pc.is_in(rows["customer_id"], ids))
        if self.spread is None or not rows.num_rows:
            raise UsageError("a total value needs one scored customer or more, and a log with amounts")
        churn, value, at_risk = (rows[name].to_numpy() for name in ("churn_probability", "value", "value_at_risk"))
        low, high = self.spread.total_interval(1 - churn, value + at_risk)
        return float(value.sum()), low, high

    def drivers(self, target: str = "churn") -> Any:
        """The features that contribute most strongly over all scored customers.

        Args:
            target: 'churn' or 'value'.

        Returns:
            A DataFrame, the strongest first: feature, phrase, family, strength (mean absolute contribution, in
            probability or money) and direction (rank correlation of the feature with its contribution, in [-1, 1];
            positive: more of it raises the prediction).

        Raises:
            UsageError: There is no such target, or the scores were written without drivers.
        """
        import pandas as pd

        by_target = self.manifest.drivers
        if target not in by_target:
            raise UsageError(
                f"no drivers of {target!r} at {self.cutoff}: expected one of {', '.join(by_target) or 'none'}; "
                f"`regulars score --cutoff {self.cutoff}` writes them"
            )
        return pd.DataFrame(by_target[target])


def columns_with_gaps(table: pa.Table) -> list[str]:
    """Return the columns of a score table that lack values although every customer has one there.

    Churn, tier and segment are never null; the predictions of money are null for everybody or for nobody.

    >>> columns_with_gaps(pa.table({"tier": ["high", None], "value": [1.0, None], "value_low": [None, None]}))
    ['tier', 'value']
    """
    nulls = {name: table[name].null_count for name in table.column_names}
    partly = [name for name in MONEY_COLUMNS if 0 < nulls.get(name, 0) < table.num_rows]
    return [*(name for name in NEVER_NULL if nulls.get(name)), *partly]


def total_value_interval(
    churn: np.ndarray, value: np.ndarray | None, value_at_risk: np.ndarray | None, spread: Spread | None
) -> tuple[float, float] | tuple[None, None]:
    """Return the prediction interval of the total value of some scored customers.

    The errors of single customers partly cancel out in a total; the error of the overall level does not.

    Args:
        churn: Probability of churn (n,), in [0, 1].
        value: Predicted value (n,), or None without money.
        value_at_risk: Value at risk (n,), or None without money.
        spread: The distribution of actual values around predicted ones, or None without money.

    Returns:
        Low and high end, which cover the total with the probability of the customers' intervals; None without money.
    """
    if value is None or value_at_risk is None or spread is None or not len(value):
        return None, None
    return spread.total_interval(1 - churn, value + value_at_risk)


def write_score_parts(table: pa.Table, folder: Path, chunk: int) -> list[dict[str, Any]]:
    """Write a table in part files.

    Args:
        table: The rows.
        folder: Where the files go.
        chunk: The largest number of rows in a file.

    Returns:
        file, rows and sha256 of each part, as in the manifest.
    """
    parts = []
    for number, start in enumerate(range(0, max(table.num_rows, 1), chunk)):
        path = folder / f"part-{number:05d}.parquet"
        piece = table.slice(start, chunk)
        pq.write_table(piece, path, compression=COMPRESSION)
        parts.append({"file": path.name, "rows": piece.num_rows, "sha256": file_digest(path)})
    return parts


def read_scores(config: Config, cutoff: date | None = None) -> Scores:
    """Read a scored cutoff, by default the newest one.

    Raises:
        UsageError: The cutoff has not been scored.
        DataError: Its manifest cannot be read.
    """
    day = config.outputs.require_scored(cutoff)
    folder = config.outputs.scores(day)
    return Scores(folder, day, read_required_manifest(folder / MANIFEST, ScoreManifest))


def refuse_other_zone(config: Config, scores: Scores) -> None:
    """Raise UsageError if a cutoff was scored with days that begin in another zone than [task] timezone."""
    model = scores.manifest.models.get("churn")
    if problem := other_zone(model.get("task", {}) if model else {}, config.task.timezone):
        raise UsageError(
            f"cutoff {scores.cutoff} was scored {problem}; run `regulars train`, then `regulars score --cutoff "
            f"{scores.cutoff}` again, or set it back"
        )
