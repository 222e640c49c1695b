"""The comparisons of an experiment: pairs, main effects and interactions, with the right arms on each side."""

from __future__ import annotations

import numpy as np

from serving.experiments.arms import ExperimentArms
from serving.experiments.contrasts import INTERACTION, MAIN_EFFECT, PAIR, list_contrasts

LEVELS = {"a": ("email", 0.1), "b": ("email", 0.2), "c": ("phone", 0.1), "d": ("phone", 0.2)}
FACTORIAL = ExperimentArms(tuple(LEVELS), True, ("channel", "depth"), LEVELS)


def test_every_pair_is_compared_once() -> None:
    pairs = [(each.one, each.other) for each in list_contrasts(ExperimentArms(("a", "b", "c")))]
    assert pairs == [("a", "b"), ("a", "c"), ("b", "c")]


def test_a_main_effect_compares_levels_within_the_other_attribute() -> None:
    channel, depth = (each for each in list_contrasts(FACTORIAL) if each.family == MAIN_EFFECT)
    assert (channel.one, channel.other) == ("channel phone", "channel email")
    assert (channel.arms, channel.against) == (("c", "d"), ("a", "b"))
    assert channel.block == {"a": (0.1,), "b": (0.2,), "c": (0.1,), "d": (0.2,)}
    assert (depth.arms, depth.against) == (("b", "d"), ("a", "c"))


def test_an_interaction_is_the_difference_of_two_differences() -> None:
    (each,) = (each for each in list_contrasts(FACTORIAL) if each.family == INTERACTION)
    means = {"a": 1.0, "b": 2.0, "c": 5.0, "d": 9.0}
    sides = [np.mean([means[name] for name in names]) for names in (each.arms, each.against)]
    assert each.scale * (sides[0] - sides[1]) == (9 - 2) - (5 - 1)
    assert (each.one, each.other) == ("channel phone vs email at depth 0.2", "channel phone vs email at depth 0.1")


def test_three_attributes_have_three_interactions_within_the_third() -> None:
    levels = {f"{i}{j}{k}": (f"c{i}", 0.1 * j, f"m{k}") for i in range(2) for j in range(2) for k in range(2)}
    contrasts = list_contrasts(ExperimentArms(tuple(levels), False, ("channel", "depth", "message"), levels))
    counts = {family: sum(each.family == family for each in contrasts) for family in (PAIR, MAIN_EFFECT, INTERACTION)}
    assert counts == {PAIR: 28, MAIN_EFFECT: 3, INTERACTION: 3}
    assert all(len(each.arms) == len(each.against) == 4 for each in contrasts if each.family != PAIR)
