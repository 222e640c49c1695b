"""The ladder a model must climb: recency alone, the past rate carried on, a logistic regression on RFM, BG/NBD, and
LightGBM as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.catalog.btyd_model import fit_bgnbd, fit_gamma_gamma
from features.task import Window
from training.data.category_levels import encode_sample, learn_levels
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.models.churn import ChurnClassifier
from training.models.spend import SpendRegressor

SEED = 0
PLAIN_LIGHTGBM = "plain LightGBM"


def recency_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """A logistic curve of the days since the last order; value is its probability times the mean spend of returners."""
    churn = _logistic(train, test, ["recency_days"])
    return Prediction(churn, (1 - churn) * train.spend[train.churned == 0].mean() if _money(train) else None)


def past_rate_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """Everyone goes on as before: orders and net spend a day since the first order, times the horizon."""
    share = horizon.days / np.maximum(test.column("tenure_days"), horizon.days)
    churn = np.exp(-test.column("orders_count_ever") * share)
    return Prediction(churn, np.maximum(test.column("amount_sum_ever"), 0) * share if _money(train) else None)


def rfm_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """Logistic regression on recency, frequency and money (logs); value scales each customer's average order."""
    money = ["amount_sum_ever"] if _money(train) else []
    churn = _logistic(train, test, ["recency_days", "orders_count_ever", "tenure_days", *money])
    if not money:
        return Prediction(churn, None)
    back = train.churned == 0
    scale = train.spend[back].sum() / train.column("order_amount_mean_ever")[back].sum()
    return Prediction(churn, (1 - churn) * scale * test.column("order_amount_mean_ever"))


def btyd_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """BG/NBD with Gamma-Gamma, fitted on the judged customers' own past: they need no labels.

    Orders count as purchases; value is the orders to expect times the amount to expect.
    """
    return btyd_fitted_on(test, test, horizon)


def btyd_fitted_on(known: Sample, test: Sample, horizon: Window) -> Prediction:
    """The same, fitted on the past of some customers and said of others."""
    past = _rhythm(test)
    rhythm = fit_bgnbd(*_rhythm(known))
    churn = 1 - rhythm.return_probability(*past, horizon.days)
    if not _money(test):
        return Prediction(churn, None)
    orders, size = test.column("orders_count_ever"), test.column("order_amount_mean_ever")
    amounts = fit_gamma_gamma(known.column("orders_count_ever"), known.column("order_amount_mean_ever"))
    spend = amounts.expected_spend(orders, size)
    return Prediction(churn, rhythm.expected_orders(*past, horizon=horizon.days) * spend)


def lightgbm_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """A LightGBM hurdle on all features, neither tuned nor calibrated: a gate, and the spend of those who return."""
    levels = learn_levels(train)
    rows, X = encode_sample(train, levels), encode_sample(test, levels).features
    given: dict[str, Any] = {"seed": SEED, "categorical": tuple(levels)}
    churn = ChurnClassifier(**given).fit(rows.features, rows.churned).predict_proba(X)[:, 1]
    if not np.any(train.value):
        return Prediction(churn, None)
    back = rows.take(rows.churned == 0)
    return Prediction(churn, (1 - churn) * SpendRegressor(**given).fit(back.features, back.spend).predict(X))


Baseline = Callable[[Sample, Sample, Window], Prediction]
BASELINES: dict[str, Baseline] = {
    "recency alone": recency_baseline,
    "past mean rate": past_rate_baseline,
    "logistic regression on RFM": rfm_baseline,
    "BG/NBD and Gamma-Gamma": btyd_baseline,
    PLAIN_LIGHTGBM: lightgbm_baseline,
}


def _rhythm(rows: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Repeat orders, days from the first order to the last, and days since the first."""
    age = rows.column("tenure_days")
    return rows.column("orders_count_ever") - 1, age - rows.column("recency_days"), age


def _logistic(train: Sample, test: Sample, names: list[str]) -> np.ndarray:
    def logs(rows: Sample) -> np.ndarray:
        return np.column_stack([np.log1p(np.maximum(rows.column(name), 0)) for name in names])

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(logs(train), train.churned).predict_proba(logs(test))[:, 1]


def _money(rows: Sample) -> bool:
    return "amount_sum_ever" in rows.features.column_names
