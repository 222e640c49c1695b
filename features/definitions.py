"""Features whose definition changed while their name stayed, so that earlier models would misread their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# The number of the definition by column; a column that is not listed has its first one. Raise the number when a column
# gets another meaning: models that learned the earlier one then refuse to score, and `regulars run` trains new ones.
DEFINITIONS: Mapping[str, int] = {
    "orders_expected": 2,  # 1: fitted on the whole log before the cutoff; 2: on the longest window
    "alive_probability": 2,
    "return_probability": 2,
    "order_amount_expected": 2,
    "amount_expected": 2,
}


def feature_definitions(names: Iterable[str]) -> dict[str, int]:
    """The numbers of the current definitions of features, for those that changed; what a model records in training.

    >>> feature_definitions(["recency_days", "orders_expected"])
    {'orders_expected': 2}
    """
    return {name: DEFINITIONS[name] for name in names if name in DEFINITIONS}


def redefined_features(names: Iterable[str], learned: Mapping[str, int]) -> list[str]:
    """The features whose definition is not the one that a model learned.

    Args:
        names: The features of the model.
        learned: What `feature_definitions` gave when it was trained; empty for models of early versions.

    Returns:
        Their names, in the given order.

    >>> redefined_features(["recency_days", "orders_expected"], {})
    ['orders_expected']
    """
    return [name for name in names if DEFINITIONS.get(name, 1) != learned.get(name, 1)]
