"""Champions change together, and a rollback restores earlier ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.config.load import Config
from features.errors import RefusedError, UsageError
from training.registry import aliases
from training.registry.models import connect_to_mlflow


@pytest.fixture
def bare(shop: Config, tmp_path: Path) -> Config:
    """A business without a model, in the shop's store."""
    return shop.model_copy(update={"name": tmp_path.name})


def _register_version(config: Config, kind: str, gate: str) -> str:
    """Register a version without a model, which is enough for aliases; return its number."""
    client, name = connect_to_mlflow(config), f"{config.name}-{kind}"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    created = client.create_model_version(name, f"file:{config.folder}", tags={aliases.CLASSIFIER_TAG: gate})
    client.set_registered_model_alias(name, aliases.CHALLENGER, created.version)
    return str(created.version)


def _labels(config: Config, churn: str, value: str) -> dict[str, str]:
    return {"churn": f"{config.name}-churn/{churn}", "value": f"{config.name}-value/{value}"}


def _set_champions_in_turn(config: Config, *gates: str) -> None:
    for gate in gates:
        aliases.set_champions(config, {kind: _register_version(config, kind, gate) for kind in ("churn", "value")})


def _champion_versions(config: Config) -> dict[str, str]:
    client, versions = connect_to_mlflow(config), {}
    for kind in ("churn", "value"):
        version = aliases.version_with_alias(client, f"{config.name}-{kind}", aliases.CHAMPION)
        versions |= {} if version is None else {kind: str(version.version)}
    return versions


def test_rollback_goes_back_again_and_again_both_together(bare: Config) -> None:
    with pytest.raises(UsageError, match="nothing to roll back to: no model"):
        aliases.roll_back_champions(bare)
    _set_champions_in_turn(bare, "a", "b", "c")
    assert _champion_versions(bare) == {"churn": "3", "value": "3"}
    moved = aliases.roll_back_champions(bare)
    assert moved.before == _labels(bare, "3", "3")
    assert moved.after == _labels(bare, "2", "2")
    aliases.roll_back_champions(bare)
    assert _champion_versions(bare) == {"churn": "1", "value": "1"}
    with pytest.raises(UsageError, match="nothing to roll back to: .*-churn/1, .*-value/1 is champion"):
        aliases.roll_back_champions(bare)
    _set_champions_in_turn(bare, "d")
    aliases.roll_back_champions(bare)
    assert _champion_versions(bare) == {"churn": "1", "value": "1"}, "a version that was rolled back is not restored"


def test_rollback_of_a_state_in_which_one_model_had_not_changed(bare: Config) -> None:
    _set_champions_in_turn(bare, "a")
    aliases.set_champions(bare, {"value": _register_version(bare, "value", "a")})
    assert _champion_versions(bare) == {"churn": "1", "value": "2"}
    aliases.roll_back_champions(bare)
    assert _champion_versions(bare) == {"churn": "1", "value": "1"}


def test_churn_and_value_with_different_classifiers_are_never_champions_together(bare: Config) -> None:
    _set_champions_in_turn(bare, "a", "b")
    with pytest.raises(RefusedError, match="-churn/1 and .*-value/2 use different classifiers of returning"):
        aliases.roll_back_champions(bare, "churn")
    alone = _register_version(bare, "churn", "c")
    with pytest.raises(RefusedError, match="use different classifiers of returning"):
        aliases.promote_challengers(bare, "churn")
    with pytest.raises(RefusedError, match="use different classifiers of returning"):
        aliases.set_champions(bare, {"churn": alone})
    assert _champion_versions(bare) == {"churn": "2", "value": "2"}
    aliases.set_champions(bare, {"value": _register_version(bare, "value", "b")})
    aliases.roll_back_champions(bare, "value")
    assert _champion_versions(bare) == {"churn": "2", "value": "2"}


def test_promotion_by_hand_takes_the_challengers_and_can_be_rolled_back(bare: Config) -> None:
    _set_champions_in_turn(bare, "a")
    with pytest.raises(UsageError, match="has no challenger"):
        aliases.promote_challengers(bare)
    for kind in ("churn", "value"):
        _register_version(bare, kind, "b")
    moved = aliases.promote_challengers(bare)
    assert moved.after == _labels(bare, "2", "2")
    client = connect_to_mlflow(bare)
    assert aliases.version_with_alias(client, f"{bare.name}-churn", aliases.CHALLENGER) is None
    aliases.roll_back_champions(bare)
    assert _champion_versions(bare) == {"churn": "1", "value": "1"}


def test_an_alias_that_another_hand_moved_is_gone_back_to_and_a_deleted_version_is_not(bare: Config) -> None:
    _set_champions_in_turn(bare, "a", "b")
    client = connect_to_mlflow(bare)
    for kind in ("churn", "value"):
        other = _register_version(bare, kind, "c")
        client.set_registered_model_alias(f"{bare.name}-{kind}", aliases.CHAMPION, other)
    _set_champions_in_turn(bare, "d")
    aliases.roll_back_champions(bare)
    assert _champion_versions(bare) == {"churn": "3", "value": "3"}
    client.delete_model_version(f"{bare.name}-churn", "2")
    aliases.roll_back_champions(bare)
    assert _champion_versions(bare) == {"churn": "1", "value": "1"}
