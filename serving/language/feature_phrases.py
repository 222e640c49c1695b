"""Features with their texts in the reader's language, and drivers of scores, whose files hold English phrases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from features.catalog.customer_attributes import attribute_features
from features.catalog.families import catalog_features
from features.config.data_contract import CustomerAttribute, DataContract, build_contract
from features.config.load import Config
from features.errors import RegularsError
from features.feature import Feature
from features.slugs import feature_slug
from serving.language.messages import Language

ATTRIBUTE_TYPES = ("number", "date", "level")
Driver = Mapping[str, Any]


def translate_features(features: Sequence[Feature], tr: Language) -> tuple[Feature, ...]:
    """Translate the texts of features; those of the user's own features stay as they are."""
    return tuple(
        replace(
            each,
            phrase=tr.phrase(each.phrase),
            reading=tr.phrase(each.reading),
            unread=tr.phrase(each.unread),
            at_zero=tr.phrase(each.at_zero),
        )
        for each in features
    )


def translate_drivers(drivers: Mapping[str, Sequence[Driver]], config: Config, tr: Language) -> dict[str, list[Driver]]:
    """Translate the phrases of drivers from a manifest of scores.

    Args:
        drivers: Drivers with feature and (English) phrase, by outcome.
        config: The config, which decides the catalog.
        tr: The language.

    Returns:
        The drivers; a phrase that the catalog does not have under the feature's name stays as it is.
    """
    phrases = {} if tr.code == "en" else _catalog_phrases(config, tr)
    return {
        outcome: [{**row, "phrase": phrases.get((row["feature"], row["phrase"]), row["phrase"])} for row in rows]
        for outcome, rows in drivers.items()
    }


def _catalog_phrases(config: Config, tr: Language) -> dict[tuple[str, str], str]:
    """Translate the phrases of the catalog, by name and English text; attributes are included with every type."""
    attributes = [feature_slug(name) for name in config.customers.attributes] if config.customers else []
    of_any_type = tuple(CustomerAttribute(name, each) for name in attributes for each in ATTRIBUTE_TYPES)
    features = [*config_features(config), *attribute_features(DataContract(attributes=of_any_type))]
    return {(each.name, str(each.phrase)): tr.phrase(each.phrase) for each in features}


def config_features(config: Config) -> tuple[Feature, ...]:
    """Return the features that a config asks for, attributes aside; none if its names clash."""
    try:
        return catalog_features(config.task.to_task(), build_contract(config, has_clock=True))
    except RegularsError:
        return ()
