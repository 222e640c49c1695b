"""Modifiers: chosen by name, standardised, preferences drawn to everybody's, and unknown values at the mean."""

from __future__ import annotations

import numpy as np

from training.artifact.effect_modifiers import (
    NUMBER,
    ONE,
    PREFERENCE,
    PREFERENCE_RATE,
    RATE,
    learn_modifiers,
    modifier_matrix,
)


def _columns(n: int = 400) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    alive = rng.uniform(0.2, 1, n)
    return {
        "orders_expected": alive * rng.gamma(2, 1, n),
        "alive_probability": alive,
        "tenure_days": rng.uniform(1, 700, n),
        "orders_count_ever": rng.integers(1, 30, n).astype(float),
        "channel_favourite_ever": rng.choice(np.array(["app", "web", None], dtype=object), n),
        "channel_top_share_ever": rng.uniform(0.4, 1, n),
        "something_else": rng.normal(size=n),
    }


def test_the_modifiers_of_the_catalog() -> None:
    columns = _columns()
    modifiers = learn_modifiers(columns)
    kinds = [each.kind for each in modifiers]
    assert kinds == [ONE, RATE, NUMBER, NUMBER, PREFERENCE, PREFERENCE, PREFERENCE_RATE, PREFERENCE_RATE]
    assert {each.level for each in modifiers if each.kind == PREFERENCE} == {"app", "web"}
    assert "something_else" not in {each.name for each in modifiers}
    matrix = modifier_matrix(columns, modifiers)
    assert (matrix[:, 0] == 1).all() and np.isfinite(matrix).all()
    np.testing.assert_allclose(matrix[:, 1:4].mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(matrix[:, 6], matrix[:, 4] * matrix[:, 1])


def test_a_preference_is_drawn_to_everybody_s_share_by_few_orders() -> None:
    columns = {name: values[:3] for name, values in _columns().items()}
    columns["channel_favourite_ever"] = np.array(["app", "app", None], dtype=object)
    columns["channel_top_share_ever"] = np.array([1.0, 1.0, np.nan])
    columns["orders_count_ever"] = np.array([1.0, 30.0, 5.0])
    modifiers = learn_modifiers(_columns())
    app = [each.kind for each in modifiers].index(PREFERENCE)
    few, many, unknown = modifier_matrix(columns, modifiers)[:, app]
    assert 0 < few < many < 1 and unknown == 0


def test_other_tables_give_all_their_columns() -> None:
    rng = np.random.default_rng(2)
    columns = {
        "history": rng.gamma(1, 100, 50), "zip": rng.choice(np.array(["urban", "rural"], dtype=object), 50),
        "constant": np.ones(50),
    }  # fmt: skip
    modifiers = learn_modifiers(columns)
    assert [(each.kind, each.name) for each in modifiers[1:]] == [
        (NUMBER, "history"), (PREFERENCE, "zip"), (PREFERENCE, "zip"),
    ]  # fmt: skip
    columns["history"][0] = np.nan
    assert modifier_matrix(columns, modifiers)[0, 1] == 0
