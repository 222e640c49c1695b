"""A fitted uplift model as text, LightGBM model files and JSON: predicts the effect of each action on each customer.

A learner's score is a weighted sum of parts; a part is trees or a linear form. Scores count only as far as they
predicted effects on customers that they had not seen (`EffectModel`). MLflow carries this module inside a model
together with `model_files`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .effect_modifiers import Columns, Modifier
from .hierarchical_effects import HierarchicalEffects
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
from .score_parts import LinearForm, ScorePart

FORMAT = 1
SHAPES = ("scales", "centres", "weights")
Formula = dict[str, float]  # weights of a score by part


@dataclass(frozen=True)
class DesignColumn:
    """A column of the design: a number or, with a level, 1 where a text column holds that level and else 0."""

    name: str
    level: str | None = None


@dataclass(frozen=True)
class LearnerVote:
    """A learner's weight in the combined score, and the mean and spread that standardise its own score."""

    weight: float
    mean: float
    spread: float

    def standardise(self, score: np.ndarray) -> np.ndarray:
        """The learner's score (n,), standardised."""
        return (score - self.mean) / self.spread


@dataclass(frozen=True)
class EffectModel:
    """The effect of one action on one outcome compared with no action, in the outcome's unit.

    Attributes:
        average: Doubly robust mean effect on the customers of the experiments.
        error: Its standard error.
        slope: Change of the effect per standardised unit of the score, shrunk; 0 without evidence that the effect
            differs between customers.
        slope_error: Standard error of the slope.
        votes: The learners' weights in the score, by learner; they sum to 1.
        gain: The slope as estimated, also without evidence.
        gain_error: Its standard error; 0 in models of earlier versions, which do not have it.
        hierarchical: Whether the effect is that of the hierarchical model; average and error are then its posterior's.
    """

    average: float
    error: float
    slope: float = 0.0
    slope_error: float = 0.0
    votes: dict[str, LearnerVote] = field(default_factory=dict)
    gain: float = 0.0
    gain_error: float = 0.0
    hierarchical: bool = False

    @property
    def differs(self) -> bool:
        """Whether there is evidence that the effect differs between customers."""
        return self.slope > 0


@dataclass(frozen=True)
class OutcomeModel:
    """The model of one outcome.

    Attributes:
        parts: The parts by name.
        learners: The formula of each learner's score, by learner and action.
        base: The formula of the outcome without an action.
        base_mean: Mean of that outcome over the customers of the experiments.
        effects: The effects by action.
        hierarchical: The posterior of the effects relative to the forecast; None in models of earlier versions.
        proportional: Whether an effect without evidence of differences is proportional to the outcome without an action
            (money), rather than the same for all (a probability).
    """

    parts: dict[str, ScorePart]
    learners: dict[str, dict[str, Formula]]
    base: Formula
    base_mean: float
    effects: dict[str, EffectModel]
    proportional: bool = False
    hierarchical: HierarchicalEffects | None = None

    def predict(
        self, design: np.ndarray, columns: Sequence[DesignColumn] = ()
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Effect and its standard error, (n,) each, by action; `columns` of the design for hierarchical effects."""
        parts = {name: part.predict(design) for name, part in self.parts.items() if name in self._needed_parts()}
        found = {
            a: self._effect(a, parts, len(design)) for a, effect in self.effects.items() if not effect.hierarchical
        }
        for action, (mean, errors) in self.posterior(design, columns).items():
            found[action] = mean, np.sqrt((errors**2).sum(axis=1))
        return {action: found[action] for action in self.effects}

    def posterior(
        self, design: np.ndarray, columns: Sequence[DesignColumn]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Mean (n,) and independent errors (n, parts) of the effects that are those of the hierarchical model."""
        actions = [action for action, effect in self.effects.items() if effect.hierarchical]
        if self.hierarchical is None or not actions:
            return {}
        base = None if self.hierarchical.forecast else self.baseline(design)
        named = named_columns(design, columns)
        return {action: self.hierarchical.predict(action, named, base) for action in actions}

    def baseline(self, design: np.ndarray) -> np.ndarray:
        """The expected outcome (n,) without an action, not below 0."""
        return np.maximum(_weighted_sum(self.base, {name: self.parts[name].predict(design) for name in self.base}), 0.0)

    def _needed_parts(self) -> set[str]:
        needed: set[str] = set()
        for action, effect in self.effects.items():
            for learner in effect.votes if effect.differs else ():
                needed |= set(self.learners[learner][action])
            if self.proportional and not effect.differs and not effect.hierarchical:
                needed |= set(self.base)
        return needed

    def _effect(self, action: str, parts: Mapping[str, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
        effect = self.effects[action]
        if not effect.differs:
            ratio = np.ones(n)
            if self.proportional and self.base_mean > 0:
                ratio = np.maximum(_weighted_sum(self.base, parts), 0.0) / self.base_mean
            return effect.average * ratio, effect.error * ratio
        votes = sorted(effect.votes.items())
        shares = np.array([vote.weight for _, vote in votes])
        scores = np.stack([vote.standardise(_weighted_sum(self.learners[name][action], parts)) for name, vote in votes])
        score = shares @ scores
        disagreement = effect.slope * np.sqrt(shares @ (scores - score) ** 2)
        error = np.sqrt(effect.error**2 + (score * effect.slope_error) ** 2 + disagreement**2)
        return effect.average + effect.slope * score, error


@dataclass(frozen=True)
class UpliftBundle:
    """The effects of all actions on all outcomes.

    Attributes:
        name: The business's name in the config.
        actions: The actions, without the control.
        source: 'measured' if the actions were randomised, else 'observational'.
        columns: The columns of the design.
        outcomes: By name: 'return' (a probability) and 'value' (money).
        task: Horizon, cohort, windows and spacing, as text.
        facts: The model's origin.
    """

    name: str
    actions: tuple[str, ...]
    source: str
    columns: tuple[DesignColumn, ...]
    outcomes: dict[str, OutcomeModel]
    task: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    kind: str = "uplift"

    @property
    def features(self) -> tuple[str, ...]:
        """The feature columns that the model needs."""
        return tuple(dict.fromkeys(column.name for column in self.columns))

    @property
    def levels(self) -> frozenset[str]:
        """The feature columns that hold text."""
        return frozenset(column.name for column in self.columns if column.level is not None)

    @property
    def digest(self) -> str:
        """A digest that changes when anything that a prediction depends on changes."""
        return digest_of(self._index())

    def predict_effects(self, features: Any) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """Effect and standard error, (n,) each, by outcome and action, of a feature table (Arrow or pandas).

        Raises:
            BundleError: A column is missing or has another type.
        """
        design = self.design_matrix(features)
        return {name: outcome.predict(design, self.columns) for name, outcome in self.outcomes.items()}

    def posterior_parts(self, features: Any) -> dict[str, dict[str, np.ndarray]]:
        """Independent errors (n, parts) of hierarchical effects, by outcome and action, of a feature table.

        Raises:
            BundleError: A column is missing or has another type.
        """
        design = self.design_matrix(features)
        return {
            name: {action: errors for action, (_, errors) in outcome.posterior(design, self.columns).items()}
            for name, outcome in self.outcomes.items()
        }

    def predict(self, features: Any) -> dict[str, np.ndarray]:
        """The effects as columns (n,) by name: `email_return`, `email_return_error`, `email_value`, ..."""
        columns: dict[str, np.ndarray] = {}
        for outcome, by_action in self.predict_effects(features).items():
            for action, (effect, error) in by_action.items():
                columns |= {f"{action}_{outcome}": effect, f"{action}_{outcome}_error": error}
        return columns

    def evidence(self) -> dict[str, dict[str, dict[str, float]]]:
        """What is known of each effect over all customers, by action and outcome.

        `base` is the mean outcome without an action; the others are as in `EffectModel`.
        """
        return {
            action: {
                name: {"base": outcome.base_mean, **_figures(outcome.effects[action])}
                for name, outcome in self.outcomes.items()
            }
            for action in self.actions
        }

    def design_matrix(self, features: Any) -> np.ndarray:
        """The design (n, p) of a feature table; raises BundleError."""
        return design_matrix(feature_table(features, self.features, f"uplift model {self.name!r}"), self.columns)

    def save(self, folder: Path) -> Path:
        """Writes bundle.json and the trees, such as value-dr-1.txt; returns the folder."""
        return write_model(folder, self._index() | {"digest": self.digest}, self._tree_files())

    @classmethod
    def load(cls, folder: Path) -> UpliftBundle:
        """Reads what `save` wrote.

        Raises:
            BundleError: A file is missing, has another format, or differs from what was written.
        """
        index, texts = read_model(folder, FORMAT, model="an uplift model", needs_digest=False)  # older ones have none
        with as_bundle_errors(folder):
            columns = tuple(DesignColumn(**column) for column in index.pop("columns"))
            outcomes = {name: _read_outcome(name, given, texts) for name, given in index.pop("outcomes").items()}
            model = cls(columns=columns, outcomes=outcomes, actions=tuple(index.pop("actions")), **index)
            check_types(model)
        return model

    def _tree_files(self) -> dict[str, str]:
        """The content of the trees' files by name."""
        return {
            _tree_file(outcome, name): part.trees
            for outcome, model in self.outcomes.items()
            for name, part in model.parts.items()
            if part.trees
        }

    def _index(self) -> dict[str, Any]:
        """The content of bundle.json: everything but the trees, and their checksums."""
        treeless = {
            name: replace(model, parts={k: replace(p, trees="") for k, p in model.parts.items()})
            for name, model in self.outcomes.items()
        }
        checksums = {name: checksum(text) for name, text in self._tree_files().items()}
        return {"format": FORMAT, **asdict(replace(self, outcomes=treeless)), "checksums": checksums}


def design_matrix(table: pa.Table, columns: Sequence[DesignColumn]) -> np.ndarray:
    """The design (n, p) of a feature table: numbers, NaN where null, and indicators of levels.

    Raises:
        BundleError: A column holds text where numbers are needed, or numbers where text is.

    >>> table = pa.table({"orders": [1, None], "plan": ["gold", None]})
    >>> design_matrix(table, [DesignColumn("orders"), DesignColumn("plan", "gold")]).tolist()
    [[1.0, 1.0], [nan, 0.0]]
    """
    design = np.empty((table.num_rows, len(columns)))
    for place, column in enumerate(columns):
        values = plain_column(table[column.name])
        try:
            if column.level is None:
                design[:, place] = values.cast(pa.float64()).to_numpy()
            else:
                design[:, place] = pc.fill_null(pc.equal(values, column.level), False).to_numpy()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            wanted = "numbers" if column.level is None else "text"
            raise BundleError(
                f"the uplift model learned column {column.name!r} from {wanted}, found {values.type}"
            ) from None
    return design


def _weighted_sum(formula: Formula, parts: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.asarray(sum(weight * parts[name] for name, weight in sorted(formula.items())))  # one order, one sum


def named_columns(design: np.ndarray, columns: Sequence[DesignColumn]) -> Columns:
    """The features (n,) by name that a design (n, p) was made of: numbers, and text with its common levels."""
    named: dict[str, np.ndarray] = {}
    for values, column in zip(design.T, columns, strict=True):
        if column.level is None:
            named[column.name] = values
        else:
            text = named.setdefault(column.name, np.full(len(design), None, dtype=object))
            text[values > 0] = column.level
    return named


def _figures(effect: EffectModel) -> dict[str, float]:
    """The figures of an effect; `posterior` is 1 if they are those of a posterior, which no other prior may shrink."""
    known = {key: value for key, value in asdict(effect).items() if key not in ("votes", "hierarchical")}
    return known | {"posterior": float(effect.hierarchical)}


def _read_outcome(name: str, given: dict[str, Any], texts: Mapping[str, str]) -> OutcomeModel:
    parts = {}
    for part, values in given.pop("parts").items():
        linear = values.pop("linear")
        form = None if linear is None else LinearForm(linear["intercept"], *(tuple(linear[k]) for k in SHAPES))
        parts[part] = ScorePart(**{**values, "trees": texts.get(_tree_file(name, part), ""), "linear": form})
    effects = {}
    for action, values in given.pop("effects").items():
        votes = {learner: LearnerVote(**vote) for learner, vote in values.pop("votes").items()}
        effects[action] = EffectModel(**values, votes=votes)
    posterior = given.pop("hierarchical", None)
    return OutcomeModel(parts=parts, effects=effects, hierarchical=_read_posterior(posterior), **given)


def _read_posterior(given: dict[str, Any] | None) -> HierarchicalEffects | None:
    if given is None:
        return None
    modifiers = tuple(Modifier(**each) for each in given.pop("modifiers"))
    means = {action: tuple(values) for action, values in given.pop("means").items()}
    factors = {action: tuple(map(tuple, rows)) for action, rows in given.pop("factors").items()}
    return HierarchicalEffects(modifiers=modifiers, means=means, factors=factors, **given)


def _tree_file(outcome: str, part: str) -> str:
    return f"{outcome}-{part}.txt"
