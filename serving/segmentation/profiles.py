"""Profiles of segments: size, value, risk, observed churn, and distinguishing features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from features.feature import Feature
from features.phrases import format_number
from serving.language.messages import ENGLISH, Language
from serving.scoring.score_tables import total_value_interval
from serving.statistics.proportions import wilson_interval
from training.artifact.spread import Spread
from training.data.category_levels import FEWEST_CUSTOMERS

MOST_DIFFERENCES = 3
SMALLEST_DIFFERENCE = 0.1  # distance from 0.5 of the probability that a customer of the segment has more than another
FEWEST_COMPARED = 10  # customers of a segment in the sample below which it is not compared


@dataclass(frozen=True)
class ScoredWorth:
    """Predictions of the score table for n customers.

    Attributes:
        churn: Probability of churn (n,).
        value: Predicted value (n,), or None without money.
        value_at_risk: Value at risk (n,), or None without money.
        spread: The distribution of actual values around predicted ones.
    """

    churn: np.ndarray
    value: np.ndarray | None
    value_at_risk: np.ndarray | None
    spread: Spread | None = None

    def total_interval(self, inside: np.ndarray) -> tuple[float, float] | tuple[None, None]:
        """Return the prediction interval of the total value of the customers where `inside` (n,) is true."""
        if self.value is None or self.value_at_risk is None:
            return None, None
        return total_value_interval(self.churn[inside], self.value[inside], self.value_at_risk[inside], self.spread)


@dataclass(frozen=True)
class PastOutcome:
    """Customers of an earlier cutoff: their groups (n,), and whether they churned (n,)."""

    cutoff: str
    codes: np.ndarray
    churned: np.ndarray


def group_figures(
    codes: np.ndarray, size: int, worth: ScoredWorth, outcome: PastOutcome | None
) -> list[dict[str, Any]]:
    """Compute size, risk, value with its prediction interval, value at risk and observed churn of each group.

    Args:
        codes: The group index of each customer (n,).
        size: The number of groups.
        worth: The predictions for the same customers.
        outcome: An earlier cutoff whose outcome is known, or None.

    Returns:
        The figures of each group by column.
    """
    count = np.bincount(codes, minlength=size)
    sums = {"churn": worth.churn, "value": worth.value, "value_at_risk": worth.value_at_risk}
    totals = {name: None if x is None else np.bincount(codes, weights=x, minlength=size) for name, x in sums.items()}
    rows = [
        {
            "customers": int(count[g]),
            "share": float(count[g] / max(len(codes), 1)),
            "churn_probability": _over(totals["churn"], count, g),
            "value": None if totals["value"] is None else float(totals["value"][g]),
            "value_mean": _over(totals["value"], count, g),
            "value_at_risk": None if totals["value_at_risk"] is None else float(totals["value_at_risk"][g]),
        }
        for g in range(size)
    ]
    for g, (row, left) in enumerate(zip(rows, _left_columns(outcome, size), strict=True)):
        row |= dict(zip(("value_low", "value_high"), worth.total_interval(codes == g), strict=True)) | left
    return rows


def _over(total: np.ndarray | None, count: np.ndarray, group: int) -> float | None:
    return None if total is None or not count[group] else float(total[group] / count[group])


def _left_columns(outcome: PastOutcome | None, size: int) -> Iterator[dict[str, Any]]:
    """Yield how many of each group's customers at an earlier cutoff left; nulls if that is not known."""
    names = ("left_cutoff", "left_of", "left_share", "left_low", "left_high")
    if outcome is None:
        yield from ({name: None for name in names} for _ in range(size))
        return
    of = np.bincount(outcome.codes, minlength=size)
    left = np.bincount(outcome.codes, weights=outcome.churned, minlength=size)
    low, high = wilson_interval(left, of)
    for g in range(size):
        share = (left[g] / of[g], low[g], high[g]) if of[g] else (None,) * 3
        yield dict(zip(names, (outcome.cutoff, int(of[g]), *share), strict=True))


def distinguishing_features(
    codes: np.ndarray, size: int, rows: pa.Table, features: Sequence[Feature], tr: Language = ENGLISH
) -> list[list[str]]:
    """Describe what distinguishes each group from all other customers: the clearest features, one of each family.

    A number distinguishes a group by the probability that a customer of it has more than one of the others (ties count
    half); a level by how much more often the group has it. Missing values are left out, and so is a feature that most
    of a group lack.

    Args:
        codes: The group index of each customer (n,).
        size: The number of groups.
        rows: Their features (n rows).
        features: The features to compare.
        tr: The language of the texts.

    Returns:
        At most MOST_DIFFERENCES texts for each group, the clearest first.
    """
    differences: list[list[tuple[float, str, str]]] = [[] for _ in range(size)]
    for feature in features:
        if feature.unit == "level":
            feature_differences = _level_differences(codes, size, rows[feature.name], feature, tr)
        else:
            feature_differences = _number_differences(
                codes, size, np.asarray(rows[feature.name].to_numpy(), float), feature, tr
            )
        for group, strength, text in feature_differences:
            differences[group].append((strength, feature.family, text))
    return [_clearest(of_group) for of_group in differences]


def _clearest(differences: list[tuple[float, str, str]]) -> list[str]:
    best: dict[str, str] = {}
    for _, family, text in sorted(differences, key=lambda item: -item[0]):
        best.setdefault(family, text)
    return list(best.values())[:MOST_DIFFERENCES]


def _number_differences(
    codes: np.ndarray, size: int, x: np.ndarray, feature: Feature, tr: Language
) -> Iterator[tuple[int, float, str]]:
    known = ~np.isnan(x)
    x, groups = x[known], codes[known]
    if not len(x):
        return
    ranks, everyone = rankdata(x), np.bincount(codes, minlength=size)
    for group in range(size):
        inside = groups == group
        n, others = int(inside.sum()), int((~inside).sum())
        if min(n, others) < FEWEST_COMPARED or 2 * n < everyone[group]:
            continue
        more = (ranks[inside].sum() - n * (n + 1) / 2) / (n * others) - 0.5
        own, rest = _middles(x[inside], x[~inside])
        own_text, others_text = figure_text(own, feature.unit, tr), figure_text(rest, feature.unit, tr)
        if abs(more) >= SMALLEST_DIFFERENCE and own_text != others_text:
            text = tr("{phrase}: {own} against {others}", phrase=feature.phrase, own=own_text, others=others_text)
            yield group, abs(more), text


def _middles(own: np.ndarray, rest: np.ndarray) -> tuple[float, float]:
    """Return both medians, or both means if a median is 0."""
    middles = float(np.median(own)), float(np.median(rest))
    return middles if all(middles) else (float(np.mean(own)), float(np.mean(rest)))


def _level_differences(
    codes: np.ndarray, size: int, column: pa.ChunkedArray, feature: Feature, tr: Language
) -> Iterator[tuple[int, float, str]]:
    coded = column.combine_chunks().dictionary_encode()
    names = coded.dictionary.to_pylist()
    place = np.asarray(coded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False))
    if not names:
        return
    counts = np.bincount(codes * (len(names) + 1) + place, minlength=size * (len(names) + 1))
    counts = counts.reshape(size, -1)[:, :-1]
    n, often = counts.sum(axis=1), counts.sum(axis=0) >= FEWEST_CUSTOMERS  # a rare text could be a name
    for group in range(size):
        others = n.sum() - n[group]
        if min(n[group], others) < FEWEST_COMPARED or not often.any():
            continue
        own, rest = counts[group] / n[group], (counts.sum(axis=0) - counts[group]) / others
        ahead = np.where(often, own - rest, -1.0)
        best = max(range(len(names)), key=lambda level: (ahead[level], names[level]))
        if ahead[best] / 2 >= SMALLEST_DIFFERENCE:
            text = tr(
                "{phrase} is {level}: {own} against {others}",
                phrase=feature.phrase, level=names[best], own=f"{own[best]:.0%}", others=f"{rest[best]:.0%}",
            )  # fmt: skip
            yield group, float(ahead[best] / 2), text


def figure_text(number: float, unit: str, tr: Language = ENGLISH) -> str:
    """Format a number of a unit.

    Args:
        number: The number.
        unit: Its unit, such as 'days' or 'money'.
        tr: The language.

    Returns:
        The text.

    >>> figure_text(2.5, "orders"), figure_text(12.0, "days"), figure_text(0.256, "share"), figure_text(3.0, "count")
    ('2.5', '12 days', '26%', '3')
    """
    if unit == "days":
        return tr.many("{n} day", "{n} days", round(number))
    if unit in ("money", "share"):
        return format_number(number, unit)
    return f"{number:,.0f}" if number == round(number) or abs(number) >= 100 else f"{number:,.1f}"
