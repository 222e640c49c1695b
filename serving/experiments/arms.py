"""The arms of an experiment, as the option `--test` names them.

Arms are named one by one, as in 'mail vs call vs nothing', or by attributes of actions, as in 'channel x depth': then
every combination of the attributes' levels is an arm, and each must be one action of the config. 'depth = 0.1, 0.2'
takes some levels only. Whoever is in the arm 'nothing' gets no action.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import product

from features.config.plan import ATTRIBUTES, PlanAction
from features.errors import UsageError

NOTHING = "nothing"
SYNTAX = (
    "name actions as in 'mail vs call' or 'mail vs nothing', or attributes of actions as in 'channel x depth' or "
    "'channel = email, sms x depth = 0.1, 0.2 vs nothing'"
)
Level = str | float
Factor = tuple[str, tuple[Level, ...] | None]  # the attribute, and its wanted levels; None: all that actions have


@dataclass(frozen=True)
class ExperimentArms:
    """The arms of an experiment.

    Attributes:
        actions: The action of each arm, in the order of the test.
        nothing: Whether there is an arm without an action, which comes last.
        factors: The attributes that are varied; empty if actions are named.
        levels: For each action the level of each factor.
    """

    actions: tuple[str, ...]
    nothing: bool = False
    factors: tuple[str, ...] = ()
    levels: Mapping[str, tuple[Level, ...]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all arms."""
        return (*self.actions, NOTHING) if self.nothing else self.actions

    @property
    def text(self) -> str:
        """The arms in words.

        >>> ExperimentArms(("mail", "call"), nothing=True).text
        'mail vs call vs nothing'
        """
        return " vs ".join(self.names)


def parse_arms(text: str, actions: Mapping[str, PlanAction]) -> ExperimentArms:
    """Read which arms a test has.

    Args:
        text: The test, such as 'mail vs call'.
        actions: The actions of the config.

    Returns:
        The arms.

    Raises:
        UsageError: It names fewer than two arms, something that does not exist, or the same arm twice.

    >>> actions = {name: PlanAction(cost=1) for name in ("mail", "call")}
    >>> parse_arms("mail vs nothing", actions).names
    ('mail', 'nothing')
    """
    if NOTHING in actions:
        raise UsageError(f"[plan.actions.{NOTHING}]: in a test '{NOTHING}' is the arm without an action; rename it")
    parts = [part.strip() for part in re.split(r"\s+vs\.?(?:\s+|$)", text.strip(), flags=re.IGNORECASE)]
    parts = [NOTHING if part.lower() == NOTHING else part for part in parts]
    if len(set(parts)) < len(parts) or not all(parts):
        raise UsageError(f"--test {text!r}: an arm is empty or named twice; {SYNTAX}")
    nothing, named = NOTHING in parts, [part for part in parts if part != NOTHING]
    if len(named) == 1 and (factors := _factors(named[0], actions)):
        arms = _combinations(text, factors, actions, nothing)
    else:
        _refuse_unknown(text, named, actions)
        arms = ExperimentArms(tuple(named), nothing)
    if len(arms.names) < 2:
        raise UsageError(f"--test {text!r} has a single arm, {arms.text}, so there is nothing to compare; {SYNTAX}")
    return arms


def _refuse_unknown(text: str, named: Sequence[str], actions: Mapping[str, PlanAction]) -> None:
    for name in named:
        if name not in actions:
            near = get_close_matches(name, [*actions, *ATTRIBUTES], n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            known = ", ".join(actions)
            raise UsageError(
                f"--test {text!r}: there is no action {name!r}; {hint}[plan.actions] has {known}. Expected: {SYNTAX}"
            )


def _factors(part: str, actions: Mapping[str, PlanAction]) -> list[Factor]:
    """The attributes that a part of a test names, with their levels; none if it names an action."""
    if part in actions:
        return []
    factors = list[Factor]()
    for piece in re.split(r"\s+[x×]\s+", part):
        name, given, levels = (text.strip() for text in piece.partition("="))
        name = name.lower().replace(" ", "_")
        if name not in ATTRIBUTES:
            return []
        factors.append((name, _levels(name, levels) if given else None))
    return factors


def _levels(attribute: str, text: str) -> tuple[Level, ...]:
    names = [name.strip() for name in text.split(",")]
    if attribute != "depth":
        return tuple(names)
    try:
        return tuple(float(name) for name in names)
    except ValueError:
        raise UsageError(f"--test: depth = {text}: expected numbers such as depth = 0.1, 0.2") from None


def _combinations(
    text: str, factors: Sequence[Factor], actions: Mapping[str, PlanAction], nothing: bool
) -> ExperimentArms:
    """The arms of a factorial test: the one action that has each combination of levels."""
    names = tuple(name for name, _ in factors)
    if len(set(names)) < len(names):
        raise UsageError(f"--test {text!r}: an attribute is named twice; {SYNTAX}")
    values = {name: _of_action(action, names) for name, action in actions.items()}
    by_levels: dict[tuple[Level, ...], list[str]] = {}
    for name, levels in values.items():
        if None not in levels:
            by_levels.setdefault(levels, []).append(name)  # type: ignore[arg-type]
    choices = []
    for place, (name, wanted) in enumerate(factors):
        known = list(dict.fromkeys(levels[place] for levels in by_levels))
        if wrong := [level for level in wanted or () if level not in known]:
            have = ", ".join(map(_text, known)) or "none"
            raise UsageError(
                f"--test {text!r}: no action with {', '.join(names)} has {name} = {_text(wrong[0])}; they have {have}"
            )
        choices.append(list(wanted) if wanted else known)
    arms = dict[str, tuple[Level, ...]]()
    for levels in product(*choices):
        arms[_only_action(text, names, levels, by_levels.get(levels, []))] = levels
    if not arms:
        raise UsageError(f"--test {text!r}: no action of [plan.actions] has {' and '.join(names)}; set them there")
    return ExperimentArms(tuple(arms), nothing, names, arms)


def _of_action(action: PlanAction, names: Sequence[str]) -> tuple[Level | None, ...]:
    return tuple(action.attributes().get(name) for name in names)


def _only_action(text: str, names: Sequence[str], levels: Sequence[Level], found: Sequence[str]) -> str:
    """The one action with a combination of levels."""
    combination = ", ".join(f"{name} = {_text(level)}" for name, level in zip(names, levels, strict=True))
    if not found:
        raise UsageError(
            f"--test {text!r}: there is no action with {combination}; add one to [plan.actions], or take fewer levels "
            "as in 'depth = 0.1, 0.2'"
        )
    if len(found) > 1:
        raise UsageError(
            f"--test {text!r}: the actions {', '.join(found)} all have {combination}; name the arms one by one, or an "
            "attribute in which they differ"
        )
    return found[0]


def _text(level: Level) -> str:
    return f"{level:g}" if isinstance(level, float) else level
