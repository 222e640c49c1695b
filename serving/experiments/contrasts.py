"""What an experiment compares: each pair of arms and, if attributes are varied, main effects and interactions.

The main effect of an attribute is the difference between two of its levels, within each combination of the other
attributes. An interaction says how far that difference depends on the level of another attribute (the difference of two
differences). Arms without an action take part in pairs only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

from serving.experiments.arms import ExperimentArms, Level

PAIR, MAIN_EFFECT, INTERACTION = "pair", "main effect", "interaction"
FAMILIES = (PAIR, MAIN_EFFECT, INTERACTION)


@dataclass(frozen=True)
class Contrast:
    """One comparison between groups of arms.

    Attributes:
        family: 'pair', 'main effect' or 'interaction'; the comparisons of a family are corrected together.
        one, other: What is compared: the effect is that of `one` less that of `other`.
        arms, against: The arms on the two sides.
        block: For each arm, the levels of the attributes that are not compared; arms are compared within these.
        factors: For an interaction, the two levels of each arm, whose main effects are taken out.
        scale: By how much the difference between the sides is multiplied: 2 for an interaction.
    """

    family: str
    one: str
    other: str
    arms: tuple[str, ...]
    against: tuple[str, ...]
    block: dict[str, tuple[Level, ...]] = field(default_factory=dict)
    factors: dict[str, tuple[Level, Level]] = field(default_factory=dict)
    scale: float = 1.0


def list_contrasts(arms: ExperimentArms) -> list[Contrast]:
    """List all comparisons of an experiment.

    >>> [(each.one, each.other) for each in list_contrasts(ExperimentArms(("mail", "call"), nothing=True))]
    [('mail', 'call'), ('mail', 'nothing'), ('call', 'nothing')]
    """
    pairs = [Contrast(PAIR, one, other, (one,), (other,)) for one, other in combinations(arms.names, 2)]
    return [*pairs, *_main_effects(arms), *_interactions(arms)] if len(arms.factors) > 1 else pairs


def _levels_of(arms: ExperimentArms, place: int) -> list[Level]:
    return list(dict.fromkeys(levels[place] for levels in arms.levels.values()))


def _named(factor: str, level: Level) -> str:
    return f"{factor} {_text(level)}"


def _text(level: Level) -> str:
    return f"{level:g}" if isinstance(level, float) else level


def _main_effects(arms: ExperimentArms) -> Iterator[Contrast]:
    for place, factor in enumerate(arms.factors):
        for low, high in combinations(_levels_of(arms, place), 2):
            one, other = (
                tuple(name for name, levels in arms.levels.items() if levels[place] == level) for level in (high, low)
            )
            block = {name: arms.levels[name][:place] + arms.levels[name][place + 1 :] for name in (*one, *other)}
            yield Contrast(MAIN_EFFECT, _named(factor, high), _named(factor, low), one, other, block)


def _interactions(arms: ExperimentArms) -> Iterator[Contrast]:
    for first, second in combinations(range(len(arms.factors)), 2):
        for of_first in combinations(_levels_of(arms, first), 2):
            for of_second in combinations(_levels_of(arms, second), 2):
                yield _interaction(arms, (first, of_first), (second, of_second))


def _interaction(
    arms: ExperimentArms, first: tuple[int, tuple[Level, Level]], second: tuple[int, tuple[Level, Level]]
) -> Contrast:
    """The effect of the first attribute's later level at the second one's later level, less that at its earlier one."""
    sides: tuple[list[str], list[str]] = ([], [])
    block, factors = dict[str, tuple[Level, ...]](), dict[str, tuple[Level, Level]]()
    for name, levels in arms.levels.items():
        pair = levels[first[0]], levels[second[0]]
        if pair[0] in first[1] and pair[1] in second[1]:
            same = first[1].index(pair[0]) == second[1].index(pair[1])
            sides[0 if same else 1].append(name)
            factors[name] = pair
            block[name] = tuple(level for place, level in enumerate(levels) if place not in (first[0], second[0]))
    effect = f"{_named(arms.factors[first[0]], first[1][1])} vs {_text(first[1][0])}"
    one, other = (f"{effect} at {_named(arms.factors[second[0]], level)}" for level in second[1][::-1])
    return Contrast(INTERACTION, one, other, tuple(sides[0]), tuple(sides[1]), block, factors, 2.0)
