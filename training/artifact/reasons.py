"""Reasons for customers' scores: contributions handed on to behaviour, ranked by family, and put into words.

Terminal, report, page and files call the same functions as a registered model. MLflow carries this module inside the
model and runs it where nothing else of ours is installed, so it imports nothing of ours: the bundle and
`phrases.format_reading` are arguments. `serving.explanation.contributions` computes the contributions of whole cohorts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)
POSITIONS, QUADRATURE_WEIGHTS = (NODES + 1) / 2, WEIGHTS / 2
FormatReading = Callable[..., str]
REASON_TYPE = pa.struct(
    [("feature", pa.string()), ("phrase", pa.string()), ("reading", pa.string()), ("contribution", pa.float64())]
)


@dataclass(frozen=True)
class Wording:
    """The words for a feature: the fields of `features.feature.Feature` that hold text.

    Attributes:
        name: The feature's column.
        family: Features of one family are alike; a reason is the net contribution of a family.
        phrase: What the feature measures.
        reading: Template for a customer's own value.
        unread: Text for a null.
        at_zero: Text for 0, if that reads better than the number.
        formula: How it is computed, if the phrase does not say it exactly; others rather speak for its family.
    """

    name: str
    family: str
    phrase: str
    reading: str
    unread: str = ""
    at_zero: str = ""
    formula: str = ""

    @classmethod
    def of(cls, feature: Any) -> Wording:
        """The words for a `Feature`."""
        return cls(**{field.name: getattr(feature, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class RankedFamilies:
    """The families of features as reasons for n customers' scores.

    Attributes:
        names: The F families, in the order of their first features.
        net: Net contributions (n, F): the sums over the families' features.
        order: For each customer the places of the families (n, F), the largest net contribution first.
        speakers: The place of the feature (n, F) in whose words a family is told.
    """

    names: tuple[str, ...]
    net: np.ndarray
    order: np.ndarray
    speakers: np.ndarray


def feature_contributions(bundle: Any, features: Any) -> dict[str, np.ndarray]:
    """What each feature adds to the predicted probability of churn and, for a value model, to the value.

    SHAP values of the margins are converted along the straight path from the mean margins to the customer's (Aumann
    and Shapley, Values of Non-Atomic Games, 1974). The integrals are computed by quadrature, exact to about 1e-9.
    What predictions among the features contribute is handed on (`hand_on_contributions`).

    Args:
        bundle: A `ModelBundle`, loaded from any copy of its module.
        features: A feature table (n rows), in Arrow or pandas, with its shares.

    Returns:
        Contributions (n, p) by 'churn' (a probability) and, for a value model, 'value' (money).
    """
    shares = read_shares(features)
    return {
        name: hand_on_contributions(amounts, bundle.features, shares)
        for name, amounts in _model_contributions(bundle, bundle.model_inputs(features)).items()
    }


def _model_contributions(bundle: Any, X: pa.Table) -> dict[str, np.ndarray]:
    """What each of the model's inputs adds, as in `feature_contributions`, before anything is handed on."""
    phi_m, m0 = _shap_values(bundle.gate, X)
    z0, phi_z = bundle.churn_log_odds(m0), bundle.slope * phi_m
    z = z0 + phi_z.sum(axis=1)
    if bundle.spend is None:
        return {"churn": phi_z * _path_integrals(z0, z, 0.0, np.zeros(len(z)))[0][:, None]}
    phi_l, l0 = _shap_values(bundle.spend, X)
    spend0 = bundle.log_spend(l0)
    churn_by_z, value_by_z, value_by_l = _path_integrals(z0, z, spend0, spend0 + phi_l.sum(axis=1))
    return {"churn": phi_z * churn_by_z[:, None], "value": phi_z * value_by_z[:, None] + phi_l * value_by_l[:, None]}


def hand_on_contributions(amounts: np.ndarray, names: Sequence[str], shares: Mapping[str, np.ndarray]) -> np.ndarray:
    """Hands on what predictions among the features contributed to the features that they are made of.

    Args:
        amounts: Contributions (n, p).
        names: The p features.
        shares: Shares (n,) by column `feature:source`, from `read_shares`; those of a feature add up to 1.

    Returns:
        Contributions (n, p) with the same sums; 0 for a feature that was handed on. A feature keeps its contribution
        where a share is null, and where the model has not all of its sources.

    >>> shares = {"chance:silence": np.array([0.75, np.nan]), "chance:orders": np.array([0.25, np.nan])}
    >>> hand_on_contributions(np.array([[4.0, 0.0, 1.0], [4.0, 0.0, 1.0]]), ["chance", "silence", "orders"], shares)
    array([[0., 3., 2.],
           [4., 0., 1.]])
    """
    place, given = {name: column for column, name in enumerate(names)}, amounts.copy()
    parts: dict[str, dict[str, np.ndarray]] = {}
    for column, share in shares.items():
        name, source = column.split(":")
        parts.setdefault(name, {})[source] = share
    for name, sources in parts.items():
        if name in place and sources.keys() <= place.keys():
            known = np.isfinite(np.stack(list(sources.values()))).all(axis=0)
            left = np.where(known, amounts[:, place[name]], 0.0)
            given[:, place[name]] -= left
            *others, last = sources  # the last takes the rest, so that sums stay exact
            moved = {source: left * np.where(known, sources[source], 0.0) for source in others}
            for source, part in moved.items():
                given[:, place[source]] += part
                left = left - part
            given[:, place[last]] += left
    return given


def read_shares(features: Any) -> dict[str, np.ndarray]:
    """The columns `feature:source` of a feature table (n rows; Arrow or pandas), as floats (n,)."""
    names = features.column_names if isinstance(features, pa.Table) else features.columns
    return {name: np.asarray(features[name], np.float64) for name in names if str(name).count(":") == 1}


def rank_families(amounts: np.ndarray, wordings: Sequence[Wording]) -> RankedFamilies:
    """Ranks families by the absolute value of their net contributions, and chooses a feature to speak for each.

    The speaker is the feature that contributes most in the direction of its family; a feature that needs a formula
    speaks only if no other contributes in that direction.

    Args:
        amounts: Contributions (n, p).
        wordings: Words for the p features, in their order.

    Returns:
        The ranked families.

    >>> words = [Wording(name, family, "", "") for name, family in (("a", "x"), ("b", "y"), ("c", "x"))]
    >>> ranked = rank_families(np.array([[0.5, 0.3, -0.4]]), words)
    >>> ranked.names, ranked.net.round(1).tolist(), ranked.order.tolist(), ranked.speakers.tolist()
    (('x', 'y'), [[0.1, 0.3]], [[1, 0]], [[0, 1]])
    """
    members: dict[str, list[int]] = {}
    for place, wording in enumerate(wordings):
        members.setdefault(wording.family, []).append(place)
    net = np.zeros((len(amounts), len(members)))
    speakers = np.zeros(net.shape, np.int64)
    for column, places in enumerate(members.values()):
        for place in places:  # one after the other, so that sums do not depend on how many customers there are
            net[:, column] += amounts[:, place]
        helps = amounts[:, places] * np.sign(net[:, column])[:, None]
        plain = (helps > 0) & [not wordings[place].formula for place in places]
        chosen = np.where(plain.any(axis=1), np.where(plain, helps, -np.inf).argmax(axis=1), helps.argmax(axis=1))
        speakers[:, column] = np.array(places)[chosen]
    return RankedFamilies(tuple(members), net, np.argsort(-np.abs(net), axis=1, kind="stable"), speakers)


def largest_reasons(
    amounts: np.ndarray, features: pa.Table, wordings: Sequence[Wording], count: int, format_reading: FormatReading
) -> list[list[dict[str, Any]]]:
    """The families with the largest net contributions for each customer, each in the words of one of its features.

    Args:
        amounts: Contributions (n, p).
        features: The customers' features (n rows), which the readings quote.
        wordings: Words for the p features, in their order.
        count: Most reasons for a customer; a net contribution of zero is no reason, and no reading comes twice.
        format_reading: `phrases.format_reading`.

    Returns:
        For each customer a list of reasons (feature, phrase, reading, contribution), the largest first. The feature
        speaks for its family; the contribution is that of the whole family.
    """
    ranked, columns = rank_families(amounts, wordings), _Columns(features)
    top = ranked.order[:, : 2 * count]  # more are rarely needed: only where a family has nothing new to say
    net, speakers = (np.take_along_axis(values, top, axis=1).tolist() for values in (ranked.net, ranked.speakers))
    families = {wording.family: tuple(w for w in wordings if w.family == wording.family) for wording in wordings}

    def customer_reasons(row: int) -> list[dict[str, Any]]:
        values, reasons = _Row(columns, row), dict[str, dict[str, Any]]()
        for amount, speaker in zip(net[row], speakers[row], strict=True):
            if len(reasons) == count or amount == 0.0:
                break
            first = wordings[speaker]
            for wording in (first, *families[first.family]):
                reading = format_reading(values[wording.name], values, wording.reading, wording.unread, wording.at_zero)
                if reading not in reasons:
                    texts = {"feature": wording.name, "phrase": wording.phrase, "reading": reading}
                    reasons[reading] = {**texts, "contribution": amount}
                    break
        return list(reasons.values())

    return [customer_reasons(row) for row in range(len(amounts))]


class _Columns(dict[str, list[Any]]):
    """The columns of a feature table, each read when it is first needed."""

    def __init__(self, features: pa.Table):
        super().__init__()
        self.features = features

    def __missing__(self, name: str) -> list[Any]:
        self[name] = self.features[name].to_pylist()
        return self[name]


class _Row(dict[str, Any]):
    """One customer's features, read from the columns when a reading quotes them."""

    def __init__(self, columns: _Columns, row: int):
        super().__init__()
        self.columns, self.row = columns, row

    def __missing__(self, name: str) -> Any:
        return self.columns[name][self.row]


def _shap_values(margin: Any, X: pa.Table) -> tuple[np.ndarray, float]:
    """SHAP values (n, p) of a margin, and its mean."""
    total, base = np.zeros((X.num_rows, X.num_columns)), margin.intercept
    for term in margin.terms:
        total[:, X.column_names.index(term.feature)] += term.contribution(X)
    for booster, weight in zip(margin.boosters(), margin.weights, strict=True):
        values = np.asarray(booster.predict(X, pred_contrib=True))
        total += weight * values[:, :-1]
        base += weight * float(values[0, -1]) if len(values) else 0.0
    return total, base


def _path_integrals(z0: float, z: np.ndarray, l0: float, l: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # noqa: E741
    """Mean slopes (n,) along the path: of sigmoid(z) by z, and of the value sigmoid(-z) exp(l) by z and by l."""
    path = z0 + POSITIONS * (z - z0)[:, None]
    churn = 1 / (1 + np.exp(-path))
    value = (1 - churn) * np.exp(l0 + POSITIONS * (l - l0)[:, None])
    return (churn * (1 - churn)) @ QUADRATURE_WEIGHTS, -(value * churn) @ QUADRATURE_WEIGHTS, value @ QUADRATURE_WEIGHTS
