"""Modifiers: the few properties of a customer with which the effect of an action may vary, as numbers.

They are chosen by name from the features of the catalog: the rhythm (orders that are expected of a living customer),
the probability of being alive, tenure, the amount of an order, recent contacts and answers to them, and for each
category of the log (channel, kind) how much the customer prefers each of its levels. Other tables have none of these
names; there, all columns are modifiers.

A number is asinh(x / scale), standardised and cut off at `LIMIT` standard deviations. A preference is the share of the
level among the customer's orders, drawn to the share of all customers as if by one more order, minus that share; where
only the favourite level and its share are known, the rest is divided in proportion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ONE, NUMBER, RATE, PREFERENCE, PREFERENCE_RATE = "one", "number", "rate", "preference", "preference x rate"
NUMBERS = (
    "alive_probability", "tenure_days", "order_amount_expected", "contacts_count_90d", "contacts_answered_share_ever",
)  # fmt: skip
RHYTHM = ("orders_expected", "alive_probability")  # their ratio: orders expected of a living customer
FAVOURITE, TOP_SHARE, ORDERS = "_favourite_ever", "_top_share_ever", "orders_count_ever"
PRIOR_SCALES = {ONE: 1.0, NUMBER: 0.35, RATE: 0.35, PREFERENCE: 1.5, PREFERENCE_RATE: 0.7}  # in units of the scale
MOST_LEVELS, MOST_COLUMNS, LIMIT = 6, 40, 3.0
TINY = 1e-9


@dataclass(frozen=True)
class Modifier:
    """One column of the modifiers.

    Attributes:
        kind: 'one', 'number', 'rate', 'preference' or 'preference x rate'.
        name: The feature, or the category of a preference.
        level: The preferred level.
        scale, centre, spread: Of the standardised number; the centre of a preference is the level's share.
    """

    kind: str
    name: str = ""
    level: str = ""
    scale: float = 1.0
    centre: float = 0.0
    spread: float = 1.0

    @property
    def prior_scale(self) -> float:
        """Prior standard deviation of the coefficient, in units of the scale of effects."""
        return PRIOR_SCALES[self.kind]


Columns = Mapping[str, np.ndarray]


def learn_modifiers(columns: Columns) -> tuple[Modifier, ...]:
    """Choose the modifiers of a table of features, and learn how to standardise them.

    Args:
        columns: (n,) each: numbers (nan if unknown) or text (None or '' if unknown), by name.

    Returns:
        The modifiers; the first one is constant.
    """
    texts = {name for name, values in columns.items() if values.dtype.kind not in "fiub"}
    categories = [name.removesuffix(FAVOURITE) for name in columns if name.endswith(FAVOURITE) and name in texts]
    preferences = [each for name in categories for each in _preferences(columns, name)]
    rate = [_standard(RATE, "rate", _rate(columns))] if set(RHYTHM) <= set(columns) else []
    numbers = [_standard(NUMBER, name, columns[name]) for name in NUMBERS if name in columns]
    if not rate and not preferences:
        numbers = [_standard(NUMBER, name, columns[name]) for name in columns if name not in texts]
        preferences = [each for name in sorted(texts) for each in _levels(columns[name], name)]
    crossed = [Modifier(PREFERENCE_RATE, p.name, p.level, centre=p.centre) for p in preferences if rate]
    chosen = [each for each in (*rate, *numbers, *preferences, *crossed) if each.spread > TINY]
    return (Modifier(ONE), *chosen[:MOST_COLUMNS])


def modifier_matrix(columns: Columns, modifiers: Sequence[Modifier]) -> np.ndarray:
    """Compute the modifiers (n, k) of customers; what is unknown counts as the mean.

    >>> columns = {"recency": np.array([0.0, 1.0, 2.0, np.nan])}
    >>> modifier_matrix(columns, learn_modifiers(columns)).round(2).tolist()
    [[1.0, -1.28], [1.0, 0.11], [1.0, 1.16], [1.0, 0.0]]
    """
    n = len(next(iter(columns.values())))
    rates = [_standardised(_rate(columns), each) for each in modifiers if each.kind == RATE]
    design = np.ones((n, len(modifiers)))
    for place, each in enumerate(modifiers):
        if each.kind == NUMBER:
            design[:, place] = _standardised(columns[each.name], each)
        elif each.kind == RATE:
            design[:, place] = rates[0]
        elif each.kind != ONE:
            design[:, place] = _preference(columns, each)
            if each.kind == PREFERENCE_RATE:
                design[:, place] *= rates[0]
    return design


def _standard(kind: str, name: str, values: np.ndarray) -> Modifier:
    known = values[np.isfinite(values)].astype(float)
    used = np.abs(known[known != 0])
    scale = float(np.median(used)) if len(used) else 1.0
    shaped = np.arcsinh(known / scale)
    spread = float(shaped.std()) if len(known) else 0.0
    return Modifier(kind, name, scale=scale, centre=float(shaped.mean()) if len(known) else 0.0, spread=spread)


def _standardised(values: np.ndarray, how: Modifier) -> np.ndarray:
    shaped = (np.arcsinh(values.astype(float) / how.scale) - how.centre) / how.spread
    return np.clip(np.nan_to_num(shaped), -LIMIT, LIMIT)


def _rate(columns: Columns) -> np.ndarray:
    """Orders expected of a customer if alive, in logarithms."""
    orders, alive = (columns[name].astype(float) for name in RHYTHM)
    return np.log(np.maximum(orders, 1e-4) / np.maximum(alive, 1e-3))


def _preferences(columns: Columns, category: str) -> list[Modifier]:
    """A preference for each common level of a category, by the favourite levels of customers."""
    return _levels(columns[category + FAVOURITE], category + FAVOURITE)


def _levels(values: np.ndarray, name: str) -> list[Modifier]:
    text = np.array(["" if each is None else str(each) for each in values])
    levels, counts = np.unique(text[text != ""], return_counts=True)
    common = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
    total = max(len(text), 1)
    return [Modifier(PREFERENCE, name, str(levels[i]), centre=float(counts[i] / total)) for i in sorted(common)]


def _preference(columns: Columns, one: Modifier) -> np.ndarray:
    """How much more each customer (n,) prefers a level than all customers do."""
    text = np.array(["" if each is None else str(each) for each in columns[one.name]])
    chosen = (text == one.level).astype(float)
    share_column = one.name.removesuffix(FAVOURITE) + TOP_SHARE
    if not one.name.endswith(FAVOURITE) or share_column not in columns:
        return chosen - one.centre
    share = np.nan_to_num(columns[share_column].astype(float), nan=1.0)
    orders = np.nan_to_num(columns[ORDERS].astype(float)) if ORDERS in columns else np.full(len(share), 5.0)
    others = (1 - share) * one.centre / np.maximum(1 - _favourite_share(text, one), 0.05)
    own = np.where(chosen > 0, share, np.minimum(others, 1 - share))
    drawn = (orders * own + one.centre) / (orders + 1)
    return np.where(text == "", 0.0, drawn - one.centre)


def _favourite_share(text: np.ndarray, one: Modifier) -> float:
    """About the share of the favourite level of customers who prefer another one than this."""
    return (1 - one.centre) / 2
