"""A fitted churn or value model as text: LightGBM model files and JSON.

It holds the columns, the task, the calibration, the level and the distribution behind the intervals. MLflow carries
this module inside a model together with those that it imports: a registered model is read by the code that wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .margin import Margin, Term
from .model_files import BundleError, checksum, digest_of, feature_table, plain_column, read_model, write_model
from .spread import Spread, read_spread

FORMAT = 3
MARGINS = ("gate", "spend")
Levels = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class LongerHorizon:
    """What a longer horizon adds to the value over the one before it.

    Attributes:
        column: Of the value over it, such as 'value_180d'.
        gain: Its margin is the log of what is added, which is therefore above 0.
        log_level: Added to the margin.
        spread: What comes around the value over it, whether the customer returns or not.
    """

    column: str
    gain: Margin
    log_level: float
    spread: Spread

    def log_gain(self, margin: np.ndarray) -> np.ndarray:
        """Log of what is added (n,), from the margin (n,)."""
        return margin + self.log_level


@dataclass(frozen=True)
class ModelBundle:
    """A churn model (the gate), or a value model (the same gate, and the spend of those who return).

    Attributes:
        kind: 'churn' or 'value'.
        name: The business's name in the config.
        features: Columns that it needs, in order.
        task: Horizon, cohort, windows and spacing, as text.
        gate: Its margin is the log-odds of churn.
        slope: Of the calibrated log-odds in the gate's margin.
        intercept: Of the same.
        spend: Its margin is the log of the spend of those who return. None for 'churn'.
        log_level: Added to the spend's margin.
        spread: What comes around what is expected. None for 'churn'.
        longer: Steps from the value to that over each longer horizon, ascending; may be empty.
        facts: Where it came from: data fingerprint, cutoffs learned from, seed, parameters.
        levels: Of each column of text, the levels that the trees tell apart, by their code.
    """

    kind: str
    name: str
    features: tuple[str, ...]
    task: dict[str, Any]
    gate: Margin
    slope: float = 1.0
    intercept: float = 0.0
    spend: Margin | None = None
    log_level: float = 0.0
    spread: Spread | None = None
    longer: tuple[LongerHorizon, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    levels: Levels = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Changes when anything that shapes a prediction does."""
        return digest_of(self._index())

    @property
    def classifier_digest(self) -> str:
        """Of the gate and its calibrator alone: a churn and a value model belong together when it is the same."""
        return digest_of([asdict(self.gate), self.slope, self.intercept, self.levels])

    def predict(self, features: Any) -> dict[str, np.ndarray]:
        """The shipped numbers (n,) of a feature table (Arrow or pandas) that has the bundle's columns, text as text.

        Returns:
            churn_probability, and for a value model also value, value_low, value_high and value_at_risk
            (what is lost on average because the customer may not return: value_at_risk + value is the spend if
            they surely returned); then for each longer horizon the same three of the value over it, such as value_180d,
            value_180d_low and value_180d_high. The value never decreases with the horizon.

        Raises:
            BundleError: A column is missing, or holds text where numbers are needed or numbers where text is.
        """
        X = self.model_inputs(features)
        log_odds = self.churn_log_odds(self.gate.predict(X))
        churn = 1 / (1 + np.exp(-log_odds))
        if self.spend is None or self.spread is None:
            return {"churn_probability": churn}
        spend, back = np.exp(self.log_spend(self.spend.predict(X))), 1 / (1 + np.exp(log_odds))
        low, high = self.spread.interval(back, spend)
        return {
            "churn_probability": churn,
            "value": back * spend,
            "value_low": low,
            "value_high": high,
            "value_at_risk": churn * spend,
            **self._over_longer(X, back * spend),
        }

    def _over_longer(self, X: pa.Table, value: np.ndarray) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for step in self.longer:
            value = value + np.exp(step.log_gain(step.gain.predict(X)))
            low, high = step.spread.interval(np.ones_like(value), value)
            found |= {step.column: value, f"{step.column}_low": low, f"{step.column}_high": high}
        return found

    def model_inputs(self, features: Any) -> pa.Table:
        """The bundle's columns of a feature table, in order, as the trees take them: floats, and codes of levels.

        Raises:
            BundleError: A column is missing, or holds text where numbers are needed or numbers where text is.
        """
        table = feature_table(features, self.features, f"{self.kind} model {self.name!r}")
        return pa.table({name: self._column(name, table[name]) for name in self.features})

    def _column(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        wanted = "text" if name in self.levels else "numbers"
        try:
            return encode_levels(column, self.levels[name]) if name in self.levels else column.cast(pa.float64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            raise BundleError(
                f"the {self.kind} model {self.name!r} learned column {name!r} from {wanted}, found {column.type}"
            ) from None

    def churn_log_odds(self, margin: np.ndarray) -> np.ndarray:
        """Calibrated log-odds of churn (n,) from the gate's margin (n,)."""
        return self.slope * margin + self.intercept

    def log_spend(self, margin: np.ndarray) -> np.ndarray:
        """Log of the expected spend (n,) of those who return, from the spend's margin (n,)."""
        return margin + self.log_level

    def save(self, folder: Path) -> Path:
        """Writes bundle.json and the trees, such as gate-0.txt and spend-1.txt; returns the folder."""
        return write_model(folder, self._index() | {"digest": self.digest}, self._texts())

    @classmethod
    def load(cls, folder: Path) -> ModelBundle:
        """Reads what `save` wrote.

        Raises:
            BundleError: A file is missing, of another format, or not the one that was written.
        """
        index, texts = read_model(folder, FORMAT, model="a model", with_digest=True)
        margins = {name: _margin_from(index.pop(name), name, texts) for name in MARGINS}
        spread = read_spread(index.pop("spread"))
        longer = tuple(_longer_from(step, texts) for step in index.pop("longer"))
        index["features"] = tuple(index["features"])
        index["levels"] = {name: tuple(levels) for name, levels in index["levels"].items()}
        return cls(**margins, spread=spread, longer=longer, **index)

    def _margins(self) -> dict[str, Margin]:
        own = {name: margin for name in MARGINS if (margin := getattr(self, name)) is not None}
        return own | {step.column: step.gain for step in self.longer}

    def _texts(self) -> dict[str, str]:
        """The trees by the names of their files."""
        return {f"{name}-{i}.txt": text for name, m in self._margins().items() for i, text in enumerate(m.trees)}

    def _index(self) -> dict[str, Any]:
        """Everything but the trees, and the checksums of those."""
        short: dict[str, Any] = {
            name: replace(m, trees=()) for name in MARGINS if (m := getattr(self, name)) is not None
        }
        short["longer"] = tuple(replace(step, gain=replace(step.gain, trees=())) for step in self.longer)
        checksums = {name: checksum(text) for name, text in self._texts().items()}
        return {"format": FORMAT, **asdict(replace(self, **short)), "checksums": checksums}


def encode_levels(column: pa.ChunkedArray, levels: Sequence[str]) -> pa.ChunkedArray:
    """Codes of a column of text, as floats: the place in `levels`, then one code for any other text, and one for null.

    Null has a code of its own because LightGBM never puts a missing category on the side that it chooses: it could
    not tell those whose level is not known from the rest.

    Raises:
        pa.ArrowInvalid: The column holds something else than text.

    >>> encode_levels(pa.chunked_array([["gold", "basic", "silver", None]]), ["basic", "gold"]).to_pylist()
    [1.0, 0.0, 2.0, 3.0]
    """
    column = plain_column(column)
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not text and column.null_count < len(column):
        raise pa.ArrowInvalid(f"expected text, found {column.type}")
    column = column.cast(pa.string())
    places = pc.fill_null(pc.index_in(column, value_set=pa.array(levels, pa.string())), len(levels))
    return pc.if_else(pc.is_valid(column), places, len(levels) + 1).cast(pa.float64())


def _margin_from(index: dict[str, Any] | None, name: str, texts: dict[str, str]) -> Any:
    if index is None:
        return None
    trees = tuple(texts[f"{name}-{i}.txt"] for i in range(len(index["weights"])))
    terms = tuple(Term(**term) for term in index["terms"])
    return Margin(index["intercept"], terms, trees, tuple(index["weights"]))


def _longer_from(step: dict[str, Any], texts: dict[str, str]) -> LongerHorizon:
    spread = read_spread(step["spread"])
    if spread is None:
        raise BundleError(f"{step['column']} has no spread")
    return LongerHorizon(step["column"], _margin_from(step["gain"], step["column"], texts), step["log_level"], spread)
