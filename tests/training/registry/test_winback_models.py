"""The names under which win-back models are registered."""

from __future__ import annotations

from features.config.load import Config
from training.registry.winback_models import winback_config, winback_kind


def test_win_back_models_have_names_of_their_own_and_are_not_tuned(shop: Config) -> None:
    own = winback_config(shop)
    assert (own.name, own.training.trials, own.output) == ("shop-winback", 0, shop.output)
    assert winback_kind(shop) == "value"
