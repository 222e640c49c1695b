"""Trials from plain columns: what is taken, and what is refused with its reason."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from features.errors import DataError
from tests.experiments import SimulatedExperiment, simulate_experiment
from training.artifact.uplift_bundle import DesignColumn
from training.uplift.experiment import experiment_from_columns


@pytest.fixture(scope="module")
def made() -> SimulatedExperiment:
    return simulate_experiment(200)


def test_arms_columns_and_customers(made: SimulatedExperiment) -> None:
    trial = made.data(customers=[f"c{i // 2}" for i in range(200)])
    assert trial.actions == ("email",)
    np.testing.assert_array_equal(trial.arm == 1, made.action == "email")
    np.testing.assert_allclose(trial.received, 0.5)
    assert set(trial.columns[-2:]) == {DesignColumn("plan", "basic"), DesignColumn("plan", "gold")}
    assert len(set(trial.units.tolist())) == 100
    assert trial.units[0] == trial.units[1]
    gold = trial.design[:, trial.columns.index(DesignColumn("plan", "gold"))] == 1
    np.testing.assert_array_equal(gold, np.array(made.features["plan"]) == "gold")


def test_a_rare_level_could_be_a_name_and_is_no_column(made: SimulatedExperiment) -> None:
    names = pa.array(["anna"] * 19 + ["basic"] * 181)
    trial = experiment_from_columns(
        pa.table({"who": names}), made.action, {}, control="none", propensity=made.propensity
    )
    assert trial.columns == (DesignColumn("who", "basic"),)


@pytest.mark.parametrize(
    ("propensity", "why"),
    [(1.0, "not between 0 and 1"), (np.nan, "not between 0 and 1"), (0.4, "sum to 0.8; they must sum to one")],
)
def test_impossible_propensities_are_refused(made: SimulatedExperiment, propensity: float, why: str) -> None:
    with pytest.raises(DataError, match=why):
        made.data(propensity=np.full(200, propensity))


def test_propensities_sum_to_one_in_each_round(made: SimulatedExperiment) -> None:
    rounds = np.repeat(["first", "second"], 100)
    wrong = np.where((rounds == "second") & (made.action == "none"), 0.7, 0.5)
    with pytest.raises(DataError, match="of the round second sum to 1.2"):
        made.data(propensity=wrong, rounds=rounds)


def test_a_rare_arm_may_have_nobody_and_says_nothing_there(made: SimulatedExperiment) -> None:
    action = np.array(["email", "none"] * 3 + ["voucher", "email", "none"] * 60)
    rounds = np.repeat(["small", "large"], [6, 180])
    trial = experiment_from_columns(
        made.features.slice(0, 186), action, {}, control="none", rounds=rounds,
        propensity=np.where(action == "voucher", 0.2, 0.4),
    )  # fmt: skip
    np.testing.assert_array_equal(trial.offered_in_round(2), rounds == "large")
    assert trial.offered_in_round(1).all()
    with pytest.raises(DataError, match="of the round large sum to 0.8"):
        kept = action != "voucher"
        experiment_from_columns(
            made.features.slice(0, 126),
            action[kept],
            {},
            control="none",
            rounds=rounds[kept],
            propensity=np.full(126, 0.4),
        )


def test_propensities_that_differ_between_customers_must_fit_who_got_what() -> None:
    chosen = simulate_experiment(4_000, chosen=1.5)
    assert len(chosen.data()) == 4_000
    with pytest.raises(DataError, match="do not fit who got what"):
        chosen.data(propensity=np.clip(chosen.propensity * 0.6, 0.01, 0.99))


def test_arms_without_customers_or_of_no_config_are_refused(made: SimulatedExperiment) -> None:
    with pytest.raises(DataError, match="'voucher' has no customers"):
        made.data(actions=("email", "voucher"))
    with pytest.raises(DataError, match="'email' is none of 'none', 'voucher'"):
        made.data(actions=("voucher",))
    with pytest.raises(DataError, match="there is no action"):
        experiment_from_columns(made.features, ["none"] * 200, {}, control="none", propensity=made.propensity)
