"""Cards of segments: size, worth, risk, what became of such customers, what sets them apart, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from features.feature import Feature
from features.phrases import format_number
from serving.language.messages import ENGLISH, N_, Language
from serving.scoring.score_tables import total_value_interval
from serving.statistics.proportions import wilson_interval
from training.artifact.spread import Spread
from training.data.category_levels import FEWEST_CUSTOMERS

MOST_DIFFERENCES = 3
SMALLEST_DIFFERENCE = 0.1  # how far from even odds a segment's customers must lie above or below the others
FEWEST_COMPARED = 10  # customers of a segment in the sample below which nothing is said to set it apart
TREATMENTS: Mapping[str, str] = MappingProxyType(
    {
        "champions": N_("reward them and ask for reviews and referrals; no discounts, they buy anyway"),
        "loyal": N_("offer more of what they like and a place in the loyalty programme"),
        "potential loyalists": N_("recommend what goes with their purchases; invite them to the loyalty programme"),
        "new": N_("welcome them, help with the first steps, and invite a second order soon"),
        "promising": N_("make the brand known and give a small reason to come back"),
        "need attention": N_("a limited offer on what they bought before, while they are still near"),
        "about to sleep": N_("remind them of what is new and popular before the habit is gone"),
        "at risk": N_("a personal message with a reason to return; ask what went wrong"),
        "cannot lose": N_("call or write personally and win them back: they were among the best"),
        "hibernating": N_("a cheap reminder at most; spend no more than their value at risk bears"),
        "lost": N_("no spending beyond a cheap attempt to win them back"),
        "growing": N_("keep what works; offer more variety and larger sizes"),
        "mature": N_("keep them content; no discounts without a reason"),
        "declining": N_("find out why the pace fell, and act before they fall silent"),
        "dormant": N_("one attempt to wake them with their favourites, then let go"),
        "high": N_("the best service, and first in line when budgets are short"),
        "middle": N_("room to grow: recommend and bundle"),
        "low": N_("automated and cheap contacts only"),
        "save first": N_("act now: they are worth it, and likelier to leave than to stay"),
        "let go": N_("no spending: likely to leave, and little is at stake"),
        "keep": N_("keep them content; no discounts, they are likely to stay"),
        "grow": N_("recommend and bundle to raise what they spend"),
        "maintain": N_("automated contacts only"),
    }
)


@dataclass(frozen=True)
class ScoredWorth:
    """What the score table says of customers: risk, and value and value at risk (n,) or None without money.

    `spread` is what comes around the values.
    """

    churn: np.ndarray
    value: np.ndarray | None
    value_at_risk: np.ndarray | None
    spread: Spread | None = None

    def total_interval(self, inside: np.ndarray) -> tuple[float, float] | tuple[None, None]:
        """Low and high of the sum of the values where `inside` (n,) holds."""
        if self.value is None or self.value_at_risk is None:
            return None, None
        return total_value_interval(self.churn[inside], self.value[inside], self.value_at_risk[inside], self.spread)


@dataclass(frozen=True)
class PastOutcome:
    """What became of the customers of an earlier cutoff: their groups (n,), and whether they left (n,)."""

    cutoff: str
    codes: np.ndarray
    churned: np.ndarray


def group_figures(
    codes: np.ndarray, size: int, worth: ScoredWorth, outcome: PastOutcome | None
) -> list[dict[str, Any]]:
    """Size, share, risk, value with its interval and value at risk of each group, and how many left after a cutoff.

    Args:
        codes: Group of each customer (n,).
        size: How many groups.
        worth: Of the same customers.
        outcome: Of an earlier cutoff whose outcome is known.
    """
    count = np.bincount(codes, minlength=size)
    sums = {"churn": worth.churn, "value": worth.value, "value_at_risk": worth.value_at_risk}
    totals = {name: None if x is None else np.bincount(codes, weights=x, minlength=size) for name, x in sums.items()}
    found = [
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
    for g, (row, left) in enumerate(zip(found, _left(outcome, size), strict=True)):
        row |= dict(zip(("value_low", "value_high"), worth.total_interval(codes == g), strict=True)) | left
    return found


def _over(total: np.ndarray | None, count: np.ndarray, group: int) -> float | None:
    return None if total is None or not count[group] else float(total[group] / count[group])


def _left(outcome: PastOutcome | None, size: int) -> Iterator[dict[str, Any]]:
    """Of those who stood in each group at an earlier cutoff, how many left; nulls where that is not known."""
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
    """What sets each group apart from all other customers, in words: the SHOWN clearest, one of each family.

    A number sets a group apart by how likely one of the group has more of it than one of the others (ties count half);
    a level by how much more often the group has it. Who has no value is left
    out, and nothing is said of a group of which most have none.

    Args:
        codes: Group of each customer (n,).
        size: How many groups.
        rows: Their features (n rows).
        features: Those that are looked at.
        tr: The language that it is said in.
    """
    found: list[list[tuple[float, str, str]]] = [[] for _ in range(size)]
    for feature in features:
        if feature.unit == "level":
            told = _levels(codes, size, rows[feature.name], feature, tr)
        else:
            told = _numbers(codes, size, np.asarray(rows[feature.name].to_numpy(), float), feature, tr)
        for group, strength, text in told:
            found[group].append((strength, feature.family, text))
    return [_clearest(some) for some in found]


def _clearest(found: list[tuple[float, str, str]]) -> list[str]:
    best: dict[str, str] = {}
    for _, family, text in sorted(found, key=lambda item: -item[0]):
        best.setdefault(family, text)
    return list(best.values())[:MOST_DIFFERENCES]


def _numbers(
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
        said, beside = figure_text(own, feature.unit, tr), figure_text(rest, feature.unit, tr)
        if abs(more) >= SMALLEST_DIFFERENCE and said != beside:
            told = tr("{phrase}: {own} against {others}", phrase=feature.phrase, own=said, others=beside)
            yield group, abs(more), told


def _middles(own: np.ndarray, rest: np.ndarray) -> tuple[float, float]:
    """Both medians, or both means where a median is 0 and says little."""
    middles = float(np.median(own)), float(np.median(rest))
    return middles if all(middles) else (float(np.mean(own)), float(np.mean(rest)))


def _levels(
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
            told = tr(
                "{phrase} is {level}: {own} against {others}",
                phrase=feature.phrase, level=names[best], own=f"{own[best]:.0%}", others=f"{rest[best]:.0%}",
            )  # fmt: skip
            yield group, float(ahead[best] / 2), told


def figure_text(number: float, unit: str, tr: Language = ENGLISH) -> str:
    """A number of a unit for a card.

    >>> figure_text(2.5, "orders"), figure_text(12.0, "days"), figure_text(0.256, "share"), figure_text(3.0, "count")
    ('2.5', '12 days', '26%', '3')
    """
    if unit == "days":
        return tr.many("{n} day", "{n} days", round(number))
    if unit in ("money", "share"):
        return format_number(number, unit)
    return f"{number:,.0f}" if number == round(number) or abs(number) >= 100 else f"{number:,.1f}"


def treatment_for(name: str, own: Mapping[str, str], mostly: str = "") -> str:
    """What to do with the customers of a group: the config's words, or ours; '' where neither names it.

    Args:
        name: Of the group.
        own: The config's, by name.
        mostly: The named group that most of a micro-segment belong to, whose treatment it takes.
    """
    words = {**TREATMENTS, **own}
    return words.get(name) or words.get(mostly, "")
