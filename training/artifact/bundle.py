"""A fitted churn or value model as text: LightGBM model files and JSON.

It holds the columns, the task, the calibration, the level and the distribution behind the intervals. MLflow carries
this module inside a model together with those that it imports, so a registered model is read by the code that wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .lifetime import Lifetime, read_lifetime
from .margin import Margin, Term
from .model_files import (
    BundleError,
    as_bundle_errors,
    check_types,
    checksum,
    digest_of,
    feature_table,
    plain_column,
    read_model,
    write_model,
)
from .return_hazard import ReturnCurves, ReturnHazard
from .spread import Spread, read_spread

FORMAT = 3
MARGINS = ("gate", "spend")
ADDED = frozenset({"lowest", "lifetime", "returns"})  # not in earlier models: not written where they are None
Levels = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class LongerHorizon:
    """What a longer horizon adds to the value over the one before it.

    Attributes:
        column: The column of the value over this horizon, such as 'value_180d'.
        gain: Predicts the log of the gain, so the gain is above 0.
        log_level: Added to the gain's margin.
        spread: Distribution behind the intervals of the value over this horizon, for returning customers and others.
    """

    column: str
    gain: Margin
    log_level: float
    spread: Spread

    @property
    def days(self) -> int:
        """Length of the horizon."""
        return int(self.column.removeprefix("value_").removesuffix("d"))

    def log_gain(self, margin: np.ndarray) -> np.ndarray:
        """Log of the gain (n,) from its margin (n,)."""
        return margin + self.log_level


@dataclass(frozen=True)
class ModelBundle:
    """A churn model, or a value model: the same classifier of returning, and the spend of those who return.

    Attributes:
        kind: 'churn' or 'value'.
        name: The business's name in the config.
        features: The feature columns that the model needs, in order.
        task: Horizon, cohort, windows and spacing, as text.
        gate: The classifier of returning: predicts the log-odds of churn.
        slope: Calibrated log-odds are slope x margin + intercept.
        intercept: See `slope`.
        spend: Predicts the log of the spend of those who return. None for 'churn'.
        log_level: Added to the spend's margin.
        spread: Distribution of actual over expected value, behind the prediction intervals. None for 'churn'.
        longer: Gains from each value horizon to the next longer one, ascending; may be empty.
        returns: The hazard of returning, behind the date of the next purchase. None for contracts, for models of
            earlier versions, and where too few returned.
        facts: The model's origin: data fingerprint, training cutoffs, seed, parameters.
        levels: For each column of text, the levels that the trees distinguish, in the order of their codes.
        lifetime: The expected spend beyond the horizon; None for 'churn', and in models of earlier versions.
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
    returns: ReturnHazard | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    levels: Levels = field(default_factory=dict)
    lifetime: Lifetime | None = None

    @property
    def skill(self) -> bool:
        """Whether it tells customers apart: false for the model that treats everybody alike."""
        return bool(self.facts.get("skill", True))

    @property
    def digest(self) -> str:
        """A digest that changes when anything that a prediction depends on changes."""
        return digest_of(self._index())

    @property
    def classifier_digest(self) -> str:
        """Digest of the calibrated classifier alone: a churn and a value model belong together if it is the same."""
        return digest_of([_as_stored(self.gate), self.slope, self.intercept, self.levels])

    def predict(self, features: Any) -> dict[str, np.ndarray]:
        """Predictions for a feature table (n rows; Arrow or pandas) with the bundle's columns, text as text.

        Returns:
            Columns (n,) by name: churn_probability, and for a value model also value, value_low, value_high and
            value_at_risk (the mean loss because the customer may not return: value_at_risk + value is the spend if they
            surely returned); then value and interval over each longer horizon, such as value_180d, value_180d_low and
            value_180d_high, and lifetime value (`Lifetime.predict`). The value never decreases with the horizon. With a
            hazard of returning also when customers return (`ReturnHazard.predict`).

        Raises:
            BundleError: A column is missing, or has text instead of numbers or numbers instead of text.
        """
        X = self.model_inputs(features)
        log_odds = self.churn_log_odds(self.gate.predict(X))
        churn = 1 / (1 + np.exp(-log_odds))
        timing = self.returns.predict(X, log_odds) if self.returns else {}
        if self.spend is None or self.spread is None:
            return {"churn_probability": churn, **timing}
        spend, returns = np.exp(self.log_spend(self.spend.predict(X))), 1 / (1 + np.exp(log_odds))
        low, high = self.spread.interval(returns, spend)
        longer = self._longer_values(X, returns * spend)
        return {
            "churn_probability": churn,
            "value": returns * spend,
            "value_low": low,
            "value_high": high,
            "value_at_risk": churn * spend,
            **longer,
            **self._lifetime_values(X, {"value": returns * spend, **longer}),
            **timing,
        }

    def return_curves(self, features: Any) -> ReturnCurves | None:
        """The curves P(returns by t) of a feature table (n rows); None for a model without a hazard of returning.

        Raises:
            BundleError: A column is missing, or has text instead of numbers or numbers instead of text.
        """
        if self.returns is None:
            return None
        X = self.model_inputs(features)
        return self.returns.curves(X, self.churn_log_odds(self.gate.predict(X)))

    def _longer_values(self, X: pa.Table, value: np.ndarray) -> dict[str, np.ndarray]:
        columns: dict[str, np.ndarray] = {}
        for step in self.longer:
            value = value + np.exp(step.log_gain(step.gain.predict(X)))
            low, high = step.spread.interval(np.ones_like(value), value)
            columns |= {step.column: value, f"{step.column}_low": low, f"{step.column}_high": high}
        return columns

    def _lifetime_values(self, X: pa.Table, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.lifetime is None:
            return {}
        longer = {step.days: columns[step.column] for step in self.longer}
        return self.lifetime.predict(X, {self.lifetime.horizon: columns["value"], **longer})

    def model_inputs(self, features: Any) -> pa.Table:
        """The bundle's columns of a feature table (n rows), in order: numbers as floats, text as codes of levels.

        Raises:
            BundleError: A column is missing, or has text instead of numbers or numbers instead of text.
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
        """Calibrated log-odds of churn (n,) from the classifier's margin (n,)."""
        return self.slope * margin + self.intercept

    def log_spend(self, margin: np.ndarray) -> np.ndarray:
        """Log of the expected spend (n,) of those who return, from the spend's margin (n,)."""
        return margin + self.log_level

    def save(self, folder: Path) -> Path:
        """Writes bundle.json and the trees, such as gate-0.txt and spend-1.txt; returns the folder."""
        return write_model(folder, self._index() | {"digest": self.digest}, self._tree_files())

    @classmethod
    def load(cls, folder: Path) -> ModelBundle:
        """Reads what `save` wrote.

        Raises:
            BundleError: A file is missing, has another format, or differs from what was written.
        """
        index, texts = read_model(folder, FORMAT, model="a model", needs_digest=True)
        with as_bundle_errors(folder):
            margins = {name: _read_margin(index.pop(name), name, texts) for name in MARGINS}
            spread = read_spread(index.pop("spread"))
            longer = tuple(_read_longer(step, texts) for step in index.pop("longer"))
            lifetime = read_lifetime(index.pop("lifetime", None))
            returns = _read_returns(index.pop("returns", None), texts)
            index["features"] = tuple(index["features"])
            index["levels"] = {name: tuple(levels) for name, levels in index["levels"].items()}
            model = cls(**margins, spread=spread, longer=longer, lifetime=lifetime, returns=returns, **index)
            check_types(model)
        return model

    def _margins(self) -> dict[str, Margin]:
        margins = {name: margin for name in MARGINS if (margin := getattr(self, name)) is not None}
        hazard = {} if self.returns is None else {"returns": self.returns.hazard}
        return margins | {step.column: step.gain for step in self.longer} | hazard

    def _tree_files(self) -> dict[str, str]:
        """The content of the trees' files by name."""
        return {f"{name}-{i}.txt": text for name, m in self._margins().items() for i, text in enumerate(m.trees)}

    @property
    def is_quick(self) -> bool:
        """Whether it is a quick look (`regulars train --quick`): of few rows and not tuned."""
        return bool(self.facts.get("quick", False))

    def _index(self) -> dict[str, Any]:
        """The content of bundle.json without its digest: everything but the trees, and their checksums."""
        treeless: dict[str, Any] = {
            name: replace(m, trees=()) for name in MARGINS if (m := getattr(self, name)) is not None
        }
        treeless["longer"] = tuple(replace(step, gain=replace(step.gain, trees=())) for step in self.longer)
        if self.returns is not None:
            treeless["returns"] = replace(self.returns, hazard=replace(self.returns.hazard, trees=()))
        checksums = {name: checksum(text) for name, text in self._tree_files().items()}
        return {"format": FORMAT, **_as_stored(replace(self, **treeless)), "checksums": checksums}


def _as_stored(data: Any) -> dict[str, Any]:
    """A dataclass as a dictionary, by which a model of an earlier version keeps its digest."""
    return asdict(data, dict_factory=lambda items: {k: v for k, v in items if v is not None or k not in ADDED})


def encode_levels(column: pa.ChunkedArray, levels: Sequence[str]) -> pa.ChunkedArray:
    """Codes of a text column as floats: the position in `levels`, one more for any other text, and one for null.

    Null needs a code because LightGBM never puts a missing category on the side of a split that it selects, so it could
    not separate customers whose level is unknown.

    Raises:
        pa.ArrowInvalid: The column does not hold text.

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


def _read_margin(index: dict[str, Any] | None, name: str, texts: dict[str, str]) -> Any:
    if index is None:
        return None
    trees = tuple(texts[f"{name}-{i}.txt"] for i in range(len(index["weights"])))
    terms = tuple(Term(**term) for term in index["terms"])
    return Margin(index["intercept"], terms, trees, tuple(index["weights"]))


def _read_returns(index: dict[str, Any] | None, texts: dict[str, str]) -> ReturnHazard | None:
    if index is None:
        return None
    names = ("bounds", "life_table", "features", "typical")
    margins = {name: _read_margin(index.pop(name), "returns", texts) for name in ("hazard", "orders")}
    return ReturnHazard(**{**index, **{name: tuple(index[name]) for name in names}}, **margins)


def _read_longer(step: dict[str, Any], texts: dict[str, str]) -> LongerHorizon:
    spread = read_spread(step["spread"])
    if spread is None:
        raise BundleError(f"{step['column']} has no spread")
    return LongerHorizon(step["column"], _read_margin(step["gain"], step["column"], texts), step["log_level"], spread)
