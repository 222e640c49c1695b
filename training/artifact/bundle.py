"""A fitted model as text: LightGBM model files and JSON, with columns, task, calibrator, level and intervals.

A margin is a sum of terms, each of one feature, and of weighted trees. This file needs nothing of ours, so that MLflow
can carry it inside a model: a registered model is read by the code that wrote it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

FORMAT = 3
INDEX = "bundle.json"
MARGINS = ("gate", "spend")
SMALLEST = 1e-3
SURE = 1e-4
Levels = dict[str, tuple[str, ...]]


class BundleError(ValueError):
    """A folder that is no bundle of ours, or not the one that was written."""


@dataclass(frozen=True)
class Term:
    """One feature's part of a margin: weight x (shape(value) - centre), and 0 where the value is null.

    Attributes:
        feature: Its column.
        shape: 'log1p' of value over scale; 'log' of it, not below that of a thousandth; or 'logit' of a probability.
        scale: In the feature's unit.
        centre: Mean of the shaped value where the model learned, so that a term is 0 on average.
        weight: Of the shaped value in the margin.
    """

    feature: str
    shape: str
    scale: float
    centre: float
    weight: float

    def shaped(self, values: np.ndarray) -> np.ndarray:
        """The shaped values (n,); null stays NaN.

        >>> Term("recency_days", "log1p", 30.0, 0.0, 1.0).shaped(np.array([0.0, 30.0])).round(4).tolist()
        [0.0, 0.6931]
        """
        if self.shape == "logit":
            p = np.clip(values, SURE, 1 - SURE)
            return np.log(p / (1 - p))
        ratio = values / self.scale
        return np.log1p(np.maximum(ratio, 0)) if self.shape == "log1p" else np.log(np.maximum(ratio, SMALLEST))

    def part(self, X: pa.Table) -> np.ndarray:
        """What it adds to the margin (n,)."""
        values = X[self.feature].to_numpy().astype(np.float64)
        return np.nan_to_num(self.weight * (self.shaped(values) - self.centre))


@dataclass(frozen=True)
class Margin:
    """A number in which models add up: log-odds of churn, or the log of spend.

    Attributes:
        intercept: Its mean over what the terms learned from, less that of the trees.
        terms: Of single features.
        trees: LightGBM model texts.
        weights: Of the trees, one each.
    """

    intercept: float = 0.0
    terms: tuple[Term, ...] = ()
    trees: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    def of(self, X: pa.Table) -> np.ndarray:
        """The margin (n,) of a bundle's columns.

        Raises:
            BundleError: The trees are not LightGBM's.
        """
        found = np.full(X.num_rows, self.intercept)
        for term in self.terms:
            found += term.part(X)
        for booster, weight in zip(self.boosters(), self.weights, strict=True):
            found += weight * np.asarray(booster.predict(X, raw_score=True))
        return found

    def boosters(self) -> list[lgb.Booster]:
        """The trees as LightGBM's models.

        Raises:
            BundleError: A text is not LightGBM's.
        """
        try:
            return [lgb.Booster(model_str=text) for text in self.trees]
        except lgb.basic.LightGBMError as problem:
            raise BundleError(f"the trees of a model are not LightGBM's: {problem}") from None


@dataclass(frozen=True)
class Spread:
    """What came around what was expected, on cutoffs that the model had not seen.

    Attributes:
        inside: The probability that an interval is to hold.
        nominal: The one to ask of the distribution below for that: conformal (Chernozhukov, Wuthrich and Zhu,
            Distributional conformal prediction, PNAS 118, 2021).
        chances: Probabilities (t,), ascending from 0 to 1.
        centres: Logs of the value (g,) at which the groups below stand, ascending.
        ratios: What returning customers spent over what was expected of them: its quantiles (g, t) in each group.
        squares: Mean square (g,) of the same.
        level_error: Standard deviation of the log of total came over total expected, from cutoff to cutoff.
    """

    inside: float
    nominal: float
    chances: tuple[float, ...]
    centres: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]
    squares: tuple[float, ...]
    level_error: float

    def bounds(self, back: np.ndarray, spend: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Low and high (n,) of what customers bring who return with probability `back` (n,) and spend `spend` (n,).

        Who returns too rarely for low to be above 0 has all of the chance of lying outside at the top.
        """
        value = back * spend
        tail, none = (1 - self.nominal) / 2, 1 - back
        seldom = none >= tail
        low = np.where(seldom, 0.0, spend * self._ratio(self._chance(np.full_like(back, tail), none), value))
        above = self._chance(np.where(seldom, self.nominal, 1 - tail), none)
        high = np.where(none >= self.nominal, 0.0, spend * self._ratio(above, value))
        return np.minimum(low, value), np.maximum(high, value)

    def total(self, back: np.ndarray, spend: np.ndarray) -> tuple[float, float]:
        """Low and high of the sum of what comes from all of them, by the normal approximation.

        Two things make it uncertain: chance, customer by customer, and the level, which moves all of them together.
        """
        value = back * spend
        chance = back * spend**2 * self._blend(np.array(self.squares)[:, None], value) - value**2
        sum_, z = float(value.sum()), NormalDist().inv_cdf((1 + self.inside) / 2)
        error = z * float(np.sqrt(np.maximum(chance, 0).sum() + (self.level_error * sum_) ** 2))
        return max(0.0, sum_ - error), sum_ + error

    def _chance(self, of: np.ndarray, none: np.ndarray) -> np.ndarray:
        """Probability among those who return, where `of` (n,) counts those who do not, too."""
        return np.clip((of - none) / np.maximum(1 - none, SURE), 0.0, 1.0)

    def _ratio(self, chance: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Quantiles (n,) of the ratio at these probabilities (n,)."""
        by_group = np.stack([np.interp(chance, self.chances, ratios) for ratios in self.ratios])
        return self._blend(by_group, value)

    def _blend(self, by_group: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Figures (g, n) or (g, 1) of the groups on either side of a value (n,), by its distance to each."""
        log_value = np.log(np.maximum(value, np.exp(self.centres[0])))
        place = np.interp(log_value, self.centres, np.arange(len(self.centres)))
        left = np.minimum(place.astype(int), max(len(self.centres) - 2, 0))
        right, share = np.minimum(left + 1, len(self.centres) - 1), place - left
        wide = np.broadcast_to(by_group, (len(self.centres), len(value)))
        rows = np.arange(len(value))
        return (1 - share) * wide[left, rows] + share * wide[right, rows]


@dataclass(frozen=True)
class Longer:
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
    longer: tuple[Longer, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    levels: Levels = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Changes when anything that shapes a prediction does."""
        return _digest(self._index())

    @property
    def gate_digest(self) -> str:
        """Of the gate and its calibrator alone: a churn and a value model belong together when it is the same."""
        return _digest([asdict(self.gate), self.slope, self.intercept, self.levels])

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
        X = self.columns(features)
        log_odds = self.churn_log_odds(self.gate.of(X))
        churn = 1 / (1 + np.exp(-log_odds))
        if self.spend is None or self.spread is None:
            return {"churn_probability": churn}
        spend, back = np.exp(self.spend_log(self.spend.of(X))), 1 / (1 + np.exp(log_odds))
        low, high = self.spread.bounds(back, spend)
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
            value = value + np.exp(step.log_gain(step.gain.of(X)))
            low, high = step.spread.bounds(np.ones_like(value), value)
            found |= {step.column: value, f"{step.column}_low": low, f"{step.column}_high": high}
        return found

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

    def save(self, folder: Path) -> Path:
        """Writes bundle.json and the trees, such as gate-0.txt and spend-1.txt; returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self._texts().items():
            (folder / name).write_text(text, encoding="utf-8")
        index = self._index() | {"digest": self.digest}
        (folder / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", encoding="utf-8")
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
        if index.get("format") != FORMAT:
            raise BundleError(f"{folder}: made by another version of regulars; expected format {FORMAT}")
        if index.pop("digest", None) != _digest(index):
            raise BundleError(f"{folder / INDEX} is not the file that was written: its digest differs")
        index.pop("format")
        for part, checksum in index.pop("checksums").items():
            if checksum != _checksum(texts[part]):
                raise BundleError(f"{folder / part} is not the file that was written: its checksum differs")
        margins = {name: _margin_from(index.pop(name), name, texts) for name in MARGINS}
        spread = spread_from(index.pop("spread"))
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
        checksums = {name: _checksum(text) for name, text in self._texts().items()}
        return {"format": FORMAT, **asdict(replace(self, **short)), "checksums": checksums}


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


def _margin_from(index: dict[str, Any] | None, name: str, texts: dict[str, str]) -> Any:
    if index is None:
        return None
    trees = tuple(texts[f"{name}-{i}.txt"] for i in range(len(index["weights"])))
    terms = tuple(Term(**term) for term in index["terms"])
    return Margin(index["intercept"], terms, trees, tuple(index["weights"]))


def _longer_from(step: dict[str, Any], texts: dict[str, str]) -> Longer:
    spread = spread_from(step["spread"])
    if spread is None:
        raise BundleError(f"{step['column']} has no spread")
    return Longer(step["column"], _margin_from(step["gain"], step["column"], texts), step["log_level"], spread)


def spread_from(index: dict[str, Any] | None) -> Spread | None:
    """A spread from what JSON holds of it; None from None."""
    if index is None:
        return None
    index = dict(index)
    ratios = tuple(tuple(row) for row in index.pop("ratios"))
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in index.items()}
    return Spread(**plain, ratios=ratios)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
