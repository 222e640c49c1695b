"""A fitted model as text: LightGBM model files and JSON, with columns, task, calibrator, level and intervals.

This file needs nothing of ours, so that MLflow can carry it inside a model: a registered model is read by the code
that wrote it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

FORMAT = 1
INDEX, GATE, SPEND = "bundle.json", "gate.txt", "spend.txt"
Levels = dict[str, tuple[str, ...]]


class BundleError(ValueError):
    """A folder that is no bundle of ours, or not the one that was written."""


@dataclass(frozen=True)
class ModelBundle:
    """A churn model (the gate), or a value model (the same gate, and the spend of those who return).

    Attributes:
        kind: 'churn' or 'value'.
        name: The business's name in the config.
        features: Columns that it needs, in order.
        task: Horizon, cohort, windows and spacing, as text.
        gate: LightGBM model text; its margin is the log-odds of churn.
        slope: Of the calibrated log-odds in the gate's margin.
        intercept: Of the same.
        spend: LightGBM model text; its margin is the log of spend. Empty for 'churn'.
        log_level: Added to the spend's margin.
        intervals: centre, low and high (see calibrate.Intervals), and the probability inside.
        facts: Where it came from: data fingerprint, cutoffs learned from, seed, parameters.
        levels: Of each column of text, the levels that the trees tell apart, by their code.
    """

    kind: str
    name: str
    features: tuple[str, ...]
    task: dict[str, Any]
    gate: str
    slope: float = 1.0
    intercept: float = 0.0
    spend: str = ""
    log_level: float = 0.0
    intervals: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    levels: Levels = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Changes when anything that shapes a prediction does."""
        return hashlib.sha256(json.dumps(self._index(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def gate_digest(self) -> str:
        """Of the gate and its calibrator alone: a churn and a value model belong together when it is the same."""
        levels = json.dumps(self.levels, sort_keys=True) if self.levels else ""
        return hashlib.sha256(f"{self.gate}{self.slope!r}{self.intercept!r}{levels}".encode()).hexdigest()[:16]

    def predict(self, features: Any) -> dict[str, np.ndarray]:
        """The shipped numbers (n,) of a feature table (Arrow or pandas) that has the bundle's columns, text as text.

        Returns:
            churn_probability, and for a value model also value, value_low, value_high and value_at_risk
            (what is lost on average because the customer may not return: value_at_risk + value is the spend if
            they surely returned).

        Raises:
            BundleError: A column is missing, or holds text where numbers are needed or numbers where text is.
        """
        X = self.columns(features)
        log_odds = self.churn_log_odds(self._margin("gate", X))
        churn = 1 / (1 + np.exp(-log_odds))
        if self.kind == "churn":
            return {"churn_probability": churn}
        spend = np.exp(self.spend_log(self._margin("spend", X)))
        value = (1 / (1 + np.exp(log_odds))) * spend
        low, high = self.bounds(value)
        return {
            "churn_probability": churn,
            "value": value,
            "value_low": low,
            "value_high": high,
            "value_at_risk": churn * spend,
        }

    def columns(self, features: Any) -> pa.Table:
        """The bundle's columns of a feature table, in order, as the trees take them: floats, and codes of levels.

        Raises:
            BundleError: A column is missing, or holds text where numbers are needed or numbers where text is.
        """
        table = features if isinstance(features, pa.Table) else pa.Table.from_pandas(features, preserve_index=False)
        missing = [name for name in self.features if name not in table.column_names]
        if missing:
            raise BundleError(
                f"the {self.kind} model {self.name!r} needs {len(self.features)} feature columns; "
                f"{len(missing)} are missing: {', '.join(missing[:5])}"
            )
        return pa.table({name: self._column(name, table[name]) for name in self.features})

    def _column(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        wanted = "text" if name in self.levels else "numbers"
        try:
            return encode(column, self.levels[name]) if name in self.levels else column.cast(pa.float64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            raise BundleError(
                f"the {self.kind} model {self.name!r} learned column {name!r} from {wanted}, found {column.type}"
            ) from None

    def churn_log_odds(self, margin: np.ndarray) -> np.ndarray:
        """Calibrated log-odds of churn (n,) from the gate's margin (n,)."""
        return self.slope * margin + self.intercept

    def spend_log(self, margin: np.ndarray) -> np.ndarray:
        """Log of the expected spend (n,) of those who return, from the spend's margin (n,)."""
        return margin + self.log_level

    def bounds(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Low and high (n,) around predicted values (n,): what came in the group of like predictions."""
        centre = np.array(self.intervals["centre"])
        above = np.maximum(value / centre[-1], 1.0) if centre[-1] > 0 else np.ones_like(value)
        low = np.interp(value, centre, np.array(self.intervals["low"])) * above
        high = np.interp(value, centre, np.array(self.intervals["high"])) * above
        return np.minimum(low, value), np.maximum(high, value)

    def booster(self, part: str) -> lgb.Booster:
        """The LightGBM model behind 'gate' or 'spend'.

        Raises:
            BundleError: Its text is not LightGBM's.
        """
        try:
            return lgb.Booster(model_str=getattr(self, part))
        except lgb.basic.LightGBMError as problem:
            raise BundleError(f"the {part} of the {self.kind} model is not a LightGBM model: {problem}") from None

    def _margin(self, part: str, X: pa.Table) -> np.ndarray:
        return np.asarray(self.booster(part).predict(X, raw_score=True))

    def save(self, folder: Path) -> Path:
        """Writes bundle.json, gate.txt and, for a value model, spend.txt; returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / GATE).write_text(self.gate, encoding="utf-8")
        if self.spend:
            (folder / SPEND).write_text(self.spend, encoding="utf-8")
        (folder / INDEX).write_text(json.dumps(self._index(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: Path) -> ModelBundle:
        """Reads what `save` wrote.

        Raises:
            BundleError: A file is missing, of another format, or not the one that was written.
        """
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            texts = {p: (folder / p).read_text(encoding="utf-8") for p in index["checksums"]}
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise BundleError(f"{folder} is not a model of regulars: {problem}") from None
        if index.pop("format", None) != FORMAT:
            raise BundleError(f"{folder}: made by another version of regulars; expected format {FORMAT}")
        for part, checksum in index.pop("checksums").items():
            if checksum != _checksum(texts[part]):
                raise BundleError(f"{folder / part} is not the file that was written: its checksum differs")
        index["features"] = tuple(index["features"])
        index["levels"] = {name: tuple(levels) for name, levels in index.get("levels", {}).items()}
        return cls(gate=texts[GATE], spend=texts.get(SPEND, ""), **index)

    def _index(self) -> dict[str, Any]:
        """Everything but the trees, and the checksums of those."""
        values = {key: value for key, value in asdict(self).items() if key not in ("gate", "spend")}
        parts = {GATE: self.gate, **({SPEND: self.spend} if self.spend else {})}
        return {"format": FORMAT, **values, "checksums": {name: _checksum(text) for name, text in parts.items()}}


def encode(column: pa.ChunkedArray, levels: Sequence[str]) -> pa.ChunkedArray:
    """Codes of a column of text, as floats: the place in `levels`, then one code for any other text, and one for null.

    Null has a code of its own because LightGBM never puts a missing category on the side that it chooses: it could
    not tell those whose level is not known from the rest.

    Raises:
        pa.ArrowInvalid: The column holds something else than text.

    >>> encode(pa.chunked_array([["gold", "basic", "silver", None]]), ["basic", "gold"]).to_pylist()
    [1.0, 0.0, 2.0, 3.0]
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not text and column.null_count < len(column):
        raise pa.ArrowInvalid(f"expected text, found {column.type}")
    column = column.cast(pa.string())
    places = pc.fill_null(pc.index_in(column, value_set=pa.array(levels, pa.string())), len(levels))
    return pc.if_else(pc.is_valid(column), places, len(levels) + 1).cast(pa.float64())


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
