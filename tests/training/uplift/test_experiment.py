"""An experiment's data from plain columns: what is accepted, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from features.errors import DataError
from tests.experiments import SimulatedExperiment, simulate_experiment
from training.artifact.uplift_bundle import DesignColumn
from training.uplift.experiment import experiment_from_columns


@pytest.fixture(scope="module")
def simulated() -> SimulatedExperiment:
    return simulate_experiment(200)


def test_arms_columns_and_customers(simulated: SimulatedExperiment) -> None:
    trial = simulated.data(customers=[f"c{i // 2}" for i in range(200)])
    assert trial.actions == ("email",)
    np.testing.assert_array_equal(trial.arm == 1, simulated.action == "email")
    np.testing.assert_allclose(trial.received, 0.5)
    assert set(trial.columns[-2:]) == {DesignColumn("plan", "basic"), DesignColumn("plan", "gold")}
    assert len(set(trial.units.tolist())) == 100
    assert trial.units[0] == trial.units[1]
    gold = trial.design[:, trial.columns.index(DesignColumn("plan", "gold"))] == 1
    np.testing.assert_array_equal(gold, np.array(simulated.features["plan"]) == "gold")


def test_a_rare_level_could_be_a_name_and_is_no_column(simulated: SimulatedExperiment) -> None:
    names = pa.array(["anna"] * 19 + ["basic"] * 181)
    trial = experiment_from_columns(
        pa.table({"who": names}), simulated.action, {}, control="none", propensity=simulated.propensity
    )
    assert trial.columns == (DesignColumn("who", "basic"),)


@pytest.mark.parametrize(
    ("propensity", "why"),
    [(1.0, "not between 0 and 1"), (np.nan, "not between 0 and 1"), (0.4, "sum to 0.8; they must sum to one")],
)
def test_impossible_propensities_are_refused(simulated: SimulatedExperiment, propensity: float, why: str) -> None:
    with pytest.raises(DataError, match=why):
        simulated.data(propensity=np.full(200, propensity))


def test_propensities_sum_to_one_in_each_round(simulated: SimulatedExperiment) -> None:
    rounds = np.repeat(["first", "second"], 100)
    wrong = np.where((rounds == "second") & (simulated.action == "none"), 0.7, 0.5)
    with pytest.raises(DataError, match="of the round second sum to 1.2"):
        simulated.data(propensity=wrong, rounds=rounds)


def test_a_rare_arm_may_have_nobody_and_says_nothing_there(simulated: SimulatedExperiment) -> None:
    action = np.array(["email", "none"] * 3 + ["voucher", "email", "none"] * 60)
    rounds = np.repeat(["small", "large"], [6, 180])
    trial = experiment_from_columns(
        simulated.features.slice(0, 186), action, {}, control="none", rounds=rounds,
        propensity=np.where(action == "voucher", 0.2, 0.4),
    )  # fmt: skip
    np.testing.assert_array_equal(trial.offered_in_round(2), rounds == "large")
    assert trial.offered_in_round(1).all()
    with pytest.raises(DataError, match="of the round large sum to 0.8"):
        kept = action != "voucher"
        experiment_from_columns(
            simulated.features.slice(0, 126),
            action[kept],
            {},
            control="none",
            rounds=rounds[kept],
            propensity=np.full(126, 0.4),
        )


def test_propensities_that_differ_between_customers_must_fit_who_got_what() -> None:
    chosen = simulate_experiment(4_000, chosen=1.5)
    assert len(chosen.data()) == 4_000
    with pytest.raises(DataError, match="do not fit the actions received"):
        chosen.data(propensity=np.clip(chosen.propensity * 0.6, 0.01, 0.99))


def test_arms_without_customers_or_of_no_config_are_refused(simulated: SimulatedExperiment) -> None:
    with pytest.raises(DataError, match="'voucher' has no customers"):
        simulated.data(actions=("email", "voucher"))
    with pytest.raises(DataError, match="'email' is none of 'none', 'voucher'"):
        simulated.data(actions=("voucher",))
    with pytest.raises(DataError, match="there is no action"):
        experiment_from_columns(simulated.features, ["none"] * 200, {}, control="none", propensity=simulated.propensity)
