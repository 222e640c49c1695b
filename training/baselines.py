"""The ladder a model must climb: recency alone, the past rate carried on, a logistic regression on RFM, and BG/NBD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.btyd import fit_bgnbd, fit_gamma_gamma
from features.task import Window
from training.split import Sample


@dataclass(frozen=True)
class Prediction:
    """What a model says of each customer (n,): the probability of churn, and the value or None without money."""

    churn: np.ndarray
    value: np.ndarray | None


def recency_rule(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """A logistic curve of the days since the last order; value is its probability times the mean spend of returners."""
    churn = _logistic(train, test, ["recency_days"])
    return Prediction(churn, (1 - churn) * train.spend[train.churned == 0].mean() if _money(train) else None)


def past_rate(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """Everyone goes on as before: orders and net spend a day since the first order, times the horizon."""
    share = horizon.days / np.maximum(test.column("tenure_days"), horizon.days)
    churn = np.exp(-test.column("orders_count_ever") * share)
    return Prediction(churn, np.maximum(test.column("amount_sum_ever"), 0) * share if _money(train) else None)


def rfm_logistic(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """Logistic regression on recency, frequency and money (logs); value scales each customer's average order."""
    money = ["amount_sum_ever"] if _money(train) else []
    churn = _logistic(train, test, ["recency_days", "orders_count_ever", "tenure_days", *money])
    if not money:
        return Prediction(churn, None)
    back = train.churned == 0
    scale = train.spend[back].sum() / train.column("order_amount_mean_ever")[back].sum()
    return Prediction(churn, (1 - churn) * scale * test.column("order_amount_mean_ever"))


def buying_rhythm(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """BG/NBD with Gamma-Gamma, fitted on the judged customers' own past: they need no labels.

    Orders count as purchases; value is the orders to expect times the amount to expect.
    """
    age, orders = test.column("tenure_days"), test.column("orders_count_ever")
    past = orders - 1, age - test.column("recency_days"), age
    rhythm = fit_bgnbd(*past)
    churn = 1 - rhythm.returns(*past, horizon.days)
    if not _money(train):
        return Prediction(churn, None)
    size = test.column("order_amount_mean_ever")
    spend = fit_gamma_gamma(orders, size).expected_spend(orders, size)
    return Prediction(churn, rhythm.expected_orders(*past, horizon=horizon.days) * spend)


LADDER: dict[str, Callable[[Sample, Sample, Window], Prediction]] = {
    "recency alone": recency_rule,
    "past mean rate": past_rate,
    "logistic regression on RFM": rfm_logistic,
    "BG/NBD and Gamma-Gamma": buying_rhythm,
}


def _logistic(train: Sample, test: Sample, names: list[str]) -> np.ndarray:
    def logs(rows: Sample) -> np.ndarray:
        return np.column_stack([np.log1p(np.maximum(rows.column(name), 0)) for name in names])

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(logs(train), train.churned).predict_proba(logs(test))[:, 1]


def _money(rows: Sample) -> bool:
    return "amount_sum_ever" in rows.features.column_names
