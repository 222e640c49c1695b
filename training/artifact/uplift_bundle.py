"""A fitted uplift model as text: LightGBM model files and JSON; says what each action changes for each customer.

Learners' scores are sums of parts, each part trees or a linear form. A score is only believed as far as it held on
customers that it had not seen (`Effect`). MLflow carries this module inside a model
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

from .model_files import (
    BundleError,
    checksum,
    digest_of,
    feature_table,
    plain_column,
    read_model,
    read_trees,
    write_model,
)

FORMAT = 1
SHAPES = ("scales", "centres", "weights")
Formula = dict[str, float]  # of a score: weights by part


@dataclass(frozen=True)
class DesignColumn:
    """A column of the design: a number or, with a level, 1 where a text column holds that level and else 0."""

    name: str
    level: str | None = None


@dataclass(frozen=True)
class LinearForm:
    """A linear form of asinh(x / scale) - centre; an unknown x counts as the centre.

    Attributes:
        intercept: Its value at the centres.
        scales, centres, weights: One each a column of the design.
    """

    intercept: float
    scales: tuple[float, ...]
    centres: tuple[float, ...]
    weights: tuple[float, ...]

    def of(self, design: np.ndarray) -> np.ndarray:
        """The form (n,) of a design (n, p).

        >>> LinearForm(1.0, (1.0,), (0.0,), (2.0,)).of(np.array([[0.0], [np.nan], [np.sinh(1.0)]])).round(4).tolist()
        [1.0, 1.0, 3.0]
        """
        shaped = np.nan_to_num(np.arcsinh(design / np.array(self.scales)) - np.array(self.centres))
        return np.asarray(self.intercept + shaped @ np.array(self.weights))


@dataclass(frozen=True)
class ScorePart:
    """A number of each customer: of trees, or of a linear form.

    Attributes:
        trees: LightGBM's text; empty for a linear form.
        arms: Columns for the arms at the end of the design that the trees take; 0: none.
        arm: Which of these arms is asked about, 0 being the control, whose columns are all 0.
        linear: The linear form.
    """

    trees: str = ""
    arms: int = 0
    arm: int = 0
    linear: LinearForm | None = None

    def of(self, design: np.ndarray) -> np.ndarray:
        """The part (n,) of a design (n, p).

        Raises:
            BundleError: The trees are not LightGBM's.
        """
        if self.linear is not None:
            return self.linear.of(design)
        return np.asarray(read_trees(self.trees).predict(with_arm_columns(design, self.arms, self.arm)))


@dataclass(frozen=True)
class LearnerVote:
    """A learner's part in a score: its weight, and the mean and spread by which its own score is made comparable."""

    weight: float
    mean: float
    spread: float

    def of(self, score: np.ndarray) -> np.ndarray:
        """The learner's score (n,) in units of its spread."""
        return (score - self.mean) / self.spread


@dataclass(frozen=True)
class EffectModel:
    """What is believed of one action's effect on one outcome, in the outcome's unit, beside doing nothing.

    Attributes:
        average: Doubly robust mean over those in the trials.
        error: Its standard error.
        slope: Change of the effect for one spread of the score, as far as it is believed: 0 where there is no
            evidence that the effect differs between customers.
        slope_error: Standard error of the same.
        votes: Of the learners in the score; their weights sum to 1.
    """

    average: float
    error: float
    slope: float = 0.0
    slope_error: float = 0.0
    votes: dict[str, LearnerVote] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        """Whether there is evidence that the effect differs between customers."""
        return self.slope > 0


@dataclass(frozen=True)
class OutcomeModel:
    """The model of one outcome.

    Attributes:
        parts: By name.
        learners: By learner and action, the formula of its score.
        base: The formula of the outcome without any action.
        base_mean: Its mean over those in the trials.
        effects: By action.
        proportional: Whether an effect of which nothing else is known goes by the outcome without any action (money),
            rather than being the same for all (a probability).
    """

    parts: dict[str, ScorePart]
    learners: dict[str, dict[str, Formula]]
    base: Formula
    base_mean: float
    effects: dict[str, EffectModel]
    proportional: bool = False

    def predict(self, design: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Effect and its standard error, (n,) each, by action."""
        said = {name: part.of(design) for name, part in self.parts.items() if name in self._needed()}
        return {action: self._effect(action, said, len(design)) for action in self.effects}

    def baseline(self, design: np.ndarray) -> np.ndarray:
        """The outcome (n,) expected without any action, not below 0."""
        return np.maximum(_sum(self.base, {name: self.parts[name].of(design) for name in self.base}), 0.0)

    def _needed(self) -> set[str]:
        needed: set[str] = set()
        for action, effect in self.effects.items():
            for learner in effect.votes if effect.differs else ():
                needed |= set(self.learners[learner][action])
            if self.proportional and not effect.differs:
                needed |= set(self.base)
        return needed

    def _effect(self, action: str, said: Mapping[str, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
        effect = self.effects[action]
        if not effect.differs:
            ratio = np.ones(n)
            if self.proportional and self.base_mean > 0:
                ratio = np.maximum(_sum(self.base, said), 0.0) / self.base_mean
            return effect.average * ratio, effect.error * ratio
        votes = sorted(effect.votes.items())
        shares = np.array([vote.weight for _, vote in votes])
        each = np.stack([vote.of(_sum(self.learners[name][action], said)) for name, vote in votes])
        score = shares @ each
        apart = effect.slope * np.sqrt(shares @ (each - score) ** 2)
        error = np.sqrt(effect.error**2 + (score * effect.slope_error) ** 2 + apart**2)
        return effect.average + effect.slope * score, error


@dataclass(frozen=True)
class UpliftBundle:
    """What each action changes, for each outcome.

    Attributes:
        name: The business's name in the config.
        actions: Besides doing nothing.
        source: 'measured' where the actions were randomised, else 'observational'.
        columns: Of the design.
        outcomes: By name: 'return' (a probability) and 'value' (money).
        task: Horizon, cohort, windows and spacing, as text.
        facts: Where it came from.
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
        """The feature columns that it needs."""
        return tuple(dict.fromkeys(column.name for column in self.columns))

    @property
    def levels(self) -> frozenset[str]:
        """Those of them that hold text."""
        return frozenset(column.name for column in self.columns if column.level is not None)

    @property
    def digest(self) -> str:
        """Changes when anything that shapes a prediction does."""
        return digest_of(self._index())

    def predict_effects(self, features: Any) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """Effect and standard error, (n,) each, by outcome and action, of a feature table (Arrow or pandas).

        Raises:
            BundleError: A column is missing, or of another type.
        """
        design = self.design_matrix(features)
        return {name: outcome.predict(design) for name, outcome in self.outcomes.items()}

    def predict(self, features: Any) -> dict[str, np.ndarray]:
        """The same as columns: `email_return`, `email_return_error`, `email_value`, ..."""
        found: dict[str, np.ndarray] = {}
        for outcome, by_action in self.predict_effects(features).items():
            for action, (effect, error) in by_action.items():
                found |= {f"{action}_{outcome}": effect, f"{action}_{outcome}_error": error}
        return found

    def design_matrix(self, features: Any) -> np.ndarray:
        """The design (n, p) of a feature table; raises BundleError."""
        return design_matrix(feature_table(features, self.features, f"uplift model {self.name!r}"), self.columns)

    def save(self, folder: Path) -> Path:
        """Writes bundle.json and the trees, such as value-dr-1.txt; returns the folder."""
        return write_model(folder, self._index(), self._tree_files())

    @classmethod
    def load(cls, folder: Path) -> UpliftBundle:
        """Reads what `save` wrote.

        Raises:
            BundleError: A file is missing, of another format, or not the one that was written.
        """
        index, texts = read_model(folder, FORMAT, model="an uplift model", with_digest=False)
        columns = tuple(DesignColumn(**column) for column in index.pop("columns"))
        outcomes = {name: _outcome(name, given, texts) for name, given in index.pop("outcomes").items()}
        return cls(columns=columns, outcomes=outcomes, actions=tuple(index.pop("actions")), **index)

    def _tree_files(self) -> dict[str, str]:
        """The trees by the names of their files: those of one text but for the arm asked about are one file."""
        return {
            _file(outcome, name): part.trees
            for outcome, model in self.outcomes.items()
            for name, part in model.parts.items()
            if part.trees
        }

    def _index(self) -> dict[str, Any]:
        """Everything but the trees, and the checksums of those."""
        short = {
            name: replace(model, parts={k: replace(p, trees="") for k, p in model.parts.items()})
            for name, model in self.outcomes.items()
        }
        checksums = {name: checksum(text) for name, text in self._tree_files().items()}
        return {"format": FORMAT, **asdict(replace(self, outcomes=short)), "checksums": checksums}


def design_matrix(table: pa.Table, columns: Sequence[DesignColumn]) -> np.ndarray:
    """The design (n, p) of a feature table: numbers, NaN where null, and indicators of levels.

    Raises:
        BundleError: A column holds text where numbers are needed, or numbers where text is.

    >>> table = pa.table({"orders": [1, None], "plan": ["gold", None]})
    >>> design_matrix(table, [DesignColumn("orders"), DesignColumn("plan", "gold")]).tolist()
    [[1.0, 1.0], [nan, 0.0]]
    """
    found = np.empty((table.num_rows, len(columns)))
    for place, column in enumerate(columns):
        values = plain_column(table[column.name])
        try:
            if column.level is None:
                found[:, place] = values.cast(pa.float64()).to_numpy()
            else:
                found[:, place] = pc.fill_null(pc.equal(values, column.level), False).to_numpy()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            wanted = "numbers" if column.level is None else "text"
            raise BundleError(
                f"the uplift model learned column {column.name!r} from {wanted}, found {values.type}"
            ) from None
    return found


def with_arm_columns(design: np.ndarray, arms: int, arm: int | np.ndarray) -> np.ndarray:
    """Append one indicator column for each treated arm to a design.

    Args:
        design: Numbers (n, p).
        arms: The number of treated arms; with 0 the design is returned unchanged.
        arm: The arm of all rows, or of each row (n,): 0 for the control, 1 to `arms` for the others.

    Returns:
        The design with the indicators (n, p + arms).

    >>> with_arm_columns(np.zeros((2, 1)), 2, np.array([0, 2])).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if not arms:
        return design
    which = np.broadcast_to(np.asarray(arm), len(design))
    return np.hstack([design, (which[:, None] == np.arange(1, arms + 1)).astype(float)])


def _sum(formula: Formula, said: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.asarray(sum(weight * said[name] for name, weight in sorted(formula.items())))  # one order, one sum


def _outcome(name: str, given: dict[str, Any], texts: Mapping[str, str]) -> OutcomeModel:
    parts = {}
    for part, values in given.pop("parts").items():
        linear = values.pop("linear")
        form = None if linear is None else LinearForm(linear["intercept"], *(tuple(linear[k]) for k in SHAPES))
        parts[part] = ScorePart(**{**values, "trees": texts.get(_file(name, part), ""), "linear": form})
    effects = {}
    for action, values in given.pop("effects").items():
        votes = {learner: LearnerVote(**vote) for learner, vote in values.pop("votes").items()}
        effects[action] = EffectModel(**values, votes=votes)
    return OutcomeModel(parts=parts, effects=effects, **given)


def _file(outcome: str, part: str) -> str:
    return f"{outcome}-{part}.txt"
