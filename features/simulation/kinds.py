"""The kinds of business that can be simulated: their settings, which tables they keep, and their config."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from features.simulation.business import HORIZON, Business, Population
from features.simulation.settings import CONTROL, Action, Settings

MONEY = ("order_id", "amount", "quantity")  # columns of events
PRICES = (9.0, 19.0, 49.0)  # of a subscription, for 30 days; by the customer's mean amount
EVERY_DAY = (1.0,) * 7


@dataclass(frozen=True)
class Kind:
    """A kind of business.

    Attributes:
        about: What it is, in a few words.
        settings: What its customers are like.
        horizon: The horizon of its config.
        log: The config's sections of the log, with {end} for the first day after the period.
        task: More lines of [task].
        money: Whether its events have order numbers, amounts and quantities.
        terms: Whether it has a table of terms, from the first day to the end of a lifetime.
    """

    about: str
    settings: Settings = field(default_factory=Settings)
    horizon: str = f"{HORIZON}d"
    log: str = ""
    task: str = ""
    money: bool = True
    terms: bool = False

    def tables(self, drawn: dict[str, pa.Table], population: Population, business: Business) -> dict[str, pa.Table]:
        """The tables that this kind of business keeps.

        Args:
            drawn: All tables that were drawn for a block of customers, by name.
            population: The same customers.
            business: The period and the settings.

        Returns:
            The tables by name.
        """
        tables = dict(drawn)
        if not self.money:
            tables["events"] = tables["events"].drop_columns(list(MONEY))
            hidden = ["mean_amount", f"expected_value_{HORIZON}d"]
            tables["truth"] = tables["truth"].drop_columns(hidden)
        if self.terms:
            tables["usage"] = tables.pop("events")
            tables["terms"] = _terms(drawn["truth"]["customer_id"], population, business)
        return tables


def _terms(ids: pa.ChunkedArray, population: Population, business: Business) -> pa.Table:
    """One term for each customer: from the first day to that of the end, empty while it runs; the price is fixed."""
    levels = np.searchsorted(np.array([0.7, 1.4]) * business.settings.amount_mean, population.mean_amount)
    ended = population.death < business.days
    end = np.maximum(np.floor(population.death), np.floor(population.birth) + 1)
    return pa.table(
        {
            "customer_id": ids,
            "start": business.times(np.floor(population.birth)).cast(pa.date32()),
            "end": business.times(np.where(ended & (end < business.days), end, np.nan)).cast(pa.date32()),
            "price": np.array(PRICES)[levels],
        }
    )


ORDERS = """\
[events]
source = "events"
customer = "customer_id"
time = "time"
amount = "amount"
order = "order_id"
quantity = "quantity"
kinds = ["category", "channel"]
offers = ["category"]
until = "{end}"
"""
VISITS = """\
[events]
source = "events"
customer = "customer_id"
time = "time"
kinds = ["category", "channel"]
until = "{end}"
"""
TERMS = """\
[subscriptions]
source = "terms"
customer = "customer_id"
start = "start"
end = "end"
price = "price"
price_every = "30d"
until = "{end}"
[activities.usage]
source = "usage"
customer = "customer_id"
time = "time"
kinds = ["category", "channel"]
"""
SHOP = "shop"
KINDS = {
    SHOP: Kind("an online shop: orders every few weeks, seasons, e-mails and vouchers", log=ORDERS),
    "groceries": Kind(
        "groceries: orders every week, small amounts",
        Settings(
            rate_mean=0.12, rate_shape=2.0, hazard_mean=0.002, amount_mean=32.0, order_sigma=0.5, extra_lines=4.0,
            season=0.1, categories=("bakery", "dairy", "fruit", "meat", "household"), channels=("store", "web", "app"),
            refund_share=0.01,
        ),
        horizon="28d", log=ORDERS, task='active_within = "112d"\nwindows = ["7d", "28d", "84d", "182d"]\n',
    ),
    "subscription": Kind(
        "a subscription: monthly prices, usage, cancellations",
        Settings(
            rate_mean=0.2, hazard_mean=0.0012, hazard_by_rate=1.0, amount_mean=20.0, extra_lines=0.0, season=0.1,
            weekdays=EVERY_DAY,
            categories=("articles", "audio", "games", "video"), channels=("app", "tv", "web"), refund_share=0.0,
            actions=(
                Action("offer", 5.0, 0.3, 30, (0.0, 0.0, 0.0), (-0.5, -0.2, 0.0)),
                Action("tips", 0.1, 0.3, 30, (0.3, 0.1, 0.1), (-0.2, -0.1, -0.1)),
            ),
        ),
        horizon="30d", log=TERMS, task='churn = "cancelled"\n', money=False, terms=True,
    ),
    "app": Kind(
        "an app without money: sessions most days, quick to come and go",
        Settings(
            rate_mean=0.35, rate_shape=0.8, hazard_mean=0.012, hazard_shape=0.8, extra_lines=0.0, season=0.0,
            weekdays=EVERY_DAY, categories=("learn", "play", "profile", "share"), channels=("android", "ios", "web"),
            refund_share=0.0,
            actions=(Action("push", 0.01, 0.4, 7, (0.5, 0.2, 0.0)), Action("email", 0.02, 0.3, 7, (0.1, 0.1, 0.4))),
            contact_every=14,
        ),
        horizon="14d", log=VISITS, money=False,
        task='active_within = "28d"\nevery = "14d"\nwindows = ["7d", "14d", "28d", "84d"]\n',
    ),
    "b2b": Kind(
        "business customers: few of them, large orders on working days, calls and visits",
        Settings(
            rate_mean=0.03, rate_shape=2.5, hazard_mean=0.0008, amount_mean=1800.0, amount_sigma=1.0, extra_lines=3.0,
            season=0.1, weekdays=(1.0, 1.1, 1.1, 1.0, 0.8, 0.0, 0.0), channels=("edi", "phone", "web"),
            categories=("consumables", "machines", "parts", "service"), refund_share=0.02,
            actions=(
                Action("call", 15.0, 0.25, 30, (0.1, 0.4, 0.2)), Action("visit", 120.0, 0.2, 30, (0.3, 0.6, 0.2)),
            ),
        ),
        horizon="90d", log=ORDERS,
    ),
}  # fmt: skip
CONFIG = """\
# A simulated business ({kind}): {customers:,} customers, {start} to {end}, seed {seed}. Beside this file lie
# truth/ (what each customer is really like), simulation.json (every setting) and, if any, contacts/ (randomised).
config_version = 1
name = "simulated"
{log}{contacts}[task]
horizon = "{horizon}"
{task}"""
CONTACTS_CONFIG = f"""\
[contacts]
source = "contacts"
customer = "customer_id"
time = "time"
action = "action"
cost = "cost"
propensity = "propensity"
control = "{CONTROL}"
"""
