"""The table of lapsed customers: the chance that they come back, what they bring, why, and the last day to try.

OUTPUT/winback/cutoff=D/part-*.parquet
  customer_id, cutoff
  silent_days         days since the last purchase
  return_probability  of a purchase within a horizon
  value               expected within the horizon, with its prediction interval value_low to value_high
  value_if_back       what those who come back are expected to bring within the horizon
  last_try            the last day to try; null if the chance does not fall so far while they count as lapsed
  reasons             for the chance, the strongest first
  winback_model       name and version of the model
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from features.config.load import Config
from features.outputs.layout import SCORE_MANIFEST
from features.outputs.manifest_entries import Count, Part, ScoringModel
from features.outputs.manifests import Manifest, read_manifest
from features.outputs.parquet_files import read_parquet
from training.artifact.reasons import REASON_TYPE

WINBACK_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("cutoff", pa.timestamp("us")),
        ("silent_days", pa.int64()),
        ("return_probability", pa.float64()),
        ("value", pa.float64()),
        ("value_low", pa.float64()),
        ("value_high", pa.float64()),
        ("value_if_back", pa.float64()),
        ("last_try", pa.date32()),
        ("reasons", pa.list_(REASON_TYPE)),
        ("winback_model", pa.string()),
    ]
)


class WinbackManifest(Manifest):
    """`winback/cutoff=D/_manifest.json`: the lapsed customers of a scored cutoff.

    Attributes:
        returns: How many are expected to come back within a horizon.
        value, value_low, value_high: The expected value of all, with its interval; None without money.
        in_time: How many have a last day to try that is not past, or none, because their chance does not fall so far.
        last_try, fade: The probability below which it is too late; by which power of the silence the odds fall.
    """

    AGAIN: ClassVar[str] = "regulars score --cutoff {cutoff}"

    customers: Count
    parts: list[Part]
    model: ScoringModel
    returns: float
    value: float | None = None
    value_low: float | None = None
    value_high: float | None = None
    in_time: Count = 0
    last_try: float
    fade: float
    run: str
    language: str = "en"


@dataclass(frozen=True)
class WinbackScores:
    """The lapsed customers of a cutoff.

    Attributes:
        folder: Where they are written.
        manifest: Counts, totals and the model.
    """

    folder: Path
    manifest: WinbackManifest

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows, by default with all columns.

        Raises:
            DataError: A part file is missing or has changed since it was written.
        """
        parts = [read_parquet(self.folder / p["file"], columns, p["sha256"]) for p in self.manifest.parts]
        return pa.concat_tables(parts)

    def to_pandas(self) -> Any:
        """The rows as a DataFrame."""
        return self.table().to_pandas()


def read_winback(config: Config, cutoff: date) -> WinbackScores | None:
    """Read the lapsed customers of a cutoff; None if none were scored.

    Raises:
        DataError: The manifest cannot be read.
    """
    folder = config.outputs.winback(cutoff)
    try:
        return WinbackScores(folder, read_manifest(folder / SCORE_MANIFEST, WinbackManifest))
    except FileNotFoundError:
        return None


def last_tries(
    probability: np.ndarray, silence: np.ndarray, cutoff: date, share: float, fade: float, limit: int
) -> list[date | None]:
    """The last day on which each customer's chance is still at least a share, if they stay silent until then.

    The odds fall as (silence then / silence now) ** -fade; see `training.winback`.

    Args:
        probability: Of coming back within a horizon, at the cutoff (n,).
        silence: Days since the last purchase (n,).
        cutoff: The cutoff.
        share: The share, in (0, 1).
        fade: The exponent, 0 or more.
        limit: The longest silence of a lapsed customer, in days.

    Returns:
        A day each, before the cutoff if it is past; None if the chance does not fall below the share within the limit.

    >>> p, silent = np.array([0.2, 0.05, 0.01, 0.9]), np.array([100, 100, 100, 100])
    >>> [str(day) for day in last_tries(p, silent, date(2024, 6, 1), 0.05, 2.0, 400)]
    ['2024-09-26', '2024-06-01', '2024-04-05', 'None']
    """
    odds = probability / np.maximum(1 - probability, 1e-12) * (1 - share) / share
    if fade <= 0:
        return [None] * len(probability)
    longest = silence * np.exp(np.log(np.maximum(odds, 1e-300)) / fade)
    days = np.floor(np.minimum(longest, limit + 1.0) + 1e-9) - silence
    first = cutoff.toordinal()
    return [
        None if reached > limit else date.fromordinal(first + int(ahead))
        for reached, ahead in zip(longest.tolist(), days.tolist(), strict=True)
    ]


def winback_rows_table(columns: Mapping[str, Any], rows: int) -> pa.Table:
    """Build the table: the columns of WINBACK_SCHEMA, null where there is no prediction (value without money)."""
    return pa.table({f.name: columns.get(f.name, pa.nulls(rows, f.type)) for f in WINBACK_SCHEMA}, WINBACK_SCHEMA)
