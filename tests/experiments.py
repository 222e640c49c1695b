"""Simulated experiments with known true effects, for the tests of uplift."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from features.config.load import Config, load_config
from features.simulation.settings import Action, Settings
from features.simulation.simulate import simulate_business
from training.uplift.experiment import ExperimentData, experiment_from_columns


@dataclass(frozen=True)
class SimulatedExperiment:
    """Columns of an experiment of one action, 'email', and the true effect (n,) on each customer's probability."""

    features: pa.Table
    action: np.ndarray
    propensity: np.ndarray
    visit: np.ndarray
    spend: np.ndarray
    truth: np.ndarray

    def data(self, **options: object) -> ExperimentData:
        """Return the experiment's data, with outcomes return and value."""
        given: dict = {"propensity": self.propensity, "control": "none", **options}
        return experiment_from_columns(self.features, self.action, {"return": self.visit, "value": self.spend}, **given)


def simulate_experiment(
    n: int = 3_000, seed: int = 1, varied: float = 0.25, average: float = 0.1, chosen: float = 0.0
) -> SimulatedExperiment:
    """Simulate an experiment of n customers.

    Args:
        n: Number of customers.
        seed: Seed of the draws.
        varied: Difference of the effect between the halves of x0; between plans it is half of this.
        average: Average effect on the probability of a visit.
        chosen: Above 0, customers with a high x1, who are likelier to visit anyway, get the action more often.

    Returns:
        The experiment with its true effects.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    plan = rng.choice(["basic", "gold"], n)
    truth = average + varied * ((x[:, 0] > 0) - 0.5) + varied / 2 * ((plan == "gold") - 0.5)
    sends = 1 / (1 + np.exp(-chosen * x[:, 1]))
    treated = rng.random(n) < sends
    chance = np.clip(0.4 + 0.1 * np.tanh(x[:, 1]) + truth * treated, 0, 1)
    visit = (rng.random(n) < chance).astype(float)
    spend = visit * rng.lognormal(3, 0.5, n)
    x[rng.random(n) < 0.1, 3] = np.nan
    features = pa.table({f"x{i}": column for i, column in enumerate(x.T)} | {"plan": plan})
    action, received = np.where(treated, "email", "none"), np.where(treated, sends, 1 - sends)
    return SimulatedExperiment(features, action, received, visit, spend, truth)


CONFIG = """\
config_version = 1
name = "trials"
[events]
source = "events"
customer = "customer_id"
time = "time"
amount = "amount"
order = "order_id"
until = "{end}"
[contacts]
source = "contacts"
customer = "customer_id"
time = "time"
action = "action"
propensity = "propensity"
control = "none"
[task]
horizon = "30d"
windows = ["60d"]
[training]
seed = 5
bootstrap = 50
[uplift]
folds = 2
"""


def make_uplift_business(folder: Path, store: str = "", customers: int = 450) -> Config:
    """Write a simulated business with randomised rounds on 2023-03-02 and 2023-05-01, and return its config.

    Args:
        folder: Folder to write into.
        store: URI of an MLflow store that exists already, since creating one takes seconds.
        customers: Number of customers.

    Returns:
        The business's config.
    """
    actions = (Action("email", 0.1, 0.3, 30, (1.5, 1.5, 1.5)), Action("voucher", 2.0, 0.3, 30, (0.0, 0.0, 0.0)))
    settings = Settings(actions=actions, contact_every=60, contact_share=0.95, hazard_mean=0.0005, rate_mean=0.05)
    business = simulate_business(folder, customers, days=175, seed=3, settings=settings)
    tracking = f'[tracking]\nuri = "{store}"\n' if store else ""
    business.config.write_text(CONFIG.format(end=business.end) + tracking, encoding="utf-8")
    return load_config(business.config)
