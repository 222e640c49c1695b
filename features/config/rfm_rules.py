"""RFM groups (recency, frequency, money) as rules over scores from 1 to 5, written as text.

A rule such as 'r 4-5, fm 2-3' gives ranges of the scores `r`, `f`, `m` and `fm` (the mean of f and m, rounded half up).
A group has one rule or several. A set of rules is valid if every combination of scores belongs to exactly one group.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType

BEST_SCORE = 5
SCORES = ("r", "f", "m", "fm")
RULE = re.compile(r"\s*([A-Za-z]+)\s*([1-5])\s*(?:-\s*([1-5])\s*)?")
BUILT_IN_VERSION = "2"  # the version of these rules
RULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "champions": ("r 5, fm 4-5",),
        "loyal": ("r 3-4, fm 4-5",),
        "potential loyalists": ("r 4-5, fm 2-3",),
        "recent buyers": ("r 5, fm 1",),
        "promising": ("r 4, fm 1",),
        "average customers": ("r 3, fm 3",),
        "occasional buyers": ("r 3, fm 1-2",),
        "quiet regulars": ("r 1-2, fm 3-4",),
        "quiet champions": ("r 1-2, fm 5",),
        "quiet occasional buyers": ("r 2, fm 1-2", "r 1, fm 2"),
        "long quiet": ("r 1, fm 1",),
    }
)
# Version 1 had the same rules under names that say what will happen to a customer, which the risk contradicted.
EARLIER_VERSION = "1"
RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "need attention": "average customers",
        "about to sleep": "occasional buyers",
        "at risk": "quiet regulars",
        "cannot lose": "quiet champions",
        "hibernating": "quiet occasional buyers",
    }
)
ScoreRanges = Mapping[str, tuple[int, int]]
RfmScores = tuple[int, int, int]


def fm_score(f: int, m: int) -> int:
    """Return the score `fm`: the mean of f and m, rounded half up.

    >>> fm_score(5, 4), fm_score(1, 2), fm_score(3, 3)
    (5, 2, 3)
    """
    return (f + m + 1) // 2


def parse_rule(rule: str) -> ScoreRanges:
    """Return the ranges of a rule by score, both ends included.

    Raises:
        ValueError: The rule is not valid.

    >>> parse_rule("r 4-5, fm 1")
    {'r': (4, 5), 'fm': (1, 1)}
    """
    ranges: dict[str, tuple[int, int]] = {}
    for part in rule.split(","):
        match = RULE.fullmatch(part)
        name = match[1].lower() if match else ""
        if match is None:
            raise ValueError(
                f"the rule {rule!r} is not understood at {part.strip()!r}: write it such as 'r 4-5, fm 2-3'"
            )
        low, high = int(match[2]), int(match[3] or match[2])
        if name not in SCORES:
            raise ValueError(f"the rule {rule!r} names {name!r}; known are {', '.join(SCORES)}")
        if name in ranges or low > high:
            raise ValueError(
                f"the rule {rule!r} {f'names {name} twice' if name in ranges else 'has a range backwards'}"
            )
        ranges[name] = (low, high)
    return ranges


def groups_by_scores(rules: Mapping[str, Sequence[str]]) -> dict[RfmScores, str]:
    """Return the group of every combination (r, f, m) of scores.

    Raises:
        ValueError: A rule is not valid, or a combination belongs to two groups or to none.

    >>> groups_by_scores(RULES)[5, 5, 4], groups_by_scores(RULES)[1, 5, 5]
    ('champions', 'quiet champions')
    """
    ranges_by_group = {name: [parse_rule(rule) for rule in texts] for name, texts in rules.items()}
    scores = range(1, BEST_SCORE + 1)
    cells = list(product(scores, scores, scores))
    claims = {
        cell: [name for name, ranges in ranges_by_group.items() if any(_matches(box, cell) for box in ranges)]
        for cell in cells
    }
    for cell, names in claims.items():
        if len(names) > 1:
            raise ValueError(
                f"{_format_scores(cell)} belongs to {names[0]!r} and to {names[1]!r}; change the rules so that "
                "only one group contains it"
            )
    missing = [cell for cell, names in claims.items() if not names]
    if missing:
        more = f" and {len(missing) - 1} more combinations do" if len(missing) > 1 else " does"
        raise ValueError(f"{_format_scores(missing[0])}{more} not belong to any group; add a rule that contains them")
    return {cell: names[0] for cell, names in claims.items()}


def groups_using(rules: Mapping[str, Sequence[str]], score: str) -> list[str]:
    """Return the groups whose rules use a score."""
    return [name for name, texts in rules.items() if any(score in parse_rule(rule) for rule in texts)]


def suggest_name(name: str, known: Sequence[str]) -> str:
    """Return a hint for an unknown name: the most similar known name, or else all of them.

    >>> suggest_name("champoins", ["champions", "loyal"])
    "did you mean 'champions'?"
    """
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"


def _matches(ranges: ScoreRanges, scores_rfm: RfmScores) -> bool:
    r, f, m = scores_rfm
    scores = {"r": r, "f": f, "m": m, "fm": fm_score(f, m)}
    return all(low <= scores[name] <= high for name, (low, high) in ranges.items())


def _format_scores(scores: RfmScores) -> str:
    return " ".join(_parts(scores))


def _parts(scores: RfmScores) -> Iterator[str]:
    for name, score in zip(SCORES, scores, strict=False):
        yield f"{name} {score}"
