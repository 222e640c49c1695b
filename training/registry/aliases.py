"""The aliases champion and challenger of registered models, and the history of champions, for rollback.

A churn and a value model that score together use the same classifier of returning, so their aliases move together.
Each set of champions is a state such as `{"churn": "3", "value": "2"}`; earlier states are kept as a tag of both
models. An uplift model moves alone.
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
from training.registry.winback_models import SUFFIX, winback_config

CHAMPION, CHALLENGER = "champion", "challenger"
CLASSIFIER_TAG, HISTORY_TAG = "regulars.gate", "regulars.champions"
JOINT_KINDS = ("churn", "value")  # score together
SEPARATE_KINDS = ("uplift",)  # move alone
LONGEST_HISTORY = 100
VersionNumbers = dict[str, str]


@dataclass(frozen=True)
class ChampionChange:
    """A change of champions: labels of versions before and after, by kind."""

    before: VersionNumbers
    after: VersionNumbers


def set_champions(config: Config, versions: VersionNumbers) -> ChampionChange:
    """Make versions (numbers by kind) the champions, all together, and remove their alias challenger.

    Raises:
        RefusedError: A champion that stays uses another classifier of returning.
        UsageError: The store does not answer.
    """
    client, kinds = connect_to_mlflow(config), _joint_kinds(*versions)
    with quiet_mlflow(), as_usage_errors():
        current, past = _state(client, config, kinds=kinds), _history(client, config, kinds)
        if current and past[-1:] != [current]:  # somebody else moved the alias
            past = [*past, current]
        new_state = {**current, **versions}
        _move(client, config, new_state, past, kinds)
        for kind, number in _state(client, config, CHALLENGER, kinds).items():
            if versions.get(kind) == number:
                client.delete_registered_model_alias(f"{config.name}-{kind}", CHALLENGER)
    return ChampionChange(_labels(config, current), _labels(config, new_state))


def promote_challengers(config: Config, which: str = "all") -> ChampionChange:
    """Make the challengers champions, whatever the promotion gates decided.

    Args:
        config: The business.
        which: 'churn', 'value', 'all' of these that have a challenger, 'uplift' or 'winback'.

    Returns:
        The change.

    Raises:
        RefusedError: The champions would use different classifiers of returning.
        UsageError: There is no challenger, or the store does not answer.
    """
    config, which = _registry_of(config, which)
    client = connect_to_mlflow(config)
    with quiet_mlflow(), as_usage_errors():
        challengers = _state(client, config, CHALLENGER, _joint_kinds(which))
    chosen = {kind: number for kind, number in challengers.items() if which in ("all", kind)}
    if not chosen:
        raise UsageError(
            f"{config.name} has no challenger{'' if which == 'all' else f' for {which}'}: `regulars train` makes one, "
            "unless the trained model is identical to the champion"
        )
    return set_champions(config, chosen)


def roll_back_champions(config: Config, which: str = "all") -> ChampionChange:
    """Move the alias champion back to the versions that had it before; each further call goes further back.

    Args:
        config: The business.
        which: 'all', 'uplift', 'winback', or 'churn' or 'value' alone if the other uses the same classifier of
            returning.

    Returns:
        The change.

    Raises:
        RefusedError: The champions would use different classifiers of returning.
        UsageError: There is no earlier champion, or the store does not answer.
    """
    config, which = _registry_of(config, which)
    client, kinds = connect_to_mlflow(config), _joint_kinds(which)
    with quiet_mlflow(), as_usage_errors():
        current = _state(client, config, kinds=kinds)
        history = [state for state in _history(client, config, kinds) if _versions_exist(client, config, state)]
        place = _previous_place(history, current, which)
        if place is None:
            what = ", ".join(_labels(config, current).values()) or "no model"
            raise UsageError(
                f"nothing to roll back to: {what} is champion, and there was no other"
                f"{'' if which == 'all' else f' {which}'} champion before; `regulars promote` makes a challenger the "
                "champion"
            )
        new_state = history[place] if which == "all" else {**current, which: history[place][which]}
        _move(client, config, new_state, history[:place], kinds)
    return ChampionChange(_labels(config, current), _labels(config, new_state))


def _registry_of(config: Config, which: str) -> tuple[Config, str]:
    """The config under whose name the models are registered, and which of them are meant."""
    return (winback_config(config), "all") if which == SUFFIX else (config, which)


def _previous_place(history: list[VersionNumbers], current: VersionNumbers, which: str) -> int | None:
    """The position of the newest state that differs from the current one, in any kind or in the one named."""
    for place in reversed(range(len(history))):
        state = history[place]
        if state != current if which == "all" else state.get(which) not in (None, current.get(which)):
            return place
    return None


def _joint_kinds(*named: str) -> tuple[str, ...]:
    """The kinds whose aliases move together with those named."""
    return SEPARATE_KINDS if set(named) & set(SEPARATE_KINDS) else JOINT_KINDS


def _move(
    client: MlflowClient, config: Config, new_state: VersionNumbers, past: list[VersionNumbers], kinds: tuple[str, ...]
) -> None:
    """Move the aliases to a state, and save the states before it as a tag of every existing model."""
    _refuse_different_classifiers(client, config, new_state)
    history = json.dumps([*past, new_state][-LONGEST_HISTORY:])
    for kind in kinds:
        name = f"{config.name}-{kind}"
        if not client.search_registered_models(f"name = '{name}'"):
            continue
        client.set_registered_model_tag(name, HISTORY_TAG, history)
        if kind in new_state:
            client.set_registered_model_alias(name, CHAMPION, new_state[kind])
        elif version_with_alias(client, name, CHAMPION) is not None:
            client.delete_registered_model_alias(name, CHAMPION)


def _refuse_different_classifiers(client: MlflowClient, config: Config, new_state: VersionNumbers) -> None:
    versions = {kind: client.get_model_version(f"{config.name}-{kind}", number) for kind, number in new_state.items()}
    classifiers = {version.tags.get(CLASSIFIER_TAG, "") for version in versions.values()}
    if len(classifiers) > 1:
        both = " and ".join(_labels(config, new_state).values())
        raise RefusedError(
            f"{both} use different classifiers of returning, so their predictions would contradict each other, and "
            "they cannot be champions together. Name neither after the command to move both, or train both with "
            "`regulars train`"
        )


def _state(
    client: MlflowClient, config: Config, alias: str = CHAMPION, kinds: tuple[str, ...] = JOINT_KINDS
) -> VersionNumbers:
    """Numbers of the versions that have an alias, by kind."""
    versions = {kind: version_with_alias(client, f"{config.name}-{kind}", alias) for kind in kinds}
    return {kind: str(v.version) for kind, v in versions.items() if v is not None}


def _labels(config: Config, state: VersionNumbers) -> VersionNumbers:
    return {kind: f"{config.name}-{kind}/{number}" for kind, number in state.items()}


def _history(client: MlflowClient, config: Config, kinds: tuple[str, ...]) -> list[VersionNumbers]:
    """The states of champions, oldest first: the longest history among the models."""
    texts = []
    for kind in kinds:
        models = client.search_registered_models(f"name = '{config.name}-{kind}'")
        texts += [json.loads(model.tags.get(HISTORY_TAG, "[]")) for model in models]
    return max(texts, key=len, default=[])


def _versions_exist(client: MlflowClient, config: Config, state: VersionNumbers) -> bool:
    """Whether all versions of a state still exist."""
    for kind, number in state.items():
        if not client.search_model_versions(f"name = '{config.name}-{kind}' and version_number = {int(number)}"):
            return False
    return True


def version_with_alias(client: MlflowClient, name: str, alias: str) -> Any:
    """Return the version of a model that has an alias, or None.

    Args:
        client: MLflow's client.
        name: Name of the registered model.
        alias: The alias.

    Returns:
        MLflow's model version, or None if no version has the alias.
    """
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as problem:
        if problem.error_code in NOT_FOUND_CODES:
            return None
        raise
