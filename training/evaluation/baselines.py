"""The baselines: everybody alike, recency, the past mean rate, logistic regression on RFM, BG/NBD, plain LightGBM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.catalog.btyd_model import fit_bgnbd, fit_gamma_gamma
from features.task import Window
from training.artifact.return_hazard import ReturnCurves
from training.data.category_levels import encode_sample, learn_levels
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.models.churn import ChurnClassifier
from training.models.spend import SpendRegressor

SEED = 0
EVERYBODY_ALIKE, PLAIN_LIGHTGBM = "everybody alike", "plain LightGBM"
PLAIN_TREES: dict[str, Any] = {"n_estimators": 120, "learning_rate": 0.05, "feature_fraction": 0.5}


def everybody_alike_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """The share of leavers and the mean value of the newest training cutoff, for everybody.

    Args:
        train: Training rows.
        test: The rows to predict (n).
        horizon: Of the labels.

    Returns:
        Predictions for the test rows.
    """
    newest = train.take(train.dates == train.dates.max())
    value = np.full(len(test), newest.spend.mean()) if np.any(train.value) else None
    return Prediction(np.full(len(test), newest.churned.mean()), value)


def recency_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """Logistic regression on days since the last order; value is P(return) x the returning customers' mean spend.

    Args:
        train: Training rows.
        test: The rows to predict (n).
        horizon: Of the labels.

    Returns:
        Predictions for the test rows.
    """
    churn = _fit_logistic(train, test, ["recency_days"])
    return Prediction(churn, (1 - churn) * train.spend[train.churned == 0].mean() if _has_money(train) else None)


def past_rate_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """Everyone continues at their past rate: orders and net spend per day since the first order, times the horizon.

    Args:
        train: Not used but to see whether there is money.
        test: The rows to predict (n).
        horizon: Of the labels.

    Returns:
        Predictions for the test rows.
    """
    share = horizon.days / np.maximum(test.column("tenure_days"), horizon.days)
    churn = np.exp(-test.column("orders_count_ever") * share)
    return Prediction(churn, np.maximum(test.column("amount_sum_ever"), 0) * share if _has_money(train) else None)


def rfm_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """Logistic regression on the logs of recency, frequency and money; value scales each customer's average order.

    Args:
        train: Training rows.
        test: The rows to predict (n).
        horizon: Of the labels.

    Returns:
        Predictions for the test rows.
    """
    money = ["amount_sum_ever"] if _has_money(train) else []
    churn = _fit_logistic(train, test, ["recency_days", "orders_count_ever", "tenure_days", *money])
    if not money:
        return Prediction(churn, None)
    returned = train.churned == 0
    scale = train.spend[returned].sum() / train.column("order_amount_mean_ever")[returned].sum()
    return Prediction(churn, (1 - churn) * scale * test.column("order_amount_mean_ever"))


def btyd_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """BG/NBD with Gamma-Gamma, fitted on the test customers' own history, which needs no labels.

    Every order counts as a purchase; value is expected orders times the expected amount of an order.

    Args:
        train: Not used.
        test: The rows to fit on and to predict (n).
        horizon: Of the labels.

    Returns:
        Predictions for the test rows.
    """
    return btyd_fitted_on(test, test, horizon)


def btyd_curves(rows: Sample, days: np.ndarray) -> ReturnCurves:
    """The curves of returning that BG/NBD expects, fitted on the customers' own history, which needs no labels.

    Args:
        rows: The rows to fit on and to predict (n).
        days: The days of the curves (k,), ascending, the first is 0.

    Returns:
        The curves.
    """
    history = _btyd_inputs(rows)
    model = fit_bgnbd(*history)
    returned = np.column_stack([model.return_probability(*history, int(day)) for day in days])
    return ReturnCurves(days, np.log1p(-np.minimum(returned, 1 - 1e-12)))


def btyd_feature_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """BG/NBD with Gamma-Gamma as among the features: fitted on all customers at the cutoff, active ones as well.

    Args:
        train: Not used.
        test: The rows to predict (n).
        horizon: Not used: it is that of the features.

    Returns:
        Predictions for the test rows.
    """
    value = test.column("amount_expected") if _has_money(test) else None
    return Prediction(1 - test.column("return_probability"), value)


def btyd_fitted_on(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """BG/NBD with Gamma-Gamma, fitted on the history of some customers and applied to others.

    Args:
        train: The rows to fit on.
        test: The rows to predict (n).
        horizon: Of the labels.

    Returns:
        Predictions for the test rows.
    """
    history = _btyd_inputs(test)
    model = fit_bgnbd(*_btyd_inputs(train))
    churn = 1 - model.return_probability(*history, horizon.days)
    if not _has_money(test):
        return Prediction(churn, None)
    orders, size = test.column("orders_count_ever"), test.column("order_amount_mean_ever")
    amounts = fit_gamma_gamma(train.column("orders_count_ever"), train.column("order_amount_mean_ever"))
    spend = amounts.expected_spend(orders, size)
    return Prediction(churn, model.expected_orders(*history, horizon=horizon.days) * spend)


def lightgbm_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """A LightGBM hurdle model on all features, not tuned or calibrated: P(return) x the spend of those who return.

    Args:
        train: Training rows.
        test: The rows to predict (n).
        horizon: Of the labels.

    Returns:
        Predictions for the test rows.
    """
    levels = learn_levels(train)
    rows, X = encode_sample(train, levels), encode_sample(test, levels).features
    fixed: dict[str, Any] = {"seed": SEED, "categorical": tuple(levels), **PLAIN_TREES}
    churn = ChurnClassifier(**fixed).fit(rows.features, rows.churned).predict_proba(X)[:, 1]
    if not np.any(train.value):
        return Prediction(churn, None)
    returned = rows.take(rows.churned == 0)
    return Prediction(churn, (1 - churn) * SpendRegressor(**fixed).fit(returned.features, returned.spend).predict(X))


Baseline = Callable[[Sample, Sample, Window], Prediction]
BASELINES: dict[str, Baseline] = {
    EVERYBODY_ALIKE: everybody_alike_baseline,
    "recency alone": recency_baseline,
    "past mean rate": past_rate_baseline,
    "logistic regression on RFM": rfm_baseline,
    "BG/NBD and Gamma-Gamma": btyd_baseline,
    PLAIN_LIGHTGBM: lightgbm_baseline,
}


LAPSED_BASELINES: dict[str, Baseline] = {
    **BASELINES,
    "BG/NBD and Gamma-Gamma": btyd_feature_baseline,
}  # of lapsed customers: fitted on them alone, BG/NBD would take long silences for usual ones


def _btyd_inputs(rows: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Repeat orders, days from the first order to the last, and days since the first order, (n,) each."""
    age = rows.column("tenure_days")
    return rows.column("orders_count_ever") - 1, age - rows.column("recency_days"), age


def _fit_logistic(train: Sample, test: Sample, names: list[str]) -> np.ndarray:
    def logs(rows: Sample) -> np.ndarray:
        return np.column_stack([np.log1p(np.maximum(rows.column(name), 0)) for name in names])

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(logs(train), train.churned).predict_proba(logs(test))[:, 1]


def _has_money(rows: Sample) -> bool:
    return "amount_sum_ever" in rows.features.column_names
