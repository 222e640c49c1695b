"""The registered win-back models: those of a business of its own, named NAME-winback."""

from __future__ import annotations

from features.config.load import Config

SUFFIX = "winback"
FADE = "fade"  # fact of a win-back model: by which power of the silence the odds of coming back fall


def winback_config(config: Config) -> Config:
    """Return the config of the business whose customers are the lapsed ones: another name, no tuning, no lifetime."""
    training = config.training.model_copy(update={"trials": 0})
    lifetime = config.lifetime.model_copy(update={"months": ()})
    return config.model_copy(update={"name": f"{config.name}-{SUFFIX}", "training": training, "lifetime": lifetime})


def winback_kind(config: Config) -> str:
    """Return the kind of the richest win-back model: 'value', or 'churn' without money."""
    return "value" if config.has_value else "churn"
