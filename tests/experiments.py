"""Made-up experiments whose true effects are known, for the tests of uplift."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from features.config.load import Config, load_config
from features.simulation.business import Action, Settings
from features.simulation.simulate import simulate_business
from training.uplift.experiment import ExperimentData, experiment_from_columns


@dataclass(frozen=True)
class Experiment:
    """Columns of an experiment of one action, 'email', and the true effect (n,) on each customer's probability."""

    features: pa.Table
    action: np.ndarray
    propensity: np.ndarray
    visit: np.ndarray
    spend: np.ndarray
    truth: np.ndarray

    def trial(self, **options: object) -> ExperimentData:
        """As a trial, of return and value."""
        given: dict = {"propensity": self.propensity, "control": "none", **options}
        return experiment_from_columns(self.features, self.action, {"return": self.visit, "value": self.spend}, **given)


def experiment(
    n: int = 3_000, seed: int = 1, varied: float = 0.25, average: float = 0.1, chosen: float = 0.0
) -> Experiment:
    """An experiment in which effects differ by `varied` between the halves of x0 and between plans.

    With `chosen` above 0 the action goes rather to those with a high x1, who come anyway.
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
    return Experiment(features, action, received, visit, spend, truth)


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


def make_business(folder: Path, store: str = "", customers: int = 450) -> Config:
    """Writes a simulated business with randomised rounds on 2023-03-02 and 2023-05-01 into a folder; its config.

    `store` is the URI of an MLflow that is there already, as making one takes seconds.
    """
    actions = (Action("email", 0.1, 0.3, 30, (1.5, 1.5, 1.5)), Action("voucher", 2.0, 0.3, 30, (0.0, 0.0, 0.0)))
    settings = Settings(actions=actions, contact_every=60, contact_share=0.95, hazard_mean=0.0005, rate_mean=0.05)
    made = simulate_business(folder, customers, days=175, seed=3, settings=settings)
    tracking = f'[tracking]\nuri = "{store}"\n' if store else ""
    made.config.write_text(CONFIG.format(end=made.end) + tracking, encoding="utf-8")
    return load_config(made.config)
