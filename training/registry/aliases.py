"""The aliases champion and challenger, moved together, and what was champion before; an uplift model moves alone.

A churn and a value model that score together share one gate, so the aliases of both move together: every change of
champions is a state such as `{"churn": "3", "value": "2"}`, and the states before are kept as a tag of both models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from features.config.load import Config
from features.errors import RefusedError, UsageError
from training.registry.mlflow_tracking import NOT_FOUND_CODES, as_usage_errors, connect_to_mlflow, quiet_mlflow

CHAMPION, CHALLENGER = "champion", "challenger"
CLASSIFIER_TAG, HISTORY_TAG = "regulars.gate", "regulars.champions"
JOINT_KINDS = ("churn", "value")  # these score together
SEPARATE_KINDS = ("uplift",)  # this moves by itself
LONGEST_HISTORY = 100
VersionNumbers = dict[str, str]


@dataclass(frozen=True)
class ChampionChange:
    """A change of champions: labels before and after, by kind."""

    before: VersionNumbers
    after: VersionNumbers


def set_champions(config: Config, versions: VersionNumbers) -> ChampionChange:
    """Makes versions (numbers by kind) the champions, all of them together; they are challengers no more.

    Raises:
        RefusedError: Another model's champion, which stays, would have another gate than theirs.
        UsageError: The store does not answer.
    """
    client, kinds = connect_to_mlflow(config), _kinds(*versions)
    with quiet_mlflow(), as_usage_errors():
        now, past = _state(client, config, kinds=kinds), _history(client, config, kinds)
        if now and past[-1:] != [now]:  # the alias was set by another hand than ours
            past = [*past, now]
        then = {**now, **versions}
        _move(client, config, then, past, kinds)
        for kind, number in _state(client, config, CHALLENGER, kinds).items():
            if versions.get(kind) == number:
                client.delete_registered_model_alias(f"{config.name}-{kind}", CHALLENGER)
    return ChampionChange(_labels(config, now), _labels(config, then))


def promote_challengers(config: Config, which: str = "all") -> ChampionChange:
    """Makes the challengers champions by hand, whatever the gates said.

    Args:
        config: The business.
        which: 'churn', 'value', 'all' of these that have a challenger, or 'uplift'.

    Raises:
        RefusedError: The champions would not share one gate.
        UsageError: There is no challenger, or the store does not answer.
    """
    client = connect_to_mlflow(config)
    with quiet_mlflow(), as_usage_errors():
        found = _state(client, config, CHALLENGER, _kinds(which))
    wanted = {kind: number for kind, number in found.items() if which in ("all", kind)}
    if not wanted:
        raise UsageError(
            f"{config.name} has no challenger{'' if which == 'all' else f' for {which}'}: `regulars train` makes one, "
            "unless it comes out as the champion is"
        )
    return set_champions(config, wanted)


def roll_back_champions(config: Config, which: str = "all") -> ChampionChange:
    """Puts the alias champion back on the versions that had it before; called again, it goes further back.

    Args:
        config: The business.
        which: 'all', or 'churn' or 'value' alone where the other has the same gate; or 'uplift'.

    Raises:
        RefusedError: The champions would not share one gate.
        UsageError: There is nothing to go back to, or the store does not answer.
    """
    client, kinds = connect_to_mlflow(config), _kinds(which)
    with quiet_mlflow(), as_usage_errors():
        now = _state(client, config, kinds=kinds)
        history = [state for state in _history(client, config, kinds) if _is_there(client, config, state)]
        place = _before(history, now, which)
        if place is None:
            what = ", ".join(_labels(config, now).values()) or "no model"
            raise UsageError(
                f"nothing to go back to: {what} is champion, and no other{'' if which == 'all' else f' {which}'} model "
                f"was before it; `regulars promote` makes a challenger champion"
            )
        then = history[place] if which == "all" else {**now, which: history[place][which]}
        _move(client, config, then, history[:place], kinds)
    return ChampionChange(_labels(config, now), _labels(config, then))


def _before(history: list[VersionNumbers], now: VersionNumbers, which: str) -> int | None:
    """The place of the newest state that differs from the one now, in all or in one kind."""
    for place in reversed(range(len(history))):
        state = history[place]
        if state != now if which == "all" else state.get(which) not in (None, now.get(which)):
            return place
    return None


def _kinds(*named: str) -> tuple[str, ...]:
    """The kinds that move together with those named."""
    return SEPARATE_KINDS if set(named) & set(SEPARATE_KINDS) else JOINT_KINDS


def _move(
    client: MlflowClient, config: Config, then: VersionNumbers, past: list[VersionNumbers], kinds: tuple[str, ...]
) -> None:
    """Sets the aliases to a state, and writes down the states before it on every model that there is."""
    _refuse_two_gates(client, config, then)
    history = json.dumps([*past, then][-LONGEST_HISTORY:])
    for kind in kinds:
        name = f"{config.name}-{kind}"
        if not client.search_registered_models(f"name = '{name}'"):
            continue
        client.set_registered_model_tag(name, HISTORY_TAG, history)
        if kind in then:
            client.set_registered_model_alias(name, CHAMPION, then[kind])
        elif version_with_alias(client, name, CHAMPION) is not None:
            client.delete_registered_model_alias(name, CHAMPION)


def _refuse_two_gates(client: MlflowClient, config: Config, then: VersionNumbers) -> None:
    versions = {kind: client.get_model_version(f"{config.name}-{kind}", number) for kind, number in then.items()}
    gates = {found.tags.get(CLASSIFIER_TAG, "") for found in versions.values()}
    if len(gates) > 1:
        both = " and ".join(_labels(config, then).values())
        raise RefusedError(
            f"{both} do not share one gate, so their numbers would contradict each other: they are champions together "
            "or not at all. Name neither after the command to move both; `regulars train` makes both"
        )


def _state(
    client: MlflowClient, config: Config, alias: str = CHAMPION, kinds: tuple[str, ...] = JOINT_KINDS
) -> VersionNumbers:
    """The numbers of the versions that have an alias, by kind."""
    found = {kind: version_with_alias(client, f"{config.name}-{kind}", alias) for kind in kinds}
    return {kind: str(v.version) for kind, v in found.items() if v is not None}


def _labels(config: Config, state: VersionNumbers) -> VersionNumbers:
    return {kind: f"{config.name}-{kind}/{number}" for kind, number in state.items()}


def _history(client: MlflowClient, config: Config, kinds: tuple[str, ...]) -> list[VersionNumbers]:
    """The states of champions, oldest first; the longest of what the models say."""
    texts = []
    for kind in kinds:
        found = client.search_registered_models(f"name = '{config.name}-{kind}'")
        texts += [json.loads(model.tags.get(HISTORY_TAG, "[]")) for model in found]
    return max(texts, key=len, default=[])


def _is_there(client: MlflowClient, config: Config, state: VersionNumbers) -> bool:
    """Whether no version of a state was deleted since."""
    for kind, number in state.items():
        if not client.search_model_versions(f"name = '{config.name}-{kind}' and version_number = {int(number)}"):
            return False
    return True


def version_with_alias(client: MlflowClient, name: str, alias: str) -> Any:
    """The version of a model that has an alias, or None where none has."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as problem:
        if problem.error_code in NOT_FOUND_CODES:
            return None
        raise
